"""An evaluation as a terminal shows it, as CSV, as JSON, and its mistakes as a contact sheet."""

import csv
import io
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from optrun.runner.inference.evaluation import Evaluation, Judged, Report

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
    for position, one in report.worst.items():
        name = one.photo.rpartition("/")[2]  # of a long path, its end tells photos apart
        emphasis: Emphasis = "right" if one.answer == one.truth else "wrong"
        tiles.append(Tile(report.source.pixels[position], f"{name}\n{_said(one)}", emphasis))
    title = f"All {report.photos:,} photos told right; these {len(tiles)} least surely"
    if report.wrong:
        all_of_them = "" if report.wrong == len(tiles) else f", the worst {len(tiles)}"
        title = f"{report.wrong:,} of {report.photos:,} photos told wrong{all_of_them}"
    return contact_sheet(tiles, title=f"{title}\n{report.trained.run.label}")


def _said(one: "Judged") -> str:
    return f"a {one.truth}, said {one.answer} {percentage(one.probability)}"


def table(report: "Report", *, sheet: Path | None, width: int, styled: bool) -> str:
    """What a terminal of at least 76 columns shows; `width` is for sentences."""
    trained, data = report.trained, report.trained.experiment.data
    epoch = f"epoch {trained.best_epoch}, the best" if trained.best_epoch else "the best epoch"
    flip = ", mean of photo and mirror image" if report.flip else ""
    source = printable(report.source.source)
    preparation = Preparation(data.image_size, data.resize, data.antialias)
    columns = [Column(17), *(Column(27) for _ in report.parts)]
    rows = zip(_LABELS, *(_cells(*part) for part in report.parts.items()), strict=True)
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
    rows = []
    for part, found in report.parts.items():
        row: dict[str, Any] = {"part": part, "photos": found.photos}
        for name in ("accuracy", "log_loss", "roc_auc"):
            for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
                row[name + suffix] = getattr(getattr(found, name), end, None)
        row |= found.calibration._asdict()
        del row["calibration_bins"]
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
    trained, data, photos = report.trained, report.trained.experiment.data, report.source
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
        "parts": {part: _nested(found) for part, found in report.parts.items()},
        "temperature": report.tempered and report.tempered._asdict(),
        "most_wrong": [
            one._asdict() | {"photo": printable(one.photo)} for one in report.worst.values()
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
        **found.calibration._asdict(),
        "calibration_bins": [one._asdict() for one in found.calibration.calibration_bins],
        "confusion": {
            truth: dict(zip(CLASS_NAMES, counts, strict=True))
            for truth, counts in zip(CLASS_NAMES, found.confusion, strict=True)
        },
    }


def _cells(part: str, found: "Evaluation") -> list[str]:
    """A part's column: its name, and below it a cell for each of `_LABELS`."""
    brier_score, confidence, error, by_chance, by_chance_95, _ = found.calibration
    counts = (f"{found.of_class(label):,} {name}" for label, name in enumerate(PLURAL_NAMES))
    said = [f"said {name}" for name in CLASS_NAMES]
    decimals = 1 if found.photos < 2000 else 2
    return [
        part,
        f"{found.photos:,}: {', '.join(counts)}",
        _estimate(found.accuracy, f".{decimals}f", scale=100, unit="%"),
        _estimate(found.log_loss, ".4f"),
        _estimate(found.roc_auc, ".4f"),
        f"{brier_score:.4f}",
        f"{confidence:.1%}",
        f"{error:.4f}",
        f"{by_chance:.4f} (95% below {by_chance_95:.4f})",
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
    shown = list(report.worst.values())[:_LISTED]
    width = min(max(len(printable(one.photo)) for one in shown), 44)
    for one in shown:
        part = f"  {one.part}" if len(report.parts) > 1 else ""
        yield f"  {printable(one.photo, longest=width):<{width}}  {_said(one)}{part}"
    if sheet is not None:
        yield f"  {number_of(len(report.worst), 'photo')} on {printable(str(sheet))}"


def _notes(report: "Report") -> Iterator[str]:
    if report.trained.run.record.sample:
        yield "A run on the built-in sample: its numbers say nothing about real photos."
    yield from (*report.trained.notes, *report.notes)
    yield from (_calibration_note(*part) for part in report.parts.items())
    if report.tempered is not None:
        temperature, after = report.tempered
        before = report.parts["test"].log_loss.value
        if after < (1 - _WORTH_SAYING) * before:
            yield (
                f"Logits divided by {temperature:.3g}, the best temperature for the validation "
                f"photos, would take the test log loss from {before:.4f} to {after:.4f}."
            )
    for part, found in report.parts.items():
        if found.roc_auc is None:
            present = PLURAL_NAMES[int(found.of_class(1) > 0)]
            yield (
                f"There are {present} alone ({part}): a ROC AUC is not defined, as it ranks "
                f"{PLURAL_NAMES[1]} against {PLURAL_NAMES[0]}."
            )
        if found.wrong < _FEW_MISTAKES:
            yield (
                f"With {number_of(found.wrong, 'mistake')} ({part}) the interval of the log loss "
                "is too narrow: it does not know of mistakes that happen to be absent."
            )
    yield (
        "In brackets: 95% intervals over photos of this kind. They say nothing of networks trained "
        "with other seeds."
    )


def _calibration_note(part: str, found: "Evaluation") -> str:
    _, confidence, error, _, by_chance_95, bins = found.calibration
    if error <= by_chance_95:
        return (
            f"Calibration ({part}): no further off than chance would explain on "
            f"{number_of(found.photos, 'photo')}."
        )
    surer = confidence - found.accuracy.value
    more = sum(one.photos * (one.probability - one.share) for one in bins) / found.photos
    # What is at least half of the error describes it; else it has several directions.
    if abs(surer) >= max(abs(more), error / 2):
        what = f"it is {'surer' if surer > 0 else 'less sure'} than right, by {abs(surer):.1%}"
    elif abs(more) >= error / 2:
        often = "readily" if more > 0 else "seldom"
        what = f"it sees {PLURAL_NAMES[1]} too {often}, by {abs(more):.1%}"
    else:
        what = "too sure of some photos, not sure enough of others"
    return f"Calibration ({part}): further off than chance explains; {what}."
