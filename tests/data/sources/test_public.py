import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from optrun.data.cache.prepare import prepare
from optrun.data.download import availability
from optrun.data.errors import PhotoError, Unavailable
from optrun.data.photos import Photos
from optrun.data.sources import open_source
from PIL import Image
from tensorflow_datasets.core.download import checksums
from tensorflow_datasets.image_classification import cats_vs_dogs

COUNT = 6


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tensorflow_datasets keeps its data, empty; no host can be reached."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(availability, "host_reachable", lambda url: False)
    return tmp_path / "tfds"


@pytest.fixture
def data_set(directory: Path, picture: Callable[..., Image.Image]) -> Path:
    """A data set as tensorflow_datasets prepares it, of a few photos."""

    def examples() -> Iterator[dict[str, object]]:
        for i in range(COUNT):
            name = f"PetImages/{('Cat', 'Dog')[i % 2]}/{i}.jpg"
            yield {"image": np.asarray(picture(i)), "image/filename": name, "label": i % 2}

    features = {
        "image": tfds.features.Image(),
        "image/filename": tfds.features.Text(),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
    }
    signature = {
        "image": tf.TensorSpec([None, None, 3], tf.uint8),
        "image/filename": tf.TensorSpec([], tf.string),
        "label": tf.TensorSpec([], tf.int64),
    }
    directory.mkdir()
    tfds.dataset_builders.store_as_tfds_dataset(
        name="cats_vs_dogs",
        version=availability.VERSION,
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            "train": tf.data.Dataset.from_generator(examples, output_signature=signature)
        },
        data_dir=directory,
    )
    return directory / "cats_vs_dogs" / availability.VERSION


def prepared(tmp_path: Path) -> Photos:
    return prepare("cats_vs_dogs", image_size=40, cache=tmp_path / "cache")


def message(tmp_path: Path) -> str:
    """What is said of a trouble for which the sample is no way out."""
    with pytest.raises(PhotoError) as caught:
        prepared(tmp_path)
    assert not isinstance(caught.value, Unavailable)
    return str(caught.value)


def test_what_is_known_of_the_data_set_is_what_tensorflow_datasets_says() -> None:
    stated = checksums.get_all_url_infos()[availability.URL]

    assert availability.URL == cats_vs_dogs._URL
    assert str(cats_vs_dogs.CatsVsDogs.VERSION) == availability.VERSION
    assert stated.checksum == availability.ARCHIVE_SHA256
    assert stated.filename == availability.ARCHIVE
    assert stated.size == availability.PUBLISHED.size
    assert availability.PUBLISHED.url == availability.URL
    assert availability.PUBLISHED.sha256 == availability.ARCHIVE_SHA256
    assert availability.PUBLISHED.name == availability.ARCHIVE
    assert 25_000 - cats_vs_dogs._NUM_CORRUPT_IMAGES == availability.PHOTOS


def test_prepared_photos_are_read_without_a_network(
    data_set: Path, tmp_path: Path, picture: Callable[..., Image.Image]
) -> None:
    photos = prepared(tmp_path)

    assert photos.source == "cats_vs_dogs"
    assert photos.ids == (
        "Cat/0.jpg",
        "Cat/2.jpg",
        "Cat/4.jpg",
        "Dog/1.jpg",
        "Dog/3.jpg",
        "Dog/5.jpg",
    )
    assert photos.labels.tolist() == [0, 0, 0, 1, 1, 1]
    for pixels, name in zip(photos.pixels, photos.ids, strict=True):
        # Kept as PNG in this data set, so nothing is lost but by the resize.
        expected = picture(int(name[4])).resize((40, 40), Image.Resampling.BILINEAR)
        assert np.abs(pixels.astype(int) - np.asarray(expected)).mean() < 2


def test_only_the_photos_asked_for_are_given(data_set: Path) -> None:
    source = open_source("cats_vs_dogs")

    assert {photo.id: photo.label for photo in source.read({"Dog/3.jpg", "Cat/0.jpg"})} == {
        "Cat/0.jpg": 0,
        "Dog/3.jpg": 1,
    }


def test_prepared_once_they_need_no_data_set(
    data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nowhere"))

    assert prepared(tmp_path).fingerprint == first.fingerprint


def test_never_obtained_and_out_of_reach_is_unavailable(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        prepared(tmp_path)

    assert str(caught.value) == (
        "The public photos (cats_vs_dogs) are not on this machine, and download.microsoft.com "
        "can't be reached. The ways out: connect to the network (HTTPS_PROXY is respected); "
        f"download the archive elsewhere, {availability.URL}, and give it to `optrun data prepare "
        f"ARCHIVE` or put it at {directory}/downloads/manual/kagglecatsanddogs_5340.zip; use "
        "photos of your own with --set data.source=PATH; or use the built-in sample with --sample."
    )
    assert not directory.exists()


def test_unavailable_is_known_within_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    # A network in which nothing ever answers.
    monkeypatch.setattr(availability, "_ask", lambda url, timeout_s: time.sleep(timeout_s + 60))
    start = time.monotonic()

    with pytest.raises(Unavailable):
        prepared(tmp_path)
    assert time.monotonic() - start < 5


def test_damaged_records_are_an_error_that_says_what_to_delete(
    data_set: Path, tmp_path: Path
) -> None:
    records = next(data_set.glob("*.tfrecord*"))
    records.write_bytes(records.read_bytes()[:-50])

    found = message(tmp_path)
    assert found.startswith(f"The public photos in {data_set} can't be read (")
    assert found.endswith("Delete that folder and run again to have them prepared anew.")
