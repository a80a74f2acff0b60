"""Many runs become numbers: which are ranked together, and mean and spread of each experiment.

Runs are ranked together where everything that must be equal is equal (`RunRecord.comparable`, and
whether the photos are real). Within such a group a row is one experiment over its seeds. One run
for each experiment and seed counts, the newest completed one; a seed that only ever diverged
counts as diverged, and is never part of a mean. Every run that does not count is kept, with the
reason.
"""

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from optrun.runner.compare.metrics import BY_KEY, DEFAULT_SORT, MEASURES
from optrun.runner.runs.reader import Run, Unreadable, read_config
from optrun.runner.runs.record import RunRecord, RunStatus, flatten

NOT_RECORDED = "not recorded"

_LONGEST_DISTINCTION = 40  # characters of one value
_MOST_CONFIGURATIONS = 100  # files read to tell rows apart; parsing one takes milliseconds
_MOST_FIELDS = 200  # looked at for differences; honest runs have fewer than 100
_MOST_SETTINGS = 30  # named of a group

# What never makes two configurations different experiments.
_NAMES_ONLY = frozenset({"name", "notes", "training.seed"})


@dataclass(frozen=True)
class Summary:
    """One measure of one experiment.

    Attributes:
        values: By seed, in the order of the row's runs; None where a run has no finite value.
        mean: None where a value is missing: a mean over the other seeds would be of another
            experiment.
        spread: Sample standard deviation (n - 1); None for fewer than two seeds.
    """

    values: tuple[float | None, ...]
    mean: float | None
    spread: float | None


