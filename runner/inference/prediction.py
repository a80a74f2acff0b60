r"""What `optrun predict` does: photos to answers, a few batches at a time, in a table, CSV or JSON.

Names come from anybody. In a table and in CSV, what acts on a terminal is written as an escape
(`\x1b`). JSON has escapes of its own, and there `json.loads` gives the name back.
"""

import contextlib
import itertools
import json
import os
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

import numpy as np
from optrun.data.exceptions import PhotoError
from optrun.data.images.decode import Pixels, UndecodableError
from optrun.data.labels import CLASS_NAMES
from optrun.data.parallel import in_order
from optrun.data.printable import printable
from optrun.data.unlabelled import UnlabelledPhoto, unlabelled
from optrun.runner.engine.scores import sigmoid
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.runs.reader import find_run
from optrun.runner.ui.console import Display, live_line
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.streams import lacking_characters
from optrun.runner.ui.text import csv_cell, layout_of, padded, widest
from optrun.runner.ui.wording import number_of
from rich.console import Console

if TYPE_CHECKING:
    from optrun.runner.inference.classifier import Trained

# Small on a processor, where 16 photos of 224 px take seconds, so that answers appear as they come.
_BATCH = {"cpu": 16, "gpu": 128}
_NARROWEST_NAME, _WIDEST_NAME = 12, 60  # columns
_ROWS_MEASURED = 16
PROBABILITY = f"{CLASS_NAMES[1]}_probability"


def predict(
    run: str,
    photos: Sequence[Path],
    *,
    layout: str | None,
    output: Path | None,
    force: bool,
    flip: bool,
    device: str,
) -> int:
    """Writes the answers, as `optrun predict`; 1 where photos could not be read, else 0."""
    # All that a person can have mistyped is looked at before TensorFlow is waited for.
    folder = find_run(run)
    for path in photos:
        check_exists(path, "PHOTO")
    if output is not None:
        check_writable(output, force=force)
        layout = layout or layout_of(output, {".csv": "csv", ".json": "json"}, "-o")
    with native_stderr_captured(), photo_errors():
        found = unlabelled(photos)
        first = next(found, None)
        if first is None:
            named = ", ".join(printable(str(path), 300, strict=True) for path in photos[:5])
            raise UserError(
                f"PHOTO must name at least one photo, received: {named}, which holds none."
            )
        progress = Progress(folder, device=device, flip=flip)
        if output is None:
            lacking_characters("backslashreplace", newline="")
        screen = contextlib.nullcontext(sys.stdout)
        with screen if output is None else new_file(output, force=force) as out:
            live = output is not None or not sys.stdout.isatty()
            answers = progress.answers(itertools.chain([first], found), live=live)
            FORMATS[layout or "table"]((one for one in answers if one.logit is not None), out)
        place = "" if output is None else f" in {printable(str(output), 300, strict=True)}"
        progress.say(progress.counted(place))
    return 1 if progress.unreadable else 0


class Prediction(NamedTuple):
    """What the network says of one photo."""

    name: str  # as the source has it; perhaps not printable
    logit: float | None  # log odds of the class of label 1; None where the photo is unreadable
    unreadable: str | None = None  # why it can't be judged

    @property
    def answer(self) -> str:
        return CLASS_NAMES[int(self._known > 0)]  # the first where both are equally likely

    @property
    def probability(self) -> float:
        return float(sigmoid(abs(self._known)))  # of the answer, 0.5 to 1

    @property
    def positive_probability(self) -> float:
        return float(sigmoid(self._known))  # of label 1, 0 to 1

    @property
    def _known(self) -> float:
        if self.logit is None:
            raise ValueError(f"{self.name} was not judged: {self.unreadable}")
        return self.logit


