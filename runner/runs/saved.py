"""What the checkpoints of a run claim, by their manifests: nothing of their arrays is read.

Whether a checkpoint is whole is for `runner.engine.checkpoint` to find out, which hashes all of it.
A manifest of the right format beside arrays of the size that it states looks whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optrun.runner.runs import checkpoint_places
from optrun.runner.runs.checkpoint_places import ARRAYS, FORMAT, MANIFEST
from optrun.runner.untrusted import DamageError, content_of, json_object, mapping, number

_MOST_VALUES = 200_000  # a manifest holds all epochs so far, some twenty values each
CLOCKS = ("training", "evaluation", "other")


@dataclass(frozen=True)
class Saved:
    """A checkpoint `last`, or one that it replaced, which looks whole.

    Attributes:
        steps_done: Steps of the training that it holds.
        steps_per_epoch: None where it was saved within the first epoch, and so cannot be told.
        seconds: Of training, evaluation and everything else up to it.
        saved_at: When it was written, in seconds of the system's clock.
    """

    steps_done: int
    steps_per_epoch: int | None
    seconds: Mapping[str, float]
    saved_at: float


def newest_saved(folder: Path, owner: str) -> tuple[Saved | None, bool]:
    """The newest checkpoint to go on from, and whether there are only damaged ones.

    Args:
        folder: The run's folder.
        owner: The run's id.
    """
    damaged = False
    last = checkpoint_places.last(folder)
    for place in checkpoint_places.newest_first(last):
        if not _exists(place):
            continue
        saved = _read(place, owner)
        if saved is not None:
            return saved, False
        # One still being written when the process died was never a checkpoint.
        damaged = damaged or place != checkpoint_places.being_written(last)
    return None, damaged


def whole(value: object) -> int | None:
    """A recorded count; None for what is no whole number from 0, or absurdly large."""
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return value if is_count and 0 <= value < 2**53 else None  # type: ignore[operator, return-value]


def _read(place: Path, owner: str) -> Saved | None:
    try:
        manifest = json_object(content_of(place / MANIFEST), _MOST_VALUES)
        status = (place / ARRAYS).stat()
    except (DamageError, OSError, ValueError):
        return None
    facts, arrays = mapping(manifest.get("facts")), mapping(manifest.get(ARRAYS))
    if manifest.get("format") != FORMAT or manifest.get("run") != owner:
        return None
    if arrays.get("bytes") != status.st_size:
        return None
    steps_done = whole(facts.get("steps_done"))
    if steps_done is None:
        return None
    seconds = mapping(facts.get("seconds"))
    return Saved(
        steps_done=steps_done,
        steps_per_epoch=_steps_per_epoch(steps_done, mapping(facts.get("position"))),
        seconds={name: number(seconds.get(name)) or 0.0 for name in CLOCKS},
        saved_at=status.st_mtime,
    )


def _steps_per_epoch(steps_done: int, position: Mapping[str, Any]) -> int | None:
    """Out of steps_done = epoch * steps_per_epoch + batch."""
    epoch, batch = whole(position.get("epoch")), whole(position.get("batch"))
    if not epoch or batch is None or steps_done <= batch:
        return None
    steps, rest = divmod(steps_done - batch, epoch)
    return None if rest else steps


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:
        return True  # there, and not to be looked into
