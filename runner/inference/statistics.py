"""Numbers from logits and labels: intervals, calibration, and how sure a probability may be.

All functions take logits, so that no probability is ever rounded to 0 or 1, and depend on their
arguments alone. Labels are 0 and 1; the probability is that of label 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from optrun.runner.engine.scores import score, sigmoid

LEVEL = 0.95
_Z = 1.959963984540054  # standard normal quantile of (1 + LEVEL) / 2

MOST_BINS = 15
_PHOTOS_PER_BIN = 20
_DRAWS = 1000
_NUMBERS_AT_ONCE = 4_000_000

# Mistakes, and right answers, that are added to what the photos show; see `choose_clipping`.
_PRIOR_COUNT = 0.5
# How much of the order beyond the limit is kept, as a share of the limit; see `clipped`.
_ORDER_KEPT = 1e-4

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its 95 % interval over photos; `low <= value <= high`.

    Were the same network shown many samples of as many photos of the same kind, about 95 of 100
    such intervals would hold the value over all photos. None says anything about networks trained
    with other seeds.
    """

    value: float
    low: float
    high: float


def proportion(successes: int, total: int) -> Estimate:
    """A share with the interval of Clopper and Pearson (1934).

    The ends are the shares p at which as many successes as observed, or more, and as many, or
    fewer, have a probability of 2.5 % each:

        low  = B⁻¹(0.025; k, n - k + 1),    high = B⁻¹(0.975; k + 1, n - k)

    with B⁻¹ the quantile of the beta distribution. It is the one of the common intervals that
    holds the true share at least 95 times in 100 for every share and sample size. Wilson's, which
    is narrower, sinks to 84 where fewer than one mistake is expected, and that is where good
    networks are.

    Args:
        successes: k, 0 <= k <= n.
        total: n, at least 1.

    Example:
        >>> proportion(150, 150)
        Estimate(value=1.0, low=0.975..., high=1.0)
    """
    from scipy.special import betaincinv

    if not 0 <= successes <= total or total < 1:
        raise ValueError(
            f"successes must be 0 to total and total at least 1, received: {successes}, {total}"
        )
    tail = (1 - LEVEL) / 2
    failures = total - successes
    return Estimate(
        successes / total,
        float(betaincinv(successes, failures + 1, tail)) if successes else 0.0,
        float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0,
    )


def mean(values: Floats) -> Estimate:
    """A mean with Hall's interval, which allows for skewness.

    The loss of most photos is near 0 and that of a few is large, and the usual interval, mean ±
    1.96 s / √n, misses the true mean on the low side far more often than it should. Hall turns
    T = √n (mean - μ) / s, with g the skewness of the sample, into

        T + g T² / (3 √n) + g² T³ / (27 n) + g / (6 √n),

    which is nearer to a standard normal variable and is monotone, so that it can be solved for μ
    at ±1.96. In simulations of losses it holds the true mean as often as the bootstrap-t, and more
    often than the percentile and BCa bootstraps, without drawing anything. No interval can allow
    for mistakes so rare that the sample holds none.

    Args:
        values: float64 [n], n at least 1, none negative. Of a single value nothing is known: its
            interval is infinitely wide on the upper side.

    Source: Hall, On the removal of skewness by transformation, J. R. Statist. Soc. B 54, 1992.
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

    The interval reaches from the lower of two lower ends to the higher of two upper ends:

    - DeLong's standard error on the scale of log(AUC / (1 - AUC)), which keeps to [0, 1] and suits
      whatever shape the logits have. It is too narrow where next to no photo is out of order, as
      the sample then shows too little of what makes the AUC vary, and it fails at an AUC of 1.
    - Newcombe's method 5, a score interval as Wilson's: the values θ with |AUC - θ| at most 1.96
      standard errors, these from Hanley and McNeil's formula for a true value of θ. It has a
      sensible lower end at an AUC of 1, and is too narrow where a few photos are far out of order.

    In simulations (normal logits of equal and unequal spread, with up to 3 % of difficult or
    mislabelled photos; 30 to 600 photos a class; AUC 0.7 to 0.9996) either sinks below 92 in 100
    in places, DeLong's to 74; together they hold the true value 93 to 99 times.

    Args:
        logits: float [n], finite.
        labels: int [n], 0 or 1.

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 44, 1988; Newcombe, Confidence intervals
        for an effect size measure based on the Mann-Whitney statistic, part 2, Statistics in
        Medicine 25, 2006; Hanley & McNeil, Radiology 143, 1982.
    """
    upper, lower = logits[labels == 1], logits[labels == 0]
    m, n = len(upper), len(lower)
    if m == 0 or n == 0:
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
    """DeLong's structural components: each photo's place among those of the other class.

    Returns:
        For each of `upper` the share of `lower` below it, and for each of `lower` the share of
        `upper` above it; a tie counts half. The mean of either is the AUC.

    Example:
        >>> placements(np.array([2.0, 0.5]), np.array([-1.0, 0.5]))
        (array([1.  , 0.75]), array([1.  , 0.75]))
    """

    def share_below(values: Floats, others: Floats) -> Floats:
        ranked = np.sort(others)
        left, right = (np.searchsorted(ranked, values, side) for side in ("left", "right"))
        return np.asarray((left + right) / (2 * len(others)), np.float64)

    return share_below(upper, lower), 1 - share_below(lower, upper)


