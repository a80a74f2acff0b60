"""An evaluation as a terminal shows it, as CSV, as JSON, and its mistakes as a contact sheet."""

import csv
import io
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from optrun.data.cache.cache_key import Preparation
from optrun.data.images.contact_sheet import Tile, contact_sheet
from optrun.data.labels import CLASS_NAMES, PLURAL_NAMES
from optrun.data.printable import printable
from optrun.runner.inference.classifier import Trained
from optrun.runner.inference.evaluation import Chosen, Evaluation, Part, Tempered, most_wrong
from optrun.runner.inference.prediction import Prediction, percentage
from optrun.runner.inference.statistics import LEVEL, Estimate
from optrun.runner.runs.run_folder import plain
from optrun.runner.ui.text import style
from optrun.runner.ui.wording import number_of

FORMAT = 1

SAMPLE_NOTE = "A run on the built-in sample: its numbers say nothing about real photos."

MOST_ON_A_SHEET = 40
_LEAST_SURE = 16  # shown where nothing is told wrong
_LISTED = 8
_LABEL_WIDTH, _COLUMN_WIDTH = 19, 27
_FEW_MISTAKES = 5
_WORTH_SAYING = 0.01  # of the test log loss


@dataclass(frozen=True)
class Measured:
    """A part's name and how good the network is on it."""

    name: str
    evaluation: Evaluation


@dataclass(frozen=True)
class Judged:
    """A photo, what it shows and what the network says.

    Attributes:
        part: The name of the part that it is of.
        truth: The name of its class.
        prediction: What the network says.
        pixels: uint8 [h, w, 3], as the network got it.
    """

    part: str
    truth: str
    prediction: Prediction
    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Report:
    """All there is to show.

    Attributes:
        trained: The network.
        chosen: The photos.
        measured: What was found, for each part.
        tempered: What a temperature would change; None where there is none, or no test part.
        flip: Whether each logit is the mean of a photo's and its mirror image's.
        worst: The photos it is most wrong about; see `worst`.
    """

    trained: Trained
    chosen: Chosen
    measured: tuple[Measured, ...]
    tempered: Tempered | None
    flip: bool
    worst: tuple[Judged, ...]

    @property
    def wrong(self) -> int:
        """How many photos are told wrong, of all parts."""
        return sum(part.evaluation.wrong for part in self.measured)

    @property
    def photos(self) -> int:
        """How many photos there are in all parts."""
        return sum(part.evaluation.photos for part in self.measured)


def worst(parts: Sequence[Part], logits: Sequence[npt.NDArray[np.float32]]) -> tuple[Judged, ...]:
    """The photos told wrong, the surest mistake first; the least sure ones where none is wrong.

    Args:
        parts: The photos.
        logits: The network's answers, for each part.
    """
    places = [(part, int(position)) for part in parts for position in part.positions]
    labels = np.concatenate([part.photos.labels[part.positions] for part in parts])
    answers = np.concatenate(list(logits))
    any_wrong = bool(np.any((answers > 0) != (labels == 1)))
    chosen = most_wrong(answers, labels, MOST_ON_A_SHEET if any_wrong else _LEAST_SURE)
    return tuple(
        Judged(
            part.name,
            CLASS_NAMES[labels[index]],
            Prediction(part.photos.ids[position], float(answers[index])),
            part.photos.pixels[position],
        )
        for index, (part, position) in ((index, places[index]) for index in chosen)
    )


def contact_sheet_of(report: Report) -> bytes:
    """The worst photos side by side, as a PNG file."""
    photos = report.worst
    if report.wrong:
        all_of_them = "" if report.wrong == len(photos) else f", the worst {len(photos)}"
        title = f"{report.wrong:,} of {report.photos:,} photos told wrong{all_of_them}"
    else:
        title = f"All {report.photos:,} photos told right; these {len(photos)} least surely"
    return contact_sheet(
        [_tile(photo) for photo in photos], title=f"{title}\n{report.trained.run.label}"
    )


def _tile(photo: Judged) -> Tile:
    # Of a long path, its end tells photos apart.
    name = photo.prediction.name.rpartition("/")[2]
    answer = photo.prediction.answer
    said = f"said {answer} {percentage(photo.prediction.probability)}"
    caption = f"{name}\na {photo.truth}, {said}"
    return Tile(photo.pixels, caption, "right" if answer == photo.truth else "wrong")


def table(report: Report, *, sheet: Path | None, width: int, styled: bool) -> str:
    """What a terminal of at least 76 columns shows.

    Args:
        report: What was found.
        sheet: Where the contact sheet was written, if it was.
        width: Columns that sentences may take.
        styled: Whether to use colours.
    """
    lines = [*_heading(report), ""]
    lines += [style(_row("", [part.name for part in report.measured]), "strong", styled)]
    lines += [_row(label, cells) for label, cells in _rows(report)]
    lines += ["", *_most_wrong(report, sheet), ""]
    for note in _notes(report):
        lines += textwrap.wrap(
            f"note: {printable(note)}", width, subsequent_indent="      ", break_on_hyphens=False
        )
    return "\n".join(lines) + "\n"


