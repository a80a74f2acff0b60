"""The tests behind a verdict, against brute force, SciPy and simulation."""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from optrun.runner.verdict import permutation
from optrun.runner.verdict.permutation import Inversion, paired, unpaired
from scipy import stats

random = np.random.default_rng(5)
CASES = {
    "normal": random.normal(0.3, 1, 9),
    "heavy tails": random.standard_t(2, 8) + 0.5,
    "whole photos": random.integers(-3, 5, 10) / 308,
    "zeros": np.array([0.0, 0, 0, 1, 2, -1]),
    "all alike": np.full(6, 0.5),
    "one": np.array([1.5]),
    "two": np.array([1.0, -3.0]),
}


def by_brute_force(differences: np.ndarray, shift: float = 0.0) -> float:
    """Every flip, in exact arithmetic, so that ties are ties."""
    exact = [Fraction(float(d)).limit_denominator(10**12) - Fraction(shift) for d in differences]
    observed = abs(sum(exact))
    flips = itertools.product((1, -1), repeat=len(exact))
    sums = (abs(sum(s * d for s, d in zip(flip, exact, strict=True))) for flip in flips)
    found = [one >= observed for one in sums]
    return sum(found) / len(found)


@pytest.mark.parametrize("differences", CASES.values(), ids=CASES)
def test_the_sign_flip_test_is_that_of_all_flips(differences: np.ndarray) -> None:
    assert paired(differences).p_value() == by_brute_force(differences)


@pytest.mark.parametrize("differences", [CASES["normal"], CASES["heavy tails"]])
def test_the_sign_flip_test_is_scipys(differences: np.ndarray) -> None:
    found = stats.permutation_test(
        (differences,), lambda d: abs(np.mean(d)), permutation_type="samples",
        alternative="greater", n_resamples=np.inf, vectorized=False,
    )  # fmt: skip
    assert paired(differences).p_value() == pytest.approx(found.pvalue, abs=1e-12)


@pytest.mark.parametrize("sizes", [(5, 5), (4, 7), (2, 6), (6, 3)])
def test_the_permutation_test_is_scipys(sizes: tuple[int, int]) -> None:
    x, y = random.normal(1, 1, sizes[0]), random.normal(0, 2, sizes[1])
    found = stats.permutation_test(
        (x, y), lambda a, b: abs(np.mean(a) - np.mean(b)),
        alternative="greater", n_resamples=np.inf, vectorized=False,
    )  # fmt: skip
    assert unpaired(x, y).p_value() == pytest.approx(found.pvalue, abs=1e-12)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3, 1 / 16])
@pytest.mark.parametrize("differences", CASES.values(), ids=CASES)
def test_an_interval_holds_what_the_same_test_does_not_reject(
    differences: np.ndarray, alpha: float
) -> None:
    test = paired(differences)
    interval = test.interval(alpha)
    if interval is None:
        assert 2 / 2 ** len(differences) > alpha
        return
    step = 1e-9 * max(1.0, float(np.ptp(differences)))
    for end, outwards in zip(interval, (-step, step), strict=True):
        assert by_brute_force(differences, end + outwards) <= alpha
        assert by_brute_force(differences, end - outwards) > alpha or np.ptp(differences) == 0


@pytest.mark.parametrize("sizes", [(5, 5), (4, 7), (3, 6)])
def test_an_unpaired_interval_holds_what_the_same_test_does_not_reject(
    sizes: tuple[int, int],
) -> None:
    x, y = random.normal(1, 1, sizes[0]), random.normal(0, 2, sizes[1])
    interval = unpaired(x, y).interval(0.05)
    assert interval is not None
    for end, outwards in zip(interval, (-1e-9, 1e-9), strict=True):
        assert unpaired(x - end - outwards, y).p_value() <= 0.05
        assert unpaired(x - end + outwards, y).p_value() > 0.05


@pytest.mark.parametrize(
    "test",
    [paired(CASES["normal"]), unpaired(CASES["normal"], CASES["heavy tails"])],
)
def test_all_rearrangements_speak_for_the_observed_difference(test: Inversion) -> None:
    assert test.p_value(test.difference) == pytest.approx(1)


def test_beyond_twenty_pairs_fixed_flips_come_near_the_exact_value() -> None:
    differences = random.normal(0.4, 1, permutation.MOST_EXACT_PAIRS)
    exact = paired(differences).p_value()
    more = np.append(differences, 0.0)  # a pair that says nothing leaves the exact value as it is
    assert paired(more).p_value() == pytest.approx(exact, abs=4 * math.sqrt(exact / 99_999))
    assert paired(more).p_value() == paired(more).p_value()
    assert paired(np.full(40, 1.0)).p_value() == pytest.approx(1 / 99_999)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 2, 0.05 / 4, 0.05 / 9, 1 / 16])
def test_the_fewest_that_can_conclude_do_and_one_fewer_does_not(alpha: float) -> None:
    def smallest(n: int) -> float:
        return paired(np.arange(1.0, n + 1)).p_value()

    fewest = permutation.fewest_pairs(alpha)
    assert smallest(fewest) <= alpha < smallest(fewest - 1)
    assert paired(np.arange(1.0, fewest + 1)).interval(alpha) is not None
    assert paired(np.arange(1.0, fewest)).interval(alpha) is None
    least = permutation.fewest_unpaired(alpha)
    ranks = np.arange(float(least))
    assert unpaired(ranks + 100, ranks).p_value() <= alpha
    assert unpaired(ranks[1:] + 100, ranks[1:]).p_value() > alpha


@pytest.mark.parametrize("wrong", [[], [1.0, math.nan], [math.inf, 1.0]])
def test_numbers_must_be_finite_and_at_least_one(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        paired(wrong)
    with pytest.raises(ValueError, match="finite"):
        unpaired([1.0], wrong)


def normal(generator: np.random.Generator, n: int) -> np.ndarray:
    return generator.normal(0, 1, n)


def heavy(generator: np.random.Generator, n: int) -> np.ndarray:
    return generator.standard_t(2, n)


def coarse(generator: np.random.Generator, n: int) -> np.ndarray:
    return (generator.binomial(308, 0.05, n) - generator.binomial(308, 0.05, n)) / 308


@pytest.mark.parametrize("draw", [normal, heavy, coarse])
def test_an_interval_covers_the_truth_in_at_least_as_many_studies_as_it_says(
    draw: Callable[[np.random.Generator, int], np.ndarray],
) -> None:
    generator, covered, studies = np.random.default_rng(1), 0, 2000
    for _ in range(studies):
        interval = paired(draw(generator, 8) + 0.25).interval(0.05)
        assert interval is not None
        covered += interval[0] <= 0.25 <= interval[1]
    assert covered >= 0.93 * studies


def test_a_difference_of_one_standard_deviation_is_found_by_32_seeds() -> None:
    generator = np.random.default_rng(2)
    found = [paired(normal(generator, 32) + 1).p_value() <= 0.05 for _ in range(100)]
    assert np.mean(found) >= 0.97


def test_looking_after_every_seed_concludes_falsely_far_too_often() -> None:
    """Why seeds are not added until a p-value is small."""
    differences = np.random.default_rng(3).normal(0, 1, (2000, 16))
    looks = range(3, 17)
    p = [stats.ttest_1samp(differences[:, :n], 0, axis=1).pvalue for n in looks]
    assert np.mean(np.min(p, axis=0) <= 0.05) > 0.2
