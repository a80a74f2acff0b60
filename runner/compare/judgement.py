"""What a table's rows allow to conclude against its baseline, in numbers and in words."""

import contextlib
import itertools
import math
import shlex
import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from optrun.runner.compare.comparison import Group, Row, labels_of
from optrun.runner.compare.footnotes import readable
from optrun.runner.errors import UserError
from optrun.runner.runs.reader import CONFIG_NAME, RESULTS, Run
from optrun.runner.ui.wording import nearest, number_of, some
from optrun.runner.untrusted import mapping, printable
from optrun.runner.verdict import fairness
from optrun.runner.verdict.baseline import Described, baseline_of
from optrun.runner.verdict.conclusions import ALPHA, Conclusion, Judged, judge
from optrun.runner.verdict.metrics import Measure
from optrun.runner.verdict.sentences import Unit, in_common, notes, sentence

_MOST_LINES = 8  # of comparisons without a conclusion; JSON has them all
_MOST_NAMED = 3
_MOST_CONFIGS = 4
BATCHES = "batch_size"  # what `--allow` calls it


@dataclass(frozen=True)
class Verdict:
    """Of one table."""

    metric: Measure
    baseline: str | None  # the label of its row; None where there is nothing to judge
    values: Mapping[str, Mapping[int, float]] = field(default_factory=dict)  # by label and seed
    judged: tuple[Judged, ...] = ()
    # Between which differences other test photos might put them, by the candidate's label.
    over_photos: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    plan: str | None = None  # the file of the one that judged, of `train --until-sure`
    sentences: tuple[str, ...] = ()  # what is concluded, the surest first
    notes: tuple[str, ...] = ()  # how, and what to do where it is not enough


def verdict(
    group: Group,
    metric: Measure,
    *,
    baseline: str | None = None,
    margin: float | None = None,
    allow: Collection[str] = (),
    values_of: Callable[[Row], Mapping[int, float]] | None = None,
) -> Verdict:
    """Judge every row of a table against the baseline's.

    `baseline` is a row's name or its optimizer's; None: SGD, else the row of the shortest
    description. `margin` is in the unit that the table shows. `values_of` gives a row's values by
    seed, where they are not the metric's of its runs.
    """
    labels = labels_of(group.rows)
    rows = dict(zip(labels, group.rows, strict=True))
    found = values_of or (lambda row: _values(row, metric))
    seen = {label: found(row) for label, row in rows.items()}
    values = {label: of_row for label, of_row in seen.items() if of_row}
    if len(rows) == 1:
        alone = ("One experiment: nothing to compare it with.",)
        return Verdict(metric, None, seen, sentences=alone, notes=tuple(_fairness(rows, None)))
    reference = baseline_of({label: _described(row) for label, row in rows.items()}, baseline)
    if reference not in values or len(values) < 2:
        if reference is None:
            said = f"No verdict: {baseline}, the baseline, is not in this table."
        else:
            said = _nothing_to_judge(rows.values(), metric, reference, reference in values)
        return Verdict(metric, reference, seen, sentences=(said,))
    apart = {} if BATCHES in allow else _other_batches(rows, reference)
    values = {label: of_row for label, of_row in values.items() if label not in apart}
    judged = judge(
        values,
        reference,
        metric.judged,
        margin=None if margin is None else margin / metric.scale,
        unpaired={one for one in values if not _begin_alike(rows[one], rows[reference])},
    )
    unit = Unit.of(metric)
    needed = max((one.needs_seeds or 0 for one in judged), default=0)
    return Verdict(
        metric,
        reference,
        seen,
        tuple(judged),
        sentences=tuple(_sentences(judged, unit))
        or (f"No verdict: nothing here is like {reference}.",),
        notes=(
            *(f"Not judged: {label}, {why}." for label, why in apart.items()),
            *_missing_runs(judged, rows, needed),
            *in_common(judged, values),
            *around(rows, reference, metric, judged, by_cost=values_of is None),
        ),
    )


def around(
    rows: dict[str, Row],
    reference: str | None,
    metric: Measure,
    judged: Sequence[Judged],
    *,
    by_cost: bool = True,
) -> Iterator[str]:
    """The notes that stand below a verdict, however it was made."""
    yield from _fairness(rows, reference, by_cost=by_cost)
    yield from notes(judged[:_MOST_LINES])
    yield from _noise_floor(rows.values(), metric)
    yield _HOLDS_FOR


