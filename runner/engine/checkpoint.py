"""Arrays and facts on disk: a checkpoint is whole, or it is not taken for one.

A checkpoint is a folder of `weights.npz` (arrays, no pickle) and `manifest.json` (format, whose it
is, facts, size and SHA-256 of the arrays, and its own), written under a temporary name, flushed to
the disk and renamed into place. What was there before stays as `<name>.previous` until the next one
is whole, so that a checkpoint damaged afterwards costs the time between two, not the run.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
import numpy.typing as npt
from optrun.data.files import sha256_of, sync, write_atomically
from optrun.runner.runs import checkpoint_places as places
from optrun.runner.runs.array_file import DAMAGE
from optrun.runner.runs.checkpoint_places import ARRAYS, FORMAT, MANIFEST
from optrun.runner.untrusted import DamageError, content_of

_LARGEST_MANIFEST = 64 * 2**20  # bytes; a line of each epoch is in it, of some hundred bytes
Array = npt.NDArray[np.generic]
# NumPy's files know no bfloat16; its bits are stored as whole numbers.
_STORED_AS = {np.dtype(ml_dtypes.bfloat16): np.dtype(np.uint16)}
_OWN_HASH = "sha256"  # of the manifest: of its JSON without this entry, see `_hash_of`


class CheckpointError(Exception):
    """A checkpoint that is not whole, or of a format this version does not read."""


@dataclass(frozen=True)
class Checkpoint:
    arrays: dict[str, Array]  # in the order in which they were saved
    facts: dict[str, object]


def save(
    folder: Path,
    arrays: Mapping[str, Array] | Sequence[Array],
    facts: Mapping[str, object],
    *,
    owner: str = "",
    keep_previous: bool = False,
) -> None:
    """Write a checkpoint of the run `owner`, in place of one of the same name.

    The run's folder must exist. Arrays in a sequence are named by position; facts are plain JSON
    values. After an `OSError` what was there before is as it was, or, if only the very last flush
    failed, replaced by a whole one.
    """
    if not isinstance(arrays, Mapping):
        arrays = {f"{index:04d}": array for index, array in enumerate(arrays)}
    _settle(folder)
    new = places.being_written(folder)
    shutil.rmtree(new, ignore_errors=True)
    try:
        # A run's folder that somebody took away must not come back as an empty one.
        new.parent.mkdir(exist_ok=True)
        new.mkdir()
        with (new / ARRAYS).open("wb") as file:
            hashed = _Hashed(file)
            stored = {n: a.view(_STORED_AS.get(a.dtype, a.dtype)) for n, a in arrays.items()}
            np.savez(hashed, **stored)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "run": owner,
            "facts": dict(facts),
            "dtypes": {name: str(array.dtype) for name, array in arrays.items()},
            ARRAYS: {"bytes": hashed.bytes, "sha256": hashed.sha256.hexdigest()},
        }
        manifest[_OWN_HASH] = _hash_of(manifest)
        text = json.dumps(manifest, indent=1, allow_nan=False)
        write_atomically(new / MANIFEST, text.encode())
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    _put_in_place(new, folder, keep_previous=keep_previous)


def forget_previous(folder: Path) -> None:
    """Delete the one that a checkpoint replaced, once nothing may need it any more."""
    shutil.rmtree(places.previous(folder), ignore_errors=True)


def forget(folder: Path) -> None:
    """Delete a checkpoint with all that it replaced."""
    for place in places.newest_first(folder):
        shutil.rmtree(place, ignore_errors=True)


def put_newest_in_place(folder: Path, *, owner: str) -> None:
    """Rename a whole checkpoint of a run that a crash left under the name it was written by.

    `read_newest` takes such a one for what it is; a run that goes on from it may never write
    another.
    """
    new = places.being_written(folder)
    with contextlib.suppress(CheckpointError):
        _read(new, owner)
        _put_in_place(new, folder, keep_previous=True)


def read(folder: Path, *, owner: str | None = None) -> Checkpoint:
    """Read a checkpoint of the run `owner`, or of whichever; what is wrong is a `CheckpointError`.

    A rename that a crash cut short is no damage: the one that it was to replace is found.
    """
    return _read(places.in_place(folder), owner)


def read_newest(folder: Path, *, owner: str | None = None) -> tuple[Checkpoint, list[str]]:
    """The newest whole one of a checkpoint and those it replaced, and why not each newer one.

    Where none is whole, a `CheckpointError` says why; `FileNotFoundError`: there never was one.
    """
    problems: list[str] = []
    for place in places.newest_first(folder):
        if not place.exists():
            continue
        try:
            return _read(place, owner), problems
        except CheckpointError as error:
            # One still being written when the process died was never a checkpoint.
            if place != places.being_written(folder):
                problems.append(str(error))
    if problems:
        raise CheckpointError("; ".join(problems))
    raise FileNotFoundError(folder)


def load(folder: Path, *, owner: str | None = None) -> list[Array]:
    """The arrays that `read` finds, in the order in which they were saved."""
    return list(read(folder, owner=owner).arrays.values())


def _read(folder: Path, owner: str | None) -> Checkpoint:
    try:
        manifest = _manifest(folder)
        if owner is not None and manifest["run"] != owner:
            raise CheckpointError(f"{folder} is of the run {manifest['run']!r}, not of {owner}")
        if manifest[ARRAYS] != _size_and_hash(folder / ARRAYS):
            raise CheckpointError(f"{folder}: {ARRAYS} is not what its manifest says")
        dtypes = manifest["dtypes"]
        with np.load(folder / ARRAYS, allow_pickle=False) as archive:
            arrays = {name: archive[name].view(np.dtype(dtypes[name])) for name in archive.files}
        return Checkpoint(arrays, dict(manifest["facts"]))
    except DAMAGE as error:
        raise CheckpointError(f"{folder}: no whole checkpoint ({error})") from error


def _manifest(folder: Path) -> dict[str, Any]:
    manifest = json.loads(content_of(folder / MANIFEST, _LARGEST_MANIFEST))
    if manifest["format"] != FORMAT:
        written = str(manifest["format"])[:20]
        raise CheckpointError(
            f"{folder} has the format {written!r}, this version reads {FORMAT}; use the version "
            "of optrun that wrote it"
        )
    if manifest.pop(_OWN_HASH) != _hash_of(manifest):
        raise CheckpointError(f"{folder}: {MANIFEST} is not as it was written")
    return dict(manifest)


def _hash_of(manifest: Mapping[str, object]) -> str:
    text = json.dumps(manifest, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _put_in_place(new: Path, folder: Path, *, keep_previous: bool) -> None:
    # A folder can't be renamed over a full one. Between any two of these renames the one written
    # last lies under one of the names that `read` and `read_newest` look at.
    previous, old = places.previous(folder), places.being_dropped(folder)
    shutil.rmtree(old, ignore_errors=True)
    renames = [(new, folder)]
    if folder.exists():
        # One that is no longer whole must not take the place of one that is.
        keep = keep_previous and (not previous.exists() or _looks_whole(folder))
        renames.insert(0, (folder, previous if keep else old))
        if keep and previous.exists():
            renames.insert(0, (previous, old))
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in renames:
            source.rename(target)
            done.append((source, target))
    except OSError:
        with contextlib.suppress(OSError):
            for source, target in reversed(done):
                target.rename(source)
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _settle(folder: Path) -> None:
    """End what a crash cut short between two renames, before its traces are overwritten."""
    if folder.exists():
        return
    for place in (places.being_written(folder), places.being_dropped(folder)):
        with contextlib.suppress(CheckpointError):
            _read(place, None)
            place.rename(folder)
            return


def _looks_whole(folder: Path) -> bool:
    """Whether it is, as far as can be told without reading its arrays."""
    try:
        stated = _manifest(folder)[ARRAYS]["bytes"]
        return bool(stated == (folder / ARRAYS).stat().st_size)
    except (*DAMAGE, CheckpointError):
        return False


class _Hashed:
    """Hands what is written on to a file, from its beginning to its end, and hashes it.

    The hash is that of what was to be written: a disk that kept something else is found out.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.bytes, self.sha256 = 0, hashlib.sha256()
        self._file = file
        self.flush = file.flush

    def write(self, piece: bytes) -> int:
        self.sha256.update(piece)
        self._file.write(piece)
        self.bytes += len(piece)
        return len(piece)

    def read(self, size: int = -1) -> bytes:
        """NumPy takes for a file only what has this method."""
        raise OSError("this file is for writing")


def _size_and_hash(path: Path) -> dict[str, int | str]:
    if not path.is_file():  # opening a pipe would wait for ever
        raise DamageError(f"no {path.name}")
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
