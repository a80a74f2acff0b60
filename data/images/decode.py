"""From the bytes of an image file to a square of pixels."""

import functools
import io
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import simplejpeg
from optrun.data.feed.mapped_tensor import ALIGNMENT, mapped_tensor
from optrun.data.images.metadata import UPRIGHT, metadata, upright
from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    import tensorflow as tf
    from optrun.data.cache.cache_key import Resize

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
_EIGHT_BIT_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
# Images all the same: where it stands in the file, what may stand there, and what the file then is.
_NOT_READ = (
    (4, (b"ftypavif", b"ftypavis"), "AVIF"),
    (4, (b"ftyphei", b"ftyphevc", b"ftypmif1", b"ftypmsf1"), "HEIC"),
    (0, (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), "JPEG 2000"),
    (0, (b"\0\0\0\x0cJXL ", b"\xff\x0a"), "JPEG XL"),
)
_LEAST_SIDE = 8  # in pixels
_MAXIMUM_PIXELS = 80_000_000
_TOO_MANY_PIXELS = f"more than {_MAXIMUM_PIXELS // 1_000_000} million pixels"

# What decoding takes, in bytes per pixel. A progressive JPEG keeps the coefficients of all its
# colours, 2 bytes each; Pillow's picture has 4 bytes per pixel, and WebP's reader another two such.
# Compressed data never holds the marker of a progressive frame; a preview before it may.
_PROGRESSIVE = b"\xff\xc2"
_BASELINE_JPEG, _PROGRESSIVE_JPEG, _OTHER_FORMAT = 3, 9, 15
_TURNED = 3  # the copy that is upright

# What Pillow's readers raise on damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_STRIP_PIXELS = 2**20  # of another format, converted to RGB at a time

TOGETHER = 16  # photos resized in one call: each call of its own costs as much as half a photo
_making = threading.Lock()  # the first thread makes the function, all others wait for it

Pixels = npt.NDArray[np.uint8]


class UndecodableError(Exception):
    """An image file that can't be used; the message is the reason, in a few words."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of a usable image file say."""

    width: int  # in pixels
    height: int
    # JPEG with four colours is TensorFlow's, and so is what is odd in other ways: their pixels
    # would differ by 1.
    decoder: str  # libjpeg-turbo, TensorFlow or Pillow
    decoding_bytes: int  # about how much memory decoding takes
    is_turned: bool = False  # whether the file says that it lies otherwise than it is stored
    orientation: int = UPRIGHT  # how the decoder's pixels lie; see `metadata.upright`
    profile: str = ""  # the name of its colours where they are not sRGB

    @property
    def memory_bytes(self) -> int:
        """How much memory the pixels take."""
        return self.height * self.width * 3 + ALIGNMENT


def decode(
    encoded: bytes, image_size: int, resize: "Resize" = "squash", antialias: bool = False
) -> Pixels:
    """Decodes a photo and makes it a square.

    JPEG is decoded by libjpeg-turbo (its fast integer transform), other formats by Pillow;
    greyscale, palettes and CMYK become RGB, and what is transparent becomes white. It is turned as
    its EXIF orientation says; a colour profile is not applied. The size is
    changed by bilinear interpolation, as `tf.image.resize` does it: "squash" to the square; "crop":
    scale the shorter side, and keep the middle; "pad": scale the longer side, and put the photo in
    the middle of a black square. With `antialias` a photo made smaller averages all its pixels, not
    the nearest two by two. May be called from several threads.
    """
    return as_resized(photo(encoded, examine(encoded)), image_size, resize, antialias)


def examine(encoded: bytes) -> Header:
    """Judges a photo by its header, before any memory is taken for its pixels."""
    if not encoded:
        raise UndecodableError("empty file")
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(encoded, strict=False)
    except (ValueError, KeyError):  # KeyError: colours stored at rates that it has no name for
        return _examine_other(encoded)
    _check_size(width, height)
    per_pixel = _PROGRESSIVE_JPEG if _PROGRESSIVE in encoded else _BASELINE_JPEG
    is_usual = colours in ("YCbCr", "Gray", "RGB")
    decoder = "libjpeg-turbo" if is_usual else "TensorFlow"
    header = Header(width, height, decoder, width * height * per_pixel)
    return _with_metadata(header, encoded)


