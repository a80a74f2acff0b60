"""What a table's rows allow to conclude against its baseline, in numbers and in words."""

import contextlib
import itertools
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from optrun.runner.compare.comparison import Group, Row
from optrun.runner.compare.metrics import Measure
from optrun.runner.errors import UserError
from optrun.runner.runs.reader import CONFIG_NAME, RESULTS
from optrun.runner.ui.wording import nearest, number_of, some
from optrun.runner.untrusted import printable
from optrun.runner.verdict.conclusions import ALPHA, Conclusion, Judged, Metric, judge
from optrun.runner.verdict.sentences import Unit, notes, sentence

_PLAINEST = "sgd"
_MOST_LINES = 8  # of comparisons without a conclusion; JSON has them all
_MOST_NAMED = 3
_MOST_CONFIGS = 4


@dataclass(frozen=True)
class Verdict:
    """Of one table."""

    metric: Measure
    baseline: str | None  # the label of its row; None where there is nothing to judge
    judged: tuple[Judged, ...] = ()
    sentences: tuple[str, ...] = ()  # what is concluded, the surest first
    notes: tuple[str, ...] = ()  # how, and what to do where it is not enough


def verdict(
    group: Group, metric: Measure, *, baseline: str | None = None, margin: float | None = None
) -> Verdict:
    """Judge every row of a table against the baseline's.

    `baseline` is a row's name or its optimizer's; None: SGD, else the row of the shortest
    description. `margin` is in the unit that the table shows.
    """
    labels = _labels(group.rows)
    rows = dict(zip(labels, group.rows, strict=True))
    values = {label: of_row for label, row in rows.items() if (of_row := _values(row, metric))}
    if len(rows) == 1:
        return Verdict(metric, None, sentences=("One experiment: nothing to compare it with.",))
    reference = _baseline(rows, baseline)
    if reference not in values or len(values) < 2:
        lacking = reference if reference is not None and reference not in values else "the others"
        said = f"No verdict: {lacking or baseline} has no completed run with a {_name(metric)}."
        if reference is None:
            said = f"No verdict: {baseline}, the baseline, is not in this table."
        return Verdict(metric, reference, sentences=(said,))
    scale = 100.0 if metric.percent else 1.0
    judged = judge(
        values,
        reference,
        Metric(metric.key, higher_is_better=metric.better == "higher"),
        margin=None if margin is None else margin / scale,
        unpaired={one for one in values if not _begin_alike(rows[one], rows[reference])},
    )
    unit = Unit(f"points of {_name(metric)}" if metric.percent else _name(metric), scale)
    needed = max((one.needs_seeds or 0 for one in judged), default=0)
    return Verdict(
        metric,
        reference,
        tuple(judged),
        tuple(_sentences(judged, unit)),
        (*_missing_runs(judged, rows, needed), *notes(judged[:_MOST_LINES]), _HOLDS_FOR),
    )


_HOLDS_FOR = "A verdict holds for these photos, this network and this budget."


def row_called(name: str, groups: Sequence[Group]) -> None:
    """Refuse a baseline that is a row of no table."""
    known = {one for group in groups for row in group.rows for one in _names(row)}
    if groups and name.lower() not in {one.lower() for one in known}:
        near = nearest(name, known)
        raise UserError(
            f"--baseline must name an experiment or an optimizer of the tables, received: {name}."
            f"{f' Did you mean {near}?' if near else ''} There are: {some(sorted(known), 12)}."
        )


def _names(row: Row) -> tuple[str, ...]:
    return row.name, str(row.newest.specification.get("name", row.name))


def _labels(rows: Sequence[Row]) -> list[str]:
    """The rows' names; where two have one name, what tells them apart as well."""
    counts = Counter(row.name for row in rows)
    found = []
    for row in rows:
        apart = ", ".join([row.newest.optimizer, *row.distinctions])
        found.append(row.name if counts[row.name] == 1 else f"{row.name} ({apart})")
    twice = Counter(found)
    return [
        label if twice[label] == 1 else f"{label} {row.newest.experiment[:8]}"
        for label, row in zip(found, rows, strict=True)
    ]


def _values(row: Row, metric: Measure) -> dict[int, float]:
    pairs = zip(row.seeds, row.summaries[metric.key].values, strict=True)
    return {seed: value for seed, value in pairs if value is not None}


