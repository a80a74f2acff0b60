"""What `optrun predict --kaggle` does: every test photo answered, in the file that Kaggle takes."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import numpy as np
import numpy.typing as npt
from optrun.data.printable import printable
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.inference import clipping, kaggle
from optrun.runner.inference.answers import Prediction, sigmoid
from optrun.runner.inference.clipping import Clipping
from optrun.runner.inference.output_file import check_writable, new_file
from optrun.runner.inference.predict import Device, check_exists
from optrun.runner.runs.select import find_run
from optrun.runner.ui.stderr_capture import native_stderr_captured

if TYPE_CHECKING:
    from optrun.data.unlabelled import UnlabelledPhoto
    from optrun.runner.inference.classifier import Trained

Labels = Literal["probability", "hard"]

# Of a photo that can't be read nothing is known but that the test has as many cats as dogs.
_PRIOR = 0.5


@dataclass(frozen=True)
class Request:
    """What the command line asked for; see `optrun predict --help`."""

    run: str
    archive: Path
    output: Path
    labels: Labels = "probability"
    force: bool = False
    flip: bool = False
    device: Device = "auto"


def submit(request: Request) -> int:
    """Writes the submission.

    Returns:
        The exit code: 0, or 1 where test photos could not be read and were given even odds.

    Raises:
        UserError: There is no such run, the archive holds no test photos or not all of them, or the
            output can't be written.
    """
    folder = find_run(request.run)
    check_exists(request.archive, "--kaggle")
    check_writable(request.output, force=request.force)
    archive = printable(str(request.archive))
    with photo_errors():
        # The names first: what is wrong with them should not be found out after an hour.
        ids = kaggle.ids_of(_test_photos(request.archive), request.archive)
        sample = kaggle.sample_submission(request.archive)
        if sample is not None:
            kaggle.check_ids(ids, sample)
        with native_stderr_captured():
            from optrun.runner.inference.classifier import open_trained
            from optrun.runner.inference.messages import Telling
            from optrun.runner.inference.prediction import predictions

            trained = open_trained(folder, device=request.device)
            telling = Telling()
            telling.network(trained, flip=request.flip)
            checked = f"as {sample.place} lists" if sample else "without a list to check them by"
            telling.say(f"{len(ids):,} test photos in {archive}, {checked}")
            if sample is None and (missing := kaggle.gaps(ids)):
                telling.say(f"note: {missing}")
            limit = _limit(trained, request, telling.say)
            found = predictions(trained, _test_photos(request.archive), flip=request.flip)
            logits = _answers(telling.pass_on(found, live=True, total=len(ids)))
            if sorted(logits) != ids:
                raise UserError(f"{archive} changed while it was read; run the command again.")
            with new_file(request.output, force=request.force) as file:
                file.write(kaggle.submission(_labels(logits, limit)))
            telling.say(telling.counts())
            if telling.unreadable:
                given = "0.5" if request.labels == "probability" else "0"
                telling.say(f"note: those that could not be read are in the file with {given}")
    click.echo(f"Wrote {len(ids):,} rows to {printable(str(request.output))}")
    return 1 if telling.unreadable else 0


def _test_photos(archive: Path) -> Iterator["UnlabelledPhoto"]:
    from optrun.data.unlabelled import unlabelled

    for photo in unlabelled([kaggle.place_of_test_photos(archive)]):
        if kaggle.photo_id(photo.name) is not None:
            yield photo


def _answers(found: Iterable[Prediction]) -> dict[int, float | None]:
    """Logits by id; None of those that could not be read."""
    return {number: one.logit for one in found if (number := kaggle.photo_id(one.name)) is not None}


def _labels(
    logits: Mapping[int, float | None], limit: float | None
) -> dict[int, float] | dict[int, int]:
    """Probabilities clipped to the limit; without one, 1 for a dog and 0 for a cat."""
    if limit is None:
        return {number: int(z is not None and z > 0) for number, z in logits.items()}
    probabilities = np.array([_PRIOR if z is None else sigmoid(z) for z in logits.values()])
    return dict(zip(logits, clipping.clipped(probabilities, limit).tolist(), strict=True))


def _limit(trained: "Trained", request: Request, say: Callable[[str], None]) -> float | None:
    """The limit of probabilities, chosen and said; None where they are not asked for."""
    if request.labels == "hard":
        return None
    logits, labels = validation_logits(trained, flip=request.flip)
    chosen = clipping.choose(logits, labels)
    for line in _in_words(chosen):
        say(line)
    return chosen.limit


def _in_words(chosen: Clipping) -> Sequence[str]:
    lines = [
        f"clipped to {chosen.limit:.4f} ... {1 - chosen.limit:.4f}, by the log loss of "
        f"{chosen.photos:,} validation photos: {chosen.log_loss_before:.4f} before, "
        f"{chosen.log_loss_after:.4f} after",
        f"  ({chosen.beyond:,} of them clipped, of which the network has {chosen.wrong_beyond:,} "
        "wrong)",
    ]
    if chosen.log_loss_after > chosen.log_loss_before:
        lines.append(
            f"  (a little higher: {chosen.photos:,} photos cannot show that it may be any surer)"
        )
    return lines


def validation_logits(
    trained: "Trained", *, flip: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Logits of the run's validation photos, float32 [n], and their labels, uint8 [n].

    A completed run has kept those without flipping; then its photos need not be there any more.
    Otherwise they are computed now.

    Raises:
        UserError: They must be computed, and the photos can't be had or are not those of the run.
    """
    from optrun.data.feed.batches import EVALUATION_BATCH, evaluation_batches
    from optrun.runner.engine.scores import score
    from optrun.runner.inference.classifier import logits
    from optrun.runner.inference.kept_predictions import read

    kept = None if flip else read(trained.folder, "validation")
    # Predictions of another run, put in place, have another loss than the one recorded.
    recorded = trained.run.record.measure("best_validation_loss")
    if kept is not None and recorded is not None:
        found = score(kept.logits, kept.labels).log_loss
        if math.isclose(found, recorded, rel_tol=1e-9):
            return kept.logits, kept.labels
    photos, parts = trained.photos_and_split()
    batches = evaluation_batches(photos, parts.validation, batch_size=EVALUATION_BATCH)
    return logits(trained, batches, flip=flip), photos.labels[parts.validation]
