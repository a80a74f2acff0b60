import hashlib
import os

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

from data.augmentation import Augmentation, augment, transforms

SIZE = 16
Rows = npt.NDArray[np.float32]
EVERYTHING = Augmentation(flip=True, shift=0.2, zoom=0.3, rotation=25)


def digests(count: int) -> npt.NDArray[np.uint8]:
    content = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(count))
    return np.frombuffer(content, np.uint8).reshape(count, 32)


def rows_for(augmentation: Augmentation, count: int = 400, **changed: int) -> Rows:
    arguments = {"seed": 1, "epoch": 0, "image_size": SIZE} | changed
    return transforms(augmentation, digests(count), **arguments)


def images(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


@given(st.permutations(range(20)), st.integers(1, 19))
def test_a_photo_is_changed_alike_in_any_batch(order: list[int], size: int) -> None:
    everything = rows_for(EVERYTHING, 20)
    batch = order[:size]
    rows = transforms(EVERYTHING, digests(20)[batch], seed=1, epoch=0, image_size=SIZE)

    assert np.array_equal(rows, everything[batch])


def test_seed_epoch_and_photo_each_change_the_draw() -> None:
    rows = rows_for(EVERYTHING)

    assert len(np.unique(rows, axis=0)) == len(rows)
    assert not np.any(np.all(rows == rows_for(EVERYTHING, seed=2), axis=1))
    assert not np.any(np.all(rows == rows_for(EVERYTHING, epoch=1), axis=1))


def test_one_setting_does_not_change_what_another_draws() -> None:
    # So that adding a rotation to an experiment leaves its flips as they are.
    flips = rows_for(Augmentation(flip=True))[:, 0] < 0
    turned = rows_for(Augmentation(flip=True, rotation=25))

    # The determinant of the linear part is negative exactly for mirror images.
    assert np.array_equal(flips, turned[:, 0] * turned[:, 4] - turned[:, 1] * turned[:, 3] < 0)


def test_no_augmentation_leaves_every_pixel_as_it_is() -> None:
    photos = images(8)

    assert Augmentation().is_identity
    assert np.array_equal(augment(photos, rows_for(Augmentation(), 8)), photos)


def test_flip_mirrors_half_of_the_photos_exactly_and_no_other() -> None:
    photos = images(400)
    flipped = np.asarray(augment(photos, rows_for(Augmentation(flip=True))))
    mirrored = np.all(flipped == photos[:, :, ::-1], axis=(1, 2, 3))
    unchanged = np.all(flipped == photos, axis=(1, 2, 3))

    assert np.array_equal(mirrored, ~unchanged)
    # Binomial, 5 standard deviations.
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(400)


def test_shift_stays_within_its_share_of_the_side() -> None:
    rows = rows_for(Augmentation(shift=0.25), 4000)
    shifts = rows[:, [2, 5]]

    assert np.array_equal(np.delete(rows, [2, 5], axis=1), np.tile([1, 0, 0, 1, 0, 0], (4000, 1)))
    assert np.abs(shifts).max() <= 0.25 * SIZE
    assert shifts.min() < -0.24 * SIZE
    assert shifts.max() > 0.24 * SIZE


def test_zoom_stays_within_its_factor_and_keeps_the_centre() -> None:
    rows = rows_for(Augmentation(zoom=0.3), 4000)
    factor = 1 / rows[:, 0]
    centre = (SIZE - 1) / 2

    assert factor.min() == pytest.approx(0.7, abs=0.01)
    assert factor.max() == pytest.approx(1.3, abs=0.01)
    assert np.array_equal(rows[:, 0], rows[:, 4])
    assert np.allclose(rows[:, 0] * centre + rows[:, 2], centre, atol=1e-5)


def test_rotation_stays_within_its_angle_and_keeps_lengths() -> None:
    rows = rows_for(Augmentation(rotation=25), 4000).astype(np.float64)
    angles = np.rad2deg(np.arctan2(rows[:, 1], rows[:, 0]))

    assert angles.min() == pytest.approx(-25, abs=0.2)
    assert angles.max() == pytest.approx(25, abs=0.2)
    assert np.allclose(rows[:, 0] * rows[:, 4] - rows[:, 1] * rows[:, 3], 1, atol=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 399))
def test_mirror_turn_enlarge_and_shift_are_undone_in_turn(photo: int) -> None:
    row = rows_for(EVERYTHING)[photo].astype(np.float64)
    single = {
        "flip": rows_for(Augmentation(flip=True)),
        "rotation": rows_for(Augmentation(rotation=25)),
        "zoom": rows_for(Augmentation(zoom=0.3)),
        "shift": rows_for(Augmentation(shift=0.2)),
    }
    point = np.array([3.0, 11.0, 1.0])
    expected = point
    for name in ("shift", "zoom", "rotation", "flip"):
        matrix = np.append(single[name][photo].astype(np.float64), 1).reshape(3, 3)
        expected = matrix @ expected

    assert np.allclose(np.append(row, 1).reshape(3, 3) @ point, expected, atol=1e-4)


def test_a_quarter_turn_is_what_numpy_turns() -> None:
    photos = images(1)
    quarter = np.array([[0, 1, 0, -1, 0, SIZE - 1, 0, 0]], np.float32)

    # x_photo = y, y_photo = (size - 1) - x: what was at the top right is now at the bottom right.
    assert np.array_equal(augment(photos, quarter)[0], np.rot90(photos[0], k=-1))


def test_what_lies_beyond_the_edge_is_the_mirror_image() -> None:
    photos = images(1)
    shifted = augment(photos, np.array([[1, 0, -4, 0, 1, 0, 0, 0]], np.float32))

    assert np.array_equal(shifted[0, :, 4:], photos[0, :, :-4])
    assert np.array_equal(shifted[0, :, :4], photos[0, :, :4][:, ::-1])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shift": 1.0}, "augmentation shift must be at least 0 and below 1, received: 1.0"),
        ({"zoom": -0.1}, "augmentation zoom must be at least 0 and below 1, received: -0.1"),
        ({"rotation": 181}, "augmentation rotation must be 0 to 180 degrees, received: 181"),
        ({"zoom": np.nan}, "augmentation zoom must be at least 0 and below 1, received: nan"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Augmentation(**setting)

    assert str(caught.value) == message


def test_augmented_photos_have_static_shape_of_batch_and_type() -> None:
    assert augment(images(3), rows_for(EVERYTHING, 3)).dtype == tf.uint8
