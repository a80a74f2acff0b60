"""How good predictions are: log loss, accuracy, ROC AUC, from logits, in float64."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# A network that answers "50 %" for every photo has this log loss.
LOG_LOSS_AT_CHANCE = float(np.log(2))

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Scores:
    """Scores over some photos; `roc_auc` is None where only one class is present."""

    log_loss: float
    accuracy: float
    roc_auc: float | None


def score(logits: Floats, labels: npt.NDArray[np.integer]) -> Scores:
    """Score logits [n], of which a positive one means 1, against labels [n], 0 or 1."""
    z = np.asarray(logits, np.float64)
    return Scores(
        log_loss=float(np.mean(log_losses(z, labels))),
        accuracy=float(np.mean(told_right(z, labels))),
        roc_auc=roc_auc(z, np.asarray(labels) == 1),
    )


def log_losses(logits: Floats, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Of each photo: log(1 + exp(-z)) for a 1 and log(1 + exp(z)) for a 0.

    `logaddexp` computes them without overflow and without clipping the probability.
    """
    z = np.asarray(logits, np.float64)
    return np.asarray(np.logaddexp(0, np.where(np.asarray(labels) == 1, -z, z)), np.float64)


def told_right(logits: Floats, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """1 for each photo that is told right, else 0."""
    return np.asarray((np.asarray(logits) > 0) == (np.asarray(labels) == 1), np.float64)


def roc_auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float | None:
    """The share of pairs of a positive and a negative in the right order; a tie is half a pair.

    With the ranks r of all scores, tied ones sharing their mean, the P positives and N negatives
    have AUC = (sum of the positives' r - P (P + 1) / 2) / (P N) (Mann & Whitney 1947). Ranks are
    multiples of a half, so that nothing is rounded before the division. None without both kinds, or
    where a score is not finite.

    >>> roc_auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True]))
    0.875
    """
    positives = int(np.count_nonzero(positive))
    negatives = len(scores) - positives
    if not positives or not negatives or not np.isfinite(scores).all():
        return None
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def sigmoid(z: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-z)) without overflow, and to the last digits on either side."""
    z = np.asarray(z, np.float64)
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, small) / (1.0 + small), np.float64)


def stuck_at_chance(training_loss: float, *, epoch: int) -> bool:
    """Whether a whole epoch after the first ended within 1 % of the loss of guessing."""
    return epoch > 1 and abs(training_loss - LOG_LOSS_AT_CHANCE) <= 0.01 * LOG_LOSS_AT_CHANCE
