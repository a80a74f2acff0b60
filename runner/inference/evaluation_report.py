"""An evaluation as a terminal shows it, as CSV and as JSON."""

import csv
import io
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from optrun.data.cache.cache_key import Preparation
from optrun.data.printable import printable
from optrun.runner.inference.classifier import Trained
from optrun.runner.inference.evaluated_photos import Chosen
from optrun.runner.inference.evaluation import CLASSES, Evaluation, Tempered
from optrun.runner.inference.intervals import LEVEL, Estimate
from optrun.runner.inference.prediction_formats import percentage
from optrun.runner.inference.wrong_photos import Judged
from optrun.runner.runs.run_folder import plain
from optrun.runner.ui.wording import number_of

FORMAT = 1

SAMPLE_NOTE = "A run on the built-in sample: its numbers say nothing about real photos."

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
class Report:
    """All there is to show.

    Attributes:
        trained: The network.
        chosen: The photos.
        measured: What was found, for each part.
        tempered: What a temperature would change; None where there is none, or no test part.
        flip: Whether each logit is the mean of a photo's and its mirror image's.
        worst: The photos it is most wrong about; see `wrong_photos.worst`.
    """

    trained: Trained
    chosen: Chosen
    measured: tuple[Measured, ...]
    tempered: Tempered | None
    flip: bool
    worst: tuple[Judged, ...]


def table(report: Report, *, sheet: Path | None, width: int, styled: bool) -> str:
    """What a terminal of at least 76 columns shows.

    Args:
        report: What was found.
        sheet: Where the contact sheet was written, if it was.
        width: Columns that sentences may take.
        styled: Whether to use colours.
    """
    lines = [*_heading(report), ""]
    lines += [_bold(_row("", [part.name for part in report.measured]), styled)]
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
        "sample": trained.run.sample,
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
    yield f"          {trained.run.optimizer}"
    yield f"weights   of {epoch}"
    yield f"photos    {source}, {preparation}{flip}"
    yield f"computed  in {trained.machine.precision} on {trained.machine.device.upper()}"


def _rows(report: Report) -> Iterator[tuple[str, list[str]]]:
    """Labels with a cell for each part."""
    found = [part.evaluation for part in report.measured]
    yield "photos", [_classes(one) for one in found]
    yield "accuracy", [_accuracy(one) for one in found]
    yield "log loss", [_decimals(one.log_loss, 4) for one in found]
    yield "ROC AUC", [_decimals(one.roc_auc, 4) for one in found]
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
    yield "", ["" for _ in found]
    yield "", [f"{'said cat':>9}{'said dog':>10}" for _ in found]
    for label, name in enumerate(CLASSES):
        yield (
            f"{name}s",
            [f"{one.confusion[label][0]:>9,}{one.confusion[label][1]:>10,}" for one in found],
        )


def _most_wrong(report: Report, sheet: Path | None) -> Iterator[str]:
    wrong = sum(part.evaluation.wrong for part in report.measured)
    total = sum(part.evaluation.photos for part in report.measured)
    yield f"{wrong:,} of {number_of(total, 'photo')} told wrong" + (
        "; the surest mistakes:" if wrong else "; the least sure answers:"
    )
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
    notes = [SAMPLE_NOTE] if report.trained.run.sample else []
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
            present = CLASSES[int(part.evaluation.of_class(1) > 0)]
            notes.append(
                f"There are {present}s alone ({part.name}): a ROC AUC is not defined, as it ranks "
                "dogs against cats."
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
    more_dogs = sum(one.photos * (one.probability - one.share) for one in found.bins) / (
        part.evaluation.photos
    )
    # What is at least half of the error describes it; else it has several directions.
    if abs(surer) >= max(abs(more_dogs), found.error / 2):
        what = f"it is {'surer' if surer > 0 else 'less sure'} than right, by {abs(surer):.1%}"
    elif abs(more_dogs) >= found.error / 2:
        what = (
            f"it sees dogs too {'readily' if more_dogs > 0 else 'seldom'}, by {abs(more_dogs):.1%}"
        )
    else:
        what = "too sure of some photos, not sure enough of others"
    return f"Calibration ({part.name}): further off than chance explains; {what}."


def _classes(found: Evaluation) -> str:
    return f"{found.photos:,}: {found.of_class(0):,} cats, {found.of_class(1):,} dogs"


def _accuracy(found: Evaluation) -> str:
    decimals = 1 if found.photos < 2000 else 2
    value, low, high = (
        f"{100 * x:.{decimals}f}"
        for x in (found.accuracy.value, found.accuracy.low, found.accuracy.high)
    )
    return f"{value + '%':<7} ({low} to {high})"


def _decimals(found: Estimate | None, decimals: int) -> str:
    if found is None:
        return "not defined"
    value, low, high = (f"{x:.{decimals}f}" for x in (found.value, found.low, found.high))
    return f"{value:<7} ({low} to {high})"


def _row(label: str, cells: list[str]) -> str:
    columns = "".join(f"{cell:<{_COLUMN_WIDTH}}  " for cell in cells)
    return f"{label:<{_LABEL_WIDTH}}{columns}".rstrip()


def _bold(text: str, styled: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if styled else text


def _flat(part: Measured) -> dict[str, str | int | float | None]:
    found = part.evaluation
    row: dict[str, str | int | float | None] = {"part": part.name, "photos": found.photos}
    for name, estimate in (
        ("accuracy", found.accuracy),
        ("log_loss", found.log_loss),
        ("roc_auc", found.roc_auc),
    ):
        row[name] = None if estimate is None else estimate.value
        row[f"{name}_low"] = None if estimate is None else estimate.low
        row[f"{name}_high"] = None if estimate is None else estimate.high
    row |= _calibration(found)
    for truth, counts in zip(CLASSES, found.confusion, strict=True):
        for answer, count in zip(CLASSES, counts, strict=True):
            row[f"{truth}s_said_{answer}"] = count
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
            truth: dict(zip(CLASSES, counts, strict=True))
            for truth, counts in zip(CLASSES, found.confusion, strict=True)
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
