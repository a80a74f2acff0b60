"""How a plan stands: what is recorded of each run, what is left to do about it, what came of it.

A recorded run is that of a planned one when experiment (by its hash), seed, name and kind of photos
(drawn or real) are the same. A path counts as a path in that hash, so a run on photos or weights
from elsewhere is one to look at twice: `Turn.from_elsewhere`.

Device, precision and XLA are part of what a run computes: decided anew on another machine, half of
a run would be another experiment. What `auto` was when it or its plan began is therefore kept.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from optrun.runner.config.schema import PATH_KEYS, Experiment, value_at
from optrun.runner.engine import hardware
from optrun.runner.engine.hardware import Machine
from optrun.runner.errors import UserError
from optrun.runner.plan.plan import PlannedRun
from optrun.runner.runs import reader
from optrun.runner.runs.reader import Run
from optrun.runner.runs.record import UNTIL_SURE, RunRecord, RunStatus, flatten
from optrun.runner.runs.standing import newest_saved
from optrun.runner.runs.writer_lock import LOCK_NAME, holder_of, is_held
from optrun.runner.ui.wording import number_of, some
from optrun.runner.untrusted import DamageError, clean, mapping, printable

STARTING_WEIGHTS = "the weights to start from"

# What became of a run that a command was asked for: this, or its status where it was trained.
HELD = "left to the process that writes it"
REFUSED = "cannot be resumed"
# Of a run that was over when its turn came, by its recorded status.
OVER: dict[str, str] = {
    RunStatus.COMPLETED: "completed before",
    RunStatus.DIVERGED: "diverged before",
}
_Value = TypeVar("_Value")


class ToDo(StrEnum):
    """What is done about a planned run, in the words that `--resume` says it in."""

    LEAVE_COMPLETED = "completed"
    LEAVE_DIVERGED = "diverged"
    LEAVE_HELD = "running"
    GO_ON = "go on"
    START = "start"


@dataclass(frozen=True)
class Turn:
    """A planned run and the recorded one that stands for it."""

    run: PlannedRun
    to_do: ToDo = ToDo.START
    folder: Path | None = None
    record: RunRecord | None = field(default=None, repr=False)
    # The photos or weights that the recorded run names, where the plan names others; whether they
    # are the same must be found out.
    from_elsewhere: str = ""
    remark: str = ""  # what a person should know of the recorded run

    @property
    def is_over(self) -> bool:
        return self.to_do in OVER  # as far as the recorded run is that of the plan

    @property
    def may_be_open(self) -> bool:
        return not self.is_over or bool(self.from_elsewhere)


def turns(
    runs: Sequence[PlannedRun], results: Path, *, without: Collection[Path] = ()
) -> list[Turn]:
    """How each run of a plan stands, in its order; folders that can't be read count for nothing.

    `results` need not exist; the folders in `without` are known not to be the plan's.
    """
    recorded: defaultdict[object, list[Run]] = defaultdict(list)
    for found in reader.read_all([results])[0] if results.is_dir() else []:
        if found.folder not in without:
            one = found.record
            recorded[one.name, one.seed, one.experiment, one.sample].append(found)

    def of(run: PlannedRun) -> list[Run]:
        found = recorded[printable(run.name), run.seed, run.identity, run.is_sample]
        # What is judged by a plan that was written before its runs are those runs alone.
        by_plan = run.provenance.get(UNTIL_SURE)
        return [one for one in found if by_plan in (None, one.record.plan)]

    return [_turn(run, of(run)) for run in runs]


def _turn(planned: PlannedRun, recorded: Sequence[Run]) -> Turn:
    def turn(to_do: ToDo, one: Run, *remarks: str) -> Turn:
        elsewhere = _from_elsewhere(planned.experiment, one.folder)
        last = [f"if its {elsewhere} are those of the plan"] if elsewhere else []
        remark = ", ".join([printable(str(one.folder)), *remarks, *last])
        return Turn(planned, to_do, one.folder, one.record, elsewhere, remark)

    newest_first = sorted(recorded, key=lambda one: one.record.started, reverse=True)
    for over in (RunStatus.COMPLETED, RunStatus.DIVERGED):
        for one in newest_first:
            if one.status == over:
                return turn(ToDo(over), one)
    unfinished = []
    for one in newest_first:
        # A process may have taken one that says "interrupted", and not have said more yet.
        if is_held(one.folder / LOCK_NAME):
            holder = holder_of(one.folder / LOCK_NAME)
            return turn(ToDo.LEAVE_HELD, one, *([f"by {holder}"] if holder else []))
        saved, _ = newest_saved(one.folder, one.record.id)
        unfinished.append((saved.steps_done if saved else 0, one))
    if not unfinished:
        return Turn(planned)
    steps_done, furthest = max(unfinished, key=lambda pair: pair[0])
    steps = planned.experiment.training.epochs * (furthest.record.steps_per_epoch or 0)
    place = f"from step {steps_done + 1:,}" + (f" of {steps:,}" if steps else "")
    remarks = [place if steps_done else "from the beginning"]
    if others := [printable(one.folder.name) for _, one in unfinished if one is not furthest]:
        remarks.append(f"the furthest of {len(unfinished):,}, left alone: {some(others, 1)}")
    return turn(ToDo.GO_ON, furthest, *remarks)


def _from_elsewhere(experiment: Experiment, folder: Path) -> str:
    """The photos and weights of a recorded run whose paths are not those of the experiment."""
    names = {"data": "photos", "model": "weights"}
    planned = {
        path: value
        for path, words in PATH_KEYS.items()
        if (value := value_at(experiment, path)) not in words
    }
    config = reader.read_config(folder) if planned else {}
    return " and ".join(
        f"{names[path[0]]} from {printable(str(config.get('.'.join(path), 'elsewhere')))}"
        for path, value in planned.items()
        if config.get(".".join(path)) != value
    )


def read_record(path: Path) -> RunRecord:
    try:
        return RunRecord.read(path)
    except DamageError as damage:
        lists = f"`optrun runs {path.parent}` lists those there"
        raise UserError(f"{path} is no run that can be resumed: {damage}. {lists}") from damage


def lines(found: Sequence[Turn]) -> list[str]:
    """The plan's runs with what is done about each, for a person."""
    counts = Counter(one.to_do for one in found)
    words = {
        ToDo.LEAVE_HELD: "running in another process",
        ToDo.GO_ON: "to go on with",
        ToDo.START: "to start",
    }
    told = ", ".join(f"{counts[one]:,} {words.get(one, one)}" for one in ToDo if counts[one])
    seeds = max(len(str(one.run.seed)) for one in found)
    names = max(len(one.run.name) for one in found)
    widest = max(len(one.to_do) for one in found)
    table = [
        f"  seed {one.run.seed:>{seeds}}  {one.run.name:<{names}}  "
        f"{one.to_do:<{widest}}  {one.remark}".rstrip()
        for one in found
    ]
    return [f"{len(found):,} planned: {told}", *table]


