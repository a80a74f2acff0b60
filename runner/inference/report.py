"""An evaluation as a terminal shows it, as CSV, as JSON, and its mistakes as a contact sheet."""

import csv
import io
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from optrun.data.cache.cache_key import Preparation
from optrun.data.images.contact_sheet import Emphasis, Tile, contact_sheet
from optrun.data.labels import CLASS_NAMES, PLURAL_NAMES
from optrun.data.printable import printable
from optrun.runner.inference.prediction import percentage
from optrun.runner.inference.statistics import LEVEL, Estimate
from optrun.runner.runs.run_folder import plain
from optrun.runner.ui.table import Column, row_lines
from optrun.runner.ui.text import style
from optrun.runner.ui.wording import number_of

if TYPE_CHECKING:
    from optrun.runner.inference.evaluation import Evaluation, Judged, Part, Report

_LISTED = 8
_LABELS = (
    *("", "photos", "accuracy", "log loss", "ROC AUC", "Brier score", "mean confidence"),
    *("calibration error", "  by chance alone", "", "", *PLURAL_NAMES),
)
_FEW_MISTAKES = 5
_WORTH_SAYING = 0.01  # of the test log loss


def contact_sheet_of(report: "Report") -> bytes:
    """The worst photos side by side, as a PNG file."""
    tiles = []
    for photo in report.worst:
        said = photo.prediction
        name = said.name.rpartition("/")[2]  # of a long path, its end tells photos apart
        emphasis: Emphasis = "right" if said.answer == photo.truth else "wrong"
        tiles.append(Tile(photo.pixels, f"{name}\n{_said(photo)}", emphasis))
    title = f"All {report.photos:,} photos told right; these {len(tiles)} least surely"
    if report.wrong:
        all_of_them = "" if report.wrong == len(tiles) else f", the worst {len(tiles)}"
        title = f"{report.wrong:,} of {report.photos:,} photos told wrong{all_of_them}"
    return contact_sheet(tiles, title=f"{title}\n{report.trained.run.label}")


def _said(photo: "Judged") -> str:
    said = photo.prediction
    return f"a {photo.truth}, said {said.answer} {percentage(said.probability)}"


def table(report: "Report", *, sheet: Path | None, width: int, styled: bool) -> str:
    """What a terminal of at least 76 columns shows; `width` is for sentences."""
    trained, data = report.trained, report.trained.experiment.data
    epoch = f"epoch {trained.best_epoch}, the best" if trained.best_epoch else "the best epoch"
    flip = ", mean of photo and mirror image" if report.flip else ""
    source = printable(report.parts[0].photos.source)
    preparation = Preparation(data.image_size, data.resize, data.antialias)
    columns = [Column(17), *(Column(27) for _ in report.parts)]
    rows = zip(_LABELS, *map(_cells, report.parts), strict=True)
    heading, *others = (row_lines(row, columns)[0] for row in rows)
    lines = [
        f"run       {trained.run.label}",
        f"          {trained.run.record.optimizer}",
        f"weights   of {epoch}",
        f"photos    {source}, {preparation}{flip}",
        f"computed  in {trained.machine.precision} on {trained.machine.device.upper()}",
        *("", style(heading, "strong", styled), *others),
        *("", *_most_wrong(report, sheet), ""),
    ]
    for note in _notes(report):
        lines += textwrap.wrap(
            f"note: {printable(note)}", width, subsequent_indent="      ", break_on_hyphens=False
        )
    return "\n".join(lines) + "\n"


def csv_text(report: "Report") -> str:
    """One line for each part; ends of intervals are `..._low` and `..._high`, 95 %."""
    rows: list[dict[str, str | float | None]] = []
    for part in report.parts:
        found = part.evaluation
        row: dict[str, str | float | None] = {"part": part.name, "photos": found.photos}
        for name in ("accuracy", "log_loss", "roc_auc"):
            for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
                row[name + suffix] = getattr(getattr(found, name), end, None)
        row |= _calibration(found)
        for truth, counts in zip(PLURAL_NAMES, found.confusion, strict=True):
            row |= {f"{truth}_said_{one}": n for one, n in zip(CLASS_NAMES, counts, strict=True)}
        rows.append(row)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def json_text(report: "Report") -> str:
    """Everything there is; strict JSON, null for what is not defined."""
    trained, data, photos = report.trained, report.trained.experiment.data, report.parts[0].photos
    tempered = report.tempered
    content = {
        "format": 1,
        "run": trained.run.label,
        "sample": trained.run.record.sample,
        "best_epoch": trained.best_epoch,
        "precision": trained.machine.precision,
        "device": trained.machine.device,
        "flip": report.flip,
        "photos": {
            "source": printable(photos.source),
            "fingerprint": photos.fingerprint,
            "image_size": data.image_size,
            "resize": data.resize,
            "antialias": data.antialias,
            "training_photos_left_out": report.left_out,
        },
        "interval": f"{LEVEL:.0%} over photos",
        "parts": {part.name: _nested(part.evaluation) for part in report.parts},
        "temperature": tempered
        and {"fitted_on_validation": tempered.temperature, "test_log_loss": tempered.log_loss},
        "most_wrong": [
            {
                "part": one.part,
                "photo": printable(one.prediction.name),
                "truth": one.truth,
                "answer": one.prediction.answer,
                "probability": one.prediction.probability,
            }
            for one in report.worst
        ],
        "notes": list(_notes(report)),
    }
    return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _nested(found: "Evaluation") -> dict[str, object]:
    return {
        "photos": found.photos,
        "accuracy": found.accuracy._asdict(),
        "log_loss": found.log_loss._asdict(),
        "roc_auc": found.roc_auc and found.roc_auc._asdict(),
        **_calibration(found),
        "calibration_bins": [one._asdict() for one in found.calibration.bins],
        "confusion": {
            truth: dict(zip(CLASS_NAMES, counts, strict=True))
            for truth, counts in zip(CLASS_NAMES, found.confusion, strict=True)
        },
    }


