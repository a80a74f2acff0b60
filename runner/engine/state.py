"""Everything that decides how a training goes on, as arrays and plain facts.

Restored, the next step computes what it would have computed: weights, the optimizer's variables
(momenta, slow weights, the place in a cycle or window), the seeds of the dropout masks, the running
means of loss and accuracy, and where in which epoch the next batch lies. The batches need no state:
which photos they hold is a function of seed, epoch and place (`optrun.data.feed.batches`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from optrun.runner.engine import clocks
from optrun.runner.engine.checkpoint import Array, Checkpoint, CheckpointError
from optrun.runner.events import EpochRecord

_BEST_LOGITS = "best_logits"


class Diverged(Exception):
    """The loss, or a weight, stopped being a finite number.

    Step (over the whole run) and epoch count from 1; `last_finite` are the last values that were
    finite, by name, and the step or epoch they are of.

    >>> str(Diverged("the loss", step=7, epoch=1, last_finite={"training_loss": 88.25, "step": 6}))
    'the loss is not finite at step 7, in epoch 1; before: training loss 88.25, step 6'
    """

    def __init__(
        self, what: str, *, step: int, epoch: int, last_finite: Mapping[str, float]
    ) -> None:
        told = ", ".join(
            f"{name.replace('_', ' ')} {value:{',' if isinstance(value, int) else '.4g'}}"
            for name, value in last_finite.items()
        )
        before = f"; before: {told}" if told else ""
        super().__init__(f"{what} is not finite at step {step:,}, in epoch {epoch:,}{before}")
        # What run.json keeps of it.
        self.facts = {"step": step, "epoch": epoch, "last_finite": dict(last_finite)}


@dataclass(frozen=True)
class Position:
    """The next batch: epoch and batch within it, both counted from 0.

    An epoch whose batches are all done but which is not evaluated yet is still where training
    stands: `batch` is then the number of batches in it.
    """

    epoch: int = 0
    batch: int = 0

    def steps_done(self, steps_per_epoch: int) -> int:
        """How many batches come before it."""
        return self.epoch * steps_per_epoch + self.batch


@dataclass(frozen=True)
class State:
    """What a checkpoint `last` holds: the sum of what the parts of a training give."""

    position: Position
    arrays: Mapping[str, Array] = field(repr=False)  # of network, optimizer and means
    records: Sequence[EpochRecord] = ()
    best_epoch: int | None = None  # the best of them, counted from 1
    best_logits: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    seconds: Mapping[str, float] = field(default_factory=dict)  # by `clocks.NAMES`, so far
    timed_images: int = 0  # photos trained on while the clock of training ran
    metrics_bytes: int = 0  # the length of metrics.jsonl when the checkpoint was taken


def to_checkpoint(state: State, *, steps_per_epoch: int) -> Checkpoint:
    """The state as `checkpoint.save` takes it."""
    arrays = dict(state.arrays)
    if state.best_logits is not None:
        arrays[_BEST_LOGITS] = state.best_logits
    facts: dict[str, object] = {
        "steps_done": state.position.steps_done(steps_per_epoch),
        "position": asdict(state.position),
        "records": [asdict(record) for record in state.records],
        "best_epoch": state.best_epoch,
        "seconds": dict(state.seconds),
        "timed_images": state.timed_images,
        "metrics_bytes": state.metrics_bytes,
    }
    return Checkpoint(arrays, facts)


def from_checkpoint(checkpoint: Checkpoint) -> State:
    """The state out of a checkpoint; a `CheckpointError` where its facts are not of a training."""
    facts: dict[str, Any] = checkpoint.facts
    arrays = dict(checkpoint.arrays)
    logits = arrays.pop(_BEST_LOGITS, None)
    try:
        return State(
            position=Position(**facts["position"]),
            arrays=arrays,
            records=[EpochRecord(**record) for record in facts["records"]],
            best_epoch=facts["best_epoch"],
            best_logits=None if logits is None else np.asarray(logits, np.float32),
            seconds={name: float(facts["seconds"][name]) for name in clocks.NAMES},
            timed_images=int(facts["timed_images"]),
            metrics_bytes=int(facts["metrics_bytes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the checkpoint's facts are not those of a run ({error})") from error
