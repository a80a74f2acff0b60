"""Calibration: against definitions worked out by hand, closed forms, SciPy and scikit-learn."""

import numpy as np
import pytest
from optrun.runner.inference import statistics
from scipy import optimize, special, stats
from sklearn.metrics import brier_score_loss, log_loss


def logit_of(probability: float) -> float:
    return float(special.logit(probability))


def test_the_error_of_two_bins_by_hand() -> None:
    # 30 photos said to be 20 % dog, of which 9 are (30 %); 30 at 90 %, of which 21 are (70 %).
    logits = np.repeat([logit_of(0.2), logit_of(0.9)], 30)
    labels = np.repeat([1, 0, 1, 0], [9, 21, 21, 9])
    found = statistics.calibration(logits, labels)
    assert [
        (one["photos"], round(one["probability"], 9), one["share"])
        for one in found.calibration_bins
    ] == [
        (30, 0.2, 0.3),
        (30, 0.9, 0.7),
    ]
    assert found.calibration_error == pytest.approx((0.1 + 0.2) / 2)
    assert found.mean_confidence == pytest.approx((0.8 + 0.9) / 2)
    assert found.brier_score == pytest.approx(brier_score_loss(labels, special.expit(logits)))


def test_bins_hold_equally_many_photos_at_most_fifteen_and_at_least_twenty_photos() -> None:
    random = np.random.default_rng(0)
    for count, bins in ((1, 1), (39, 1), (40, 2), (299, 14), (300, 15), (5000, 15)):
        found = statistics.calibration(random.normal(0, 3, count), np.arange(count) % 2)
        sizes = [one["photos"] for one in found.calibration_bins]
        assert len(sizes) == bins
        assert sum(sizes) == count
        assert max(sizes) - min(sizes) <= 1


def test_the_order_of_the_photos_does_not_matter() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.integers(-3, 4, 500).astype(float), random.integers(0, 2, 500)
    shuffled = random.permutation(500)
    first = statistics.calibration(logits, labels)
    second = statistics.calibration(logits[shuffled], labels[shuffled])
    assert first.calibration_bins == second.calibration_bins
    assert first.calibration_error == pytest.approx(second.calibration_error, abs=1e-12)
    assert sum(one["photos"] for one in first.calibration_bins) == 500


def test_too_high_for_dogs_and_too_low_for_cats_does_not_cancel_out() -> None:
    logits = np.repeat([logit_of(0.9), logit_of(0.3)], 100)
    labels = np.repeat([1, 0, 1, 0], [70, 30, 10, 90])  # both 20 points too high
    assert statistics.calibration(logits, labels).calibration_error == pytest.approx(0.2)


def test_the_error_by_chance_of_one_bin_is_the_binomials_mean_deviation() -> None:
    found = statistics.calibration(np.zeros(300), np.arange(300) % 2)
    k = np.arange(301)
    expected = np.sum(stats.binom.pmf(k, 300, 0.5) * abs(k - 150)) / 300
    assert len(found.calibration_bins) == 1  # equal logits
    assert found.calibration_error == 0
    assert found.calibration_error_by_chance == pytest.approx(expected, rel=0.1)
    assert found.calibration_error_by_chance_95 == pytest.approx(
        1.96 * np.sqrt(0.25 / 300), rel=0.1
    )


def test_a_calibrated_network_is_called_so_95_times_in_100_and_an_overconfident_one_is_not() -> (
    None
):
    random = np.random.default_rng(0)
    off, overconfident = 0, 0
    for _ in range(150):
        logits = random.normal(0, 3, 300)
        labels = (random.random(300) < special.expit(logits)).astype(int)
        found = statistics.calibration(logits, labels)
        off += found.calibration_error > found.calibration_error_by_chance_95
        surer = statistics.calibration(2 * logits, labels)
        overconfident += surer.calibration_error > surer.calibration_error_by_chance_95
    assert 0 <= off / 150 <= 0.11
    assert overconfident / 150 > 0.9


def test_a_million_photos_are_drawn_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(0, 3, 300), np.arange(300) % 2
    whole = statistics.calibration(logits, labels)
    monkeypatch.setattr(statistics, "_NUMBERS_AT_ONCE", 1)
    assert statistics.calibration(logits, labels) == whole


def test_the_temperature_is_that_of_the_lowest_log_loss() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, 400)
    labels = (random.random(400) < special.expit(logits / 2.5)).astype(int)
    best = optimize.minimize_scalar(
        lambda t: log_loss(labels, special.expit(logits / t)), bounds=(0.1, 20), method="bounded"
    )
    assert statistics.temperature(logits, labels) == pytest.approx(best.x, rel=1e-3)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [([3.0, -2.0, 1.0], [1, 0, 1]), ([3.0, -2.0, 1.0], [0, 1, 0]), ([0.0, 0.0], [0, 1])],
)
def test_there_is_no_best_temperature_where_all_is_right_or_worse_than_chance(
    logits: list[float], labels: list[int]
) -> None:
    assert statistics.temperature(np.array(logits), np.array(labels)) is None


def test_losses_are_scikit_learns_and_finite_where_a_probability_would_round_to_0() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(0, 4, 100), random.integers(0, 2, 100)
    mean = statistics.losses(logits, labels).mean()
    assert mean == pytest.approx(log_loss(labels, special.expit(logits)))
    assert statistics.losses(np.array([-2000.0, 2000.0]), np.array([1, 0])).tolist() == [2000] * 2
