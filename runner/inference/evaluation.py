"""What `optrun evaluate` does: measure a network on photos that it was not trained on, and show.

That is in a table for a terminal, as CSV or JSON, and its mistakes as a contact sheet.
"""

import csv
import io
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt
from optrun.data.cache.cache_key import Preparation
from optrun.data.files import write_atomically
from optrun.data.images.contact_sheet import Emphasis, Tile, contact_sheet
from optrun.data.labels import CLASS_NAMES, NO_PART, PLURAL_NAMES, TRAIN, VALIDATION
from optrun.data.photos import Photos
from optrun.data.printable import printable
from optrun.runner import untrusted
from optrun.runner.errors import UserError
from optrun.runner.inference import prediction, statistics
from optrun.runner.inference.prediction import Prediction
from optrun.runner.inference.statistics import Labels
from optrun.runner.runs.reader import find_run
from optrun.runner.runs.run_folder import folder_name, plain
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.table import Column, row_lines
from optrun.runner.ui.text import style, terminal_width
from optrun.runner.ui.wording import number_of
from optrun.runner.verdict.proportion import LEVEL, Estimate, proportion
from rich.console import Console

if TYPE_CHECKING:
    from optrun.runner.inference.classifier import Trained

_WIDE = 100  # columns; longer lines of text are hard to read
_MOST_ON_A_SHEET, _LEAST_SURE = 40, 16  # shown of mistakes; where nothing is told wrong
_LISTED = 8
_INCLUDE = "give --include-training-photos, which says so"
_LABELS = (
    *("", "photos", "accuracy", "log loss", "ROC AUC", "Brier score", "mean confidence"),
    *("calibration error", "  by chance alone", "", "", *PLURAL_NAMES),
)
_FEW_MISTAKES = 5
_WORTH_SAYING = 0.01  # of the test log loss

Logits = npt.NDArray[np.floating]
Positions = npt.NDArray[np.int64]


class Evaluation(NamedTuple):
    """How good a network is on some photos."""

    accuracy: Estimate
    log_loss: Estimate  # in nats
    roc_auc: Estimate | None  # None where one class is missing
    calibration: statistics.Calibration
    confusion: Sequence[Sequence[int]]  # by label of the truth, then the answer

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
    counts = np.bincount(2 * (labels == 1) + (z > 0), minlength=4).reshape(2, 2)
    return Evaluation(
        accuracy=proportion(int(np.trace(counts)), len(z)),
        log_loss=statistics.mean(statistics.losses(z, labels)),
        roc_auc=statistics.roc_auc(z, labels),
        calibration=statistics.calibration(z, labels),
        confusion=tuple(map(tuple, counts.tolist())),
    )


def tempered(
    validation_logits: Logits, validation_labels: Labels, test_logits: Logits, test_labels: Labels
) -> dict[str, float] | None:
    """What the test photos' log loss becomes by the temperature best for the validation photos."""
    fitted = statistics.temperature(np.asarray(validation_logits, np.float64), validation_labels)
    if fitted is None:
        return None
    scaled = np.asarray(test_logits, np.float64) / fitted
    after = float(np.mean(statistics.losses(scaled, test_labels)))
    return {"fitted_on_validation": fitted, "test_log_loss": after}


def most_wrong(logits: Logits, labels: Labels, count: int) -> Positions:
    """The positions of the highest losses among photos told wrong, or among all if none is."""
    z = np.asarray(logits, np.float64)
    ranked = np.argsort(-statistics.losses(z, labels), kind="stable")
    wrong = (z > 0) != (np.asarray(labels) == 1)
    return (ranked[wrong[ranked]] if wrong.any() else ranked)[:count]


