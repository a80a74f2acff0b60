"""Pairs added until the answer is sure: against brute force in fractions, and by simulation."""

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from optrun.runner.verdict import permutation, sequential
from optrun.runner.verdict.conclusions import Conclusion
from optrun.runner.verdict.sequential import Answer, looks_until
from scipy.stats import ttest_1samp


def answers(*arguments: Any, **more: Any) -> dict[str, Answer]:
    return sequential.answers(*arguments, **more)[0]


Rows = Sequence[Sequence[int]]  # [pairs][candidates], whole numbers
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def brute_force(rows: Rows, looks: Sequence[int], candidate: int = 0) -> int | None:
    """The number of the look at which a candidate is rejected first, by all sign vectors, exactly.

    All candidates stay part of all looks. Statistics are compared by their squares.
    """
    pairs, candidates = len(rows), range(len(rows[0]))
    alpha = Fraction(5, 100)

    def statistic(signs: Sequence[int], look: int, of: Sequence[int]) -> Fraction:
        found = []
        for one in of:
            total = sum(sign * row[one] for sign, row in zip(signs[:look], rows, strict=False))
            squares = sum(row[one] ** 2 for row in rows[:look])
            found.append(Fraction(total * total, squares) if squares else Fraction(0))
        return max(found)

    alive = list(itertools.product([1, -1], repeat=pairs))
    every = len(alive)
    for number, look in enumerate(looks, start=1):
        # A vector counts once for each way in which it goes on; what may be spent does, too.
        allowed = alpha * Fraction(look, looks[-1]) * every - (every - len(alive))
        found = {signs: statistic(signs, look, candidates) for signs in alive}
        bars = sorted(set(found.values()))
        bar = next(one for one in bars if sum(value > one for value in found.values()) <= allowed)
        if statistic([1] * pairs, look, [candidate]) > bar:
            return number
        alive = [signs for signs in alive if found[signs] <= bar]
    return None


def answer(rows: Rows, looks: Sequence[int], candidate: int = 0, shift: float = 0.0) -> Answer:
    differences = {
        f"c{one}": {seed: float(row[one]) - (shift if one == candidate else 0.0)
                    for seed, row in enumerate(rows)}
        for one in range(len(rows[0]))
    }  # fmt: skip
    return answers(differences, range(len(rows)), looks)[f"c{candidate}"]


@pytest.mark.parametrize("number", range(20))
def test_looks_reject_what_brute_force_over_all_signs_rejects(number: int) -> None:
    generator = np.random.default_rng(number)
    shift, spread = generator.integers(0, 4), generator.choice([1, 2, 6])
    rows = np.rint(generator.normal(shift, spread, (10, 1))).astype(int).tolist()
    looks = (6, 8, 10)
    found, expected = answer(rows, looks), brute_force(rows, looks)
    assert found.is_settled is (expected is not None)
    assert found.look == (expected or 3)


@pytest.mark.parametrize("number", range(20))
def test_several_candidates_are_held_to_the_largest_of_their_statistics(number: int) -> None:
    generator = np.random.default_rng(number)
    shifts = [generator.integers(0, 4), 0, generator.integers(-1, 2)]
    rows = np.rint(generator.normal(shifts, 2, (9, 3))).astype(int).tolist()
    # One look: that of a candidate which is settled leaves the others at the next.
    found, expected = answer(rows, [9]), brute_force(rows, [9])
    assert found.is_settled is (expected is not None)


@pytest.mark.parametrize("number", range(4))
def test_the_interval_ends_where_the_looks_begin_to_reject(number: int) -> None:
    generator = np.random.default_rng(number)
    rows = np.rint(generator.normal(4, 10, (10, 1 + number % 2))).astype(int).tolist()
    looks = (8, 10)
    found = answer(rows, looks)
    assert found.interval is not None
    for end, outwards in zip(found.interval, (-1, 1), strict=True):
        for step, expected in ((1e-4 * outwards, True), (-1e-4 * outwards, False)):
            # Whole numbers again: differences in units of 1e-6.
            shift = round((end + step) * 1e6)
            scaled = [[value * 10**6 for value in row] for row in rows]
            shifted = [[row[0] - shift, *row[1:]] for row in scaled]
            made = looks[: found.look]
            assert (_rejected_by(shifted, looks, len(made)) is not None) is expected
    assert found.is_settled is not (found.interval[0] <= 0 <= found.interval[1])


def _rejected_by(rows: Rows, looks: Sequence[int], made: int) -> int | None:
    found = brute_force(rows, looks)
    return found if found is not None and found <= made else None


def test_one_look_is_the_fixed_test() -> None:
    for seed in range(30):
        values = np.random.default_rng(seed).normal(0.5, 1, 9)
        [found] = answers({"c": dict(enumerate(values))}, range(9), [9]).values()
        fixed = permutation.paired(values.tolist())
        assert found.p_value == pytest.approx(fixed.p_value())
        assert found.is_settled is (fixed.p_value() <= 0.05)
        low_high = fixed.interval(0.05)
        assert low_high is not None
        assert found.interval == pytest.approx(low_high, abs=1e-6)


def test_nothing_is_said_before_the_first_look_and_all_that_there_is_at_the_next() -> None:
    differences = {"c": {seed: 1.0 + seed / 10 for seed in range(1, 12)}}
    seeds, looks = range(1, 33), looks_until(32)
    first_seven = {"c": {seed: differences["c"][seed] for seed in range(1, 8)}}
    assert answers(first_seven, seeds, looks) == {}
    [found] = answers(differences, seeds, looks).values()
    assert (found.look, found.seeds) == (1, tuple(range(1, 9)))
    assert found.conclusion is Conclusion.BETTER


