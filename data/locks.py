"""A lock between processes: one writer at a time, and none left locked by a process that died."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


@contextlib.contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Holds the lock file at `path`; the system gives it back however the process ends.

    The file stays: whoever deleted it could leave two processes with a lock each. `waiting` is
    called once, if another process holds the lock. All here raises `OSError` if the file can't be
    made, or the file system knows no locks.
    """
    with path.open("ab") as file:
        if not try_lock(file.fileno()):
            if waiting is not None:
                waiting()
            # Asking again, rather than a wait within the system, works on every system alike.
            while not try_lock(file.fileno()):
                time.sleep(0.1)
        yield


@contextlib.contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Holds the lock file at `path` unless another process does; gives whether it is held here."""
    with path.open("ab") as file:
        yield try_lock(file.fileno())


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Takes the lock of an open file if it is free, and returns whether it was.

    The system has it back when the file closes. `shared`: others may share it, where the system
    knows such locks.
    """
    try:
        if sys.platform == "win32":
            # A locked byte can't be read by others there: one far behind what is written.
            os.lseek(descriptor, 2**30, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if sys.platform == "win32" or isinstance(error, BlockingIOError):
            return False
        raise
    return True
