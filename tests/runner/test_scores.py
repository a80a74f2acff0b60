from dataclasses import fields

import numpy as np
import pytest
from optrun.runner.engine.advice import advice
from optrun.runner.engine.scores import score, sigmoid, stuck_at_chance
from optrun.runner.events import EpochRecord
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score


def test_scores_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200)
    logits = random.normal(labels * 2.0 - 1.0, 1.5)
    scores = score(logits, labels)
    probabilities = 1 / (1 + np.exp(-logits))
    assert scores.log_loss == pytest.approx(log_loss(labels, probabilities), rel=1e-12)
    assert scores.accuracy == np.mean((probabilities > 0.5) == labels)


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    labels, logits = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    assert score(logits, labels).roc_auc == pytest.approx(3 / 4)


def test_an_extreme_wrong_answer_costs_its_logit_and_does_not_overflow() -> None:
    assert score(np.array([1000.0]), np.array([0])).log_loss == pytest.approx(1000.0)


def test_auc_of_one_class_is_not_defined() -> None:
    assert score(np.array([1.0, 2.0]), np.array([1, 1])).roc_auc is None


@pytest.mark.parametrize(
    ("loss", "epoch", "stuck"),
    [(0.6931, 2, True), (0.6999, 3, True), (0.6931, 1, False), (0.68, 2, False), (0.71, 2, False)],
)
def test_stuck_means_within_one_per_cent_of_guessing_after_the_first_epoch(
    loss: float, epoch: int, stuck: bool
) -> None:
    assert stuck_at_chance(loss, epoch=epoch) is stuck


def epoch_record(epoch: int, *, training_loss: float = 0.5, updates: int) -> EpochRecord:
    names = [one.name for one in fields(EpochRecord)]
    facts = {"epoch": epoch, "training_loss": training_loss, "updates": updates}
    return EpochRecord(**dict.fromkeys(names, 0.0) | facts)


@pytest.mark.parametrize(
    ("losses", "updates", "told"),
    [
        ([0.5, 0.4], [10, 20], [None, None]),
        ([0.6931, 0.6931, 0.6931], [10, 20, 30], [None, "does not learn", None]),
        ([0.6931, 0.6931, 0.6931], [0, 0, 0], ["10 of 10 updates were skipped", None, None]),
        ([0.7, 0.6931, 0.6931], [9, 12, 22], [None, "8 of 20 updates were skipped", None]),
    ],
)
def test_each_matter_is_told_once_and_overflow_before_what_it_causes(
    losses: list[float], updates: list[int], told: list[str | None]
) -> None:
    records = []
    for number, (loss, count) in enumerate(zip(losses, updates, strict=True), 1):
        records.append(epoch_record(number, training_loss=loss, updates=count))
        said, wanted = advice(records, lambda epochs: 10 * epochs), told[number - 1]
        assert said is None if wanted is None else wanted in (said or "")


@pytest.mark.parametrize("count", [2, 3, 50, 2000])
@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_auc_is_that_of_counting_all_pairs(count: int, decimals: int) -> None:
    random = np.random.default_rng(count)
    labels = random.permutation(np.arange(count) % 3 == 0).astype(int)
    logits = np.round(random.normal(labels, 1.0), decimals)  # the fewer digits, the more ties
    pairs = logits[labels == 1][:, None] - logits[labels == 0][None, :]
    counted = (np.count_nonzero(pairs > 0) + np.count_nonzero(pairs == 0) / 2) / pairs.size
    found = score(logits, labels).roc_auc
    assert found == counted
    assert found == pytest.approx(roc_auc_score(labels, logits), abs=1e-15)


def test_auc_without_finite_scores_is_not_defined() -> None:
    assert score(np.array([np.inf, 1.0]), np.array([0, 1])).roc_auc is None


def test_sigmoid_agrees_with_scipy_on_either_side() -> None:
    z = np.linspace(-700, 700, 3001)
    np.testing.assert_allclose(sigmoid(z), expit(z), rtol=1e-15)