def _nothing_to_judge(
    rows: Iterable[Row], metric: Measure, reference: str, reference_has_values: bool
) -> str:
    if not any(row.runs for row in rows):
        runs = number_of(sum(len(row.diverged) for row in rows), "run")
        return (
            f"No verdict: none of {runs} completed, all diverged. A lower learning rate, or "
            "global_clipnorm in the optimizer, may keep them finite."
        )
    lacking = "the others have" if reference_has_values else f"{reference} has"
    return f"No verdict: {lacking} no completed run with a {readable(metric.key)}."


def _other_batches(rows: dict[str, Row], reference: str) -> dict[str, str]:
    """The rows that share neither the photos fed at once nor those of an update with another."""
    of_reference, found = rows[reference].newest, {}
    for label, row in rows.items():
        sizes = [
            (getattr(row.newest, one), getattr(of_reference, one))
            for one in ("batch_size", "images_per_update")
        ]
        if all(None not in pair and pair[0] != pair[1] for pair in sizes):
            (batch, other_batch), (update, other_update) = sizes
            found[label] = (
                f"whose batches are of {batch} photos and updates of {update}, where those of "
                f"{reference} are of {other_batch} and {other_update} (--allow {BATCHES})"
            )
    return found


_HOLDS_FOR = "A verdict holds for these photos, this network and this budget."


def _fairness(
    rows: Mapping[str, Row], reference: str | None, *, by_cost: bool = True
) -> Iterator[str]:
    """Whether the rows had the same chance; `by_cost`, also for what a whole training computes."""
    setups = [_setup(label, row, by_cost=by_cost) for label, row in rows.items()]
    return fairness.notes(setups, reference)


def _setup(label: str, row: Row, *, by_cost: bool) -> fairness.Setup:
    record, tuning = row.newest, row.newest.tuning
    tried, seeds = tuning.get("tried"), tuning.get("seeds")
    evaluations = row.summaries["gradient_evaluations"].mean
    steps, photos = record.steps_per_epoch, record.training_photos
    cost = None
    if by_cost and evaluations is not None and steps is not None and photos is not None:
        cost = evaluations / steps * photos
    return fairness.Setup(
        label=label,
        specification=record.specification,
        steps_per_epoch=steps,
        photo_gradients=cost,
        tried=[mapping(mapping(one).get("settings")) for one in tried]
        if isinstance(tried, list)
        else (),
        chosen=mapping(tuning.get("chosen")),
        tuning_seeds=len(seeds) if isinstance(seeds, list) else None,
        losses=dict(_repeatable(row.runs)),
    )


def _repeatable(runs: Iterable[Run]) -> Iterator[tuple[Hashable, float]]:
    """The loss of each run that would be the same again, by all that it began from."""
    for run in runs:
        record, loss = run.record, run.record.measure("best_validation_loss")
        beginning = (record.seed, record.initial_weights, record.first_batches)
        if record.device == "cpu" and loss is not None and None not in beginning:
            yield (*beginning, repr(sorted(record.circumstances.items()))), loss


def _noise_floor(rows: Iterable[Row], metric: Measure) -> Iterator[str]:
    """How far runs scatter that differ in the seed alone: as seen, or by the number of photos.

    Of the latter alone follow about sqrt(e / (2 n)), where e of n test photos are told wrong
    (Jordan 2023, "Calibrated chaos", arXiv 2304.01910).
    """
    if metric.key != "test_accuracy":
        return
    photos = {run.record.test_photos for row in rows for run in row.runs}
    seen = [row.summaries[metric.key] for row in rows]
    errors = [1 - one.mean for one in seen if one.mean is not None]
    if len(photos) != 1 or not errors or (count := photos.pop()) is None:
        return
    floor = math.sqrt(statistics.median(errors) / (2 * count))
    spread = statistics.median([one.spread for one in seen if one.spread is not None] or [0.0])
    what = "as was seen" if spread > floor else f"by the number of test photos, {count:,}"
    points = f"{100 * max(floor, spread):.1f} points"
    yield f"Runs that differ in the seed alone scatter by about {points} ({what})."


