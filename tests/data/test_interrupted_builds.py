"""A build that ends anywhere leaves nothing that can be opened, and the next one goes on."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from optrun.data.cache import cache
from optrun.data.cache.cache_key import JOURNAL, PARTIAL
from optrun.data.exceptions import PhotoError
from optrun.data.photos import Photos

Files = dict[str, bytes]
SIZE, COUNT = 8, 40

# Pixels are made of the file's bytes, without TensorFlow, whose import takes seconds.
PROGRAM = """
import hashlib, json, os, signal, sys, threading
from pathlib import Path
import numpy as np
from optrun.data.cache import building, cache, prepare

source, folder, log, end = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]

def header(found):
    if found.encoded == b"junk":
        raise building.UndecodableError("not an image")
    return building.Header(8, 8, "none", 0)

def square(found, header, how, memory):
    with log.open("a") as file:
        file.write(found.id + "\\n")
    values = np.frombuffer(hashlib.sha256(found.encoded).digest() * 6, np.uint8)
    return values.reshape(8, 8, 3).copy()

def killed_at(owner, name, call, before=lambda *arguments: None):
    original, calls = getattr(owner, name), []
    def replaced(*arguments):
        calls.append(None)
        if len(calls) == call:
            before(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)
    setattr(owner, name, replaced)

def half_a_line(journal, name, record):
    journal._file.write(b'["' + name.encode())

building._header, building._square = header, square
if end == "decoding":
    killed_at(building.PixelFile, "write", 25)
if end == "writing the journal":
    killed_at(building.Journal, "add", 25, half_a_line)
if end == "arranging":
    killed_at(building.PixelFile, "write", 40 + 12)
if end == "writing the index":
    killed_at(cache, "save_index", 1)
if end == "flushing":
    killed_at(cache, "sync", 2)
if end == "waiting for others":
    (folder.parent / f"ready-{os.getpid()}").touch()
    while len(list(folder.parent.glob("ready-*"))) < 8:
        pass
