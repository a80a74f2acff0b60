"""A lock between processes: one writer at a time, and none left locked by a process that died."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_ASK_AGAIN_S = 0.1


@contextlib.contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Holds the lock file at `path`; the system gives it back however the process ends.

    Args:
        path: The lock file, made where it is missing. It stays: whoever deleted it could leave two
            processes with a lock each.
        waiting: Called once, if another process holds the lock.

    Raises:
        OSError: If the file can't be made, or the file system knows no locks.
    """
    with path.open("ab") as file:
        if not _try_lock(file):
            if waiting is not None:
                waiting()
            # Asking again, rather than a wait within the system, works on every system alike.
            while not _try_lock(file):
                time.sleep(_ASK_AGAIN_S)
        yield


@contextlib.contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Holds the lock file at `path` unless another process does; gives whether it is held here.

    Raises:
        OSError: If the file can't be made, or the file system knows no locks.
    """
    with path.open("ab") as file:
        yield _try_lock(file)


if sys.platform == "win32":

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
