"""The intervals of `optrun evaluate`: against SciPy, scikit-learn, print, simulation."""

from collections.abc import Callable

import numpy as np
import pytest
from optrun.runner.inference import statistics
from optrun.runner.verdict.proportion import Estimate, proportion
from scipy import optimize, stats
from sklearn.metrics import roc_auc_score

Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


def holds(found: Estimate, truth: float) -> bool:
    return found.low <= truth <= found.high


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 30), (1, 30), (17, 30), (2450, 2500)])
def test_the_interval_of_a_share_is_clopper_and_pearsons(k: int, n: int) -> None:
    found = proportion(k, n)
    exact = stats.binomtest(k, n).proportion_ci(0.95, "exact")
    assert found.value == k / n
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


@pytest.mark.parametrize("n", [1, 10, 300])
def test_the_interval_of_a_share_holds_it_95_times_in_100_whatever_it_is(n: int) -> None:
    found = [proportion(k, n) for k in range(n + 1)]
    for share in np.concatenate([np.linspace(0, 1, 101), [0.9994, 0.9999]]):
        probabilities = stats.binom.pmf(np.arange(n + 1), n, share)
        coverage = sum(p for p, one in zip(probabilities, found, strict=True) if holds(one, share))
        assert coverage >= 0.95 - 1e-9


def test_a_share_must_be_one() -> None:
    with pytest.raises(ValueError, match="received: 3, 2"):
        proportion(3, 2)


def test_the_interval_of_a_mean_solves_halls_equation() -> None:
    values = np.random.default_rng(1).gamma(0.4, 1, 80)
    found = statistics.mean(values)
    n, g = len(values), stats.skew(values)

    def normalised(mean: float) -> float:
        t = np.sqrt(n) * (values.mean() - mean) / values.std(ddof=1)
        return t + g * t**2 / (3 * n**0.5) + g**2 * t**3 / (27 * n) + g / (6 * n**0.5)

    assert found.value == pytest.approx(values.mean())
    assert normalised(found.low) == pytest.approx(stats.norm.ppf(0.975), abs=1e-6)
    assert normalised(found.high) == pytest.approx(stats.norm.ppf(0.025), abs=1e-6)


def test_without_skewness_the_interval_of_a_mean_is_the_usual_one() -> None:
    values = np.tile([1.0, 2.0, 3.0], 50)
    error = stats.norm.ppf(0.975) * stats.sem(values)
    found = statistics.mean(values)
    assert (found.low, found.high) == pytest.approx((2 - error, 2 + error))


def test_an_interval_of_a_mean_of_losses_has_no_negative_end_and_holds_the_mean() -> None:
    for values in ([0.7], [0.5, 0.5, 0.5], [0.0] * 49 + [9.0], [1e-9, 800.0], [0.1, 0.2]):
        found = statistics.mean(np.array(values))
        assert 0 <= found.low <= found.value <= found.high, values
    assert statistics.mean(np.array([0.7])).high == np.inf


def skewed_losses(random: np.random.Generator) -> np.ndarray:
    """Of a good network: 3 % of 300 photos are difficult."""
    z = np.where(random.random(300) < 0.03, random.normal(-1.5, 2, 300), random.normal(6, 2, 300))
    return np.logaddexp(0, -z)


def test_the_interval_of_a_skewed_mean_holds_it_where_the_usual_one_misses() -> None:
    random = np.random.default_rng(0)
    truth = np.mean([skewed_losses(random).mean() for _ in range(6_000)])
    halls, usual = 0, 0
    for _ in range(600):
        values = skewed_losses(random)
        halls += holds(statistics.mean(values), truth)
        usual += abs(values.mean() - truth) <= 1.96 * stats.sem(values)
    assert halls / 600 >= 0.93
    assert usual / 600 < 0.92


def test_the_auc_is_scikit_learns_also_with_ties() -> None:
    random = np.random.default_rng(0)
    for count in (2, 7, 400):
        labels = np.arange(count) % 2
        logits = random.integers(0, 5, count) + labels.astype(float)
        found = statistics.roc_auc(logits, labels)
        assert found is not None
        assert found.value == pytest.approx(roc_auc_score(labels, logits), abs=1e-12)
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_the_auc_of_hanley_and_mcneils_table() -> None:
    # 58 normal and 51 abnormal images in five ratings; Radiology 143 (1982), table I and page 31.
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    ratings = np.repeat([1.0, 2, 3, 4, 5] * 2, normal + abnormal)
    found = statistics.roc_auc(ratings, np.repeat([0, 1], [58, 51]))
    assert found is not None
    assert found.value == pytest.approx(0.893, abs=5e-4)


