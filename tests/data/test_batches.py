import hashlib
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from optrun.data.feed.augmentation import Augmentation, parameters
from optrun.data.feed.batches import evaluation_batches, first_batches_hash, training_batches
from optrun.data.photos import Photos

COUNT, SIZE, BATCH = 23, 12, 5
EVERYTHING = Augmentation(flip=True, shift=0.2, zoom=0.3, rotation=25, brightness=0.4, contrast=0.5)
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
        pixel_digests=np.frombuffer(content, np.uint8).reshape(COUNT, 32),
        parts=np.zeros(COUNT, np.uint8),
        fingerprint="",
        source="",
        is_sample=False,
        left_out=(),
        preprocessing="",
    )


@pytest.fixture(scope="module")
def indices() -> npt.NDArray[np.int64]:
    return np.arange(1, COUNT)  # 22 photos: four batches of 5 and one of 2


def taken(stream: tf.data.Dataset, count: int) -> list[Batch]:
    return list(stream.take(count).as_numpy_iterator())


def flat(batches: list[Batch]) -> list[Batch]:
    """With the parameters of the photos, where there are any, as one array more."""
    return [tuple(tf.nest.flatten(batch)) for batch in batches]


def numbers(*batches: Batch) -> list[int]:
    return [number for images, _ in batches for number in images[:, 0, 0, 0].tolist()]


def anonymous_kb() -> int:
    """This process's memory that no file stands behind."""
    return int(re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def assert_equal(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for batch, other in zip(flat(first), flat(second), strict=True):
        assert [len(array) for array in batch] == [len(array) for array in other]
        assert all(np.array_equal(*pair) for pair in zip(batch, other, strict=True))


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

    watched = Photos(**{**vars(photos), "labels": photos.labels.view(Watched)})
    stream = training_batches(watched, indices, batch_size=BATCH, seed=1, start_epoch=1000)
    taken(stream, 1)

    assert 1 <= len(reads) <= 8  # the one taken, and those made ready ahead of it


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's page tables")
def test_photos_are_mapped_and_only_the_pages_of_those_fed_are_touched(
    photos: Photos, tmp_path: Path
) -> None:
    count, size = 8000, 64
    pixels = np.lib.format.open_memmap(
        tmp_path / "pixels.npy", "w+", np.uint8, (count, size, size, 3)
    )
    del pixels  # 98 MB of a file without content
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    many = Photos(
        **{
            **vars(photos),
            "pixels": mapped,
            "labels": np.zeros(count, np.uint8),
            "ids": tuple(map(str, range(count))),
        }
    )
    before = anonymous_kb()
    batches = taken(
        training_batches(many, np.arange(count), batch_size=4, seed=1, start_epoch=7), 3
    )
    grown = anonymous_kb() - before
    resident = 0
    for entry in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        if str(tmp_path / "pixels.npy") in entry:
            resident += int(re.search(r"Rss:\s+(\d+) kB", entry)[1])

    assert [images.shape for images, _ in batches] == [(4, size, size, 3)] * 3
    # Of 96,000 kB; the system maps pages around those that are read with them.
    assert 12 * 12 <= resident <= 8_000
    assert grown < 48_000


def test_parameters_are_those_of_the_photos_whatever_their_batch(
    photos: Photos, indices: npt.NDArray[np.int64]
) -> None:
    rows = parameters(EVERYTHING, photos.digests, seed=2, epoch=3, image_size=SIZE)

    for batch_size in (1, 5, 22):
        stream = training_batches(
            photos, indices, batch_size=batch_size, seed=2, augmentation=EVERYTHING, start_epoch=3
        )
        for (images, drawn), labels in taken(stream, -(-22 // batch_size)):
            fed = images[:, 0, 0, 0]
            assert np.array_equal(drawn, rows[fed])
            assert np.array_equal(labels, fed % 2)


def test_augmentation_changes_neither_photos_nor_their_order(
    photos: Photos, indices: npt.NDArray[np.int64]
) -> None:
    plain = taken(training_batches(photos, indices, batch_size=BATCH, seed=1), 7)
    stream = training_batches(photos, indices, batch_size=BATCH, seed=1, augmentation=EVERYTHING)

    assert_equal([(images, labels) for (images, _), labels in taken(stream, 7)], plain)


@pytest.mark.parametrize("threads", [1, 8])
def test_batches_are_the_same_with_any_number_of_threads(
    photos: Photos, indices: npt.NDArray[np.int64], threads: int
) -> None:
    stream = training_batches(photos, indices, batch_size=2, seed=1, augmentation=EVERYTHING)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads

    assert_equal(taken(stream.with_options(options), 40), taken(stream, 40))


def test_stream_is_endless_and_says_its_shapes(
    photos: Photos, indices: npt.NDArray[np.int64]
) -> None:
    images = tf.TensorSpec([None, SIZE, SIZE, 3], tf.uint8)
    labels = tf.TensorSpec([None], tf.float32)
    rows = tf.TensorSpec([None, 8], tf.float32)
    for augmentation, expected in (
        (None, (images, labels)),
        (Augmentation(), (images, labels)),
        (EVERYTHING, ((images, rows), labels)),
    ):
        stream = training_batches(
            photos, indices, batch_size=BATCH, seed=1, augmentation=augmentation
        )

        assert stream.cardinality() == tf.data.INFINITE_CARDINALITY
        assert stream.element_spec == expected


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
