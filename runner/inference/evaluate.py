"""What `optrun evaluate` does: measure a run's network, show the numbers, draw its mistakes.

It is never measured on a photo that it was trained on.
"""

import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt
from optrun.data.files import write_atomically
from optrun.runner.errors import UserError
from optrun.runner.inference import report as reports
from optrun.runner.inference.evaluation import Part, Positions, Report
from optrun.runner.inference.output import check_writable, live_count, not_writable
from optrun.runner.runs.run_folder import folder_name
from optrun.runner.runs.select import find_run
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.wording import number_of
from optrun.runner.untrusted import printable
from rich.console import Console

if TYPE_CHECKING:
    from optrun.data.photos import Photos
    from optrun.runner.inference.classifier import Trained

_WIDE = 100  # columns; longer lines of text are hard to read

# Parts by name, how many training photos were left out of them, and notes on the choice.
Chosen = tuple[list[tuple[str, "Photos", Positions]], int | None, list[str]]


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
        width = min(max(shutil.get_terminal_size(fallback=(_WIDE, 24)).columns, 40), _WIDE)
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
    if data is None:
        chosen, left_out, notes = _own_parts(trained, display)
    else:
        chosen, left_out, notes = _others(trained, data, display)
    total, seen = sum(len(positions) for _, _, positions in chosen), 0

    def counted(batches: Iterable[Any]) -> Iterator[Any]:
        nonlocal seen
        for photos, labels in batches:
            yield photos, labels
            seen += len(labels)
            show(seen, f"{seen:,}/{total:,}")

    parts = []
    with live_count(display.console, total) as show:
        for name, photos, positions in chosen:
            batches = evaluation_batches(photos, positions, batch_size=EVALUATION_BATCH)
            logits = trained.logits(counted(batches), flip=flip)
            if not np.isfinite(logits).all():
                raise UserError(
                    f"The network of {trained.run.label} has no finite answer for "
                    f"{int(np.sum(~np.isfinite(logits))):,} of {len(logits):,} photos, computed in "
                    f"{trained.machine.precision}: it cannot be measured."
                )
            parts.append(Part(name, photos, positions, logits))
    return Report(trained, parts, left_out, notes, flip)


def _own_parts(trained: "Trained", display: Display) -> Chosen:
    """The run's own validation and test photos."""
    photos, split = trained.photos_and_split(display)
    parts = [("validation", photos, split.validation), ("test", photos, split.test)]
    note = (
        "The validation photos also chose the epoch, which flatters them a little; the test "
        "photos chose nothing."
    )
    return [part for part in parts if len(part[2])], 0, [note]


def _others(trained: "Trained", source: str, display: Display) -> Chosen:
    """All photos of a source, made ready as the run's were, without the run's training photos."""
    from optrun.runner.plan.resources import decoded

    photos = decoded(source, trained.experiment.data, display)
    everything = [("photos", photos, np.arange(len(photos)))]
    # Drawings and real photos have none in common.
    if photos.is_sample != trained.run.record.sample:
        return everything, 0, []
    try:
        own, split = trained.photos_and_split(display)
    except UserError as error:
        note = (
            f"The photos that {trained.run.label} was trained on cannot be told from these, so any "
            f"of them may be among these, and flatter it. {error}"
        )
        return everything, None, [note]
    trained_on = _seen(photos, own, split.train)
    if trained_on.all():
        raise UserError(
            f"--data must hold photos that the network was not trained on, received: "
            f"{printable(source)}, whose {number_of(len(photos), 'photo')} all were its training "
            "photos. Leave --data out to measure on the run's own validation and test photos."
        )
    left_out = int(trained_on.sum())
    validated = int(_seen(photos, own, split.validation).sum())
    notes = []
    if left_out:
        notes.append(f"Left out: {number_of(left_out, 'photo')} that it was trained on.")
    if validated:
        notes.append(
            f"Among them: {number_of(validated, 'photo')} that chose its best epoch, which "
            "flatters it a little."
        )
    return [("photos", photos, np.flatnonzero(~trained_on))], left_out, notes


def _seen(photos: "Photos", own: "Photos", positions: Positions) -> npt.NDArray[np.bool_]:
    """Which photos are, byte by byte or pixel by pixel, among `own` at `positions`."""
    found = np.zeros(len(photos), np.bool_)
    for name in ("digests", "pixel_digests"):
        known = {row.tobytes() for row in getattr(own, name)[positions]}
        found |= np.array([row.tobytes() in known for row in getattr(photos, name)], np.bool_)
    return found