class Report(NamedTuple):
    """All there is to show."""

    trained: "Trained"
    source: Photos
    parts: dict[str, Evaluation]  # "validation" and "test" of the run itself, "photos" of others
    # By position in the source: photos told wrong, the surest first; if none is, the least sure.
    worst: dict[int, dict[str, Any]]  # part, photo, truth, answer, probability of the answer
    tempered: (
        dict[str, float] | None
    )  # None also where there are not both validation and test photos
    left_out: int | None  # photos that the network was trained on; None where that is unknown
    trained_on: int | None  # such photos among those measured; None where that is unknown
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
    include_training_photos: bool,
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

        trained = open_trained(folder, device=device)
        if data is None:
            chosen = _own(trained)
        else:
            chosen = _others(trained, data, include_training_photos=include_training_photos)
        report = _report(trained, chosen, flip=flip)
        if place is not None:
            try:
                write_atomically(place, _sheet(report))
            except OSError as error:
                raise prediction.not_writable(place, error, "--sheet") from error
    if layout == "table":
        text = _table(report, place)
    else:
        text = _json(report) if layout == "json" else _csv(report)
        for line in _on_training_photos(report):
            click.echo(line, err=True)
    click.echo(text, nl=False)
    if place is not None and layout != "table":
        click.echo(f"Wrote {untrusted.printable(str(place))}", err=True)


def _sheet_place(sheet: Path | None, folder: Path) -> Path:
    """Where the contact sheet goes: never into the run's folder."""
    sheet = sheet or Path(f"most-wrong-{folder_name(folder.name)}.png")
    shown = untrusted.printable(str(sheet))
    if sheet.suffix.lower() != ".png":
        raise UserError(f"--sheet must be the name of a .png file, received: {shown}")
    if sheet.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"--sheet must be a file outside of the run's folder, which stays as it is, received: "
            f"{shown}. Name one elsewhere, or give --no-sheet."
        )
    prediction.check_writable(sheet, force=True, option="--sheet")
    return sheet


class _Chosen(NamedTuple):
    """What is to be measured; see `Report`."""

    source: Photos
    parts: dict[str, Positions]
    notes: list[str]
    left_out: int | None = 0
    trained_on: int | None = 0


def _report(trained: "Trained", chosen: _Chosen, *, flip: bool) -> Report:
    from optrun.data.feed.batches import EVALUATION_BATCH, evaluation_batches

    photos, parts = chosen.source, chosen.parts
    total, seen = sum(map(len, parts.values())), 0

    def counted(batches: Iterable[Any]) -> Iterator[Any]:
        nonlocal seen
        for pixels, labels in batches:
            yield pixels
            seen += len(labels)
            show(seen, f"{seen:,}/{total:,}")

    answers: dict[str, tuple[Logits, Labels]] = {}
    with prediction.live_count(Console(stderr=True), total) as show:
        for part, positions in parts.items():
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
        worst=_worst(photos, parts, answers),
        tempered=tempered(*answers["validation"], *answers["test"]) if len(answers) == 2 else None,
        left_out=chosen.left_out,
        trained_on=chosen.trained_on,
        notes=chosen.notes,
        flip=flip,
    )


def _worst(
    photos: Photos, chosen: dict[str, Positions], answers: dict[str, tuple[Logits, Labels]]
) -> dict[int, dict[str, Any]]:
    places = [(part, int(position)) for part in answers for position in chosen[part]]
    logits, labels = map(np.concatenate, zip(*answers.values(), strict=True))
    wrong = ((logits > 0) != (labels == 1)).any()
    found = {}
    for index in most_wrong(logits, labels, _MOST_ON_A_SHEET if wrong else _LEAST_SURE):
        part, position = places[index]
        said = Prediction(photos.ids[position], float(logits[index]))
        found[position] = {
            "part": part,
            "photo": said.name,
            "truth": CLASS_NAMES[labels[index]],
            "answer": said.answer,
            "probability": said.probability,
        }
    return found


