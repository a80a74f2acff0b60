import hashlib

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from data.augmentation import Augmentation, augment, transforms
from data.batches import evaluation_batches, first_batches_hash, training_batches
from data.photos import Photos

COUNT, SIZE, BATCH = 23, 12, 5
EVERYTHING = Augmentation(flip=True, shift=0.2, zoom=0.3, rotation=25)
Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]


@pytest.fixture(scope="module")
def photos() -> Photos:
    content = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(COUNT))
    return Photos(
        # Every pixel of a photo is its number.
        pixels=np.tile(np.arange(COUNT, dtype=np.uint8)[:, None, None, None], (1, SIZE, SIZE, 3)),
        ids=tuple(f"photo {i:02d}" for i in range(COUNT)),
        labels=(np.arange(COUNT) % 2).astype(np.uint8),
        digests=np.frombuffer(content, np.uint8).reshape(COUNT, 32),
        fingerprint="",
        source="",
        is_sample=False,
        left_out=(),
    )


@pytest.fixture(scope="module")
def indices() -> npt.NDArray[np.int64]:
    return np.arange(1, COUNT)  # 22 photos: four batches of 5 and one of 2


def taken(stream: tf.data.Dataset, count: int) -> list[Batch]:
    return list(stream.take(count).as_numpy_iterator())


def numbers(*batches: Batch) -> list[int]:
    return [number for images, _ in batches for number in images[:, 0, 0, 0].tolist()]


