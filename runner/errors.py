"""The mistakes a person can make, told apart from faults of the program."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optrun.data.exceptions import PhotoError
from optrun.data.printable import printable


class UserError(Exception):
    """A person's mistake, or a trouble outside the program that only the person can end.

    The message is complete: what must be, what was received, where, and what to do next. The
    command line prints it to stderr without a traceback and exits with `exit_code`.
    """

    exit_code = 2


def unwritable(path: Path, error: OSError, option: str = "--output") -> UserError:
    """That a file which an option names cannot be written."""
    return UserError(
        f"{option} must be a file that can be written, received: {printable(str(path))} "
        f"({error.strerror})."
    )


def tell(error: UserError) -> None:
    """Print what keeps one of several runs from going on; the others do."""
    print(f"optrun: {error}", file=sys.stderr)


@contextmanager
def photo_errors() -> Iterator[None]:
    """What is wrong with photos, told to the person as every other mistake is."""
    try:
        yield
    except PhotoError as error:
        raise UserError(str(error)) from error
