"""Candidates set against a baseline over seeds: what may be said of each, and how sure it is."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from optrun.runner.verdict import permutation
from optrun.runner.verdict.metrics import Metric

ALPHA = 0.05
_ROUNDING = 1 + 1e-12  # so that a p-value of 2 / 64 is at most a level of 0.05 / 1.6


class Conclusion(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    SAME = "no difference beyond margin"
    NONE = "no conclusion"


@dataclass(frozen=True)
class Judged:
    """A candidate against the baseline; differences are candidate minus baseline, as measured."""

    candidate: str
    baseline: str
    metric: str
    better: int | None  # pairs in which the candidate is the better one; None where none is paired
    ties: int  # pairs of two equal values
    seeds: tuple[Hashable, ...]  # of the pairs; else the number of values of each of the two
    paired: bool
    difference: float
    interval: tuple[float, float] | None  # at `level`; None where so few values have none
    level: float  # of confidence: that at which the test was made, several comparisons considered
    p_value: float  # of this comparison alone
    p_adjusted: float  # at most 0.05 where a difference is concluded, of however many comparisons
    correlation: float | None  # of the pairs: what pairing gains; None where it is not defined
    variance_ratio: float | None  # candidate's variance over seeds by the baseline's
    conclusion: Conclusion
    needs_seeds: int | None  # the fewest that could conclude, where there are fewer

    @property
    def is_settled(self) -> bool:
        return self.conclusion is not Conclusion.NONE


def judge(
    values: Mapping[str, Mapping[Any, float]],
    baseline: str,
    metric: Metric,
    *,
    alpha: float = ALPHA,
    margin: float | None = None,
    unpaired: Collection[str] = (),
) -> list[Judged]:
    """Judges every experiment against the baseline.

    The p-values are adjusted by Holm's rule (Holm 1979): of m comparisons the one with the smallest
    is tested at level α / m, the next at α / (m - 1), until one is not significant; nothing after
    it is. Each interval inverts the same test at the level at which its comparison was tested (from
    the first failure on, at that one's), so that it holds 0 exactly where no difference is
    concluded.

    Args:
        values: A finite number of each experiment and seed.
        baseline: One of the experiments.
        alpha: The probability of any false conclusion, if there is no difference at all.
        margin: The smallest difference that matters, in the metric's unit. Where all of an interval
            lies within it, that is the conclusion, whatever the sign.
        unpaired: Experiments whose runs did not begin as the baseline's did. Others are paired by
            seed, and their values of other seeds are no part of the judgement; those without a
            seed in common are unpaired, too.
    """
    of_baseline = values[baseline]
    tests: dict[str, permutation.Inversion] = {}
    seeds: dict[str, tuple[Hashable, ...]] = {}
    pairs: dict[str, list[tuple[float, float]]] = {}
    for name, of_candidate in values.items():
        if name == baseline:
            continue
        common = sorted(of_candidate.keys() & of_baseline.keys())
        if name not in unpaired and common:
            pairs[name] = [(of_candidate[seed], of_baseline[seed]) for seed in common]
            seeds[name] = tuple(common)
            tests[name] = permutation.paired([one - other for one, other in pairs[name]])
        else:
            pairs[name] = []
            seeds[name] = (len(of_candidate), len(of_baseline))
            tests[name] = permutation.unpaired([*of_candidate.values()], [*of_baseline.values()])
    levels, adjusted = _holm({name: test.p_value() for name, test in tests.items()}, alpha)
    hardest = alpha / max(1, len(tests))
    found = []
    for name, test in tests.items():
        is_paired, interval = bool(pairs[name]), test.interval(levels[name])
        can_conclude = test.smallest_p_value <= hardest * _ROUNDING
        fewest = permutation.fewest_pairs if is_paired else permutation.fewest_unpaired
        found.append(
            Judged(
                candidate=name,
                baseline=baseline,
                metric=metric.name,
                better=sum(metric.sign * (one - other) > 0 for one, other in pairs[name])
                if is_paired
                else None,
                ties=sum(one == other for one, other in pairs[name]),
                seeds=seeds[name],
                paired=is_paired,
                difference=test.difference,
                interval=interval,
                level=1 - levels[name],
                p_value=test.p_value(),
                p_adjusted=adjusted[name],
                correlation=correlation(pairs[name]),
                variance_ratio=variance_ratio([*values[name].values()], [*of_baseline.values()]),
                conclusion=concluded(
                    metric.sign * test.difference,
                    interval,
                    margin,
                    is_significant=adjusted[name] <= alpha * _ROUNDING,
                ),
                needs_seeds=None if can_conclude else fewest(hardest),
            )
        )
    return found


def ranked(judged: Sequence[Judged]) -> list[Judged]:
    """What is concluded first, and of that the surest."""
    order = list(Conclusion)
    return sorted(judged, key=lambda one: (order.index(one.conclusion), one.p_value))


def concluded(
    gain: float,
    interval: tuple[float, float] | None,
    margin: float | None,
    *,
    is_significant: bool,
) -> Conclusion:
    """What follows from a difference, above 0 where the candidate is the better one."""
    if margin is not None and interval is not None and max(map(abs, interval)) <= margin:
        return Conclusion.SAME
    if not is_significant:
        return Conclusion.NONE
    return Conclusion.BETTER if gain > 0 else Conclusion.WORSE


def _holm(p_values: Mapping[str, float], alpha: float) -> tuple[dict[str, float], dict[str, float]]:
    """The level that each comparison is tested at, and its adjusted p-value.

    >>> levels, adjusted = _holm({"a": 0.01, "b": 0.04, "c": 0.03}, 0.05)
    >>> {name: round(p, 10) for name, p in adjusted.items()}
    {'a': 0.03, 'c': 0.06, 'b': 0.06}
    >>> {name: round(0.05 / level) for name, level in levels.items()}
    {'a': 3, 'c': 2, 'b': 2}
    """
    levels: dict[str, float] = {}
    adjusted: dict[str, float] = {}
    largest, failed_at = 0.0, None
    for rank, name in enumerate(sorted(p_values, key=lambda one: (p_values[one], one))):
        count = len(p_values) - rank
        largest = max(largest, min(1.0, count * p_values[name]))
        adjusted[name] = largest
        levels[name] = failed_at or alpha / count
        if failed_at is None and p_values[name] > levels[name] * _ROUNDING:
            failed_at = levels[name]
    return levels, adjusted


def correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Of the two of a pair; None for fewer than three pairs, or where one never changes."""
    if len(pairs) < 3:
        return None
    one, other = np.array(pairs, np.float64).T
    if not (np.ptp(one) and np.ptp(other)):
        return None
    return float(np.corrcoef(one, other)[0, 1])


def variance_ratio(one: Sequence[float], other: Sequence[float]) -> float | None:
    """The sample variance of one by that of the other, which must be above 0."""
    if min(len(one), len(other)) < 2 or not np.ptp(other):
        return None
    return float(np.var(one, ddof=1) / np.var(other, ddof=1))
