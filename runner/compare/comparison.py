"""Many runs become numbers: which are ranked together, and mean and spread of each experiment.

Runs are ranked together where everything that must be equal is equal (`RunRecord.guarded`, and
whether the photos are real). Within such a group a row is one experiment over its seeds. One run
for each experiment and seed counts, the newest completed one; a seed that only ever diverged
counts as diverged, and is never part of a mean. Every run that does not count is kept, with the
reason.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from optrun.runner.runs.reader import Run, Unreadable, read_config
from optrun.runner.runs.record import GUARDED_PACKAGES, OVER, RunRecord, RunStatus, flatten
from optrun.runner.verdict.metrics import BY_KEY, DEFAULT_SORT, MEASURES
from optrun.runner.verdict.summary import Summary, summarise

NOT_RECORDED = "not recorded"
_LONGEST_DISTINCTION = 40  # characters of one value
_MOST_CONFIGURATIONS = 100  # files read to tell rows apart; parsing one takes milliseconds
_MOST_FIELDS = 200  # looked at for differences; honest runs have fewer than 100
_MOST_SETTINGS = 30  # named of a group

NAMES_ONLY = {"name", "notes", "training.seed"}  # which make no two experiments differ


@dataclass(frozen=True)
class Row:
    """One experiment over its seeds."""

    newest: RunRecord  # of its newest run, whose name it goes by
    other_names: tuple[str, ...]  # of the same experiment in older runs
    distinctions: tuple[str, ...]  # from the other rows, beyond the optimizer ("batch 64")
    runs: tuple[Run, ...] = field(repr=False)  # the completed ones that count, by seed
    diverged: tuple[Run, ...] = field(repr=False)  # those that count, by seed
    summaries: Mapping[str, Summary] = field(repr=False)  # by the measure's key

    @property
    def name(self) -> str:
        return self.newest.name

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of completed runs."""
        return tuple(run.record.seed for run in self.runs)

    @property
    def counting(self) -> tuple[Run, ...]:
        """All runs that count, completed or diverged."""
        return (*self.runs, *self.diverged)


@dataclass(frozen=True)
class Difference:
    """A field whose value differs, with each value and the number of runs that have it."""

    field: str
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Group:
    """Experiments that may be ranked together."""

    sample: bool  # whether they were trained on drawn photos
    setting: tuple[tuple[str, str], ...]  # what tells it from the others of its kind, by field
    comparable: Mapping[str, object] = field(repr=False)  # all that is equal within the group
    allowed: tuple[Difference, ...]  # what must be equal, is not, and was allowed to differ
    # What is not, and may have changed numbers or clocks: versions, hardware, images per update.
    differences: tuple[Difference, ...]
    # Whose runs did not begin from the same weights and photos, and are no pairs therefore.
    unpaired_seeds: tuple[int, ...]
    rows: tuple[Row, ...]  # best first, by the comparison's sort column


@dataclass(frozen=True)
class LeftOut:
    """A run that does not count."""

    kind: str  # one of `LEFT_OUT_KINDS`
    label: str  # the folder's name, printable
    path: str
    why: str  # the run that took its place, or the reason; may be empty


@dataclass(frozen=True)
class Comparison:
    """What there is to say about some runs, in numbers."""

    sort: str
    groups: tuple[Group, ...]
    left_out: tuple[LeftOut, ...]


SUPERSEDED, UNREADABLE, TRIAL = "superseded", "unreadable", "trial"
# With what a table's reader is told of them.
LEFT_OUT_KINDS = {
    SUPERSEDED: "superseded by a newer run of the same experiment and seed",
    RunStatus.DIVERGED: "diverged, though another run of the same experiment and seed completed",
    TRIAL: "made to choose a setting, with seeds that stay out of the verdict",
    RunStatus.INTERRUPTED: "interrupted",
    RunStatus.FAILED: "failed",
    RunStatus.KILLED: "killed while running",
    RunStatus.RUNNING: "still running",
    UNREADABLE: "unreadable",
}
ConfigOf = Callable[[Run], Mapping[str, object]]


def compare(
    runs: Iterable[Run],
    unreadable: Iterable[Unreadable] = (),
    *,
    sort: str = DEFAULT_SORT,
    allow: Collection[str] = (),
    config_of: ConfigOf = lambda run: read_config(run.folder),
) -> Comparison:
    """Groups runs, chooses those that count, and summarises them.

    Args:
        runs: Any runs, in any order and state.
        unreadable: Run folders that could not be read, to be named.
        sort: A measure's key, "name", "optimizer" or "seeds".
        allow: Fields, by dotted name, that may differ within a group all the same; "sample" too.
        config_of: The configuration of a run by dotted name; asked only where two rows have the
            same optimizer and batch size and nothing else tells them apart.
    """
    by_group: dict[tuple[bool, str], list[Run]] = defaultdict(list)
    left_out: list[LeftOut] = []
    for run in runs:
        if run.record.is_trial:
            left_out.append(LeftOut(TRIAL, run.label, str(run.folder), ""))
            continue
        fixed = {k: v for k, v in run.record.guarded.items() if k not in allow}
        by_group["sample" not in allow and run.record.sample, _canonical(fixed)].append(run)

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
            groups.append(_group(rows, sort, config_of, allow))

    left_out += [
        LeftOut(UNREADABLE, item.label, str(item.folder), item.reason) for item in unreadable
    ]
    order = list(LEFT_OUT_KINDS)
    left_out.sort(key=lambda item: (order.index(item.kind), item.label, item.path))
    groups.sort(key=lambda group: (group.sample, -len(group.rows), _canonical(group.comparable)))
    return Comparison(sort, tuple(_with_settings(groups)), tuple(left_out))


