"""Decoded photos on disk, shared by all runs: found by a key, built once, whole or not there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from optrun.data.cache.cache_key import FORMAT, IDS, INDEX, JOURNAL, PARTIAL, PIXELS
from optrun.data.exceptions import PhotoError
from optrun.data.files import disk_bytes, sync
from optrun.data.locks import exclusive
from optrun.data.photos import Photos

# Of `Photos`: in the index as they are, and in a file each.
_STATED = ("source", "is_sample", "fingerprint")
_ARRAYS = ("pixels", "labels", "digests", "pixel_digests", "parts")


def load(folder: Path) -> Photos | None:
    """Returns the photos kept in `folder`, their pixels mapped rather than read, or None.

    A folder that is not whole, as after a failing disk, counts as none and is built anew.
    """
    try:
        index = json.loads((folder / INDEX).read_bytes())
        ids = tuple(json.loads((folder / IDS).read_bytes()))
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in _ARRAYS
        }
        photos = Photos(
            ids=ids,
            left_out=tuple((name, reason) for name, reason in index["left_out"]),
            turned=tuple(index["turned"]),
            unlabelled=tuple(index["unlabelled"]),
            profiles=tuple((name, profile) for name, profile in index["profiles"]),
            preprocessing=index["key"]["preprocessing"],
            **{name: index[name] for name in _STATED},
            **arrays,
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, EOFError):
        return None
    except OSError as error:
        raise _disk_error(folder, error) from error
    return photos if {len(array) for array in arrays.values()} == {len(ids)} else None


def save_index(
    folder: Path, ids: list[str], arrays: dict[str, npt.NDArray[np.uint8]], index: dict[str, object]
) -> None:
    """Writes what `load` reads but the pixels: arrays by name, and what else there is to state."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    (folder / IDS).write_text(json.dumps(ids, indent=0), "utf-8")
    (folder / INDEX).write_text(json.dumps({"format": FORMAT, **index}, indent=0), "utf-8")


def written_bytes(folder: Path) -> int:
    """Returns what the pixels that a build has left in its folder take on the disk."""
    pixels = folder / PIXELS
    return disk_bytes(pixels.stat()) if pixels.exists() else 0


def build_once(folder: Path, build: Callable[[Path], None]) -> Photos:
    """Returns the photos kept in `folder`, after having `build` make them if they are not there.

    `build` fills a folder of another name, which is renamed when all in it is on the disk. Other
    processes wait meanwhile. Where something ends it, a folder with a journal stays, to go on with.
    """
    if (photos := load(folder)) is not None:
        return photos
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(folder.with_name(folder.name + ".lock")):
            photos = load(folder)
            if photos is None:
                _build(folder, build)
                photos = load(folder)
    except OSError as error:
        raise _disk_error(folder, error) from error
    if photos is None:
        raise PhotoError(f"What was just written to {folder} can't be read back; check the disk.")
    return photos


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raises `PhotoError` where the disk lacks room for what `folder` lacks of these bytes."""
    missing_bytes = needed_bytes - written_bytes(folder)
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < missing_bytes:
        raise PhotoError(
            f"The decoded photos need {missing_bytes / 1e9:,.1f} GB in {folder.parent}, where "
            f"{free_bytes / 1e9:,.1f} GB are free. Free some, or set OPTRUN_CACHE to a folder on "
            "another disk, data.limit to fewer photos, or data.image_size to smaller ones."
        )


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    # One name, whoever builds: under the lock, what has it is left from a process that was stopped.
    unfinished = folder.with_name(folder.name + PARTIAL)
    if folder.exists():
        shutil.rmtree(folder)
    try:
        unfinished.mkdir(exist_ok=True)
        build(unfinished)
        for path in (*unfinished.iterdir(), unfinished):
            sync(path)
        unfinished.rename(folder)
        # Not before: whoever ends the process in between would end all it had done.
        (folder / JOURNAL).unlink(missing_ok=True)
        sync(folder.parent)
    finally:
        if not (unfinished / JOURNAL).exists():
            shutil.rmtree(unfinished, ignore_errors=True)


def _disk_error(folder: Path, error: OSError) -> PhotoError:
    return PhotoError(
        f"The decoded photos can't be kept in {folder.parent}: {error.strerror or error}. "
        "Set OPTRUN_CACHE to a folder that is writable and has room."
    )
