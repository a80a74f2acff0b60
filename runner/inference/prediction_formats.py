r"""Answers as a table, CSV or JSON, written as they come.

Names come from archives and file systems, so from anybody. In a table and in CSV, everything that
acts on a terminal is written as an escape (`\x1b`), so that a name can't move the cursor or break
a line. JSON has escapes of its own, and there `json.loads` gives the name back.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator

from optrun.data.printable import printable
from optrun.runner.inference.answers import Prediction
from optrun.runner.ui.text import csv_cell
from rich.cells import cell_len

_NARROWEST_NAME, _WIDEST_NAME = 12, 60  # columns
_ROWS_MEASURED = 16

Rows = Iterable[Prediction]


def table(rows: Rows) -> Iterator[str]:
    """One line a photo: name, answer, probability of the answer.

    The names' column is as wide as the first few need; a longer one later moves its own line.
    """
    rows = iter(rows)
    first = list(itertools.islice(rows, _ROWS_MEASURED))
    if not first:
        return
    widest = max(cell_len(printable(row.name)) for row in first)
    width = min(max(widest, _NARROWEST_NAME), _WIDEST_NAME)
    yield f"{'photo':<{width}}  answer  probability\n"
    for row in itertools.chain(first, rows):
        name = printable(row.name)
        padding = " " * (width - cell_len(name))
        yield f"{name}{padding}  {row.answer:<6}  {percentage(row.probability):>11}\n"


def csv(rows: Rows) -> Iterator[str]:
    """RFC 4180: `photo,answer,probability,dog_probability`, lines ended by CR LF.

    A name that begins as a formula does is written with `./` in front: as a path it means the same
    file, and a spreadsheet shows it instead of computing it.
    """
    yield "photo,answer,probability,dog_probability\r\n"
    for row in rows:
        yield (
            f"{csv_cell(printable(row.name), guard='./')},{row.answer},"
            f"{_number(row.probability)},{_number(row.dog_probability)}\r\n"
        )


def json_array(rows: Rows) -> Iterator[str]:
    r"""One JSON array, an object a line: photo, answer, probability, dog_probability.

    In ASCII. A byte of a file's name that is no UTF-8 is written as `\xff`, in four characters,
    since JSON has no word for it.
    """
    before = "[\n"
    for row in rows:
        content = {
            "photo": _without_surrogates(row.name),
            "answer": row.answer,
            "probability": float(_number(row.probability)),
            "dog_probability": float(_number(row.dog_probability)),
        }
        yield before + json.dumps(content)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


FORMATS: dict[str, Callable[[Rows], Iterator[str]]] = {
    "table": table,
    "csv": csv,
    "json": json_array,
}


def percentage(probability: float) -> str:
    """Two decimals, never rounded up to certainty.

    >>> percentage(0.98764), percentage(0.999999), percentage(0.5)
    ('98.76%', '>99.99%', '50.00%')
    """
    return f"{probability:.2%}" if probability <= 0.9999 else ">99.99%"


def _without_surrogates(name: str) -> str:
    return "".join(printable(char) if "\ud800" <= char <= "\udfff" else char for char in name)


def _number(probability: float) -> str:
    """Nine significant digits, more than a float32 logit decides."""
    return f"{probability:.9g}"