@dataclass(frozen=True)
class Row:
    """One experiment over its seeds.

    Attributes:
        newest: The record of its newest run, whose name it goes by.
        other_names: Names of the same experiment in older runs.
        distinctions: What tells it from the other rows beyond the optimizer ("batch 64").
        runs: The completed runs that count, by seed.
        diverged: The diverged runs that count, by seed.
        summaries: By the measure's key.
    """

    newest: RunRecord
    other_names: tuple[str, ...]
    distinctions: tuple[str, ...]
    runs: tuple[Run, ...] = field(repr=False)
    diverged: tuple[Run, ...] = field(repr=False)
    summaries: Mapping[str, Summary] = field(repr=False)

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.newest.name

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of completed runs."""
        return tuple(run.record.seed for run in self.runs)


@dataclass(frozen=True)
class Difference:
    """A field whose value differs, with each value and the number of runs that have it."""

    field: str
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Group:
    """Experiments that may be ranked together.

    Attributes:
        sample: Whether they were trained on drawn photos.
        setting: What tells this group from the others of its kind, by field.
        comparable: Everything that is equal within the group.
        differences: What differs within the group and may have changed numbers or clocks:
            versions, hardware, images per update.
        rows: Best first, by the comparison's sort column.
    """

    sample: bool
    setting: tuple[tuple[str, str], ...]
    comparable: Mapping[str, object] = field(repr=False)
    differences: tuple[Difference, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class LeftOut:
    """A run that does not count.

    Attributes:
        kind: One of `LEFT_OUT_KINDS`.
        label: The folder's name, printable.
        why: The run that took its place, or the reason; may be empty.
    """

    kind: str
    label: str
    path: str
    why: str


@dataclass(frozen=True)
class Comparison:
    """What there is to say about some runs, in numbers."""

    sort: str
    groups: tuple[Group, ...]
    left_out: tuple[LeftOut, ...]


SUPERSEDED, UNREADABLE = "superseded", "unreadable"
LEFT_OUT_KINDS = (
    SUPERSEDED,
    RunStatus.DIVERGED,
    RunStatus.INTERRUPTED,
    RunStatus.FAILED,
    RunStatus.KILLED,
    RunStatus.RUNNING,
    UNREADABLE,
)


def compare(
    runs: Iterable[Run],
    unreadable: Iterable[Unreadable] = (),
    *,
    sort: str = DEFAULT_SORT,
    config_of: Callable[[Run], Mapping[str, object]] = lambda run: read_config(run.folder),
) -> Comparison:
    """Groups runs, chooses those that count, and summarises them.

    Args:
        runs: Any runs, in any order and state.
        unreadable: Run folders that could not be read, to be named.
        sort: A measure's key, "name", "optimizer" or "seeds".
        config_of: The configuration of a run by dotted name; asked only where two rows have the
            same optimizer and batch size and nothing else tells them apart.
    """
    by_group: dict[tuple[bool, str], list[Run]] = defaultdict(list)
    for run in runs:
        by_group[run.record.sample, _canonical(run.record.flat_comparable)].append(run)

    left_out: list[LeftOut] = []
    groups: list[Group] = []
    for members in by_group.values():
        rows: list[Row] = []
        by_experiment: dict[str, list[Run]] = defaultdict(list)
        for run in members:
            by_experiment[run.record.experiment].append(run)
        for same in by_experiment.values():
            counting, others = _choose(same)
            left_out += others
            if counting:
                rows.append(_row(counting))
        if rows:
            groups.append(_group(rows, sort, config_of))

    left_out += [
        LeftOut(UNREADABLE, item.label, str(item.folder), item.reason) for item in unreadable
    ]
    left_out.sort(key=lambda item: (LEFT_OUT_KINDS.index(item.kind), item.label, item.path))
    groups.sort(key=lambda group: (group.sample, -len(group.rows), _canonical(group.comparable)))
    return Comparison(sort, tuple(_with_settings(groups)), tuple(left_out))


def summarise(values: Sequence[float | None]) -> Summary:
    """Mean and sample standard deviation, neither of which is made up.

    >>> summarise([1.0, 3.0])
    Summary(values=(1.0, 3.0), mean=2.0, spread=1.4142135623730951)
    >>> summarise([1.0]).spread, summarise([1.0, None]).mean
    (None, None)
    """
    present = [value for value in values if value is not None]
    if not present or len(present) < len(values):
        return Summary(tuple(values), None, None)
    spread = statistics.stdev(present) if len(present) > 1 else None
    return Summary(tuple(values), statistics.fmean(present), spread)


def _choose(runs: Iterable[Run]) -> tuple[list[Run], list[LeftOut]]:
    """The runs of one experiment that count, one for each seed, and the others."""
    newest: dict[int, Run] = {}
    runs = sorted(runs, key=_age, reverse=True)
    for status in (RunStatus.COMPLETED, RunStatus.DIVERGED):
        for run in runs:
            if run.status == status:
                newest.setdefault(run.record.seed, run)
    left_out: list[LeftOut] = []
    for run in runs:
        counting = newest.get(run.record.seed)
        if run is counting:
            continue
        kind, why = str(run.status), run.record.why
        if counting is not None and run.status == counting.status:
            kind, why = SUPERSEDED, f"by {counting.label}"
        elif run.status == RunStatus.DIVERGED and counting is not None:
            why = f"though {counting.label} completed"
        left_out.append(LeftOut(kind, run.label, str(run.folder), why))
    return list(newest.values()), left_out


def _age(run: Run) -> tuple[datetime, str]:
    return run.record.started, run.folder.name


def _row(counting: Sequence[Run]) -> Row:
    by_seed = sorted(counting, key=lambda run: run.record.seed)
    completed = tuple(run for run in by_seed if run.status == RunStatus.COMPLETED)
    newest = max(counting, key=_age).record
    return Row(
        newest=newest,
        other_names=tuple(sorted({run.record.name for run in counting} - {newest.name})),
        distinctions=(),
        runs=completed,
        diverged=tuple(run for run in by_seed if run.status == RunStatus.DIVERGED),
        summaries={
            measure.key: summarise([run.record.measure(measure.key) for run in completed])
            for measure in MEASURES
        },
    )


def _group(
    rows: Sequence[Row], sort: str, config_of: Callable[[Run], Mapping[str, object]]
) -> Group:
    records = [run.record for row in rows for run in (*row.runs, *row.diverged)]
    circumstances = _differences([record.circumstances for record in records])
    updates = _differences(
        [{"images per update": record.images_per_update or NOT_RECORDED} for record in records]
    )
    named = _with_distinctions(rows, config_of)
    return Group(
        sample=records[0].sample,
        setting=(),
        comparable=records[0].flat_comparable,
        differences=(*updates, *circumstances),
        rows=tuple(sorted(named, key=lambda row: _sort_key(row, sort))),
    )


def _sort_key(row: Row, sort: str) -> tuple[bool, float, str, str]:
    """Best first, rows without a number last, equals by name."""
    value: float | None = 0.0
    text = ""
    if sort in BY_KEY:
        value = row.summaries[sort].mean
        if value is not None and BY_KEY[sort].better == "higher":
            value = -value
    elif sort == "seeds":
        value = -float(len(row.runs))
    elif sort == "optimizer":
        text = row.newest.optimizer.lower()
    return value is None, value or 0.0, text, row.name


def _with_distinctions(
    rows: Sequence[Row], config_of: Callable[[Run], Mapping[str, object]]
) -> list[Row]:
    """The rows, each with what tells it from the others beyond its optimizer's description."""
    usual = _usual_batch_size(rows)
    found: dict[str, list[str]] = {row.newest.experiment: [] for row in rows}
    for row in rows:
        if row.newest.batch_size is not None and row.newest.batch_size != usual:
            found[row.newest.experiment].append(f"batch {row.newest.batch_size}")
    alike: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        alike[row.newest.optimizer, *found[row.newest.experiment]].append(row)
    for twins in alike.values():
        if len(twins) > 1:
            for row, difference in zip(twins, _tell_apart(twins, config_of), strict=True):
                found[row.newest.experiment] += difference
    return [replace(row, distinctions=tuple(found[row.newest.experiment])) for row in rows]


