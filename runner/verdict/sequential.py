"""Pairs added until the answer is sure, honest about having looked in between.

A group-sequential sign-flip test. After n pairs of at most N, which is said beforehand, a share
α n / N of the error may have been spent (Lan & DeMets 1983). If candidates and baseline do not
differ, each row of differences (one seed, all candidates) might as well have had the other sign.
Of all sign vectors s, those are the reference at a look that were not rejected at an earlier one
(Mehta, Patel & Senchaudhuri 1994): of them the ones with the largest statistic are rejected, ties
never in part, until what may be spent is spent. What was observed is the vector of plus signs.

Several candidates share one sign for each seed, and the largest of their statistics counts, so
that the probability of any false conclusion, in all looks and comparisons, is at most α.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from optrun.runner.verdict.conclusions import (
    ALPHA,
    Conclusion,
    Judged,
    concluded,
    correlation,
    variance_ratio,
)
from optrun.runner.verdict.metrics import Metric

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

LOOKS = (8, 12, 16, 24, 32)  # pairs; beyond, each is half of two looks before more
_MOST_EXACT_PAIRS = 20  # of which all sign vectors are the reference
_FIXED = 9_999  # sign vectors beyond that: always the same, the observed one among them
# Statistics that differ by rounding alone are ties.
_ROUNDING = 1e-9
_DOUBLINGS, _HALVINGS = 40, 40


@dataclass(frozen=True)
class Answer:
    """One candidate against the baseline, as of the look that settled it, or of the last made."""

    conclusion: Conclusion
    seeds: tuple[int, ...]  # of the pairs that counted
    difference: float  # candidate minus baseline
    interval: tuple[float, float] | None  # 1 - α in all looks together; None where there is none
    p_value: float  # at most α where concluded; see `_Look.p_value`
    look: int  # its number, from 1

    @property
    def is_settled(self) -> bool:
        return self.conclusion is not Conclusion.NONE


def looks_until(most: int) -> tuple[int, ...]:
    """After how many pairs the data are looked at, the last time after `most`.

    >>> looks_until(32), looks_until(10), looks_until(60)
    ((8, 12, 16, 24, 32), (8, 10), (8, 12, 16, 24, 32, 48, 60))
    """
    looks = list(LOOKS)
    while looks[-1] < most:
        looks.append(2 * looks[-2])
    return (*(look for look in looks if look < most), most)


def answers(
    differences: Mapping[str, Mapping[int, float]],
    seeds: Sequence[int],
    looks: Sequence[int],
    *,
    sign: int = 1,
    over: Mapping[str, int] | None = None,
    margin: float | None = None,
    alpha: float = ALPHA,
) -> tuple[dict[str, Answer], int]:
    """What the looks made so far say of each candidate, and their number.

    A candidate that is settled at a look needs no more pairs, and is not part of later looks. One
    without any pair by then is not part of them either, and has no answer.

    Args:
        differences: Candidate minus baseline of each candidate and seed, finite; a seed of which
            one of the two has no number (it diverged) is missing, and counts as no difference.
        seeds: All that may come, in the order in which they are added.
        looks: After how many of them the data are looked at, ascending; the last is the end.
        sign: 1, or -1 where lower is better.
        over: How many of the first seeds each candidate and the baseline have behind them, with a
            number or not. A look is made when all that are not settled have. None: all that have
            a number.
        margin: The smallest difference that matters. A candidate whose interval lies within it is
            settled, too.
    """
    columns = {
        name: np.array([of_seed.get(seed, math.nan) for seed in seeds], np.float64)
        for name, of_seed in differences.items()
    }
    if over is None:
        over = {name: int(np.isfinite(column).cumprod().sum()) for name, column in columns.items()}
    open_ones, found, made = sorted(columns), dict[str, Answer](), list[_Look]()
    for number, pairs in enumerate(looks, start=1):
        if not open_ones or min(over[name] for name in open_ones) < pairs:
            break
        data = np.stack([columns[name][:pairs] for name in open_ones], axis=1)
        made.append(_Look(data, tuple(open_ones), alpha * pairs / looks[-1]))
        rejected, limit = _limits(made, functools.partial(_largest, made))[-1]
        for place, name in enumerate(open_ones):
            counted = np.isfinite(data[:, place])
            if not counted.any():
                continue
            is_rejected = bool(made[-1].observed[place] > limit)
            difference = float(data[counted, place].mean())
            interval = _interval(made, name, difference, is_rejected=is_rejected)
            found[name] = Answer(
                concluded(sign * difference, interval, margin, is_significant=is_rejected),
                tuple(seed for seed, there in zip(seeds, counted, strict=False) if there),
                difference,
                interval,
                made[-1].p_value(place, rejected, alpha),
                number,
            )
        open_ones = [name for name in open_ones if name in found and not found[name].is_settled]
    return found, len(made)


def judge_by_looks(
    values: Mapping[str, Mapping[int, float]],
    over: Mapping[str, int],
    baseline: str,
    metric: Metric,
    *,
    seeds: Sequence[int],
    looks: Sequence[int],
    margin: float | None = None,
    alpha: float = ALPHA,
) -> tuple[list[Judged], int]:
    """Every candidate against the baseline, as of the looks made so far, and their number.

    The arguments are those of `answers`, but that there are values of each experiment and seed, and
    `over` is that of each experiment.
    """
    of_baseline = values[baseline]
    candidates = [name for name in values if name != baseline]
    found, looks_made = answers(
        {
            name: {
                seed: values[name][seed] - of_baseline[seed]
                for seed in values[name].keys() & of_baseline.keys()
            }
            for name in candidates
        },
        seeds,
        looks,
        sign=metric.sign,
        over={name: min(over[name], over[baseline]) for name in candidates},
        margin=margin,
        alpha=alpha,
    )
    judged = []
    for name, answer in found.items():
        pairs = [(values[name][seed], of_baseline[seed]) for seed in answer.seeds]
        judged.append(
            Judged(
                candidate=name,
                baseline=baseline,
                metric=metric.name,
                better=sum(metric.sign * (one - other) > 0 for one, other in pairs),
                ties=sum(one == other for one, other in pairs),
                seeds=answer.seeds,
                paired=True,
                difference=answer.difference,
                interval=answer.interval,
                level=1 - alpha,
                p_value=answer.p_value,
                p_adjusted=answer.p_value,
                correlation=correlation(pairs),
                variance_ratio=variance_ratio(*zip(*pairs, strict=True)),
                conclusion=answer.conclusion,
                needs_seeds=None,
            )
        )
    return judged, looks_made


def smallest_difference_found(pairs: int, comparisons: int = 1) -> float:
    """The difference that 80 of 100 studies find by their end, in standard deviations of a pair's.

    That of a test of the mean at level α over m comparisons, (z_{1 - α / 2m} + z_{0.8}) / √n, made
    larger by what the looks cost: an eighth (benchmarks/until_sure.py measures it).

    >>> round(smallest_difference_found(32), 2)
    0.56
    """
    from statistics import NormalDist

    normal = NormalDist().inv_cdf
    return 1.125 * (normal(1 - ALPHA / (2 * comparisons)) + normal(0.8)) / math.sqrt(pairs)


@dataclass(frozen=True)
class _Look:
    """The differences after so many pairs, and what may have been spent of the error by then."""

    data: Numbers  # [pairs, candidates]; nan where there is none
    names: tuple[str, ...]  # of the candidates that were not settled before
    spent: float

    @functools.cached_property
    def observed(self) -> Numbers:
        """The statistic of each candidate, as it was seen: |Σ d| / √Σ d²."""
        found: Numbers = _statistics(np.ones((1, len(self.data))), self.data)[0]
        return found

    @functools.cached_property
    def reference(self) -> Numbers:
        """The largest statistic of each of its own sign vectors."""
        return self.largest(_signs(len(self.data)))

    def largest(self, signs: Numbers, *, without: str | None = None) -> Numbers:
        """The largest statistic of each sign vector, over the candidates."""
        kept = [place for place, name in enumerate(self.names) if name != without]
        if not kept:
            return np.zeros(len(signs))
        found: Numbers = _statistics(signs[:, : len(self.data)], self.data[:, kept]).max(axis=1)
        return found

    def p_value(self, place: int, rejected: Flags, alpha: float) -> float:
        """The share of sign vectors that were rejected before, or are as far from 0, or further.

        A difference is concluded where that is at most what may be spent by this look; scaled by
        it, where it is at most α.
        """
        as_far = self.reference >= self.observed[place] * (1 - _ROUNDING)
        return min(1.0, float(np.mean(rejected | as_far)) * alpha / self.spent)


def _statistics(signs: Numbers, data: Numbers) -> Numbers:
    """|Σ s d| / √Σ d² of each sign vector and candidate, [vectors, candidates].

    The root is the same for every s: it sets candidates of different spread on one scale.
    """
    values = np.nan_to_num(data, nan=0.0)
    roots = np.sqrt((values**2).sum(axis=0))
    return np.asarray(np.abs(signs @ values) / np.where(roots > 0, roots, 1.0))


def _limits(
    looks: Sequence[_Look], largest: Callable[[int, int], Numbers]
) -> list[tuple[Flags, float]]:
    """For each look, which sign vectors were rejected before it, and what must be exceeded at it.

    `largest(look, at)` is the statistic of a look, of the sign vectors of the same or a later one.
    """
    found: list[tuple[Flags, float]] = []
    rejected = np.zeros(len(_signs(len(looks[0].data))), np.bool_)
    for number, look in enumerate(looks):
        statistic = largest(number, number)
        limit = _limit(statistic, rejected, look.spent)
        found.append((rejected, limit))
        if number + 1 == len(looks):
            break
        now, after = len(look.data), len(looks[number + 1].data)
        rejected = rejected | (statistic > limit)
        if after <= _MOST_EXACT_PAIRS:  # each goes on in all ways; see the order of `_signs`
            rejected = np.tile(rejected, 2 ** (after - now))
        elif now <= _MOST_EXACT_PAIRS:
            rejected = np.any(
                [largest(one, number + 1) > its for one, (_, its) in enumerate(found)], axis=0
            )
    return found


def _largest(looks: Sequence[_Look], look: int, at: int) -> Numbers:
    return looks[at].reference if look == at else looks[look].largest(_signs(len(looks[at].data)))


def _limit(statistic: Numbers, rejected: Flags, spent: float) -> float:
    """The smallest value that so few statistics exceed that no more than `spent` is rejected."""
    left = math.floor(spent * len(statistic) * (1 + _ROUNDING)) - int(rejected.sum())
    kept = statistic[~rejected]
    if left < 0 or not len(kept):
        return math.inf
    left = min(left, len(kept) - 1)
    return float(-np.partition(-kept, left)[left]) * (1 + _ROUNDING)


def _interval(
    looks: Sequence[_Look], name: str, difference: float, *, is_rejected: bool
) -> tuple[float, float] | None:
    """The differences that the same looks do not reject (Jennison & Turnbull 1989).

    The data are shifted by δ, all else stays as it is. It holds 0 exactly where nothing is
    concluded: that end's search begins at 0.
    """
    inverted = _Inverted(looks, name)

    def end(way: int) -> float:
        # `outside` is rejected, `inside` is not; the observed difference never is.
        inside, step = difference, way * max(inverted.spread, abs(difference) * _ROUNDING)
        if not step:
            return difference
        if is_rejected and way * difference < 0:
            outside = 0.0
        else:
            if not is_rejected and way * difference < 0:
                inside = 0.0
            outside = inside + step
            for _ in range(_DOUBLINGS):
                if inverted.is_rejected(outside):
                    break
                step *= 2
                inside, outside = outside, outside + step
            else:
                return way * math.inf
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if inverted.is_rejected(middle):
                outside = middle
            else:
                inside = middle
        return inside

    low, high = end(-1), end(1)
    return None if math.isinf(low) or math.isinf(high) else (low, high)


class _Inverted:
    """The looks so far, for any true difference δ of one candidate.

    Of a look, with sign vectors s, only Σ s d, Σ s and the largest statistic of the other
    candidates are needed: Σ s (d - δ) = Σ s d - δ Σ s.
    """

    def __init__(self, looks: Sequence[_Look], name: str) -> None:
        self.looks, self.name = looks, name
        self.columns = [look.data[:, look.names.index(name)] for look in looks]
        self.spread = float(np.nanstd(self.columns[-1]))
        self._sums = functools.cache(self._sums_of)

    def is_rejected(self, shift: float) -> bool:
        """Whether δ = shift is rejected at any of the looks."""
        limits = _limits(self.looks, functools.partial(self._largest, shift))
        # The first sign vector is all plus: what was observed.
        return any(
            self._own(shift, number, number)[0] > limit for number, (_, limit) in enumerate(limits)
        )

    def _largest(self, shift: float, look: int, at: int) -> Numbers:
        return np.maximum(self._own(shift, look, at), self._sums(look, at)[2])

    def _own(self, shift: float, look: int, at: int) -> Numbers:
        of_differences, of_signs, _ = self._sums(look, at)
        root = math.sqrt(float(np.nansum((self.columns[look] - shift) ** 2)))
        return np.abs(of_differences - shift * of_signs) / (root or 1.0)

    def _sums_of(self, look: int, at: int) -> tuple[Numbers, Numbers, Numbers]:
        column, signs = self.columns[look], _signs(len(self.columns[at]))
        there, cut = np.isfinite(column), signs[:, : len(column)]
        others = self.looks[look].largest(signs, without=self.name)
        return cut @ np.where(there, column, 0.0), cut @ there.astype(np.float64), others


@functools.lru_cache(maxsize=8)
def _signs(pairs: int) -> Numbers:
    """Sign vectors, [vectors, pairs], the first all plus; a vector and its negative are one.

    In the order of the binary numbers whose lowest digits are the first pairs' signs: of 2^k
    vectors, all those of one more pair are these, and these again.
    """
    if pairs <= _MOST_EXACT_PAIRS:
        numbers = np.arange(2 ** (pairs - 1))
        minus = (numbers[:, None] >> np.arange(pairs - 1)) & 1
        first = np.ones((len(numbers), 1), np.float64)
        return np.concatenate([first, 1.0 - 2.0 * minus.astype(np.float64)], axis=1)
    # Column by column, so that those of fewer pairs are the beginning of those of more.
    random = np.random.default_rng(_FIXED)
    minus = np.stack([random.integers(0, 2, _FIXED) for _ in range(pairs)], axis=1)
    minus[0] = 0
    return 1.0 - 2.0 * minus.astype(np.float64)
