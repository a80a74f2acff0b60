"""What `optrun evaluate` does: measure a run's network, show the numbers, draw its mistakes.

It is never measured on a photo that it was trained on.
"""

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import numpy as np
import numpy.typing as npt
from optrun.data.files import write_atomically
from optrun.runner.errors import UserError
from optrun.runner.inference.evaluation import Chosen, Part, Positions
from optrun.runner.inference.output import check_writable, not_writable
from optrun.runner.runs.run_folder import folder_name
from optrun.runner.runs.select import find_run
from optrun.runner.ui.console import Display, live_line
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.wording import number_of
from optrun.runner.untrusted import printable
from rich.console import Console

if TYPE_CHECKING:
    from optrun.data.photos import Photos
    from optrun.runner.inference.classifier import Logits, Trained
    from optrun.runner.inference.report import Report

Device = Literal["auto", "cpu", "gpu"]

_WIDE = 100  # columns; longer lines of text are hard to read


def evaluate(
    run: str,
    *,
    data: str | None = None,
    flip: bool = False,
    layout: str = "table",
    sheet: Path | None = None,
    no_sheet: bool = False,
    device: Device = "auto",
) -> None:
    """Measures, prints and draws; the arguments are those of `optrun evaluate`.

    Raises:
        UserError: There is no such run, its photos are not what they were, or the sheet can't be
            written.
    """
    # All that a person can have mistyped is looked at before TensorFlow is waited for.
    folder = find_run(run)
    place = None if no_sheet else _sheet_place(sheet, folder)
    with native_stderr_captured():
        from optrun.runner.inference import report as reports
        from optrun.runner.inference.classifier import open_trained

        trained = open_trained(folder, device=device)
        report = _report(trained, data, flip=flip)
        if place is not None:
            try:
                write_atomically(place, reports.contact_sheet_of(report))
            except OSError as error:
                raise not_writable(place, error, "--sheet") from error
    if layout == "json":
        text = reports.json_text(report)
    elif layout == "csv":
        text = reports.csv_text(report)
    else:
        width = min(max(shutil.get_terminal_size(fallback=(_WIDE, 24)).columns, 40), _WIDE)
        text = reports.table(report, sheet=place, width=width, styled=sys.stdout.isatty())
    click.echo(text, nl=False)
    if place is not None and layout != "table":
        click.echo(f"Wrote {printable(str(place))}", err=True)


def _sheet_place(sheet: Path | None, folder: Path) -> Path:
    """Where the contact sheet goes.

    Raises:
        UserError: It is no PNG file, lies in the run's folder, or can't be written.
    """
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


def _report(trained: "Trained", data: str | None, *, flip: bool) -> "Report":
    from optrun.runner.inference.evaluation import measure, tempered
    from optrun.runner.inference.report import Measured, Report, worst

    display = Display(Console(stderr=True))
    chosen = _own_parts(trained, display) if data is None else _others(trained, data, display)
    answers = _answers(trained, chosen.parts, flip=flip)
    labels = [part.photos.labels[part.positions] for part in chosen.parts]
    measured = tuple(
        Measured(part.name, measure(found, truth))
        for part, found, truth in zip(chosen.parts, answers, labels, strict=True)
    )
    both = [part.name for part in chosen.parts] == ["validation", "test"]
    return Report(
        trained=trained,
        chosen=chosen,
        measured=measured,
        tempered=tempered(answers[0], labels[0], answers[1], labels[1]) if both else None,
        flip=flip,
        worst=worst(chosen.parts, answers),
    )


def _own_parts(trained: "Trained", display: Display) -> Chosen:
    """The run's own validation and test photos."""
    photos, split = trained.photos_and_split(display)
    parts = (Part("validation", photos, split.validation), Part("test", photos, split.test))
    note = (
        "The validation photos also chose the epoch, which flatters them a little; the test "
        "photos chose nothing."
    )
    return Chosen(tuple(part for part in parts if len(part.positions)), 0, (note,))


def _others(trained: "Trained", source: str, display: Display) -> Chosen:
    """All photos of a source, made ready as the run's were, without the run's training photos.

    Raises:
        UserError: They cannot be had, or all of them were training photos.
    """
    from optrun.runner.plan.resources import decoded

    photos = decoded(source, trained.experiment.data, display)
    everything = (Part("photos", photos, np.arange(len(photos))),)
    if (
        photos.is_sample != trained.run.record.sample
    ):  # drawings and real photos have none in common
        return Chosen(everything, 0, ())
    try:
        own, split = trained.photos_and_split(display)
    except UserError as error:
        note = (
            f"The photos that {trained.run.label} was trained on cannot be told from these, so any "
            f"of them may be among these, and flatter it. {error}"
        )
        return Chosen(everything, None, (note,))
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
    return Chosen((Part("photos", photos, np.flatnonzero(~trained_on)),), left_out, tuple(notes))


def _seen(photos: "Photos", own: "Photos", positions: Positions) -> npt.NDArray[np.bool_]:
    """Which photos are, byte by byte or pixel by pixel, among `own` at `positions`."""
    found = np.zeros(len(photos), np.bool_)
    for name in ("digests", "pixel_digests"):
        known = {row.tobytes() for row in getattr(own, name)[positions]}
        found |= np.array([row.tobytes() in known for row in getattr(photos, name)], np.bool_)
    return found


def _answers(trained: "Trained", parts: Sequence[Part], *, flip: bool) -> "list[Logits]":
    """The logits of every part, with a live line on a terminal."""
    from optrun.data.feed.batches import EVALUATION_BATCH, evaluation_batches

    total, seen = sum(len(part.positions) for part in parts), 0
    console = Console(stderr=True)
    bar = live_line(console) if console.is_terminal else None
    task = None if bar is None else bar.add_task("photos", total=total, numbers="")

    def counted(batches: Iterable[Any]) -> Iterator[Any]:
        nonlocal seen
        for photos, labels in batches:
            yield photos, labels
            seen += len(labels)
            if bar is not None and task is not None:
                bar.update(task, completed=seen, numbers=f"{seen:,}/{total:,}")

    answers = []
    with nullcontext() if bar is None else bar:
        for part in parts:
            batches = evaluation_batches(part.photos, part.positions, batch_size=EVALUATION_BATCH)
            found = trained.logits(counted(batches), flip=flip)
            if not np.isfinite(found).all():
                raise UserError(
                    f"The network of {trained.run.label} has no finite answer for "
                    f"{int(np.sum(~np.isfinite(found))):,} of {len(found):,} photos, computed in "
                    f"{trained.machine.precision}: it cannot be measured."
                )
            answers.append(found)
    return answers
