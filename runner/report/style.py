"""How figures look and become files: one style for screens, print and whoever sees no colour.

The colours are Okabe and Ito's (2008, "Color universal design"), which people of every kind of
colour vision tell apart, darkened or lightened to a contrast of at least 3 to the ground. Nothing
is told by colour alone: each line has a dash and a marker of its own, so that it is found in grey
too. Files hold no date and no random id: the same figure is the same bytes.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optrun.data.files import write_atomically
from optrun.runner.report.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

ENDINGS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Theme:
    """Colours on one ground; `cycle` is what matplotlib calls C0, C1, ..."""

    ground: str
    text: str
    grid: str
    cycle: tuple[str, ...]


@dataclass(frozen=True)
class Size:
    """Of one row of panels, in inches, and of its text, in points."""

    width: float
    height: float
    font: float
    most_columns: int  # panels side by side


THEMES: Mapping[str, Theme] = {
    "light": Theme(
        "#ffffff",
        "#1a1a1a",
        "#dddddd",
        ("#0072b2", "#c45500", "#00875f", "#b85d8f", "#a87600", "#2d8fc7", "#1a1a1a"),
    ),
    "dark": Theme(
        "#15181c",
        "#e8e8e8",
        "#3a3f45",
        ("#4ba3dc", "#ff7f2a", "#1fc79a", "#d98ab5", "#e69f00", "#9ad1f5", "#e8e8e8"),
    ),
}
SIZES: Mapping[str, Size] = {
    "page": Size(10.0, 3.8, 9.0, 3),
    "two-columns": Size(7.0, 3.6, 8.0, 2),
    "one-column": Size(3.4, 2.9, 7.0, 1),
}
_DPI = 150
_DASHES: Sequence[Any] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
MOST_LOOKS = len(_MARKERS)  # lines that are told apart in one picture
_LONGEST_LABEL = 200  # characters
_FILLED = 0.92  # of the width, since hinted letters are wider
_LINE, _BOLD = 1.5, 1.1  # of the font's size, the height of a line; of its width, when bold
_HANDLE = 3.2  # of the font's size, the length of a legend's line


def look(place: int) -> dict[str, Any]:
    """Colour, dash and marker of the nth line, as matplotlib's keywords.

    >>> look(0), look(1)["marker"]
    ({'color': 'C0', 'linestyle': '-', 'marker': 'o'}, 's')
    """
    colours = len(THEMES["light"].cycle)
    return {
        "color": f"C{place % colours}",
        "linestyle": _DASHES[place % len(_DASHES)],
        "marker": _MARKERS[place % MOST_LOOKS],
    }


def legend_label(name: str) -> str:
    """A name as a label; matplotlib hides those that begin with "_".

    >>> legend_label("_mine"), legend_label("mine")
    (' _mine', 'mine')
    """
    return f" {name}" if name.startswith("_") else name


def save(
    rows: Sequence[tuple[str, Sequence[Figure]]],
    path: Path,
    *,
    size: str = "page",
    theme: str = "light",
) -> None:
    """Writes a picture by its ending, all of it or nothing; an `OSError` where it can't be."""
    write_atomically(path, encoded(rows, path.suffix.lower(), size=size, theme=theme))


