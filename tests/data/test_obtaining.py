import functools
import hashlib
import http.server
import io
import json
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from optrun.data.download import availability, obtaining
from optrun.data.download.obtaining import obtain
from optrun.data.download.partial import partial_of
from optrun.data.download.published import Published
from optrun.data.errors import PhotoError, Unavailable
from optrun.data.locks import exclusive
from PIL import Image
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.download.resource import get_dl_fname
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
    (tmp_path / "web" / availability.ARCHIVE).write_bytes(content)
    handler = type("TheseFiles", (Files,), {"asked": []})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path / "web"))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/{availability.ARCHIVE}"
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setattr(availability, "URL", url)
        monkeypatch.setattr(availability, "ARCHIVE_SHA256", digest)
        monkeypatch.setattr(availability, "PUBLISHED", Published(url, len(content), digest))
        monkeypatch.setattr(availability, "PHOTOS", PHOTOS)
        monkeypatch.setattr(cats_vs_dogs, "_URL", url)
        monkeypatch.setattr(cats_vs_dogs, "_NUM_CORRUPT_IMAGES", CORRUPT)
        stated = UrlInfo(tfds.core.utils.Size(len(content)), digest, availability.ARCHIVE)
        monkeypatch.setattr(cats_vs_dogs.CatsVsDogs, "url_infos", {url: stated})
        yield Miniature(content, tmp_path / "tfds", handler.asked, [], [])
        server.shutdown()
        thread.join()


def photo_names(folder: Path) -> set[str]:
    records = tfds.builder_from_directory(folder).as_dataset(split="train")
    return {record["image/filename"].numpy().decode() for record in records}


ALL_NAMES = {f"PetImages/{('Cat', 'Dog')[i % 2]}/{i}.jpg" for i in range(PHOTOS)}


