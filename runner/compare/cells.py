"""Numbers as the text of a table: one unit and one number of decimals for each column."""

from collections.abc import Sequence
from dataclasses import dataclass

from optrun.runner.compare.comparison import Group, Row, Summary
from optrun.runner.compare.metrics import MEASURES, Measure

MISSING = "–"
_MOST_EXTRA_DECIMALS = 3
_WIDEST_FIXED = 1e9  # from here on a number is written with an exponent

_TIME_UNITS = ((3600.0, "h", 2), (60.0, "min", 1), (0.0, "s", 1))


@dataclass(frozen=True)
class Cell:
    """A mean and, where there is one, its spread."""

    mean: str
    spread: str | None


@dataclass(frozen=True)
class Column:
    """A measure over all rows of a group.

    Attributes:
        header: Three lines: what, of what, and the unit with an arrow to the better side.
        cells: In the order of the rows.
    """

    measure: Measure
    header: tuple[str, str, str]
    cells: tuple[Cell, ...]


def columns(group: Group) -> list[Column]:
    """Every measure of a group, ready to be laid out."""
    return [_column(measure, group.rows) for measure in MEASURES]


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds as ranges.

    >>> seeds_text([1, 2, 3, 5, 8, 9])
    '1-3, 5, 8-9'
    """
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)


def outcome_text(row: Row) -> str:
    """How many of a row's seeds diverged; empty where none did."""
    if not row.diverged:
        return ""
    total = len(row.runs) + len(row.diverged)
    seeds = seeds_text([run.seed for run in row.diverged])
    return f"{len(row.diverged)} of {total} diverged (seed {seeds})"


def _column(measure: Measure, rows: Sequence[Row]) -> Column:
    summaries = [row.summaries[measure.key] for row in rows]
    scale, unit, decimals = _scale(measure, summaries)
    decimals = _enough_decimals(decimals, scale, summaries)
    # A count that no seed changes, such as gradient evaluations, reads better bare.
    varies = any(summary.spread for summary in summaries)
    arrow = {"higher": "↑", "lower": "↓", None: ""}[measure.better]
    header = (*measure.title, " ".join(part for part in (unit, arrow) if part))
    return Column(
        measure,
        header,
        tuple(
            Cell(
                _number(summary.mean, scale, decimals),
                _spread(summary, scale, decimals) if varies else None,
            )
            for summary in summaries
        ),
    )


def _scale(measure: Measure, summaries: Sequence[Summary]) -> tuple[float, str, int]:
    """What to multiply by, the unit that gives, and its decimals."""
    if measure.percent:
        return 100.0, "points" if measure.family == "gap" else "%", measure.decimals
    if measure.key == "training_seconds":
        longest = max((summary.mean or 0.0 for summary in summaries), default=0.0)
        seconds, unit, decimals = next(item for item in _TIME_UNITS if longest >= 2 * item[0])
        return 1 / (seconds or 1.0), unit, decimals
    return 1.0, "", measure.decimals


def _enough_decimals(decimals: int, scale: float, summaries: Sequence[Summary]) -> int:
    """More decimals where a spread would otherwise read as the zero that it is not."""
    spreads = [summary.spread * scale for summary in summaries if summary.spread]
    for enough in range(decimals, decimals + _MOST_EXTRA_DECIMALS):
        if all(round(spread, enough) > 0 for spread in spreads):
            return enough
    return decimals + _MOST_EXTRA_DECIMALS if spreads else decimals


def _number(value: float | None, scale: float, decimals: int) -> str:
    if value is None:
        return MISSING
    value *= scale
    if abs(value) >= _WIDEST_FIXED:
        return f"{value:.2e}"
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "−")


def _spread(summary: Summary, scale: float, decimals: int) -> str | None:
    return None if summary.spread is None else f"± {_number(summary.spread, scale, decimals)}"
