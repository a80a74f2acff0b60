"""What a trained network is measured on, and how good it is there: numbers alone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from optrun.runner.inference import statistics
from optrun.runner.inference.statistics import Calibration, Estimate, Labels

if TYPE_CHECKING:
    from optrun.data.photos import Photos

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """How good a network is on some photos.

    Attributes:
        accuracy: Share of photos told right.
        log_loss: Mean of -log of the probability given to the truth, in nats.
        roc_auc: Probability that a random photo of label 1 is ranked above a random one of label 0;
            None where one class is missing.
        calibration: Whether the probabilities are what they say.
        confusion: Counts by the label of the truth, then by that of the answer.
    """

    accuracy: Estimate
    log_loss: Estimate
    roc_auc: Estimate | None
    calibration: Calibration
    confusion: tuple[tuple[int, int], tuple[int, int]]

    @property
    def photos(self) -> int:
        return sum(map(sum, self.confusion))

    @property
    def wrong(self) -> int:
        """How many photos are told wrong."""
        return self.confusion[0][1] + self.confusion[1][0]

    def of_class(self, label: int) -> int:
        """How many photos of a class there are."""
        return sum(self.confusion[label])


def measure(logits: npt.NDArray[np.floating], labels: Labels) -> Evaluation:
    """Scores a network's answers; a photo is told to be of label 1 where its logit is above 0.

    Args:
        logits: float [n], finite, n at least 1.
        labels: int [n], 0 or 1.

    Raises:
        ValueError: There is no photo, or a logit is not finite.

    Example:
        >>> found = measure(np.array([3.0, -2.0, 0.5, -1.0]), np.array([1, 0, 0, 0]))
        >>> found.accuracy.value, found.confusion
        (0.75, ((2, 1), (0, 1)))
    """
    z = np.asarray(logits, np.float64)
    if len(z) == 0 or not np.isfinite(z).all():
        raise ValueError("logits must be finite numbers, at least one")
    said, truth = z > 0, np.asarray(labels) == 1
    counts = [[int(np.sum((truth == t) & (said == s))) for s in (0, 1)] for t in (0, 1)]
    return Evaluation(
        accuracy=statistics.proportion(counts[0][0] + counts[1][1], len(z)),
        log_loss=statistics.mean(statistics.losses(z, truth)),
        roc_auc=statistics.roc_auc(z, np.asarray(labels)),
        calibration=statistics.calibration(z, np.asarray(labels)),
        confusion=((counts[0][0], counts[0][1]), (counts[1][0], counts[1][1])),
    )


@dataclass(frozen=True)
class Tempered:
    """What becomes of the test photos' log loss if all logits are divided by a temperature.

    Attributes:
        temperature: That of the lowest log loss on the validation photos.
        log_loss: The test photos' mean log loss with it.
    """

    temperature: float
    log_loss: float


def tempered(
    validation_logits: npt.NDArray[np.floating],
    validation_labels: Labels,
    test_logits: npt.NDArray[np.floating],
    test_labels: Labels,
) -> Tempered | None:
    """Fits a temperature on the validation photos and tries it on the test photos.

    Returns:
        None where no temperature is best; see `statistics.temperature`.
    """
    fitted = statistics.temperature(np.asarray(validation_logits, np.float64), validation_labels)
    if fitted is None:
        return None
    scaled = np.asarray(test_logits, np.float64) / fitted
    return Tempered(fitted, float(np.mean(statistics.losses(scaled, test_labels))))


def most_wrong(
    logits: npt.NDArray[np.floating], labels: Labels, count: int
) -> npt.NDArray[np.int64]:
    """The positions of the photos with the highest losses, the highest first.

    At most `count` of those that are told wrong; where none is, as many of all.

    Example:
        >>> most_wrong(np.array([3.0, 1.0, -4.0, 2.0]), np.array([1, 0, 1, 0]), 2)
        array([2, 3])
    """
    z = np.asarray(logits, np.float64)
    ranked = np.argsort(-statistics.losses(z, labels), kind="stable")
    wrong = (z > 0) != (np.asarray(labels) == 1)
    worst = ranked[wrong[ranked]] if wrong.any() else ranked
    return np.asarray(worst[:count], np.int64)


@dataclass(frozen=True)
class Part:
    """Photos to measure on.

    Attributes:
        name: "validation" or "test" of the run itself, "photos" of others.
        photos: All photos of the source.
        positions: int64, which of them.
    """

    name: str
    photos: "Photos"
    positions: Positions


@dataclass(frozen=True)
class Chosen:
    """What a network is measured on.

    Attributes:
        parts: One or two, none of them empty.
        training_left_out: How many photos of the source were left out since the network was
            trained on them; None where that cannot be known.
        notes: What a person should know of the choice, a sentence each.
    """

    parts: tuple[Part, ...]
    training_left_out: int | None
    notes: tuple[str, ...]