def require(
    text: str, groups: Sequence[Group], judged: Callable[[Group, str], Verdict]
) -> tuple[bool, list[str]]:
    """Whether `A>=B` holds in all tables that have both: what is concluded, a line for each.

    It does not where B is better, or where the seeds can never conclude. `judged` gives the verdict
    on a table of A and B against B; a plan may have decided that it is against A.
    """
    parts = [part.strip() for part in text.split(">=")]
    if len(parts) != 2 or not all(parts):
        raise UserError(f"--require must be like lookahead>=sgd, received: {text}")
    candidate, baseline = parts
    for name in parts:
        row_called(name, groups, option="--require")
    holds, lines = True, list[str]()
    for group in groups:
        both = [row for row in group.rows if _is_called(row, candidate)]
        both += [row for row in group.rows if _is_called(row, baseline) and row not in both]
        if len(both) < 2:
            continue
        pair = replace(group, rows=tuple(both))
        found = judged(pair, baseline)
        labels = zip(labels_of(both), both, strict=True)
        turned = {label for label, row in labels if _is_called(row, baseline)}
        holds &= bool(found.judged) and all(
            one.needs_seeds is None
            and one.conclusion
            is not (Conclusion.BETTER if one.candidate in turned else Conclusion.WORSE)
            for one in found.judged
        )
        lines += found.sentences
    if not lines:
        raise UserError(f"--require {text}: no table has both, so that nothing can be said of them")
    return holds, lines


def by_seed(found: Verdict) -> Iterator[str]:
    """Each row's value of each seed, its difference from the baseline's, and which lie far out."""
    scale, decimals = found.metric.scale, found.metric.decimals + 1
    reference = found.values.get(found.baseline or "", {})
    for label, of_row in found.values.items():
        told = []
        for seed, value in of_row.items():
            text = f"{seed}: {value * scale:.{decimals}f}"
            if label != found.baseline and seed in reference:
                text += f" ({(value - reference[seed]) * scale:+.{decimals}f})"
            told.append(text + " far out" * _is_far_out(value, list(of_row.values())))
        yield f"{label} by seed: {', '.join(told) or 'no value'}"


def _is_far_out(value: float, values: Sequence[float]) -> bool:
    """Beyond five times the median distance from the median, of five values or more."""
    middle = statistics.median(values)
    usual = statistics.median(abs(one - middle) for one in values)
    return len(values) >= 5 and abs(value - middle) > 5 * usual > 0


def row_called(name: str, groups: Sequence[Group], *, option: str = "--baseline") -> None:
    """Refuse a name that is a row of no table."""
    known = {one for group in groups for row in group.rows for one in _described(row).names}
    if groups and not any(_is_called(row, name) for group in groups for row in group.rows):
        near = nearest(name, known)
        raise UserError(
            f"{option} must name an experiment or an optimizer of the tables, received: {name}."
            f"{f' Did you mean {near}?' if near else ''} There are: {some(sorted(known), 12)}."
        )


def _described(row: Row) -> Described:
    names = (row.name, str(row.newest.specification.get("name", row.name)))
    return Described(names, row.newest.optimizer, len(row.distinctions))


def _is_called(row: Row, name: str) -> bool:
    return _described(row).is_called(name)


def _values(row: Row, metric: Measure) -> dict[int, float]:
    pairs = zip(row.seeds, row.summaries[metric.key].values, strict=True)
    return {seed: value for seed, value in pairs if value is not None}


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
            continue
        undecided += one.conclusion is Conclusion.NONE
        if undecided <= _MOST_LINES:
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
    if (more := undecided - _MOST_LINES) > 0:
        yield f"No conclusion about {more} more either; --format json has them all."


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
            words = ["optrun train", *(typed(folder / CONFIG_NAME) for folder in folders)]
            words.append(f"--seeds {seeds[0]}-{seeds[-1]}")
            if (results := typed(folders[0].parent)) != str(RESULTS):
                words.append(f"--results {results}")
            yield f"What is missing runs by: {' '.join(words)}"


def typed(path: Path) -> str:
    """A path as one types it in the working directory."""
    with contextlib.suppress(ValueError, OSError):
        path = path.absolute().relative_to(Path.cwd())
    return shlex.quote(printable(str(path)))
