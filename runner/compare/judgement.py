"""What a table's rows allow to conclude against its baseline, in numbers and in words."""

import contextlib
import itertools
import shlex
import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from optrun.runner.compare.comparison import Group, Row, by_label
from optrun.runner.compare.footnotes import ranges, readable
from optrun.runner.errors import UserError
from optrun.runner.runs.reader import CONFIG_NAME, RESULTS
from optrun.runner.ui.wording import did_you_mean, number_of, some
from optrun.runner.untrusted import printable
from optrun.runner.verdict.baseline import Described, baseline_of
from optrun.runner.verdict.conclusions import Conclusion, Judged, judge
from optrun.runner.verdict.metrics import Measure
from optrun.runner.verdict.sentences import Unit, in_common
from optrun.runner.verdict.sentences import sentences as told

_MOST_COMMANDS = 8
_MOST_CONFIGS = 4  # in one command
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
    notes: tuple[str, ...] = ()  # what is not part of it, and what to do where it is not enough


def verdict(
    group: Group,
    metric: Measure,
    *,
    baseline: str | None = None,
    margin: float | None = None,
    allow: Collection[str] = (),
    values: Mapping[str, Mapping[int, float]] | None = None,
) -> Verdict:
    """Judge every row of a table against the baseline's.

    `baseline` is a row's name or its optimizer's; None: SGD, else the row of the shortest
    description. `margin` is in the unit that the table shows. `values` are those of the rows, by
    label and seed, where they are not the metric's of their runs.
    """
    rows = by_label(group.rows)
    if values is None:
        values = {label: _values(row, metric) for label, row in rows.items()}
    seen = values
    values = {label: of_row for label, of_row in seen.items() if of_row}
    if len(rows) == 1:
        alone = ("One experiment: nothing to compare it with.",)
        return Verdict(metric, None, seen, sentences=alone)
    reference = label_of_baseline(rows, baseline)
    if reference not in values or len(values) < 2:
        if reference is None:
            said = f"No verdict: {baseline}, the baseline, is not in this table."
        else:
            said = _nothing_to_judge(rows.values(), metric, reference, reference in values)
        return Verdict(metric, reference, seen, sentences=(said,))
    apart = {} if BATCHES in allow else other_batches(rows, reference)
    values = {label: of_row for label, of_row in values.items() if label not in apart}
    judged = judge(
        values,
        reference,
        metric.judged,
        margin=None if margin is None else margin / metric.scale,
        unpaired={one for one in values if not _begin_alike(rows[one], rows[reference])},
    )
    return Verdict(
        metric,
        reference,
        seen,
        tuple(judged),
        sentences=tuple(told(judged, Unit.of(metric)))
        or (f"No verdict: nothing here is like {reference}.",),
        notes=(
            *(f"Not judged: {label}, {why}." for label, why in apart.items()),
            *_missing_runs(judged, rows),
            *in_common(judged, values),
        ),
    )


def label_of_baseline(rows: Mapping[str, Row], stated: str | None = None) -> str | None:
    """The row, by label, that the others are set against; None where none is called as stated."""
    return baseline_of({label: _described(row) for label, row in rows.items()}, stated)


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


def other_batches(rows: dict[str, Row], reference: str) -> dict[str, str]:
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
        turned = {label for label, row in by_label(both).items() if _is_called(row, baseline)}
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
        raise UserError(
            f"{option} must name an experiment or an optimizer of the tables, received: {name}."
            f"{did_you_mean(name, known)} There are: {some(sorted(known), 12)}."
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


def _missing_runs(judged: Sequence[Judged], rows: Mapping[str, Row]) -> Iterator[str]:
    """The commands that run the seeds without which nothing can be concluded.

    They train what a run's own folder says, with whatever was set when it began.
    """
    missing: defaultdict[str, set[int]] = defaultdict(set)
    for is_paired in (True, False):
        short = [one for one in judged if one.needs_seeds and one.paired is is_paired]
        needed = max((one.needs_seeds or 0 for one in short), default=0)
        labels = dict.fromkeys([one.baseline for one in short] + [one.candidate for one in short])
        # Pairs need the same seeds in all rows, others only enough of their own.
        of_all = _first_seeds([rows[label] for label in labels], needed) if is_paired else []
        for label in labels:
            row = rows[label]
            wanted = of_all if is_paired else _first_seeds([row], needed)
            missing[label].update(set(wanted) - set(row.seeds))
    configs: defaultdict[tuple[int, int], list[Path]] = defaultdict(list)
    for label, seeds in missing.items():
        for ends in ranges(seeds):
            configs[ends].append(rows[label].runs[0].folder)
    for (first, last), folders in sorted(configs.items())[:_MOST_COMMANDS]:
        if len(folders) <= _MOST_CONFIGS:
            yield f"What is missing runs by: {training(folders, f'--seeds {first}-{last}')}"


def _first_seeds(rows: Sequence[Row], needed: int) -> list[int]:
    """So many seeds for all rows, without those that diverged: of any row, then the next."""
    diverged = {run.record.seed for row in rows for run in row.diverged}
    there = sorted({seed for row in rows for seed in row.seeds} - diverged)
    more = (seed for seed in itertools.count(max(there, default=0) + 1) if seed not in diverged)
    return list(itertools.islice(itertools.chain(there, more), needed))


def training(folders: Sequence[Path], seeds: str) -> str:
    """The command that trains what the folders of runs say, with other seeds."""
    words = ["optrun train", *(typed(folder / CONFIG_NAME) for folder in folders), seeds]
    if (results := typed(folders[0].parent)) != str(RESULTS):
        words.append(f"--results {results}")
    return " ".join(words)


def typed(path: Path) -> str:
    """A path as one types it in the working directory."""
    with contextlib.suppress(ValueError, OSError):
        path = path.absolute().relative_to(Path.cwd())
    return shlex.quote(printable(str(path)))