def _with_metadata(header: Header, encoded: bytes, image: Image.Image | None = None) -> Header:
    stated, profile = metadata(encoded, image)
    # Pillow turns a TIFF itself, and no other format.
    lies = UPRIGHT if image is not None and image.format == "TIFF" else stated
    copy_bytes = header.width * header.height * _TURNED if lies != UPRIGHT else 0
    return replace(
        header,
        decoding_bytes=header.decoding_bytes + copy_bytes,
        is_turned=stated != UPRIGHT,
        orientation=lies,
        profile=profile,
    )


def _examine_other(encoded: bytes) -> Header:
    try:
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            width, height = image.size
            _check_size(width, height)
            if image.mode not in _EIGHT_BIT_MODES:
                raise UndecodableError(f"not 8 bits per channel (mode {image.mode})")
            is_jpeg = image.format in ("JPEG", "MPO")  # a phone's MPO: followed by further views
            if not is_jpeg and getattr(image, "is_animated", False):
                raise UndecodableError("several pages" if image.format == "TIFF" else "animated")
            decoding_bytes = width * height * _OTHER_FORMAT
            decoder = "TensorFlow" if is_jpeg else "Pillow"
            header = Header(width, height, decoder, decoding_bytes)
            return _with_metadata(header, encoded, image)
    except UnidentifiedImageError as error:
        for start, signatures, kind in _NOT_READ:
            if encoded.startswith(signatures, start):
                raise UndecodableError(f"{kind}: save it as JPEG or PNG") from error
        raise UndecodableError("not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UndecodableError(_TOO_MANY_PIXELS) from error
    except _DAMAGE as error:
        raise UndecodableError("truncated or damaged") from error


def photo(encoded: bytes, header: Header, memory: Pixels | None = None) -> Pixels:
    """Returns a photo in its own size, uint8 [height, width, 3], RGB, upright.

    `memory`, flat and of `header.memory_bytes`, may be where its pixels come to lie.
    """
    pixels = _as_stored(encoded, header, memory)
    if header.orientation == UPRIGHT:
        return pixels
    turned = upright(pixels, header.orientation)
    place = _aligned(*turned.shape[:2])
    place[:] = turned
    return place


def _as_stored(encoded: bytes, header: Header, memory: Pixels | None) -> Pixels:
    try:
        if header.decoder == "Pillow":
            with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
                return _decode_other(image)
        if header.decoder == "libjpeg-turbo":
            try:
                pixels = _aligned(header.height, header.width, memory)
                simplejpeg.decode_jpeg(encoded, "RGB", fastdct=True, buffer=pixels)
                return pixels
            except ValueError as error:
                # The file just ends, or has its end marker where more of the picture should be.
                if "remature end" in str(error):
                    raise
                # What is odd but harmless, such as bytes between the segments, is no reason.
        return _decode_by_tensorflow(encoded)
    except _DAMAGE as error:
        raise UndecodableError("truncated or damaged") from error


def _check_size(width: int, height: int) -> None:
    if width * height > _MAXIMUM_PIXELS:
        raise UndecodableError(_TOO_MANY_PIXELS)
    if min(width, height) < _LEAST_SIDE:
        raise UndecodableError(f"{width} x {height} px: smaller than {_LEAST_SIDE} px on a side")


def _decode_by_tensorflow(encoded: bytes) -> Pixels:
    import tensorflow as tf

    try:
        with tf.device("/CPU:0"):
            tensor = tf.raw_ops.DecodeJpeg(contents=encoded, channels=3, dct_method="INTEGER_FAST")
            return np.asarray(memoryview(tensor))
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(str(error)) from error


def _decode_other(image: Image.Image) -> Pixels:
    """Converts in strips: several whole copies of a large photo would not fit into the memory."""
    image.load()
    width, height = image.size
    pixels = _aligned(height, width)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(height, top + rows)))
        if image.has_transparency_data:
            white = Image.new("RGBA", strip.size, "white")
            strip = Image.alpha_composite(white, strip.convert("RGBA"))
        pixels[top : top + rows] = np.asarray(strip.convert("RGB"))
    return pixels


