"""What `optrun predict` does with photos: the answers of a run's network, written as they come."""

import contextlib
import io
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from optrun.data.errors import PhotoError
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.inference.output_file import check_writable, new_file
from optrun.runner.inference.trouble import until_trouble
from optrun.runner.runs.select import find_run
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.untrusted import printable

if TYPE_CHECKING:
    from optrun.runner.inference.answers import Prediction
    from optrun.runner.inference.prediction import EncodedPhoto

Device = Literal["auto", "cpu", "gpu"]

_FORMAT_BY_SUFFIX = {".csv": "csv", ".json": "json"}


@dataclass(frozen=True)
class Request:
    """What the command line asked for; see `optrun predict --help`."""

    run: str
    photos: Sequence[Path]
    layout: str | None = None
    output: Path | None = None
    force: bool = False
    flip: bool = False
    device: Device = "auto"


def predict(request: Request) -> int:
    """Writes the answers.

    Returns:
        The exit code: 0, or 1 where photos could not be read.

    Raises:
        UserError: There is no such run, no such photo, or the output can't be written.
    """
    # All that a person can have mistyped is looked at before TensorFlow is waited for.
    folder = find_run(request.run)
    for path in request.photos:
        check_exists(path, "PHOTO")
    if request.output is not None:
        check_writable(request.output, force=request.force)
    layout = request.layout or _FORMAT_BY_SUFFIX.get(
        "" if request.output is None else request.output.suffix.lower(), "table"
    )
    with native_stderr_captured(), photo_errors():
        from optrun.data.unlabelled import unlabelled
        from optrun.runner.inference.classifier import open_trained
        from optrun.runner.inference.messages import Telling
        from optrun.runner.inference.prediction import predictions

        photos = _at_least_one(unlabelled(request.photos), request.photos)
        trained = open_trained(folder, device=request.device)
        telling = Telling()
        telling.network(trained, flip=request.flip)
        with _opened(request) as out:
            _write(
                telling.pass_on(
                    predictions(trained, photos, flip=request.flip),
                    live=request.output is not None or not sys.stdout.isatty(),
                ),
                layout,
                out,
            )
        where = "" if request.output is None else f" in {printable(str(request.output))}"
        telling.say(telling.counts(where))
    return 1 if telling.unreadable else 0


def check_exists(path: Path, argument: str) -> None:
    """Raises `UserError` where there is no such file or folder."""
    try:
        found = path.exists()
    except (OSError, ValueError):  # a circle of links, a NUL character
        found = False
    if not found:
        raise UserError(
            f"{argument} must be a photo, a folder or a zip archive, received: "
            f"{printable(str(path))}, where there is none."
        )


def _at_least_one(
    photos: Iterator["EncodedPhoto"], paths: Sequence[Path]
) -> Iterator["EncodedPhoto"]:
    """The same photos, the first of them looked for now, before the network is built."""
    first = next(photos, None)
    if first is None:
        named = ", ".join(printable(str(path)) for path in paths[:5])
        raise UserError(f"PHOTO must name at least one photo, received: {named}, which holds none.")
    return itertools.chain([first], photos)


@contextmanager
def _opened(request: Request) -> Iterator[TextIO]:
    """The output: a file that appears when it is whole, or stdout."""
    if request.output is not None:
        with new_file(request.output, force=request.force) as file:
            yield file
        return
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(io.UnsupportedOperation):
            sys.stdout.reconfigure(errors="backslashreplace", newline="")
    yield sys.stdout


def _write(rows: Iterable["Prediction"], layout: str, out: TextIO) -> None:
    """Writes each answer as it comes; photos that were not judged have none.

    Where the photos end in trouble or by Ctrl-C, what was said until then is ended as its format
    must be, so that a reader of JSON has an array; then the trouble goes on its way.
    """
    from optrun.runner.inference.prediction_formats import FORMATS

    trouble: list[BaseException] = []
    sound = until_trouble(rows, trouble, (UserError, PhotoError, KeyboardInterrupt))
    for text in FORMATS[layout](row for row in sound if row.logit is not None):
        out.write(text)
        out.flush()
    if trouble:
        raise trouble[0]