def _calibration(found: "Evaluation") -> dict[str, float]:
    return {
        "brier_score": found.calibration.brier,
        "mean_confidence": found.calibration.confidence,
        "calibration_error": found.calibration.error,
        "calibration_error_by_chance": found.calibration.error_by_chance,
        "calibration_error_by_chance_95": found.calibration.error_by_chance_95,
    }


def _cells(part: "Part") -> list[str]:
    """A part's column: its name, and below it a cell for each of `_LABELS`."""
    found, calibration = part.evaluation, part.evaluation.calibration
    counts = (f"{found.of_class(label):,} {name}" for label, name in enumerate(PLURAL_NAMES))
    said = [f"said {name}" for name in CLASS_NAMES]
    decimals = 1 if found.photos < 2000 else 2
    return [
        part.name,
        f"{found.photos:,}: {', '.join(counts)}",
        _estimate(found.accuracy, f".{decimals}f", scale=100, unit="%"),
        _estimate(found.log_loss, ".4f"),
        _estimate(found.roc_auc, ".4f"),
        f"{calibration.brier:.4f}",
        f"{calibration.confidence:.1%}",
        f"{calibration.error:.4f}",
        f"{calibration.error_by_chance:.4f} (95% below {calibration.error_by_chance_95:.4f})",
        "",
        f"{said[0]:>9}{said[1]:>10}",
        *(f"{one:>9,}{other:>10,}" for one, other in found.confusion),
    ]


def _estimate(found: Estimate | None, spec: str, *, scale: int = 1, unit: str = "") -> str:
    if found is None:
        return "not defined"
    value, low, high = (f"{scale * x:{spec}}" for x in (found.value, found.low, found.high))
    return f"{value + unit:<7} ({low} to {high})"


def _most_wrong(report: "Report", sheet: Path | None) -> Iterator[str]:
    shows = "the surest mistakes" if report.wrong else "the least sure answers"
    yield f"{report.wrong:,} of {number_of(report.photos, 'photo')} told wrong; {shows}:"
    shown = report.worst[:_LISTED]
    width = min(max(len(printable(photo.prediction.name)) for photo in shown), 44)
    for photo in shown:
        name = printable(photo.prediction.name, longest=width)
        part = f"  {photo.part}" if len(report.parts) > 1 else ""
        yield f"  {name:<{width}}  {_said(photo)}{part}"
    if sheet is not None:
        yield f"  {number_of(len(report.worst), 'photo')} on {printable(str(sheet))}"


def _notes(report: "Report") -> Iterator[str]:
    if report.trained.run.record.sample:
        yield "A run on the built-in sample: its numbers say nothing about real photos."
    yield from (*report.trained.notes, *report.notes, *map(_calibration_note, report.parts))
    test, tempered = report.parts[-1].evaluation.log_loss.value, report.tempered
    if tempered is not None and tempered.log_loss < (1 - _WORTH_SAYING) * test:
        yield (
            f"Logits divided by {tempered.temperature:.3g}, the best temperature for the "
            f"validation photos, would take the test log loss from {test:.4f} to "
            f"{tempered.log_loss:.4f}."
        )
    for part in report.parts:
        found = part.evaluation
        if found.roc_auc is None:
            present = PLURAL_NAMES[int(found.of_class(1) > 0)]
            yield (
                f"There are {present} alone ({part.name}): a ROC AUC is not defined, as it ranks "
                f"{PLURAL_NAMES[1]} against {PLURAL_NAMES[0]}."
            )
        if found.wrong < _FEW_MISTAKES:
            yield (
                f"With {number_of(found.wrong, 'mistake')} ({part.name}) the interval of the log "
                "loss is too narrow: it does not know of mistakes that happen to be absent."
            )
    yield (
        "In brackets: 95% intervals over photos of this kind. They say nothing of networks trained "
        "with other seeds."
    )


def _calibration_note(part: "Part") -> str:
    found, photos = part.evaluation.calibration, part.evaluation.photos
    if found.error <= found.error_by_chance_95:
        return (
            f"Calibration ({part.name}): no further off than chance would explain on "
            f"{number_of(photos, 'photo')}."
        )
    surer = found.confidence - part.evaluation.accuracy.value
    more = sum(one.photos * (one.probability - one.share) for one in found.bins) / photos
    # What is at least half of the error describes it; else it has several directions.
    if abs(surer) >= max(abs(more), found.error / 2):
        what = f"it is {'surer' if surer > 0 else 'less sure'} than right, by {abs(surer):.1%}"
    elif abs(more) >= found.error / 2:
        often = "readily" if more > 0 else "seldom"
        what = f"it sees {PLURAL_NAMES[1]} too {often}, by {abs(more):.1%}"
    else:
        what = "too sure of some photos, not sure enough of others"
    return f"Calibration ({part.name}): further off than chance explains; {what}."
