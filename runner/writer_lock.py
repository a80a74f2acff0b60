"""One writer for each run: a lock that the operating system drops when its holder dies.

A file that merely exists says nothing after a crash, and a process id may have been given to
another process since. A lock held by the kernel is free the moment its holder is gone, so a run
that says "running" while nobody holds its lock was killed.
"""

import os
import sys
import time
from pathlib import Path

from runner.errors import UserError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_NAME = "writer.lock"


class RunHeldError(UserError):
    """Another process is writing this run."""

    exit_code = 5


def acquire(path: Path, *, patience_s: float = 1.0) -> int:
    """Takes the lock file at `path` for this process, made where it is missing.

    Args:
        path: The lock file.
        patience_s: How long to go on trying, in seconds: a reader that asks `is_held` holds a
            shared lock for an instant.

    Returns:
        The file descriptor that holds the lock until it is closed.

    Raises:
        RunHeldError: Another process holds it.
        OSError: The file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    deadline = time.monotonic() + patience_s
    while not _try_lock(descriptor, shared=False):
        if time.monotonic() >= deadline:
            os.close(descriptor)
            raise RunHeldError(
                f"The run {path.parent} is being written by another process. "
                "Wait until it ends, or stop it first."
            )
        time.sleep(0.01)
    return descriptor


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file at `path`; a missing file is held by nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return False
    try:
        return not _try_lock(descriptor, shared=True)
    except OSError:  # a file system that knows no locks: then nobody holds one
        return False
    finally:
        os.close(descriptor)


if sys.platform == "win32":

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        del shared  # Windows' byte-range lock knows one kind only
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
