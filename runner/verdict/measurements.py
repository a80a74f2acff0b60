"""Numbers of anyone's experiments, from a CSV file: one line for each experiment and seed."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from optrun.runner.errors import UserError
from optrun.runner.ui.wording import nearest, number_of, some
from optrun.runner.untrusted import DamageError, content_of, printable

_LARGEST_FILE = 64 * 2**20  # bytes
_DELIMITERS = ",;\t"
_MOST_NAMED = 4

Seed = int | str


@dataclass(frozen=True)
class Measurements:
    """A metric by experiment and seed, both in the order of the file."""

    metric: str
    values: dict[str, dict[Seed, float]]
    notes: tuple[str, ...]  # what a person should know of lines that do not count


@dataclass(frozen=True)
class _Row:
    line: int  # counted from 1
    experiment: str
    seed: str
    text: str


def read(
    path: Path, *, metric: str | None, experiment_column: str, seed_column: str
) -> Measurements:
    """The values of a column; with None, of the only one beside experiment and seed.

    Raises:
        UserError: There is no such file or column, a cell holds no number, a seed stands twice.
    """
    lines = _lines(path)
    number, header = next(lines, (1, []))
    names = [name.strip() for name in header]
    shown = printable(str(path))
    for name, option in (
        (experiment_column, "--experiment-column"),
        (seed_column, "--seed-column"),
    ):
        if name not in names:
            raise UserError(
                f"{shown} must have a column {name} ({option} names another){_columns(names, name)}"
            )
    others = [name for name in names if name and name not in (experiment_column, seed_column)]
    if metric is None and len(others) != 1:
        raise UserError(f"--metric must name one of the columns of {shown}{_columns(others)}")
    metric = metric or others[0]
    if metric not in others:
        raise UserError(f"--metric must name a column of {shown}{_columns(others, metric)}")
    if twice := [
        name for name in (experiment_column, seed_column, metric) if names.count(name) > 1
    ]:
        raise UserError(f"{shown}:{number}: the column {twice[0]} stands there twice; rename one")
    places = [names.index(name) for name in (experiment_column, seed_column, metric)]
    rows = list(_rows(lines, places, len(names), shown))
    _refuse_doubled(rows, shown)
    is_number = all(row.seed.isascii() and row.seed.isdigit() for row in rows)
    values: dict[str, dict[Seed, float]] = {}
    lacking: list[str] = []
    for row in rows:
        of_experiment = values.setdefault(row.experiment, {})
        value = _value(row, shown, metric)
        if value is None:
            lacking.append(f"{row.experiment}, seed {row.seed} (line {row.line})")
        else:
            of_experiment[int(row.seed) if is_number else row.seed] = value
    notes = []
    if lacking:
        verb = "has" if len(lacking) == 1 else "have"
        notes.append(
            f"{number_of(len(lacking), 'line')} {verb} no finite {metric} and {verb} no part in "
            f"any mean: {some(lacking, _MOST_NAMED)}."
        )
    return Measurements(metric, values, tuple(notes))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    shown = printable(str(path))
    try:
        content = content_of(path, _LARGEST_FILE)
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = content.decode(encoding)
    except DamageError as damage:
        raise UserError(f"FILE.csv must be a file of measurements: {damage}.") from damage
    except UnicodeDecodeError as error:
        raise UserError(f"{shown} must be CSV in UTF-8, and is not.") from error
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [printable(cell) for cell in cells]
    except csv.Error as error:
        raise UserError(f"{shown}:{reader.line_num}: must be CSV: {error}.") from error


def _rows(
    lines: Iterator[tuple[int, list[str]]], places: Sequence[int], width: int, shown: str
) -> Iterator[_Row]:
    for number, cells in lines:
        if len(cells) != width:
            raise UserError(
                f"{shown}:{number}: must have {number_of(width, 'cell')} as the first line has, "
                f"received {len(cells)}"
            )
        experiment, seed, text = (cells[place].strip() for place in places)
        for what, cell in (("an experiment", experiment), ("a seed", seed)):
            if not cell:
                raise UserError(f"{shown}:{number}: must name {what}, received an empty cell")
        yield _Row(number, experiment, seed, text)


def _refuse_doubled(rows: Sequence[_Row], shown: str) -> None:
    first: dict[tuple[str, str], int] = {}
    for row in rows:
        before = first.setdefault((row.experiment, row.seed), row.line)
        if before != row.line:
            raise UserError(
                f"{shown}: seed {row.seed} of {row.experiment} stands twice, in lines {before} and "
                f"{row.line}. A seed run again is not another seed: leave one"
            )


def _value(row: _Row, shown: str, metric: str) -> float | None:
    """The number; None for one that is not finite, or that is not there."""
    text = row.text.replace("−", "-")
    if "," in text and "." not in text:  # a decimal comma
        text = text.replace(",", ".")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise UserError(
            f"{shown}:{row.line}: {metric} must be a number, received: {row.text}"
        ) from None
    return value if math.isfinite(value) else None


def _columns(names: Sequence[str], wanted: str = "") -> str:
    near = nearest(wanted, names) if wanted else None
    meant = f" Did you mean {near}?" if near else ""
    return f", received: {', '.join(names) or 'no columns'}.{meant}"
