"""`optrun runs diff`: what differs between two runs, and that the rest is the same."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optrun.runner.compare.metrics import BY_KEY
from optrun.runner.errors import UserError
from optrun.runner.runs import reader as runs
from optrun.runner.runs.reader import Run, Unreadable, flatten
from optrun.runner.runs.select import find_run
from optrun.runner.ui.text import is_styled, padded, show, style, terminal_width, widest, wrap
from optrun.runner.ui.wording import duration
from optrun.runner.untrusted import mapping, number, printable
from rich.cells import cell_len

FORMAT = 1
NOT_THERE = "–"

_GAP = "  "
_INDENT = "  "
_NARROWEST, _WIDEST_KEY = 12, 40
_MOST_ROWS = 200
_HASH_DIGITS = 12
_SECTIONS = ("configuration", "photos and start", "environment", "result")

# Of what is recorded of a run, what it was trained on; the rest says where, when and by whom.
_ENVIRONMENT = (
    *("packages", "python", "hardware", "threads", "jit_compile"),
    *("git_commit", "git_dirty"),
)
_RESOLVED_ENVIRONMENT = ("precision", "device")
_PHOTOS_AND_START = ("photos", "split", "model.weights")


@dataclass(frozen=True)
class Section:
    """One kind of facts: the values of both runs for each that differs, and how many are equal.

    Attributes:
        differing: Name, value in the first run, value in the second; None where it has none.
        trouble: Why nothing can be said; empty where it can.
    """

    name: str
    differing: Sequence[tuple[str, object, object]]
    equal: int
    trouble: str = ""


def diff_runs(a: str, b: str, *, layout: str) -> None:
    """Print what differs between two runs.

    Args:
        a: A folder, or part of a name.
        b: Likewise.
        layout: table or json.

    Raises:
        UserError: There is no such run, or several, or it can't be read.
    """
    one, other = (_read(find_run(named)) for named in (a, b))
    sections = [_section(name, one, other) for name in _SECTIONS]
    if layout == "json":
        content = _content(one[0], other[0], sections)
        show(json.dumps(content, indent=1, allow_nan=False) + "\n")
        return
    lines = _lines(one[0], other[0], sections, terminal_width(), styled=is_styled())
    show("\n".join(lines) + "\n")


def _read(folder: Path) -> tuple[Run, Mapping[str, Any]]:
    run, record = runs.read_with_record(folder)
    if isinstance(run, Unreadable):
        raise UserError(f"{printable(str(folder))} cannot be read: {run.reason}.")
    return run, record


def _section(
    name: str, one: tuple[Run, Mapping[str, Any]], other: tuple[Run, Mapping[str, Any]]
) -> Section:
    values = [_values(name, run, record) for run, record in (one, other)]
    if name == "configuration":
        without = [
            run.label for (run, _), found in zip((one, other), values, strict=True) if not found
        ]
        if without:
            return Section(name, [], 0, f"config.yaml of {' and of '.join(without)} cannot be read")
    names = list(dict.fromkeys([*values[0], *values[1]]))
    differing = [
        (key, values[0].get(key), values[1].get(key))
        for key in names
        if _canonical(values[0].get(key)) != _canonical(values[1].get(key))
    ]
    return Section(name, differing, len(names) - len(differing))


def _values(name: str, run: Run, record: Mapping[str, Any]) -> Mapping[str, object]:
    provenance = mapping(record.get("provenance"))
    if name == "configuration":
        return runs.read_config(run.folder)
    if name == "photos and start":
        return {
            "sample": run.sample,
            **{key: run.comparable.get(key) for key in _PHOTOS_AND_START},
            "photos_source": provenance.get("photos_source"),
            "own_code": provenance.get("own_code"),
            "initial_weights": run.initial_weights,
            "first_batches": run.first_batches,
        }
    if name == "environment":
        recorded = {key: provenance.get(key) for key in _ENVIRONMENT}
        return flatten(recorded) | {key: run.comparable.get(key) for key in _RESOLVED_ENVIRONMENT}
    result = {"state": run.state, "why": run.why or None}
    return result | dict(mapping(record.get("result")))


def _lines(
    one: Run, other: Run, sections: Sequence[Section], width: int, *, styled: bool
) -> Iterator[str]:
    yield f"A  {style(one.label, 'strong', styled)}"
    yield f"B  {style(other.label, 'strong', styled)}"
    for section in sections:
        yield ""
        shown = section.differing[:_MOST_ROWS]
        rows = [(key, *(_text(key, value) for value in values)) for key, *values in shown]
        rest = len(section.differing) - len(shown)
        yield style(section.name, "heading", styled) + f": {_summary(section)}"
        if rows:
            yield from _table(rows, width, styled=styled)
        if rest:
            yield f"{_INDENT}and {rest:,} more, which --format json lists"


def _summary(section: Section) -> str:
    if section.trouble:
        return section.trouble
    if not section.differing:
        return "the same"
    count = len(section.differing)
    return f"{count:,} differ{'s' if count == 1 else ''}, {section.equal:,} the same"


def _table(rows: Sequence[tuple[str, ...]], width: int, *, styled: bool) -> Iterator[str]:
    room = max(width - len(_INDENT) - 2 * len(_GAP), 3 * _NARROWEST)
    values = [widest([row[column] for row in rows]) for column in (1, 2)]
    keys = min(widest([row[0] for row in rows]), max(room - sum(values), room // 3, _NARROWEST))
    keys = min(keys, _WIDEST_KEY)
    half = (room - keys) // 2
    # What the one value leaves of its half is for the other.
    first = min(values[0], max(half, room - keys - values[1]))
    second = min(values[1], room - keys - first)
    widths = (keys, first, second)
    for row in (("", "A", "B"), *rows):
        cells = [
            _pieces(text, size, dotted=column == 0)
            for column, (text, size) in enumerate(zip(row, widths, strict=True))
        ]
        for index in range(max(map(len, cells))):
            parts = [
                padded(lines[index] if index < len(lines) else "", size)
                for lines, size in zip(cells, widths, strict=True)
            ]
            line = (_INDENT + _GAP.join(parts)).rstrip()
            yield line if row[0] else style(line, "faint", styled)


def _pieces(text: str, width: int, *, dotted: bool) -> list[str]:
    """The text in lines; a dotted name is cut behind its dots."""
    if not dotted or cell_len(text) <= width:
        return wrap(text, max(width, 1))
    lines = [""]
    for part in text.replace(".", ".\n").split("\n"):
        if lines[-1] and cell_len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return [piece for line in lines for piece in wrap(line, width)]


def _text(key: str, value: object) -> str:
    measure = BY_KEY.get(key)
    if value is None or value == "":
        return NOT_THERE
    if isinstance(value, bool):
        return "true" if value else "false"
    if (size := number(value)) is not None:
        if (measure is not None and measure.percent) or key.endswith("_accuracy"):
            return f"{100 * size:.1f} %"
        if key.endswith("_seconds"):
            return duration(size)
        return f"{value:,}" if isinstance(value, int) else f"{size:.6g}"
    if isinstance(value, str):
        is_hash = len(value) >= 40 and all(char in "0123456789abcdef" for char in value)
        return value[:_HASH_DIGITS] if is_hash else printable(value)
    return printable(json.dumps(value, ensure_ascii=False, default=str))


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _content(one: Run, other: Run, sections: Sequence[Section]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "a": printable(str(one.folder)),
        "b": printable(str(other.folder)),
        **{
            section.name.replace(" ", "_"): {
                "differing": {key: {"a": a, "b": b} for key, a, b in section.differing},
                "equal": section.equal,
                "trouble": section.trouble,
            }
            for section in sections
        },
    }
