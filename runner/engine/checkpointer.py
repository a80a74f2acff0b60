"""When a training is saved, and where: its checkpoint `last`, and `best` in step with it.

`last` says which epoch is the best so far, and a run goes on from it only where that epoch's
weights lie beside it, in `best`. They are therefore written before a `last` that names them, and
those they replace stay for as long as the checkpoint before `last` names those: whichever of the
two a run goes on from, its best epoch is there.
"""

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from optrun.runner.engine import checkpoint
from optrun.runner.engine.checkpoint import Array, CheckpointError
from optrun.runner.engine.state import Diverged, Position, State, to_checkpoint
from optrun.runner.runs import checkpoint_places as places
from optrun.runner.ui.wording import size

# Of the time between two checkpoints, for writing the second at an epoch's end. With the first
# epoch's, which is always written, and those every few minutes it stays below 2 % of an hour.
LARGEST_SHARE = 0.015
# The arrays of a checkpoint take nearly all of it; the rest is headers and the manifest.
_BESIDES_ARRAYS_BYTES = 4 * 2**20


class DiskFull(OSError):
    """No room for a checkpoint; what was saved before is whole."""


@dataclass(frozen=True)
class Storage:
    """Where a training keeps what it goes on from: its checkpoints and TensorBoard's folder."""

    run_id: str  # written into every checkpoint; only a run's own are taken
    best: Path
    last: Path
    tensorboard: Path
    metrics_bytes: Callable[[], int]  # the length of metrics.jsonl, which a resumed one is cut to


@dataclass(frozen=True)
class BestEpoch:
    weights: Sequence[Array] = field(repr=False)
    facts: Mapping[str, object]  # its number (`epoch`) and its validation scores


class Checkpointer:
    """Saves a training: every few minutes, at the ends of epochs, and when it is told to stop.

    An epoch so short that saving at its end would take more than `LARGEST_SHARE` of the time is
    not saved unless it is the last: where a run goes on from makes no difference to its result.
    """

    def __init__(self, storage: Storage, *, minutes: float, steps: int) -> None:
        self._storage = storage
        self._seconds = 60 * minutes  # the longest time between two checkpoints
        self._steps = steps  # in an epoch
        self.unsaved_best: BestEpoch | None = None  # as long as it is not on disk
        self._saved_at = time.monotonic()
        self._saved_position: Position | None = None
        self._save_seconds = 0.0

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is as old as one may be."""
        return time.monotonic() - self._saved_at >= self._seconds

    @property
    def is_worth_it(self) -> bool:
        """Whether saving now would take but a small share of the time."""
        return self._save_seconds <= LARGEST_SHARE * (time.monotonic() - self._saved_at)

    def save(self, state: State, last_finite: Mapping[str, float]) -> None:
        """Write the training as it stands, and the best epoch before it.

        Where a weight is not finite (`Diverged`, with what was `last_finite`) or the disk can't be
        written (`OSError`), what was saved before stays.
        """
        started, best = time.monotonic(), self.unsaved_best
        self._require_finite(state, last_finite)
        self._require_room([*state.arrays.values(), *(best.weights if best is not None else ())])
        self.save_best()
        saved = to_checkpoint(state, steps_per_epoch=self._steps)
        checkpoint.save(
            self._storage.last,
            saved.arrays,
            saved.facts,
            owner=self._storage.run_id,
            keep_previous=True,
        )
        if best is None:
            # Both checkpoints name the same best epoch by now: the one before is of no use.
            checkpoint.forget_previous(self._storage.best)
        self._saved_at, self._saved_position = time.monotonic(), state.position
        self._save_seconds = self._saved_at - started

    def save_best(self) -> None:
        """Write the best epoch's weights, if they are not on disk, and keep those they replace."""
        if (best := self.unsaved_best) is not None:
            place, run_id = self._storage.best, self._storage.run_id
            checkpoint.save(place, best.weights, best.facts, owner=run_id, keep_previous=True)
            self.unsaved_best = None

    def has_saved(self, position: Position) -> bool:
        """Whether what was written last is the training as it stands there."""
        return position == self._saved_position

    def _require_room(self, arrays: Sequence[Array]) -> None:
        needed = sum(array.nbytes for array in arrays) + _BESIDES_ARRAYS_BYTES
        folder = self._storage.last.parent
        usage = shutil.disk_usage(folder if folder.exists() else folder.parent)
        # Some file systems on a network say that they have no size at all.
        if usage.total and usage.free < needed:
            raise DiskFull(
                f"the disk is full: a checkpoint needs {size(needed)} in {folder}, "
                f"{size(usage.free)} are free"
            )

    def _require_finite(self, state: State, last_finite: Mapping[str, float]) -> None:
        """A network that is beyond repair must not replace the last one that was not."""
        for name, array in state.arrays.items():
            is_weight = name.startswith("model/") and array.dtype.kind in "fV"  # V: bfloat16
            if is_weight and not np.isfinite(array).all():
                step = state.position.steps_done(self._steps)
                epoch = math.ceil(step / self._steps)
                raise Diverged("a weight", step=step, epoch=epoch, last_finite=last_finite)


def put_best_in_place(folder: Path, epoch: int, *, owner: str) -> None:
    """See to it that the checkpoint `best` is of the epoch that `last` says.

    Where a crash left others, they are put there; where there are none that are whole, nothing is
    changed and a `CheckpointError` says so.
    """
    problems = []
    for place in places.newest_first(folder):
        if not place.exists():
            continue
        try:
            found = checkpoint.read(place, owner=owner).facts.get("epoch")
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if found == epoch:
            if place != folder:
                shutil.rmtree(folder, ignore_errors=True)
                place.rename(folder)
            return
        problems.append(f"{place} is of epoch {found}")
    raise CheckpointError(
        f"the weights of the best epoch, {epoch}, are missing: "
        + ("; ".join(problems) or f"{folder} does not exist")
    )
