"""What a run began with, beside what it would begin with now: `auto`, photos, weights, machine.

Precision and XLA are part of what a run computes, and so is the device: decided anew on another
machine, half of a run would be another experiment than the other half. What `auto` was when a run
began, or when the other runs of its plan did, is therefore kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from optrun.runner.config.schema import Experiment
from optrun.runner.engine import hardware
from optrun.runner.engine.hardware import Machine
from optrun.runner.errors import UserError
from optrun.runner.plan.plan import PlannedRun
from optrun.runner.runs.record import RunRecord, flatten
from optrun.runner.untrusted import clean, mapping, printable

STARTING_WEIGHTS = "the weights to start from"
Value = TypeVar("Value")


def machine_for(
    experiment: Experiment, device: str, recorded: Iterable[RunRecord], *, deterministic: bool
) -> Machine:
    """What an experiment is computed on, with every `auto` decided.

    What the experiment states itself counts first, then what `auto` was in recorded runs where they
    agree, then the hardware.

    Args:
        experiment: As configured.
        device: "auto", "cpu" or "gpu".
        recorded: The runs to go by.
        deterministic: Whether TensorFlow must be, in this process.

    Raises:
        UserError: A GPU was asked for and there is none; or XLA together with determinism.
    """
    runs = list(recorded)
    precision: str = experiment.training.precision
    jit_compile: bool | str = experiment.training.jit_compile
    if precision == "auto":
        precision = _agreed(run.precision for run in runs) or precision
    if jit_compile == "auto" and (agreed := _agreed(run.jit_compile for run in runs)) is not None:
        jit_compile = agreed
    return hardware.prepare(
        device, precision=precision, jit_compile=jit_compile, deterministic=deterministic
    )


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
    if gpu and not hardware.has_gpu():
        raise UserError(
            f"{gpu} began on a GPU, and TensorFlow finds none here. To go on with it on the "
            "processor, which takes longer and is recorded as a change: --device cpu"
        )
    return "gpu" if gpu else "cpu" if cpu else "auto"


def is_deterministic(runs: Sequence[PlannedRun]) -> bool:
    """Whether TensorFlow must be deterministic, which it is for a whole process and for good.

    Raises:
        UserError: Some runs say so and others do not.
    """
    names = {run.experiment.training.deterministic: run.experiment.name for run in runs}
    if len(names) > 1:
        raise UserError(
            f"training.deterministic is true in {names[True]} and false in {names[False]}, and one "
            "process can only be one or the other. Train them by a command each, or set it for "
            "all: --set training.deterministic=true"
        )
    return True in names


def other_material(recorded: RunRecord, now: RunRecord) -> list[str]:
    """What of photos and weights is not what a recorded run had, in words.

    Args:
        recorded: The run.
        now: What would be recorded if it began now.
    """
    before, present = recorded.comparable, now.comparable
    weights = [mapping(one.get("model")).get("weights") for one in (before, present)]
    other = {
        "the photos": before.get("photos") != present.get("photos"),
        "the division of the photos": before.get("split") != present.get("split"),
        STARTING_WEIGHTS: weights[0] != weights[1],
    }
    return [name for name, differs in other.items() if differs]


def changes(recorded: RunRecord, now: RunRecord) -> list[str]:
    """What of versions, hardware and the place of the photos is not as it was, in words.

    Packages that were not recorded when the run began are none.
    """
    if not recorded.provenance:
        return ["what it was started on was not recorded"]
    found = []
    if recorded.device != now.device:
        found.append(f"device was {recorded.device or 'missing'}, now {now.device}")
    for key in ("python", "packages", "hardware", "threads", "photos_source"):
        old = flatten(_under(key, recorded.provenance))
        new = flatten(_under(key, clean(now.provenance)))
        names = old.keys() if key == "packages" else old.keys() | new.keys()
        found += [
            f"{name} was {old.get(name, 'missing')}, now {new.get(name, 'missing')}"
            for name in sorted(names)
            if old.get(name) != new.get(name)
        ]
    return found


def _under(key: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    return {key: provenance[key]} if key in provenance else {}


def _agreed(values: Iterable[Value | None]) -> Value | None:
    """The value that all have that have one; None where there are several, or none."""
    found = {value for value in values if value is not None}
    return found.pop() if len(found) == 1 else None