def csv_text(report: Report) -> str:
    """One line for each part; ends of intervals are `..._low` and `..._high`, 95 %."""
    buffer = io.StringIO()
    rows = [_flat(part) for part in report.measured]
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def json_text(report: Report) -> str:
    """Everything there is; strict JSON, null for what is not defined."""
    trained, photos = report.trained, report.chosen.parts[0].photos
    content = {
        "format": FORMAT,
        "run": trained.run.label,
        "sample": trained.run.record.sample,
        "best_epoch": trained.best_epoch,
        "precision": trained.machine.precision,
        "device": trained.machine.device,
        "flip": report.flip,
        "photos": {
            "source": printable(photos.source),
            "fingerprint": photos.fingerprint,
            "image_size": trained.image_size,
            "resize": trained.experiment.data.resize,
            "antialias": trained.experiment.data.antialias,
            "training_photos_left_out": report.chosen.training_left_out,
        },
        "interval": f"{LEVEL:.0%} over photos",
        "parts": {part.name: _nested(part.evaluation) for part in report.measured},
        "temperature": (
            None
            if report.tempered is None
            else {
                "fitted_on_validation": report.tempered.temperature,
                "test_log_loss": report.tempered.log_loss,
            }
        ),
        "most_wrong": [
            {
                "part": photo.part,
                "photo": printable(photo.prediction.name),
                "truth": photo.truth,
                "answer": photo.prediction.answer,
                "probability": photo.prediction.probability,
            }
            for photo in report.worst
        ],
        "notes": _notes(report),
    }
    return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _heading(report: Report) -> Iterator[str]:
    trained, data = report.trained, report.trained.experiment.data
    epoch = f"epoch {trained.best_epoch}, the best" if trained.best_epoch else "the best epoch"
    flip = ", mean of photo and mirror image" if report.flip else ""
    source = printable(report.chosen.parts[0].photos.source)
    preparation = str(Preparation(trained.image_size, data.resize, data.antialias))
    yield f"run       {trained.run.label}"
    yield f"          {trained.run.record.optimizer}"
    yield f"weights   of {epoch}"
    yield f"photos    {source}, {preparation}{flip}"
    yield f"computed  in {trained.machine.precision} on {trained.machine.device.upper()}"


def _rows(report: Report) -> Iterator[tuple[str, list[str]]]:
    """Labels with a cell for each part."""
    found = [part.evaluation for part in report.measured]
    yield "photos", [_classes(one) for one in found]
    yield "accuracy", [_accuracy(one) for one in found]
    yield "log loss", [_estimate(one.log_loss, ".4f") for one in found]
    yield "ROC AUC", [_estimate(one.roc_auc, ".4f") for one in found]
    yield "Brier score", [f"{one.calibration.brier:.4f}" for one in found]
    yield "mean confidence", [f"{one.calibration.confidence:.1%}" for one in found]
    yield "calibration error", [f"{one.calibration.error:.4f}" for one in found]
    yield (
        "  by chance alone",
        [
            f"{one.calibration.error_by_chance:.4f} "
            f"(95% below {one.calibration.error_by_chance_95:.4f})"
            for one in found
        ],
    )
    said = [f"said {name}" for name in CLASS_NAMES]
    yield "", ["" for _ in found]
    yield "", [f"{said[0]:>9}{said[1]:>10}" for _ in found]
    for label, name in enumerate(PLURAL_NAMES):
        counts = [one.confusion[label] for one in found]
        yield name, [f"{one:>9,}{other:>10,}" for one, other in counts]


def _most_wrong(report: Report, sheet: Path | None) -> Iterator[str]:
    shows = "the surest mistakes" if report.wrong else "the least sure answers"
    yield f"{report.wrong:,} of {number_of(report.photos, 'photo')} told wrong; {shows}:"
    shown = report.worst[:_LISTED]
    width = min(max(len(printable(photo.prediction.name)) for photo in shown), 44)
    for photo in shown:
        name = printable(photo.prediction.name, longest=width)
        part = f"  {photo.part}" if len(report.measured) > 1 else ""
        yield (
            f"  {name:<{width}}  a {photo.truth}, said {photo.prediction.answer} "
            f"{percentage(photo.prediction.probability)}{part}"
        )
    if sheet is not None:
        yield f"  {number_of(len(report.worst), 'photo')} on {printable(str(sheet))}"


