"""A figure: what it shows in words, its data as a table, and how it is drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Cell = str | int | float | None


@dataclass(frozen=True)
class Figure:
    """One picture, on a screen, on paper and for whoever cannot see it.

    `draw` draws it into axes and nothing else: size, colours of the background and file formats are
    the business of whoever shows it.
    """

    key: str  # its file's name and its anchor on a page: "learning-curves-epochs"
    title: str  # says what it shows
    finding: str  # what is to be seen, in a sentence; the alternative text
    columns: Sequence[str]  # of its data, with units
    rows: Sequence[Sequence[Cell]] = field(repr=False)
    draw: "Callable[[Axes], None]" = field(repr=False)
    # How it is read: what a thin line, a band or a mark stands for. Whoever shows it makes a
    # legend of its lines' labels; what is drawn of a row of the table has its label as `gid`.
    reading: str = ""
