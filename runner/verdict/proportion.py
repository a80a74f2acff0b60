"""How much a share of so many photos says: its interval over photos, its scatter over seeds."""

import math
from typing import NamedTuple

LEVEL = 0.95


class Estimate(NamedTuple):
    """A value with its 95 % interval over photos, which says nothing of other seeds."""

    value: float
    low: float
    high: float


def proportion(successes: int, total: int) -> Estimate:
    """A share with the interval of Clopper and Pearson, by quantiles of the beta distribution.

    Wilson's, which is narrower, holds the true share only 84 times in 100 where fewer than one
    mistake is expected, and that is where good networks are.
    """
    from scipy.special import betaincinv

    if not 0 <= successes <= total or total < 1:
        raise ValueError(
            f"successes must be 0 to total and total at least 1, received: {successes}, {total}"
        )
    tail, failures = (1 - LEVEL) / 2, total - successes
    return Estimate(
        successes / total,
        float(betaincinv(successes, failures + 1, tail)) if successes else 0.0,
        float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0,
    )


def scatter_over_seeds(error: float, photos: int) -> float:
    """The least that accuracies scatter of runs that differ in the seed alone: sqrt(e / (2 n)).

    That much follows from a finite test set, where a share e of n photos is told wrong (Jordan
    2023, "Calibrated chaos", arXiv 2304.01910).

    >>> scatter_over_seeds(0.1, 2000)
    0.005
    """
    return math.sqrt(error / (2 * photos))
