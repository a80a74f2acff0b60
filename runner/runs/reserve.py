"""Room that a run holds on its disk, so that its end can be written when the disk is full."""

import contextlib
import os
from pathlib import Path

NAME = ".reserve"
# A run's end is a line of metrics.jsonl, one of log.txt and a new run.json, of some ten kilobytes;
# a file system gives out room in blocks, which are 64 KiB at most on those in use.
BYTES = 256 * 2**10


def set_aside(folder: Path) -> None:
    """Take the room, on disk and not only in name; one that is there already is completed.

    Raises:
        OSError: There is not as much; no more is taken than before.
    """
    path = folder / NAME
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    try:
        try:
            _allocate(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        free(folder)
        raise


def free(folder: Path) -> None:
    """Give the room back, where it was taken."""
    with contextlib.suppress(OSError):
        (folder / NAME).unlink(missing_ok=True)


def _allocate(descriptor: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, BYTES)
        return
    # Without the call, bytes that are written are the only ones that are sure to have room.
    rest = memoryview(bytes(BYTES))
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)
