"""What `optrun evaluate` does: measure a network on photos that it was not trained on, and show."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt
from optrun.data.files import write_atomically
from optrun.data.labels import CLASS_NAMES
from optrun.data.photos import Photos
from optrun.runner.errors import UserError
from optrun.runner.inference import report as reports
from optrun.runner.inference import statistics
from optrun.runner.inference.prediction import Prediction, check_writable, live_count, not_writable
from optrun.runner.runs.run_folder import folder_name
from optrun.runner.runs.select import find_run
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.text import terminal_width
from optrun.runner.ui.wording import number_of
from optrun.runner.untrusted import printable
from rich.console import Console

if TYPE_CHECKING:
    from optrun.runner.inference.classifier import Trained

_WIDE = 100  # columns; longer lines of text are hard to read
_MOST_ON_A_SHEET, _LEAST_SURE = 40, 16  # shown of mistakes; where nothing is told wrong

Labels = npt.NDArray[np.integer]
Logits = npt.NDArray[np.floating]
Positions = npt.NDArray[np.int64]


class Evaluation(NamedTuple):
    """How good a network is on some photos."""

    accuracy: statistics.Estimate
    log_loss: statistics.Estimate  # in nats
    roc_auc: statistics.Estimate | None  # None where one class is missing
    calibration: statistics.Calibration
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
    """Scores a network's answers; a photo is told to be of label 1 where its logit is above 0."""
    z, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if len(z) == 0 or not np.isfinite(z).all():
        raise ValueError("logits must be finite numbers, at least one")
    cats, said_dog, said_cat, dogs = np.bincount(2 * (labels == 1) + (z > 0), minlength=4).tolist()
    return Evaluation(
        accuracy=statistics.proportion(cats + dogs, len(z)),
        log_loss=statistics.mean(statistics.losses(z, labels)),
        roc_auc=statistics.roc_auc(z, labels),
        calibration=statistics.calibration(z, labels),
        confusion=((cats, said_dog), (said_cat, dogs)),
    )


class Tempered(NamedTuple):
    """What becomes of the test photos' log loss if all logits are divided by a temperature."""

    fitted_on_validation: float  # the temperature of the lowest log loss there
    test_log_loss: float


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
    """The positions of the highest losses among photos told wrong, or among all if none is."""
    z = np.asarray(logits, np.float64)
    ranked = np.argsort(-statistics.losses(z, labels), kind="stable")
    wrong = (z > 0) != (np.asarray(labels) == 1)
    return (ranked[wrong[ranked]] if wrong.any() else ranked)[:count]


class Judged(NamedTuple):
    """A photo of a part, what it shows and what the network says."""

    part: str
    photo: str
    truth: str
    answer: str
    probability: float  # of the answer


class Report(NamedTuple):
    """All there is to show."""

    trained: "Trained"
    source: Photos
    parts: dict[str, Evaluation]  # "validation" and "test" of the run itself, "photos" of others
    # By position in the source: photos told wrong, the surest first; if none is, the least sure.
    worst: dict[int, Judged]
    tempered: Tempered | None  # None also where there are not both validation and test photos
    left_out: int | None  # photos that the network was trained on; None where that is unknown
    notes: list[str]  # what a person should know of the choice of photos
    flip: bool  # whether each logit is the mean of a photo's and its mirror image's

    @property
    def wrong(self) -> int:
        return sum(part.wrong for part in self.parts.values())

    @property
    def photos(self) -> int:
        return sum(part.photos for part in self.parts.values())


def evaluate(
    run: str,
    *,
    data: str | None,
    flip: bool,
    layout: str,
    sheet: Path | None,
    no_sheet: bool,
    device: str,
) -> None:
    """Measures, prints and draws; the arguments are those of `optrun evaluate`."""
    # All that a person can have mistyped is looked at before TensorFlow is waited for.
    folder = find_run(run)
    place = None if no_sheet else _sheet_place(sheet, folder)
    with native_stderr_captured():
        from optrun.runner.inference.classifier import open_trained

        report = _report(open_trained(folder, device=device), data, flip=flip)
        if place is not None:
            try:
                write_atomically(place, reports.contact_sheet_of(report))
            except OSError as error:
                raise not_writable(place, error, "--sheet") from error
    if layout == "table":
        width = min(max(terminal_width(), 40), _WIDE)
        text = reports.table(report, sheet=place, width=width, styled=sys.stdout.isatty())
    else:
        text = reports.json_text(report) if layout == "json" else reports.csv_text(report)
    click.echo(text, nl=False)
    if place is not None and layout != "table":
        click.echo(f"Wrote {printable(str(place))}", err=True)