def _own(trained: "Trained") -> _Chosen:
    """The run's own validation and test photos, as far as they are there."""
    photos, parts, notes = trained.evaluated_photos()
    _, is_opposite = trained.division.find(photos)
    opposite = sum(int(is_opposite[positions].sum()) for positions in parts.values())
    notes += _opposite(opposite, sum(map(len, parts.values())), photos)
    notes.append(
        "The validation photos also chose the epoch, which flatters them a little; the test "
        "photos chose nothing."
    )
    return _Chosen(photos, parts, notes)


def _others(trained: "Trained", source: str, *, include_training_photos: bool) -> _Chosen:
    """A source's photos; of those that the network was trained on none, unless they are wanted."""
    from optrun.runner.plan.resources import decoded

    photos = decoded(source, trained.experiment.data, Display(Console(stderr=True)))
    everything = {"photos": np.arange(len(photos))}
    try:
        division = trained.division
    except UserError as error:
        unknown = (
            f"The photos that {trained.run.label} was trained on cannot be told from these, so any "
            f"of them may be among these, and flatter it. {error}"
        )
        if not include_training_photos:
            raise UserError(f"{unknown}\nTo measure all the same, {_INCLUDE}.") from error
        return _Chosen(photos, everything, [unknown], left_out=None, trained_on=None)
    parts, is_opposite = division.find(photos)
    trained_on = int((parts == TRAIN).sum())
    notes = _opposite(int(is_opposite.sum()), int((parts != NO_PART).sum()), photos)
    if validated := int((parts == VALIDATION).sum()):
        notes.append(
            f"Among them: {number_of(validated, 'photo')} that chose its best epoch, which "
            "flatters it a little."
        )
    if include_training_photos:
        return _Chosen(photos, everything, notes, trained_on=trained_on)
    if trained_on == len(photos):
        raise UserError(
            f"--data must hold photos that the network was not trained on, received: "
            f"{untrusted.printable(source)}, whose {number_of(len(photos), 'photo')} all were its "
            "training photos. Leave --data out to measure on the run's own validation and test "
            f"photos; to measure on its training photos, {_INCLUDE}."
        )
    if trained_on:
        notes.append(f"Left out: {number_of(trained_on, 'photo')} that it was trained on.")
    return _Chosen(photos, {"photos": np.flatnonzero(parts != TRAIN)}, notes, left_out=trained_on)


def _opposite(opposite: int, known: int, photos: Photos) -> list[str]:
    """What to say of photos whose labels are not those that the run had."""
    if not opposite:
        return []
    told = (
        f"Of {number_of(known, 'photo')} of the run's own, {opposite:,} "
        f"{'is' if opposite == 1 else 'are'} labelled the opposite in {printable(photos.source)} "
        "of what the run had"
    )
    swapped = f": are {' and '.join(PLURAL_NAMES)} swapped there?"
    return [told + (swapped if 2 * opposite > known else ".")]


def _sheet(report: Report) -> bytes:
    """The worst photos side by side, as a PNG file."""
    tiles = []
    for position, one in report.worst.items():
        name = one["photo"].rpartition("/")[2]  # of a long path, its end tells photos apart
        emphasis: Emphasis = "right" if one["answer"] == one["truth"] else "wrong"
        tiles.append(Tile(report.source.pixels[position], f"{name}\n{_said(one)}", emphasis))
    title = f"All {report.photos:,} photos told right; these {len(tiles)} least surely"
    if report.wrong:
        all_of_them = "" if report.wrong == len(tiles) else f", the worst {len(tiles)}"
        title = f"{report.wrong:,} of {report.photos:,} photos told wrong{all_of_them}"
    return contact_sheet(tiles, title=f"{title}\n{report.trained.run.label}")


def _said(one: dict[str, Any]) -> str:
    return f"a {one['truth']}, said {one['answer']} {prediction.percentage(one['probability'])}"


