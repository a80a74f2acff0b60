"""The photos that a network is most wrong about: as a list, and as a contact sheet."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from optrun.data.images.contact_sheet import Tile, contact_sheet
from optrun.runner.inference.answers import Prediction
from optrun.runner.inference.evaluated_photos import Part
from optrun.runner.inference.evaluation import CLASSES, most_wrong
from optrun.runner.inference.prediction_formats import percentage

MOST_ON_A_SHEET = 40
_LEAST_SURE = 16  # shown where nothing is told wrong


@dataclass(frozen=True)
class Judged:
    """A photo, what it shows and what the network says.

    Attributes:
        part: The name of the part that it is of.
        truth: "cat" or "dog".
        prediction: What the network says.
        pixels: uint8 [h, w, 3], as the network got it.
    """

    part: str
    truth: str
    prediction: Prediction
    pixels: npt.NDArray[np.uint8]

    @property
    def wrong(self) -> bool:
        return self.prediction.answer != self.truth


def worst(parts: Sequence[Part], logits: Sequence[npt.NDArray[np.float32]]) -> tuple[Judged, ...]:
    """The photos told wrong, the surest mistake first; the least sure ones where none is wrong.

    Args:
        parts: The photos.
        logits: The network's answers, for each part.
    """
    names = [part.name for part in parts for _ in part.positions]
    places = [(part.photos, int(position)) for part in parts for position in part.positions]
    labels = np.concatenate([part.photos.labels[part.positions] for part in parts])
    answers = np.concatenate(list(logits))
    any_wrong = bool(np.any((answers > 0) != (labels == 1)))
    chosen = most_wrong(answers, labels, MOST_ON_A_SHEET if any_wrong else _LEAST_SURE)
    return tuple(
        Judged(
            names[index],
            CLASSES[labels[index]],
            Prediction(places[index][0].ids[places[index][1]], float(answers[index])),
            places[index][0].pixels[places[index][1]],
        )
        for index in chosen
    )


def sheet(photos: Sequence[Judged], *, run: str, wrong: int, total: int) -> bytes:
    """The photos side by side, as a PNG file.

    Args:
        photos: At least one; see `worst`.
        run: The run's name.
        wrong: How many photos it tells wrong in all.
        total: How many photos it was shown.
    """
    if wrong:
        all_of_them = "" if wrong == len(photos) else f", the worst {len(photos)}"
        title = f"{wrong:,} of {total:,} photos told wrong{all_of_them}\n{run}"
    else:
        title = f"All {total:,} photos told right; these {len(photos)} least surely\n{run}"
    return contact_sheet([_tile(photo) for photo in photos], title=title)


def _tile(photo: Judged) -> Tile:
    prediction = photo.prediction
    # Of a long path, its end tells photos apart.
    name = prediction.name.rpartition("/")[2]
    said = f"said {prediction.answer} {percentage(prediction.probability)}"
    caption = f"{name}\na {photo.truth}, {said}"
    return Tile(photo.pixels, caption, "wrong" if photo.wrong else "right")
