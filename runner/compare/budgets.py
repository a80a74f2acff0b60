"""Curves on one axis: the best within what all runs spent, and what it took to reach a target."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from optrun.runner.compare.comparison import Group, by_label
from optrun.runner.compare.footnotes import readable
from optrun.runner.compare.judgement import (
    BATCHES,
    Verdict,
    label_of_baseline,
    other_batches,
    verdict,
)
from optrun.runner.runs.event_log import EventKind, read_events
from optrun.runner.runs.reader import Run
from optrun.runner.ui.wording import duration, number_of
from optrun.runner.untrusted import mapping, number
from optrun.runner.verdict.metrics import Measure

SECONDS = "training-seconds"
NO_SECONDS = (
    "runs that were trained at the same time on one machine have no seconds that can be compared"
)
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
        if self.axis == SECONDS:
            return f"{duration(self.most)} of training"
        most = f"{self.most:,.1f}".removesuffix(".0")  # a median may lie between two epochs
        return f"{most} {self.axis.replace('-', ' ')}"


def event_key(axis: str) -> str:
    """What was spent, as the event of an epoch calls it.

    >>> event_key("epochs"), event_key("gradient-evaluations")
    ('epoch', 'gradient_evaluations')
    """
    return "epoch" if axis == "epochs" else axis.replace("-", "_")


def curve(run: Run, axis: str, metric: Measure) -> Curve:
    """A run's curve, as far as its events can be read and what is spent grows."""
    points, spent_key = [], event_key(axis)
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
    beside = beside_others(group) if axis == SECONDS else set()
    if beside:
        alone, curve_of = curve_of, lambda run: [] if run.folder in beside else alone(run)
    rows = by_label(group.rows)
    curves = {
        label: {run.record.seed: curve_of(run) for run in row.runs} for label, row in rows.items()
    }
    # A row that is not judged has no say in how much all have.
    reference = label_of_baseline(rows, baseline)
    apart = {} if reference is None or BATCHES in allow else other_batches(rows, reference)
    ends = [
        points[-1][0]
        for label, of_row in curves.items()
        for points in of_row.values()
        if points and label not in apart
    ]
    if not ends:
        why = NO_SECONDS if beside else "no run has epochs that can be read"
        return Verdict(metric, None, sentences=(f"No verdict: {why}.",))
    is_higher, budget = metric.better == "higher", Budget(axis, min(ends))

    values = {
        label: {
            seed: best
            for seed, points in of_row.items()
            if (best := best_within(points, budget.most, higher_is_better=is_higher)) is not None
        }
        for label, of_row in curves.items()
    }
    found = verdict(group, metric, baseline=baseline, margin=margin, allow=allow, values=values)
    if target is not None:
        goal = target / metric.scale
    else:
        of_baseline = curves.get(found.baseline or "", {}).values()
        finals = [points[-1][1] for points in of_baseline if points]
        goal = statistics.median(finals) if finals else math.nan
    reached = []
    if not math.isnan(goal):
        for label, of_row in curves.items():
            spent = [
                spent_to_reach(points, goal, higher_is_better=is_higher)
                for points in of_row.values()
            ]
            reached.append(f"{label} {median_told(spent, axis)}")
    told = f"{readable(metric.key)} of {goal * metric.scale:.4g}{' %' if metric.percent else ''}"
    notes = [f"{told} took: {', '.join(reached)}."] if reached else []
    if beside:
        notes.append(f"Not counted, {number_of(len(beside), 'run')}: {NO_SECONDS}.")
    return replace(
        found,
        sentences=tuple(f"Within {budget}: {one}" for one in found.sentences),
        notes=(*notes, *found.notes),
    )


def beside_others(group: Group) -> set[Path]:
    """The runs, by their folders, that were trained while another was on the same machine.

    Their seconds say as much of the other as of the optimizer.
    """
    by_host: defaultdict[str, list[tuple[datetime, datetime, Path]]] = defaultdict(list)
    for run in (run for row in group.rows for run in row.counting):
        host = mapping(run.record.provenance.get("hardware")).get("host")
        if isinstance(host, str) and run.record.ended is not None and not run.record.resumed:
            by_host[host].append((run.record.started, run.record.ended, run.folder))
    found: set[Path] = set()
    for spans in by_host.values():
        latest: tuple[datetime, Path] | None = None
        for start, end, folder in sorted(spans):
            if latest is not None and start < latest[0]:
                found |= {folder, latest[1]}
            latest = (end, folder) if latest is None or end > latest[0] else latest
    return found


def median_told(spent: Sequence[float], axis: str) -> str:
    if not spent:
        return "has no runs"
    missed = sum(map(math.isinf, spent))
    told = f" ({missed} of {len(spent)} never)" if missed else ""
    middle = statistics.median(spent)
    return ("never" if math.isinf(middle) else str(Budget(axis, middle))) + told