def test_a_settled_candidate_needs_no_more_pairs() -> None:
    generator = np.random.default_rng(1)
    differences = {
        "sure": {seed: 1.0 + seed / 100 for seed in range(1, 9)},
        "open": dict(enumerate(generator.normal(0, 1, 12), start=1)),
    }
    found = answers(differences, range(1, 33), looks_until(32))
    assert found["sure"].is_settled
    assert (found["sure"].look, found["open"].look) == (1, 2)


def test_a_pair_without_a_number_counts_as_no_difference() -> None:
    differences = {"c": {seed: 1.0 for seed in range(1, 9) if seed != 3}}
    over = {"c": 8}
    [found] = answers(differences, range(1, 9), [8], over=over).values()
    assert found.seeds == (1, 2, 4, 5, 6, 7, 8)
    assert found.conclusion is Conclusion.BETTER  # 2 of 2 ** 7 signs are as far from 0
    assert found.p_value == pytest.approx(2 / 2**7)


def test_an_interval_within_the_margin_settles_it_too() -> None:
    differences = {"c": {seed: (-1.0) ** seed * 0.01 for seed in range(1, 9)}}
    [found] = answers(differences, range(1, 9), [8], margin=0.1).values()
    assert found.conclusion is Conclusion.SAME
    [found] = answers(differences, range(1, 9), [8], margin=1e-4).values()
    assert found.conclusion is Conclusion.NONE


def test_equal_values_conclude_nothing() -> None:
    [found] = answers({"c": dict.fromkeys(range(8), 0.0)}, range(8), [8]).values()
    assert (found.conclusion, found.p_value) == (Conclusion.NONE, 1.0)


def normal(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return generator.normal(0, 1, shape)


def heavy(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return generator.standard_t(2, shape)


def coarse(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Whole photos of 308, with many ties."""
    return generator.binomial(308, 0.95, shape).astype(float)


def concluded(
    draw: Draw, comparisons: int, studies: int, *, shift: float = 0.0, seed: int = 0
) -> list[dict[str, Answer]]:
    """Studies to 32 pairs, of candidates that share the baseline's values."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(studies):
        values = draw(generator, (32, comparisons + 1))
        differences = values[:, 1:] - values[:, :1] + shift
        columns = {f"c{one}": dict(enumerate(differences[:, one])) for one in range(comparisons)}
        found.append(_without_intervals(columns))
    return found


def _without_intervals(columns: dict[str, dict[int, float]]) -> dict[str, Answer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequential, "_interval", lambda *_, **__: None)
        return answers(columns, range(32), looks_until(32))


CASES = [(draw, count) for draw in (normal, heavy, coarse) for count in (1, 4, 9)]


def _most(studies: int) -> int:
    """Of so many studies without any difference, what 5 % exceed by chance once in a thousand."""
    return round(0.05 * studies + 3.1 * (0.05 * 0.95 * studies) ** 0.5)


@pytest.mark.parametrize(("draw", "comparisons"), [(normal, 1), (coarse, 4)])
def test_without_a_difference_few_studies_conclude(draw: Draw, comparisons: int) -> None:
    found = concluded(draw, comparisons, 60)
    assert sum(any(one.is_settled for one in study.values()) for study in found) <= _most(60)


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "comparisons"), CASES)
def test_without_a_difference_at_most_one_study_in_twenty_concludes(
    draw: Draw, comparisons: int
) -> None:
    found = concluded(draw, comparisons, 2000, seed=comparisons)
    assert sum(any(one.is_settled for one in study.values()) for study in found) <= _most(2000)


@pytest.mark.slow
def test_where_one_of_four_differs_the_others_are_concluded_as_rarely() -> None:
    generator, wrong = np.random.default_rng(4), 0
    for _ in range(2000):
        values = generator.normal(0, 1, (32, 5))
        differences = values[:, 1:] - values[:, :1]
        differences[:, 0] += 1.2
        found = _without_intervals(
            {f"c{one}": dict(enumerate(differences[:, one])) for one in range(4)}
        )
        wrong += any(found[f"c{one}"].is_settled for one in (1, 2, 3))
    assert wrong <= _most(2000)


@pytest.mark.slow
def test_a_difference_of_one_standard_deviation_is_found_after_fifteen_seeds_on_average() -> None:
    generator = np.random.default_rng(7)
    found = [
        _without_intervals({"c": dict(enumerate(generator.normal(1, 1, 32)))})["c"]
        for _ in range(1000)
    ]
    assert sum(one.is_settled for one in found) >= 970
    assert np.mean([len(one.seeds) for one in found]) <= 15


@pytest.mark.slow
def test_the_interval_covers_the_truth() -> None:
    generator, missed = np.random.default_rng(11), 0
    for _ in range(300):
        truth = generator.choice([0.0, 0.7])
        values = generator.normal(truth, 1, 32)
        [found] = answers({"c": dict(enumerate(values))}, range(32), looks_until(32)).values()
        assert found.interval is not None
        missed += not found.interval[0] <= truth <= found.interval[1]
    assert missed <= _most(300)


def test_a_t_test_looked_at_after_every_seed_concludes_falsely_in_one_study_of_five() -> None:
    """What the looks are for: the naive way, beside them."""
    values, naive = np.random.default_rng(3).normal(0, 1, (2000, 32)), np.zeros(2000, np.bool_)
    for pairs in range(3, 33):
        naive |= ttest_1samp(values[:, :pairs], 0, axis=1).pvalue <= 0.05
    assert naive.mean() > 0.2