def by_label(rows: Sequence[Row]) -> dict[str, Row]:
    """The rows by their names; where two have one name, by what tells them apart as well."""
    counts = Counter(row.name for row in rows)
    found = []
    for row in rows:
        apart = ", ".join([row.newest.optimizer, *row.distinctions])
        found.append(row.name if counts[row.name] == 1 else f"{row.name} ({apart})")
    twice = Counter(found)
    return {
        label if twice[label] == 1 else f"{label} {row.newest.experiment}": row
        for label, row in zip(found, rows, strict=True)
    }


def _choose(runs: Iterable[Run]) -> tuple[list[Run], list[LeftOut]]:
    """The runs of one experiment that count, one for each seed, and the others."""
    newest: dict[int, Run] = {}
    runs = sorted(runs, key=_rank, reverse=True)
    for status in OVER:
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


def _rank(run: Run) -> tuple[bool, datetime, str]:
    """By which of several runs of one seed one counts: a plan's own before others, then the newest.

    What it gave has no part in that.
    """
    return run.record.plan is not None, *_age(run)


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


def _group(rows: Sequence[Row], sort: str, config_of: ConfigOf, allow: Collection[str]) -> Group:
    records = [run.record for row in rows for run in row.counting]
    guarded = {f"packages.{name}" for name in GUARDED_PACKAGES}  # `allowed` tells them already
    circumstances = [
        item for item in _differences(_with_unset_variables(records)) if item.field not in guarded
    ]
    updates = _differences(
        [{"images per update": record.images_per_update or NOT_RECORDED} for record in records]
    )
    rows = sorted(_with_distinctions(rows, config_of), key=lambda row: _sort_key(row, sort))
    facts = [{**one.guarded, "sample": one.sample} for one in records]
    allowed = _differences([{k: v for k, v in one.items() if k in allow} for one in facts])
    return Group(
        sample=records[0].sample,
        setting=(),
        comparable={k: v for k, v in records[0].guarded.items() if k not in allow},
        allowed=allowed,
        differences=(*updates, *circumstances),
        unpaired_seeds=_unpaired(records),
        rows=tuple(rows),
    )


def _unpaired(records: Sequence[RunRecord]) -> tuple[int, ...]:
    """The seeds of which two runs have another beginning; the first photos depend on the batch."""
    beginnings: dict[int, set[tuple[object, ...]]] = defaultdict(set)
    for record in records:
        if record.initial_weights is not None:
            beginnings[record.seed].add(("weights", record.initial_weights))
        if record.first_batches is not None:
            beginnings[record.seed].add((record.batch_size, record.first_batches))
    return tuple(
        seed
        for seed, found in sorted(beginnings.items())
        if len(found) > len({first for first, _ in found})
    )


def _with_unset_variables(records: Sequence[RunRecord]) -> list[Mapping[str, object]]:
    """The runs' circumstances, where a variable that others had set is said not to be."""
    found = [record.circumstances for record in records]
    variables = {name for one in found for name in one if name.startswith("environment.")}
    unset = dict.fromkeys(variables, "not set")
    return [
        {**unset, **one} if "environment" in record.provenance else one
        for record, one in zip(records, found, strict=True)
    ]


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


def _with_distinctions(rows: Sequence[Row], config_of: ConfigOf) -> list[Row]:
    """The rows, each with what tells it from the others beyond its optimizer's description."""
    ranked = Counter(row.newest.batch_size for row in rows).most_common(2)
    # The batch size of most rows goes without saying; where two are as common, none does.
    usual = ranked[0][0] if len(ranked) == 1 or ranked[0][1] > ranked[1][1] else None
    alike: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        size = row.newest.batch_size
        batch = () if size in (None, usual) else (f"batch {size}",)
        alike[row.newest.optimizer, *batch].append(row)
    told: dict[str, tuple[str, ...]] = {}
    for (_, *differing), twins in alike.items():
        apart = _tell_apart(twins, config_of) if len(twins) > 1 else [()]
        for row, differences in zip(twins, apart, strict=True):
            told[row.newest.experiment] = (*differing, *differences)
    return [replace(row, distinctions=told[row.newest.experiment]) for row in rows]


def _tell_apart(twins: Sequence[Row], config_of: ConfigOf) -> list[tuple[str, ...]]:
    """What differs between rows of one description: optimizer, configuration, else the hash."""
    settings = [flatten(row.newest.specification, "optimizer.") for row in twins]
    if len(twins) <= _MOST_CONFIGURATIONS:
        for row, known in zip(twins, settings, strict=True):
            known |= config_of(row.counting[0])
    fields = [item.field for item in _differences(settings) if item.field not in NAMES_ONLY]
    told = [
        tuple(
            f"{name.rpartition('.')[2]} {_shown(values, name)[:_LONGEST_DISTINCTION]}"
            for name in fields
        )
        for values in settings
    ]
    if len(set(told)) == len(told):
        return told
    hashes = [f"experiment {row.newest.experiment[:8]}" for row in twins]
    return [(*texts, one) for texts, one in zip(told, hashes, strict=True)]


def _with_settings(groups: Sequence[Group]) -> Iterable[Group]:
    """The groups, each with the values of what separates it from the others of its kind."""
    fields = {
        sample: _differences([group.comparable for group in groups if group.sample is sample])
        for sample in (False, True)
    }
    for group in groups:
        named = [item.field for item in fields[group.sample][:_MOST_SETTINGS]]
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
    value = mapping.get(name, NOT_RECORDED)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _canonical(value: Mapping[str, object]) -> str:
    return json.dumps(value, sort_keys=True, default=str)
