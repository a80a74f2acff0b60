"""Everything that decides how a training goes on, as arrays and plain facts.

Restored, the next step computes what it would have computed: weights, the optimizer's variables
(momenta, slow weights, the place in a cycle or window), the seeds of the dropout masks, the running
means of loss and accuracy, and where in which epoch the next batch lies. The batches need no state:
which photos they hold is a function of seed, epoch and place (`optrun.data.feed.batches`).
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np
from optrun.runner.engine.callbacks import Clocks, Evaluation
from optrun.runner.engine.checkpoint import Array, Checkpoint, CheckpointError
from optrun.runner.engine.position import Position
from optrun.runner.events import EpochRecord

_BEST_LOGITS = "best_logits"


@dataclass(frozen=True)
class State:
    """What a checkpoint `last` holds.

    Attributes:
        position: The next batch to train on.
        arrays: Of the network, its optimizer and its metrics, by kind and place.
        records: The epochs so far.
        best_epoch: The best of them, counted from 1; None before the first.
        best_logits: Its validation logits.
        seconds: Of training, evaluation and everything else so far.
        timed_images: Photos trained on while the clock of training ran.
        metrics_bytes: Length of metrics.jsonl when the checkpoint was taken.
    """

    position: Position
    arrays: Mapping[str, Array] = field(repr=False)
    records: Sequence[EpochRecord] = ()
    best_epoch: int | None = None
    best_logits: "np.ndarray[Any, np.dtype[np.float32]] | None" = field(default=None, repr=False)
    seconds: Mapping[str, float] = field(default_factory=dict)
    timed_images: int = 0
    metrics_bytes: int = 0


def metrics_of(
    model: keras.Model, *compiled_with: keras.metrics.Metric
) -> list[keras.metrics.Metric]:
    """Every metric that holds a mean over the epoch.

    Args:
        model: Compiled.
        compiled_with: The metrics it was compiled with, which Keras lists only after the first
            step.
    """
    tracked = list({id(one): one for one in (*model.metrics, *compiled_with)}.values())
    return [metric for metric in tracked if metric.variables]


def variables_of(
    model: keras.Model, metrics: Iterable[keras.metrics.Metric]
) -> dict[str, keras.Variable]:
    """Every variable that training reads or writes, by kind and place.

    Args:
        model: Compiled, its optimizer built.
        metrics: As `metrics_of` returns them.
    """
    groups = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": [variable for metric in metrics for variable in metric.variables],
    }
    return {
        f"{kind}/{index:04d}": variable
        for kind, variables in groups.items()
        for index, variable in enumerate(variables)
    }


def keep_values(metrics: Iterable[keras.metrics.Metric]) -> Callable[[], None]:
    """What gives the metrics the values back that they have now."""
    variables = [variable for metric in metrics for variable in metric.variables]
    values = [keras.ops.convert_to_numpy(variable.value) for variable in variables]

    def put_back_values() -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    return put_back_values


def put_back(variables: Mapping[str, keras.Variable], arrays: Mapping[str, Array]) -> None:
    """Give the variables the values of a checkpoint.

    Raises:
        CheckpointError: They are not those of this network and optimizer.
    """
    if variables.keys() != arrays.keys():
        raise CheckpointError(
            f"the checkpoint holds {len(arrays)} arrays, the network and its optimizer "
            f"{len(variables)} variables: another version of optrun or Keras wrote it"
        )
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise CheckpointError(
                f"{variable.path} has the shape {tuple(variable.shape)}, "
                f"the checkpoint's {arrays[name].shape}"
            )
        variable.assign(arrays[name])


def values_of(variables: Mapping[str, keras.Variable]) -> dict[str, Array]:
    """The variables' values now."""
    return {name: keras.ops.convert_to_numpy(one.value) for name, one in variables.items()}


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
    """The state out of a checkpoint.

    Raises:
        CheckpointError: Its facts are not those of a training.
    """
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
            seconds={name: float(facts["seconds"][name]) for name in _CLOCKS},
            timed_images=int(facts["timed_images"]),
            metrics_bytes=int(facts["metrics_bytes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the checkpoint's facts are not those of a run ({error})") from error


_CLOCKS = ("training", "evaluation", "other")


def seconds_of(clocks: Clocks) -> dict[str, float]:
    """What the clocks show."""
    return {name: float(getattr(clocks, name)) for name in _CLOCKS}


def clocks_from(state: State) -> Clocks:
    """Clocks that go on from where they were: the time in between is nobody's."""
    return Clocks(
        started=time.monotonic() - sum(state.seconds.values()),
        training=state.seconds["training"],
        evaluation=state.seconds["evaluation"],
        timed_images=state.timed_images,
    )


def put_back_records(evaluation: Evaluation, state: State) -> None:
    """Give the evaluation the epochs it has seen and the best of them."""
    evaluation.records = list(state.records)
    evaluation.best = next((one for one in state.records if one.epoch == state.best_epoch), None)
    evaluation.best_logits = state.best_logits
