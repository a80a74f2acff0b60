"""TensorFlow's start-up chatter, kept off the screen and out of nobody's reach.

Its C++ code writes to file descriptor 2 directly, so Python's `sys.stderr` cannot catch it. While
`native_stderr_captured` is active, descriptor 2 leads into a file and `sys.stderr` to the terminal;
the file is shown when the program fails.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from optrun.data.exceptions import PhotoError
from optrun.runner import environment
from optrun.runner.errors import UserError
from optrun.runner.ui.streams import LeftAlone

TRACE_LIMIT_BYTES = 20_000


class NativeStderr:
    """Where descriptor 2 leads at the moment."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="optrun-")  # noqa: SIM115 (closed by the owner)
        os.dup2(self._file.fileno(), 2)

    @contextmanager
    def into(self, log: Path) -> Iterator[None]:
        """Append to a run's log instead, for as long as the run lasts.

        A log that can't be opened is no reason not to train: they stay where they are.
        """
        with contextlib.suppress(OSError):
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.dup2(descriptor, 2)
            os.close(descriptor)
        if isinstance(sys.stdout, LeftAlone):
            sys.stdout.tell()  # to a log that may be all there is to read
        try:
            yield
        finally:
            os.dup2(self._file.fileno(), 2)

    def captured(self) -> str:
        """What was written since the start, its last `TRACE_LIMIT_BYTES` bytes."""
        size = os.fstat(self._file.fileno()).st_size
        start = max(0, size - TRACE_LIMIT_BYTES)
        return os.pread(self._file.fileno(), size - start, start).decode(errors="replace")

    def close(self) -> None:
        self._file.close()


@contextmanager
def native_stderr_captured() -> Iterator[NativeStderr]:
    """Lead descriptor 2 into a file; Python's own messages still reach the person.

    Whatever escapes as an exception that is our fault replays what was captured.
    """
    environment.claim()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    terminal = os.dup(2)
    python_stderr = sys.stderr
    if _writes_to_descriptor_2(python_stderr):
        shown = os.fdopen(os.dup(terminal), "w", buffering=1, errors="backslashreplace")
        sys.stderr = cast(TextIO, LeftAlone(shown, tells_of_pipes=False))
    native = NativeStderr()
    replay = ""
    try:
        yield native
    except Exception as error:
        if not isinstance(error, UserError | PhotoError):
            replay = native.captured()
        raise
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        if sys.stderr is not python_stderr:
            sys.stderr.close()
            sys.stderr = python_stderr
        native.close()
        if replay:
            sys.stderr.write(replay)


def _writes_to_descriptor_2(stream: object) -> bool:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return bool(stream.fileno() == 2)  # type: ignore[attr-defined]
    return False
