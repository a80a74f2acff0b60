"""Random changes of training photos: drawn on the host, computed on the device.

What is done to a photo is a pure function of (seed, epoch, photo). It travels with the batch as
eight numbers a photo; the pixels are computed from them where the network is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

    Bytes = npt.NDArray[np.uint8]

# The largest value of each setting; the smallest is 0.
LARGEST_CHANGES = {"shift": 0.5, "zoom": 0.5, "rotation": 180, "brightness": 1, "contrast": 1}
PARAMETERS = 8  # numbers a photo
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601: of red, green and blue


@dataclass(frozen=True)
class Augmentation:
    """How far photos may be changed; by default not at all.

    Zoom, brightness and contrast are factors, uniform in 1 - setting ... 1 + setting.
    """

    flip: bool = False  # mirror left and right for half of the photos
    shift: float = 0.0  # at most, along each axis, as a share of the side
    zoom: float = 0.0
    rotation: float = 0.0  # at most, to either side, in degrees
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        for name, largest in LARGEST_CHANGES.items():
            value = getattr(self, name)
            if not 0 <= value <= largest:
                expected = f"augmentation {name} must be from 0 to {largest}"
                raise ValueError(f"{expected}, received: {value}")

    @property
    def is_identity(self) -> bool:
        return not (self.moves_pixels or self.changes_colours)

    @property
    def moves_pixels(self) -> bool:
        return bool(self.flip or self.shift or self.zoom or self.rotation)

    @property
    def changes_colours(self) -> bool:
        return bool(self.brightness or self.contrast)


def parameters(
    augmentation: Augmentation, digests: Bytes, *, seed: int, epoch: int, image_size: int
) -> npt.NDArray[np.float32]:
    """Draws what is to be done to each photo: float32 [b, 8], from its uint8 [b, 32] digests.

    A row is (a0, a1, a2, b0, b1, b2, brightness, contrast). The first six numbers take a pixel
    p = (x, y) of the result to the place in the photo that it shows: x_photo = a0 x + a1 y + a2 and
    y_photo = b0 x + b1 y + b2. With the centre c = (image_size - 1) / 2, the drawn angle θ, scale
    z, shift t and mirror m = ±1 that is

        p_photo = c + diag(m, 1) · R(-θ) / z · (p - c - t)

    which undoes, from the outside in, what is done to the photo: mirror, turn by θ, enlarge by z,
    shift by t. The other two are the factors of brightness and contrast.

    The draws of a photo depend on (seed, epoch, digest) alone: not on the batch it is in, on the
    optimizer or on the device; nor does what one setting draws depend on the others. Copies of one
    photo are changed alike within an epoch.
    """
    import numpy as np

    draws = _uniform("augmentation 1", 5, digests, seed, epoch)
    mirror = np.where(augmentation.flip & (draws[:, 0] < 0.5), -1.0, 1.0)
    # From [0, 1) to [-1, 1).
    shift_x, shift_y, zoom, turn = 2 * draws[:, 1:].T - 1
    angle = np.deg2rad(augmentation.rotation) * turn
    scale = 1 + augmentation.zoom * zoom
    centre = (image_size - 1) / 2
    away_x = centre + augmentation.shift * image_size * shift_x
    away_y = centre + augmentation.shift * image_size * shift_y

    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    a0, a1, b0, b1 = mirror * cosine, mirror * sine, -sine, cosine
    a2, b2 = (centre - x * away_x - y * away_y for x, y in ((a0, a1), (b0, b1)))
    # A stream of its own: numbers drawn with the others would have changed those.
    brighter, sharper = 2 * _uniform("augmentation colours 1", 2, digests, seed, epoch).T - 1
    brightness = 1 + augmentation.brightness * brighter
    contrast = 1 + augmentation.contrast * sharper
    rows = np.stack([a0, a1, a2, b0, b1, b2, brightness, contrast], axis=1)
    # -0.0 reads badly in a table, and means nothing here.
    return (rows + 0.0).astype(np.float32)


def augment(images: tf.Tensor, rows: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Changes a batch as `parameters` has drawn it: brightness, contrast, then the geometry.

    With a photo's values v in 0 ... 255 and the factors b and c of its row,

        brightness   v ← min(b · v, 255)
        contrast     v ← min(max(m + c · (v - m), 0), 255)

    where m is the mean over the photo of 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601) after
    the change of brightness: b = 0 is black, c = 0 plain grey. These are the definitions of
    Pillow's `ImageEnhance` and of torchvision's `ColorJitter`, without their rounding in between.
    Then each pixel of the result is interpolated bilinearly at the place that the row names; what
    lies beyond an edge is the photo's mirror image, the pixels at the edge repeated (d c b a | a b
    c d | d c b a). At the end values are rounded to the nearest whole number.

    Images are uint8 [b, s, s, 3], with s known. Compiled by XLA, pixels differ by 1 where a value
    lies within rounding errors of a half. A photo that is only mirrored is so exactly.
    """
    import tensorflow as tf

    if augmentation.is_identity:
        return images
    values, rows = tf.convert_to_tensor(images), tf.convert_to_tensor(rows)
    if augmentation.changes_colours:
        values = _coloured(tf.cast(values, tf.float32), rows[:, 6], rows[:, 7])
    if augmentation.moves_pixels:
        values = _moved(values, rows)
    return tf.cast(tf.round(values), tf.uint8)


