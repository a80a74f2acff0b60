"""What other test photos might have said: a bootstrap over them, beside the verdict over seeds."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from optrun.runner.compare.comparison import Group, Row, by_label
from optrun.runner.compare.judgement import Verdict
from optrun.runner.engine.scores import log_losses, told_right
from optrun.runner.runs.predictions import kept_predictions
from optrun.runner.runs.reader import Run
from optrun.runner.ui.wording import some
from optrun.runner.verdict.metrics import Measure
from optrun.runner.verdict.sentences import Unit

Numbers = npt.NDArray[np.float64]

MOST_FILES = 400  # of predictions, read over all tables
_LEVEL = 0.95
_RESAMPLES = 9_999
_AT_ONCE = 2**22  # numbers in memory
_MOST_NAMED = 6


def over_photos(
    group: Group, verdict: Verdict, *, files: int = MOST_FILES
) -> dict[str, tuple[float, float]]:
    """Between which differences from the baseline 95 of 100 draws of test photos lie.

    Photos are drawn with replacement from those that tested (Efron 1979), the same for all
    experiments and seeds; the runs stay as they are. Of accuracy and log loss, which are means over
    photos; of other measures, or where a run's predictions are not there, nothing is said.

    Returns (low, high) in the measure's own unit, by the candidate's label.
    """
    rows = by_label(group.rows)
    wanted = [one for one in verdict.judged if one.candidate in rows and one.baseline in rows]
    count = sum(len(rows[label].runs) for label in {one.baseline for one in wanted})
    count += sum(len(rows[one.candidate].runs) for one in wanted)
    if verdict.metric.key not in _SCORES or not 0 < count <= files:
        return {}
    scores = {
        label: _mean_scores(rows[label], verdict.metric)
        for label in dict.fromkeys([verdict.baseline or "", *(one.candidate for one in wanted)])
        if label in rows
    }
    reference = scores.get(verdict.baseline or "")
    if reference is None:
        return {}
    differences = {
        one.candidate: found - reference
        for one in wanted
        if (found := scores[one.candidate]) is not None and len(found) == len(reference)
    }
    if not differences:
        return {}
    means = _resampled(np.stack([*differences.values()], axis=1))
    tail = (1 - _LEVEL) / 2
    ends = np.quantile(means, [tail, 1 - tail], axis=0).T.tolist()
    return {label: (low, high) for label, (low, high) in zip(differences, ends, strict=True)}


def notes(found: Mapping[str, tuple[float, float]], verdict: Verdict) -> Iterator[str]:
    """The intervals in a sentence."""
    if not found:
        return
    unit = Unit.of(verdict.metric)
    told = []
    for label, ends in found.items():
        low, high = unit.differences(ends)
        told.append(f"{label} {low} to {high}")
    yield (
        f"With other test photos of this kind the same runs might differ from {verdict.baseline} "
        f"by, in {unit.name}: {some(told, _MOST_NAMED)} ({100 * _LEVEL:.0f} % of draws, bootstrap)."
    )


_SCORES = {"test_accuracy": told_right, "test_log_loss": log_losses}  # of each photo


def _mean_scores(row: Row, metric: Measure) -> Numbers | None:
    """Each photo's score [photos], a mean over seeds; None where a run's cannot be read."""
    found = [_scores(run, metric) for run in row.runs]
    present = [one for one in found if one is not None]
    if not present or len(present) < len(found) or len({len(one) for one in present}) > 1:
        return None
    return np.asarray(np.mean(present, axis=0), np.float64)


def _scores(run: Run, metric: Measure) -> Numbers | None:
    """Those of one run, if they are what its record says of them."""
    if (kept := kept_predictions(run.folder, "test")) is None:
        return None
    scores = _SCORES[metric.key](*kept)
    recorded = run.record.measure(metric.key)
    is_own = recorded is not None and abs(scores.mean() - recorded) < 1e-6
    return scores if is_own else None


def _resampled(values: Numbers) -> Numbers:
    """Means [resamples, columns] of values [photos, columns], always the same draws."""
    photos = len(values)
    random = np.random.default_rng(photos)
    rows = max(1, _AT_ONCE // photos)
    sizes: Sequence[int] = [min(rows, _RESAMPLES - start) for start in range(0, _RESAMPLES, rows)]
    even = np.full(photos, 1 / photos)
    return (
        np.concatenate([random.multinomial(photos, even, one) @ values for one in sizes]) / photos
    )
