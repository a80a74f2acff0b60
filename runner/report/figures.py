"""The figures of a table, and how one becomes a file."""

import io
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optrun.runner.compare.comparison import Group, labels_of
from optrun.runner.compare.footnotes import readable
from optrun.runner.compare.judgement import Verdict
from optrun.runner.report.figure import Cell, Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".png", ".svg", ".pdf")
_WIDTHS = {"two-columns": 7.0, "one-column": 3.4}  # inches
_MOST_ROWS = 40
_LONGEST_TICK = 24  # characters


def figures_of(group: Group, verdict: Verdict) -> list[Figure]:
    """What can be drawn of a table."""
    metric = verdict.metric
    unit = "%" if metric.percent else metric.unit
    labels = [label for label in labels_of(group.rows) if verdict.values.get(label)][:_MOST_ROWS]
    seen = {
        label: [value * metric.scale for value in verdict.values[label].values()]
        for label in labels
    }
    if not seen:
        return []
    means = {label: statistics.fmean(of_row) for label, of_row in seen.items()}
    spreads = {
        label: statistics.stdev(of_row) if len(of_row) > 1 else None
        for label, of_row in seen.items()
    }

    def draw(axes: "Axes") -> None:
        for place, (label, mean) in enumerate(means.items()):
            axes.errorbar(
                [mean], [place], xerr=[spreads[label] or 0.0], fmt="o", label=label, color="#0072b2"
            )
        axes.set_yticks(range(len(labels)), [label[:_LONGEST_TICK] for label in labels])
        axes.invert_yaxis()
        axes.set_xlabel(f"{readable(metric.key)}, {unit}")

    best = (max if metric.better == "higher" else min)(means, key=means.__getitem__)
    name = readable(metric.key)
    rows: list[Sequence[Cell]] = [
        (label, len(seen[label]), means[label], spreads[label]) for label in labels
    ]
    return [
        Figure(
            key=f"spread-{metric.key.replace('_', '-')}",
            title=f"{name.capitalize()}: mean and spread over seeds",
            finding=f"{best} has the best mean {name}, {means[best]:.4g} {unit}.",
            columns=("experiment", "seeds", f"mean, {unit}", f"standard deviation, {unit}"),
            rows=rows,
            draw=draw,
            reading="A dot is the mean, a bar one standard deviation to either side.",
        )
    ]


def encoded(figure: Figure, ending: str, size: str) -> bytes:
    """The bytes of a .png, .svg or .pdf, as wide as "two-columns" of a page or "one-column"."""
    return _drawn(figure, ending, _WIDTHS[size])


def svg_for_page(figure: Figure) -> bytes:
    """The figure without the words that a page says around it."""
    return _drawn(replace(figure, title=""), ".svg", _WIDTHS["two-columns"])


def _drawn(figure: Figure, ending: str, width: float) -> bytes:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "optrun",
        "pdf.fonttype": 42,
        "text.parse_math": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 10,
    }
    dates = {".svg": ("Date", "Creator"), ".pdf": ("CreationDate", "Creator", "Producer")}
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        picture = Picture(figsize=(width, 0.6 * width), layout="constrained")
        FigureCanvasAgg(picture)
        axes = picture.add_subplot()
        figure.draw(axes)
        axes.set_title(figure.title, loc="left")
        buffer = io.BytesIO()
        picture.savefig(
            buffer,
            format=ending.removeprefix("."),
            transparent=ending == ".svg",
            metadata=dict.fromkeys(dates.get(ending, ("Software",))),
        )
    return buffer.getvalue()
