"""What `optrun evaluate` counts, against scikit-learn; whom it names as the worst."""

import numpy as np
import pytest
from optrun.runner.inference import statistics
from optrun.runner.inference.evaluation import measure, most_wrong, ranking_notes, tempered
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss


def some_answers(count: int = 500) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, count)
    return (3 * labels - 1.5 + random.normal(0, 1.5, count)).astype(np.float32), labels


def test_accuracy_loss_and_confusion_are_scikit_learns() -> None:
    logits, labels = some_answers()
    found = measure(logits, labels)
    assert np.array_equal(found.confusion, confusion_matrix(labels, logits > 0))
    assert found.accuracy.value == pytest.approx(accuracy_score(labels, logits > 0))
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert found.log_loss.value == pytest.approx(log_loss(labels, probabilities))
    assert found.wrong == np.sum((logits > 0) != labels)
    assert (found.of_class(0), found.of_class(1)) == tuple(np.bincount(labels))


def test_one_class_alone_has_everything_but_an_auc() -> None:
    found = measure(np.array([2.0, -1.0, 3.0]), np.ones(3, np.uint8))
    assert found.roc_auc is None
    assert found.confusion == ((0, 0), (1, 2))
    assert found.accuracy.value == pytest.approx(2 / 3)


def test_answers_that_are_surely_worse_than_guessing_ask_whether_labels_are_swapped() -> None:
    labels = np.arange(60) % 2
    logits = np.random.default_rng(0).normal(labels * 2.0 - 1, 2)
    assert list(ranking_notes("test", measure(logits, labels))) == []
    [note] = ranking_notes("test", measure(logits, 1 - labels))
    assert note.startswith("Surely worse than guessing (test)")
    assert list(ranking_notes("test", measure(-logits[:5], labels[:5]))) == []


def test_a_logit_of_0_says_cat() -> None:
    assert measure(np.zeros(2), np.array([0, 1])).confusion == ((1, 0), (1, 0))


def test_a_confident_mistake_has_a_finite_loss() -> None:
    found = measure(np.array([300.0, -300.0], np.float32), np.array([0, 0]))
    assert found.log_loss.value == pytest.approx(150)


@pytest.mark.parametrize("logits", [[], [np.nan], [np.inf, 1.0]])
def test_logits_must_be_finite(logits: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        measure(np.array(logits), np.zeros(len(logits), np.uint8))


def test_the_worst_are_the_surest_mistakes_in_this_order() -> None:
    logits, labels = some_answers()
    chosen = most_wrong(logits, labels, 10)
    losses = statistics.losses(logits.astype(np.float64), labels)
    assert chosen.tolist() == np.argsort(-losses)[:10].tolist()
    assert all((logits[chosen] > 0) != labels[chosen])
    wrong = int(np.sum((logits > 0) != labels))
    assert len(most_wrong(logits, labels, 500)) == wrong


def test_where_nothing_is_wrong_the_least_sure_ones_are_the_worst() -> None:
    assert most_wrong(np.array([3.0, 0.5, -2.0]), np.array([1, 1, 0]), 2).tolist() == [1, 2]


def test_a_temperature_fitted_on_validation_photos_is_tried_on_test_photos() -> None:
    logits, labels = some_answers()
    found = tempered(4 * logits[:250], labels[:250], 4 * logits[250:], labels[250:])
    assert found is not None
    assert found["fitted_on_validation"] == pytest.approx(
        statistics.temperature(4 * logits[:250].astype(np.float64), labels[:250])
    )
    scaled = 4 * logits[250:].astype(np.float64) / found["fitted_on_validation"]
    assert found["test_log_loss"] == pytest.approx(
        log_loss(labels[250:], 1 / (1 + np.exp(-scaled)))
    )
    assert tempered(logits * 0, labels, logits, labels) is None