def assert_equal(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for (images, labels), (other_images, other_labels) in zip(first, second, strict=True):
        assert np.array_equal(images, other_images)
        assert np.array_equal(labels, other_labels)


def test_every_epoch_feeds_each_photo_once_in_an_order_of_its_own(
    photos: Photos, indices: npt.NDArray[np.int64]
) -> None:
    batches = taken(training_batches(photos, indices, batch_size=BATCH, seed=1), 15)
    epochs = [numbers(*batches[start : start + 5]) for start in (0, 5, 10)]

    assert [len(images) for images, _ in batches] == [5, 5, 5, 5, 2] * 3
    assert all(sorted(epoch) == indices.tolist() for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_labels_belong_to_their_photos(photos: Photos, indices: npt.NDArray[np.int64]) -> None:
    for batch in taken(training_batches(photos, indices, batch_size=BATCH, seed=1), 5):
        assert batch[1].tolist() == [number % 2 for number in numbers(batch)]


@pytest.mark.parametrize(("epoch", "batch"), [(0, 0), (0, 3), (1, 0), (1, 4), (2, 1)])
@pytest.mark.parametrize("augmentation", [None, EVERYTHING])
def test_starting_later_is_the_rest_of_the_whole_stream(
    photos: Photos,
    indices: npt.NDArray[np.int64],
    epoch: int,
    batch: int,
    augmentation: Augmentation | None,
) -> None:
    whole = training_batches(photos, indices, batch_size=BATCH, seed=3, augmentation=augmentation)
    later = training_batches(
        photos,
        indices,
        batch_size=BATCH,
        seed=3,
        augmentation=augmentation,
        start_epoch=epoch,
        start_batch=batch,
    )

    assert_equal(taken(later, 6), taken(whole.skip(epoch * 5 + batch), 6))


def test_starting_later_reads_nothing_that_it_skips(
    photos: Photos, indices: npt.NDArray[np.int64]
) -> None:
    reads: list[int] = []

    class Watched(np.ndarray):
        def __getitem__(self, key: object) -> object:
            reads.append(len(key) if isinstance(key, np.ndarray) else -1)
            return np.asarray(self)[key]

    watched = Photos(**{**vars(photos), "pixels": photos.pixels.view(Watched)})
    stream = training_batches(watched, indices, batch_size=BATCH, seed=1, start_epoch=1000)
    taken(stream, 1)

    assert 1 <= len(reads) <= 8  # the one taken, and those made ready ahead of it


def test_augmentation_depends_on_the_photo_and_not_on_its_batch(
    photos: Photos, indices: npt.NDArray[np.int64]
) -> None:
    rng = np.random.default_rng(5)
    varied = Photos(
        **{**vars(photos), "pixels": rng.integers(0, 256, photos.pixels.shape, np.uint8)}
    )

    def changed(batch_size: int) -> npt.NDArray[np.uint8]:
        stream = training_batches(
            varied, indices, batch_size=batch_size, seed=2, augmentation=EVERYTHING, start_epoch=3
        )
        images = np.concatenate([images for images, _ in taken(stream, -(-22 // batch_size))])
        return np.unique(images.reshape(len(images), -1), axis=0)

    rows = transforms(EVERYTHING, varied.digests[indices], seed=2, epoch=3, image_size=SIZE)
    expected = np.asarray(augment(varied.pixels[indices], rows))

    for batch_size in (1, 5, 22):
        assert np.array_equal(changed(batch_size), np.unique(expected.reshape(22, -1), axis=0))


def test_stream_is_endless_and_says_its_shapes(
    photos: Photos, indices: npt.NDArray[np.int64]
) -> None:
    for augmentation in (None, EVERYTHING):
        stream = training_batches(
            photos, indices, batch_size=BATCH, seed=1, augmentation=augmentation
        )

        assert stream.cardinality() == tf.data.INFINITE_CARDINALITY
        assert stream.element_spec == (
            tf.TensorSpec([None, SIZE, SIZE, 3], tf.uint8),
            tf.TensorSpec([None], tf.float32),
        )


def test_evaluation_feeds_each_photo_once_in_the_order_given(photos: Photos) -> None:
    order = np.array([7, 3, 11, 2, 5, 19, 0])
    stream = evaluation_batches(photos, order, batch_size=3)
    batches = taken(stream, -1)

    assert stream.cardinality() == 3
    assert numbers(*batches) == order.tolist()
    assert np.concatenate([labels for _, labels in batches]).tolist() == (order % 2).tolist()


def test_first_batches_hash_tells_what_is_fed_apart(
    photos: Photos, indices: npt.NDArray[np.int64]
) -> None:
    def hashed(**changed: object) -> str:
        arguments = {"photos": photos, "indices": indices, "batch_size": BATCH, "seed": 1}
        return first_batches_hash(**arguments | changed)

    renamed = Photos(**{**vars(photos), "ids": tuple(name + "!" for name in photos.ids)})
    different = [
        hashed(),
        hashed(seed=2),
        hashed(batch_size=4),
        hashed(indices=indices[1:]),
        hashed(photos=renamed),
    ]

    assert hashed() == hashed()
    assert len(set(different)) == len(different)


def test_first_batches_hash_is_of_the_ids_that_the_stream_feeds(
    photos: Photos, indices: npt.NDArray[np.int64]
) -> None:
    batches = taken(training_batches(photos, indices, batch_size=BATCH, seed=1), 7)
    text = "".join(
        "".join(f"{photos.ids[number]}\0" for number in numbers(batch)) + "\0" for batch in batches
    )

    assert hashlib.sha256(text.encode()).hexdigest() == first_batches_hash(
        photos, indices, batch_size=BATCH, seed=1, count=7
    )


@pytest.mark.parametrize(
    ("batch_size", "chosen", "message"),
    [
        (0, [1, 2], "batch_size must be at least 1, received: 0"),
        (4, [], "indices must hold at least one photo, received: none"),
    ],
)
def test_what_makes_no_batches_is_refused(
    photos: Photos, batch_size: int, chosen: list[int], message: str
) -> None:
    indices = np.array(chosen, np.int64)
    with pytest.raises(ValueError, match=message):
        training_batches(photos, indices, batch_size=batch_size, seed=1)
    with pytest.raises(ValueError, match=message):
        evaluation_batches(photos, indices, batch_size=batch_size)
