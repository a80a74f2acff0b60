"""Whether a network's probabilities are what they say: of all photos said to be 90 % dog, 90 % are.

All functions take logits, so that no probability is ever rounded to 0 or 1.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST_BINS = 15
_PHOTOS_PER_BIN = 20
_DRAWS = 1000
_NUMBERS_AT_ONCE = 4_000_000

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Bin:
    """Photos with similar probabilities.

    Attributes:
        photos: How many.
        probability: Their mean probability of dog.
        share: The share of dogs among them.
    """

    photos: int
    probability: float
    share: float


@dataclass(frozen=True)
class Calibration:
    """How probabilities and shares of dogs agree.

    Attributes:
        error: Expected calibration error, 0 to 1.
        error_by_chance: What it would be on average if the probabilities were right.
        error_by_chance_95: What it would stay below in 95 of 100 samples if they were right.
        confidence: Mean probability of the answers, the larger of p and 1 - p.
        brier: Mean of (p - label)².
        bins: What the error is made of, in the order of the probabilities.
    """

    error: float
    error_by_chance: float
    error_by_chance_95: float
    confidence: float
    brier: float
    bins: tuple[Bin, ...]


def calibration(logits: Floats, labels: Labels) -> Calibration:
    """Compares probabilities of dog with shares of dogs, bin by bin.

    The expected calibration error (Naeini, Cooper & Hauskrecht 2015) is

        ECE = Σ over bins b of  n_b / n · |share of dogs in b - mean probability of dog in b|

    over bins of equally many photos by rising logit: 15, or fewer where a bin would have fewer than
    20. Bins of equal width, as in Guo et al. 2017, would leave all but the outer two nearly empty.
    The probability is that of dog, not of the answer: too high for dogs and too low for cats is
    wrong twice here and would cancel out there.

    The error is above 0 on a finite sample however right the probabilities are, since shares of
    few photos scatter. How far above is computed by drawing labels from the network's own
    probabilities, 1,000 times with a fixed seed (Bröcker & Smith 2007).

    Args:
        logits: float64 [n], finite, n at least 1.
        labels: int [n], 0 cat, 1 dog.

    Source: Naeini, Cooper & Hauskrecht, AAAI 2015; Guo, Pleiss, Sun & Weinberger, ICML 2017;
        Bröcker & Smith, Increasing the reliability of reliability diagrams, Weather and
        Forecasting 22, 2007.
    """
    order = np.argsort(logits, kind="stable")
    starts = bin_starts(logits[order])
    probability = sigmoid(logits[order])
    dogs = np.asarray(labels)[order] == 1
    sizes = np.diff([*starts, len(logits)])
    expected = np.add.reduceat(probability, starts)
    observed = np.add.reduceat(dogs.astype(np.float64), starts)
    by_chance = _errors_by_chance(probability, starts, expected)
    return Calibration(
        error=float(np.sum(np.abs(observed - expected)) / len(logits)),
        error_by_chance=float(np.mean(by_chance)),
        error_by_chance_95=float(np.quantile(by_chance, 0.95)),
        confidence=float(np.mean(sigmoid(np.abs(logits)))),
        brier=float(np.mean((probability - dogs) ** 2)),
        bins=tuple(
            Bin(int(size), float(p / size), float(k / size))
            for size, p, k in zip(sizes, expected, observed, strict=True)
        ),
    )


def bin_starts(ascending: Floats) -> npt.NDArray[np.int64]:
    """The first position of each bin of equally many photos; equal logits share a bin.

    So the bins do not depend on the order in which the photos came.

    Example:
        >>> bin_starts(np.arange(60.0))
        array([ 0, 20, 40])
        >>> bin_starts(np.zeros(60))
        array([0])
    """
    count = max(1, min(MOST_BINS, len(ascending) // _PHOTOS_PER_BIN))
    places = np.arange(count) * len(ascending) // count
    return np.unique(np.searchsorted(ascending, ascending[places], "left"))


def temperature(logits: Floats, labels: Labels) -> float | None:
    """The T by which logits must be divided for the lowest log loss (Guo et al. 2017).

    Above 1 the network is surer than it may be. The mean loss is convex in β = 1 / T, with the
    derivative mean((σ(β z) - label) z), whose zero is found by bisection.

    Returns:
        None where there is no such T: every photo is told right, and the loss falls for ever as T
        goes to 0, or the logits are no better than their opposite.

    Example:
        >>> round(temperature(np.array([8.0, 8, 8, 8, -8, -8, -8, -8]),
        ...                   np.array([1, 1, 1, 0, 0, 0, 0, 1])), 3)  # log 3 = 1.099 = 8 / T
        7.282
    """
    y = np.asarray(labels, np.float64)

    def slope(beta: float) -> float:
        return float(np.mean((sigmoid(beta * logits) - y) * logits))

    lowest, highest = math.log(1e-4), math.log(1e4)
    if slope(math.exp(lowest)) >= 0 or slope(math.exp(highest)) <= 0:
        return None
    for _ in range(60):
        middle = (lowest + highest) / 2
        if slope(math.exp(middle)) < 0:
            lowest = middle
        else:
            highest = middle
    return math.exp(-(lowest + highest) / 2)


def losses(logits: Floats, labels: Labels) -> Floats:
    """Each photo's log loss, log(1 + exp(-z)) for a dog and log(1 + exp(z)) for a cat.

    Example:
        >>> losses(np.array([1000.0, 0.0]), np.array([0, 1]))
        array([1.00000000e+03, 6.93147181e-01])
    """
    return np.asarray(np.logaddexp(0, np.where(np.asarray(labels) == 1, -logits, logits)))


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-z)) without overflow."""
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1, small) / (1 + small))


def _errors_by_chance(
    probability: Floats, starts: npt.NDArray[np.int64], expected: Floats
) -> Floats:
    """The calibration error of 1,000 samples whose labels are drawn from the probabilities."""
    random = np.random.default_rng(0)
    at_once = max(1, min(_DRAWS, _NUMBERS_AT_ONCE // len(probability)))
    found = []
    for first in range(0, _DRAWS, at_once):
        shape = (min(at_once, _DRAWS - first), len(probability))
        drawn = (random.random(shape, np.float32) < probability).astype(np.float32)
        observed = np.add.reduceat(drawn, starts, axis=1)
        found.append(np.sum(np.abs(observed - expected), axis=1) / len(probability))
    return np.concatenate(found)
