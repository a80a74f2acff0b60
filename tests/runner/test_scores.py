import numpy as np
import pytest
from optrun.runner.engine.scores import score, stuck_at_chance
from sklearn.metrics import log_loss


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
