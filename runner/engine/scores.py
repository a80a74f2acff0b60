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
    """Score logits against labels.

    The log loss of one photo is log(1 + exp(-z)) for a dog and log(1 + exp(z)) for a cat, which
    `logaddexp` computes without overflow and without clipping the probability.

    Args:
        logits: float [n]; positive means dog.
        labels: int [n]; 0 cat, 1 dog.

    Example:
        >>> score(np.array([2.0, -1.0, 0.5]), np.array([1, 0, 0])).accuracy
        0.6666666666666666
    """
    from sklearn.metrics import roc_auc_score

    z = np.asarray(logits, np.float64)
    dog = np.asarray(labels) == 1
    both = bool(dog.any() and not dog.all())
    return Scores(
        log_loss=float(np.mean(np.logaddexp(0, np.where(dog, -z, z)))),
        accuracy=float(np.mean((z > 0) == dog)),
        roc_auc=float(roc_auc_score(dog, z)) if both and bool(np.isfinite(z).all()) else None,
    )


def sigmoid(z: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-z)) without overflow, and to the last digits on either side.

    Args:
        z: float, of any shape.

    Example:
        >>> sigmoid([-1000.0, 0.0, 1000.0]).tolist()
        [0.0, 0.5, 1.0]
    """
    z = np.asarray(z, np.float64)
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, small) / (1.0 + small), np.float64)


def stuck_at_chance(training_loss: float, *, epoch: int) -> bool:
    """Whether a whole epoch after the first ended within 1 % of the loss of guessing.

    Args:
        training_loss: Mean loss over the epoch.
        epoch: Counted from 1.
    """
    return epoch > 1 and abs(training_loss - LOG_LOSS_AT_CHANCE) <= 0.01 * LOG_LOSS_AT_CHANCE