def _usual_batch_size(rows: Sequence[Row]) -> int | None:
    """The batch size of most rows, which then goes without saying; None where two are as common."""
    ranked = Counter(row.newest.batch_size for row in rows).most_common(2)
    if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
        return None
    return ranked[0][0]


def _tell_apart(
    twins: Sequence[Row], config_of: Callable[[Run], Mapping[str, object]]
) -> list[tuple[str, ...]]:
    """What differs between rows of one description: optimizer, configuration, else the hash."""
    specifications = [flatten(row.newest.specification) for row in twins]
    configurations: list[Mapping[str, object]] = [{}] * len(twins)
    if len(twins) <= _MOST_CONFIGURATIONS:
        configurations = [config_of((*row.runs, *row.diverged)[0]) for row in twins]
    merged = [
        {f"optimizer.{key}": value for key, value in specification.items()} | dict(configuration)
        for specification, configuration in zip(specifications, configurations, strict=True)
    ]
    fields = [item.field for item in _differences(merged) if item.field not in _NAMES_ONLY]
    told = [
        tuple(
            f"{name.rpartition('.')[2]} {_shown(values, name)[:_LONGEST_DISTINCTION]}"
            for name in fields
        )
        for values in merged
    ]
    if len(set(told)) == len(told):
        return told
    return [
        (*texts, f"experiment {row.newest.experiment[:8]}")
        for texts, row in zip(told, twins, strict=True)
    ]


def _with_settings(groups: Sequence[Group]) -> Iterable[Group]:
    """The groups, each with the values of what separates it from the others of its kind."""
    fields = {
        sample: [
            item.field
            for item in _differences([g.comparable for g in groups if g.sample is sample])
        ]
        for sample in (False, True)
    }
    for group in groups:
        named = fields[group.sample][:_MOST_SETTINGS]
        setting = tuple((name, _shown(group.comparable, name)) for name in named)
        yield replace(group, setting=setting)


def _differences(mappings: Sequence[Mapping[str, object]]) -> tuple[Difference, ...]:
    """The fields whose values are not all the same, in the order of their names."""
    found = []
    names = Counter(key for mapping in mappings for key in mapping)
    # The commonest, so that what one run made up hides nothing of the others.
    for name in sorted(dict(names.most_common(_MOST_FIELDS))):
        counts = Counter(_shown(mapping, name) for mapping in mappings)
        if len(counts) > 1:
            found.append(Difference(name, tuple(sorted(counts.items()))))
    return tuple(found)


def _shown(mapping: Mapping[str, object], name: str) -> str:
    if name not in mapping:
        return NOT_RECORDED
    value = mapping[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _canonical(value: Mapping[str, object]) -> str:
    return json.dumps(value, sort_keys=True, default=str)
