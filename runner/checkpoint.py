"""Arrays and facts on disk: a checkpoint is whole, or it is not taken for one.

A checkpoint is a folder of `weights.npz` (arrays, no pickle) and `manifest.json` (format, facts,
size and SHA-256 of the arrays), written under a temporary name, flushed to the disk and renamed
into place. What was there before stays as `<name>.previous` until the next one is whole, so that
a checkpoint damaged afterwards costs the time between two, not the run.
"""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt

from runner import checkpoint_places as places
from runner.atomic import sync_folder
from runner.checkpoint_places import ARRAYS, FORMAT, MANIFEST
from runner.untrusted import DamageError, content_of

_LARGEST_MANIFEST = 64 * 2**20  # bytes; a line of each epoch is in it, of some hundred bytes
Array = npt.NDArray[np.generic]
# NumPy's files know no bfloat16; its bits are stored as whole numbers.
_STORED_AS = {np.dtype(ml_dtypes.bfloat16): np.dtype(np.uint16)}


class CheckpointError(Exception):
    """A checkpoint that is not whole, or of a format this version does not read."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        arrays: By name, in the order in which they were saved.
        facts: Plain JSON values.
    """

    arrays: dict[str, Array]
    facts: dict[str, object]


def save(
    folder: Path,
    arrays: Mapping[str, Array] | Sequence[Array],
    facts: Mapping[str, object],
    *,
    keep_previous: bool = False,
) -> None:
    """Write a checkpoint, in place of one of the same name.

    Args:
        folder: `checkpoint/best` of a run, say.
        arrays: By name; a sequence is named by position.
        facts: What else to know (epoch, say), as plain JSON values.
        keep_previous: Whether the one that is replaced stays as `<name>.previous`.

    Raises:
        OSError: The disk is full or can't be written; what was there before is as it was.
    """
    if not isinstance(arrays, Mapping):
        arrays = {f"{index:04d}": array for index, array in enumerate(arrays)}
    new = places.being_written(folder)
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        with (new / ARRAYS).open("wb") as file:
            np.savez(file, **{name: _storable(array) for name, array in arrays.items()})  # type: ignore[arg-type]
            os.fsync(file.fileno())
        manifest = {
            "format": FORMAT,
            "facts": dict(facts),
            "dtypes": {name: str(array.dtype) for name, array in arrays.items()},
            ARRAYS: _size_and_hash(new / ARRAYS),
        }
        with (new / MANIFEST).open("w", encoding="utf-8") as text:
            json.dump(manifest, text, indent=1, allow_nan=False)
            text.flush()
            os.fsync(text.fileno())
        sync_folder(new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    _put_in_place(new, folder, keep_previous=keep_previous)


def read(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    A rename that a crash cut short is no damage: the one that it was to replace is found.

    Raises:
        CheckpointError: It is missing, damaged, or of another format.
    """
    return _read(places.in_place(folder))


def read_newest(folder: Path) -> tuple[Checkpoint, list[str]]:
    """Read the newest whole one of a checkpoint and those it replaced.

    Args:
        folder: `checkpoint/last` of a run.

    Returns:
        The checkpoint, and why each newer one was passed over.

    Raises:
        CheckpointError: There are some, but none is whole.
        FileNotFoundError: There never was one.
    """
    problems: list[str] = []
    for place in places.newest_first(folder):
        if not place.exists():
            continue
        try:
            return _read(place), problems
        except CheckpointError as error:
            # One still being written when the process died was never a checkpoint.
            if place != places.being_written(folder):
                problems.append(str(error))
    if problems:
        raise CheckpointError("; ".join(problems))
    raise FileNotFoundError(folder)


def load(folder: Path) -> list[Array]:
    """Read a checkpoint's arrays, in the order in which they were saved.

    Raises:
        CheckpointError: It is missing, damaged, or of another format.
    """
    return list(read(folder).arrays.values())


def _read(folder: Path) -> Checkpoint:
    try:
        manifest = json.loads(content_of(folder / MANIFEST, _LARGEST_MANIFEST))
        if manifest["format"] != FORMAT:
            raise CheckpointError(f"{folder}: format {manifest['format']}, this reads {FORMAT}")
        if manifest[ARRAYS] != _size_and_hash(folder / ARRAYS):
            raise CheckpointError(f"{folder}: {ARRAYS} is not what its manifest says")
        dtypes = manifest.get("dtypes", {})
        with np.load(folder / ARRAYS, allow_pickle=False) as archive:
            arrays = {
                name: archive[name].view(np.dtype(dtypes.get(name, archive[name].dtype)))
                for name in archive.files
            }
        return Checkpoint(arrays, dict(manifest["facts"]))
    except (
        *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError),
        *(zipfile.BadZipFile, DamageError),
    ) as error:
        raise CheckpointError(f"{folder}: no whole checkpoint ({error})") from error


def _put_in_place(new: Path, folder: Path, *, keep_previous: bool) -> None:
    # A folder can't be renamed over a full one. Between any two of these renames the one written
    # last lies under one of the names that `read` and `read_newest` look at.
    previous, old = places.previous(folder), places.being_dropped(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        if keep_previous and previous.exists():
            previous.rename(old)
        folder.rename(previous if keep_previous else old)
    new.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _storable(array: Array) -> Array:
    stored_as = _STORED_AS.get(array.dtype)
    return array if stored_as is None else array.view(stored_as)


def _size_and_hash(path: Path) -> dict[str, int | str]:
    with path.open("rb") as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }
