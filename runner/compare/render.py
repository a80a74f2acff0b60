"""A comparison as tables: for a terminal of any width and for Markdown.

Of a table's numbers each column has one unit and one number of decimals. No number is ever cut:
where the measures do not fit side by side they go into several tables with the same rows.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, groupby, pairwise

from optrun.runner.compare import footnotes as captions
from optrun.runner.compare.comparison import Comparison, Group, Row
from optrun.runner.compare.footnotes import seeds_text
from optrun.runner.compare.judgement import Verdict
from optrun.runner.compare.settings_tried import blocks, markdown_lines, text_lines
from optrun.runner.ui import table
from optrun.runner.ui.table import Line, row_lines
from optrun.runner.ui.text import style, widest, wrap
from optrun.runner.verdict.metrics import MEASURES, Measure
from optrun.runner.verdict.summary import Summary

MISSING = "–"

_NARROWEST_NAME = 24  # "sample-sgd_batch64_vgg19"
_WIDEST_NAME = 44
_SEEDS_WIDTH = 6  # "17-24,": a longer list of seeds takes several lines
_GAP = 2
_NARROWEST_TABLE = 48
_NOT_COUNTED = "Not counted: "
_COMMAND = ": optrun "
_MOST_EXTRA_DECIMALS = 3
_WIDEST_FIXED = 1e9  # from here on a number is written with an exponent
_TIME_UNITS = ((3600.0, "h", 2), (60.0, "min", 1), (1.0, "s", 1))


@dataclass(frozen=True)
class Column:
    """A measure over all rows of a group."""

    measure: Measure
    header: tuple[str, str, str]  # what, of what, and the unit with an arrow to the better side
    means: tuple[str, ...]  # in the order of the rows
    spreads: tuple[str, ...]  # likewise; empty where there is none

    @property
    def width(self) -> int:
        """Columns that it takes of a terminal."""
        return widest([*self.header, *self.means, *self.spreads])


def render(comparison: Comparison, verdicts: Sequence[Verdict], *, width: int, styled: bool) -> str:
    """All tables with their verdicts, for a terminal of so many columns, with colours or not."""
    width = max(width, _NARROWEST_TABLE)
    lines: list[str] = []

    def add(text: str, look: str, start: str = "") -> None:
        # A command is to be copied: it has a line of its own, however long.
        said, is_followed, command = text.partition(_COMMAND)
        for line in wrap(said + ":" * bool(is_followed), width - len(start)):
            lines.append(style(start + line, look, styled))
            start = " " * len(start)
        if is_followed:
            lines.append(style(f"    {_COMMAND[2:]}{command}", look, styled))

    if separation := captions.separation(comparison):
        add(separation, "care")
        lines.append("")
    for group, verdict in zip(comparison.groups, verdicts, strict=True):
        add(captions.heading(group), "heading")
        for sentence in verdict.sentences:
            add(sentence, "strong")
        lines.append("")
        columns = columns_of(group.rows)
        for number, section in enumerate(_sections(columns, width)):
            lines += [*_table(group, section, width, styled, first=number == 0), ""]
        for block in blocks(group):
            lines += [*text_lines(block, width=width, styled=styled), ""]
        for note in (*verdict.notes, *captions.notes(group, sort=comparison.sort)):
            add(note, "faint")
        lines.append("")
    for number, text in enumerate(captions.left_out(comparison)):
        add(text, "faint", _NOT_COUNTED if number == 0 else " " * len(_NOT_COUNTED))
    return "\n".join(lines).rstrip("\n") + "\n"


def markdown(comparison: Comparison, verdicts: Sequence[Verdict]) -> str:
    """All tables with their verdicts, in GitHub's Markdown."""
    lines: list[str] = []
    if separation := captions.separation(comparison):
        lines += [_escape(separation), ""]
    for group, verdict in zip(comparison.groups, verdicts, strict=True):
        lines += [f"**{_escape(captions.heading(group))}**", ""]
        lines += [f"- **{_escape(sentence)}**" for sentence in verdict.sentences]
        lines += ["", *_markdown_table(group), ""]
        for block in blocks(group):
            lines += [*markdown_lines(block, _escape), ""]
        said = (*verdict.notes, *captions.notes(group, sort=comparison.sort))
        lines += [f"- {_escape(note)}" for note in said]
        lines.append("")
    if left_out := captions.left_out(comparison):
        lines += ["Not counted:", "", *(f"- {_escape(line)}" for line in left_out)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(
    group: Group, section: Sequence[Column], width: int, styled: bool, *, first: bool
) -> Iterator[str]:
    """The lines of one table; the first of a group has seeds and descriptions besides."""
    named = Counter(row.name for row in group.rows)
    names = [_name_lines(row, full=first, alone=named[row.name] == 1) for row in group.rows]
    longest = widest([line.text for lines in names for line in lines])
    spare = width - _section_width(section, with_seeds=first)
    name_width = max(_NARROWEST_NAME, min(longest, _WIDEST_NAME, spare))
    columns = [table.Column(name_width)]
    headers: list[Sequence[str]] = [["experiment"]]
    if first:
        columns.append(table.Column(_SEEDS_WIDTH, right=True))
        headers.append(["seeds"])
    columns += [table.Column(column.width, right=True) for column in section]
    headers += [column.header for column in section]
    titles = [[Line(text, "strong") for text in header] for header in headers]
    yield from row_lines(titles, columns, styled=styled, bottom=True)
    rule = sum(column.width for column in columns) + _GAP * (len(columns) - 1)
    yield style("─" * rule, "faint", styled)
    for index, row in enumerate(group.rows):
        if index:
            yield ""
        name = [
            Line(part, one.style) for one in names[index] for part in wrap(one.text, name_width)
        ]
        seeds = [_seeds_lines(row)] if first else []
        numbers = [[Line(column.means[index]), *_of(column.spreads[index])] for column in section]
        yield from row_lines([name, *seeds, *numbers], columns, styled=styled)


def _of(spread: str) -> list[Line]:
    return [Line(spread, "faint")] if spread else []


def _sections(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """The columns in as few tables as fit the width, the widest as narrow as can be.

    Measures of one family stay together where the width allows it.
    """

    def needed(sections: Sequence[Sequence[Column]]) -> int:
        return max(
            _section_width(section, with_seeds=number == 0)
            for number, section in enumerate(sections)
        )

    families = [list(family) for _, family in groupby(columns, lambda one: one.measure.family)]
    single = [[column] for column in columns]
    for units in (families, single):
        for count in range(len(units)):
            # Every way to cut the units into so many parts and one, none of them empty.
            cuts = [(0, *at, len(units)) for at in combinations(range(1, len(units)), count)]
            candidates = [[[*chain(*units[a:b])] for a, b in pairwise(at)] for at in cuts]
            best = min(candidates, key=needed)
            if needed(best) + _NARROWEST_NAME <= width:
                return best
    return single


def _section_width(section: Sequence[Column], *, with_seeds: bool) -> int:
    """Terminal columns that a section takes beside the experiment's name."""
    widths = [column.width for column in section] + [_SEEDS_WIDTH] * with_seeds
    return sum(widths) + _GAP * len(widths)


def _name_lines(row: Row, *, full: bool, alone: bool) -> list[Line]:
    """Whatever else is left out, rows of one name say what tells them from each other."""
    lines = [Line(row.name, "strong")]
    optimizer = [row.newest.optimizer] if full or not alone else []
    if details := [*optimizer, *row.distinctions]:
        lines.append(Line(", ".join(details), "faint"))
    if full and row.other_names:
        lines.append(Line("also named " + ", ".join(row.other_names), "faint"))
    if full and row.diverged:
        lines.append(Line(divergence(row), "bad"))
    return lines


def _seeds_lines(row: Row) -> list[Line]:
    seeds = f"seed {row.seeds[0]}" if len(row.seeds) == 1 else seeds_text(row.seeds)
    parts = [Line(part, "faint") for part in wrap(seeds, _SEEDS_WIDTH) if part]
    return [Line(str(len(row.runs))), *parts]


def divergence(row: Row) -> str:
    """How many of a row's seeds diverged, and which."""
    total = len(row.runs) + len(row.diverged)
    seeds = seeds_text([run.record.seed for run in row.diverged])
    return f"{len(row.diverged)} of {total} diverged (seed {seeds})"


def columns_of(rows: Sequence[Row]) -> list[Column]:
    """Every measure of the rows, as any table shows it."""
    return [_column(measure, rows) for measure in MEASURES]


def _column(measure: Measure, rows: Sequence[Row]) -> Column:
    summaries = [row.summaries[measure.key] for row in rows]
    scale, unit, decimals = _scale(measure, summaries)
    spreads = [summary.spread * scale for summary in summaries if summary.spread]
    # More decimals where a spread would otherwise read as the zero that it is not.
    most = decimals + _MOST_EXTRA_DECIMALS
    while decimals < most and not all(round(spread, decimals) > 0 for spread in spreads):
        decimals += 1

    def number(value: float | None) -> str:
        if value is None:
            return MISSING
        value *= scale
        if abs(value) >= _WIDEST_FIXED:
            return f"{value:.2e}"
        return f"{value:,.{decimals}f}".replace("-", "−")

    def spread(value: float | None) -> str:
        # A count that no seed changes, such as gradient evaluations, reads better bare.
        return f"± {number(value)}" if spreads and value is not None else ""

    arrow = {"higher": "↑", "lower": "↓"}[measure.better]
    return Column(
        measure,
        (*measure.title, f"{unit} {arrow}".strip()),
        tuple(number(summary.mean) for summary in summaries),
        tuple(spread(summary.spread) for summary in summaries),
    )


def _scale(measure: Measure, summaries: Sequence[Summary]) -> tuple[float, str, int]:
    """What to multiply by, the unit that gives, and its decimals."""
    if measure.percent:
        return 100.0, "points" if measure.family == "gap" else "%", measure.decimals
    if measure.key == "training_seconds":
        longest = max(summary.mean or 0.0 for summary in summaries)
        fitting = (item for item in _TIME_UNITS if longest >= 2 * item[0])
        seconds, unit, decimals = next(fitting, _TIME_UNITS[-1])
        return 1 / seconds, unit, decimals
    return 1.0, "", measure.decimals


def _markdown_table(group: Group) -> Iterable[str]:
    measured = columns_of(group.rows)
    headers = ["experiment", "optimizer", "seeds"]
    headers += [" ".join(filter(None, column.header)) for column in measured]
    yield f"| {' | '.join(headers)} |"
    yield f"|{'---|' * 2}{'---:|' * (len(headers) - 2)}"
    for index, row in enumerate(group.rows):
        optimizer = ", ".join([row.newest.optimizer, *row.distinctions])
        seeds = f"{len(row.runs)}: {seeds_text(row.seeds)}" if row.runs else "0"
        if row.diverged:
            seeds += f"; {divergence(row)}"
        texts = [_escape(row.name), _escape(optimizer), seeds]
        texts += [f"{one.means[index]} {one.spreads[index]}".rstrip() for one in measured]
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
