"""Random flips, shifts, zooms and rotations: a pure function of (seed, epoch, photo)."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Augmentation:
    """How far photos may be changed; by default not at all.

    Attributes:
        flip: Mirror left and right for half of the photos.
        shift: Largest shift along each axis, as a share of the side, 0 <= shift < 1.
        zoom: Largest change of scale: the factor is uniform in 1 - zoom ... 1 + zoom, 0 <= zoom <
            1.
        rotation: Largest rotation to either side, in degrees, 0 ... 180.
    """

    flip: bool = False
    shift: float = 0.0
    zoom: float = 0.0
    rotation: float = 0.0

    def __post_init__(self) -> None:
        for name, value, allowed, is_allowed in (
            ("shift", self.shift, "at least 0 and below 1", 0 <= self.shift < 1),
            ("zoom", self.zoom, "at least 0 and below 1", 0 <= self.zoom < 1),
            ("rotation", self.rotation, "0 to 180 degrees", 0 <= self.rotation <= 180),
        ):
            if not is_allowed:
                raise ValueError(f"augmentation {name} must be {allowed}, received: {value}")

    @property
    def is_identity(self) -> bool:
        """Whether photos are fed as they are."""
        return self == Augmentation()


def transforms(
    augmentation: Augmentation,
    digests: npt.NDArray[np.uint8],
    *,
    seed: int,
    epoch: int,
    image_size: int,
) -> npt.NDArray[np.float32]:
    """Returns one projective transform per photo.

    The transform takes a pixel (x, y) of the result to the place in the photo that it shows. With
    the centre c = (image_size - 1) / 2, the drawn angle θ, scale z, shift t and mirror m = ±1 it is

        p_photo = c + diag(m, 1) · R(-θ) / z · (p - c - t)

    which undoes, from the outside in, what is done to the photo: mirror, turn by θ, enlarge by z,
    shift by t. The draws of a photo depend on (seed, epoch, digest) alone: not on the batch it is
    in, on the optimizer or on the device. Copies of one photo are changed alike within an epoch.

    Args:
        augmentation: How far photos may be changed.
        digests: uint8 [b, 32], the photos' digests.
        seed: The run's seed, >= 0.
        epoch: Which epoch, counted from 0.
        image_size: Side of the square photos in pixels.

    Returns:
        float32 [b, 8], rows (a0, a1, a2, b0, b1, b2, 0, 0) as `ImageProjectiveTransformV3` takes
        them: x_photo = a0 x + a1 y + a2, y_photo = b0 x + b1 y + b2.

    Example:
        >>> digest = np.zeros((1, 32), np.uint8)
        >>> transforms(Augmentation(), digest, seed=1, epoch=0, image_size=64)
        array([[1., 0., 0., 0., 1., 0., 0., 0.]], dtype=float32)
    """
    draws = _uniform(digests, seed, epoch)
    mirror = np.where(augmentation.flip & (draws[:, 0] < 0.5), -1.0, 1.0)
    # From [0, 1) to [-1, 1).
    shift_x, shift_y, zoom, turn = 2 * draws[:, 1:].T - 1
    angle = np.deg2rad(augmentation.rotation) * turn
    scale = 1 + augmentation.zoom * zoom
    centre = (image_size - 1) / 2
    away_x = centre + augmentation.shift * image_size * shift_x
    away_y = centre + augmentation.shift * image_size * shift_y

    rows = np.zeros((len(digests), 8), np.float64)
    rows[:, 0] = mirror * np.cos(angle) / scale
    rows[:, 1] = mirror * np.sin(angle) / scale
    rows[:, 3] = -np.sin(angle) / scale
    rows[:, 4] = np.cos(angle) / scale
    rows[:, 2] = centre - rows[:, 0] * away_x - rows[:, 1] * away_y
    rows[:, 5] = centre - rows[:, 3] * away_x - rows[:, 4] * away_y
    # -0.0 reads badly in a table, and means nothing here.
    return (rows + 0.0).astype(np.float32)


def augment(images: "tf.Tensor", rows: "tf.Tensor") -> "tf.Tensor":
    """Applies `transforms` to a batch; what lies beyond a photo's edge is its mirror image.

    Args:
        images: uint8 [b, s, s, 3].
        rows: float32 [b, 8], from `transforms`.

    Returns:
        uint8 [b, s, s, 3]; a pure mirror image is exact, anything else interpolated bilinearly.
    """
    import tensorflow as tf

    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=rows,
        output_shape=tf.shape(images)[1:3],
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )


def _uniform(digests: npt.NDArray[np.uint8], seed: int, epoch: int) -> npt.NDArray[np.float64]:
    """Returns float64 [b, 5] in [0, 1), a function of (seed, epoch, digest) alone."""
    key = f"optrun augmentation 1\0{seed}\0{epoch}\0".encode()
    drawn = b"".join(
        hashlib.blake2b(key + digest.tobytes(), digest_size=40).digest() for digest in digests
    )
    bits = np.frombuffer(drawn, ">u8").reshape(len(digests), 5)
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53, np.float64)
