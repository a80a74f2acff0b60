"""How far a plan is: for each planned run, what is recorded of it and what is left to do.

A recorded run is that of a planned one when experiment (by its hash), seed, name and kind of photos
(drawn or real) are the same. A path counts as a path in that hash, so a run on photos or weights
from elsewhere is one to look at twice: `Turn.from_elsewhere`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from optrun.runner.config.schema import PATH_KEYS, Experiment, value_at
from optrun.runner.errors import UserError
from optrun.runner.plan.plan import Plan, PlannedRun
from optrun.runner.runs import reader
from optrun.runner.runs.reader import Run
from optrun.runner.runs.record import RunRecord, RunStatus
from optrun.runner.runs.standing import newest_saved
from optrun.runner.runs.writer_lock import LOCK_NAME, Holder, holder_of, is_held
from optrun.runner.untrusted import DamageError, printable

Key = tuple[str, int, str, bool]


class ToDo(StrEnum):
    """What is done about a planned run, in the words that `--resume` says it in."""

    LEAVE_COMPLETED = "completed"
    LEAVE_DIVERGED = "diverged"
    LEAVE_HELD = "running"
    GO_ON = "go on"
    START = "start"


_COUNTED = {
    ToDo.LEAVE_COMPLETED: "completed",
    ToDo.LEAVE_DIVERGED: "diverged",
    ToDo.LEAVE_HELD: "running in another process",
    ToDo.GO_ON: "to go on with",
    ToDo.START: "to start",
}


@dataclass(frozen=True)
class Turn:
    """A planned run and the recorded one that stands for it.

    Attributes:
        run: The run as planned.
        to_do: What is done about it.
        folder: The recorded run; None where there is none.
        record: What is recorded of it.
        steps_done: Steps of an unfinished one that need not be made again.
        others: Further unfinished ones of the same planned run.
        holder: Who writes it, where that is known.
        from_elsewhere: The photos or weights that the recorded run names, where the plan names
            others; whether they are the same must be found out.
    """

    run: PlannedRun
    to_do: ToDo = ToDo.START
    folder: Path | None = None
    record: RunRecord | None = field(default=None, repr=False)
    steps_done: int = 0
    others: Sequence[Path] = ()
    holder: Holder | None = None
    from_elsewhere: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do, as far as the recorded run is that of the plan."""
        return self.to_do in (ToDo.LEAVE_COMPLETED, ToDo.LEAVE_DIVERGED)

    @property
    def may_be_open(self) -> bool:
        """Whether something may be left to do."""
        return not self.is_over or bool(self.from_elsewhere)


def turns(plan: Plan, results: Path, *, without: Collection[Path] = ()) -> list[Turn]:
    """How each run of the plan stands, in its order; folders that can't be read count for nothing.

    Args:
        plan: What is planned.
        results: Where runs are recorded; it need not exist.
        without: Folders that are known not to be the plan's.
    """
    recorded: dict[Key, list[Run]] = {_key(run): [] for run in plan.runs}
    for folder in reader.find([results]) if results.is_dir() else []:
        run = reader.read(folder)
        if isinstance(run, Run) and folder not in without:
            one = run.record
            key = (one.name, one.seed, one.experiment, one.sample)
            if key in recorded:
                recorded[key].append(run)
    return [_turn(run, recorded[_key(run)]) for run in plan.runs]


def read_record(path: Path) -> RunRecord:
    """The record of a run to go on with.

    Raises:
        UserError: There is none that can be read.
    """
    try:
        return RunRecord.read(path)
    except DamageError as damage:
        raise UserError(
            f"{path} is no run that can be resumed: {damage}. `optrun runs {path.parent}` lists "
            "those there"
        ) from damage


def lines(found: Sequence[Turn]) -> list[str]:
    """The plan's runs with what is done about each, for a person."""
    counts = {words: sum(one.to_do is to_do for one in found) for to_do, words in _COUNTED.items()}
    told = ", ".join(f"{count:,} {words}" for words, count in counts.items() if count)
    seeds = max(len(str(one.run.seed)) for one in found)
    names = max(len(one.run.name) for one in found)
    widest = max(len(one.to_do) for one in found)
    table = [
        f"  seed {one.run.seed:>{seeds}}  {one.run.name:<{names}}  "
        f"{one.to_do:<{widest}}  {_remark(one)}".rstrip()
        for one in found
    ]
    return [f"{len(found):,} planned: {told}", *table]


def _remark(turn: Turn) -> str:
    if turn.folder is None or turn.record is None:
        return ""
    parts = [printable(str(turn.folder))]
    if turn.holder is not None:
        parts.append(f"by {turn.holder}")
    if turn.to_do is ToDo.GO_ON:
        per_epoch = turn.record.steps_per_epoch
        steps = turn.run.experiment.training.epochs * per_epoch if per_epoch else None
        of_all = f" of {steps:,}" if steps else ""
        parts.append(
            f"from step {turn.steps_done + 1:,}{of_all}"
            if turn.steps_done
            else "from the beginning"
        )
    if turn.others:
        count = len(turn.others)
        named = printable(turn.others[0].name) + (f" and {count - 1:,} more" if count > 1 else "")
        parts.append(f"the furthest of {count + 1:,}, left alone: {named}")
    if turn.from_elsewhere:
        parts.append(f"if its {turn.from_elsewhere} are those of the plan")
    return ", ".join(parts)


def _key(run: PlannedRun) -> Key:
    sample = run.experiment.data.source == "sample"
    return (printable(run.name), run.seed, run.identity, sample)


def _turn(planned: PlannedRun, recorded: Sequence[Run]) -> Turn:
    newest_first = sorted(recorded, key=lambda one: one.record.started, reverse=True)
    for status, to_do in (
        (RunStatus.COMPLETED, ToDo.LEAVE_COMPLETED),
        (RunStatus.DIVERGED, ToDo.LEAVE_DIVERGED),
    ):
        for one in newest_first:
            if one.status == status:
                return _of(planned, to_do, one)
    unfinished = []
    for one in newest_first:
        # A process may have taken one that says "interrupted", and not have said more yet.
        if is_held(one.folder / LOCK_NAME):
            holder = holder_of(one.folder / LOCK_NAME)
            return replace(_of(planned, ToDo.LEAVE_HELD, one), holder=holder)
        saved, _ = newest_saved(one.folder, one.record.id)
        unfinished.append((saved.steps_done if saved else 0, one))
    if not unfinished:
        return Turn(planned)
    steps_done, furthest = max(unfinished, key=lambda pair: pair[0])
    others = [one.folder for _, one in unfinished if one is not furthest]
    return replace(_of(planned, ToDo.GO_ON, furthest), steps_done=steps_done, others=others)


def _of(planned: PlannedRun, to_do: ToDo, run: Run) -> Turn:
    return Turn(
        run=planned,
        to_do=to_do,
        folder=run.folder,
        record=run.record,
        from_elsewhere=_from_elsewhere(planned.experiment, run.folder),
    )


def _from_elsewhere(experiment: Experiment, folder: Path) -> str:
    """The photos and weights of a recorded run whose paths are not those of the experiment."""
    names = {"data": "photos", "model": "weights"}
    planned = {
        (section, key): value_at(experiment, (section, key))
        for (section, key), words in PATH_KEYS.items()
        if value_at(experiment, (section, key)) not in words
    }
    if not planned:
        return ""
    config = reader.read_config(folder)
    return " and ".join(
        f"{names[section]} from {printable(str(config.get(f'{section}.{key}', 'elsewhere')))}"
        for (section, key), value in planned.items()
        if config.get(f"{section}.{key}") != value
    )
