"""Numbers from logits and labels: intervals, calibration, and how sure a probability may be.

All functions take logits, so that no probability is ever rounded to 0 or 1, and depend on their
arguments alone. Labels are 0 and 1; the probability is that of label 1.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from optrun.runner.engine.scores import score, sigmoid
from optrun.runner.verdict.proportion import Estimate

_Z = 1.959963984540054  # standard normal quantile of (1 + LEVEL) / 2
_MOST_BINS, _PHOTOS_PER_BIN = 15, 20
_DRAWS, _NUMBERS_AT_ONCE = 1000, 4_000_000
_PRIOR_COUNT = 0.5  # mistakes, and right answers, added to what photos show: `choose_clipping`
_ORDER_KEPT = 1e-4  # of the order beyond the limit, as a share of the limit: `clipped`

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]


def mean(values: Floats) -> Estimate:
    """A mean of numbers >= 0 with Hall's interval, which allows for skewness; of one, infinite.

    Losses are skewed: the usual interval, mean ± 1.96 s / √n, is too low far too often. Hall turns
    T = √n (mean - μ) / s, with g the skewness of the sample, into

        T + g T² / (3 √n) + g² T³ / (27 n) + g / (6 √n),

    which is nearer to a standard normal variable and is monotone, so that it can be solved for μ
    at ±1.96 (J. R. Statist. Soc. B 54, 1992).
    """
    count = len(values)
    centre = float(np.mean(values))
    if count < 2:
        return Estimate(centre, 0.0, math.inf)
    deviation = float(np.std(values, ddof=1))
    if deviation == 0:
        return Estimate(centre, centre, centre)
    skewness = float(np.mean((values - centre) ** 3) / np.std(values) ** 3)
    root = math.sqrt(count)

    def studentised(quantile: float) -> float:
        """T at which Hall's polynomial, a cube of a linear term, has this value."""
        shifted = quantile - skewness / (6 * root)
        if abs(skewness) < 1e-6:  # the limit, where the formula is 0 / 0
            return shifted
        return 3 * root / skewness * (math.cbrt(1 + skewness / root * shifted) - 1)

    error = deviation / root
    low, high = centre - studentised(_Z) * error, centre - studentised(-_Z) * error
    return Estimate(centre, max(0.0, min(low, centre)), max(high, centre))


def roc_auc(logits: Floats, labels: Labels) -> Estimate | None:
    """ROC AUC with an interval; a tie counts half. None where one class is missing.

    The interval joins two, each too narrow in places:

    - DeLong's standard error (Biometrics 44, 1988) on the scale of log(AUC / (1 - AUC)), which
      suits logits of any shape, but not an AUC near 1, of which the sample shows too little.
    - Newcombe's method 5 (Statistics in Medicine 25, 2006): the values θ with |AUC - θ| at most
      1.96 standard errors, these by Hanley and McNeil (Radiology 143, 1982) for a true value of θ.
      It suits an AUC of 1, and is too narrow where a few photos are far out of order.
    """
    upper, lower = logits[labels == 1], logits[labels == 0]
    m, n = len(upper), len(lower)
    if not (m and n):
        return None
    below, above = placements(upper, lower)
    auc = float(np.mean(below))
    # The variance is the same for θ and 1 - θ, and so the upper end is a lower end mirrored.
    low, high = _score_low(auc, m, n), 1 - _score_low(1 - auc, m, n)
    if 0 < auc < 1 and m > 1 and n > 1:
        variance = float(np.var(below, ddof=1) / m + np.var(above, ddof=1) / n)
        # d/dA log(A / (1 - A)) = 1 / (A (1 - A))
        error = math.sqrt(variance) / (auc * (1 - auc))
        ends = sigmoid(math.log(auc / (1 - auc)) + _Z * error * np.array([-1.0, 1.0]))
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    return Estimate(auc, low, high)


def placements(upper: Floats, lower: Floats) -> tuple[Floats, Floats]:
    """DeLong's components: of each `upper` the share of `lower` below, a tie half; the reverse."""

    def share_below(values: Floats, others: Floats) -> Floats:
        ranked = np.sort(others)
        left, right = (np.searchsorted(ranked, values, side) for side in ("left", "right"))
        return np.asarray((left + right) / (2 * len(others)), np.float64)

    return share_below(upper, lower), 1 - share_below(lower, upper)


