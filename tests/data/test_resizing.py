from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from optrun.data.cache.cache_key import Resize
from optrun.data.cache.prepare import prepare
from optrun.data.images.decode import TOGETHER, as_resized, decode, squashed_together
from PIL import Image

SIZE = 24
Values = npt.NDArray[np.float64]


def averaged(pixels: Values, height: int, width: int) -> Values:
    """Pillow's bilinear filter, which averages, on each colour in float32."""
    return np.stack(
        [
            np.asarray(
                Image.fromarray(pixels[..., colour].astype(np.float32)).resize(
                    (width, height), Image.Resampling.BILINEAR
                ),
                np.float64,
            )
            for colour in range(3)
        ],
        axis=-1,
    )


def interpolated(pixels: Values, height: int, width: int) -> Values:
    """Between the nearest two pixels along each axis, in float64."""

    def along(axis: int, length: int) -> Values:
        nonlocal pixels
        there = pixels.shape[axis]
        place = np.clip((np.arange(length) + 0.5) * there / length - 0.5, 0, there - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, there - 1)
        share = (place - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        return np.take(pixels, low, axis) * (1 - share) + np.take(pixels, high, axis) * share

    pixels = along(0, height)
    return along(1, width)


def expected(pixels: Values, resize: Resize, antialias: bool) -> Values:
    change = averaged if antialias else interpolated
    height, width = pixels.shape[:2]
    if resize == "squash":
        return change(pixels, SIZE, SIZE)
    if resize == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return change(pixels[top : top + side, left : left + side], SIZE, SIZE)
    square = np.zeros((SIZE, SIZE, 3))
    inner_height = round(height * SIZE / max(height, width))
    inner_width = round(width * SIZE / max(height, width))
    top, left = (SIZE - inner_height) // 2, (SIZE - inner_width) // 2
    inner = change(pixels, inner_height, inner_width)
    square[top : top + inner_height, left : left + inner_width] = inner
    return square


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize(("width", "height"), [(90, 60), (61, 100), (70, 70), (20, 12), (24, 24)])
def test_photos_become_squares(
    picture: Callable[..., Image.Image],
    encoded: Callable[..., bytes],
    width: int,
    height: int,
    resize: Resize,
    antialias: bool,
) -> None:
    image = picture(width, width, height)
    found = decode(encoded(image, "PNG"), SIZE, resize, antialias)
    wanted = expected(np.asarray(image, np.float64), resize, antialias)

    assert found.shape == (SIZE, SIZE, 3)
    # Rounding may fall either way where float32 and float64 differ in the last bits.
    assert np.abs(found - wanted).max() < 0.51


def test_what_is_padded_is_black_and_has_a_pixel_at_least(encoded: Callable[..., bytes]) -> None:
    line = decode(encoded(Image.new("RGB", (2000, 8), "white"), "PNG"), SIZE, "pad")

    assert line[SIZE // 2 - 1 : SIZE // 2 + 1].max() == 255
    assert np.count_nonzero(line.max(axis=(1, 2))) == 1


def test_a_resize_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="one of squash, crop, pad, received: stretch"):
        prepare("sample", image_size=SIZE, resize="stretch")  # type: ignore[arg-type]


def test_photos_squashed_together_are_those_squashed_one_by_one(
    picture: Callable[..., Image.Image],
) -> None:
    sides = ((90, 60), (61, 100), (SIZE, SIZE), (20, 12))
    photos = [np.asarray(picture(i, *sides[i % len(sides)])) for i in range(TOGETHER)]
    one_by_one = [as_resized(photo, SIZE, "squash", antialias=False) for photo in photos]

    for together, alone in zip(squashed_together(photos, SIZE), one_by_one, strict=True):
        assert np.array_equal(together, alone)