def _aligned(height: int, width: int, memory: Pixels | None = None) -> Pixels:
    """Returns uint8 [height, width, 3] where TensorFlow can use it as it is, without a copy."""
    count = height * width * 3
    if memory is None:
        memory = np.empty(count + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + count].reshape(height, width, 3)


def as_resized(photo: Pixels, image_size: int, resize: "Resize", antialias: bool) -> Pixels:
    """Returns a photo as a square.

    A pixel of the result lies at (i + 1/2) a - 1/2 among those of the photo, a being how many of
    them it stands for along an axis. Without antialiasing its value is interpolated between the two
    on either side; with it, all within a of that place are averaged, weighted by a triangle. Values
    are rounded half to even. The middle that is cropped is a square of whole pixels of the photo;
    what is padded has at least one pixel.
    """
    height, width, _ = photo.shape
    if resize == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        photo = photo[top : top + side, left : left + side]
    if resize != "pad":
        return _interpolated(photo, image_size, image_size, antialias)
    scale = image_size / max(height, width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (image_size - height) // 2, (image_size - width) // 2
    square = np.zeros((image_size, image_size, 3), np.uint8)
    square[top : top + height, left : left + width] = _interpolated(photo, height, width, antialias)
    return square


def _interpolated(photo: Pixels, height: int, width: int, antialias: bool) -> Pixels:
    import tensorflow as tf

    if photo.shape[:2] == (height, width):
        return photo.copy()
    with tf.device("/CPU:0"):
        images, size = mapped_tensor(photo[None]), _size(height, width)
        if antialias:
            resized = tf.image.resize(images, size, antialias=True)
        else:
            resized = tf.raw_ops.ResizeBilinear(images=images, size=size, half_pixel_centers=True)
    return _rounded(resized)


def squashed_together(photos: Sequence[Pixels], image_size: int) -> Iterator[Pixels]:
    """Yields `TOGETHER` photos as squares, as `as_resized` squashes them without antialiasing."""
    import tensorflow as tf

    with tf.device("/CPU:0"):
        with _making:
            squash = _squash(image_size)
        squares = squash(*[mapped_tensor(photo[None]) for photo in photos])
    return map(_rounded, squares)


@functools.lru_cache(maxsize=16)
def _squash(image_size: int) -> "Callable[..., list[tf.Tensor]]":
    import tensorflow as tf

    def squash(*photos: "tf.Tensor") -> list["tf.Tensor"]:
        how = {"size": (image_size, image_size), "half_pixel_centers": True}
        return [tf.raw_ops.ResizeBilinear(images=photo, **how) for photo in photos]

    any_photo = tf.TensorSpec([1, None, None, 3], tf.uint8)
    graph = tf.function(squash, autograph=False).get_concrete_function(*[any_photo] * TOGETHER)
    return cast("Callable[..., list[tf.Tensor]]", graph)


def _rounded(resized: "tf.Tensor") -> Pixels:
    """Rounds by NumPy, several times faster at it than TensorFlow, from TensorFlow's own memory."""
    values = np.asarray(memoryview(resized))[0]
    pixels: Pixels = np.rint(values, out=np.empty(values.shape, np.uint8), casting="unsafe")
    return pixels


@functools.lru_cache(maxsize=1000)
def _size(height: int, width: int) -> "tf.Tensor":
    """Kept, since a tensor takes as long to make as a photo to be rounded."""
    import tensorflow as tf

    return tf.constant((height, width), tf.int32)
