"""What `optrun predict` does with photos: the answers of a run's network, written as they come."""

import contextlib
import io
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from optrun.data.unlabelled import unlabelled
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.inference.output import Progress, check_writable, new_file
from optrun.runner.inference.prediction import FORMATS, predictions
from optrun.runner.runs.select import find_run
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.untrusted import printable


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
            named = ", ".join(printable(str(path)) for path in photos[:5])
            raise UserError(
                f"PHOTO must name at least one photo, received: {named}, which holds none."
            )
        from optrun.runner.inference.classifier import open_trained

        trained = open_trained(folder, device=device)
        progress = Progress()
        progress.network(trained, flip=flip)
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
