"""How far a plan is: the recorded run that stands for each planned one.

A recorded run is that of a planned one when experiment (by its hash), seed, name and kind of photos
(drawn or real) are the same. A path counts as a path in that hash, so a run on photos or weights
from elsewhere is one to look at twice: `Choice.from_elsewhere`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from optrun.runner.config.identity import experiment_hash
from optrun.runner.config.schema import PATH_KEYS, Experiment, value_at
from optrun.runner.plan.plan import Plan, PlannedRun
from optrun.runner.plan.resolved import as_decided
from optrun.runner.runs import reader as runs
from optrun.runner.runs.record import RunRecord, RunStatus
from optrun.runner.runs.standing import newest_saved
from optrun.runner.runs.writer_lock import LOCK_NAME, Holder, holder_of, is_held
from optrun.runner.untrusted import printable
from optrun.runner.user_optimizer import fingerprints

Key = tuple[str, int, str, bool]


class Standing(Enum):
    """How a planned run stands; the values say what comes next."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    HELD = "running"
    UNFINISHED = "go on"
    MISSING = "start"


@dataclass(frozen=True)
class Choice:
    """A planned run and the recorded one that stands for it.

    Attributes:
        run: The run as planned.
        standing: How it stands.
        folder: The recorded run; None where it is missing.
        record: Its record; None where it is missing.
        decided: The planned experiment with what `auto` was in that run or, where it is missing,
            in the other runs of the plan.
        steps_done: Steps of an unfinished one that need not be made again.
        steps: All the steps that it is to make; None where that is not recorded.
        others: Further unfinished ones of the same planned run.
        holder: Who writes it, where that is known.
        from_elsewhere: The photos or weights that the recorded run names, where the plan names
            others; whether they are the same must be found out.
    """

    run: PlannedRun
    standing: Standing
    folder: Path | None
    record: RunRecord | None = field(repr=False)
    decided: Experiment = field(repr=False)
    steps_done: int = 0
    steps: int | None = None
    others: Sequence[Path] = ()
    holder: Holder | None = None
    from_elsewhere: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do, as far as the recorded run is that of the plan."""
        return self.standing in (Standing.COMPLETED, Standing.DIVERGED)


def choices(plan: Plan, results: Path, *, without: Collection[Path] = ()) -> list[Choice]:
    """How each run of the plan stands, in its order; folders that can't be read count for nothing.

    Args:
        plan: What is planned.
        results: Where runs are recorded; it need not exist.
        without: Folders that are known not to be the plan's.
    """
    keys = _keys(plan)
    recorded: dict[Key, list[runs.Run]] = {key: [] for key in keys}
    for folder in runs.find([results]) if results.is_dir() else []:
        run = runs.read(folder)
        if isinstance(run, runs.Run) and folder not in without:
            record = run.record
            key = (record.name, record.seed, record.experiment, record.sample)
            if key in recorded:
                recorded[key].append(run)
    found = [_choice(run, recorded[key]) for run, key in zip(plan.runs, keys, strict=True)]
    began = [one.record for one in found if one.record is not None]
    return [one if one.folder is not None else _as_the_others(one, began) for one in found]


def to_start(run: PlannedRun) -> Choice:
    """A run that starts, whatever is recorded."""
    return Choice(run, Standing.MISSING, None, None, run.experiment)


def lines(found: Sequence[Choice]) -> list[str]:
    """The plan's runs with what is done about each, for a person."""
    counts = {
        "completed": sum(one.standing is Standing.COMPLETED for one in found),
        "diverged": sum(one.standing is Standing.DIVERGED for one in found),
        "running in another process": sum(one.standing is Standing.HELD for one in found),
        "to go on with": sum(one.standing is Standing.UNFINISHED for one in found),
        "to start": sum(one.standing is Standing.MISSING for one in found),
    }
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    seeds = max(len(str(one.run.experiment.training.seed)) for one in found)
    names = max(len(one.run.name) for one in found)
    states = max(len(one.standing.value) for one in found)
    table = [
        f"  seed {one.run.experiment.training.seed:>{seeds}}  {one.run.name:<{names}}  "
        f"{one.standing.value:<{states}}  {_remark(one)}".rstrip()
        for one in found
    ]
    return [f"{len(found):,} planned: {told}", *table]


