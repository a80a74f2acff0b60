"""How good a trained network is on photos, and what it is most wrong about: no texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from optrun.data.labels import CLASS_NAMES
from optrun.runner.inference import statistics
from optrun.runner.inference.prediction import Prediction
from optrun.runner.inference.statistics import Calibration, Estimate, Labels

if TYPE_CHECKING:
    from optrun.data.photos import Photos
    from optrun.runner.inference.classifier import Trained

_MOST_ON_A_SHEET, _LEAST_SURE = 40, 16  # shown of mistakes; where nothing is told wrong

Logits = npt.NDArray[np.floating]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """How good a network is on some photos."""

    accuracy: Estimate
    log_loss: Estimate  # in nats
    roc_auc: Estimate | None  # None where one class is missing
    calibration: Calibration
    confusion: tuple[tuple[int, int], tuple[int, int]]  # by label of the truth, then the answer

    @property
    def photos(self) -> int:
        return sum(map(sum, self.confusion))

    @property
    def wrong(self) -> int:
        return self.confusion[0][1] + self.confusion[1][0]

    def of_class(self, label: int) -> int:
        return sum(self.confusion[label])


def measure(logits: Logits, labels: Labels) -> Evaluation:
    """Scores a network's answers; a photo is told to be of label 1 where its logit is above 0.

    Raises:
        ValueError: There is no photo, or a logit is not finite.
    """
    z = np.asarray(logits, np.float64)
    if len(z) == 0 or not np.isfinite(z).all():
        raise ValueError("logits must be finite numbers, at least one")
    labels = np.asarray(labels)
    said, truth = z > 0, labels == 1
    counts = [[int(np.sum((truth == t) & (said == s))) for s in (0, 1)] for t in (0, 1)]
    return Evaluation(
        accuracy=statistics.proportion(counts[0][0] + counts[1][1], len(z)),
        log_loss=statistics.mean(statistics.losses(z, truth)),
        roc_auc=statistics.roc_auc(z, labels),
        calibration=statistics.calibration(z, labels),
        confusion=((counts[0][0], counts[0][1]), (counts[1][0], counts[1][1])),
    )


class Tempered(NamedTuple):
    """What becomes of the test photos' log loss if all logits are divided by a temperature."""

    temperature: float  # that of the lowest log loss on the validation photos
    log_loss: float


def tempered(
    validation_logits: Logits, validation_labels: Labels, test_logits: Logits, test_labels: Labels
) -> Tempered | None:
    """Fits a temperature on the validation photos and tries it on the test photos."""
    fitted = statistics.temperature(np.asarray(validation_logits, np.float64), validation_labels)
    if fitted is None:
        return None
    scaled = np.asarray(test_logits, np.float64) / fitted
    return Tempered(fitted, float(np.mean(statistics.losses(scaled, test_labels))))


def most_wrong(logits: Logits, labels: Labels, count: int) -> Positions:
    """The positions of the photos with the highest losses, the highest first.

    At most `count` of those that are told wrong; where none is, as many of all.
    """
    z = np.asarray(logits, np.float64)
    ranked = np.argsort(-statistics.losses(z, labels), kind="stable")
    wrong = (z > 0) != (np.asarray(labels) == 1)
    worst = ranked[wrong[ranked]] if wrong.any() else ranked
    return np.asarray(worst[:count], np.int64)


@dataclass(frozen=True)
class Part:
    """Photos that a network was measured on, and its answers."""

    name: str  # "validation" or "test" of the run itself, "photos" of others
    photos: "Photos"  # all of the source
    positions: Positions  # which of them
    logits: Logits

    @cached_property
    def labels(self) -> Labels:
        return self.photos.labels[self.positions]

    @cached_property
    def evaluation(self) -> Evaluation:
        return measure(self.logits, self.labels)


@dataclass(frozen=True)
class Judged:
    """A photo of a part, uint8 [h, w, 3], what it shows and what the network says."""

    part: str
    truth: str
    prediction: Prediction
    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Report:
    """All there is to show."""

    trained: "Trained"
    parts: Sequence[Part]  # one or two, none of them empty
    left_out: int | None  # photos that the network was trained on; None where that is unknown
    notes: Sequence[str]  # what a person should know of the choice of photos
    flip: bool  # whether each logit is the mean of a photo's and its mirror image's

    @property
    def wrong(self) -> int:
        return sum(part.evaluation.wrong for part in self.parts)

    @property
    def photos(self) -> int:
        return sum(part.evaluation.photos for part in self.parts)

    @cached_property
    def tempered(self) -> Tempered | None:
        """What a temperature would change; None also where there is no test part."""
        if [part.name for part in self.parts] != ["validation", "test"]:
            return None
        validation, test = self.parts
        return tempered(validation.logits, validation.labels, test.logits, test.labels)

    @cached_property
    def worst(self) -> list[Judged]:
        """The photos told wrong, the surest mistake first; the least sure where none is wrong."""
        places = [(part, int(position)) for part in self.parts for position in part.positions]
        labels = np.concatenate([part.labels for part in self.parts])
        logits = np.concatenate([part.logits for part in self.parts])
        found = []
        for index in most_wrong(logits, labels, _MOST_ON_A_SHEET if self.wrong else _LEAST_SURE):
            part, position = places[index]
            said = Prediction(part.photos.ids[position], float(logits[index]))
            pixels = part.photos.pixels[position]
            found.append(Judged(part.name, CLASS_NAMES[labels[index]], said, pixels))
        return found