def _table(report: Report, sheet: Path | None) -> str:
    """What a terminal of at least 76 columns shows."""
    trained, data = report.trained, report.trained.experiment.data
    epoch = f"epoch {trained.best_epoch}, the best" if trained.best_epoch else "the best epoch"
    flip = ", mean of photo and mirror image" if report.flip else ""
    preparation = Preparation(data.image_size, data.resize, data.antialias)
    columns = [Column(17), *(Column(27) for _ in report.parts)]
    rows = zip(_LABELS, *(_cells(*part) for part in report.parts.items()), strict=True)
    heading, *others = (row_lines(row, columns)[0] for row in rows)
    lines = [
        *(style(line, "strong", sys.stdout.isatty()) for line in _on_training_photos(report)),
        f"run       {trained.run.label}",
        f"          {trained.run.record.optimizer}",
        f"weights   of {epoch}",
        f"photos    {printable(report.source.source)}, {preparation}{flip}",
        f"computed  in {trained.machine.precision} on {trained.machine.device.upper()}",
        *("", style(heading, "strong", sys.stdout.isatty()), *others),
        *("", *_most_wrong(report, sheet), ""),
    ]
    width = min(max(terminal_width(), 40), _WIDE)
    for note in _notes(report):
        lines += textwrap.wrap(
            f"note: {printable(note)}", width, subsequent_indent="      ", break_on_hyphens=False
        )
    return "\n".join(lines) + "\n"


def _on_training_photos(report: Report) -> list[str]:
    """That photos measured are training photos, in a line; nothing where none is."""
    if report.trained_on == 0:
        return []
    if report.trained_on is None:
        return [f"PERHAPS MEASURED ON TRAINING PHOTOS: any of {report.photos:,} may be one"]
    return [f"MEASURED ON TRAINING PHOTOS: {report.trained_on:,} of {report.photos:,} are such"]


def _csv(report: Report) -> str:
    """One line for each part; ends of intervals are `..._low` and `..._high`, 95 %."""
    rows = []
    for part, found in report.parts.items():
        row: dict[str, Any] = {"part": part, "photos": found.photos}
        if report.trained_on != 0:
            row = {"trained_on": report.trained_on} | row
        for name in ("accuracy", "log_loss", "roc_auc"):
            estimate = getattr(found, name) or (None, None, None)
            row |= zip((name, f"{name}_low", f"{name}_high"), estimate, strict=True)
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


def _json(report: Report) -> str:
    """Everything there is; strict JSON, null for what is not defined."""
    trained, data, photos = report.trained, report.trained.experiment.data, report.source
    content = {
        "photos_trained_on": report.trained_on,
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
        "parts": {
            part: {
                "photos": found.photos,
                "accuracy": found.accuracy._asdict(),
                "log_loss": found.log_loss._asdict(),
                "roc_auc": found.roc_auc and found.roc_auc._asdict(),
                **found.calibration._asdict(),
                "confusion": {
                    truth: dict(zip(CLASS_NAMES, counts, strict=True))
                    for truth, counts in zip(CLASS_NAMES, found.confusion, strict=True)
                },
            }
            for part, found in report.parts.items()
        },
        "temperature": report.tempered,
        "most_wrong": [one | {"photo": printable(one["photo"])} for one in report.worst.values()],
        "notes": list(_notes(report)),
    }
    return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _cells(part: str, found: Evaluation) -> list[str]:
    """A part's column: its name, and below it a cell for each of `_LABELS`."""
    brier_score, confidence, error, by_chance, by_chance_95, _ = found.calibration
    counts = (f"{found.of_class(label):,} {name}" for label, name in enumerate(PLURAL_NAMES))
    said = [f"said {name}" for name in CLASS_NAMES]
    return [
        part,
        f"{found.photos:,}: {', '.join(counts)}",
        _estimate(found.accuracy, ".1%" if found.photos < 2000 else ".2%"),
        _estimate(found.log_loss),
        _estimate(found.roc_auc),
        f"{brier_score:.4f}",
        f"{confidence:.1%}",
        f"{error:.4f}",
        f"{by_chance:.4f} (95% below {by_chance_95:.4f})",
        "",
        f"{said[0]:>9}{said[1]:>10}",
        *(f"{one:>9,}{other:>10,}" for one, other in found.confusion),
    ]


