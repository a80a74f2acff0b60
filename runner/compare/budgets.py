"""Curves on one axis: the best within what all runs spent, and what it took to reach a target."""

import math
import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from optrun.runner.compare.comparison import Group, Row, by_label
from optrun.runner.compare.footnotes import readable
from optrun.runner.compare.judgement import Verdict, verdict
from optrun.runner.runs.event_log import EventKind, read_events
from optrun.runner.runs.reader import Run
from optrun.runner.ui.wording import duration
from optrun.runner.untrusted import number
from optrun.runner.verdict.metrics import Measure

# Test photos are asked once, at a training's end: what a curve has is measured on validation.
# fmt: off
CURVES = {
    one.key: one for one in (
        Measure("validation_accuracy", "validation", ("validation", "accuracy"), "fraction",
                "higher", 1, "Share of validation photos told right after an epoch."),
        Measure("validation_loss", "validation", ("validation", "loss"), "nats", "lower", 3,
                "Cross-entropy on the validation photos after an epoch."),
    )
}
# fmt: on

Curve = list[tuple[float, float]]  # what was spent, and the measure then; both by epoch
CurveOf = Callable[[Run], Curve]


@dataclass(frozen=True)
class Budget:
    """What curves are cut at: the most that every run spent."""

    axis: str
    most: float

    def __str__(self) -> str:
        if self.axis == "training-seconds":
            return f"{duration(self.most)} of training"
        return f"{self.most:,.0f} {self.axis.replace('-', ' ')}"


def curve(run: Run, axis: str, metric: Measure) -> Curve:
    """A run's curve, as far as its events can be read and what is spent grows."""
    points, spent_key = [], "epoch" if axis == "epochs" else axis.replace("-", "_")
    for event in read_events(run.folder).of(EventKind.EPOCH):
        spent, value = number(event.get(spent_key)), number(event.get(metric.key))
        if spent is not None and value is not None:
            points.append((spent, value))
    is_curve = all(one[0] < following[0] for one, following in pairwise(points))
    return points if is_curve else []


def best_within(points: Curve, most: float, *, higher_is_better: bool) -> float | None:
    """The best value up to a budget; None where no epoch ended within it.

    >>> best_within([(10, 0.5), (20, 0.9), (30, 0.7)], 20, higher_is_better=True)
    0.9
    """
    values = [value for spent, value in points if spent <= most]
    return (max if higher_is_better else min)(values, default=None)


def spent_to_reach(points: Curve, target: float, *, higher_is_better: bool) -> float:
    """What it took to reach a target; infinite where it never was.

    >>> curve = [(10, 0.5), (20, 0.9), (30, 0.7)]
    >>> [spent_to_reach(curve, target, higher_is_better=True) for target in (0.6, 0.95)]
    [20, inf]
    """
    sign = 1 if higher_is_better else -1
    reached = (spent for spent, value in points if sign * value >= sign * target)
    return next(reached, math.inf)


def within_budget(
    group: Group,
    axis: str,
    metric: Measure,
    *,
    baseline: str | None = None,
    margin: float | None = None,
    target: float | None = None,
    allow: Collection[str] = (),
    curve_of: CurveOf | None = None,
) -> Verdict:
    """The verdict on the best values within the budget that all runs of a table have.

    `target` is in the unit of the table; None: the baseline's median at the end.
    """
    curve_of = curve_of or (lambda run: curve(run, axis, metric))
    curves = [{run.record.seed: curve_of(run) for run in row.runs} for row in group.rows]
    ends = [points[-1][0] for of_row in curves for points in of_row.values() if points]
    if not ends:
        return Verdict(metric, None, sentences=("No verdict: no run has epochs that can be read.",))
    is_higher, budget = metric.better == "higher", Budget(axis, min(ends))

    def values(row: Row) -> dict[int, float]:
        found = curves[group.rows.index(row)].items()
        best = {
            seed: best_within(points, budget.most, higher_is_better=is_higher)
            for seed, points in found
        }
        return {seed: value for seed, value in best.items() if value is not None}

    found = verdict(group, metric, baseline=baseline, margin=margin, allow=allow, values_of=values)
    labels = dict(zip(by_label(group.rows), curves, strict=True))
    if target is not None:
        goal = target / metric.scale
    else:
        of_baseline = labels.get(found.baseline or "", {}).values()
        finals = [points[-1][1] for points in of_baseline if points]
        goal = statistics.median(finals) if finals else math.nan
    reached = []
    if not math.isnan(goal):
        for label, of_row in labels.items():
            spent = [
                spent_to_reach(points, goal, higher_is_better=is_higher)
                for points in of_row.values()
            ]
            reached.append(f"{label} {_median(spent, axis)}")
    told = f"{readable(metric.key)} of {goal * metric.scale:.4g}{' %' if metric.percent else ''}"
    notes = [f"{told} took: {', '.join(reached)}."] if reached else []
    return replace(
        found,
        sentences=tuple(f"Within {budget}: {one}" for one in found.sentences),
        notes=(*notes, *found.notes),
    )


def _median(spent: Sequence[float], axis: str) -> str:
    if not spent:
        return "has no runs"
    missed = sum(map(math.isinf, spent))
    told = f" ({missed} of {len(spent)} never)" if missed else ""
    middle = statistics.median(spent)
    return ("never" if math.isinf(middle) else str(Budget(axis, middle))) + told
