r"""What `optrun predict` does: photos to answers, a few batches at a time, in a table, CSV or JSON.

Names come from archives and file systems, so from anybody. In a table and in CSV, everything that
acts on a terminal is written as an escape (`\x1b`), so that a name can't move the cursor or break
a line. JSON has escapes of its own, and there `json.loads` gives the name back.
"""

import contextlib
import io
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from optrun.runner.inference.output import Progress, check_exists, check_writable, new_file
from optrun.runner.runs.select import find_run
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.text import csv_cell, padded, widest

if TYPE_CHECKING:
    from optrun.runner.inference.classifier import Trained

# Small on a processor, where 16 photos of 224 px take seconds, so that answers appear as they come.
_BATCH = {"cpu": 16, "gpu": 128}
_NARROWEST_NAME, _WIDEST_NAME = 12, 60  # columns
_ROWS_MEASURED = 16
_PROBABILITY = f"{CLASS_NAMES[1]}_probability"


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
        layout = layout or {".csv": "csv", ".json": "json"}.get(output.suffix.lower())
    with native_stderr_captured(), photo_errors():
        found = unlabelled(photos)
        first = next(found, None)
        if first is None:
            named = ", ".join(printable(str(path), 300, strict=True) for path in photos[:5])
            raise UserError(
                f"PHOTO must name at least one photo, received: {named}, which holds none."
            )
        from optrun.runner.inference.classifier import open_trained

        trained = open_trained(folder, device=device)
        progress = Progress(trained, flip=flip)
        if output is None and isinstance(sys.stdout, io.TextIOWrapper):
            with contextlib.suppress(io.UnsupportedOperation):
                sys.stdout.reconfigure(errors="backslashreplace", newline="")
        to_screen = contextlib.nullcontext(sys.stdout)
        with to_screen if output is None else new_file(output, force=force) as out:
            answers = progress.pass_on(
                predictions(trained, itertools.chain([first], found), flip=flip),
                live=output is not None or not sys.stdout.isatty(),
            )
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
    def label(self) -> int:
        """Of the class it is said to be; 0 where both are equally likely."""
        return int(self._known > 0)

    @property
    def answer(self) -> str:
        return CLASS_NAMES[self.label]

    @property
    def probability(self) -> float:
        """Of the answer, 0.5 to 1."""
        return float(sigmoid(abs(self._known)))

    @property
    def positive_probability(self) -> float:
        """Of label 1, 0 to 1."""
        return float(sigmoid(self._known))

    @property
    def _known(self) -> float:
        if self.logit is None:
            raise ValueError(f"{self.name} was not judged: {self.unreadable}")
        return self.logit


def predictions(
    trained: "Trained", photos: Iterable[UnlabelledPhoto], *, flip: bool = False
) -> Iterator[Prediction]:
    """What the network says of each photo, in their order, also of those that can't be read.

    Photos are decoded in threads while the network computes, and read no further ahead than needed.
    A `PhotoError` that ends the photos is raised when those before it have been judged.
    """

    def decoded(photo: UnlabelledPhoto | PhotoError) -> Pixels | str:
        if isinstance(photo, PhotoError):
            return str(photo)
        try:
            return photo.unreadable or trained.pixels(photo.encoded)
        except UndecodableError as error:
            return str(error)

    def bytes_of(photo: UnlabelledPhoto | PhotoError) -> int:
        return 0 if isinstance(photo, PhotoError) else len(photo.encoded)

    batch: list[tuple[str, Pixels | str]] = []
    for photo, pixels in in_order(_with_trouble(photos), bytes_of, decoded):
        if isinstance(photo, PhotoError):
            yield from _judged(trained, batch, flip)
            raise photo
        batch.append((photo.name, pixels))
        if len(batch) == _BATCH[trained.machine.device]:
            yield from _judged(trained, batch, flip)
            batch = []
    yield from _judged(trained, batch, flip)


def _with_trouble(photos: Iterable[UnlabelledPhoto]) -> Iterator[UnlabelledPhoto | PhotoError]:
    """The photos, and as the last what ended them, which must not overtake those before it."""
    try:
        yield from photos
    except PhotoError as error:
        yield error


def _judged(
    trained: "Trained", batch: Sequence[tuple[str, Pixels | str]], flip: bool
) -> Iterator[Prediction]:
    pixels = [one for _, one in batch if not isinstance(one, str)]
    found = iter(trained.logits(np.stack(pixels), flip=flip) if pixels else ())
    for name, one in batch:
        if isinstance(one, str):
            yield Prediction(name, None, one)
        else:
            yield Prediction(name, float(next(found)))


def _write_table(rows: Iterable[Prediction], out: TextIO) -> None:
    """One line a photo: name, answer, probability of the answer.

    The names' column is as wide as the first few need; a longer one later moves its own line.
    """
    rows, first, width = iter(rows), [], _NARROWEST_NAME

    def write(row: Prediction) -> None:
        name = padded(printable(row.name), width)
        out.write(f"{name}  {row.answer:<6}  {percentage(row.probability):>11}\n")
        out.flush()

    try:
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
    out.write(f"photo,answer,probability,{_PROBABILITY}\r\n")
    for row in rows:
        name = csv_cell(printable(row.name), guard="./")
        # Nine significant digits are more than a float32 logit decides.
        out.write(f"{name},{row.answer},{row.probability:.9g},{row.positive_probability:.9g}\r\n")
        out.flush()


def _write_json(rows: Iterable[Prediction], out: TextIO) -> None:
    r"""One JSON array, an object a line, in ASCII; ended also where the photos end in trouble.

    A byte of a file's name that is no UTF-8 is written as `\xff`, in four characters, since JSON
    has no word for it.
    """
    before, end = "[\n", "[]\n"
    try:
        for row in rows:
            content = {
                "photo": "".join(
                    printable(char) if "\ud800" <= char <= "\udfff" else char for char in row.name
                ),
                "answer": row.answer,
                "probability": float(f"{row.probability:.9g}"),
                _PROBABILITY: float(f"{row.positive_probability:.9g}"),
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
