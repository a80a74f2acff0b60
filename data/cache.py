"""Decoded photos on disk, shared by all runs: found by a key, built once, whole or not there."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import platformdirs

from data.errors import PhotoError
from data.photos import Photos, fingerprint

_FORMAT = 1
_PIXELS, _LABELS, _DIGESTS, _INDEX = "pixels.npy", "labels.npy", "digests.npy", "index.json"


def directory() -> Path:
    """Returns where decoded photos are kept: $OPTRUN_CACHE, or this user's cache folder."""
    chosen = os.environ.get("OPTRUN_CACHE")
    root = Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("optrun")
    return root / "photos"


def folder_name(source_name: str, key: Mapping[str, object]) -> str:
    """Returns the name under which photos are kept: readable, and different for every key.

    Example:
        >>> folder_name("/home/ann/dogs-vs-cats.zip", {"image_size": 64})
        'dogs-vs-cats-...'
    """
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(source_name).stem).strip("-")[:40] or "photos"
    text = json.dumps({"format": _FORMAT, **key}, sort_keys=True)
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def load(folder: Path) -> Photos | None:
    """Returns the photos kept in `folder`, their pixels mapped rather than read, or None.

    A folder that is not whole, as after a failing disk, counts as none and is built anew.
    """
    try:
        index = json.loads((folder / _INDEX).read_text("utf-8"))
        pixels = np.load(folder / _PIXELS, mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / _LABELS, allow_pickle=False)
        digests = np.load(folder / _DIGESTS, allow_pickle=False)
        photos = Photos(
            pixels=pixels,
            ids=tuple(index["ids"]),
            labels=labels,
            digests=digests,
            fingerprint=index["fingerprint"],
            source=index["source"],
            is_sample=index["is_sample"],
            left_out=tuple((name, reason) for name, reason in index["left_out"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, EOFError):
        return None
    except OSError as error:
        raise PhotoError(_disk_message(folder, error)) from error
    return photos if {len(pixels), len(labels), len(digests)} == {len(photos.ids)} else None


def save_index(
    folder: Path,
    *,
    ids: Sequence[str],
    labels: npt.NDArray[np.uint8],
    digests: npt.NDArray[np.uint8],
    source: str,
    is_sample: bool,
    left_out: Mapping[str, str],
) -> None:
    """Writes everything but the pixels; see `data.photos.Photos` for what each is."""
    np.save(folder / _LABELS, labels, allow_pickle=False)
    np.save(folder / _DIGESTS, digests, allow_pickle=False)
    index = {
        "format": _FORMAT,
        "source": source,
        "is_sample": is_sample,
        "fingerprint": fingerprint(ids, labels, digests),
        "left_out": sorted(left_out.items()),
        "ids": list(ids),
    }
    (folder / _INDEX).write_text(json.dumps(index, indent=0), "utf-8")


def pixels_path(folder: Path) -> Path:
    """Returns the path of the pixels within a folder of the cache."""
    return folder / _PIXELS


def build_once(folder: Path, build: Callable[[Path], None]) -> Photos:
    """Returns the photos kept in `folder`, after having `build` make them if they are not there.

    `build` fills a folder of another name, which is renamed when all in it is on the disk.
    Processes that ask at once wait for the one that builds. Whatever ends it leaves nothing that
    `load` finds.

    Raises:
        PhotoError: If the disk is full or may not be written.
    """
    photos = load(folder)
    if photos is not None:
        return photos
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder.with_name(folder.name + ".lock")):
            photos = load(folder)
            if photos is None:
                _build(folder, build)
                photos = load(folder)
    except OSError as error:
        raise PhotoError(_disk_message(folder, error)) from error
    if photos is None:
        raise PhotoError(f"What was just written to {folder} can't be read back; check the disk.")
    return photos


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raises `PhotoError` where the disk has less than `needed_bytes` free."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise PhotoError(
            f"The decoded photos need {_gigabytes(needed_bytes)} in {folder.parent}, where "
            f"{_gigabytes(free)} are free. Free some, or set OPTRUN_CACHE to a folder on another "
            "disk, data.limit to fewer photos, or data.image_size to smaller ones."
        )


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    # One name, whoever builds: under the lock, what has it is left from a process that was killed.
    partial = folder.with_name(folder.name + ".partial")
    for left_behind in (partial, folder):
        if left_behind.exists():
            shutil.rmtree(left_behind)
    try:
        partial.mkdir()
        build(partial)
        for path in (*partial.iterdir(), partial):
            _flush(path)
        partial.rename(folder)
        _flush(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _flush(path: Path) -> None:
    """Waits until a file or a folder is on the disk."""
    if path.is_dir() and sys.platform == "win32":
        return  # Windows has no such thing for folders.
    descriptor = os.open(path, os.O_RDONLY if sys.platform != "win32" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Holds an exclusive lock; the system gives it back however the process ends."""
    # The file stays: whoever deleted it could leave two processes with a lock each.
    with path.open("ab") as file:
        if sys.platform == "win32":
            import msvcrt
            import time

            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                    break
                except OSError:
                    time.sleep(0.1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _disk_message(folder: Path, error: OSError) -> str:
    return (
        f"The decoded photos can't be kept in {folder.parent}: {error.strerror or error}. "
        "Set OPTRUN_CACHE to a folder that is writable and has room."
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
