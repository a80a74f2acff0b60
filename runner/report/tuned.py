"""Figures of what was tuned: the loss of each setting tried, and the best that fewer would give."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optrun.runner.compare.comparison import Group, by_label
from optrun.runner.compare.settings_tried import (
    GUESS,
    Tried,
    notes,
    settings_tried,
)
from optrun.runner.compare.settings_tried import (
    expected_best as expectations,
)
from optrun.runner.report.figure import Cell, Figure
from optrun.runner.report.style import MOST_LOOKS, legend_label, look
from optrun.runner.untrusted import typed_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMED = 4
_LOSS = "validation loss (nats)"


def _tuned(group: Group) -> dict[str, tuple[int, tuple[Tried, ...]]]:
    """By label: the row's place, and what was tried of it, where that is more than one setting."""
    rows = enumerate(zip(by_label(group.rows), map(settings_tried, group.rows), strict=True))
    return {label: (place, tried) for place, (label, tried) in rows if len(tried) > 1}


def sensitivity(group: Group) -> Figure | None:
    """Validation loss over the one setting that was varied, diverged ones marked.

    None where nothing was tuned, or not one number alone.
    """
    points: dict[str, list[tuple[float, Tried]]] = {}
    places = {}
    keys = set()
    for label, (place, tried) in _tuned(group).items():
        values = [_value(one.settings) for one in tried]
        keys |= {key for one in tried for key in one.settings}
        known = [
            (value, one) for value, one in zip(values, tried, strict=True) if value is not None
        ]
        if len(known) > 1:
            points[label], places[label] = known, place
    if not points or len(keys) != 1:
        return None
    [key] = keys
    name = key.replace("_", " ")
    shown = [label for label in points if places[label] < MOST_LOOKS]
    finite = [one.loss for label in shown for _, one in points[label] if one.loss is not None]
    # A loss that is far above a guess says no more than that it is.
    ceiling = min(max(finite, default=GUESS), 2 * GUESS)
    has_lost = any(one.loss is None for label in shown for _, one in points[label])

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

        room = 0.08 * (ceiling - min(finite, default=0.0) or 1.0)
        for label in shown:
            style = look(places[label])
            done = [(at, one.loss) for at, one in points[label] if one.loss is not None]
            lost = [at for at, one in points[label] if one.loss is None]
            axes.plot(
                [at for at, _ in done],
                [loss for _, loss in done],
                label=legend_label(label),
                linewidth=1.6,
                gid=label,
                **style,
            )
            chosen = [(at, one.loss) for at, one in points[label] if one.is_chosen and one.loss]
            axes.plot(
                [at for at, _ in chosen],
                [loss for _, loss in chosen],
                color=style["color"],
                marker="o",
                markersize=13,
                markerfacecolor="none",
                linestyle="none",
                gid=label,
            )
            axes.plot(
                lost,
                [ceiling + room] * len(lost),
                color=style["color"],
                marker="x",
                markersize=8,
                markeredgewidth=2,
                linestyle="none",
                gid=label,
            )
        axes.axhline(GUESS, color="0.5", linewidth=0.8)
        axes.set_ylim(top=ceiling + 2 * room)
        ticks = sorted({at for label in shown for at, _ in points[label]})
        if ticks[0] > 0:
            axes.set_xscale("log")
            if len(ticks) <= 9:
                axes.set_xticks(ticks)
            else:
                axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.tick_params(axis="x", rotation=30 if len(ticks) > 5 else 0)
        axes.set_xlabel(f"{name}")
        axes.set_ylabel(_LOSS)

    rows: list[tuple[Cell, ...]] = [
        (label, value, "diverged" if one.loss is None else one.loss, "yes" if one.is_chosen else "")
        for label, of_row in points.items()
        for value, one in of_row
    ]
    return Figure(
        key="sensitivity",
        title=f"Validation loss over {name}",
        finding=f"{_sentences([_best(label, of, name) for label, of in points.items()])}.",
        columns=("experiment", name, _LOSS, "chosen"),
        rows=rows,
        draw=draw,
        reading="Ringed: the setting chosen; a line across: a guess, ln 2. Each point is the mean "
        f"over the seeds that were kept for tuning.{' ×: diverged.' * has_lost}",
    )


def _sentences(told: list[str]) -> str:
    more = len(told) - _MOST_NAMED
    return "; ".join([*told[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])


def _value(settings: Mapping[str, str]) -> float | None:
    """The number that a setting is; None for several, or for what is no number."""
    return typed_number(next(iter(settings.values()))) if len(settings) == 1 else None


def _best(label: str, of_row: list[tuple[float, Tried]], name: str) -> str:
    done = [(one.loss, value) for value, one in of_row if one.loss is not None]
    lost = len(of_row) - len(done)
    diverged = f", {lost} of {len(of_row)} diverged" if lost else ""
    if not done:
        return f"{label}: all {len(of_row)} diverged"
    loss, value = min(done)
    at_edge = value in (of_row[0][0], of_row[-1][0])
    edge = ", the edge of what was tried" if at_edge else ""
    return f"{label}: lowest, {loss:.3f}, at {name} {value:g}{edge}{diverged}"


def expected_best(group: Group) -> Figure | None:
    """The lowest validation loss to expect of 1, 2, ... of the settings tried; None: none tuned."""
    tuned = _tuned(group)
    if not tuned:
        return None
    curves = {
        label: (place, expectations([one.loss for one in tried]))
        for label, (place, tried) in tuned.items()
    }

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        for label, (place, values) in curves.items():
            if place < MOST_LOOKS:
                counts = range(1, len(values) + 1)
                every = max(1, len(values) // 8)
                axes.plot(
                    counts,
                    values,
                    label=legend_label(label),
                    gid=label,
                    markevery=every,
                    **look(place),
                )
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.set_xlabel("settings tried")
        axes.set_ylabel(f"expected best {_LOSS}")

    told = " ".join(notes(group))
    if not told:
        (label, (_, values)), *_ = curves.items()
        told = (
            f"{label}: {values[0]:.3f} is to be expected of 1 setting, {values[-1]:.3f} was found "
            f"with all {len(values)}."
        )
    return Figure(
        key="expected-best",
        title="Best validation loss to expect of so many settings",
        finding=told,
        columns=("experiment", "settings tried", f"expected best {_LOSS}"),
        rows=[
            (label, count, value)
            for label, (_, values) in curves.items()
            for count, value in enumerate(values, 1)
        ],
        draw=draw,
        reading="Settings drawn at random from those tried; one that diverged counts as a guess.",
    )