def encoded(
    rows: Sequence[tuple[str, Sequence[Figure]]],
    ending: str,
    *,
    size: str = "page",
    theme: str = "light",
    is_inline: bool = False,
) -> bytes:
    """The bytes of a .png, .svg or .pdf.

    Args:
        rows: Each a heading, which may be empty, above figures as panels that share a legend.
        ending: One of `ENDINGS`.
        size: One of `SIZES`; a picture is so wide, and so high for every line of panels.
        theme: One of `THEMES`.
        is_inline: For a page, which has title and reading in its own text: text stays text, the
            ground is the page's, and what is drawn keeps its `gid`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    shape = SIZES[size]
    with _styled(THEMES[theme], shape, is_inline), warnings.catch_warnings():
        # A name in letters that the font lacks is drawn as boxes, and said in words anyway.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        picture = Picture(layout="constrained")
        FigureCanvasAgg(picture)
        grid = picture.add_gridspec(len(rows), 1)
        heights = [
            _draw_row(picture.add_subfigure(grid[place, 0]), *row, shape, is_inline=is_inline)
            for place, row in enumerate(rows)
        ]
        grid.set_height_ratios(heights)
        picture.set_size_inches(shape.width, sum(heights))
        buffer = io.BytesIO()
        picture.savefig(
            buffer,
            format=ending.removeprefix("."),
            transparent=is_inline,
            metadata=_metadata(rows, ending),
        )
    return buffer.getvalue()


def _lines_of(count: int, shape: Size) -> int:
    return -(-count // _columns_of(count, shape))


def _columns_of(count: int, shape: Size) -> int:
    """As many as fit and leave no gap; four are two by two."""
    full = max(each for each in range(1, shape.most_columns + 1) if count % each == 0)
    return full if full > 1 else min(count, 2, shape.most_columns)


def _draw_row(
    part: "FigureBase",
    heading: str,
    figures: Sequence[Figure],
    shape: Size,
    *,
    is_inline: bool,
) -> float:
    """Draws panels with their heading and legend; gives the height that these take, in inches."""
    columns = _columns_of(len(figures), shape)
    lines = 0
    if heading:
        text = _wrapped(heading, shape.width, shape.font + 1)
        part.suptitle(text, fontsize=shape.font + 1)
        lines += text.count("\n") + 1
    grid = part.subplots(_lines_of(len(figures), shape), columns, squeeze=False)
    panels = list(grid.flat)
    for axes, figure in zip(panels, figures, strict=False):
        figure.draw(axes)
        if is_inline:
            continue
        for artist in axes.get_children():
            artist.set_gid(None)
        title = _wrapped(figure.title, 0.78 * shape.width / columns, _BOLD * (shape.font + 1))
        axes.set_title(title, loc="left")
    for axes in panels[len(figures) :]:
        axes.remove()
    readings = [] if is_inline else [figure.reading for figure in figures]
    lines += _add_legend(part, panels[: len(figures)], readings, shape)
    return shape.height * _lines_of(len(figures), shape) + lines * _LINE * shape.font / 72


def _add_legend(
    part: "FigureBase", panels: "Sequence[Axes]", readings: Sequence[str], shape: Size
) -> int:
    """Below the panels, where it can hide nothing; beneath its title, how the figures are read.

    Gives the number of its lines.
    """
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    sentences = (one for text in readings for one in re.split(r"(?<=[.]) ", text))
    title = _wrapped(" ".join(dict.fromkeys(sentences)), shape.width, shape.font - 1)
    if not found and not title:
        return 0
    around = (_HANDLE + 4) * shape.font / 72  # a handle and the gaps about it, in inches
    labels = [_cut(label, shape.width - around, shape.font) for label in found]
    widest = max((_width(label, shape.font) for label in labels), default=0.0)
    columns = max(1, min(len(found), int(shape.width / (widest + around))))
    part.legend(
        found.values(),
        labels,
        loc="outside lower center",
        ncols=columns,
        title=title or None,
        title_fontsize=shape.font - 1,
        frameon=False,
        handlelength=_HANDLE,
    )
    return -(-len(found) // columns) + (title.count("\n") + 1 if title else 0)


def _cut(label: str, width: float, font: float) -> str:
    """At most so many inches wide; the middle goes, since names differ at their ends."""
    shown, keep = label[:_LONGEST_LABEL], min(len(label), _LONGEST_LABEL)
    if len(label) > keep:
        shown = f"{label[: keep // 2]}…{label[-keep // 2 :]}"
    while _width(shown, font) > width and keep > 8:
        keep -= 1
        shown = f"{label[: keep // 2]}…{label[-keep // 2 :]}"
    return shown


def _width(text: str, font: float) -> float:
    """In inches, as matplotlib sets it."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    width, _, _ = TextToPath().get_text_width_height_descent(
        text, FontProperties(family="DejaVu Sans", size=font), ismath=False
    )
    return float(width) / 72


def _wrapped(text: str, width: float, font: float) -> str:
    """In lines that leave some of so many inches free, but for a word that is longer."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _width(longer, font) > _FILLED * width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _metadata(rows: Sequence[tuple[str, Sequence[Figure]]], ending: str) -> dict[str, str | None]:
    """What the picture shows, for whoever cannot see it; no date, no program."""
    figures = [figure for _, row in rows for figure in row]
    title = "; ".join(dict.fromkeys(figure.title for figure in figures))
    told = " ".join(dict.fromkeys(figure.finding for figure in figures))
    match ending:
        case ".png":
            return {"Software": None, "Title": title, "Description": told}
        case ".svg":
            return {"Date": None, "Creator": None, "Title": title, "Description": told}
        case _:
            fixed: dict[str, str | None] = dict.fromkeys(("CreationDate", "Creator", "Producer"))
            return {**fixed, "Title": title, "Subject": told}


@contextmanager
def _styled(theme: Theme, shape: Size, is_inline: bool) -> Iterator[None]:
    """All of Matplotlib's settings for a picture, whatever a person's own file says."""
    import matplotlib as mpl
    from cycler import cycler

    settings: dict[Any, Any] = {
        "axes.prop_cycle": cycler(color=theme.cycle),
        "axes.facecolor": theme.ground,
        "figure.facecolor": theme.ground,
        "savefig.facecolor": theme.ground,
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"),
            theme.text,
        ),
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "font.family": "DejaVu Sans",  # the one that matplotlib brings with it
        "font.size": shape.font,
        "axes.titlesize": shape.font + 1,
        "axes.titleweight": "bold",
        "axes.labelsize": shape.font,
        "legend.fontsize": shape.font,
        "xtick.labelsize": shape.font - 1,
        "ytick.labelsize": shape.font - 1,
        "lines.markersize": shape.font / 2,
        "savefig.dpi": _DPI,
        "text.parse_math": False,  # names are other people's: "$" in one is no formula
        "figure.constrained_layout.w_pad": 0.1,
        "svg.hashsalt": "optrun",
        "svg.fonttype": "none" if is_inline else "path",
        "pdf.fonttype": 42,
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        yield
