"""When a training is saved: by time, at the ends of epochs, and when it is told to stop."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from optrun.runner.engine import best_weights, checkpoint
from optrun.runner.engine.callbacks import Evaluation
from optrun.runner.engine.divergence import Diverged
from optrun.runner.engine.position import Place, Position
from optrun.runner.engine.signals import Stops
from optrun.runner.engine.state import State, to_checkpoint
from optrun.runner.plan.disk_budget import free_bytes
from optrun.runner.ui.wording import size

# Of the time between two checkpoints, for writing the second at an epoch's end. With the first
# epoch's, which is always written, and those every few minutes it stays below 2 % of an hour.
LARGEST_SHARE = 0.015
# The arrays of a checkpoint take nearly all of it; the rest is headers and the manifest.
_BESIDES_ARRAYS_BYTES = 4 * 2**20


class DiskFull(OSError):
    """No room for a checkpoint; what was saved before is whole."""


class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves the training; comes last among the callbacks, when an epoch is recorded.

    Time spent here is neither training nor evaluation. An epoch so short that saving at its end
    would take more than `LARGEST_SHARE` of the time is not saved unless it is the last: where
    training goes on from makes no difference to what comes of it.
    """

    def __init__(
        self,
        *,
        best_folder: Path,
        last_folder: Path,
        owner: str,
        minutes: float,
        place: Place,
        steps_per_epoch: int,
        epochs: int,
        evaluation: Evaluation,
        state: Callable[[], State],
        stops: Stops,
    ) -> None:
        """Set up.

        Args:
            best_folder: The run's checkpoint `best`.
            last_folder: The run's checkpoint `last`.
            owner: The run's id.
            minutes: Longest time between two checkpoints, in minutes.
            place: Where training stands.
            steps_per_epoch: Batches in an epoch.
            epochs: Epochs of the run, where nothing stops it before.
            evaluation: Has the best epoch's weights.
            state: Takes the state of the training as it is now.
            stops: Whether to end here.
        """
        super().__init__()
        self._best_folder = best_folder
        self._last_folder = last_folder
        self._owner = owner
        self._seconds = 60 * minutes
        self._place = place
        self._steps_per_epoch = steps_per_epoch
        self._epochs = epochs
        self._evaluation = evaluation
        self._state = state
        self._stops = stops
        self._saved_at = time.monotonic()
        self._saved_position: Position | None = None
        self._save_seconds = 0.0
        self._last_finite: dict[str, float] = {}

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if logs:
            names = ("loss", "accuracy")
            self._last_finite = {f"training_{name}": float(logs[name]) for name in names}
        # An epoch's end follows at once, and is a better place to go on from.
        if not self._place.is_epoch_trained and self._seconds_since_save() >= self._seconds:
            self.save()
        self._stops.check()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._place.next_epoch()
        is_last = self.model.stop_training or epoch + 1 == self._epochs
        if is_last or self._save_seconds <= LARGEST_SHARE * self._seconds_since_save():
            self.save()
        self._stops.check()

    def save(self) -> None:
        """Write the training as it stands now, unless that is what was written last.

        Raises:
            Diverged: A weight is not finite; what was saved before stays.
            OSError: The disk is full or can't be written; what was saved before stays.
        """
        if self._place.position == self._saved_position:
            return
        started = time.monotonic()
        state = self._state()
        self._require_finite(state)
        self._require_room(state)
        is_best_new = self.save_best()
        saved = to_checkpoint(state, steps_per_epoch=self._steps_per_epoch)
        checkpoint.save(
            self._last_folder,
            saved.arrays,
            saved.facts,
            owner=self._owner,
            keep_previous=True,
        )
        if not is_best_new:
            # Both checkpoints name the same best epoch by now: the one before is of no use.
            checkpoint.forget_previous(self._best_folder)
        self._saved_at, self._saved_position = time.monotonic(), self._place.position
        self._save_seconds = self._saved_at - started

    def save_best(self) -> bool:
        """Write the best epoch's weights, if they are not on disk.

        Returns:
            Whether they were not.

        Raises:
            OSError: The disk is full or can't be written; what was saved before stays.
        """
        best = self._evaluation.unsaved_best
        if best is None:
            return False
        best_weights.save(self._best_folder, best, owner=self._owner)
        self._evaluation.unsaved_best = None
        return True

    def _seconds_since_save(self) -> float:
        return time.monotonic() - self._saved_at

    def _require_room(self, state: State) -> None:
        best = self._evaluation.unsaved_best
        arrays = [*state.arrays.values(), *(best.weights if best is not None else ())]
        needed = sum(array.nbytes for array in arrays) + _BESIDES_ARRAYS_BYTES
        free = free_bytes(self._last_folder)
        if free is not None and free < needed:
            raise DiskFull(
                f"the disk is full: a checkpoint needs {size(needed)} in "
                f"{self._last_folder.parent}, {size(free)} are free"
            )

    def _require_finite(self, state: State) -> None:
        """A network that is beyond repair must not replace the last one that was not."""
        for name, array in state.arrays.items():
            is_weight = name.startswith("model/") and array.dtype.kind in "fV"  # V: bfloat16
            if is_weight and not np.isfinite(array).all():
                step = self._place.position.steps_done(self._steps_per_epoch)
                raise Diverged(
                    "a weight",
                    step=step,
                    epoch=math.ceil(step / self._steps_per_epoch),
                    last_finite=self._last_finite,
                )
