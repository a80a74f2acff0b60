"""A comparison as tables: for the terminal (rich) and for Markdown."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.console import Group as Stack
from rich.table import Table
from rich.text import Text

from runner import captions
from runner.cells import Cell, Column, columns, outcome_text, seeds_text
from runner.comparison import Comparison, Group, Row

_NARROWEST_NAME = 24  # "sample-sgd_batch64_vgg19"
_WIDEST_NAME = 44
_GAP = 2  # columns between two columns
_SEEDS_WIDTH = 6  # "17-24,": a longer list of seeds takes several lines
_NARROWEST_TABLE = 48


def render(comparison: Comparison, *, width: int, styled: bool) -> str:
    """What a terminal shows, as text; with its colours where `styled`."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width,
        force_terminal=styled,
        color_system="standard" if styled else None,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
    )
    console.print(terminal(comparison, width=width))
    lines = buffer.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def terminal(comparison: Comparison, *, width: int) -> RenderableType:
    """All tables with their captions.

    Args:
        comparison: The numbers.
        width: Columns of the terminal. Where the measures do not fit side by side they go into
            several tables with the same rows; no number is ever cut.
    """
    parts: list[RenderableType] = []
    if separation := captions.separation(comparison):
        parts += [Text(separation, style="yellow"), Text()]
    for group in comparison.groups:
        parts += _group_parts(group, comparison.sort, max(width, _NARROWEST_TABLE))
    if left_out := captions.left_out(comparison):
        lines = Table.grid(padding=(0, 1, 0, 0))
        for number, line in enumerate(left_out):
            lines.add_row(Text("" if number else "Not counted:", "dim"), Text(line, "dim"))
        parts.append(lines)
    return Stack(*parts)


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
    left_out = captions.left_out(comparison)
    if left_out:
        lines += ["Not counted:", "", *(f"- {_escape(line)}" for line in left_out), ""]
    return "\n".join(lines)


def _group_parts(group: Group, sort: str, width: int) -> Iterator[RenderableType]:
    yield Text(captions.heading(group), style="bold cyan")
    for number, section in enumerate(_sections(columns(group), width)):
        yield _table(group, section, width, first=number == 0)
        yield Text()
    yield Text(captions.conclusion(group), style="bold")
    for note in captions.notes(group, sort=sort):
        yield Text(note, style="dim")
    yield Text()


def _table(group: Group, section: Sequence[Column], width: int, *, first: bool) -> Table:
    # The box itself sets a blank between columns, the padding the rest of the gap.
    padding = (0, _GAP - 1, 0, 0)
    table = Table(box=box.SIMPLE_HEAD, padding=padding, pad_edge=False, show_edge=False)
    spare = width - _NARROWEST_NAME - _section_width(section, with_seeds=first)
    table.add_column(
        Text("experiment", style="bold"),
        min_width=_NARROWEST_NAME,
        max_width=min(_WIDEST_NAME, _NARROWEST_NAME + max(spare, 0)),
        overflow="fold",
        vertical="top",
    )
    if first:
        table.add_column(Text("seeds", style="bold"), justify="right", width=_SEEDS_WIDTH)
    for column in section:
        header = Text("\n".join(column.header), style="bold", justify="right")
        table.add_column(header, justify="right", no_wrap=True)
    for index, row in enumerate(group.rows):
        cells: list[RenderableType] = [_name_cell(row, full=first)]
        if first:
            cells.append(_seeds_cell(row))
        table.add_row(*cells, *(_measure_cell(column.cells[index]) for column in section))
        if index + 1 < len(group.rows):
            table.add_row()
    return table


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
    widths = [_column_width(column) + _GAP for column in section]
    return sum(widths) + _GAP + (_SEEDS_WIDTH + _GAP if with_seeds else 0)


def _column_width(column: Column) -> int:
    texts = [*column.header, *(cell.mean for cell in column.cells)]
    return max(len(text) for text in [*texts, *(cell.spread or "" for cell in column.cells)])


def _name_cell(row: Row, *, full: bool) -> Text:
    text = Text(row.name, style="bold")
    details = [row.optimizer, *row.distinctions] if full else list(row.distinctions)
    if details:
        text.append("\n" + ", ".join(details), style="not bold dim")
    if full and row.other_names:
        text.append("\nalso named " + ", ".join(row.other_names), style="not bold dim")
    if full and row.diverged:
        text.append("\n" + outcome_text(row), style="not bold red")
    return text


def _seeds_cell(row: Row) -> Text:
    text = Text(str(len(row.runs)))
    if row.runs:
        seeds = seeds_text(row.seeds)
        text.append(f"\nseed {seeds}" if len(row.seeds) == 1 else f"\n{seeds}", style="dim")
    return text


def _measure_cell(cell: Cell) -> Text:
    text = Text(cell.mean)
    if cell.spread is not None:
        text.append("\n" + cell.spread, style="dim")
    return text


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
    return re.sub(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])", r"\_", text)
