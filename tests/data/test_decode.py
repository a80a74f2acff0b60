import io
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from optrun.data.images.decode import UndecodableError, decode
from PIL import Image

SIZE = 24
Picture = Callable[..., Image.Image]
Encode = Callable[..., bytes]


def squashed(picture: Image.Image) -> "np.typing.NDArray[np.float32]":
    """Plain bilinear interpolation between pixel centres, in float64."""
    pixels = np.asarray(picture.convert("RGB"), np.float64)

    def along(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        place = np.clip((np.arange(SIZE) + 0.5) * length / SIZE - 0.5, 0, length - 1)
        low = np.floor(place).astype(int)
        return low, np.minimum(low + 1, length - 1), place - low

    top, bottom, down = along(pixels.shape[0])
    left, right, across = along(pixels.shape[1])
    across = across[:, None]
    rows = pixels[top] * (1 - down)[:, None, None] + pixels[bottom] * down[:, None, None]
    return rows[:, left] * (1 - across) + rows[:, right] * across


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_photos_are_squashed_by_plain_bilinear_interpolation(
    picture: Picture, encoded: Encode, kind: str
) -> None:
    image = picture(1, 90, 60)

    # Rounding may fall either way where float32 and float64 differ in the last bit.
    assert np.abs(decode(encoded(image, kind), SIZE) - squashed(image)).max() < 0.501


def test_jpeg_is_what_tensorflow_decodes_and_resizes(picture: Picture, encoded: Encode) -> None:
    content = encoded(picture(2, 90, 60))
    image = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_FAST")
    expected = np.rint(tf.image.resize(image, (SIZE, SIZE)))

    assert np.array_equal(decode(content, SIZE), expected)


def test_a_photo_of_the_right_size_is_left_alone(picture: Picture, encoded: Encode) -> None:
    image = picture(3, SIZE * 10, SIZE * 10).resize((SIZE, SIZE))

    assert np.array_equal(decode(encoded(image, "PNG"), SIZE), np.asarray(image))


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "JPEG"), ("L", "PNG"), ("P", "PNG"), ("1", "PNG"), ("CMYK", "JPEG")]
)
def test_other_colour_modes_become_rgb(
    picture: Picture, encoded: Encode, mode: str, kind: str
) -> None:
    image = picture(4, 90, 60).convert(mode)
    pixels = decode(encoded(image, kind), SIZE)
    with Image.open(io.BytesIO(encoded(image, kind))) as reopened:
        expected = squashed(reopened)

    assert pixels.shape == (SIZE, SIZE, 3)
    # JPEG decoders differ by a few levels; a wrong conversion would differ by dozens.
    assert np.abs(pixels - expected).mean() < 3


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_the_content_decides_on_the_format_whatever_the_name(
    picture: Picture, encoded: Encode, kind: str
) -> None:
    assert decode(encoded(picture(5), kind), SIZE).shape == (SIZE, SIZE, 3)


def test_what_is_transparent_becomes_white(encoded: Encode) -> None:
    image = Image.new("RGBA", (SIZE, SIZE), (200, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, SIZE, SIZE // 2))
    pixels = decode(encoded(image, "PNG"), SIZE)

    assert pixels[0, 0].tolist() == [0, 0, 255]
    assert pixels[-1, -1].tolist() == [255, 255, 255]


def test_unusable_files_have_their_reasons(picture: Picture, encoded: Encode) -> None:
    jpeg, png = encoded(picture(6, 90, 60)), encoded(picture(6, 90, 60), "PNG")
    animation = io.BytesIO()
    picture(7).save(animation, "GIF", save_all=True, append_images=[picture(8)])
    pages = io.BytesIO()
    picture(7).save(pages, "TIFF", save_all=True, append_images=[picture(8)])
    deep = Image.fromarray(np.full((SIZE, SIZE), 40_000, np.uint16))

    for content, reason in (
        (b"", "empty file"),
        (b"not an image", "not an image"),
        (b"GIF89a not really an image", "not an image"),
        (jpeg[:-200], "truncated or damaged"),
        (png[:-200], "truncated or damaged"),
        (encoded(picture(9, 40, 30).resize((4, 3))), "4 x 3 px: smaller than 8 px on a side"),
        (animation.getvalue(), "animated"),
        (pages.getvalue(), "several pages"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC: save it as JPEG or PNG"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "AVIF: save it as JPEG or PNG"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0", "JPEG 2000: save it as JPEG or PNG"),
        (encoded(deep, "PNG"), "not 8 bits per channel (mode I;16)"),
        (encoded(Image.new("1", (10_000, 8_001)), "PNG"), "more than 80 million pixels"),
    ):
        with pytest.raises(UndecodableError) as caught:
            decode(content, SIZE)
        assert str(caught.value) == reason
