"""A judgement in words: what won, by how much, and how sure that is; never more than was found."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from optrun.runner.ui.wording import number_of, some
from optrun.runner.verdict.conclusions import ALPHA, Conclusion, Judged, ranked
from optrun.runner.verdict.metrics import Measure

_MOST_LINES = 8  # of comparisons without a conclusion, and of notes on pairs


@dataclass(frozen=True)
class Unit:
    """How differences of a metric are told: `+0.42 points of test accuracy`."""

    name: str  # "points of test accuracy"
    scale: float = 1.0  # what a difference is multiplied by

    @classmethod
    def of(cls, measure: Measure) -> Self:
        """That of a table."""
        name = measure.key.replace("_", " ")
        return cls(f"points of {name}" if measure.percent else name, measure.scale)

    def differences(self, values: Sequence[float]) -> list[str]:
        """With signs, and digits enough to tell each from 0.

        >>> Unit("points", 100).differences([0.0105, 0.00002, -0.02])
        ['+1.050', '+0.002', '−2.000']
        """
        scaled = [value * self.scale for value in values]
        decimals = _decimals(max(map(abs, scaled)))
        while decimals < 10 and any(one and not round(one, decimals) for one in scaled):
            decimals += 1
        return [f"{one:+.{decimals}f}".replace("-", "−") for one in scaled]


def sentence(judged: Judged, unit: Unit, comparisons: int, *, correction: str | None = None) -> str:
    """What is concluded of one comparison out of so many.

    `correction` says what the p-value is adjusted for; None: for the comparisons, by Holm's rule.

    >>> from optrun.runner.verdict.conclusions import judge
    >>> from optrun.runner.verdict.metrics import Metric
    >>> values = {"sgd": dict(enumerate([0.90, 0.91, 0.89, 0.90, 0.92, 0.91]))}
    >>> values["adam"] = {seed: one + 0.01 for seed, one in values["sgd"].items()}
    >>> [one] = judge(values, "sgd", Metric("accuracy", higher_is_better=True))
    >>> sentence(one, Unit("points of accuracy", 100), 1)
    'adam is better than sgd: +1.00 points of accuracy [+1.00, +1.00], better in 6 of 6 seeds, \
p = 0.031.'
    """
    found = _difference(judged, unit)
    by_seed = _by_seed(judged)
    p = f"p = {_p(judged.p_adjusted)}"
    if correction or comparisons > 1:
        p += f" ({correction or f'Holm, {comparisons} comparisons'})"
    names = f"{judged.candidate} and {judged.baseline}"
    match judged.conclusion:
        case Conclusion.BETTER | Conclusion.WORSE:
            return (
                f"{judged.candidate} is {judged.conclusion} than {judged.baseline}: {found}, "
                f"{by_seed}{p}."
            )
        case Conclusion.SAME:
            return f"No difference that matters between {names}: {found}, {by_seed}{p}."
    if judged.needs_seeds is not None:
        return (
            f"No conclusion about {names}: "
            f"{too_few(_values(judged), judged.needs_seeds, comparisons)}. So far {found}, "
            f"{by_seed.removesuffix(', ')}."
        )
    return f"No conclusion about {names}: {found}, {by_seed}{p}."


def sentences(judged: Sequence[Judged], unit: Unit) -> Iterator[str]:
    """What is concluded of all comparisons, the surest first; without a conclusion, in few words.

    Candidates with equally many seeds, too few to conclude anything, share a sentence.
    """
    count, undecided = len(judged), 0
    lacking: defaultdict[tuple[str, int], list[Judged]] = defaultdict(list)
    for one in ranked(judged):
        if one.conclusion is Conclusion.NONE and one.needs_seeds is not None:
            lacking[_values(one), one.needs_seeds].append(one)
            continue
        undecided += one.conclusion is Conclusion.NONE
        if undecided <= _MOST_LINES:
            yield sentence(one, unit, count)
    for (values, needed), alike in lacking.items():
        if len(alike) == 1:
            yield sentence(alike[0], unit, count)
        else:
            names = some([one.candidate for one in alike])
            why = too_few(values, needed, count)
            yield f"No conclusion about {names} against {alike[0].baseline}: {why}."
    if (more := undecided - _MOST_LINES) > 0:
        yield f"No conclusion about {more} more either; --format json has them all."


def too_few(values: str, needed: int, comparisons: int) -> str:
    """Why values, in words, can never conclude anything, however far they are apart.

    >>> too_few("3 paired seeds", 7, 2)
    '3 paired seeds can never give p < 0.05 in 2 comparisons; 7 seeds each can'
    """
    several = f" in {comparisons} comparisons" if comparisons > 1 else ""
    return f"{values} can never give p < {ALPHA:g}{several}; {needed} seeds each can"


def notes(judged: Sequence[Judged]) -> Iterator[str]:
    """How the comparisons were made, and what pairing was worth."""
    if any(not one.paired for one in judged):
        names = some([one.candidate for one in judged if not one.paired])
        yield (
            f"Not paired with the baseline: {names}. All values were dealt out anew, not exchanged "
            "seed by seed."
        )
    for one in judged[:_MOST_LINES]:
        if one.correlation is not None and one.variance_ratio is not None:
            gain = "gains" if one.correlation > 0 else "loses"
            yield (
                f"{one.candidate}: over seeds correlated by {one.correlation:+.2f} with "
                f"{one.baseline} (pairing {gain}), {one.variance_ratio:.2g} times its variance."
            )


def in_common(judged: Sequence[Judged], values: Mapping[str, Mapping[Any, float]]) -> Iterator[str]:
    """Where a candidate's seeds are not the baseline's, how many of both there are as pairs."""
    found: dict[str, list[str]] = {}
    for one in judged:
        seeds, others = values[one.candidate].keys(), values[one.baseline].keys()
        common = len(seeds & others)
        if seeds != others and (one.paired or not common):
            told = (
                f"{len(seeds)} and {number_of(len(others), 'seed')}, {common or 'none'} in common"
            )
            rest = "; the others are no part of the verdict" if common else ""
            found.setdefault(told + rest, []).append(one.candidate)
    for told, names in found.items():
        yield f"{some(names)} and {judged[0].baseline}: {told}."


def _difference(judged: Judged, unit: Unit) -> str:
    found, *ends = unit.differences([judged.difference, *(judged.interval or ())])
    return f"{found} {unit.name}" + (f" [{', '.join(ends)}]" if ends else "")


def _by_seed(judged: Judged) -> str:
    if judged.better is None:
        return f"{judged.seeds[0]} against {judged.seeds[1]} unpaired values, "
    seeds, way, count = len(judged.seeds), "better", judged.better
    if judged.conclusion is Conclusion.WORSE:
        way, count = "worse", seeds - judged.better - judged.ties
    return f"{way} in {count} of {number_of(seeds, 'seed')}, "


def _values(judged: Judged) -> str:
    if judged.paired:
        return number_of(len(judged.seeds), "paired seed")
    return f"{judged.seeds[0]} against {judged.seeds[1]} values"


def _p(value: float) -> str:
    """Two digits that count, or as many as tell it from the level.

    >>> _p(0.0312), _p(0.0498), _p(1e-5)
    ('0.031', '0.0498', '1.0e-05')
    """
    if value < 0.0001:
        return f"{value:.1e}"
    digits = 2
    while (digits < 8 and (float(f"{value:.{digits}g}") > ALPHA) != (value > ALPHA)) or (
        float(f"{value:.{digits}g}") == ALPHA != value
    ):
        digits += 1
    return f"{value:.{digits}g}"


def _decimals(largest: float) -> int:
    """Digits after the point: two below 10, more for what is smaller, fewer for what is larger."""
    decimals = 2
    while decimals < 8 and 0 < largest < 10 ** (1 - decimals):
        decimals += 1
    return decimals if largest < 100 else 1
