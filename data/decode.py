"""From the bytes of an image file to a square of pixels."""

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    import tensorflow as tf

# What a cache is found by: raise the number with every change that alters a pixel.
PREPROCESSING = "tf-integer-fast bilinear squash 1"

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
_EIGHT_BIT_MODES = frozenset(
    ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
)
_MINIMUM_SIDE_PX = 8
_MAXIMUM_PIXELS = 80_000_000

Pixels = npt.NDArray[np.uint8]


class UndecodableError(Exception):
    """An image file that can't be used; the message is the reason, in a few words."""


def decode(encoded: bytes, image_size: int) -> Pixels:
    """Decodes a photo and squashes it to a square.

    JPEG is decoded by TensorFlow (its fast integer transform), other formats by Pillow; greyscale,
    palettes and CMYK become RGB, and what is transparent becomes white. The size is changed by
    plain bilinear interpolation, without antialiasing, as `tf.image.resize` does by default. A
    function of its arguments alone; safe, and meant, to be called from several threads.

    Args:
        encoded: The bytes of an image file.
        image_size: Side of the result in pixels.

    Returns:
        uint8 [image_size, image_size, 3], RGB.

    Raises:
        UndecodableError: If the bytes are not a usable photo.
    """
    if not encoded:
        raise UndecodableError("empty file")
    try:
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            _check(image)
            # A phone's MPO file is a JPEG followed by further views.
            is_jpeg = image.format in ("JPEG", "MPO")
            pixels = _decode_jpeg(encoded) if is_jpeg else _decode_other(image)
    except UnidentifiedImageError as error:
        raise UndecodableError("not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UndecodableError(_too_many_pixels()) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        # What Pillow's readers raise on damaged files.
        raise UndecodableError("truncated or damaged") from error
    return _squash(pixels, image_size)


def _check(image: Image.Image) -> None:
    """Judges a photo by its header, before any memory is taken for its pixels."""
    width, height = image.size
    if width * height > _MAXIMUM_PIXELS:
        raise UndecodableError(_too_many_pixels())
    if min(width, height) < _MINIMUM_SIDE_PX:
        raise UndecodableError(
            f"{width} x {height} px: smaller than {_MINIMUM_SIDE_PX} px on a side"
        )
    if image.mode not in _EIGHT_BIT_MODES:
        raise UndecodableError(f"not 8 bits per channel (mode {image.mode})")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UndecodableError("animated")


def _too_many_pixels() -> str:
    return f"more than {_MAXIMUM_PIXELS // 1_000_000} million pixels"


def _decode_jpeg(encoded: bytes) -> "tf.Tensor":
    import tensorflow as tf

    try:
        with tf.device("/CPU:0"):
            return tf.raw_ops.DecodeJpeg(contents=encoded, channels=3, dct_method="INTEGER_FAST")
    except tf.errors.InvalidArgumentError as error:
        raise UndecodableError("truncated or damaged") from error


def _decode_other(image: Image.Image) -> Pixels:
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(opaque, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _squash(pixels: "Pixels | tf.Tensor", image_size: int) -> Pixels:
    import tensorflow as tf

    if tuple(pixels.shape[:2]) == (image_size, image_size):
        return np.asarray(pixels, np.uint8)
    with tf.device("/CPU:0"):
        resized = tf.raw_ops.ResizeBilinear(
            images=tf.expand_dims(pixels, 0), size=(image_size, image_size), half_pixel_centers=True
        )
    # Rounded by NumPy, several times faster at it than eager operations, from TensorFlow's own
    # memory.
    return np.asarray(np.rint(np.asarray(memoryview(resized))[0]), np.uint8)
