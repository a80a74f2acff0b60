"""The changed pixels, against float64 NumPy with SciPy's interpolation, and Pillow's colours."""

import hashlib
import os

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf
from optrun.data.feed.augmentation import Augmentation, augment, augmented, parameters

SIZE = 24
EVERYTHING = Augmentation(
    flip=True, shift=0.5, zoom=0.5, rotation=180, brightness=0.6, contrast=0.7
)
Photos = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float64]
# Half of what rounding to whole numbers loses, and what float32 does over a photo's contrast.
ROUNDING = 0.5 + 0.02


@pytest.fixture(scope="module")
def photos() -> Photos:
    """Noise, dark at one side, of which every wrong pixel shows."""
    noise = np.random.default_rng(0).integers(0, 256, (40, SIZE, SIZE, 3))
    return (noise * np.linspace(0.3, 1, SIZE)[:, None]).astype(np.uint8)


@pytest.fixture(scope="module")
def digests() -> npt.NDArray[np.uint8]:
    content = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(40))
    return np.frombuffer(content, np.uint8).reshape(40, 32)


def drawn(augmentation: Augmentation, digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return parameters(augmentation, digests, seed=1, epoch=0, image_size=SIZE)


def changed(photos: Photos, rows: npt.NDArray[np.float32], augmentation: Augmentation) -> Photos:
    return np.asarray(augment(photos, rows, augmentation))


def reference(photo: Photos, row: npt.NDArray[np.float32]) -> Values:
    """What a row asks for, in float64 and not rounded."""
    a, b, brightness, contrast = row[:3], row[3:6], float(row[6]), float(row[7])
    values = np.clip(photo.astype(np.float64) * brightness, 0, 255)
    mean = float(np.mean(values @ [0.299, 0.587, 0.114]))
    values = np.clip((1 - contrast) * mean + contrast * values, 0, 255)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    place = [b[0] * x + b[1] * y + b[2], a[0] * x + a[1] * y + a[2]]
    # SciPy's "reflect" repeats the pixels at the edge: d c b a | a b c d | d c b a.
    channels = [
        ndimage.map_coordinates(values[..., k], place, order=1, mode="reflect") for k in range(3)
    ]
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "augmentation",
    [
        EVERYTHING,
        Augmentation(shift=0.5),
        Augmentation(zoom=0.5, rotation=30),
        Augmentation(brightness=1, contrast=1),
        Augmentation(contrast=0.5, flip=True),
    ],
)
def test_every_pixel_is_what_the_equations_say(
    photos: Photos, digests: npt.NDArray[np.uint8], augmentation: Augmentation, compiled: bool
) -> None:
    rows = drawn(augmentation, digests)
    function = tf.function(lambda x, r: augment(x, r, augmentation), jit_compile=compiled)
    result = np.asarray(function(photos, rows))

    assert result.dtype == np.uint8
    for photo, row, pixels in zip(photos, rows, result, strict=True):
        assert np.abs(pixels - reference(photo, row)).max() <= ROUNDING


def test_compiled_and_not_differ_by_one_at_most_and_hardly_ever(
    photos: Photos, digests: npt.NDArray[np.uint8]
) -> None:
    rows = drawn(EVERYTHING, digests)
    compiled = tf.function(lambda x, r: augment(x, r, EVERYTHING), jit_compile=True)
    difference = np.abs(
        np.asarray(compiled(photos, rows)).astype(int) - changed(photos, rows, EVERYTHING)
    )

    assert difference.max() <= 1
    assert difference.mean() < 1e-3


def test_settings_that_are_off_change_nothing(
    photos: Photos, digests: npt.NDArray[np.uint8]
) -> None:
    unchanged = drawn(Augmentation(), digests)

    assert np.array_equal(changed(photos, unchanged, Augmentation()), photos)
    assert np.array_equal(changed(photos, unchanged, EVERYTHING), photos)


def test_a_mirror_image_is_exact(photos: Photos, digests: npt.NDArray[np.uint8]) -> None:
    settings = Augmentation(flip=True)
    rows = drawn(settings, digests)
    mirrored = rows[:, 0] < 0
    expected = np.where(mirrored[:, None, None, None], photos[:, :, ::-1], photos)

    assert 0 < mirrored.sum() < len(photos)
    assert np.array_equal(changed(photos, rows, settings), expected)


def test_a_photo_turns_as_scipy_turns_it(photos: Photos, digests: npt.NDArray[np.uint8]) -> None:
    settings = Augmentation(rotation=90)
    rows = drawn(settings, digests)

    for photo, row, pixels in zip(photos, rows, changed(photos, rows, settings), strict=True):
        angle = np.rad2deg(np.arctan2(float(row[1]), float(row[0])))
        # To float32's last digits of the angle, over the distance to the corner.
        turned = ndimage.rotate(
            photo.astype(np.float64), -angle, reshape=False, order=1, mode="reflect"
        )
        assert np.abs(pixels - turned).max() <= ROUNDING


def test_a_photo_moves_where_the_shift_says(photos: Photos, digests: npt.NDArray[np.uint8]) -> None:
    settings = Augmentation(shift=0.4)
    rows = drawn(settings, digests)

    for photo, row, pixels in zip(photos, rows, changed(photos, rows, settings), strict=True):
        by = (-float(row[5]), -float(row[2]), 0)
        moved = ndimage.shift(photo.astype(np.float64), by, order=1, mode="reflect")
        assert np.abs(pixels - moved).max() <= ROUNDING


def test_brightness_and_contrast_are_pillow_s(
    photos: Photos, digests: npt.NDArray[np.uint8]
) -> None:
    settings = Augmentation(brightness=0.6, contrast=0.7)
    rows = drawn(settings, digests)

    for photo, row, pixels in zip(photos, rows, changed(photos, rows, settings), strict=True):
        brighter = ImageEnhance.Brightness(Image.fromarray(photo)).enhance(float(row[6]))
        expected = np.asarray(ImageEnhance.Contrast(brighter).enhance(float(row[7])), np.int64)
        # Pillow cuts off fractions after each of both, and rounds the mean.
        allowed = 1 + float(row[7]) + abs(1 - float(row[7]))
        assert np.abs(expected - pixels).max() <= allowed


def test_photos_of_one_pixel_have_only_colours_to_change() -> None:
    photo = np.array([[[[10, 100, 200]]]], np.uint8)
    row = np.array([[0.8, 0.1, 0.3, -0.1, 0.8, 0.2, 1, 1]], np.float32)

    assert np.array_equal(changed(photo, row, EVERYTHING), photo)


def test_augmented_is_what_is_drawn_for_that_seed_and_epoch(
    photos: Photos, digests: npt.NDArray[np.uint8]
) -> None:
    result = augmented(photos, digests, EVERYTHING, seed=5, epoch=2)
    rows = parameters(EVERYTHING, digests, seed=5, epoch=2, image_size=SIZE)

    assert np.array_equal(result, changed(photos, rows, EVERYTHING))
    assert not np.array_equal(result, augmented(photos, digests, EVERYTHING, seed=5, epoch=3))
    assert np.array_equal(augmented(photos, digests, Augmentation(), seed=5, epoch=2), photos)