def _baseline(rows: dict[str, Row], stated: str | None) -> str | None:
    """The label of the row that others are set against; None where the stated one is not here."""
    named = [
        label
        for label, row in rows.items()
        if (stated or _PLAINEST).lower() in {one.lower() for one in _names(row)}
    ]
    if stated is not None and not named:
        return None
    return min(named or rows, key=lambda label: (len(rows[label].newest.optimizer), label))


def _begin_alike(row: Row, other: Row) -> bool:
    """Whether runs of one seed began from the same weights, and saw the same photos first.

    Which photos come first depends on the batch size, so that only alike ones tell.
    """
    by_seed = {run.record.seed: run.record for run in other.runs}
    for run in row.runs:
        one, twin = run.record, by_seed.get(run.record.seed)
        if twin is None:
            continue
        if None in (one.initial_weights, twin.initial_weights):
            return False
        if one.initial_weights != twin.initial_weights:
            return False
        if one.batch_size == twin.batch_size and one.first_batches != twin.first_batches:
            return False
    return True


def _sentences(judged: Sequence[Judged], unit: Unit) -> Iterator[str]:
    count = len(judged)
    order = list(Conclusion)
    ranked = sorted(judged, key=lambda one: (order.index(one.conclusion), one.p_value))
    too_few: defaultdict[tuple[int, int, bool], list[Judged]] = defaultdict(list)
    undecided = 0
    for one in ranked:
        if one.conclusion is Conclusion.NONE and one.needs_seeds is not None:
            too_few[_pairs(one), one.needs_seeds, one.paired].append(one)
        elif one.conclusion is not Conclusion.NONE or undecided < _MOST_LINES:
            undecided += one.conclusion is Conclusion.NONE
            yield sentence(one, unit, count)
    for (seeds, needed, is_paired), alike in too_few.items():
        if len(alike) == 1:
            yield sentence(alike[0], unit, count)
            continue
        names = some([one.candidate for one in alike], _MOST_NAMED)
        kind = "paired seed" if is_paired else "seed"
        several = f" in {count} comparisons" if count > 1 else ""
        yield (
            f"No conclusion about {names} against {alike[0].baseline}: "
            f"{number_of(seeds, kind)} can never give p < {ALPHA:g}{several}; "
            f"{needed} seeds each can."
        )
    if (more := sum(one.conclusion is Conclusion.NONE for one in judged)) > undecided + sum(
        map(len, too_few.values())
    ):
        yield f"No conclusion about {more - undecided} more either; --format json has them all."


def _pairs(one: Judged) -> int:
    return len(one.seeds) if one.paired else min(int(str(count)) for count in one.seeds)


def _missing_runs(judged: Sequence[Judged], rows: dict[str, Row], needed: int) -> Iterator[str]:
    """The commands that run the seeds without which nothing can be concluded.

    They train what a run's own folder says, with whatever was set when it began.
    """
    short = [one for one in judged if one.needs_seeds is not None and one.paired]
    labels = dict.fromkeys([one.baseline for one in short] + [one.candidate for one in short])
    there = sorted({seed for label in labels for seed in rows[label].seeds})
    more = itertools.count(there[-1] + 1) if there else itertools.count(1)
    wanted = [*there, *itertools.islice(more, max(0, needed - len(there)))][:needed]
    configs: defaultdict[tuple[int, ...], list[Path]] = defaultdict(list)
    for label in labels:
        missing = tuple(seed for seed in wanted if seed not in rows[label].seeds)
        if missing:
            configs[missing].append(rows[label].runs[0].folder)
    for seeds, folders in configs.items():
        is_range = seeds[-1] - seeds[0] + 1 == len(seeds)
        if is_range and len(folders) <= _MOST_CONFIGS:
            words = ["optrun train", *(_typed(folder / CONFIG_NAME) for folder in folders)]
            words.append(f"--seeds {seeds[0]}-{seeds[-1]}")
            if (results := _typed(folders[0].parent)) != str(RESULTS):
                words.append(f"--results {results}")
            yield f"What is missing runs by: {' '.join(words)}"


def _typed(path: Path) -> str:
    """A path as one types it in the working directory."""
    with contextlib.suppress(ValueError, OSError):
        path = path.absolute().relative_to(Path.cwd())
    return shlex.quote(printable(str(path)))


def _name(metric: Measure) -> str:
    return metric.key.replace("_", " ")