def _score_low(auc: float, m: int, n: int) -> float:
    """The lower root θ of (AUC - θ)² = 1.96² V(θ).

    V is Hanley and McNeil's variance, both class sizes replaced by their mean N but in the divisor:

        V(θ) = θ (1 - θ) [1 + (N - 1) ((1 - θ) / (2 - θ) + θ / (1 + θ))] / (m n)
    """

    def is_below(theta: float) -> bool:
        spread = (1 - theta) / (2 - theta) + theta / (1 + theta)
        variance = theta * (1 - theta) * (1 + ((m + n) / 2 - 1) * spread) / (m * n)
        return auc - theta > _Z * math.sqrt(variance)

    return _bisected(is_below, 0.0, auc)


def losses(logits: Floats, labels: Labels) -> Floats:
    """Each photo's log loss, log(1 + exp(-z)) for label 1 and log(1 + exp(z)) for label 0.

    Example:
        >>> losses(np.array([1000.0, 0.0]), np.array([0, 1]))
        array([1.00000000e+03, 6.93147181e-01])
    """
    return np.asarray(np.logaddexp(0, np.where(np.asarray(labels) == 1, -logits, logits)))


@dataclass(frozen=True)
class Bin:
    """Photos with similar probabilities: how many, their mean probability, the share of label 1."""

    photos: int
    probability: float
    share: float