def _score_low(auc: float, m: int, n: int) -> float:
    """The lower root θ of (AUC - θ)² = 1.96² V(θ), V Hanley and McNeil's variance."""

    def is_below(theta: float) -> bool:
        # Both class sizes are replaced by their mean but in the divisor.
        spread = (1 - theta) / (2 - theta) + theta / (1 + theta)
        variance = theta * (1 - theta) * (1 + ((m + n) / 2 - 1) * spread) / (m * n)
        return auc - theta > _Z * math.sqrt(variance)

    return _bisected(is_below, 0.0, auc)


def losses(logits: Floats, labels: Labels) -> Floats:
    """Each photo's log loss, log(1 + exp(-z)) for label 1 and log(1 + exp(z)) for label 0."""
    return np.asarray(np.logaddexp(0, np.where(np.asarray(labels) == 1, -logits, logits)))


class Calibration(NamedTuple):
    """How probabilities and shares agree; see `calibration`."""

    brier_score: float  # mean of (p - label)²
    mean_confidence: float  # mean probability of the answers, the larger of p and 1 - p
    calibration_error: float  # expected calibration error, 0 to 1
    calibration_error_by_chance: float  # its mean if the probabilities were right
    calibration_error_by_chance_95: float  # what it would then stay below in 95 of 100 samples
    # In the order of the probabilities: how many photos, their mean probability, share of label 1.
    calibration_bins: list[dict[str, float]]


