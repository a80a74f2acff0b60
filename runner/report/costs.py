"""Figures of cost: what it took to reach a target, and what accuracy stands against what price."""

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optrun.runner.compare.budgets import (
    CURVES,
    NO_SECONDS,
    SECONDS,
    beside_others,
    median_told,
    spent_to_reach,
)
from optrun.runner.compare.comparison import Group, by_label
from optrun.runner.compare.judgement import label_of_baseline
from optrun.runner.report.curves import (
    AXIS_LABELS,
    QUANTITIES,
    Bundle,
    HistoryOf,
    bundles,
    drawn_of,
    history,
    left_out,
    set_axis,
)
from optrun.runner.report.figure import Figure
from optrun.runner.report.over_seeds import beside_axis
from optrun.runner.report.style import MOST_LOOKS, legend_label, look
from optrun.runner.ui.wording import number_of, some
from optrun.runner.verdict.metrics import BY_KEY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMED = 4
_COSTS = {SECONDS: "training_seconds", "gradient-evaluations": "gradient_evaluations"}


def time_to_target(
    group: Group,
    axis: str,
    measure: str = "validation_accuracy",
    *,
    baseline: str | None = None,
    history_of: HistoryOf = history,
) -> Figure | None:
    """What each seed spent until it reached the baseline's median final value, once.

    None where the baseline has no curve, so that there is no target.

    Args:
        baseline: The label of its row; None: as `compare` chooses it.
    """
    quantity, is_higher = QUANTITIES[measure], CURVES[measure].better == "higher"
    found = bundles(group, axis, quantity, history_of)
    if baseline is None:
        rows = by_label(group.rows)
        baseline = label_of_baseline(rows)
    finals = [one.values[-1] for it in found if it.label == baseline for one in it.averaged]
    found = [one for one in found if one.averaged]
    if not finals:
        return None
    target = statistics.median(finals)
    spent = {
        one.label: {
            curve.seed: spent_to_reach(
                list(zip(curve.spent, curve.values, strict=True)),
                target,
                higher_is_better=is_higher,
            )
            for curve in one.averaged
        }
        for one in found
    }
    shown = drawn_of(found)
    told = [
        f"{label} {median_told(list(of_row.values()), axis)}" for label, of_row in spent.items()
    ]
    return Figure(
        key=f"time-to-target-{axis}",
        title=f"What it took to reach {quantity.told(target)} {quantity.name}",
        finding=(
            f"{quantity.name.capitalize()} of {quantity.told(target)}, the median of {baseline} at "
            f"the end, took, as a median over seeds: {some(told, _MOST_NAMED)}."
        ),
        columns=("experiment", "seed", AXIS_LABELS[axis]),
        rows=[
            (label, seed, "never" if math.isinf(one) else one)
            for label, of_row in spent.items()
            for seed, one in of_row.items()
        ],
        draw=lambda axes: _draw_targets(axes, shown, spent, axis),
        reading=" ".join(
            [
                "Dots: each seed; bar: the median, where a miss is infinite; ×: never reached.",
                *left_out(group, found, axis),
            ]
        ),
    )


def _draw_targets(
    axes: "Axes", shown: Sequence[Bundle], spent: dict[str, dict[int, float]], axis: str
) -> None:
    reached = [one for it in shown for one in spent[it.label].values() if math.isfinite(one)]
    end = max((curve.spent[-1] for one in shown for curve in one.averaged), default=1.0)
    never = 1.08 * max([end, *reached])
    has_misses = any(math.isinf(one) for it in shown for one in spent[it.label].values())
    for height, bundle in enumerate(reversed(shown)):
        style, values = look(bundle.place), list(spent[bundle.label].values())
        # Seeds that took the same lie above one another.
        for value in sorted(set(values)):
            alike = values.count(value)
            heights = [height + 0.5 * ((n + 0.5) / alike - 0.5) for n in range(alike)]
            marker = "x" if math.isinf(value) else style["marker"]
            at = never if math.isinf(value) else value
            axes.plot(
                [at] * alike,
                heights,
                linestyle="none",
                color=style["color"],
                marker=marker,
                gid=bundle.label,
            )
        middle = statistics.median(values)
        if math.isfinite(middle):
            axes.plot(
                [middle] * 2,
                [height - 0.38, height + 0.38],
                color=style["color"],
                linewidth=2.5,
                alpha=0.6,
                gid=bundle.label,
            )
    axes.set_yticks(range(len(shown)), [beside_axis(one.label) for one in reversed(shown)])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlim(0, 1.04 * (never if has_misses else max(end, *reached)))
    set_axis(axes, axis)


def cost(group: Group, axis: str = "gradient-evaluations") -> Figure | None:
    """Test accuracy against what the training cost: a mark for each seed and one for the mean.

    Args:
        axis: "gradient-evaluations" or "training-seconds".
    """
    beside = beside_others(group) if axis == SECONDS else set()
    points: dict[str, list[tuple[int, float, float]]] = {}
    places = {}
    for place, (label, row) in enumerate(by_label(group.rows).items()):
        pairs = [
            (run.record.seed, run.record.measure(_COSTS[axis]), run.record.measure("test_accuracy"))
            for run in row.runs
            if run.folder not in beside
        ]
        known = [
            (seed, spent, accuracy)
            for seed, spent, accuracy in pairs
            if spent is not None and accuracy is not None
        ]
        if known:
            points[label], places[label] = known, place
    if not points:
        return None
    means = {
        label: (statistics.fmean(one[1] for one in of), statistics.fmean(one[2] for one in of))
        for label, of in points.items()
    }
    shown = [label for label in points if places[label] < MOST_LOOKS]

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator, StrMethodFormatter

        for label in shown:
            style = {**look(places[label]), "linestyle": "none", "gid": label}
            seeds = points[label]
            if len(seeds) > 1:
                spent, values = [one[1] for one in seeds], [100 * one[2] for one in seeds]
                axes.plot(spent, values, **style, alpha=0.35, markersize=4)
            mean = means[label]
            title = f"{legend_label(label)}, {number_of(len(seeds), 'seed')}"
            axes.plot([mean[0]], [100 * mean[1]], **style, markersize=9, label=title)
        axes.set_xlabel(AXIS_LABELS[axis])
        axes.set_ylabel("test accuracy (%)")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))

    best = [
        label
        for label, (price, value) in means.items()
        if not any(
            other[0] <= price and other[1] >= value and other != (price, value)
            for other in means.values()
        )
    ]
    best.sort(key=lambda label: means[label])
    unit = BY_KEY[_COSTS[axis]].decimals
    told = [
        f"{label} ({100 * means[label][1]:.1f} % for {means[label][0]:,.{unit}f}"
        f"{' s' if axis == SECONDS else ''})"
        for label in best
    ]
    price = "training time" if axis == SECONDS else "gradient evaluations"
    little = "little" if axis == SECONDS else "few"
    return Figure(
        key=f"cost-{axis}",
        title=f"Test accuracy against {price}",
        finding=(
            f"By their means, no other has as high a test accuracy for as {little} {price} as "
            f"{some(told, _MOST_NAMED)}; not tested for significance."
            if len(points) > 1
            else f"{told[0]}."
        ),
        columns=("experiment", "seed", AXIS_LABELS[axis], "test accuracy (%)"),
        rows=[
            (label, seed, spent, 100 * accuracy)
            for label, of in points.items()
            for seed, spent, accuracy in of
        ],
        draw=draw,
        reading="Large: the mean over seeds; small: each seed."
        + (f" Not shown, {number_of(len(beside), 'run')}: {NO_SECONDS}." if beside else ""),
    )
