"""One page of a comparison: verdict, table, figures, and all that one needs to judge and repeat it.

The page is one file that asks for nothing else, works without a script, and carries each figure's
numbers. What is chosen in it is chosen by CSS.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import quote

from optrun.runner.compare import footnotes
from optrun.runner.compare.compare import Tables
from optrun.runner.compare.comparison import Group, Row, by_label
from optrun.runner.compare.judgement import Verdict
from optrun.runner.compare.render import MISSING, columns_of, divergence
from optrun.runner.compare.settings_tried import Block, blocks
from optrun.runner.report import rerun
from optrun.runner.report.figure import Cell, Figure
from optrun.runner.report.figures import svg_for_page
from optrun.runner.report.inline_svg import Inline, Mark, inline
from optrun.runner.report.markup import Markup, element, elements, joined
from optrun.runner.report.stylesheet import stylesheet
from optrun.runner.ui.text import csv_cell
from optrun.runner.ui.wording import number_of
from optrun.runner.verdict.metrics import AXES, MEASURES

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Of a page, so that it stays below 3 MB; `--figures` writes everything.
_MOST_DATA_ROWS = 2_000  # of its figures' tables
_LONGEST_DATA = 700_000  # characters of their CSV
# Characters of pictures, from which on there is one axis of each, and from which on there is none.
_LONGEST_DRAWN, _LONGEST_FIRST = 1_000_000, 1_500_000
_MOST_ROWS_EACH = 200
_SAFE = ",;:/()[]!*"  # in an address of data, within quotes
_MOST_FIELDS = 200  # of configurations or circumstances


def row_class(row: int) -> str:
    """Ends the class, which a table's name begins, of whatever tells of a row."""
    return f"row-{row}"


@dataclass(frozen=True)
class _Part:
    """A table's part of the page, with what it adds to the style sheet."""

    markup: Markup
    pictures: tuple[Inline, ...] = ()
    switches: str = ""


def page(tables: Tables, figures: Sequence[Sequence[Figure]]) -> str:
    """The page; `figures` are those of each table."""
    comparison = tables.comparison
    drawn = _drawn(comparison.groups, figures)
    parts = [
        _table_part(number, group, found, of_table, comparison.sort)
        for number, (group, found, of_table) in enumerate(
            zip(comparison.groups, tables.verdicts, drawn, strict=True), 1
        )
    ]
    pictures = [picture for part in parts for picture in part.pictures]
    styles = stylesheet(
        {colour for one in pictures for colour in one.colours},
        {style for one in pictures for style in one.styles},
        "".join(part.switches for part in parts),
    )
    runs = [run for group in comparison.groups for row in group.rows for run in row.counting]
    newest = max(run.record.started for run in runs)
    source = f"{number_of(len(runs), 'run')} of {tables.places}"
    separation = footnotes.separation(comparison)
    left_out = footnotes.left_out(comparison)
    head = joined(
        [
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", f"Optimizers compared: {source}"),
            element("style", Markup(styles)),
        ]
    )
    body = joined(
        [
            element(
                "header",
                element("h1", "Optimizers compared"),
                element(
                    "p", f"{source}, the newest of {newest.day} {newest:%B %Y}.", class_="faint"
                ),
                element("p", separation) if separation else None,
            ),
            element("main", *(part.markup for part in parts), *_not_counted(left_out)),
            element("footer", element("p", f"Made by optrun {version('optrun')}.")),
        ]
    )
    page_ = element("html", element("head", head), element("body", body), lang="en")
    return f"<!DOCTYPE html>\n{page_}\n"


def _not_counted(lines: Sequence[str]) -> Iterator[Markup]:
    if lines:
        yield element("h2", "Not counted")
        yield element("ul", elements("li", lines))