def calibration(logits: Floats, labels: Labels) -> Calibration:
    """Compares probabilities of label 1 with its shares, bin by bin: 90 % should mean 90 in 100.

    The expected calibration error (Naeini, Cooper & Hauskrecht, AAAI 2015) is the mean over photos
    of |share of label 1 - mean probability| in their bins, of equally many photos by rising logit:
    15, or fewer where a bin would have fewer than 20. Bins of equal width would leave all but the
    outer two nearly empty. Of the answer's probability instead, too high for one class and too low
    for the other would cancel out. Shares of few photos scatter, so that the error is above 0
    however right the probabilities are: how far, labels drawn from them tell, with a fixed seed.
    """
    order = np.argsort(logits, kind="stable")
    ascending, probability = logits[order], sigmoid(logits[order])
    # Equal logits share a bin, so that the order in which the photos came does not matter.
    count = max(1, min(_MOST_BINS, len(ascending) // _PHOTOS_PER_BIN))
    places = np.arange(count) * len(ascending) // count
    starts = np.unique(np.searchsorted(ascending, ascending[places], "left"))
    positive = np.asarray(labels)[order] == 1
    sizes = np.diff([*starts, len(logits)])
    expected = np.add.reduceat(probability, starts)
    observed = np.add.reduceat(positive.astype(np.float64), starts)
    random, by_chance = np.random.default_rng(0), []
    at_once = max(1, min(_DRAWS, _NUMBERS_AT_ONCE // len(probability)))
    for first in range(0, _DRAWS, at_once):
        shape = (min(at_once, _DRAWS - first), len(probability))
        drawn = (random.random(shape, np.float32) < probability).astype(np.float32)
        shares = np.add.reduceat(drawn, starts, axis=1)
        by_chance.append(np.sum(np.abs(shares - expected), axis=1) / len(probability))
    errors_by_chance = np.concatenate(by_chance)
    return Calibration(
        brier_score=float(np.mean((probability - positive) ** 2)),
        mean_confidence=float(np.mean(sigmoid(np.abs(logits)))),
        calibration_error=float(np.sum(np.abs(observed - expected)) / len(logits)),
        calibration_error_by_chance=float(np.mean(errors_by_chance)),
        calibration_error_by_chance_95=float(np.quantile(errors_by_chance, 0.95)),
        calibration_bins=[
            {"photos": int(size), "probability": float(p / size), "share": float(k / size)}
            for size, p, k in zip(sizes, expected, observed, strict=True)
        ],
    )


def temperature(logits: Floats, labels: Labels) -> float | None:
    """The T by which logits must be divided for the lowest log loss (Guo et al. 2017), if any.

    The mean loss is convex in β = 1 / T; its derivative, mean((σ(β z) - label) z), has no zero
    where every photo is told right, or the logits are no better than their opposite.
    """
    y = np.asarray(labels, np.float64)

    def slope(log_beta: float) -> float:
        return float(np.mean((sigmoid(math.exp(log_beta) * logits) - y) * logits))

    lowest, highest = math.log(1e-4), math.log(1e4)
    if slope(lowest) >= 0 or slope(highest) <= 0:
        return None
    return math.exp(-_bisected(lambda log_beta: slope(log_beta) < 0, lowest, highest))


def _bisected(is_below: Callable[[float], bool], low: float, high: float) -> float:
    """The value between `low` and `high` up to which `is_below` holds, by bisection."""
    for _ in range(100):
        middle = (low + high) / 2
        if is_below(middle):
            low = middle
        else:
            high = middle
    return low


class Clipping(NamedTuple):
    """To which limits probabilities are clipped, and the validation photos that chose them."""

    limit: float  # c, above 0 and at most 0.5: probabilities are kept within [c, 1 - c]
    photos: int
    beyond: int  # how many of them lie beyond it
    wrong_beyond: int  # how many of those it is wrong about
    log_loss_before: float
    log_loss_after: float


def choose_clipping(logits: npt.NDArray[np.floating], labels: Labels) -> Clipping:
    """The limit with the lowest log loss on validation photos, but no surer than they can show.

    Let u be the probability that the network gives to the class it decides against, and k the
    mistakes among the j photos with u < c. Their log loss is then -k log c - (j - k) log(1-c), and
    that of all others does not depend on c, so that between two values of u the best limit is
    c = k/j. All intervals are tried, so the minimum is exact.

    Without a mistake among the surest photos that would be c = 0, and the first one among the test
    photos would cost without bound. So the limit is at least what half a mistake more and half a
    right answer more would make of n photos that are all right, c >= (0 + 1/2) / (n + 1): nearly
    the best in the worst case (0.509 is; Krichevskiy, IEEE Trans. Inf. Theory 44, 1998).
    """
    z = np.asarray(logits, np.float64)
    positive = np.asarray(labels) == 1
    if z.shape != positive.shape or z.ndim != 1 or len(z) == 0 or not np.isfinite(z).all():
        raise ValueError("logits must be finite numbers, one for each of at least one label")
    order = np.argsort(-np.abs(z), kind="stable")
    sure = np.abs(z)[order]
    wrong = ((z > 0) != positive)[order]
    # The loss of a photo left as it is: -log u where it is wrong, -log(1 - u) where it is right.
    unclipped = np.where(wrong, np.logaddexp(0, sure), np.logaddexp(0, -sure))
    clipped_count = np.arange(len(z) + 1)  # j = 0 ... n, the surest first
    mistakes = np.concatenate([[0], np.cumsum(wrong)])
    others = np.concatenate([np.cumsum(unclipped[::-1])[::-1], [0.0]])
    against = sigmoid(-sure)  # u, ascending
    lowest, highest = np.concatenate([[0.0], against]), np.concatenate([against, [0.5]])
    lowest = np.maximum(lowest, _PRIOR_COUNT / (len(z) + 2 * _PRIOR_COUNT))
    limits = np.clip(mistakes / np.maximum(clipped_count, 1), lowest, np.maximum(highest, lowest))
    totals = others - mistakes * np.log(limits) - (clipped_count - mistakes) * np.log1p(-limits)
    totals[highest < lowest] = np.inf  # surer than allowed
    best = int(np.argmin(totals))
    limit = float(limits[best])
    after = clipped(sigmoid(z), limit)
    return Clipping(
        limit=limit,
        photos=len(z),
        beyond=best,
        wrong_beyond=int(mistakes[best]),
        log_loss_before=score(z, positive.astype(np.uint8)).log_loss,
        log_loss_after=float(-np.mean(np.log(np.where(positive, after, 1 - after)))),
    )


def clipped(probabilities: Floats, limit: float) -> Floats:
    """The probabilities within [limit, 1 - limit], in the order that they had, as ROC AUC judges.

    For that a ten-thousandth of a straight line from limit to 1 - limit is mixed in.
    """
    line = limit + (1 - 2 * limit) * probabilities
    kept = np.clip(probabilities, limit, 1 - limit)
    # Rounding must not lead beyond the limit.
    return np.clip((1 - _ORDER_KEPT) * kept + _ORDER_KEPT * line, limit, 1 - limit)