def predictions(
    trained: "Trained", photos: Iterable[UnlabelledPhoto], *, flip: bool = False
) -> Iterator[Prediction]:
    """What the network says of each photo, in their order, also of those that can't be read.

    A `PhotoError` that ends the photos is raised when those before it have been judged.
    """
    trouble: PhotoError | None = None

    def until_trouble() -> Iterator[UnlabelledPhoto]:
        nonlocal trouble
        try:
            yield from photos
        except PhotoError as error:
            trouble = error

    def decoded(photo: UnlabelledPhoto) -> Pixels | str:
        try:
            return photo.unreadable or trained.pixels(photo.encoded)
        except UndecodableError as error:
            return str(error)

    decoding = in_order(until_trouble(), lambda photo: len(photo.encoded), decoded)
    named = ((photo.name, pixels) for photo, pixels in decoding)
    while batch := list(itertools.islice(named, _BATCH[trained.machine.device])):
        pixels = [one for _, one in batch if not isinstance(one, str)]
        found = iter(trained.logits(np.stack(pixels), flip=flip) if pixels else ())
        for name, one in batch:
            if isinstance(one, str):
                yield Prediction(name, None, one)
            else:
                yield Prediction(name, float(next(found)))
    if trouble is not None:
        raise trouble


def check_exists(path: Path, argument: str) -> None:
    """Raises `UserError` where there is no such file or folder."""
    with contextlib.suppress(OSError, ValueError):  # a circle of links, a NUL character
        if path.exists():
            return
    raise UserError(
        f"{argument} must be a photo, a folder or a zip archive, received: "
        f"{printable(str(path), 300, strict=True)}, where there is none."
    )


