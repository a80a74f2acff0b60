"""The notes beneath a verdict, what matters most first.

What was not judged, and what is missing; what stands between the table and a fair comparison; what
the ends of trainings and the settings tried say of the ranking; how pairs were made; what other
photos might say; what the verdict holds for.
"""

import statistics
from collections.abc import Hashable, Iterable, Iterator

from optrun.runner.compare import endings, photo_bootstrap, settings_tried
from optrun.runner.compare.comparison import Group, Row, by_label
from optrun.runner.compare.judgement import Verdict
from optrun.runner.runs.reader import Run
from optrun.runner.untrusted import mapping
from optrun.runner.verdict import fairness, sentences
from optrun.runner.verdict.metrics import Measure
from optrun.runner.verdict.proportion import scatter_over_seeds

_HOLDS_FOR = "A verdict holds for these photos, this network and this budget."


def notes(
    group: Group, found: Verdict, *, by_cost: bool = True, files: int = endings.MOST_FILES
) -> Iterator[str]:
    """All of them, of a table.

    Args:
        found: The verdict on it, with what it says itself.
        by_cost: Whether rows are to have computed the same; not where a budget is cut anyway.
        files: How many files of runs are read at most.
    """
    yield from found.notes
    setups = [_setup(label, row, by_cost=by_cost) for label, row in by_label(group.rows).items()]
    yield from fairness.notes(setups, found.baseline)
    yield from endings.notes(group, files=files)
    yield from settings_tried.notes(group)
    if found.judged:
        yield from sentences.notes(found.judged)
        yield from photo_bootstrap.notes(found.over_photos, found)
        yield from _noise_floor(group.rows, found.metric)
        yield _HOLDS_FOR


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
    """How far runs scatter that differ in the seed alone: as seen, or by the number of photos."""
    if metric.key != "test_accuracy":
        return
    photos = {run.record.test_photos for row in rows for run in row.runs}
    seen = [row.summaries[metric.key] for row in rows]
    errors = [1 - one.mean for one in seen if one.mean is not None]
    if len(photos) != 1 or not errors or (count := photos.pop()) is None:
        return
    floor = scatter_over_seeds(statistics.median(errors), count)
    spread = statistics.median([one.spread for one in seen if one.spread is not None] or [0.0])
    what = "as was seen" if spread > floor else f"by the number of test photos, {count:,}"
    points = f"{100 * max(floor, spread):.1f} points"
    yield f"Runs that differ in the seed alone scatter by about {points} ({what})."