def augmented(
    pixels: Bytes, digests: Bytes, augmentation: Augmentation, *, seed: int, epoch: int
) -> Bytes:
    """Returns photos, uint8 [b, s, s, 3], as the network gets to see them in an epoch."""
    import numpy as np

    rows = parameters(augmentation, digests, seed=seed, epoch=epoch, image_size=pixels.shape[1])
    return np.asarray(augment(pixels, rows, augmentation))


def _coloured(values: tf.Tensor, brightness: tf.Tensor, contrast: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    values = tf.minimum(values * brightness[:, None, None, None], 255.0)
    # Along one axis after the other: sums of fewer terms lose less to rounding.
    red_green_blue = tf.reduce_mean(tf.reduce_mean(values, axis=2), axis=1)
    mean = tf.reduce_sum(red_green_blue * _GREY, axis=1)[:, None, None, None]
    return tf.clip_by_value(mean + contrast[:, None, None, None] * (values - mean), 0.0, 255.0)


def _moved(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns float32 [b, s, s, 3], `values` of any type interpolated at the places of the rows."""
    import tensorflow as tf

    size = values.shape[1]
    x, from_x = _places(rows[:, 0:3], size)
    y, from_y = _places(rows[:, 3:6], size)
    step = min(1, size - 1)
    flat = tf.reshape(values, [-1, size * size, 3])
    first = tf.reshape(y * size + x, [-1, size * size])

    def corner(right: int, below: int) -> tf.Tensor:
        found = tf.gather(flat, first + (below * size + right), batch_dims=1)
        return tf.reshape(tf.cast(found, tf.float32), [-1, size, size, 3])

    top_left, top_right = corner(0, 0), corner(step, 0)
    bottom_left, bottom_right = corner(0, step), corner(step, step)
    from_x, from_y = from_x[..., None], from_y[..., None]
    top = top_left + (top_right - top_left) * from_x
    bottom = bottom_left + (bottom_right - bottom_left) * from_x
    return top + (bottom - top) * from_y


def _places(rows: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns int32 and float32 [b, s, s]: along one axis, the pixel before a place, and how far.

    The coordinate in the photo is by_x x + by_y y + offset, for a row of these three numbers.
    """
    import tensorflow as tf

    by_x, by_y, offset = (rows[:, number, None, None] for number in range(3))
    pixel = tf.range(size, dtype=tf.float32)
    # From the photo's edge, half a pixel before its first pixel's centre: the mirror images repeat
    # with a period of two sides there, and half of a period is the way back.
    edge = by_x * pixel + (by_y * pixel[:, None] + (offset + 0.5))
    edge -= 2 * size * tf.floor(edge * (1 / (2 * size)))
    place = tf.clip_by_value(tf.minimum(edge, 2 * size - edge) - 0.5, 0.0, size - 1.0)
    # The last pixel is reached from the one before it, so that there always is one after.
    before = tf.minimum(tf.floor(place), max(size - 2.0, 0.0))
    return tf.cast(before, tf.int32), place - before


def _uniform(
    stream: str, count: int, digests: Bytes, seed: int, epoch: int
) -> npt.NDArray[np.float64]:
    """Returns float64 [b, count] in [0, 1), a function of (stream, seed, epoch, digest) alone."""
    import numpy as np

    key = f"optrun {stream}\0{seed}\0{epoch}\0".encode()
    hashes = (hashlib.blake2b(key + one.tobytes(), digest_size=8 * count) for one in digests)
    drawn = b"".join(one.digest() for one in hashes)
    bits = np.frombuffer(drawn, ">u8").reshape(len(digests), count)
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53, np.float64)
