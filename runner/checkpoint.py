"""A network's weights on disk: whole or not there at all.

A checkpoint is a folder of `weights.npz` (arrays by position, no pickle) and `manifest.json` (size
and SHA-256 of it), written under a temporary name and renamed into place.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

FORMAT = 1
Array = npt.NDArray[np.generic]


class CheckpointError(Exception):
    """A checkpoint that is not whole, or of a format this version does not read."""


def save(folder: Path, arrays: Sequence[Array], facts: dict[str, object]) -> None:
    """Write a checkpoint, in place of one of the same name.

    Args:
        folder: `checkpoint/best` of a run, say.
        arrays: The weights, in the model's order.
        facts: What else to know (epoch, say), as plain JSON values.
    """
    new = folder.with_name(f".{folder.name}.new")
    old = folder.with_name(f".{folder.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    with (new / "weights.npz").open("wb") as file:
        np.savez(file, **{f"{index:04d}": array for index, array in enumerate(arrays)})  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    manifest = {
        "format": FORMAT,
        "facts": facts,
        "weights.npz": _size_and_hash(new / "weights.npz"),
    }
    with (new / "manifest.json").open("w") as text:
        json.dump(manifest, text, indent=2)
        text.flush()
        os.fsync(text.fileno())
    # A folder cannot be renamed over a full one; between the two renames `load` finds the old one.
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load(folder: Path) -> list[Array]:
    """Read a checkpoint's arrays.

    Raises:
        CheckpointError: It is missing, damaged, or of another format.
    """
    if not folder.exists():
        folder = folder.with_name(f".{folder.name}.old")
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        if manifest["format"] != FORMAT:
            raise CheckpointError(f"{folder}: format {manifest['format']}, this reads {FORMAT}")
        if manifest["weights.npz"] != _size_and_hash(folder / "weights.npz"):
            raise CheckpointError(f"{folder}: weights.npz is not what its manifest says")
        with np.load(folder / "weights.npz", allow_pickle=False) as archive:
            return [archive[name] for name in sorted(archive.files)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}: no whole checkpoint ({error})") from error


def _size_and_hash(path: Path) -> dict[str, int | str]:
    with path.open("rb") as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }
