"""Curves over a training: of each seed, their mean, and how far they scatter.

At the nth epoch (or the nth record of steps) the mean is that of the runs which completed, over the
epochs that all of them have. From three seeds on the band about it is the mean ± the standard
deviation of the sample; of two it reaches from the lower to the higher one. Seeds that diverged are
drawn, and are no part of a mean.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from optrun.runner.compare.budgets import NO_SECONDS, SECONDS, Budget, beside_others, event_key
from optrun.runner.compare.comparison import Group, by_label
from optrun.runner.report.figure import Cell, Figure
from optrun.runner.report.style import MOST_LOOKS, legend_label, look
from optrun.runner.runs.event_log import EventKind, read_events, read_steps
from optrun.runner.runs.reader import Run
from optrun.runner.runs.record import RunStatus
from optrun.runner.ui.wording import number_of, some
from optrun.runner.untrusted import number, whole
from optrun.runner.verdict.summary import standard_deviation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Event = Mapping[str, Any]
AXIS_LABELS = {
    "epochs": "epochs",
    "updates": "updates of the weights",
    "images": "training photos seen",
    "gradient-evaluations": "gradient evaluations (of one batch)",
    SECONDS: "training time (s)",
}
_MOST_POINTS = 100  # of a curve of steps; more records are averaged
_MOST_ROWS = 2_000  # of a table with every seed; a longer one has the means alone
_MOST_NAMED = 3
_MOST_BANDS = 6  # in a picture
_MOST_SEEDS = 60  # likewise
_FEWEST_FOR_DEVIATION = 3
_STRAY = 0.15  # of the height of the curves that completed, as room for others


@dataclass(frozen=True)
class Quantity:
    """What a curve is of."""

    key: str  # of an epoch's event
    name: str
    unit: str
    scale: float = 1.0
    decimals: int = 3
    higher_is_better: bool = False

    @property
    def label(self) -> str:
        """With its unit, for an axis or a column."""
        return f"{self.name} ({self.unit})"

    def told(self, value: float) -> str:
        """A recorded value in the unit."""
        text = f"{value * self.scale:.{self.decimals}f}"
        return f"{text} %" if self.unit == "%" else text


QUANTITIES = {
    one.key: one
    for one in (
        Quantity("validation_loss", "validation loss", "nats"),
        Quantity("validation_accuracy", "validation accuracy", "%", 100, 1, True),
        Quantity("training_loss", "training loss", "nats"),
    )
}


@dataclass(frozen=True)
class History:
    """What a run recorded as it went; of steps at most so many records as a curve has points."""

    epochs: Sequence[Event]
    steps: Sequence[Event]


HistoryOf = Callable[[Path], History]


def history(folder: Path) -> History:
    """A run's events, as far as they can be read.

    Who draws several figures reads them once: `functools.cache(history)`.
    """
    return History(read_events(folder).of(EventKind.EPOCH), _averaged(read_steps(folder)))


def _averaged(steps: Sequence[Event]) -> list[Event]:
    """Of very many records of steps several in a row as one: the last, with their mean loss."""
    known = [(one, loss) for one in steps if (loss := number(one.get("loss"))) is not None]
    together = max(1, math.ceil(len(known) / _MOST_POINTS))
    parts = (known[at : at + together] for at in range(0, len(known), together))
    return [
        {**part[-1][0], "loss": statistics.fmean(loss for _, loss in part)}
        for part in parts
        if len(part) == together
    ]


@dataclass(frozen=True)
class RunCurve:
    """Of one run: what was spent, and the value then, by epoch or step."""

    seed: int
    status: RunStatus
    places: tuple[int, ...]
    spent: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Middle:
    """The mean of several curves at one epoch or step, with the ends of the band about it."""

    spent: float
    mean: float
    low: float
    high: float
    curves: int


@dataclass(frozen=True)
class Bundle:
    """The curves of one experiment."""

    label: str
    place: int  # of its row in the table; the same look in every figure
    curves: tuple[RunCurve, ...]

    @property
    def averaged(self) -> tuple[RunCurve, ...]:
        """Those of which a mean is: completed; where none is yet, those that go on."""
        for wanted in ((RunStatus.COMPLETED,), set(RunStatus) - {RunStatus.DIVERGED}):
            if found := tuple(one for one in self.curves if one.status in wanted):
                return found
        return ()

    @cached_property
    def middle(self) -> list[Middle]:
        """By epoch or step, as far as all averaged curves go."""
        return middle_of(self.averaged)

    @property
    def title(self) -> str:
        """For a legend: "sgd, 8 seeds, 1 diverged"."""
        counts = {
            "": sum(one.status == RunStatus.COMPLETED for one in self.curves),
            " diverged": sum(one.status == RunStatus.DIVERGED for one in self.curves),
        }
        counts[" unfinished"] = len(self.curves) - sum(counts.values())
        told = [f"{count}{what}" for what, count in counts.items() if count and what]
        completed = [number_of(counts[""], "seed")] if counts[""] else []
        return ", ".join([legend_label(self.label), *completed, *told])


def middle_of(curves: Sequence[RunCurve]) -> list[Middle]:
    """Mean and band at each place that all of the curves have.

    >>> one, other = (
    ...     RunCurve(seed, RunStatus.COMPLETED, (1, 2), (10.0, 20.0), (value, 0.5))
    ...     for seed, value in enumerate([0.6, 0.8])
    ... )
    >>> [round(getattr(middle_of([one, other])[0], name), 3) for name in ("mean", "low", "high")]
    [0.7, 0.6, 0.8]
    """
    points = [dict(zip(one.places, zip(one.spent, one.values), strict=True)) for one in curves]  # noqa: B905
    common = sorted(set(points[0]).intersection(*points[1:])) if points else []
    found = []
    for place in common:
        spent, values = zip(*(one[place] for one in points), strict=True)
        mean, low, high = statistics.fmean(values), min(values), max(values)
        deviation = standard_deviation(values)
        if deviation is not None and len(values) >= _FEWEST_FOR_DEVIATION:
            low, high = mean - deviation, mean + deviation
        found.append(Middle(statistics.fmean(spent), mean, low, high, len(values)))
    return found


def bundles(
    group: Group, axis: str, quantity: Quantity, history_of: HistoryOf = history
) -> list[Bundle]:
    """The curves of a table's experiments, without those that have none."""
    beside = beside_others(group) if axis == SECONDS else set()
    found = []
    labels = [*by_label(group.rows)]
    for place, (label, row) in enumerate(zip(labels, group.rows, strict=True)):
        curves = [
            one
            for run in row.counting
            if run.folder not in beside
            and (one := _curve(run, history_of(run.folder), axis, quantity)) is not None
        ]
        if curves:
            found.append(Bundle(label, place, tuple(sorted(curves, key=lambda one: one.seed))))
    return found


def _curve(run: Run, found: History, axis: str, quantity: Quantity) -> RunCurve | None:
    points = _step_points(run, found.steps, axis) if quantity.key == "training_loss" else []
    points = points or list(_epoch_points(found.epochs, axis, quantity.key))
    grows = all(one[:2] < following[:2] for one, following in pairwise(points))
    if not points or not grows or any(one[1] >= two[1] for one, two in pairwise(points)):
        return None
    places, spent, values = zip(*points, strict=True)
    return RunCurve(run.record.seed, run.status, places, spent, values)


def _epoch_points(
    epochs: Sequence[Event], axis: str, key: str
) -> Iterator[tuple[int, float, float]]:
    for event in epochs:
        epoch, spent, value = (
            whole(event.get("epoch")),
            number(event.get(event_key(axis))),
            event.get(key),
        )
        if epoch is not None and spent is not None and (value := number(value)) is not None:
            yield epoch, spent, value


def _step_points(run: Run, steps: Sequence[Event], axis: str) -> list[tuple[int, float, float]]:
    """The training loss of each record of steps."""
    per_epoch = run.record.steps_per_epoch
    points: list[tuple[int, float, float]] = []
    for event in steps:
        step, loss = whole(event.get("step")), number(event.get("loss"))
        if axis == "epochs":
            spent = None if step is None or per_epoch is None else step / per_epoch
        else:
            spent = number(event.get(event_key(axis)))
        if step is not None and loss is not None and spent is not None:
            points.append((step, spent, loss))
    return points


def learning_curves(
    group: Group, axis: str, measure: str, history_of: HistoryOf = history
) -> Figure | None:
    """A curve for each seed and the mean of each experiment; None where no run has one.

    Args:
        group: A table of `compare`.
        axis: One of `metrics.AXES`.
        measure: One of `QUANTITIES`.
        history_of: Reads a run's events.
    """
    quantity = QUANTITIES[measure]
    found = bundles(group, axis, quantity, history_of)
    if not found:
        return None
    shown = drawn_of(found)
    return Figure(
        key=f"learning-curves-{measure.replace('_', '-')}-{axis}",
        title=f"{quantity.name.capitalize()} over {AXIS_LABELS[axis].partition(' (')[0]}",
        finding=_finding(found, axis, quantity),
        columns=("experiment", "seed", AXIS_LABELS[axis], quantity.label, "band from", "band to"),
        rows=table_of(found, quantity.scale),
        draw=lambda axes: draw_bundles(axes, shown, axis, quantity),
        reading=" ".join([*reading_of(shown), *left_out(group, found, axis)]),
    )


def left_out(group: Group, found: Sequence[Bundle], axis: str) -> Iterator[str]:
    """What a figure of these bundles does not show."""
    if len(found) > (drawn := len(drawn_of(found))):
        yield f"The first {drawn} of {len(found)} experiments are drawn."
    if axis == SECONDS and (beside := beside_others(group)):
        yield f"Not shown, {number_of(len(beside), 'run')}: {NO_SECONDS}."


def drawn_of(found: Sequence[Bundle]) -> list[Bundle]:
    """Those that a picture has looks for."""
    return [one for one in found if one.place < MOST_LOOKS] or list(found[:MOST_LOOKS])


@dataclass(frozen=True)
class Detail:
    """What a picture has room for beside the means."""

    has_bands: bool  # many hide one another, and the lines
    has_seeds: bool

    @classmethod
    def of(cls, found: Sequence[Bundle]) -> Self:
        """For a picture of these."""
        curves = sum(len(one.curves) for one in found)
        return cls(len(found) <= _MOST_BANDS, curves <= _MOST_SEEDS)


def reading_of(found: Sequence[Bundle]) -> list[str]:
    """What the lines, bands and marks of such a picture are."""
    most = max(len(one.averaged) for one in found)
    counts = {len(one.averaged) for one in found}
    told = []
    detail = Detail.of(found)
    if most > 1:
        thin = "; thin: each seed" * detail.has_seeds
        told.append(f"Thick: the mean over seeds{thin}.")
    if detail.has_bands and max(counts) >= _FEWEST_FOR_DEVIATION:
        told.append("Band: mean ± standard deviation.")
    if detail.has_bands and _FEWEST_FOR_DEVIATION - 1 in counts:
        told.append("Band of two seeds: from one to the other.")
    statuses = {curve.status for bundle in found for curve in bundle.curves}
    if RunStatus.DIVERGED in statuses:
        told.append("×: diverged.")
    if statuses - {RunStatus.DIVERGED, RunStatus.COMPLETED}:
        told.append("|: not finished.")
    return told


def table_of(found: Sequence[Bundle], scale: float) -> list[tuple[Cell, ...]]:
    """Every point of every seed, then the means with their bands."""
    points = sum(len(curve.places) for bundle in found for curve in bundle.curves)
    rows: list[tuple[Cell, ...]] = []
    for bundle in found:
        for curve in bundle.curves if points <= _MOST_ROWS else ():
            pairs = zip(curve.spent, curve.values, strict=True)
            rows += [
                (bundle.label, curve.seed, spent, value * scale, None, None)
                for spent, value in pairs
            ]
        rows += [
            (
                bundle.label,
                f"mean of {one.curves}",
                one.spent,
                one.mean * scale,
                one.low * scale,
                one.high * scale,
            )
            for one in bundle.middle
            if one.curves > 1 or points > _MOST_ROWS
        ]
    return rows


def draw_bundles(axes: "Axes", found: Sequence[Bundle], axis: str, quantity: Quantity) -> None:
    """Thin lines for seeds, a thick one for their mean, a band about it."""
    detail = Detail.of(found)
    for bundle in found:
        style = look(bundle.place)
        draw_bundle(axes, bundle, style, quantity.scale, bundle.title, detail=detail)
    axes.set_ylabel(quantity.label)
    set_axis(axes, axis)
    _keep_in_view(axes, found, quantity.scale)


def draw_bundle(
    axes: "Axes",
    bundle: Bundle,
    style: Mapping[str, Any],
    scale: float,
    label: str,
    *,
    detail: Detail,
) -> None:
    averaged, colour = bundle.averaged, style["color"]
    own = {"color": colour, "gid": bundle.label}
    faint = max(0.12, min(0.45, 3 / max(1, len(averaged))))  # many must not hide their mean
    for curve in bundle.curves:
        if curve in averaged and (len(averaged) == 1 or not detail.has_seeds):
            continue  # of one the mean is itself
        values = [value * scale for value in curve.values]
        dash = style["linestyle"]
        axes.plot(curve.spent, values, **own, linestyle=dash, linewidth=0.7, alpha=faint)
    middle = bundle.middle
    if detail.has_bands and len(averaged) > 1:
        axes.fill_between(
            [one.spent for one in middle],
            [one.low * scale for one in middle],
            [one.high * scale for one in middle],
            **own,
            alpha=0.15,
            linewidth=0,
        )
    axes.plot(
        [one.spent for one in middle],
        [one.mean * scale for one in middle],
        label=label,
        gid=bundle.label,
        linewidth=1.8,
        markevery=max(1, len(middle) // 8),
        **style,
    )


def _keep_in_view(axes: "Axes", found: Sequence[Bundle], scale: float) -> None:
    """Show all of what completed, and where within that view the others stop."""
    whole_ones = [
        value * scale for bundle in found for one in bundle.averaged for value in one.values
    ]
    bottom, top = axes.get_ylim()
    if whole_ones:
        room = _STRAY * (max(whole_ones) - min(whole_ones) or abs(max(whole_ones)) or 1.0)
        bottom = max(bottom, min(whole_ones) - room)
        top = min(top, max(whole_ones) + room)
        axes.set_ylim(bottom, top)
    margin = 0.03 * (top - bottom)  # clear of the title
    for bundle in found:
        for curve in bundle.curves:
            if curve.status == RunStatus.COMPLETED:
                continue
            mark = "x" if curve.status == RunStatus.DIVERGED else "|"
            height = min(max(curve.values[-1] * scale, bottom + margin), top - margin)
            axes.plot(
                [curve.spent[-1]],
                [height],
                gid=bundle.label,
                color=look(bundle.place)["color"],
                marker=mark,
                markersize=8,
                markeredgewidth=2,
                linestyle="none",
                clip_on=False,
                zorder=5,
            )


def set_axis(axes: "Axes", axis: str) -> None:
    """Label and ticks of what is spent."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axes.set_xlabel(AXIS_LABELS[axis])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=axis != SECONDS))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))


def _finding(found: Sequence[Bundle], axis: str, quantity: Quantity) -> str:
    middles = [(bundle, bundle.middle) for bundle in found]
    middles = [(bundle, middle) for bundle, middle in middles if middle]
    if not middles:
        return "All runs diverged."
    if len(middles) == 1:
        return _finding_of_one(*middles[0], axis, quantity)
    least = min(middle[-1].spent for _, middle in middles)
    ends = [
        (bundle.label, at[-1])
        for bundle, middle in middles
        if (at := [one for one in middle if one.spent <= least])
    ]
    sign = -1 if quantity.higher_is_better else 1
    ends.sort(key=lambda one: sign * one[1].mean)
    told = [f"{label} {quantity.told(one.mean)} ({_means(one)})" for label, one in ends]
    best = "highest" if quantity.higher_is_better else "lowest"
    others = f", then {some(told[1:], _MOST_NAMED)}" if len(told) > 1 else ""
    return (
        f"After {spent_told(axis, least)}, the most that all have, {quantity.name} is {best} with "
        f"{told[0]}{others}; not tested for significance."
    )


def _finding_of_one(bundle: Bundle, middle: Sequence[Middle], axis: str, quantity: Quantity) -> str:
    first, last = middle[0], middle[-1]
    kind = f", {_means(last)}" if last.curves > 1 else ""
    if first is last:
        told = quantity.told(last.mean)
        return f"{bundle.label}{kind}: {quantity.name} {told} after {spent_told(axis, last.spent)}."
    choose = max if quantity.higher_is_better else min
    best = choose(middle, key=lambda one: one.mean)
    at_best = "its best" if best is last else f"best after {spent_told(axis, best.spent)}"
    told_best = "" if best is last else f" ({quantity.told(best.mean)})"
    return (
        f"{bundle.label}{kind}: {quantity.name} {quantity.told(first.mean)} after "
        f"{spent_told(axis, first.spent)}, {quantity.told(last.mean)} after "
        f"{spent_told(axis, last.spent)}, {at_best}{told_best}."
    )


def spent_told(axis: str, spent: float) -> str:
    """What was spent, in words; a record of steps may lie within an epoch.

    >>> spent_told("epochs", 1), spent_told("epochs", 0.4), spent_told("updates", 2500)
    ('1 epoch', '0.4 epochs', '2,500 updates')
    """
    if axis == SECONDS or (float(spent).is_integer() and spent != 1):
        return str(Budget(axis, spent))
    name = axis.replace("-", " ")
    if spent == 1:
        return f"1 {name[:-1]}"
    return f"{spent:,.1f} {name}" if spent > 1 else f"{spent:.2g} {name}"


def _means(one: Middle) -> str:
    return f"mean of {number_of(one.curves, 'seed')}" if one.curves > 1 else "1 seed"


# Lookahead's fast weights are drawn beside its slow ones, of which the validation's scores are.
_SLOW, _FAST = "slow_validation_loss", "fast_validation_loss"


def slow_and_fast(
    group: Group, axis: str = "epochs", history_of: HistoryOf = history
) -> Figure | None:
    """Validation loss of Lookahead's slow weights beside its fast ones; None without Lookahead."""
    loss = QUANTITIES["validation_loss"]
    slow, fast = (
        bundles(group, axis, Quantity(key, loss.name, loss.unit), history_of)
        for key in (_SLOW, _FAST)
    )
    fast_of = {one.label: one for one in fast}
    pairs = [(one, fast_of[one.label]) for one in slow if one.label in fast_of]
    if not pairs:
        return None
    shown = [pair for pair in pairs if pair[0] in drawn_of(slow)]

    def draw(axes: "Axes") -> None:
        detail = Detail.of([one for pair in shown for one in pair])
        for pair in shown:
            style = look(pair[0].place)
            # Which experiment, its colour and marker say: in a legend it is named once.
            slow_style = {**style, "linestyle": "-"}
            fast_style = {**style, "linestyle": "--", "markerfacecolor": "none"}
            draw_bundle(axes, pair[0], slow_style, loss.scale, pair[0].title, detail=detail)
            draw_bundle(axes, pair[1], fast_style, loss.scale, "", detail=detail)
        axes.set_ylabel(loss.label)
        set_axis(axes, axis)
        _keep_in_view(axes, [bundle for pair in shown for bundle in pair], loss.scale)

    rows = [
        (bundle.label, name, *cells)
        for pair in pairs
        for bundle, name in zip(pair, ("slow", "fast"), strict=True)
        for _, *cells in table_of([bundle], loss.scale)
    ]
    return Figure(
        key=f"slow-and-fast-{axis}",
        title="Lookahead's slow weights beside its fast ones",
        finding=" ".join(_slow_against_fast(*pair) for pair in pairs[:_MOST_NAMED]),
        columns=(
            "experiment",
            "weights",
            "seed",
            AXIS_LABELS[axis],
            loss.label,
            "band from",
            "band to",
        ),
        rows=rows,
        draw=draw,
        reading=" ".join(
            [
                *reading_of([one for pair in shown for one in pair]),
                "Solid: slow weights; dashed, with open marks: fast weights.",
            ]
        ),
    )


def _slow_against_fast(slow: Bundle, fast: Bundle) -> str:
    """In how many runs which weights have the lower loss, after the first and the last epoch."""
    other = {one.seed: dict(zip(one.places, one.values, strict=True)) for one in fast.averaged}
    told = []
    pairs = [
        [
            (place, value - other[one.seed][place])
            for place, value in zip(one.places, one.values, strict=True)
            if place in other.get(one.seed, {})
        ]
        for one in slow.averaged
    ]
    pairs = [one for one in pairs if one]
    if not pairs:
        return f"{slow.label}: no run that counts has both."
    ends = dict.fromkeys((pairs[0][0][0], min(one[-1][0] for one in pairs)))
    for epoch in ends:
        gaps = [gap for one in pairs for place, gap in one if place == epoch]
        if not gaps:
            continue
        mean, lower = statistics.fmean(gaps), sum(gap < 0 for gap in gaps)
        way = f"{abs(mean):.2g} {'below' if mean < 0 else 'above'}" if mean else "equal to"
        seeds = f" (below in {lower} of {len(gaps)} seeds)" if len(gaps) > 1 else ""
        told.append(f"{way} that of the fast ones after epoch {epoch}{seeds}")
    kind = "is, as a mean over seeds," if len(pairs) > 1 else "is"
    return f"{slow.label}: the loss of the slow weights {kind} {', '.join(told)}."