def _remark(choice: Choice) -> str:
    if choice.folder is None:
        return ""
    parts = [printable(str(choice.folder))]
    if choice.standing is Standing.HELD and choice.holder is not None:
        parts.append(f"by {choice.holder}")
    if choice.standing is Standing.UNFINISHED:
        of_all = f" of {choice.steps:,}" if choice.steps else ""
        parts.append(
            f"from step {choice.steps_done + 1:,}{of_all}"
            if choice.steps_done
            else "from the beginning"
        )
    if choice.others:
        count = len(choice.others)
        named = printable(choice.others[0].name) + (f" and {count - 1:,} more" if count > 1 else "")
        parts.append(f"the furthest of {count + 1:,}, left alone: {named}")
    if choice.from_elsewhere:
        parts.append(f"if its {choice.from_elsewhere} are those of the plan")
    return ", ".join(parts)


def _keys(plan: Plan) -> list[Key]:
    # One config's runs differ by their seed, which is no part of the hash.
    hashes: dict[Path, str] = {}
    for run in plan.runs:
        if run.config not in hashes:
            hashes[run.config] = experiment_hash(run.experiment, fingerprints(run.experiment))
    return [
        (
            printable(run.name),
            run.experiment.training.seed,
            hashes[run.config],
            run.experiment.data.source == "sample",
        )
        for run in plan.runs
    ]


def _choice(run: PlannedRun, recorded: Sequence[runs.Run]) -> Choice:
    newest_first = sorted(recorded, key=lambda one: one.record.started, reverse=True)
    for state, standing in (
        (RunStatus.COMPLETED, Standing.COMPLETED),
        (RunStatus.DIVERGED, Standing.DIVERGED),
    ):
        for one in newest_first:
            if one.status == state:
                return _of(run, standing, one)
    unfinished = []
    for one in newest_first:
        # A process may have taken one that says "interrupted", and not have said more yet.
        if is_held(one.folder / LOCK_NAME):
            return _of(run, Standing.HELD, one)
        saved, _ = newest_saved(one.folder, one.record.id)
        unfinished.append((saved.steps_done if saved else 0, one))
    if not unfinished:
        return to_start(run)
    steps_done, furthest = max(unfinished, key=lambda pair: pair[0])
    others = [one.folder for _, one in unfinished if one is not furthest]
    choice = _of(run, Standing.UNFINISHED, furthest)
    return replace(choice, steps_done=steps_done, others=others)


def _of(run: PlannedRun, standing: Standing, recorded: runs.Run) -> Choice:
    folder, record = recorded.folder, recorded.record
    per_epoch = record.steps_per_epoch
    return Choice(
        run=run,
        standing=standing,
        folder=folder,
        record=record,
        decided=as_decided(run.experiment, [record]),
        steps=run.experiment.training.epochs * per_epoch if per_epoch else None,
        holder=holder_of(folder / LOCK_NAME) if standing is Standing.HELD else None,
        from_elsewhere=_from_elsewhere(run.experiment, folder),
    )


def _as_the_others(choice: Choice, began: Sequence[RunRecord]) -> Choice:
    """One that is to start: decided as the plan's other runs were, or they can't be compared."""
    return replace(choice, decided=as_decided(choice.run.experiment, began))


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
    config = runs.read_config(folder)
    return " and ".join(
        f"{names[section]} from {printable(str(config.get(f'{section}.{key}', 'elsewhere')))}"
        for (section, key), value in planned.items()
        if config.get(f"{section}.{key}") != value
    )