photos = prepare.prepare(source, image_size=8, cache=folder)
print(json.dumps([photos.fingerprint, str(Path(photos.pixels.filename).parent)]))
"""


@pytest.fixture
def source(tmp_path: Path, write_folder: Callable[[Path, Files], Path]) -> Path:
    """40 photos, and junk before and among them, so that they must be moved in the end."""
    photos = {f"train/{('cat', 'dog')[i % 2]}.{i}.jpg": b"photo %d" % i for i in range(COUNT)}
    junk = {f"train/{name}.jpg": b"junk" for name in ("cat.00", "cat.21", "dog.22", "dog.8")}
    return write_folder(tmp_path / "photos", photos | junk)


@pytest.fixture
def build(source: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    def start(end: str = "") -> subprocess.Popen[str]:
        arguments = [source, tmp_path / "cache", tmp_path / "log", end]
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def decoded(tmp_path: Path) -> list[str]:
    log = tmp_path / "log"
    return log.read_text().splitlines() if log.exists() else []


def assert_whole(photos: Photos | None, source: Path) -> None:
    files = {path.name: path.read_bytes() for path in (source / "train").iterdir()}
    good = sorted(name for name, content in files.items() if content != b"junk")
    assert photos is not None
    assert photos.ids == tuple(good)
    assert len(photos.left_out) == 4
    for name, digest, pixels in zip(photos.ids, photos.digests, photos.pixels, strict=True):
        expected = hashlib.sha256(files[name]).digest()
        assert digest.tobytes() == expected
        assert pixels.tobytes() == expected * 6


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("end", "at_most_again"),
    [
        # Those on their way at that moment, and the junk, are not among the 25.
        ("decoding", COUNT - 16),
        ("writing the journal", COUNT - 16),
        ("arranging", 0),
        ("writing the index", 0),
        ("flushing", 0),
    ],
)
def test_a_killed_build_cannot_be_opened_and_is_gone_on_with(
    build: Callable[..., subprocess.Popen[str]],
    source: Path,
    tmp_path: Path,
    end: str,
    at_most_again: int,
) -> None:
    killed = build(end)
    _, errors = killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL, errors
    (partial,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    assert partial.name.endswith(PARTIAL)
    assert cache.load(partial.with_name(partial.name.removesuffix(PARTIAL))) is None
    first = decoded(tmp_path)
    assert first

    again = build()
    answer, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert len(decoded(tmp_path)) - len(first) <= at_most_again
    folder = Path(json.loads(answer)[1])
    assert_whole(cache.load(folder), source)
    assert not (folder / JOURNAL).exists()
    assert not partial.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("damage", ["pixels", "journal", "another source", "rubbish"])
def test_what_cannot_be_trusted_is_decoded_again(
    build: Callable[..., subprocess.Popen[str]], source: Path, tmp_path: Path, damage: str
) -> None:
    build("writing the index").communicate(timeout=120)
    (partial,) = (tmp_path / "cache").glob("*" + PARTIAL)
    journal, pixels = partial / JOURNAL, partial / "pixels.npy"
    lines = journal.read_bytes().splitlines(keepends=True)
    if damage == "pixels":  # as after a crash of the machine
        content = bytearray(pixels.read_bytes())
        content[128 : 128 + 10 * SIZE * SIZE * 3] = bytes(10 * SIZE * SIZE * 3)
        pixels.write_bytes(content)
        again = 10
    elif damage == "journal":
        journal.write_bytes(b"".join(lines[:11]) + lines[11][:9] + b"\0\xff\n[1, 2]\n" + lines[15])
        again = None
    elif damage == "another source":
        journal.write_bytes(lines[0].replace(b'"bytes"', b'"other"') + b"".join(lines[1:]))
        again = COUNT
    else:
        journal.write_bytes(os.urandom(2000))
        again = COUNT
    before = len(decoded(tmp_path))
    process = build()
    answer, errors = process.communicate(timeout=120)

    assert process.returncode == 0, errors
    assert_whole(cache.load(Path(json.loads(answer)[1])), source)
    if again is not None:
        assert len(decoded(tmp_path)) - before == again


def test_eight_processes_asking_at_once_build_it_once(
    build: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    processes = [build("waiting for others") for _ in range(8)]
    answers = [process.communicate(timeout=120) for process in processes]

    assert [process.returncode for process in processes] == [0] * 8, answers
    assert len({answer for answer, _ in answers}) == 1
    assert len(decoded(tmp_path)) == COUNT


def test_a_full_disk_is_said_and_what_is_built_stays(
    kaggle: Callable[[int], Files],
    write_folder: Callable[[Path, Files], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from optrun.data.cache.building import PixelFile
    from optrun.data.cache.prepare import prepare

    folder = write_folder(tmp_path / "photos", kaggle(COUNT))
    write, rows = PixelFile.write, []

    def full(file: PixelFile, row: int, pixels: "np.typing.NDArray[np.uint8]") -> None:
        if len(rows) == 20:
            raise OSError(28, os.strerror(28))
        rows.append(row)
        write(file, row, pixels)

    monkeypatch.setattr(PixelFile, "write", full)
    with pytest.raises(PhotoError) as caught:
        prepare(str(folder), image_size=SIZE, cache=tmp_path / "cache")
    assert str(caught.value) == (
        f"The decoded photos can't be kept in {tmp_path}/cache: No space left on device. "
        "Set OPTRUN_CACHE to a folder that is writable and has room."
    )
    monkeypatch.setattr(PixelFile, "write", lambda *arguments: rows.append(0) or write(*arguments))
    rows.clear()
    whole = prepare(str(folder), image_size=SIZE, cache=tmp_path / "cache")

    assert len(rows) == COUNT - 20
    anew = prepare(str(folder), image_size=SIZE, cache=tmp_path / "another cache")
    assert np.array_equal(whole.pixels, anew.pixels)
    assert whole.fingerprint == anew.fingerprint
