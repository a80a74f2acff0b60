"""What `auto` was decided to be when a run began, kept when it goes on.

Precision and XLA are part of what a run computes, and so is the device: decided anew on another
machine, half of a run would be another experiment than the other half.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from optrun.runner.config.schema import Experiment
from optrun.runner.engine import hardware as machines
from optrun.runner.errors import UserError
from optrun.runner.runs.record import RunRecord
from optrun.runner.untrusted import printable

Value = TypeVar("Value")


def as_decided(experiment: Experiment, recorded: Iterable[RunRecord]) -> Experiment:
    """The experiment with what `auto` was in runs of its plan.

    What it states itself stays. Where the runs were decided on differently, `auto` stays `auto`.

    Args:
        experiment: As configured.
        recorded: The record of each run to go by.
    """
    runs = list(recorded)
    training = experiment.training
    changed: dict[str, object] = {}
    if training.precision == "auto" and (precision := _agreed(run.precision for run in runs)):
        changed["precision"] = precision
    if (
        training.jit_compile == "auto"
        and (jit := _agreed(run.jit_compile for run in runs)) is not None
    ):
        changed["jit_compile"] = jit
    if not changed:
        return experiment
    return experiment.model_copy(update={"training": training.model_copy(update=changed)})


def device_for(asked: str, recorded: Sequence[tuple[Path, RunRecord]]) -> str:
    """The device to go on with: the one that the runs began on, or what the person names.

    Args:
        asked: "auto", "cpu" or "gpu", as `--device` takes it.
        recorded: Folder and record of each run that began.

    Raises:
        UserError: They began on a GPU and there is none, or some on a GPU and some on the CPU.
    """
    if asked != "auto":
        return asked
    folders = {run.device: printable(str(folder)) for folder, run in reversed(recorded)}
    cpu, gpu = folders.get("cpu"), folders.get("gpu")
    if cpu and gpu:
        raise UserError(
            f"{gpu} began on a GPU and {cpu} on the CPU, and one process trains on one of them. "
            "Go on with them apart, or name the device for all: --device cpu"
        )
    if gpu and not machines.has_gpu():
        raise UserError(
            f"{gpu} began on a GPU, and TensorFlow finds none here. To go on with it on the "
            "processor, which takes longer and is recorded as a change: --device cpu"
        )
    return "gpu" if gpu else "cpu" if cpu else "auto"


def _agreed(values: Iterable[Value | None]) -> Value | None:
    """The value that all have that have one; None where there are several, or none."""
    found = {value for value in values if value is not None}
    return found.pop() if len(found) == 1 else None
