"""Mean and spread of one experiment's values, one for each seed."""

import math
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
    return Summary(tuple(values), statistics.fmean(present), standard_deviation(present))


def standard_deviation(values: Sequence[float]) -> float | None:
    """That of a sample, sqrt(sum (x - mean)^2 / (n - 1)); 0 exactly where all are equal.

    `statistics.stdev` computes in fractions, which of thousands of runs takes seconds.
    """
    if len(values) < 2:
        return None
    shifted = [value - values[0] for value in values]
    mean = math.fsum(shifted) / len(shifted)
    return math.sqrt(math.fsum((one - mean) ** 2 for one in shifted) / (len(shifted) - 1))
