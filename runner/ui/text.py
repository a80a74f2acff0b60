"""Text for a terminal of any width: its width, its colours, and lines that fit."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from optrun.runner.errors import UserError
from optrun.runner.ui.streams import lacking_characters
from optrun.runner.untrusted import printable
from rich.cells import cell_len, chop_cells

WIDE = 200  # columns where nobody's terminal says otherwise

# ANSI codes that every terminal knows; Click translates them for old Windows consoles.
_CODES = {"plain": "", "strong": "1", "faint": "2", "bad": "1;31", "heading": "1;36", "care": "33"}

# Text in a cell that begins with one of these is a formula to a spreadsheet, also in quotes. The
# last four are the full-width forms, which some spreadsheets take for the same.
_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def terminal_width() -> int:
    """The terminal's columns; wide where the output is no terminal and COLUMNS says nothing."""
    return shutil.get_terminal_size(fallback=(WIDE, 24)).columns


def has_scrolled_away(text: str) -> bool:
    """Whether a terminal that shows the text no longer shows its beginning."""
    lines = shutil.get_terminal_size(fallback=(WIDE, 24)).lines
    return sys.stdout.isatty() and text.count("\n") >= lines


def is_styled() -> bool:
    """Whether standard output takes colours and nobody forbids them."""
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def show(text: str) -> None:
    """Writes to standard output, where a stream that lacks a character shows `?` for it."""
    lacking_characters("replace")
    click.echo(text, nl=False)


def style(text: str, name: str, styled: bool) -> str:
    """The text in a style: plain, strong, faint, bad, heading or care."""
    code = _CODES[name]
    return f"\x1b[{code}m{text}\x1b[0m" if styled and code and text else text


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` terminal columns; a word that is longer is cut up.

    A number and its % are one word.

    >>> wrap("SGD, momentum 0.9, lr 1e-4", 12)
    ['SGD,', 'momentum', '0.9, lr 1e-4']
    """
    lines = [""]
    for word in text.replace(" %", "\xa0%").split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(longer) <= width:
            lines[-1] = longer
            continue
        pieces = chop_cells(word, width) if cell_len(word) > width else [word]
        lines[-1:] = [*filter(None, lines[-1:]), *pieces]
    return [line.replace("\xa0%", " %") for line in lines]


def hanging(label: str, text: str, width: int, *, indent: int) -> list[str]:
    """The text in lines, the first behind its label, the others as far from the edge.

    >>> hanging("note", "one two three", 16, indent=6)
    ['note  one two', '      three']
    """
    lines = wrap(text, max(width - indent, 8))
    start = label + " " * max(indent - cell_len(label), 1)
    return [(start if number == 0 else " " * indent) + line for number, line in enumerate(lines)]


def padded(text: str, width: int, *, right: bool = False) -> str:
    """The text and as many blanks as bring it to `width` terminal columns.

    >>> padded("ab", 4), padded("ab", 4, right=True)
    ('ab  ', '  ab')
    """
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


def widest(texts: Sequence[str]) -> int:
    """The columns that the widest of the texts takes; 0 for none."""
    return max(map(cell_len, texts), default=0)


def layout_of(output: Path, layouts: Mapping[str, str], option: str) -> str | None:
    """What a file is to hold by its ending; None for one without, or of a text.

    Raises:
        UserError: The ending promises what will not be in the file.
    """
    ending = output.suffix.lower()
    if ending in (*layouts, "", ".txt", ".log"):
        return layouts.get(ending)
    known = ", ".join(layouts)
    raise UserError(
        f"{option} must end in one of {known} or .txt, or --format be given, received: "
        f"{printable(str(output))}"
    )


def csv_cell(value: object, *, guard: str = "'") -> str:
    """A cell of a line of CSV (RFC 4180); empty for None.

    Text is always in quotes, so that neither a comma nor, in a spreadsheet that separates by it, a
    semicolon opens another cell. Names come from other people: text that begins as a formula does
    gets `guard` in front ("./" before a path names the same file), and a spreadsheet shows it
    instead of computing it.

    >>> print(csv_cell("two"), csv_cell("=1+1"), csv_cell("-1.jpg", guard="./"), csv_cell(0.5))
    "two" "'=1+1" "./-1.jpg" 0.5
    """
    if not isinstance(value, str):
        return "" if value is None else str(value)
    shown = guard + value if value.lstrip().startswith(_FORMULA_STARTS) else value
    return '"' + shown.replace('"', '""') + '"'
