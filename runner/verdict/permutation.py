"""Two samples set against each other by rearranging them: p-values, and the intervals that agree.

Nothing is assumed of how the numbers are distributed but that, if the two do not differ, what was
rearranged might as well have been seen: a pair's two values exchanged (`paired`), or all values
dealt out anew (`unpaired`).
"""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

MOST_EXACT_PAIRS = 20  # of which all rearrangements are looked at
_MOST_EXACT = 2**18
_FIXED = 99_999  # rearrangements beyond that: always the same, the observed one among them
_AT_ONCE = 2**22  # numbers in memory
# Sums that are 0 but for rounding are 0: whole photos make many ties.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Inversion:
    """The test of every difference δ at once.

    A rearrangement speaks for δ where the data, once δ is taken off, are no further from 0 than
    so rearranged. That is so for δ in an interval [low, high] that holds the observed difference.
    The p-value of δ is the share of rearrangements that speak for it: it falls on either side of
    the observed difference, and the δ that are not rejected are an interval, too.
    """

    difference: float  # observed: mean of the first sample minus that of the second
    low: Numbers = field(repr=False)  # [r], of each rearrangement
    high: Numbers = field(repr=False)

    def p_value(self, difference: float = 0.0) -> float:
        """How likely data as far from a difference are, or further, if that is the true one."""
        return float(np.mean((self.low <= difference) & (difference <= self.high)))

    @property
    def smallest_p_value(self) -> float:
        """What no data of this size could undercut: the share that speaks for every δ."""
        return float(np.mean(np.isinf(self.high)))

    def interval(self, alpha: float) -> tuple[float, float] | None:
        """All differences with a p-value above `alpha`; None where that is all there are.

        With r rearrangements δ is rejected where at most ⌊α r⌋ speak for it. Above the observed
        difference these are the ones with high ≥ δ: the limit is the (⌊α r⌋ + 1)-th largest high.
        """
        kept = math.floor(alpha * len(self.high) * (1 + _ROUNDING)) + 1
        low = float(np.partition(self.low, kept - 1)[kept - 1])
        high = float(-np.partition(-self.high, kept - 1)[kept - 1])
        return None if math.isinf(high) else (low, high)


def paired(differences: Sequence[float]) -> Inversion:
    """The sign-flip test of the mean of n paired differences d (Fisher 1935; Pitman 1937).

    If the two of a pair do not differ, the sign of d says nothing. A choice F of pairs to flip
    speaks for δ where |Σ_F (d - δ) - Σ_rest (d - δ)| ≥ |Σ (d - δ)|, that is, where Σ_F (d - δ) and
    Σ_rest (d - δ) have opposite signs or one is 0: where δ lies between the mean of the flipped and
    that of the others (Hartigan 1969, "Using subsample values as typical values"). To flip F or
    the rest is the same, so that the first pair is never flipped: 2**(n - 1) choices, all of them
    up to n = 20.

    Args:
        differences: n ≥ 1 finite numbers.

    >>> test = paired([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    >>> test.p_value(), test.interval(0.05)
    (0.03125, (1.0, 6.0))
    >>> paired([1.0, 2.0, 3.0]).interval(0.05) is None
    True
    """
    d = _checked(differences)
    n = len(d)
    if n <= MOST_EXACT_PAIRS:
        flipped, count = np.zeros(1), np.zeros(1)
        for one in d[1:]:
            flipped = np.concatenate([flipped, flipped + one])
            count = np.concatenate([count, count + 1])
    else:
        flipped, count = _sums_of_fixed(d)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_flipped, of_rest = flipped / count, (d.sum() - flipped) / (n - count)
    return _inversion(float(d.mean()), of_flipped, of_rest, (count == 0) | (count == n), d)


def unpaired(first: Sequence[float], second: Sequence[float]) -> Inversion:
    """The permutation test of a difference of two means (Pitman 1937).

    If the two do not differ, any n of the n + m values might have been the first sample. A choice
    that exchanges k of them, and gives the difference D', speaks for δ where |D' - c δ| ≥ |D - δ|,
    with c = 1 - k (1/n + 1/m). Squared and factorised,

        (D' - D + (1 - c) δ) (D' + D - (1 + c) δ) ≥ 0,

    which holds between δ = (D - D') / (1 - c) and δ = (D + D') / (1 + c).

    Args:
        first, second: n ≥ 1 and m ≥ 1 finite numbers.

    >>> test = unpaired([4.0, 5.0, 6.0, 7.0], [0.0, 1.0, 2.0, 3.0])
    >>> round(test.p_value() * 70)
    2
    """
    x, y = _checked(first), _checked(second)
    n, m, values = len(x), len(y), np.concatenate([x, y])
    difference = float(x.mean() - y.mean())
    if math.comb(n + m, n) <= _MOST_EXACT:
        chosen = itertools.chain.from_iterable(itertools.combinations(range(n + m), n))
        places = np.fromiter(chosen, np.intp).reshape(-1, n)
    else:
        random = np.random.default_rng(_FIXED)
        places = np.stack([random.permutation(n + m)[:n] for _ in range(_FIXED - 1)])
        places = np.concatenate([np.arange(n)[None], places])
    sums, exchanged = values[places].sum(axis=1), np.sum(places >= n, axis=1)
    others = sums / n - (values.sum() - sums) / m
    less = exchanged * (1 / n + 1 / m)  # 1 - c
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = (difference - others) / less, (difference + others) / (2 - less)
    # Where all are exchanged, n = m and D' = -D: it speaks for every δ.
    always = (exchanged == 0) | ((exchanged == n) & (n == m))
    return _inversion(difference, *ends, always, values)


def fewest_pairs(alpha: float) -> int:
    """The smallest n whose sign-flip test can give a p-value of at most `alpha`: 2 / 2**n.

    >>> fewest_pairs(0.05), fewest_pairs(0.05 / 4)
    (6, 8)
    """
    return max(2, math.ceil(1 - math.log2(alpha) - _ROUNDING))


def fewest_unpaired(alpha: float) -> int:
    """The smallest size of two equal samples whose permutation test can.

    >>> fewest_unpaired(0.05)
    4
    """
    return next(n for n in itertools.count(2) if 2 / math.comb(2 * n, n) <= alpha)


def _inversion(
    difference: float, one: Numbers, other: Numbers, always: npt.NDArray[np.bool_], data: Numbers
) -> Inversion:
    low, high = np.minimum(one, other), np.maximum(one, other)
    tiny = _ROUNDING * float(np.abs(data).max())
    for ends, unbounded in ((low, -np.inf), (high, np.inf)):
        ends[np.abs(ends) <= tiny] = 0
        ends[always] = unbounded
    return Inversion(difference, low, high)


def _sums_of_fixed(d: Numbers) -> tuple[Numbers, Numbers]:
    """Sum and number of the flipped, for each of the fixed choices."""
    chosen = _fixed_flips(len(d))
    rows = max(1, _AT_ONCE // len(d))
    sums = [chosen[start : start + rows] @ d for start in range(0, len(chosen), rows)]
    return np.concatenate(sums), chosen.sum(axis=1).astype(np.float64)


@functools.lru_cache(maxsize=4)
def _fixed_flips(n: int) -> npt.NDArray[np.bool_]:
    """Bool [99,999, n]; the first flips nothing. The same for every study of n pairs."""
    flips = np.random.default_rng(n).integers(0, 2, (_FIXED, n), np.uint8).astype(np.bool_)
    flips[0] = False
    return flips


def _checked(values: Sequence[float]) -> Numbers:
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all():
        raise ValueError("values must be finite numbers, at least one")
    return found
