"""Photos in batches: what is fed in which step is a pure function of the seed."""

import functools
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from data.augmentation import Augmentation, augment, transforms
from data.order import epoch_order
from data.photos import Photos

if TYPE_CHECKING:
    import tensorflow as tf

# Two gathers run while the device computes; enough to stay ahead of it without filling memory.
_PARALLEL_READS = 2
_BATCHES_AHEAD = 4

Indices = npt.NDArray[np.int64]
Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def batches_per_epoch(count: int, batch_size: int) -> int:
    """Returns how many batches `count` photos make; the last may be short.

    Example:
        >>> batches_per_epoch(33, 16)
        3
    """
    return -(-count // batch_size)


def training_batches(
    photos: Photos,
    indices: Indices,
    *,
    batch_size: int,
    seed: int,
    augmentation: Augmentation | None = None,
    start_epoch: int = 0,
    start_batch: int = 0,
) -> "tf.data.Dataset":
    """Returns an endless stream of batches, epoch after epoch, each in its own order.

    Batch number k holds epoch k // batches_per_epoch; nothing is carried from one batch to the
    next, so starting later skips without reading, and yields exactly what an uninterrupted stream
    would.

    Args:
        photos: Prepared photos.
        indices: int64 positions of the training photos.
        batch_size: Photos per batch, >= 1; an epoch's last batch may be short.
        seed: The run's seed, >= 0; decides order and augmentation.
        augmentation: How far photos may be changed; None for not at all.
        start_epoch: First epoch, counted from 0.
        start_batch: First batch within it, counted from 0.

    Returns:
        Dataset of (uint8 [b, s, s, 3], float32 [b]): RGB photos, and 0 for a cat, 1 for a dog.
    """
    import tensorflow as tf

    changes = augmentation if augmentation is not None else Augmentation()
    indices = _checked(indices, batch_size)
    image_size = photos.pixels.shape[1]
    per_epoch = batches_per_epoch(len(indices), batch_size)

    def read(number: np.int64) -> tuple[Images, Floats, Floats]:
        epoch, batch = divmod(int(number), per_epoch)
        chosen = _training_indices(indices, batch_size, seed, epoch, batch)
        rows = transforms(
            changes, photos.digests[chosen], seed=seed, epoch=epoch, image_size=image_size
        )
        return photos.pixels[chosen], photos.labels[chosen].astype(np.float32), rows

    def load(number: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
        images, labels, rows = tf.numpy_function(
            read, [number], [tf.uint8, tf.float32, tf.float32], stateful=False
        )
        images, labels = _shaped(images, labels, image_size)
        if not changes.is_identity:
            images = augment(images, tf.ensure_shape(rows, [None, 8]))
            images = tf.ensure_shape(images, [None, image_size, image_size, 3])
        return images, labels

    numbers = tf.data.Dataset.counter(start_epoch * per_epoch + start_batch)
    return _stream(numbers, load)


def evaluation_batches(photos: Photos, indices: Indices, *, batch_size: int) -> "tf.data.Dataset":
    """Returns the photos at `indices` once, in that order, unchanged.

    Args:
        photos: Prepared photos.
        indices: int64 positions of the photos.
        batch_size: Photos per batch, >= 1; the last batch may be short.

    Returns:
        Dataset of (uint8 [b, s, s, 3], float32 [b]) that knows its length.
    """
    import tensorflow as tf

    indices = _checked(indices, batch_size)
    image_size = photos.pixels.shape[1]

    def read(number: np.int64) -> tuple[Images, Floats]:
        chosen = indices[int(number) * batch_size :][:batch_size]
        return photos.pixels[chosen], photos.labels[chosen].astype(np.float32)

    def load(number: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
        images, labels = tf.numpy_function(read, [number], [tf.uint8, tf.float32], stateful=False)
        return _shaped(images, labels, image_size)

    return _stream(tf.data.Dataset.range(batches_per_epoch(len(indices), batch_size)), load)


def first_batches_hash(
    photos: Photos, indices: Indices, *, batch_size: int, seed: int, count: int = 10
) -> str:
    """Returns SHA-256 (hex) over the photos' ids of the first `count` training batches, in order.

    Two runs with the same hash were fed the same photos in the same order.
    """
    indices = _checked(indices, batch_size)
    per_epoch = batches_per_epoch(len(indices), batch_size)
    whole = hashlib.sha256()
    for number in range(count):
        epoch, batch = divmod(number, per_epoch)
        for index in _training_indices(indices, batch_size, seed, epoch, batch):
            whole.update(photos.ids[index].encode("utf-8", "surrogateescape") + b"\0")
        whole.update(b"\0")
    return whole.hexdigest()


def _training_indices(
    indices: Indices, batch_size: int, seed: int, epoch: int, batch: int
) -> Indices:
    order = _order(len(indices), seed, epoch)
    return indices[order[batch * batch_size :][:batch_size]]


@functools.lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> Indices:
    return epoch_order(count, seed=seed, epoch=epoch)


def _checked(indices: Indices, batch_size: int) -> Indices:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, received: {batch_size}")
    if len(indices) == 0:
        raise ValueError("indices must hold at least one photo, received: none")
    return np.asarray(indices, np.int64)


def _shaped(
    images: "tf.Tensor", labels: "tf.Tensor", image_size: int
) -> tuple["tf.Tensor", "tf.Tensor"]:
    import tensorflow as tf

    return (
        tf.ensure_shape(images, [None, image_size, image_size, 3]),
        tf.ensure_shape(labels, [None]),
    )


def _stream(
    numbers: "tf.data.Dataset",
    load: Callable[["tf.Tensor"], tuple["tf.Tensor", "tf.Tensor"]],
) -> "tf.data.Dataset":
    batches = numbers.map(load, num_parallel_calls=_PARALLEL_READS, deterministic=True)
    return batches.prefetch(_BATCHES_AHEAD)
