"""Where answers go: files that appear whole; what a person hears meanwhile: lines on stderr."""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from optrun.data.labels import CLASS_NAMES, PLURAL_NAMES
from optrun.data.printable import printable
from optrun.runner.errors import UserError
from optrun.runner.ui.console import Display, live_line
from rich.console import Console

if TYPE_CHECKING:
    from optrun.runner.inference.classifier import Trained
    from optrun.runner.inference.prediction import Prediction


def check_exists(path: Path, argument: str) -> None:
    """Raises `UserError` where there is no such file or folder."""
    try:
        found = path.exists()
    except (OSError, ValueError):  # a circle of links, a NUL character
        found = False
    if not found:
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
    check_writable(path, force=force)
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

    def __init__(self, trained: "Trained", *, flip: bool) -> None:
        self._console = Console(stderr=True)
        self.say = Display(self._console).say
        self.unreadable = 0
        self._counts = [0] * len(CLASS_NAMES)  # said to be of each class, by label
        parts = [
            trained.run.label,
            *([f"epoch {trained.best_epoch}"] if trained.best_epoch else []),
            f"{trained.experiment.data.image_size} px",
            f"{trained.machine.precision} on {trained.machine.device.upper()}",
            *(["mean of photo and mirror image"] if flip else []),
        ]
        self.say(", ".join(parts))
        for note in trained.notes:
            self.say(f"note: {note}")

    def pass_on(
        self, predictions: Iterable["Prediction"], *, live: bool, total: int | None = None
    ) -> Iterator["Prediction"]:
        """All of them, counted, with a live line where wanted; says what can't be read, and why."""
        started: float | None = None
        with live_count(self._console, total, shown=live) as show:
            for seen, one in enumerate(predictions, start=1):
                if one.logit is None:
                    self.unreadable += 1
                    self.say(f"cannot be read: {printable(one.name)}: {one.unreadable}")
                else:
                    self._counts[one.label] += 1
                started = started or time.monotonic()
                rate = seen / max(time.monotonic() - started, 1)
                show(seen, f"{seen:,}  {rate:,.0f}/s")
                yield one

    def counted(self, place: str = "") -> str:
        """How many of each class there are in `place`, and how many were unreadable, in words."""
        words = [
            f"{count:,} {one if count == 1 else several}"
            for count, one, several in zip(self._counts, CLASS_NAMES, PLURAL_NAMES, strict=True)
        ]
        told = ", ".join(reversed(words)) + place
        return f"{told}; {self.unreadable:,} could not be read" if self.unreadable else told
