import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import checksums
from tensorflow_datasets.core.download.resource import get_dl_fname
from tensorflow_datasets.image_classification import cats_vs_dogs

from data import availability
from data.errors import PhotoError, Unavailable
from data.photos import Photos
from data.prepare import prepare
from data.sources import open_source

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
        "can't be reached. The ways out: connect to the network (HTTPS_PROXY is respected); put "
        "the archive, downloaded elsewhere, at "
        f"{directory}/downloads/manual/kagglecatsanddogs_5340.zip; use photos of your own with "
        "--set data.source=PATH; or use the built-in sample with --sample."
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


def test_a_manual_archive_with_a_wrong_checksum_is_an_error(
    directory: Path, tmp_path: Path
) -> None:
    archive = directory / "downloads" / "manual" / availability.ARCHIVE
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"something else")

    assert message(tmp_path) == (
        f"The archive of the public photos in {archive} is not the published one: its checksum "
        f"differs from {availability.ARCHIVE_SHA256}. Delete it and run again, or name it as a "
        "source of its own with --set data.source=PATH."
    )


def test_a_finished_download_is_found_where_tensorflow_datasets_looks(
    directory: Path, tmp_path: Path
) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("PetImages/Cat/0.jpg", b"not a photo")
    name = get_dl_fname(availability.URL, availability.ARCHIVE_SHA256)
    path = directory / "downloads" / "cats_vs_dogs" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(file.getvalue())
    assert not availability.public_photos_obtained()
    path.with_name(name + ".INFO").write_text(
        json.dumps({"original_fname": availability.ARCHIVE, "urls": [availability.URL]})
    )

    # It got as far as reading the archive, which has too few corrupt photos for it.
    assert availability.public_photos_obtained()
    assert message(tmp_path) == (
        f"The public photos can't be prepared in {directory}: Expected 1738 corrupt images, but "
        "found 1. Set TFDS_DATA_DIR to a folder that is writable and has 2 GB free, or run again "
        "if the download was interrupted."
    )


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        PermissionError(13, "Permission denied"),
        tfds.download.DownloadError("Failed to get url https://photos.example. HTTP code: 404."),
    ],
)
def test_trouble_with_a_reachable_host_is_an_error(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(availability, "host_reachable", lambda url: True)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)

    assert message(tmp_path).startswith(
        f"The public photos can't be prepared in {directory}: {str(error).rstrip('.')}. Set TFDS"
    )


def test_a_directory_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setenv("TFDS_DATA_DIR", str(in_the_way))
    monkeypatch.setattr(availability, "host_reachable", lambda url: True)

    assert message(tmp_path).startswith(f"The public photos can't be prepared in {in_the_way}: ")


def test_damaged_records_are_an_error_that_says_what_to_delete(
    data_set: Path, tmp_path: Path
) -> None:
    records = next(data_set.glob("*.tfrecord*"))
    records.write_bytes(records.read_bytes()[:-50])

    found = message(tmp_path)
    assert found.startswith(f"The public photos in {data_set} can't be read (")
    assert found.endswith("Delete that folder and run again to have them prepared anew.")
