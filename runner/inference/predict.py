"""What `optrun predict` does with photos: the answers of a run's network, written as they come."""

import contextlib
import io
import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from optrun.runner.errors import UserError, photo_errors
from optrun.runner.inference.output import Progress, check_writable, new_file
from optrun.runner.runs.select import find_run
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.untrusted import printable

if TYPE_CHECKING:
    from optrun.runner.inference.prediction import EncodedPhoto

Device = Literal["auto", "cpu", "gpu"]

_FORMAT_BY_SUFFIX = {".csv": "csv", ".json": "json"}


def predict(
    run: str,
    photos: Sequence[Path],
    *,
    layout: str | None = None,
    output: Path | None = None,
    force: bool = False,
    flip: bool = False,
    device: Device = "auto",
) -> int:
    """Writes the answers; the arguments are those of `optrun predict`.

    Returns:
        The exit code: 0, or 1 where photos could not be read.

    Raises:
        UserError: There is no such run, no such photo, or the output can't be written.
    """
    # All that a person can have mistyped is looked at before TensorFlow is waited for.
    folder = find_run(run)
    for path in photos:
        check_exists(path, "PHOTO")
    if output is not None:
        check_writable(output, force=force)
    suffix = "" if output is None else output.suffix.lower()
    layout = layout or _FORMAT_BY_SUFFIX.get(suffix, "table")
    with native_stderr_captured(), photo_errors():
        from optrun.data.unlabelled import unlabelled
        from optrun.runner.inference.classifier import open_trained
        from optrun.runner.inference.prediction import FORMATS, predictions

        found = _at_least_one(unlabelled(photos), photos)
        trained = open_trained(folder, device=device)
        progress = Progress()
        progress.network(trained, flip=flip)
        with _stdout() if output is None else new_file(output, force=force) as out:
            answers = progress.pass_on(
                predictions(trained, found, flip=flip),
                live=output is not None or not sys.stdout.isatty(),
            )
            FORMATS[layout]((one for one in answers if one.logit is not None), out)
        progress.say(progress.counted("" if output is None else f" in {printable(str(output))}"))
    return 1 if progress.unreadable else 0


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
def _stdout() -> Iterator[TextIO]:
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(io.UnsupportedOperation):
            sys.stdout.reconfigure(errors="backslashreplace", newline="")
    yield sys.stdout
