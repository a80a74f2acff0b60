import hashlib
import os

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from optrun.data.feed.augmentation import Augmentation, parameters

SIZE = 16
Rows = npt.NDArray[np.float32]
UNCHANGED = [1, 0, 0, 0, 1, 0, 1, 1]
DRAWN = [
    [
        -0.8267324,
        0.051427919,
        42.862331,
        0.051427919,
        0.8267324,
        -2.1592405,
        0.90436667,
        0.80900103,
    ],
    [
        0.93849772,
        -0.018304527,
        -1.6745453,
        0.018304527,
        0.93849772,
        -3.8541722,
        1.2740188,
        0.63701946,
    ],
]
EVERYTHING = Augmentation(flip=True, shift=0.2, zoom=0.3, rotation=25, brightness=0.4, contrast=0.5)


def digests(count: int) -> npt.NDArray[np.uint8]:
    content = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(count))
    return np.frombuffer(content, np.uint8).reshape(count, 32)


def rows_for(augmentation: Augmentation, count: int = 400, **changed: int) -> Rows:
    arguments = {"seed": 1, "epoch": 0, "image_size": SIZE} | changed
    return parameters(augmentation, digests(count), **arguments)


def as_matrix(row: Rows) -> npt.NDArray[np.float64]:
    """The map from the result's (x, y, 1) to the photo's."""
    return np.vstack([row[:6].astype(np.float64).reshape(2, 3), [0, 0, 1]])


@given(st.permutations(range(20)), st.integers(1, 19))
def test_a_photo_is_changed_alike_in_any_batch(order: list[int], size: int) -> None:
    everything = rows_for(EVERYTHING, 20)
    batch = order[:size]
    rows = parameters(EVERYTHING, digests(20)[batch], seed=1, epoch=0, image_size=SIZE)

    assert np.array_equal(rows, everything[batch])


def test_draws_never_change() -> None:
    # Written down once: an experiment repeated by a later version sees the same photos.
    rows = parameters(EVERYTHING, digests(2), seed=7, epoch=3, image_size=48)

    assert np.allclose(rows, DRAWN, rtol=0, atol=2e-6)


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


def test_no_augmentation_draws_what_changes_nothing() -> None:
    assert Augmentation().is_identity
    assert not EVERYTHING.is_identity
    assert np.array_equal(rows_for(Augmentation()), np.tile(UNCHANGED, (400, 1)))


def test_flip_mirrors_half_of_the_photos_and_leaves_the_others() -> None:
    rows = rows_for(Augmentation(flip=True))
    mirrored = np.all(rows == np.array([-1, 0, SIZE - 1, 0, 1, 0, 1, 1]), axis=1)

    assert np.array_equal(~mirrored, np.all(rows == UNCHANGED, axis=1))
    # Binomial, 5 standard deviations.
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(400)


def test_shift_stays_within_its_share_of_the_side() -> None:
    rows = rows_for(Augmentation(shift=0.25), 4000)
    shifts = rows[:, [2, 5]]

    assert np.array_equal(np.delete(rows, [2, 5], axis=1), np.tile([1, 0, 0, 1, 1, 1], (4000, 1)))
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
    row = rows_for(EVERYTHING)[photo]
    single = {
        "flip": rows_for(Augmentation(flip=True)),
        "rotation": rows_for(Augmentation(rotation=25)),
        "zoom": rows_for(Augmentation(zoom=0.3)),
        "shift": rows_for(Augmentation(shift=0.2)),
    }
    point = np.array([3.0, 11.0, 1.0])
    expected = point
    for name in ("shift", "zoom", "rotation", "flip"):
        matrix = as_matrix(single[name][photo])
        expected = matrix @ expected

    assert np.allclose(as_matrix(row) @ point, expected, atol=1e-4)


def test_factors_of_brightness_and_contrast_stay_within_their_shares() -> None:
    brightness, contrast = rows_for(EVERYTHING, 4000)[:, 6:].T

    for factor, share in ((brightness, 0.4), (contrast, 0.5)):
        assert 1 - share <= factor.min() < 1 - 0.99 * share
        assert 1 + 0.99 * share < factor.max() <= 1 + share
        # The mean of 4,000 uniform numbers, 5 standard deviations.
        assert abs(factor.mean() - 1) < 5 * share / np.sqrt(3 * 4000)
    assert abs(np.corrcoef(brightness, contrast)[0, 1]) < 5 / np.sqrt(4000)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shift": 1.0}, "augmentation shift must be from 0 to 0.5, received: 1.0"),
        ({"zoom": -0.1}, "augmentation zoom must be from 0 to 0.5, received: -0.1"),
        ({"rotation": 181}, "augmentation rotation must be from 0 to 180, received: 181"),
        ({"brightness": 1.5}, "augmentation brightness must be from 0 to 1, received: 1.5"),
        ({"contrast": -0.5}, "augmentation contrast must be from 0 to 1, received: -0.5"),
        ({"zoom": np.nan}, "augmentation zoom must be from 0 to 0.5, received: nan"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Augmentation(**setting)

    assert str(caught.value) == message
