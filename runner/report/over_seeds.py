"""Figures over seeds: each seed's result beside the baseline's, and how far it over-fitted."""

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optrun.runner.compare.comparison import Group, by_label
from optrun.runner.compare.footnotes import readable
from optrun.runner.compare.judgement import Verdict
from optrun.runner.report.curves import (
    Bundle,
    HistoryOf,
    Quantity,
    RunCurve,
    bundles,
    draw_bundles,
    drawn_of,
    history,
    left_out,
    reading_of,
    table_of,
)
from optrun.runner.report.figure import Figure
from optrun.runner.report.style import MOST_LOOKS, legend_label, look
from optrun.runner.ui.wording import number_of, some

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_SENTENCES = 3
_MOST_NAMED = 4
_APART = 0.16  # of a line's height, the two of a pair from its middle
_HARDLY = 0.005  # nats; what a rise from the lowest loss must exceed to be told as one


def seeds(group: Group, verdict: Verdict) -> Figure | None:
    """A dot for each seed, joined with the baseline's where the verdict pairs them.

    None where nothing was judged.
    """
    metric, reference = verdict.metric, verdict.baseline
    if reference is None or not verdict.judged:
        return None
    judged = {one.candidate: one for one in verdict.judged}
    scale = metric.scale
    unit = "%" if metric.percent else metric.unit
    name = readable(metric.key)
    label = f"{name} ({unit})"
    order = [one for one in by_label(group.rows) if one in judged][:MOST_LOOKS]
    places = {one: place for place, one in enumerate(by_label(group.rows))}
    of_baseline = verdict.values[reference]

    def draw(axes: "Axes") -> None:
        for height, candidate in enumerate(reversed(order)):
            style = look(places[candidate])
            own: dict[str, Any] = {"linestyle": "none", "gid": candidate}
            values = verdict.values[candidate]
            common = judged[candidate].seeds if judged[candidate].paired else ()
            below, above = height - _APART, height + _APART
            for seed in common:
                pair = [of_baseline[int(str(seed))] * scale, values[int(str(seed))] * scale]
                is_better = (pair[1] - pair[0]) * metric.judged.sign > 0
                axes.plot(
                    pair,
                    [below, above],
                    color=style["color"] if is_better else "0.55",
                    linestyle="-" if is_better else ":",
                    linewidth=1.0,
                    gid=candidate,
                )
            dots = [one * scale for one in values.values()]
            axes.plot(
                dots,
                [above] * len(dots),
                marker=style["marker"],
                color=style["color"],
                **own,
            )
            others = [one * scale for one in of_baseline.values()]
            axes.plot(
                others,
                [below] * len(others),
                marker="o",
                markerfacecolor="none",
                color=look(places[reference])["color"],
                **own,
            )
        axes.set_yticks(range(len(order)), [beside_axis(one) for one in reversed(order)])
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.set_xlabel(label)

    told = verdict.sentences[:_MOST_SENTENCES]
    return Figure(
        key=f"seeds-{metric.key.replace('_', '-')}",
        title=f"{name.capitalize()} of each seed, beside {reference}'s",
        finding=" ".join(told),
        columns=("experiment", "seed", label, f"difference from {reference}"),
        rows=[
            (
                one,
                seed,
                value * scale,
                (value - of_baseline[seed]) * scale
                if one in judged and judged[one].paired and seed in of_baseline
                else None,
            )
            for one in [reference, *order]
            for seed, value in verdict.values[one].items()
        ],
        draw=draw,
        reading=f"Filled: the experiment's seeds; open circles below: those of {reference}."
        + " A line joins a pair: solid where the experiment is better, dotted where not."
        * any(one.paired for one in judged.values()),
    )


def beside_axis(label: str) -> str:
    """A name beside an axis, in lines of what fits there."""
    shown = label if len(label) <= 60 else f"{label[:38]}…{label[-20:]}"
    lines = [""]
    for word in shown.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and len(longer) > 26:
            lines.append(word)
        else:
            lines[-1] = longer
    return legend_label("\n".join(lines))


# An epoch's scores on validation and on as many training photos.
_GAPS = {
    "loss": (
        Quantity("validation_loss", "gap in loss", "nats"),
        "training_subset_loss",
        1,
    ),
    "accuracy": (
        Quantity("validation_accuracy", "gap in accuracy", "points", 100, 1),
        "training_subset_accuracy",
        -1,
    ),
}


def generalisation_gap(
    group: Group, of: str = "loss", history_of: HistoryOf = history
) -> Figure | None:
    """How much worse validation is than as many training photos, by epoch: over-fitting.

    gap = validation loss - training loss, or training accuracy - validation accuracy. A loss on
    validation that rises again while training's falls is over-fitting proper; the finding of the
    gap in loss says whether it did.

    Args:
        of: "loss" or "accuracy".
    """
    quantity, training_key, sign = _GAPS[of]
    validation = bundles(group, "epochs", quantity, history_of)
    training = bundles(group, "epochs", Quantity(training_key, "", ""), history_of)
    by_place = {one.place: one for one in training}
    found = [
        bundle
        for one in validation
        if one.place in by_place and (bundle := _difference(one, by_place[one.place], sign))
    ]
    if not found:
        return None
    shown = drawn_of(found)

    def draw(axes: "Axes") -> None:
        draw_bundles(axes, shown, "epochs", quantity)
        axes.axhline(0, color="0.5", linewidth=0.8)

    less = "validation minus training" if of == "loss" else "training minus validation"
    return Figure(
        key=f"generalisation-gap-{of}",
        title=f"Gap in {of}: {less} photos",
        finding=_over_fitting(found, validation, quantity, of),
        columns=("experiment", "seed", "epochs", quantity.label, "band from", "band to"),
        rows=table_of(found, quantity.scale),
        draw=draw,
        reading=" ".join(
            [
                *reading_of(shown),
                "Above 0 the training photos are told better than those of validation.",
                *left_out(group, found, "epochs"),
            ]
        ),
    )


def _difference(one: Bundle, training: Bundle, sign: int) -> Bundle | None:
    """The curves of the gap, of seeds and epochs that have both."""
    other = {
        curve.seed: dict(zip(curve.places, curve.values, strict=True)) for curve in training.curves
    }
    curves = []
    for curve in one.curves:
        points = [
            (place, spent, sign * (value - other[curve.seed][place]))
            for place, spent, value in zip(curve.places, curve.spent, curve.values, strict=True)
            if place in other.get(curve.seed, {})
        ]
        if points:
            places, spent, values = zip(*points, strict=True)
            curves.append(RunCurve(curve.seed, curve.status, places, spent, values))
    return Bundle(one.label, one.place, tuple(curves)) if curves else None


def _over_fitting(
    found: Sequence[Bundle], validation: Sequence[Bundle], quantity: Quantity, of: str
) -> str:
    """How large the gaps are at the end, and whether validation got worse after its best epoch."""
    ends: dict[str, tuple[float, int]] = {
        one.label: (
            statistics.fmean(curve.values[-1] for curve in one.averaged),
            len(one.averaged),
        )
        for one in found
        if one.averaged
    }
    if not ends:
        return "All runs diverged."
    ranked = sorted(ends.items(), key=lambda one: -one[1][0])
    told = [
        f"{label} {_signed(mean * quantity.scale, quantity.decimals)} "
        f"({f'mean of {count} seeds' if count > 1 else '1 seed'})"
        for label, (mean, count) in ranked
    ]
    sentences = [
        f"The gap in {of} at the end ({quantity.unit}), the largest first: "
        f"{some(told, _MOST_NAMED)}; not tested for significance."
    ]
    if of == "loss":
        sentences.append(_rose(validation))
    return " ".join(sentences)


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def _rose(validation: Sequence[Bundle]) -> str:
    """In how many seeds the validation loss at the end is above its lowest."""
    over, seeds_in_all = [], 0
    for one in validation:
        rises = [curve.values[-1] - min(curve.values) for curve in one.averaged]
        count = sum(rise > _HARDLY for rise in rises)
        seeds_in_all += len(rises)
        if count:
            over.append(f"{one.label} ({count} of {number_of(len(rises), 'seed')})")
    amount = f"more than {_HARDLY:g} nats above its lowest"
    if over:
        return f"Validation loss ended {amount}, over-fitted, with {some(over, _MOST_NAMED)}."
    return f"None over-fitted: in none of {number_of(seeds_in_all, 'run')} it ended {amount}."