def test_the_archive_is_downloaded_and_prepared(
    miniature: Miniature, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = miniature.obtain()

    assert folder == miniature.folder == availability.prepared_folder()
    assert photo_names(folder) == ALL_NAMES
    assert miniature.manual.read_bytes() == miniature.content
    assert [line.split()[0] for line in miniature.asked] == ["HEAD", "GET"]
    assert miniature.stages == ["downloading", "preparing"]
    assert miniature.said == []
    out, err = capfd.readouterr()
    assert out == ""
    assert "corrupted" not in err
    assert "it/s" not in err
    assert {path.name for path in miniature.directory.iterdir()} == {
        ".optrun-preparing.lock",
        "cats_vs_dogs",
        "downloads",
    }
    assert list((miniature.directory / "cats_vs_dogs").iterdir()) == [folder]


def test_once_prepared_nothing_is_done(miniature: Miniature) -> None:
    miniature.obtain()
    miniature.asked.clear()
    miniature.stages.clear()
    miniature.manual.unlink()

    assert miniature.obtain() == miniature.folder
    assert miniature.asked == []
    assert miniature.stages == []


def test_a_begun_download_is_gone_on_with(miniature: Miniature) -> None:
    part = partial_of(miniature.manual)
    part.path.parent.mkdir(parents=True)
    part.path.write_bytes(miniature.content)

    assert miniature.obtain() == miniature.folder
    assert not part.path.exists()
    # Only whether the host can be reached was asked.
    assert len(miniature.asked) == 1


def test_an_archive_given_is_used_in_place(miniature: Miniature, tmp_path: Path) -> None:
    archive = tmp_path / "renamed (1).zip"
    archive.write_bytes(miniature.content)
    archive.chmod(0o400)
    before = archive.stat()

    folder = miniature.obtain(archive)

    assert photo_names(folder) == ALL_NAMES
    after = archive.stat()
    assert (after.st_mtime_ns, after.st_mode, after.st_nlink) == (
        before.st_mtime_ns,
        before.st_mode,
        1,
    )
    assert archive.read_bytes() == miniature.content
    assert miniature.asked == []
    assert miniature.stages == ["checking", "preparing"]
    assert {path.name for path in miniature.directory.iterdir()} == {
        ".optrun-preparing.lock",
        "cats_vs_dogs",
    }


def test_an_archive_given_is_copied_where_nothing_can_be_linked(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    archive = tmp_path / "given.zip"
    archive.write_bytes(miniature.content)

    assert photo_names(miniature.obtain(archive)) == ALL_NAMES
    assert archive.read_bytes() == miniature.content


def test_an_archive_in_the_working_directory_is_found(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "given.zip").write_bytes(miniature.content)
    monkeypatch.chdir(tmp_path)

    assert miniature.obtain(Path("given.zip")) == miniature.folder


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
    assert f": its SHA-256 is {digest}, not {availability.ARCHIVE_SHA256}. If" in (
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
    monkeypatch.setattr(availability, "host_reachable", lambda url: False)
    miniature.put()

    assert photo_names(miniature.obtain()) == ALL_NAMES
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
    monkeypatch.setattr(availability, "host_reachable", lambda url: False)
    name = get_dl_fname(availability.URL, availability.ARCHIVE_SHA256)
    path = miniature.directory / "downloads" / "cats_vs_dogs" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(miniature.content)
    assert not availability.public_photos_obtained()
    info = {"original_fname": availability.ARCHIVE, "urls": [availability.URL]}
    path.with_name(name + ".INFO").write_text(json.dumps(info))

    assert availability.public_photos_obtained()
    assert photo_names(miniature.obtain()) == ALL_NAMES
    assert miniature.asked == []


def test_stopped_while_preparing_it_goes_on_from_the_archive(miniature: Miniature) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "preparing" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        obtain(progress=stop)
    assert availability.prepared_folder() is None
    assert not (miniature.directory / ".optrun-preparing").exists()
    asked = len(miniature.asked)

    assert photo_names(miniature.obtain()) == ALL_NAMES
    assert len(miniature.asked) == asked


def test_what_a_killed_process_left_is_cleared_away(miniature: Miniature) -> None:
    miniature.put()
    left = miniature.directory / ".optrun-preparing" / "cats_vs_dogs" / "incomplete.ABCDEF_4.0.1"
    left.mkdir(parents=True)
    (left / "cats_vs_dogs-train.tfrecord-00000-of-00001").write_bytes(b"half a record")
    finished = miniature.directory / ".optrun-preparing" / "cats_vs_dogs" / "4.0.1"
    finished.mkdir()
    (finished / "dataset_info.json").write_text("half")

    assert photo_names(miniature.obtain()) == ALL_NAMES
    assert not (miniature.directory / ".optrun-preparing").exists()


def test_a_process_waits_for_the_one_that_prepares(miniature: Miniature) -> None:
    miniature.put()
    holds, release = threading.Event(), threading.Event()

    def other() -> None:
        with exclusive(miniature.directory / ".optrun-preparing.lock"):
            holds.set()
            release.wait(10)
            miniature.folder.mkdir(parents=True)
            (miniature.folder / "dataset_info.json").touch()

    def say(text: str) -> None:
        miniature.said.append(text)
        release.set()

    thread = threading.Thread(target=other)
    thread.start()
    holds.wait(10)

    assert obtain(say=say) == miniature.folder
    thread.join()
    assert miniature.said == ["another process is preparing the public photos; waiting for it"]


def test_too_little_room_is_found_before_the_download(
    miniature: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(
        obtaining.shutil, "disk_usage", lambda path: usage._replace(free=100_000_000)
    )

    assert miniature.message() == (
        f"The public photos need 730 MB more in {miniature.directory}, where 100 MB are free. Free "
        "some, or set TFDS_DATA_DIR to a folder on another disk."
    )
    assert not miniature.directory.exists()


def test_a_data_set_without_its_description_is_an_error(miniature: Miniature) -> None:
    miniature.folder.mkdir(parents=True)
    (miniature.folder / "cats_vs_dogs-train.tfrecord-00000-of-00001").touch()

    assert miniature.message() == (
        f"{miniature.folder} is there, but holds no dataset_info.json, so it is no whole data set. "
        "Delete that folder and run again."
    )


def test_another_version_of_tensorflow_datasets_is_an_error(
    miniature: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    miniature.put()
    monkeypatch.setattr(cats_vs_dogs.CatsVsDogs, "VERSION", tfds.core.Version("5.0.0"))

    assert miniature.message() == (
        "tensorflow_datasets has cats_vs_dogs in version 5.0.0, not 4.0.1: install the version "
        "that optrun asks for."
    )


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        PermissionError(13, "Permission denied"),
        ValueError("Expected 1738 corrupt images, but found 2."),
        tf.errors.ResourceExhaustedError(None, None, "out of memory\nand more"),
    ],
)
def test_trouble_while_preparing_keeps_the_archive(
    miniature: Miniature, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    reason = (getattr(error, "strerror", "") or str(error)).splitlines()[0].rstrip(".")

    assert miniature.message() == (
        f"The public photos can't be prepared in {miniature.directory}: {reason}. Set "
        "TFDS_DATA_DIR to a folder that is writable and has 2 GB free, and run again."
    )
    assert miniature.manual.read_bytes() == miniature.content
    assert not (miniature.directory / ".optrun-preparing").exists()


def test_a_directory_that_cannot_be_written_is_an_error(
    miniature: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    miniature.directory.touch()

    assert f"can't be written to {miniature.directory}/downloads/manual: " in miniature.message()


def test_a_begun_download_out_of_reach_is_still_unavailable(
    miniature: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "host_reachable", lambda url: False)
    part = partial_of(miniature.manual)
    part.path.parent.mkdir(parents=True)
    part.path.write_bytes(bytes(1_000_000))

    with pytest.raises(Unavailable, match=r"\(1 MB of their archive are, and are kept\)"):
        miniature.obtain()
    assert part.size == 1_000_000