def check_writable(path: Path, *, force: bool, option: str = "-o", kind: str = "file") -> None:
    """Finds out before the work begins whether `option` names what could be written."""
    received = f"received: {printable(str(path))}"
    try:
        if kind == "file" and path.exists() and not path.is_file():
            found = "a folder" if path.is_dir() else "no plain file"
            raise UserError(f"{option} must name a file to write, {received}, which is {found}.")
        if path.exists() and not force:
            raise UserError(
                f"{option} must name a new {kind}, {received}, which exists. "
                "Replace it with --force, or give another name."
            )
        folder = path.resolve().parent
        if not folder.is_dir():
            where = "a file in a folder" if kind == "file" else "a folder within one"
            raise UserError(
                f"{option} must name {where} that exists, {received}; "
                f"there is no {printable(str(folder))}."
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(0, f"no permission to write in {folder}")
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise not_writable(path, error, option, kind) from error


def not_writable(path: Path, error: Exception, option: str = "-o", kind: str = "file") -> UserError:
    """What to tell of a file or folder that can't be written."""
    reason = getattr(error, "strerror", None) or str(error)
    return UserError(
        f"{option} must name a {kind} that can be written, received: {printable(str(path))} "
        f"({reason})."
    )


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[TextIO]:
    """A text file, UTF-8, to write to; it gets its name when the block ends without an error."""
    place = path.resolve()  # a symbolic link stays one: what it leads to is written
    # In the same folder, since a rename is atomic only within one file system.
    temporary = place.with_name(f".{place.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        check_writable(path, force=force)  # hours may have passed
        temporary.replace(place)
    except OSError as error:
        raise not_writable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def live_count(
    console: Console, total: int | None, *, shown: bool = True
) -> Iterator[Callable[[int, str], object]]:
    """What shows, on a terminal, how many photos are done, of how many where that is known."""
    if not (shown and console.is_terminal):
        yield lambda *_: None
        return
    with live_line(console, bar=total is not None) as line:
        task = line.add_task("photos", total=total, numbers="")
        yield lambda done, numbers: line.update(task, completed=done, numbers=numbers)


class Progress:
    """Says which network it is, counts photos as they pass, and names those that can't be read."""

    def __init__(self, folder: Path, *, device: str, flip: bool) -> None:
        from optrun.runner.inference.classifier import open_trained

        self.trained = trained = open_trained(folder, device=device)
        self._console = Console(stderr=True)
        self.say = Display(self._console).say
        self.unreadable = 0
        self._counts: Counter[str] = Counter()  # said to be of each class
        self._flip = flip
        epoch = f"epoch {trained.best_epoch}, " if trained.best_epoch else ""
        mean = ", mean of photo and mirror image" if flip else ""
        self.say(
            f"{trained.run.label}, {epoch}{trained.experiment.data.image_size} px, "
            f"{trained.machine.precision} on {trained.machine.device.upper()}{mean}"
        )
        for note in trained.notes:
            self.say(f"note: {note}")

    def answers(
        self, photos: Iterable[UnlabelledPhoto], *, live: bool = True, total: int | None = None
    ) -> Iterator[Prediction]:
        """What the network says of each photo, with a live line where wanted."""
        started: float | None = None
        found = predictions(self.trained, photos, flip=self._flip)
        with live_count(self._console, total, shown=live) as show:
            for seen, one in enumerate(found, start=1):
                if one.logit is None:
                    self.unreadable += 1
                    self.say(f"cannot be read: {printable(one.name)}: {one.unreadable}")
                else:
                    self._counts[one.answer] += 1
                started = started or time.monotonic()
                rate = seen / max(time.monotonic() - started, 1)
                show(seen, f"{seen:,}  {rate:,.0f}/s")
                yield one

    def counted(self, place: str = "") -> str:
        """How many of each class there are in `place`, and how many were unreadable, in words."""
        words = [number_of(self._counts[name], name) for name in reversed(CLASS_NAMES)]
        told = ", ".join(words) + place
        return f"{told}; {self.unreadable:,} could not be read" if self.unreadable else told


def _write_table(rows: Iterable[Prediction], out: TextIO) -> None:
    """One line a photo: name, answer, probability of the answer."""
    rows, first, width = iter(rows), [], _NARROWEST_NAME

    def write(row: Prediction) -> None:
        name = padded(printable(row.name), width)
        out.write(f"{name}  {row.answer:<6}  {percentage(row.probability):>11}\n")
        out.flush()

    try:
        # The names' column is as wide as the first few need; a longer one later moves its own line.
        for row in itertools.islice(rows, _ROWS_MEASURED):
            first.append(row)
    finally:  # what was said before the photos ended in trouble is shown
        if first:
            width = min(max(width, widest([printable(row.name) for row in first])), _WIDEST_NAME)
            out.write(f"{'photo':<{width}}  answer  probability\n")
        for row in first:
            write(row)
    for row in rows:
        write(row)


def _write_csv(rows: Iterable[Prediction], out: TextIO) -> None:
    """RFC 4180, lines ended by CR LF; before a name that begins as a formula does stands `./`."""
    out.write(f"photo,answer,probability,{PROBABILITY}\r\n")
    for row in rows:
        name = csv_cell(printable(row.name), guard="./")
        # Nine significant digits are more than a float32 logit decides.
        out.write(f"{name},{row.answer},{row.probability:.9g},{row.positive_probability:.9g}\r\n")
        out.flush()


def _write_json(rows: Iterable[Prediction], out: TextIO) -> None:
    """One JSON array, an object a line, in ASCII; ended also where the photos end in trouble."""
    before, end = "[\n", "[]\n"
    try:
        for row in rows:
            content = {
                # JSON has no word for a byte of a file's name that is no UTF-8.
                "photo": re.sub("[\ud800-\udfff]", lambda found: printable(found[0]), row.name),
                "answer": row.answer,
                "probability": float(f"{row.probability:.9g}"),
                PROBABILITY: float(f"{row.positive_probability:.9g}"),
            }
            out.write(before + json.dumps(content))
            out.flush()
            before, end = ",\n", "\n]\n"
    finally:
        out.write(end)


FORMATS: dict[str, Callable[[Iterable[Prediction], TextIO], None]] = {
    "table": _write_table,
    "csv": _write_csv,
    "json": _write_json,
}


def percentage(probability: float) -> str:
    """Two decimals, never rounded up to certainty.

    >>> percentage(0.98764), percentage(0.999999), percentage(0.5)
    ('98.76%', '>99.99%', '50.00%')
    """
    return f"{probability:.2%}" if probability <= 0.9999 else ">99.99%"
