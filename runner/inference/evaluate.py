"""What `optrun evaluate` does: measure a run's network, show the numbers, draw its mistakes."""

import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from optrun.data.files import write_atomically
from optrun.runner.errors import UserError
from optrun.runner.inference.output_file import check_writable
from optrun.runner.runs.run_folder import folder_name
from optrun.runner.runs.select import find_run
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.untrusted import printable
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

if TYPE_CHECKING:
    from optrun.runner.inference.classifier import Logits, Trained
    from optrun.runner.inference.evaluated_photos import Chosen, Part
    from optrun.runner.inference.evaluation_report import Report

Device = Literal["auto", "cpu", "gpu"]

_SHEET_OPTION = "--sheet"
_WIDE = 100  # columns; longer lines of text are hard to read


@dataclass(frozen=True)
class Request:
    """What the command line asked for; see `optrun evaluate --help`."""

    run: str
    data: str | None = None
    flip: bool = False
    layout: str = "table"
    sheet: Path | None = None
    no_sheet: bool = False
    device: Device = "auto"


def evaluate(request: Request) -> None:
    """Measures, prints and draws.

    Raises:
        UserError: There is no such run, its photos are not what they were, or the sheet can't be
            written.
    """
    # All that a person can have mistyped is looked at before TensorFlow is waited for.
    folder = find_run(request.run)
    sheet = None if request.no_sheet else _sheet_path(request, folder)
    with native_stderr_captured():
        from optrun.runner.inference.classifier import open_trained

        trained = open_trained(folder, device=request.device)
        report = _report(trained, request)
        if sheet is not None:
            _draw(report, sheet)
    for text in _texts(report, request, sheet):
        click.echo(text, nl=False)
    if sheet is not None and request.layout != "table":
        click.echo(f"Wrote {printable(str(sheet))}", err=True)


def _report(trained: "Trained", request: Request) -> "Report":
    from optrun.runner.inference import evaluated_photos
    from optrun.runner.inference.evaluation import evaluate as score
    from optrun.runner.inference.evaluation import tempered
    from optrun.runner.inference.evaluation_report import Measured, Report
    from optrun.runner.inference.wrong_photos import worst
    from optrun.runner.ui.console import Display

    display = Display(Console(stderr=True))
    if request.data is None:
        chosen = evaluated_photos.own_parts(trained, display)
    else:
        chosen = evaluated_photos.others(trained, request.data, display)
    answers = _answers(trained, chosen, flip=request.flip)
    labels = [part.photos.labels[part.positions] for part in chosen.parts]
    measured = tuple(
        Measured(part.name, score(found, truth))
        for part, found, truth in zip(chosen.parts, answers, labels, strict=True)
    )
    names = [part.name for part in chosen.parts]
    return Report(
        trained=trained,
        chosen=chosen,
        measured=measured,
        tempered=(
            tempered(answers[0], labels[0], answers[1], labels[1])
            if names == ["validation", "test"]
            else None
        ),
        flip=request.flip,
        worst=worst(chosen.parts, answers),
    )


def _answers(trained: "Trained", chosen: "Chosen", *, flip: bool) -> "list[Logits]":
    """The logits of every part, with a live line on a terminal."""
    import numpy as np
    from optrun.data.feed.batches import EVALUATION_BATCH, evaluation_batches
    from optrun.runner.inference.classifier import logits

    total = sum(len(part.positions) for part in chosen.parts)
    console = Console(stderr=True)
    bar = (
        Progress(
            TextColumn("  photos"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            console=console,
            transient=True,
            refresh_per_second=4,
        )
        if console.is_terminal
        else None
    )
    task = None if bar is None else bar.add_task("", total=total)

    def counted(batches: Iterable[Any]) -> Iterator[Any]:
        for photos, labels in batches:
            yield photos, labels
            if bar is not None and task is not None:
                bar.advance(task, len(labels))

    def answers_of(part: "Part") -> "Logits":
        batches = evaluation_batches(part.photos, part.positions, batch_size=EVALUATION_BATCH)
        found = logits(trained, counted(batches), flip=flip)
        if not np.isfinite(found).all():
            raise UserError(
                f"The network of {trained.run.label} has no finite answer for "
                f"{int(np.sum(~np.isfinite(found))):,} of {len(found):,} photos, computed in "
                f"{trained.machine.precision}: it cannot be measured."
            )
        return found

    with nullcontext() if bar is None else bar:
        return [answers_of(part) for part in chosen.parts]


def _texts(report: "Report", request: Request, sheet: Path | None) -> Iterator[str]:
    from optrun.runner.inference import evaluation_report

    if request.layout == "json":
        yield evaluation_report.json_text(report)
    elif request.layout == "csv":
        yield evaluation_report.csv_text(report)
    else:
        width = min(max(shutil.get_terminal_size(fallback=(_WIDE, 24)).columns, 40), _WIDE)
        yield evaluation_report.table(report, sheet=sheet, width=width, styled=sys.stdout.isatty())


def _sheet_path(request: Request, folder: Path) -> Path:
    """Where the contact sheet goes.

    Raises:
        UserError: It is no PNG file, lies in the run's folder, or can't be written.
    """
    sheet = request.sheet or Path(f"most-wrong-{folder_name(folder.name)}.png")
    shown = printable(str(sheet))
    if sheet.suffix.lower() != ".png":
        raise UserError(f"--sheet must be the name of a .png file, received: {shown}")
    if sheet.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"--sheet must be a file outside of the run's folder, which stays as it is, received: "
            f"{shown}. Name one elsewhere, or give --no-sheet."
        )
    check_writable(sheet, force=True, option=_SHEET_OPTION)
    return sheet


def _draw(report: "Report", sheet: Path) -> None:
    from optrun.runner.inference.wrong_photos import sheet as drawn

    image = drawn(
        report.worst,
        run=report.trained.run.label,
        wrong=sum(part.evaluation.wrong for part in report.measured),
        total=sum(part.evaluation.photos for part in report.measured),
    )
    try:
        write_atomically(sheet, image)
    except OSError as error:
        raise UserError(
            f"--sheet must be a file that can be written, received: {printable(str(sheet))} "
            f"({error.strerror or error})."
        ) from error