def test_the_interval_of_an_auc_is_the_wider_of_delongs_and_newcombes() -> None:
    random = np.random.default_rng(3)
    for dogs, cats, apart in ((40, 25, 2.0), (20, 60, 0.1), (300, 300, 5.0), (100, 90, -1.0)):
        x, y = random.normal(apart, 3, dogs), random.normal(0, 1, cats)
        found = statistics.roc_auc(np.concatenate([y, x]), np.repeat([0, 1], [cats, dogs]))
        wins = (x[:, None] > y).astype(float)  # the definitions, pair by pair
        auc = wins.mean()
        variance = wins.mean(1).var(ddof=1) / dogs + wins.mean(0).var(ddof=1) / cats
        z, logit = stats.norm.ppf(0.975), np.log(auc / (1 - auc))
        half = z * np.sqrt(variance) / (auc * (1 - auc))
        delong = 1 / (1 + np.exp(-np.array([logit - half, logit + half])))

        def excess(theta: float, auc: float = auc, dogs: int = dogs, cats: int = cats) -> float:
            q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)
            n = (dogs + cats) / 2 - 1
            v = theta * (1 - theta) + n * (q1 - theta**2) + n * (q2 - theta**2)
            return abs(auc - theta) - z * np.sqrt(v / (dogs * cats))  # noqa: B023

        newcombe = optimize.brentq(excess, 1e-9, auc), optimize.brentq(excess, auc, 1 - 1e-9)
        assert found is not None
        assert found.low == pytest.approx(min(delong[0], newcombe[0]), abs=1e-6)
        assert found.high == pytest.approx(max(delong[1], newcombe[1]), abs=1e-6)


def test_a_perfect_auc_has_an_interval_that_more_photos_make_narrower() -> None:
    lows = []
    for count in (1, 10, 100, 1000):
        labels = np.repeat([0, 1], count)
        found = statistics.roc_auc(labels * 2.0 - 1, labels)
        worst = statistics.roc_auc(1 - labels * 2.0, labels)
        assert found is not None
        assert worst is not None
        assert (found.value, found.high) == (1, 1)
        assert (worst.value, worst.low) == (0, 0)
        assert worst.high == pytest.approx(1 - found.low)
        lows.append(found.low)
    assert lows == sorted(lows)
    assert 0 < lows[0] < 0.5
    # One dog in m below all cats takes 1 / m off the AUC; the interval must allow for that.
    assert 1 - 4 / 1000 < lows[-1] < 1 - 1 / 1000


def test_of_one_class_there_is_no_auc() -> None:
    assert statistics.roc_auc(np.array([1.0, 2.0]), np.array([1, 1])) is None
    assert statistics.roc_auc(np.array([1.0]), np.array([0])) is None


def normal_auc(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return random.normal(2.9, 1, 50), random.normal(0, 1, 50)


def difficult_auc(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """1 % of each class looks like the other: where DeLong's interval alone holds 88 in 100."""
    dogs, cats = random.normal(6, 2, 150), random.normal(-6, 2, 150)
    difficult = random.random((2, 150)) < 0.01
    return (
        np.where(difficult[0], random.normal(-1.5, 2, 150), dogs),
        np.where(difficult[1], random.normal(1.5, 2, 150), cats),
    )


@pytest.mark.parametrize("draw", [normal_auc, difficult_auc])
def test_the_interval_of_a_high_auc_holds_it_95_times_in_100(draw: Draw) -> None:
    random = np.random.default_rng(0)
    drawn = [draw(random) for _ in range(600)]
    labels = np.repeat([1, 0], len(drawn[0][0]))
    found = [statistics.roc_auc(np.concatenate(pair), labels) for pair in drawn]
    many = [draw(random) for _ in range(20_000 // len(drawn[0][0]))]
    all_dogs, all_cats = (np.concatenate(each) for each in zip(*many, strict=True))
    truth = statistics.placements(all_dogs, all_cats)[0].mean()
    assert np.mean([one is not None and holds(one, truth) for one in found]) >= 0.94
    widths = [one.high - one.low for one in found if one is not None]
    values = [one.value for one in found if one is not None]
    assert np.mean(widths) < 3 * 2 * 1.96 * np.std(values)
