"""`optrun runs diff`: what differs between two runs, and that the rest is the same."""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optrun.runner.errors import UserError
from optrun.runner.runs.reader import CONFIG_NAME, Run, Unreadable, find_run, read, read_config
from optrun.runner.ui.table import Column, Line, row_lines
from optrun.runner.ui.text import is_styled, show, style, terminal_width, widest, wrap
from optrun.runner.ui.wording import duration, percent
from optrun.runner.untrusted import mapping, number, printable
from rich.cells import cell_len

FORMAT = 1
NOT_THERE = "–"

_GAP = "  "
_INDENT = "  "
_NARROWEST, _WIDEST_KEY = 12, 40
_MOST_ROWS = 200
_HASH_DIGITS = 12

# Of what is recorded of a run, what it was trained on; the rest says where, when and by whom.
_CODE = ("git_commit", "git_dirty")
_RESOLVED_ENVIRONMENT = ("precision", "device")
_PHOTOS_AND_START = ("photos", "split", "model.weights")
_START = ("photos_source", "own_code", "initial_weights", "first_batches")


@dataclass(frozen=True)
class Section:
    """One kind of facts: the values of both runs for each that differs, and how many are equal."""

    differing: Mapping[str, tuple[object, object]]  # None where a run has none
    equal: int
    trouble: str = ""  # why nothing can be said


def diff_runs(a: str, b: str, *, layout: str) -> None:
    """Print what differs between two runs, as a table or json."""
    pair = (_read(find_run(a)), _read(find_run(b)))
    of_a, of_b = map(_values, pair)
    sections = {name: _section(of_a[name], of_b[name]) for name in of_a}
    found = zip(pair, (of_a, of_b), strict=True)
    if without := [run.label for run, values in found if not values["configuration"]]:
        trouble = f"{CONFIG_NAME} of {' and of '.join(without)} cannot be read"
        sections["configuration"] = Section({}, 0, trouble)
    if layout == "json":
        show(json.dumps(_content(pair, sections), indent=1, allow_nan=False) + "\n")
    else:
        show("\n".join(_lines(pair, sections, terminal_width())) + "\n")


def _read(folder: Path) -> Run:
    run = read(folder)
    if isinstance(run, Unreadable):
        raise UserError(f"{printable(str(folder))} cannot be read: {run.reason}.")
    return run


def _section(a: Mapping[str, object], b: Mapping[str, object]) -> Section:
    pairs = {key: (a.get(key), b.get(key)) for key in {**a, **b}}
    canonical = functools.partial(json.dumps, sort_keys=True, default=str)
    differing = {key: pair for key, pair in pairs.items() if len(set(map(canonical, pair))) == 2}
    return Section(differing, len(pairs) - len(differing))


def _values(run: Run) -> Mapping[str, Mapping[str, object]]:
    """What is set side by side, by section."""
    record = run.record
    provenance, comparable = record.provenance, record.flat_comparable
    return {
        "configuration": read_config(run.folder),
        "photos and start": {
            "sample": record.sample,
            **{key: comparable.get(key) for key in _PHOTOS_AND_START},
            **{key: provenance.get(key) for key in _START},
        },
        "environment": {
            **record.circumstances,
            **{key: provenance.get(key) for key in _CODE},
            **{key: comparable.get(key) for key in _RESOLVED_ENVIRONMENT},
        },
        "result": {"state": run.status, "why": record.why or None, **mapping(record.result)},
    }


def _lines(pair: tuple[Run, Run], sections: Mapping[str, Section], width: int) -> Iterator[str]:
    styled = is_styled()
    for letter, run in zip("AB", pair, strict=True):
        yield f"{letter}  {style(run.label, 'strong', styled)}"
    for name, section in sections.items():
        count = len(section.differing)
        differ = f"{count:,} differ{'s' if count == 1 else ''}, {section.equal:,} the same"
        summary = section.trouble or (differ if count else "the same")
        yield ""
        yield style(name, "heading", styled) + f": {summary}"
        shown = list(section.differing.items())[:_MOST_ROWS]
        if shown:
            rows = [(key, *(_text(key, value) for value in values)) for key, values in shown]
            yield from _table(rows, width)
        if count > len(shown):
            yield f"{_INDENT}and {count - len(shown):,} more, which --format json lists"


def _table(rows: Sequence[tuple[str, ...]], width: int) -> Iterator[str]:
    room = max(width - len(_INDENT) - 2 * len(_GAP), 3 * _NARROWEST)
    keys, first, second = map(widest, zip(*rows, strict=True))
    keys = min(keys, max(room - first - second, room // 3, _NARROWEST), _WIDEST_KEY)
    # What the one value leaves of its half is for the other.
    first = min(first, max((room - keys) // 2, room - keys - second))
    second = min(second, room - keys - first)
    columns = [Column(0), *map(Column, (keys, first, second))]
    for key, *texts in (("", "A", "B"), *rows):
        look = "plain" if key else "faint"
        halves = zip(texts, (first, second), strict=True)
        name = [key]
        if cell_len(key) > keys:  # it is cut behind its dots
            name = [line.replace(". ", ".") for line in wrap(key.replace(".", ". "), keys)]
        cells = [name, *(wrap(text, max(size, 1)) for text, size in halves)]
        looking = ([Line(line, look) for line in cell] for cell in cells)
        yield from row_lines(["", *looking], columns, styled=is_styled())


def _text(key: str, value: object) -> str:
    if value is None or value == "":
        return NOT_THERE
    if isinstance(value, bool):
        return "true" if value else "false"
    if (size := number(value)) is not None:
        if key.endswith("_accuracy"):
            return percent(size)
        if key.endswith("_seconds"):
            return duration(size)
        return f"{value:,}" if isinstance(value, int) else f"{size:.6g}"
    if isinstance(value, str):
        is_hash = len(value) >= 40 and all(char in "0123456789abcdef" for char in value)
        return value[:_HASH_DIGITS] if is_hash else printable(value)
    return printable(json.dumps(value, ensure_ascii=False, default=str))


def _content(pair: tuple[Run, Run], sections: Mapping[str, Section]) -> dict[str, Any]:
    a, b = (printable(str(run.folder)) for run in pair)
    content: dict[str, Any] = {"format": FORMAT, "a": a, "b": b}
    for name, section in sections.items():
        differing = {key: {"a": a, "b": b} for key, (a, b) in section.differing.items()}
        content[name.replace(" ", "_")] = {**vars(section), "differing": differing}
    return content
