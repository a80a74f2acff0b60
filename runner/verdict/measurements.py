"""Numbers of anyone's experiments: one for each experiment and seed; read from CSV here."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optrun.runner.errors import UserError
from optrun.runner.ui.wording import did_you_mean, number_of, some
from optrun.runner.untrusted import DamageError, content_of, printable

_LARGEST_FILE = 64 * 2**20  # bytes
_DELIMITERS = ",;\t"
_MOST_NAMED = 4

Seed = int | str


@dataclass(frozen=True)
class Measurements:
    """A metric by experiment and seed, both in the order in which they were read."""

    metric: str
    values: dict[str, dict[Seed, float]]
    notes: tuple[str, ...]  # what a person should know of how they were read


@dataclass(frozen=True)
class Measured:
    """One experiment with one seed, and where that stands: in which line, or folder."""

    place: str
    experiment: str
    seed: str
    value: float | None  # None for one that is not finite, or that is not there


def read(
    path: Path, *, metric: str | None, experiment_column: str, seed_column: str
) -> Measurements:
    """The values of a column; with None, of the only one beside experiment and seed.

    Raises:
        UserError: There is no such file or column, a cell holds no number, a seed stands twice.
    """
    table = Table(path)
    keys = {"--experiment-column": experiment_column, "--seed-column": seed_column}
    table.require(keys)
    others = [name for name in table.names if name and name not in keys.values()]
    if metric is None and len(others) != 1:
        raise UserError(
            f"--metric must name one of the columns of {table.shown}{_received(others)}"
        )
    metric = metric or others[0]
    if metric not in others:
        raise UserError(f"--metric must name a column of {table.shown}{_received(others, metric)}")
    rows = [
        Measured(str(number), experiment, seed, _value(text, f"{table.shown}:{number}: {metric}"))
        for number, experiment, seed, text in table.rows(experiment_column, seed_column, metric)
    ]
    return gathered(rows, metric, place="line", shown=table.shown)


def gathered(rows: Sequence[Measured], metric: str, *, place: str, shown: str) -> Measurements:
    """The values by experiment and seed; seeds are whole numbers where all of them are.

    `place` is what a value stands in, as a word, `shown` what all of them were read from.

    Raises:
        UserError: A seed of an experiment stands twice.
    """
    is_number = all(row.seed.isascii() and row.seed.isdigit() for row in rows)
    values: dict[str, dict[Seed, float]] = {}
    first: dict[tuple[str, Seed], str] = {}
    lacking: list[str] = []
    for row in rows:
        of_experiment = values.setdefault(row.experiment, {})
        seed = int(row.seed) if is_number else row.seed
        if (before := first.setdefault((row.experiment, seed), row.place)) != row.place:
            raise UserError(
                f"{shown}: seed {seed} of {row.experiment} stands twice, in {place}s {before} and "
                f"{row.place}. A seed run again is not another seed: leave one"
            )
        if row.value is None:
            lacking.append(f"{row.experiment}, seed {seed} ({place} {row.place})")
        else:
            of_experiment[seed] = row.value
    notes = []
    if lacking:
        verb = "has" if len(lacking) == 1 else "have"
        notes.append(
            f"{number_of(len(lacking), place)} {verb} no finite {metric} and {verb} no part in "
            f"any mean: {some(lacking, _MOST_NAMED)}."
        )
    return Measurements(metric, values, tuple(notes))


class Table:
    """A CSV file: the names in its first line, and the others by them."""

    def __init__(self, path: Path) -> None:
        self.shown = printable(str(path))
        self._lines = _lines(path)
        self._number, header = next(self._lines, (1, []))
        self.names = [name.strip() for name in header]

    def require(self, columns: Mapping[str, str]) -> None:
        """Refuse a table that lacks a column; each stands by the option that names another."""
        for option, name in columns.items():
            if name not in self.names:
                raise UserError(
                    f"{self.shown} must have a column {name} ({option} names another)"
                    f"{_received(self.names, name)}"
                )

    def rows(self, *columns: str) -> Iterator[tuple[int, str, str, str]]:
        """Of each line its number, an experiment, a seed, and another cell, by their columns."""
        if twice := [name for name in columns if self.names.count(name) > 1]:
            raise UserError(
                f"{self.shown}:{self._number}: the column {twice[0]} stands there twice; rename one"
            )
        places = [self.names.index(name) for name in columns]
        width = len(self.names)
        for number, cells in self._lines:
            if len(cells) != width:
                raise UserError(
                    f"{self.shown}:{number}: must have {number_of(width, 'cell')} as the first "
                    f"line has, received {len(cells)}"
                )
            experiment, seed, text = (cells[place].strip() for place in places)
            for what, cell in (("an experiment", experiment), ("a seed", seed)):
                if not cell:
                    raise UserError(
                        f"{self.shown}:{number}: must name {what}, received an empty cell"
                    )
            yield number, experiment, seed, text


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    shown = printable(str(path))
    try:
        content = content_of(path, _LARGEST_FILE)
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = content.decode(encoding)
    except DamageError as damage:
        raise UserError(f"{shown} must be a CSV file: {damage}.") from damage
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


def _value(cell: str, where: str) -> float | None:
    """The number; None for one that is not finite, or that is not there."""
    text = cell.replace("−", "-")
    if "," in text and "." not in text:  # a decimal comma
        text = text.replace(",", ".")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"{where} must be a number, received: {cell}") from None
    return value if math.isfinite(value) else None


def _received(names: Sequence[str], wanted: str = "") -> str:
    return f", received: {', '.join(names) or 'no columns'}.{did_you_mean(wanted, names)}"
