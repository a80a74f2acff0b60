"""When a training is saved: by time, at every epoch's end, and when it is told to stop."""

import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from runner import checkpoint
from runner.callbacks import Diverged
from runner.position import Place
from runner.stopping import Stops
from runner.training_state import State, to_checkpoint

# The arrays of a checkpoint take nearly all of it; the rest is headers and the manifest.
_BESIDES_ARRAYS_BYTES = 4 * 2**20


class DiskFull(OSError):
    """No room for a checkpoint; what was saved before is whole."""


class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves the training; comes last among the callbacks, when an epoch is recorded.

    Time spent here is neither training nor evaluation.
    """

    def __init__(
        self,
        *,
        folder: Path,
        minutes: float,
        place: Place,
        steps_per_epoch: int,
        state: Callable[[], State],
        stops: Stops,
    ) -> None:
        """Set up.

        Args:
            folder: The run's checkpoint `last`.
            minutes: Longest time between two checkpoints, in minutes.
            place: Where training stands.
            steps_per_epoch: Batches in an epoch.
            state: Takes the state of the training as it is now.
            stops: Whether to end here.
        """
        super().__init__()
        self._folder = folder
        self._seconds = 60 * minutes
        self._place = place
        self._steps_per_epoch = steps_per_epoch
        self._state = state
        self._stops = stops
        self._saved_at = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._place.position.batch == self._steps_per_epoch:
            return  # the epoch's end follows at once, and is a better place to go on from
        stop = self._stops.requested is not None
        if stop or time.monotonic() - self._saved_at >= self._seconds:
            self._save()
        self._stops.check()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._save()
        self._stops.check()

    def _save(self) -> None:
        state = self._state()
        self._require_finite(state)
        arrays_bytes = sum(array.nbytes for array in state.arrays.values())
        require_room(self._folder, arrays_bytes + _BESIDES_ARRAYS_BYTES)
        saved = to_checkpoint(state, steps_per_epoch=self._steps_per_epoch)
        checkpoint.save(self._folder, saved.arrays, saved.facts, keep_previous=True)
        self._saved_at = time.monotonic()

    def _require_finite(self, state: State) -> None:
        """A network that is beyond repair must not replace the last one that was not."""
        for name, array in state.arrays.items():
            is_weight = name.startswith("model/") and array.dtype.kind == "f"
            if is_weight and not np.isfinite(array).all():
                step = self._place.position.steps_done(self._steps_per_epoch)
                raise Diverged(step, math.ceil(step / self._steps_per_epoch), None)


def require_room(folder: Path, needed_bytes: int) -> None:
    """Raises `DiskFull` where fewer bytes than needed are free on the disk of `folder`."""
    place = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(place).free
    if free < needed_bytes:
        raise DiskFull(
            f"the disk is full: a checkpoint needs {needed_bytes / 1e6:,.0f} MB in "
            f"{folder.parent}, {free / 1e6:,.0f} MB are free"
        )
