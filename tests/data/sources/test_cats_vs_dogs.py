import functools
import hashlib
import http.server
import io
import json
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from optrun.data import download, hosts
from optrun.data.cache.prepare import prepare
from optrun.data.download import Published, partial_of
from optrun.data.exceptions import PhotoError, Unavailable
from optrun.data.photos import Photos
from optrun.data.sources import cats_vs_dogs as public
from optrun.data.sources.cats_vs_dogs import obtain
from optrun.data.sources.opening import open_source
from PIL import Image
from tensorflow_datasets.core.download import checksums
from tensorflow_datasets.core.download.extractor import iter_archive
from tensorflow_datasets.core.download.resource import ExtractMethod, get_dl_fname
from tensorflow_datasets.image_classification import cats_vs_dogs

PHOTOS, CORRUPT = 6, 2


class Files(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, *arguments: object) -> None:
        self.asked.append(str(arguments[1]))


@dataclass
class Miniature:
    """A small data set, published by a server of the test's own.

    Attributes:
        content: The archive's bytes.
        directory: Where tensorflow_datasets keeps its data; nothing is there yet.
        asked: The requests that the server got.
        stages: What progress was told, each stage once.
        said: What was said on the way.
    """

    content: bytes
    directory: Path
    asked: list[str]
    stages: list[str]
    said: list[str]

    def obtain(self, archive: Path | None = None) -> Path:
        return obtain(archive, progress=self.progress, say=self.said.append)

    def progress(self, stage: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        if not self.stages or self.stages[-1] != stage:
            self.stages.append(stage)

    @property
    def manual(self) -> Path:
        return self.directory / "downloads" / "manual" / "kagglecatsanddogs_5340.zip"

    @property
    def folder(self) -> Path:
        return self.directory / "cats_vs_dogs" / "4.0.1"

    def put(self, content: bytes | None = None) -> Path:
        """Puts the archive where tensorflow_datasets looks for it."""
        self.manual.parent.mkdir(parents=True)
        self.manual.write_bytes(self.content if content is None else content)
        return self.manual

    def message(self, archive: Path | None = None) -> str:
        """What is said of a trouble for which the sample is no way out."""
        with pytest.raises(PhotoError) as caught:
            self.obtain(archive)
        assert not isinstance(caught.value, Unavailable)
        return str(caught.value)


@pytest.fixture(scope="session")
def content(picture: Callable[..., Image.Image], encoded: Callable[..., bytes]) -> bytes:
    """An archive as Microsoft publishes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i in range(PHOTOS):
            archive.writestr(f"PetImages/{('Cat', 'Dog')[i % 2]}/{i}.jpg", encoded(picture(i)))
        for i in range(CORRUPT):
            archive.writestr(f"PetImages/Cat/{PHOTOS + i}.jpg", b"this is no photo")
        archive.writestr("readme[1].txt", b"words")
    return file.getvalue()


@pytest.fixture
def miniature(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Miniature]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / public.ARCHIVE).write_bytes(content)
    handler = type("TheseFiles", (Files,), {"asked": []})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path / "web"))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/{public.ARCHIVE}"
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setattr(public, "PUBLISHED", Published(url, len(content), digest))
        yield Miniature(content, tmp_path / "tfds", handler.asked, [], [])
        server.shutdown()
        thread.join()


def labels() -> dict[str, int]:
    return dict(open_source("cats_vs_dogs").entries())


ALL = {f"{('Cat', 'Dog')[i % 2]}/{i}.jpg": i % 2 for i in range(PHOTOS)}


def test_the_archive_is_downloaded_and_read_where_it_is(
    miniature: Miniature, capfd: pytest.CaptureFixture[str]
) -> None:
    assert miniature.obtain() == miniature.manual

    assert labels() == ALL
    assert miniature.manual.read_bytes() == miniature.content
    assert [line.split()[0] for line in miniature.asked] == ["HEAD", "GET"]
    assert miniature.stages == ["downloading"]
    assert miniature.said == []
    assert capfd.readouterr() == ("", "")


def test_once_here_it_is_checked_and_nothing_else_is_done(miniature: Miniature) -> None:
    miniature.obtain()
    miniature.asked.clear()
    miniature.stages.clear()

    assert miniature.obtain() == miniature.manual
    assert miniature.asked == []
    assert miniature.stages == ["checking"]


def test_a_begun_download_is_gone_on_with(miniature: Miniature) -> None:
    part = partial_of(miniature.manual)
    part.path.parent.mkdir(parents=True)
    part.path.write_bytes(miniature.content)

    assert miniature.obtain() == miniature.manual
    assert not part.path.exists()
    # Only whether the host can be reached was asked.
    assert len(miniature.asked) == 1


@pytest.mark.parametrize("links", [True, False])
def test_an_archive_given_is_kept_and_never_changed(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    archive = tmp_path / "renamed (1).zip"
    archive.write_bytes(miniature.content)
    archive.chmod(0o400)
    before = archive.stat()
    monkeypatch.chdir(tmp_path)

    assert miniature.obtain(Path(archive.name)) == miniature.manual
    after = archive.stat()
    assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)
    assert archive.read_bytes() == miniature.content
    assert miniature.asked == []
    assert miniature.stages == ["checking"]
    archive.unlink()
    assert labels() == ALL
    assert list(miniature.manual.parent.iterdir()) == [miniature.manual]


def test_another_archive_is_refused_with_the_way_out(miniature: Miniature, tmp_path: Path) -> None:
    archive = tmp_path / "other.zip"
    size = len(miniature.content)
    archive.write_bytes(b"x" * 1234)
    assert miniature.message(archive) == (
        f"{archive} is not the published archive of cats_vs_dogs, kagglecatsanddogs_5340.zip: it "
        f"has 1,234 bytes, not {size:,}. If it is an interrupted download, repeat it; if it holds "
        f"other photos, use them as photos of your own: optrun data import {archive}"
    )
    archive.write_bytes(b"x" * size)
    digest = hashlib.sha256(b"x" * size).hexdigest()
    assert f": its SHA-256 is {digest}, not {public.PUBLISHED.sha256}. If" in (
        miniature.message(archive)
    )
    assert ": it is a folder. If" in miniature.message(tmp_path)
    assert miniature.message(tmp_path / "none.zip") == (
        f"{tmp_path}/none.zip can't be read: No such file or directory."
    )
    assert not miniature.directory.exists()


def test_another_archive_is_refused_where_the_photos_are_prepared_already(
    miniature: Miniature, tmp_path: Path
) -> None:
    miniature.folder.mkdir(parents=True)
    (miniature.folder / "dataset_info.json").touch()
    archive = tmp_path / "other.zip"
    archive.write_bytes(b"x")

    assert "is not the published archive" in miniature.message(archive)


def test_the_archive_in_the_manual_folder_needs_no_network(
    miniature: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public, "host_reachable", lambda url: False)
    miniature.put()

    assert labels() == ALL
    assert miniature.asked == []


def test_another_archive_in_the_manual_folder_is_an_error(miniature: Miniature) -> None:
    archive = miniature.put(b"something else")

    assert miniature.message().startswith(
        f"{archive} is not the published archive of cats_vs_dogs, kagglecatsanddogs_5340.zip: it "
        f"has 14 bytes, not {len(miniature.content):,}."
    )
    assert archive.read_bytes() == b"something else"


def test_what_tensorflow_datasets_downloaded_itself_is_used(
    miniature: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public, "host_reachable", lambda url: False)
    name = get_dl_fname(public.PUBLISHED.url, public.PUBLISHED.sha256)
    path = miniature.directory / "downloads" / "cats_vs_dogs" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(miniature.content)
    assert not public.obtained()
    path.with_name(name + ".INFO").write_text(json.dumps({"original_fname": public.ARCHIVE}))

    assert public.obtained()
    assert labels() == ALL
    assert miniature.asked == []


def test_too_little_room_is_found_before_the_download(
    miniature: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage._replace(free=5))

    assert miniature.message() == (
        f"kagglecatsanddogs_5340.zip needs 0 MB more in {miniature.manual.parent}, where 0 MB are "
        "free. Free some, or set TFDS_DATA_DIR to a folder on another disk."
    )
    assert not miniature.manual.exists()


def test_a_directory_that_cannot_be_written_is_an_error(
    miniature: Miniature, tmp_path: Path
) -> None:
    miniature.directory.touch()
    archive = tmp_path / "given.zip"
    archive.write_bytes(miniature.content)

    assert f"can't be written to {miniature.directory}/downloads/manual: " in miniature.message()
    assert "The archive can't be kept in " in miniature.message(archive)


def test_a_begun_download_out_of_reach_is_still_unavailable(
    miniature: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public, "host_reachable", lambda url: False)
    part = partial_of(miniature.manual)
    part.path.parent.mkdir(parents=True)
    part.path.write_bytes(bytes(1_000_000))

    with pytest.raises(Unavailable, match=r"\(1 MB of their archive are, and are kept\)"):
        miniature.obtain()
    assert part.size == 1_000_000


def test_the_photos_are_those_that_tensorflow_datasets_keeps_to_the_byte(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(io.BytesIO(miniature.content)) as archive:
        photo = archive.read("PetImages/Cat/0.jpg")
    marks = {100: True, 490: True, 600: False}  # where "JFIF" stands decides
    odd = io.BytesIO(miniature.content)
    with zipfile.ZipFile(odd, "a") as archive:
        for place, _ in marks.items():
            comment = b"\xff\xfe" + (place - 4).to_bytes(2) + b"x" * (place - 6) + b"JFIF"
            body = photo.replace(b"JFIF", b"JFXX", 1)[2:]
            content = b"\xff\xd8" + comment.replace(b"xJFIF", b"JFIF") + body
            archive.writestr(f"PetImages/Dog/{1000 + place}.jpg", content)
        archive.writestr("PetImages/Cat/Thumbs.db", photo)
        archive.writestr("PetImages/Cat/12 (copy).jpg", photo)
    path = miniature.put(odd.getvalue())
    digest = hashlib.sha256(odd.getvalue()).hexdigest()
    published = Published(public.PUBLISHED.url, len(odd.getvalue()), digest)
    monkeypatch.setattr(public, "PUBLISHED", published)
    monkeypatch.setattr(cats_vs_dogs, "_NUM_CORRUPT_IMAGES", CORRUPT + 1)
    builder = cats_vs_dogs.CatsVsDogs(data_dir=tmp_path / "builder")
    theirs = {
        name.removeprefix("PetImages/"): record["image"].read()
        for name, record in builder._generate_examples(iter_archive(path, ExtractMethod.ZIP))
    }

    ours = {photo.id: photo.encoded for photo in open_source("cats_vs_dogs").read()}
    assert len(ours) == PHOTOS + 2
    assert ours == theirs


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tensorflow_datasets keeps its data, empty; no host can be reached."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(public, "host_reachable", lambda url: False)
    return tmp_path / "tfds"


@pytest.fixture
def data_set(directory: Path, picture: Callable[..., Image.Image]) -> Path:
    """A data set as tensorflow_datasets prepares it, of a few photos."""

    def examples() -> Iterator[dict[str, object]]:
        for i in range(PHOTOS):
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
        version=public.VERSION,
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            "train": tf.data.Dataset.from_generator(examples, output_signature=signature)
        },
        data_dir=directory,
    )
    return directory / "cats_vs_dogs" / public.VERSION


def prepared(tmp_path: Path) -> Photos:
    return prepare("cats_vs_dogs", image_size=40, cache=tmp_path / "cache")


def message(tmp_path: Path) -> str:
    """What is said of a trouble for which the sample is no way out."""
    with pytest.raises(PhotoError) as caught:
        prepared(tmp_path)
    assert not isinstance(caught.value, Unavailable)
    return str(caught.value)


def test_what_is_known_of_the_data_set_is_what_tensorflow_datasets_says() -> None:
    stated = checksums.get_all_url_infos()[public.PUBLISHED.url]

    assert public.PUBLISHED.url == cats_vs_dogs._URL
    assert str(cats_vs_dogs.CatsVsDogs.VERSION) == public.VERSION
    assert stated.checksum == public.PUBLISHED.sha256
    assert stated.filename == public.ARCHIVE
    assert stated.size == public.PUBLISHED.size
    assert public.PUBLISHED.name == public.ARCHIVE
    assert 25_000 - cats_vs_dogs._NUM_CORRUPT_IMAGES == public.PHOTOS


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
        f"download the archive elsewhere, {public.PUBLISHED.url}, and give it to `optrun "
        f"data prepare ARCHIVE` or put it at {directory}/downloads/manual/{public.ARCHIVE}; use "
        "photos of your own with --set data.source=PATH; or use the built-in sample with --sample."
    )
    assert not directory.exists()


def test_unavailable_is_known_within_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    # A network in which nothing ever answers.
    monkeypatch.setattr(hosts, "_ask", lambda url, timeout_s: time.sleep(timeout_s + 60))
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
