"""Rows of a table for a terminal: cells of one line or several, aligned, in styles.

Laid out here rather than by rich, which measures every cell again. Who makes a table decides on
the widths, with `widest`, and folds what is wider, with `wrap`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from optrun.runner.ui.text import padded, style


@dataclass(frozen=True)
class Line:
    """One line of a cell, in a style of `optrun.runner.ui.text.style`."""

    text: str
    style: str = "plain"


@dataclass(frozen=True)
class Column:
    """How wide a column is, in columns of the terminal, and whether it is aligned at the right."""

    width: int
    right: bool = False


Cell = str | Line | Sequence[Line]


def row_lines(
    cells: Sequence[Cell],
    columns: Sequence[Column],
    *,
    styled: bool = False,
    gap: str = "  ",
    bottom: bool = False,
) -> list[str]:
    """The lines of one row, without blanks at their ends.

    Args:
        cells: One for each column, as wide as that at most: text, or lines from top to bottom.
        gap: What stands between two columns.
        bottom: Whether a cell of fewer lines than others stands at the bottom, as in a heading.

    >>> row_lines(["adam", "1.5", [Line("a"), Line("b")]], [Column(6), Column(5, True), Column(1)])
    ['adam      1.5  a', '               b']
    """
    stacks = [[cell] if isinstance(cell, str | Line) else cell for cell in cells]
    height = max(map(len, stacks))
    found = []
    for index in range(height):
        parts = []
        for stack, column in zip(stacks, columns, strict=True):
            at = index - (height - len(stack)) * bottom
            line = stack[at] if 0 <= at < len(stack) else ""
            words, look = (line, "plain") if isinstance(line, str) else (line.text, line.style)
            text = padded(words, column.width, right=column.right)
            parts.append(text.replace(words, style(words, look, styled), 1) if words else text)
        found.append(gap.join(parts).rstrip())
    return found
