"""Which photos a trained network is measured on: never one that it was trained on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from optrun.data.photos import Photos
from optrun.runner.errors import UserError
from optrun.runner.inference.classifier import Trained
from optrun.runner.plan.resources import decoded
from optrun.runner.ui.console import Display
from optrun.runner.ui.wording import number_of
from optrun.runner.untrusted import printable

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Photos to measure on.

    Attributes:
        name: "validation" or "test" of the run itself, "photos" of others.
        photos: All photos of the source.
        positions: int64, which of them.
    """

    name: str
    photos: Photos
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


def own_parts(trained: Trained, display: Display) -> Chosen:
    """The run's own validation and test photos.

    Raises:
        UserError: They cannot be had, or are not those of the run any more.
    """
    photos, split = trained.photos_and_split(display)
    parts = (Part("validation", photos, split.validation), Part("test", photos, split.test))
    return Chosen(
        tuple(part for part in parts if len(part.positions)),
        0,
        (
            "The validation photos also chose the epoch, which flatters them a little; the test "
            "photos chose nothing.",
        ),
    )


def others(trained: Trained, source: str, display: Display) -> Chosen:
    """All photos of a source, made ready as the run's were, without the run's training photos.

    Args:
        trained: The network.
        source: As `data.source` takes it: an imported name, a path, "cats_vs_dogs" or "sample".
        display: Shows how far decoding is.

    Raises:
        UserError: They cannot be had, or all of them were training photos.
    """
    photos = decoded(source, trained.experiment.data, display)
    if (
        photos.is_sample != trained.run.record.sample
    ):  # drawings and real photos have none in common
        return Chosen((Part("photos", photos, np.arange(len(photos))),), 0, ())
    try:
        own, split = trained.photos_and_split(display)
    except UserError as error:
        note = (
            f"The photos that {trained.run.label} was trained on cannot be told from these, so any "
            f"of them may be among these, and flatter it. {error}"
        )
        return Chosen((Part("photos", photos, np.arange(len(photos))),), None, (note,))
    trained_on = seen(photos, own, split.train)
    if trained_on.all():
        raise UserError(
            f"--data must hold photos that the network was not trained on, received: "
            f"{printable(source)}, whose {number_of(len(photos), 'photo')} all were its training "
            "photos. Leave --data out to measure on the run's own validation and test photos."
        )
    left_out = int(trained_on.sum())
    notes = (
        [f"Left out: {number_of(left_out, 'photo')} that it was trained on."] if left_out else []
    )
    validated = int(seen(photos, own, split.validation).sum())
    if validated:
        notes.append(
            f"Among them: {number_of(validated, 'photo')} that chose its best epoch, which "
            "flatters it a little."
        )
    positions = np.flatnonzero(~trained_on)
    return Chosen((Part("photos", photos, positions),), left_out, tuple(notes))


def seen(photos: Photos, own: Photos, positions: Positions) -> npt.NDArray[np.bool_]:
    """Which photos are, byte by byte or pixel by pixel, among `own` at `positions`.

    Returns:
        bool, one for each of `photos`.
    """
    found = np.zeros(len(photos), np.bool_)
    for name in ("digests", "pixel_digests"):
        known = {row.tobytes() for row in getattr(own, name)[positions]}
        found |= np.array([row.tobytes() in known for row in getattr(photos, name)], np.bool_)
    return found