def exit_code(outcomes: Sequence[str], *, refused: int) -> int:
    """The exit code of several runs: that of the worst; `refused` for one that can't be resumed.

    A failure wants a person; a run that another process writes is not over; a divergence is an
    outcome, whenever it was found.

    >>> exit_code(["completed", "diverged before", HELD], refused=1)
    5
    """
    diverged = (RunStatus.DIVERGED, OVER[RunStatus.DIVERGED])
    codes = {RunStatus.FAILED: 1, REFUSED: refused, HELD: 5, **dict.fromkeys(diverged, 3)}
    return next((code for outcome, code in codes.items() if outcome in outcomes), 0)


def summary(outcomes: Sequence[str]) -> str:
    """How many runs came to what: `3 runs: 2 completed, 1 diverged`."""
    parts = (f"{outcomes.count(one):,} {one}" for one in dict.fromkeys(outcomes))
    return f"{number_of(len(outcomes), 'run')}: {', '.join(parts)}"


def machine_for(
    experiment: Experiment, device: str, recorded: Sequence[RunRecord], *, deterministic: bool
) -> Machine:
    """What an experiment is computed on, with every `auto` decided.

    What the experiment states itself counts first, then what `auto` was in recorded runs where they
    agree, then the hardware.
    """

    def decided(stated: _Value, were: Iterable[_Value | None]) -> _Value:
        found = {one for one in were if one is not None}
        return found.pop() if stated == "auto" and len(found) == 1 else stated

    training = experiment.training
    return hardware.prepare(
        device,
        precision=decided(training.precision, (run.precision or None for run in recorded)),
        jit_compile=decided(training.jit_compile, (run.jit_compile for run in recorded)),
        deterministic=deterministic,
    )


def device_for(asked: str, recorded: Sequence[tuple[Path, RunRecord]]) -> str:
    """The device to go on with: the one that the runs began on, or what the person names."""
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
    """Whether TensorFlow must be deterministic, which it is for a whole process and for good."""
    names = {run.experiment.training.deterministic: run.experiment.name for run in runs}
    if len(names) > 1:
        raise UserError(
            f"training.deterministic is true in {names[True]} and false in {names[False]}, and one "
            "process can only be one or the other. Train them by a command each, or set it for "
            "all: --set training.deterministic=true"
        )
    return True in names


def other_material(recorded: RunRecord, now: RunRecord) -> list[str]:
    """What of photos and weights a recorded run had otherwise than if it began now, in words."""
    before, present = recorded.comparable, now.comparable
    weights = [mapping(one.get("model")).get("weights") for one in (before, present)]
    other = {
        "the photos": before.get("photos") != present.get("photos"),
        "the division of the photos": before.get("split") != present.get("split"),
        STARTING_WEIGHTS: weights[0] != weights[1],
    }
    return [name for name, differs in other.items() if differs]


def changes(recorded: RunRecord, now: RunRecord) -> list[str]:
    """What of versions, hardware, variables and the photos' place is not as it was, in words.

    Packages that were not recorded when the run began are none.
    """
    if not recorded.provenance:
        return ["what it was started on was not recorded"]
    found = []
    if recorded.device != now.device:
        found.append(f"device was {recorded.device or 'missing'}, now {now.device}")
    before, present = recorded.provenance, clean(now.provenance)
    keys = ["python", "packages", "hardware", "threads", "photos_source"]
    if "environment" in before:
        keys.append("environment")
    for key in keys:
        old, new = (
            flatten({key: facts[key]} if facts.get(key) else {}) for facts in (before, present)
        )
        names = old.keys() if key == "packages" else old.keys() | new.keys()
        found += [
            f"{name} was {old.get(name, 'missing')}, now {new.get(name, 'missing')}"
            for name in sorted(names)
            if old.get(name) != new.get(name)
        ]
    return found