def _estimate(found: Estimate | None, spec: str = ".4f") -> str:
    if found is None:
        return "not defined"
    value, low, high = (f"{end:{spec}}" for end in found)
    return f"{value:<7} ({low.rstrip('%')} to {high.rstrip('%')})"


def _most_wrong(report: Report, sheet: Path | None) -> Iterator[str]:
    shows = "the surest mistakes" if report.wrong else "the least sure answers"
    yield f"{report.wrong:,} of {number_of(report.photos, 'photo')} told wrong; {shows}:"
    shown = list(report.worst.values())[:_LISTED]
    width = min(max(len(printable(one["photo"])) for one in shown), 44)
    for one in shown:
        part = f"  {one['part']}" if len(report.parts) > 1 else ""
        yield f"  {printable(one['photo'], longest=width):<{width}}  {_said(one)}{part}"
    if sheet is not None:
        yield f"  {number_of(len(report.worst), 'photo')} on {printable(str(sheet))}"


def _notes(report: Report) -> Iterator[str]:
    if report.trained.run.record.sample:
        yield "A run on the built-in sample: its numbers say nothing about real photos."
    yield from (*report.trained.notes, *report.notes)
    yield from (_calibration_note(*part) for part in report.parts.items())
    if report.tempered is not None:
        temperature, after = report.tempered.values()
        before = report.parts["test"].log_loss.value
        if after < (1 - _WORTH_SAYING) * before:
            yield (
                f"Logits divided by {temperature:.3g}, the best temperature for the validation "
                f"photos, would take the test log loss from {before:.4f} to {after:.4f}."
            )
    for part, found in report.parts.items():
        yield from ranking_notes(part, found)
        if found.wrong < _FEW_MISTAKES:
            yield (
                f"With {number_of(found.wrong, 'mistake')} ({part}) the interval of the log loss "
                "is too narrow: it does not know of mistakes that happen to be absent."
            )
    yield (
        "In brackets: 95% intervals over photos of this kind. They say nothing of networks trained "
        "with other seeds."
    )


def ranking_notes(part: str, found: Evaluation) -> Iterator[str]:
    """What a ROC AUC, or that there is none, says of the labels of a part."""
    if found.roc_auc is None:
        present = PLURAL_NAMES[int(found.of_class(1) > 0)]
        yield (
            f"There are {present} alone ({part}): a ROC AUC is not defined, as it ranks "
            f"{PLURAL_NAMES[1]} against {PLURAL_NAMES[0]}."
        )
    elif found.roc_auc.high < 0.5:
        yield (
            f"Surely worse than guessing ({part}): are the labels of {' and '.join(PLURAL_NAMES)} "
            "swapped?"
        )


def _calibration_note(part: str, found: Evaluation) -> str:
    _, confidence, error, _, by_chance_95, bins = found.calibration
    if error <= by_chance_95:
        return (
            f"Calibration ({part}): no further off than chance would explain on "
            f"{number_of(found.photos, 'photo')}."
        )
    surer = confidence - found.accuracy.value
    more = sum(one["photos"] * (one["probability"] - one["share"]) for one in bins) / found.photos
    # What is at least half of the error describes it; else it has several directions.
    if abs(surer) >= max(abs(more), error / 2):
        what = f"it is {'surer' if surer > 0 else 'less sure'} than right, by {abs(surer):.1%}"
    elif abs(more) >= error / 2:
        often = "readily" if more > 0 else "seldom"
        what = f"it sees {PLURAL_NAMES[1]} too {often}, by {abs(more):.1%}"
    else:
        what = "too sure of some photos, not sure enough of others"
    return f"Calibration ({part}): further off than chance explains; {what}."
