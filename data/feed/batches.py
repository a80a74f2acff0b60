"""Photos in batches: what is fed in which step is a pure function of the seed."""

import functools
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from optrun.data.feed.augmentation import PARAMETERS, Augmentation, parameters
from optrun.data.feed.mapped_tensor import mapped_rows
from optrun.data.photos import Photos

if TYPE_CHECKING:
    import tensorflow as tf

# Enough to stay ahead of the device without filling memory.
_PARALLEL_READS, _BATCHES_AHEAD = 2, 4
# No gradients are kept while predicting, so more photos fit than in a training batch.
EVALUATION_BATCH = 64
_STREAM = 0x6F72646572  # "order": tells these random numbers from others drawn with the same seed

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


def batches_per_epoch(count: int, batch_size: int) -> int:
    """Returns how many batches `count` photos make; the last may be short."""
    return -(-count // batch_size)


@functools.lru_cache(maxsize=4)
def epoch_order(count: int, *, seed: int, epoch: int) -> Indices:
    """Returns a permutation of `count` positions, the same on every machine and at any time.

    Each position gets a 64-bit key from a counter-based generator (Philox; Salmon et al., "Parallel
    random numbers: as easy as 1, 2, 3", 2011), and the keys are sorted. The raw output of NumPy's
    bit generators is fixed for all its versions, which that of `Generator.permutation` is not.
    """
    seeds = np.random.SeedSequence([_STREAM, seed, epoch])
    keys = np.random.Philox(seeds).random_raw(count)
    return np.argsort(keys, kind="stable").astype(np.int64)


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

    Nothing is carried from one batch to the next, so starting later skips without reading, and
    yields exactly what an uninterrupted stream would. Epochs and batches are counted from 0.

    Elements are (uint8 [b, s, s, 3], float32 [b]): RGB photos as they are, and their labels. With
    an augmentation that changes anything they are ((photos, float32 [b, 8]), labels): what
    `data.feed.augmentation.augment` is to do to the photos where the network is.
    """
    import tensorflow as tf

    changes = augmentation or Augmentation()
    indices = _checked(indices, batch_size)
    per_epoch, image_size = batches_per_epoch(len(indices), batch_size), photos.pixels.shape[1]

    def draw(number: int, chosen: Indices) -> Floats:
        digests, epoch = photos.digests[chosen], number // per_epoch
        return parameters(changes, digests, seed=seed, epoch=epoch, image_size=image_size)

    numbers = tf.data.Dataset.counter(start_epoch * per_epoch + start_batch)
    choose = functools.partial(_batch, indices, batch_size, seed)
    return _stream(photos, numbers, choose, None if changes.is_identity else draw)


def evaluation_batches(photos: Photos, indices: Indices, *, batch_size: int) -> "tf.data.Dataset":
    """Returns the photos at `indices` once, in that order, unchanged; the last batch may be short.

    That is a dataset of (uint8 [b, s, s, 3], float32 [b]) that knows its length.
    """
    import tensorflow as tf

    indices = _checked(indices, batch_size)
    numbers = tf.data.Dataset.range(batches_per_epoch(len(indices), batch_size))
    return _stream(photos, numbers, lambda number: indices[number * batch_size :][:batch_size])


def first_batches_hash(
    photos: Photos, indices: Indices, *, batch_size: int, seed: int, count: int = 10
) -> str:
    """Returns SHA-256 (hex) over the photos' ids of the first `count` training batches, in order.

    Two runs with the same hash were fed the same photos in the same order.
    """
    indices = _checked(indices, batch_size)
    whole = hashlib.sha256()
    for number in range(count):
        for index in _batch(indices, batch_size, seed, number):
            whole.update(photos.ids[index].encode("utf-8", "surrogateescape") + b"\0")
        whole.update(b"\0")
    return whole.hexdigest()


def _batch(indices: Indices, batch_size: int, seed: int, number: int) -> Indices:
    epoch, batch = divmod(number, batches_per_epoch(len(indices), batch_size))
    order = epoch_order(len(indices), seed=seed, epoch=epoch)
    return indices[order[batch * batch_size :][:batch_size]]


def _checked(indices: Indices, batch_size: int) -> Indices:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, received: {batch_size}")
    if len(indices) == 0:
        raise ValueError("indices must hold at least one photo, received: none")
    return np.asarray(indices, np.int64)


def _stream(
    photos: Photos,
    numbers: "tf.data.Dataset",
    choose: Callable[[int], Indices],
    draw: Callable[[int, Indices], Floats] | None = None,
) -> "tf.data.Dataset":
    """`choose` makes a number the positions of its photos, `draw` these the rows of parameters."""
    import tensorflow as tf

    pixels_of = mapped_rows(photos.pixels)
    types = [tf.int64, tf.float32] + ([] if draw is None else [tf.float32])

    def choose_and_draw(number: np.int64) -> tuple[Indices | Floats, ...]:
        chosen = choose(int(number))
        labels = photos.labels[chosen].astype(np.float32)
        return (chosen, labels) if draw is None else (chosen, labels, draw(int(number), chosen))

    def load(number: "tf.Tensor") -> "tuple[tf.Tensor | tuple[tf.Tensor, tf.Tensor], tf.Tensor]":
        chosen, labels, *rows = tf.numpy_function(choose_and_draw, [number], types, stateful=False)
        pixels = pixels_of(tf.ensure_shape(chosen, [None]))
        inputs = (pixels, tf.ensure_shape(rows[0], [None, PARAMETERS])) if rows else pixels
        return inputs, tf.ensure_shape(labels, [None])

    batches = numbers.map(load, num_parallel_calls=_PARALLEL_READS, deterministic=True)
    return batches.prefetch(_BATCHES_AHEAD)