def _sheet_place(sheet: Path | None, folder: Path) -> Path:
    """Where the contact sheet goes: never into the run's folder."""
    sheet = sheet or Path(f"most-wrong-{folder_name(folder.name)}.png")
    shown = printable(str(sheet))
    if sheet.suffix.lower() != ".png":
        raise UserError(f"--sheet must be the name of a .png file, received: {shown}")
    if sheet.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"--sheet must be a file outside of the run's folder, which stays as it is, received: "
            f"{shown}. Name one elsewhere, or give --no-sheet."
        )
    check_writable(sheet, force=True, option="--sheet")
    return sheet


def _report(trained: "Trained", data: str | None, *, flip: bool) -> Report:
    from optrun.data.feed.batches import EVALUATION_BATCH, evaluation_batches

    display = Display(Console(stderr=True))
    notes: list[str] = []
    left_out: int | None = 0
    if data is not None:
        photos, positions, left_out = _others(trained, data, display, notes)
        chosen = {"photos": positions}
    else:
        photos, split = trained.photos_and_split(display)
        chosen = {"validation": split.validation, "test": split.test}
        notes.append(
            "The validation photos also chose the epoch, which flatters them a little; the test "
            "photos chose nothing."
        )
    total, seen = sum(map(len, chosen.values())), 0

    def counted(batches: Iterable[Any]) -> Iterator[Any]:
        nonlocal seen
        for pixels, labels in batches:
            yield pixels
            seen += len(labels)
            show(seen, f"{seen:,}/{total:,}")

    answers: dict[str, tuple[Logits, Labels]] = {}
    with live_count(display.console, total) as show:
        for part, positions in chosen.items():
            if not len(positions):
                continue
            batches = evaluation_batches(photos, positions, batch_size=EVALUATION_BATCH)
            logits = trained.logits(counted(batches), flip=flip)
            if not np.isfinite(logits).all():
                raise UserError(
                    f"The network of {trained.run.label} has no finite answer for "
                    f"{int(np.sum(~np.isfinite(logits))):,} of {len(logits):,} photos, computed in "
                    f"{trained.machine.precision}: it cannot be measured."
                )
            answers[part] = logits, photos.labels[positions]
    return Report(
        trained,
        photos,
        parts={part: measure(*answer) for part, answer in answers.items()},
        worst=_worst(photos, chosen, answers),
        tempered=tempered(*answers["validation"], *answers["test"]) if len(answers) == 2 else None,
        left_out=left_out,
        notes=notes,
        flip=flip,
    )


def _worst(
    photos: Photos, chosen: dict[str, Positions], answers: dict[str, tuple[Logits, Labels]]
) -> dict[int, Judged]:
    places = [(part, int(position)) for part in answers for position in chosen[part]]
    logits, labels = map(np.concatenate, zip(*answers.values(), strict=True))
    wrong = ((logits > 0) != (labels == 1)).any()
    found = {}
    for index in most_wrong(logits, labels, _MOST_ON_A_SHEET if wrong else _LEAST_SURE):
        part, position = places[index]
        said = Prediction(photos.ids[position], float(logits[index]))
        truth = CLASS_NAMES[labels[index]]
        found[position] = Judged(part, said.name, truth, said.answer, said.probability)
    return found


def _others(
    trained: "Trained", source: str, display: Display, notes: list[str]
) -> tuple[Photos, Positions, int | None]:
    """A source's photos, positions of those never trained on, how many were; notes are added."""
    from optrun.runner.plan.resources import decoded

    photos = decoded(source, trained.experiment.data, display)
    # Drawings and real photos have none in common.
    if photos.is_sample != trained.run.record.sample:
        return photos, np.arange(len(photos)), 0
    try:
        own, split = trained.photos_and_split(display)
    except UserError as error:
        notes.append(
            f"The photos that {trained.run.label} was trained on cannot be told from these, so any "
            f"of them may be among these, and flatter it. {error}"
        )
        return photos, np.arange(len(photos)), None
    trained_on = _seen(photos, own, split.train)
    if trained_on.all():
        raise UserError(
            f"--data must hold photos that the network was not trained on, received: "
            f"{printable(source)}, whose {number_of(len(photos), 'photo')} all were its training "
            "photos. Leave --data out to measure on the run's own validation and test photos."
        )
    if left_out := int(trained_on.sum()):
        notes.append(f"Left out: {number_of(left_out, 'photo')} that it was trained on.")
    if validated := int(_seen(photos, own, split.validation).sum()):
        notes.append(
            f"Among them: {number_of(validated, 'photo')} that chose its best epoch, which "
            "flatters it a little."
        )
    return photos, np.flatnonzero(~trained_on), left_out


def _seen(photos: Photos, own: Photos, positions: Positions) -> npt.NDArray[np.bool_]:
    """Which photos are, byte by byte or pixel by pixel, among `own` at `positions`."""
    known = {bytes(row) for row in own.digests[positions]}
    looks = {bytes(row) for row in own.pixel_digests[positions]}
    pairs = zip(photos.digests, photos.pixel_digests, strict=True)
    return np.array([bytes(one) in known or bytes(look) in looks for one, look in pairs], np.bool_)
