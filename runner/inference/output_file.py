"""A result file written as it grows, that appears under its name when it is whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from optrun.runner.errors import UserError
from optrun.runner.untrusted import printable


def check_writable(path: Path, *, force: bool, option: str = "-o") -> None:
    """Finds out before the work begins whether `new_file` could succeed; changes nothing.

    Args:
        path: The file to write.
        force: Whether to replace one that exists.
        option: What the person named it with, for the message.

    Raises:
        UserError: There is a file already and `force` is not given, or it can't be written.
    """
    shown = printable(str(path))
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "no plain file"
            raise UserError(
                f"{option} must name a file to write, received: {shown}, which is {kind}."
            )
        if path.exists() and not force:
            raise UserError(
                f"{option} must name a new file, received: {shown}, which exists. "
                "Replace it with --force, or give another name."
            )
        folder = path.resolve().parent
        if not folder.is_dir():
            raise UserError(
                f"{option} must name a file in a folder that exists, received: {shown}; "
                f"there is no {printable(str(folder))}."
            )
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise _not_writable(option, shown, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _not_writable(
            option, shown, PermissionError(0, f"no permission to write in {folder}")
        )


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[TextIO]:
    """A text file, UTF-8, to write to; it gets its name when the block ends without an error.

    Lines end as they are written. A symbolic link stays one: the file that it leads to is written.

    Args:
        path: The file.
        force: Whether to replace one that exists.

    Raises:
        UserError: The file exists, or the disk is full or may not be written.
    """
    check_writable(path, force=force)
    place = path.resolve()
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
        raise _not_writable("-o", printable(str(path)), error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _not_writable(option: str, shown: str, error: OSError | ValueError) -> UserError:
    reason = getattr(error, "strerror", None) or str(error)
    return UserError(
        f"{option} must name a file that can be written, received: {shown} ({reason})."
    )
