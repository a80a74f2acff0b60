"""The weights in a run's `checkpoint/best`, read with the care due to what others wrote."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from optrun.runner.engine import checkpoint
from optrun.runner.engine.checkpoint import CheckpointError
from optrun.runner.runs import checkpoint_places
from optrun.runner.runs.checkpoint_places import ARRAYS, MANIFEST
from optrun.runner.untrusted import DamageError, content_of, json_object


@dataclass(frozen=True)
class StoredWeights:
    """A checkpoint's arrays in the model's order, and the epoch they are of where it is known."""

    arrays: tuple[npt.NDArray[np.generic], ...]
    epoch: int | None


def read(folder: Path, *, owner: str | None = None) -> StoredWeights:
    """Reads a checkpoint.

    What it takes to read is bounded by the size of the file on disk: arrays are stored as they are,
    so an archive that would unpack to more than it holds is no checkpoint.

    Args:
        folder: `checkpoint/best` of a run.
        owner: Id of the run that it must be of; None: of whichever.

    Raises:
        DamageError: It is missing, damaged, or not what a run writes.
    """
    try:
        place = checkpoint_places.in_place(folder)
        if not place.exists():
            raise DamageError("no checkpoint/best")
    except OSError as error:
        raise DamageError(f"checkpoint/best: {error.strerror}") from error
    facts = _facts(json_object(content_of(place / MANIFEST)))
    _check_not_compressed(place / ARRAYS)
    try:
        arrays = checkpoint.load(place, owner=owner)
    except CheckpointError as error:
        raise DamageError(str(error)) from error
    if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in arrays):
        raise DamageError(f"{ARRAYS} holds values that are no finite numbers")
    epoch = facts.get("epoch")
    whole = isinstance(epoch, int) and not isinstance(epoch, bool)
    return StoredWeights(tuple(arrays), epoch if whole else None)


def _facts(manifest: dict[str, Any]) -> dict[str, Any]:
    facts = manifest.get("facts")
    return facts if isinstance(facts, dict) else {}


def _check_not_compressed(path: Path) -> None:
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise DamageError(f"no {ARRAYS}")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except checkpoint.DAMAGE as error:
        raise DamageError(f"{ARRAYS} is damaged") from error
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise DamageError(f"{ARRAYS} is compressed, which no run writes")