@dataclass(frozen=True)
class Calibration:
    """How probabilities and shares agree.

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
    """Compares probabilities of label 1 with its shares, bin by bin: 90 % should mean 90 in 100.

    The expected calibration error (Naeini, Cooper & Hauskrecht 2015) is

        ECE = Σ over bins b of  n_b / n · |share of label 1 in b - mean probability in b|

    over bins of equally many photos by rising logit: 15, or fewer where a bin would have fewer than
    20. Bins of equal width, as in Guo et al. 2017, would leave all but the outer two nearly empty.
    The probability is that of label 1, not of the answer: too high for one class and too low for
    the other is wrong twice here and would cancel out there.

    The error is above 0 on a finite sample however right the probabilities are, since shares of
    few photos scatter. How far above is computed by drawing labels from the network's own
    probabilities, 1,000 times with a fixed seed (Bröcker & Smith 2007).

    Args:
        logits: float64 [n], finite, n at least 1.
        labels: int [n], 0 or 1.

    Source: Naeini, Cooper & Hauskrecht, AAAI 2015; Guo, Pleiss, Sun & Weinberger, ICML 2017;
        Bröcker & Smith, Increasing the reliability of reliability diagrams, Weather and
        Forecasting 22, 2007.
    """
    order = np.argsort(logits, kind="stable")
    starts = bin_starts(logits[order])
    probability = sigmoid(logits[order])
    positive = np.asarray(labels)[order] == 1
    sizes = np.diff([*starts, len(logits)])
    expected = np.add.reduceat(probability, starts)
    observed = np.add.reduceat(positive.astype(np.float64), starts)
    by_chance = _errors_by_chance(probability, starts, expected)
    return Calibration(
        error=float(np.sum(np.abs(observed - expected)) / len(logits)),
        error_by_chance=float(np.mean(by_chance)),
        error_by_chance_95=float(np.quantile(by_chance, 0.95)),
        confidence=float(np.mean(sigmoid(np.abs(logits)))),
        brier=float(np.mean((probability - positive) ** 2)),
        bins=tuple(
            Bin(int(size), float(p / size), float(k / size))
            for size, p, k in zip(sizes, expected, observed, strict=True)
        ),
    )


def bin_starts(ascending: Floats) -> npt.NDArray[np.int64]:
    """The first position of each bin of equally many photos; equal logits share a bin.

    So the bins do not depend on the order in which the photos came.

    Example:
        >>> bin_starts(np.arange(60.0)), bin_starts(np.zeros(60))
        (array([ 0, 20, 40]), array([0]))
    """
    count = max(1, min(MOST_BINS, len(ascending) // _PHOTOS_PER_BIN))
    places = np.arange(count) * len(ascending) // count
    return np.unique(np.searchsorted(ascending, ascending[places], "left"))


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


@dataclass(frozen=True)
class Clipping:
    """To which limits probabilities are clipped, and what that rests on.

    Attributes:
        limit: c, above 0 and at most 0.5: probabilities are kept within [c, 1 - c].
        photos: How many validation photos chose it.
        beyond: How many of them lie beyond it, so sure was the network.
        wrong_beyond: How many of those it is wrong about.
        log_loss_before: Of the validation photos, as the network has it.
        log_loss_after: Of the validation photos, clipped.
    """

    limit: float
    photos: int
    beyond: int
    wrong_beyond: int
    log_loss_before: float
    log_loss_after: float


def choose_clipping(logits: npt.NDArray[np.floating], labels: Labels) -> Clipping:
    """The limit with the lowest log loss on validation photos, but no surer than they can show.

    A single mistake at 10⁻⁹ costs as much as thirty photos at even odds, and networks are surer
    than they are right. Let u be the probability that the network gives to the class it decides
    against. Of the j photos with u < c let k be those it is wrong about. Their log loss is then
    -k log c - (j - k) log(1-c), and that of all others does not depend on c, so that between two
    values of u the best limit is c = k/j: the error rate among the photos that are clipped. All
    intervals are tried, so the minimum is exact.

    Without a mistake among the surest photos that would be c = 0, and the first such mistake among
    the test photos would cost without bound. But n photos do not show that mistakes are rarer than
    about one in n, so the limit is at least what half a mistake more and half a right answer more
    would make of n photos that are all right,

        c >= (0 + 1/2) / (n + 1).

    One half, because of all constants that can be added it gives all but the lowest log loss to be
    expected in the worst case, whatever the true rate (0.509 is the best; Krichevskiy, "Laplace's
    law of succession and universal encoding", IEEE Transactions on Information Theory 44, 1998).

    Args:
        logits: float [n], finite, n >= 1.
        labels: int [n], 0 or 1.

    Example:
        >>> sure_and_right = choose_clipping(np.full(99, 20.0), np.ones(99, np.uint8))
        >>> round(sure_and_right.limit, 9)  # half a mistake in a hundred
        0.005
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
    """The probabilities within [limit, 1 - limit], in the order that they had.

    Plain clipping makes all photos beyond the limit equal, and a submission may also be judged by
    its order (ROC AUC). So a ten-thousandth of a straight line from `limit` to `1 - limit` is mixed
    in. It moves no probability by more than `limit` / 10,000.

    Example:
        >>> clipped(np.array([0.0, 0.5, 1.0]), 0.01)
        array([0.01, 0.5 , 0.99])
    """
    line = limit + (1 - 2 * limit) * probabilities
    kept = np.clip(probabilities, limit, 1 - limit)
    # Rounding must not lead beyond the limit.
    return np.clip((1 - _ORDER_KEPT) * kept + _ORDER_KEPT * line, limit, 1 - limit)