def _drawn(
    groups: Sequence[Group], figures: Sequence[Sequence[Figure]]
) -> list[list[tuple[Figure, _Part | None]]]:
    """Each table's figures with what is shown of them, further axes only where there is room."""
    of_page = [figure for of_table in figures for figure in of_table]
    rows = min(_MOST_ROWS_EACH, _MOST_DATA_ROWS // max(len(of_page), 1))
    longest = _LONGEST_DATA // max(len(of_page), 1)
    places = []
    for table, of_table in enumerate(figures):
        seen = set[str]()
        for at, figure in enumerate(of_table):
            stem, _ = _stem_and_axis(figure)
            places.append((stem in seen, table, at))
            seen.add(stem)
    shown: list[list[tuple[Figure, _Part | None]]] = [
        [(figure, None) for figure in of_table] for of_table in figures
    ]
    size = 0
    for is_further, table, at in sorted(places):
        if size > (_LONGEST_DRAWN if is_further else _LONGEST_FIRST):
            continue
        figure, name = figures[table][at], f"table-{table + 1}"
        labels = list(by_label(groups[table].rows))
        picture = _picture(figure, f"{name}-{at}", name, labels)
        data = _data(figure, name, labels, rows, longest)
        size += len(picture.svg)
        part = _Part(_figure(figure, f"{name}-{figure.key}", picture, data), (picture,))
        shown[table][at] = (figure, part)
    return shown


def _table_part(
    number: int,
    group: Group,
    found: Verdict,
    figures: Sequence[tuple[Figure, _Part | None]],
    sort: str,
) -> _Part:
    name = f"table-{number}"
    shown = [(figure, part) for figure, part in figures if part is not None]
    drawn, axis_switches = _switchable(name, shown)
    if len(shown) < len(figures):
        said = "To keep this page small some figures are left out: --figures writes all of them."
        drawn.append(element("p", said, class_="faint"))
    notes = (*found.notes, *footnotes.notes(group, sort=sort))
    content = [
        element("h2", footnotes.heading(group), id=f"{name}-heading"),
        element("ul", elements("li", found.sentences), class_="verdict"),
        _choice(name, group.rows),
        element("h3", "What each reached"),
        _results(name, group),
        _measures(),
        *_settings_tried(group),
        element("h3", "How to read this"),
        element("ul", elements("li", notes), class_="notes"),
        *([element("h3", "Figures"), *drawn] if drawn else []),
        element("h3", "Configurations"),
        *_configurations(name, group),
        element("h3", "Environment"),
        *_environment(group),
        element("h3", "To run it again"),
        _commands(name, group),
    ]
    row_switches = "".join(
        f"#{name}:has(#{name}-show-{at}:not(:checked)) .{name}-{row_class(at)}{{display:none}}"
        for at in range(len(group.rows))
    )
    return _Part(
        element("section", *content, id=name, aria_labelledby=f"{name}-heading"),
        tuple(picture for _, part in shown for picture in part.pictures),
        row_switches + axis_switches,
    )


def _choice(name: str, rows: Sequence[Row]) -> Markup | None:
    """A box for each experiment, which shows it or hides it wherever it occurs."""
    if len(rows) < 2:
        return None
    boxes = [
        element(
            "label",
            element("input", type="checkbox", id=f"{name}-show-{at}", checked=True),
            f" {label}",
        )
        for at, label in enumerate(list(by_label(rows)))
    ]
    legend = element("legend", "Shown in table and figures")
    every = element("button", "All", type="reset")
    return element("form", element("fieldset", legend, *boxes, every), class_="choose")


def _results(name: str, group: Group) -> Markup:
    columns = columns_of(group.rows)
    heads = [
        element(
            "th",
            column.header[0],
            element("br"),
            column.header[1],
            element("small", column.header[2]) if column.header[2] else None,
            scope="col",
            title=column.measure.description,
        )
        for column in columns
    ]
    lines = []
    for at, row in enumerate(group.rows):
        seeds = footnotes.seeds_text(row.seeds)
        cells = [element("td", len(row.runs), element("small", seeds) if seeds else None)]
        for column in columns:
            spread = column.spreads[at]
            cells.append(
                element(
                    "td",
                    column.means[at],
                    element("small", spread, class_="spread") if spread else None,
                    class_="number",
                )
            )
        lines.append(element("tr", _row_head(row), *cells, class_=f"{name}-{row_class(at)}"))
    titles = element(
        "tr",
        element("th", "experiment", scope="col"),
        element("th", "seeds", scope="col"),
        *heads,
    )
    return _scrolling(
        "Mean over seeds, and below it the sample standard deviation",
        element("thead", titles),
        element("tbody", *lines),
    )


def _row_head(row: Row) -> Markup:
    optimizer = ", ".join([row.newest.optimizer, *row.distinctions])
    others = f"also named {', '.join(row.other_names)}" if row.other_names else None
    return element(
        "th",
        row.name,
        element("small", optimizer),
        element("small", others) if others else None,
        element("small", divergence(row), class_="bad") if row.diverged else None,
        scope="row",
    )


def _measures() -> Markup:
    pairs = [
        joined([element("dt", " ".join(one.title)), element("dd", one.description)])
        for one in MEASURES
    ]
    return element("details", element("summary", "What the columns are"), element("dl", *pairs))


def _settings_tried(group: Group) -> Iterator[Markup]:
    found = list(blocks(group))
    if found:
        yield element("h3", "Settings tried")
    for block in found:
        yield _block(block)


def _block(block: Block) -> Markup:
    heads = [", ".join(map(str.strip, lines)) for lines in (block.corner, *block.heads)]
    rows = [[label, *(cell.strip() for cell in cells)] for label, cells in block.rows]
    return _plain_table(block.title or "Likewise", heads, rows)


def _picture(figure: Figure, prefix: str, name: str, labels: Sequence[str]) -> Inline:
    marks: list[Mark] = []

    def draw(axes: "Axes") -> None:
        figure.draw(axes)
        marks.extend(_marks(axes, name, labels))

    return inline(
        svg_for_page(replace(figure, draw=draw)),
        prefix=prefix,
        description=f"{figure.title}. {figure.finding}",
        marks=marks,
    )


def _marks(axes: "Axes", name: str, labels: Sequence[str]) -> Iterator[Mark]:
    """What was drawn of rows, known by the label or `gid`; that becomes the number of the mark."""
    rows = {label.lstrip(): at for at, label in enumerate(labels)}
    found = [(one, one.get_gid(), str(one.get_label())) for one in axes.get_children()]
    for container in axes.containers:
        label = str(container.get_label())
        found += [(one, label, label) for one in container.get_children()]
    number = 0
    for artist, row, label in found:
        at = rows.get((row or label).lstrip())
        if at is not None:
            artist.set_gid(f"mark-{number}")
            number += 1
            points = list(_points(axes, artist))
            # A label of matplotlib's own begins so. Points without a name may be of another row
            # that is shown beside this one.
            said = "" if label.startswith("_") else label
            said = said or ("" if points else labels[at])
            yield Mark(f"{name}-{row_class(at)}", said, points)


def _points(axes: "Axes", artist: "Artist") -> Iterator[str]:
    """The values of a line's points that are marked, in words."""
    import numpy as np
    from matplotlib.lines import Line2D

    if not isinstance(artist, Line2D) or artist.get_marker() in (None, "None", "", " "):
        return
    every = artist.get_markevery()
    step = every if isinstance(every, int) else 1
    for place in np.asarray(artist.get_xydata(), dtype=float)[::step].tolist():
        pairs = zip((axes.get_xlabel(), axes.get_ylabel()), place, strict=True)
        if all(map(math.isfinite, place)):
            yield "\n".join(f"{label}: {value:.6g}" for label, value in pairs if label)


def _figure(figure: Figure, anchor: str, picture: Inline, data: Markup) -> Markup:
    caption = element(
        "figcaption",
        element("h4", figure.title),
        element("p", figure.finding),
        element("p", figure.reading, class_="faint") if figure.reading else None,
    )
    plot = element("div", picture.svg, class_="plot", tabindex="0")
    return element("figure", caption, plot, data, id=anchor)


def _data(figure: Figure, name: str, labels: Sequence[str], most_rows: int, longest: int) -> Markup:
    """The figure's numbers, as a table and as a file that the page itself holds."""
    rows = [[_cell(cell) for cell in line] for line in figure.rows[:most_rows]]
    classes = {label: f"{name}-{row_class(at)}" for at, label in enumerate(labels)}
    table = _plain_table(figure.title, figure.columns, rows, classes=classes)
    more = len(figure.rows) - len(rows)
    text = csv_of(figure)
    link, where = None, "in the CSV"
    if len(text) <= longest:
        href = f"data:text/csv;charset=utf-8,{quote(text, safe=_SAFE)}"
        anchor = element("a", "As CSV", download=f"{figure.key}.csv", href=href)
        link = element("p", anchor, class_="csv")
    else:
        where = "in the CSV that --figures writes"
    cut = element("p", f"{more:,} more rows are {where}.", class_="faint") if more > 0 else None
    return element("details", element("summary", "The numbers"), link, table, cut)


def csv_of(figure: Figure) -> str:
    """The figure's numbers in full precision, for programs and spreadsheets."""
    lines = [figure.columns, *figure.rows]
    return "".join(",".join(map(csv_cell, line)) + "\n" for line in lines)


def _cell(cell: Cell) -> str:
    if cell is None:
        return MISSING
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def _stem_and_axis(figure: Figure) -> tuple[str, str]:
    """What a figure's key says it shows, and over what."""
    axis = next((one for one in AXES if figure.key.endswith(f"-{one}")), "")
    return (figure.key.removesuffix(f"-{axis}") if axis else figure.key), axis


def _switchable(name: str, figures: Sequence[tuple[Figure, _Part]]) -> tuple[list[Markup], str]:
    """The figures, where those of one thing on several axes take one place, to be chosen there."""
    by_stem: defaultdict[str, list[tuple[str, str, Markup]]] = defaultdict(list)
    for figure, part in figures:
        stem, axis = _stem_and_axis(figure)
        by_stem[stem].append((axis, f"{name}-{figure.key}", part.markup))
    content, rules = [], []
    for stem, alike in by_stem.items():
        if len(alike) == 1:
            content.append(alike[0][2])
            continue
        group = f"{name}-{stem}-by"
        radios = [
            element(
                "label",
                element(
                    "input",
                    type="radio",
                    name=group,
                    id=f"{group}-{axis}",
                    checked=axis == alike[0][0],
                ),
                f" {axis.replace('-', ' ')}",
            )
            for axis, _, _ in alike
        ]
        chooser = element("fieldset", element("legend", "Axis"), *radios)
        content.append(
            element(
                "div",
                element("form", chooser, class_="choose"),
                *(markup for _, _, markup in alike),
                id=group,
            )
        )
        rules += [
            f"#{group}:has(#{group}-{axis}:not(:checked)) #{anchor}{{display:none}}"
            for axis, anchor, _ in alike
        ]
    return content, "".join(rules)


def _configurations(name: str, group: Group) -> Iterator[Markup]:
    """Each experiment's settings where they differ, then what is the same in all."""
    labels = list(by_label(group.rows))
    found = [rerun.configuration_of(row) for row in group.rows]
    differing, same = rerun.told_apart(found)
    if len(labels) > 1 and differing:
        classes = [f"{name}-{row_class(at)}" for at in range(len(labels))]
        rows = [[field, *values] for field, values in list(differing.items())[:_MOST_FIELDS]]
        yield _plain_table("What differs", ("setting", *labels), rows, columns=classes)
    if same:
        table = _plain_table(
            "The same in all", ("setting", "value"), list(same.items())[:_MOST_FIELDS]
        )
        said = f"{number_of(len(same), 'setting')}, the same in all"
        yield element("details", element("summary", said), table)


def _environment(group: Group) -> Iterator[Markup]:
    facts = rerun.environment_of(group)[:_MOST_FIELDS]
    first = [fact for fact in facts if not fact[0].startswith("packages.")]
    rest = [fact for fact in facts if fact[0].startswith("packages.")]
    if not facts:
        yield element("p", "Not recorded.")
    for said, rows in (("What the runs were made on and with", first), ("Packages", rest)):
        if rows:
            table = _plain_table(said, ("", "value"), rows)
            yield table if rows is first else element("details", element("summary", said), table)


def _commands(name: str, group: Group) -> Markup:
    lines = []
    for at, (label, row) in enumerate(by_label(group.rows).items()):
        commands = [element("pre", element("code", one)) for one in rerun.commands(row)]
        lines.append(
            element(
                "div",
                element("dt", label),
                element("dd", *commands),
                class_=f"{name}-{row_class(at)}",
            )
        )
    return element("dl", *lines, class_="commands")


def _plain_table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    classes: Mapping[str, str] | None = None,
    columns: Sequence[str] = (),
) -> Markup:
    """A table of texts; `classes` of rows by their first cell, `columns` those of the others."""
    of_column = ["", *columns] if columns else [""] * len(heads)
    titles = [
        element("th", head, scope="col", class_=one or None)
        for head, one in zip(heads, of_column, strict=True)
    ]
    lines = []
    for first, *others in rows:
        cells = [
            element("td", cell, class_=one or None)
            for cell, one in zip(others, of_column[1:], strict=True)
        ]
        lines.append(
            element(
                "tr", element("th", first, scope="row"), *cells, class_=(classes or {}).get(first)
            )
        )
    parts = (element("thead", element("tr", *titles)), element("tbody", *lines))
    return _scrolling(caption, *parts, class_="texts")


def _scrolling(caption: str, *content: Markup, class_: str | None = None) -> Markup:
    """A table in a box of its own, since a phone is narrower than most tables."""
    said = element("caption", element("span", caption))
    table = element("table", said, *content, class_=class_)
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=caption)