def _notes(report: Report) -> list[str]:
    notes = [SAMPLE_NOTE] if report.trained.run.record.sample else []
    notes += [*report.trained.notes, *report.chosen.notes]
    notes += [_calibration_note(part) for part in report.measured]
    test = report.measured[-1].evaluation.log_loss.value
    if report.tempered is not None and report.tempered.log_loss < (1 - _WORTH_SAYING) * test:
        notes.append(
            f"Logits divided by {report.tempered.temperature:.3g}, the best temperature for the "
            f"validation photos, would take the test log loss from {test:.4f} to "
            f"{report.tempered.log_loss:.4f}."
        )
    for part in report.measured:
        if part.evaluation.roc_auc is None:
            present = PLURAL_NAMES[int(part.evaluation.of_class(1) > 0)]
            notes.append(
                f"There are {present} alone ({part.name}): a ROC AUC is not defined, as it ranks "
                f"{PLURAL_NAMES[1]} against {PLURAL_NAMES[0]}."
            )
        if part.evaluation.wrong < _FEW_MISTAKES:
            notes.append(
                f"With {number_of(part.evaluation.wrong, 'mistake')} ({part.name}) the interval of "
                "the log loss is too narrow: it does not know of mistakes that happen to be absent."
            )
    notes.append(
        "In brackets: 95% intervals over photos of this kind. They say nothing of networks trained "
        "with other seeds."
    )
    return notes


def _calibration_note(part: Measured) -> str:
    found = part.evaluation.calibration
    if found.error <= found.error_by_chance_95:
        return (
            f"Calibration ({part.name}): no further off than chance would explain on "
            f"{number_of(part.evaluation.photos, 'photo')}."
        )
    surer = found.confidence - part.evaluation.accuracy.value
    more = sum(one.photos * (one.probability - one.share) for one in found.bins) / (
        part.evaluation.photos
    )
    # What is at least half of the error describes it; else it has several directions.
    if abs(surer) >= max(abs(more), found.error / 2):
        what = f"it is {'surer' if surer > 0 else 'less sure'} than right, by {abs(surer):.1%}"
    elif abs(more) >= found.error / 2:
        often = "readily" if more > 0 else "seldom"
        what = f"it sees {PLURAL_NAMES[1]} too {often}, by {abs(more):.1%}"
    else:
        what = "too sure of some photos, not sure enough of others"
    return f"Calibration ({part.name}): further off than chance explains; {what}."


def _classes(found: Evaluation) -> str:
    counts = (f"{found.of_class(label):,} {name}" for label, name in enumerate(PLURAL_NAMES))
    return f"{found.photos:,}: {', '.join(counts)}"


def _accuracy(found: Evaluation) -> str:
    decimals = 1 if found.photos < 2000 else 2
    return _estimate(found.accuracy, f".{decimals}f", scale=100, unit="%")


def _estimate(found: Estimate | None, spec: str, *, scale: int = 1, unit: str = "") -> str:
    if found is None:
        return "not defined"
    value, low, high = (f"{scale * x:{spec}}" for x in (found.value, found.low, found.high))
    return f"{value + unit:<7} ({low} to {high})"


def _row(label: str, cells: list[str]) -> str:
    columns = "".join(f"{cell:<{_COLUMN_WIDTH}}  " for cell in cells)
    return f"{label:<{_LABEL_WIDTH}}{columns}".rstrip()


def _flat(part: Measured) -> dict[str, str | int | float | None]:
    found = part.evaluation
    row: dict[str, str | int | float | None] = {"part": part.name, "photos": found.photos}
    for name in ("accuracy", "log_loss", "roc_auc"):
        for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            row[name + suffix] = getattr(getattr(found, name), end, None)
    row |= _calibration(found)
    for truth, counts in zip(PLURAL_NAMES, found.confusion, strict=True):
        for answer, count in zip(CLASS_NAMES, counts, strict=True):
            row[f"{truth}_said_{answer}"] = count
    return row


def _nested(found: Evaluation) -> dict[str, object]:
    return {
        "photos": found.photos,
        "accuracy": vars(found.accuracy),
        "log_loss": vars(found.log_loss),
        "roc_auc": None if found.roc_auc is None else vars(found.roc_auc),
        **_calibration(found),
        "calibration_bins": [vars(one) for one in found.calibration.bins],
        "confusion": {
            truth: dict(zip(CLASS_NAMES, counts, strict=True))
            for truth, counts in zip(CLASS_NAMES, found.confusion, strict=True)
        },
    }


def _calibration(found: Evaluation) -> dict[str, float]:
    return {
        "brier_score": found.calibration.brier,
        "mean_confidence": found.calibration.confidence,
        "calibration_error": found.calibration.error,
        "calibration_error_by_chance": found.calibration.error_by_chance,
        "calibration_error_by_chance_95": found.calibration.error_by_chance_95,
    }
