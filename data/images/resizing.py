"""Photos of any shape to squares of one size."""

import functools
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from optrun.data.cache.cache_key import Resize
from optrun.data.feed.mapped_tensor import mapped_tensor

if TYPE_CHECKING:
    import tensorflow as tf

Pixels = npt.NDArray[np.uint8]


def as_resized(photo: Pixels, image_size: int, resize: Resize, antialias: bool) -> Pixels:
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
    inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
    square = np.zeros((image_size, image_size, 3), np.uint8)
    top, left = (image_size - inner_height) // 2, (image_size - inner_width) // 2
    inner = _interpolated(photo, inner_height, inner_width, antialias)
    square[top : top + inner_height, left : left + inner_width] = inner
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
    # Rounded by NumPy, several times faster at it than TensorFlow, from TensorFlow's own memory.
    pixels = np.empty((height, width, 3), np.uint8)
    np.rint(np.asarray(memoryview(resized))[0], out=pixels, casting="unsafe")
    return pixels


@functools.lru_cache(maxsize=1000)
def _size(height: int, width: int) -> "tf.Tensor":
    """Kept, since a tensor takes as long to make as a photo to be rounded."""
    import tensorflow as tf

    return tf.constant((height, width), tf.int32)
