"""The three standard streams in any state: closed, on a full disk, or with nobody listening."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


class LeftAlone:
    """A stream whose writes never fail: once one has, what follows goes nowhere.

    A reader that went away, a terminal that was closed and a full disk are no reason to end a
    training, which has its own folder. It is said on descriptor 2, which during a run is its log.

    Attributes:
        lost: Why nothing can be written any more; None while it can.
    """

    def __init__(self, stream: TextIO, *, tells_of_pipes: bool) -> None:
        self.lost: OSError | None = None
        self._stream, self._tells_of_pipes = stream, tells_of_pipes

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.lost = self.lost or error
        descriptor = self._stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)  # so what is still in the buffer goes there, too
        os.close(nowhere)
        if isinstance(error, BrokenPipeError) and not self._tells_of_pipes:
            return  # whoever read it, `head` say, has seen enough
        self.tell()

    def tell(self) -> None:
        """Says on descriptor 2, if it is so, that nothing can be written any more."""
        if self.lost is not None:
            why = self.lost.strerror
            said = f"optrun: the output can't be written ({why}); what follows is not shown\n"
            with contextlib.suppress(OSError):
                os.write(2, said.encode())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def left_alone(*, tells_of_pipes: bool) -> Iterator[LeftAlone]:
    """Lets standard output and error fail in peace; gives the first.

    `tells_of_pipes` is for what goes on when nobody reads it any more. What a command does not
    settle otherwise, characters that standard output lacks, it writes by their numbers.
    """
    _open_what_is_closed()
    lacking_characters("backslashreplace")
    before = sys.stdout, sys.stderr
    output, errors = (LeftAlone(one, tells_of_pipes=tells_of_pipes) for one in before)
    sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, errors)
    try:
        yield output
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def lacking_characters(errors: str, **more: str) -> None:
    """Says what standard output does with a character that it lacks, where it can be said."""
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        with contextlib.suppress(io.UnsupportedOperation):
            reconfigure(errors=errors, **more)


def _open_what_is_closed() -> None:
    """Without it the next file that is opened would be taken for the closed stream."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
    for name, descriptor, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115
