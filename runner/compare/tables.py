"""A comparison as tables: for a terminal of any width and for Markdown.

The terminal's tables are laid out here rather than by rich, which measures every cell again: every
width is known beforehand.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from optrun.runner.compare import footnotes as captions
from optrun.runner.compare.cells import Cell, Column, columns, outcome_text, seeds_text
from optrun.runner.compare.comparison import Comparison, Group, Row
from optrun.runner.ui.text import style, wrap
from rich.cells import cell_len

_NARROWEST_NAME = 24  # "sample-sgd_batch64_vgg19"
_WIDEST_NAME = 44
_SEEDS_WIDTH = 6  # "17-24,": a longer list of seeds takes several lines
_GAP = "  "
_NARROWEST_TABLE = 48
_NOT_COUNTED = "Not counted: "


@dataclass(frozen=True)
class _Line:
    """One line of a cell."""

    text: str
    style: str = "plain"


@dataclass(frozen=True)
class _Block:
    """One column of a table: its width, header lines and the lines of each row."""

    width: int
    header: Sequence[str]
    rows: Sequence[Sequence[_Line]]
    right: bool = True


def render(comparison: Comparison, *, width: int, styled: bool) -> str:
    """All tables with their captions, as a terminal shows them.

    Args:
        comparison: The numbers.
        width: Columns of the terminal. Where the measures do not fit side by side they go into
            several tables with the same rows; no number is ever cut.
        styled: Whether to use colours.
    """
    width = max(width, _NARROWEST_TABLE)
    lines: list[str] = []
    if separation := captions.separation(comparison):
        lines += [*_paragraph(separation, "care", width, styled), ""]
    for group in comparison.groups:
        lines += _paragraph(captions.heading(group), "heading", width, styled)
        for number, section in enumerate(_sections(columns(group), width)):
            lines += [*_table(group, section, width, styled, first=number == 0), ""]
        lines += _paragraph(captions.conclusion(group), "strong", width, styled)
        for note in captions.notes(group, sort=comparison.sort):
            lines += _paragraph(note, "faint", width, styled)
        lines.append("")
    for number, text in enumerate(captions.left_out(comparison)):
        start = _NOT_COUNTED if number == 0 else " " * len(_NOT_COUNTED)
        lines += _paragraph(text, "faint", width, styled, start=start)
    return "\n".join(lines).rstrip("\n") + "\n"


def markdown(comparison: Comparison) -> str:
    """All tables with their captions, in GitHub's Markdown."""
    lines: list[str] = []
    if separation := captions.separation(comparison):
        lines += [_escape(separation), ""]
    for group in comparison.groups:
        lines += [f"**{_escape(captions.heading(group))}**", "", *_markdown_table(group), ""]
        lines += [f"**{_escape(captions.conclusion(group))}**", ""]
        lines += [f"- {_escape(note)}" for note in captions.notes(group, sort=comparison.sort)]
        lines.append("")
    if left_out := captions.left_out(comparison):
        lines += ["Not counted:", "", *(f"- {_escape(line)}" for line in left_out)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(
    group: Group, section: Sequence[Column], width: int, styled: bool, *, first: bool
) -> Iterator[str]:
    """The lines of one table; the first of a group has seeds and descriptions besides."""
    spare = width - _section_width(section, with_seeds=first)
    names = [_name_lines(row, full=first) for row in group.rows]
    longest = max(cell_len(line.text) for lines in names for line in lines)
    name_width = max(_NARROWEST_NAME, min(longest, _WIDEST_NAME, spare))
    wrapped = [
        [_Line(part, line.style) for line in lines for part in wrap(line.text, name_width)]
        for lines in names
    ]
    blocks = [_Block(name_width, ["experiment"], wrapped, right=False)]
    if first:
        blocks.append(_Block(_SEEDS_WIDTH, ["seeds"], [_seeds_lines(row) for row in group.rows]))
    for column in section:
        lines_by_row = [_measure_lines(cell) for cell in column.cells]
        blocks.append(_Block(_column_width(column), column.header, lines_by_row))

    height = max(len(block.header) for block in blocks)
    headers = [[*[""] * (height - len(block.header)), *block.header] for block in blocks]
    yield from _row(
        [[_Line(text, "strong") for text in header] for header in headers], blocks, styled
    )
    rule = sum(block.width for block in blocks) + len(_GAP) * (len(blocks) - 1)
    yield style("─" * rule, "faint", styled)
    for index in range(len(group.rows)):
        if index:
            yield ""
        yield from _row([block.rows[index] for block in blocks], blocks, styled)


def _row(cells: Sequence[Sequence[_Line]], blocks: Sequence[_Block], styled: bool) -> Iterator[str]:
    for index in range(max(len(lines) for lines in cells)):
        parts = []
        for lines, block in zip(cells, blocks, strict=True):
            line = lines[index] if index < len(lines) else _Line("")
            padding = " " * (block.width - cell_len(line.text))
            text = style(line.text, line.style, styled)
            parts.append(padding + text if block.right else text + padding)
        yield _GAP.join(parts).rstrip()


def _sections(all_columns: Sequence[Column], width: int) -> list[list[Column]]:
    """The columns in as few tables as fit the width, the widest as narrow as can be.

    Measures of one family stay together where the width allows it.
    """
    families: dict[str, list[Column]] = {}
    for column in all_columns:
        families.setdefault(column.measure.family, []).append(column)
    for units in (list(families.values()), [[column] for column in all_columns]):
        for count in range(1, len(units) + 1):
            candidates = [
                [[column for unit in part for column in unit] for part in parts]
                for parts in _partitions(units, count)
            ]
            best = min(candidates, key=_widest)
            if _widest(best) + _NARROWEST_NAME <= width:
                return best
    return [[column] for column in all_columns]


def _partitions(
    units: Sequence[list[Column]], count: int
) -> Iterator[list[Sequence[list[Column]]]]:
    """Every way to cut a sequence into `count` parts, none of them empty."""
    if count == 1:
        yield [units]
        return
    for first in range(1, len(units) - count + 2):
        for rest in _partitions(units[first:], count - 1):
            yield [units[:first], *rest]


def _widest(sections: Sequence[Sequence[Column]]) -> int:
    return max(
        _section_width(section, with_seeds=number == 0) for number, section in enumerate(sections)
    )


def _section_width(section: Sequence[Column], *, with_seeds: bool) -> int:
    """Terminal columns that a section takes beside the experiment's name."""
    widths = [_column_width(column) for column in section] + [_SEEDS_WIDTH] * with_seeds
    return sum(widths) + len(_GAP) * len(widths)


def _column_width(column: Column) -> int:
    texts = [*column.header, *(cell.mean for cell in column.cells)]
    return max(len(text) for text in [*texts, *(cell.spread or "" for cell in column.cells)])


def _name_lines(row: Row, *, full: bool) -> list[_Line]:
    lines = [_Line(row.name, "strong")]
    if details := [row.optimizer, *row.distinctions] if full else row.distinctions:
        lines.append(_Line(", ".join(details), "faint"))
    if full and row.other_names:
        lines.append(_Line("also named " + ", ".join(row.other_names), "faint"))
    if full and row.diverged:
        lines.append(_Line(outcome_text(row), "bad"))
    return lines


def _seeds_lines(row: Row) -> list[_Line]:
    seeds = f"seed {row.seeds[0]}" if len(row.seeds) == 1 else seeds_text(row.seeds)
    return [_Line(str(len(row.runs)))] + [
        _Line(part, "faint") for part in wrap(seeds, _SEEDS_WIDTH) if part
    ]


def _measure_lines(cell: Cell) -> list[_Line]:
    return [_Line(cell.mean), _Line(cell.spread or "", "faint")]


def _paragraph(text: str, look: str, width: int, styled: bool, *, start: str = "") -> list[str]:
    lines = wrap(text, width - len(start))
    indents = [start] + [" " * len(start)] * (len(lines) - 1)
    return [style(indent + line, look, styled) for indent, line in zip(indents, lines, strict=True)]


def _markdown_table(group: Group) -> Iterable[str]:
    measured = columns(group)
    headers = ["experiment", "optimizer", "seeds"]
    headers += [" ".join(part for part in column.header if part) for column in measured]
    yield f"| {' | '.join(headers)} |"
    yield f"|{'---|' * 2}{'---:|' * (len(headers) - 2)}"
    for index, row in enumerate(group.rows):
        optimizer = ", ".join([row.optimizer, *row.distinctions])
        seeds = f"{len(row.runs)}: {seeds_text(row.seeds)}" if row.runs else "0"
        if row.diverged:
            seeds += f"; {outcome_text(row)}"
        cells = [column.cells[index] for column in measured]
        texts = [_escape(row.name), _escape(optimizer), seeds]
        texts += [f"{cell.mean} {cell.spread}" if cell.spread else cell.mean for cell in cells]
        yield f"| {' | '.join(texts)} |"


def _escape(text: str) -> str:
    r"""Text that Markdown shows as it is: no markup, no HTML, no new cell.

    >>> print(_escape("lookahead_vgg19 <b>*x*</b> | [y](z)"))
    lookahead_vgg19 &lt;b>\*x\*&lt;/b> \| \[y\](z)
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    text = re.sub(r"([\\`*|\[\]~])", r"\\\1", text)
    # Addresses would become links, and the first sign of a line a heading, a list or a quotation.
    text = re.sub(r"(?i)(?<=[a-z])(:)(?=//)|(?<=www)(\.)|(@)", r"\\\g<0>", text)
    text = re.sub(r"^(\s*\d*)([#>+=.)-])", r"\1\\\2", text)
    return re.sub(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])", r"\_", text)
