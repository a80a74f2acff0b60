"""Mean and spread of one experiment's values, one for each seed."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """One measure of one experiment.

    Without a mean where a value is missing: that over the other seeds would be of another
    experiment.
    """

    values: tuple[float | None, ...]  # by seed; None where a run has no finite value
    mean: float | None
    spread: float | None  # sample standard deviation (n - 1); None for fewer than two seeds


def summarise(values: Sequence[float | None]) -> Summary:
    """Mean and sample standard deviation, neither of which is made up.

    >>> summarise([1.0, 3.0])
    Summary(values=(1.0, 3.0), mean=2.0, spread=1.4142135623730951)
    >>> summarise([1.0]).spread, summarise([1.0, None]).mean
    (None, None)
    """
    present = [value for value in values if value is not None]
    if not present or len(present) < len(values):
        return Summary(tuple(values), None, None)
    spread = statistics.stdev(present) if len(present) > 1 else None
    return Summary(tuple(values), statistics.fmean(present), spread)
