"""A run and its disk: room that is held for its end, lines that are whole, trouble in words."""

import contextlib
import errno
import os
from pathlib import Path

from optrun.runner.runs.writer_lock import LOCK_NAME

RESERVE_NAME = ".reserve"
# A run's end is a line of metrics.jsonl, one of log.txt and a new run.json, of some ten kilobytes;
# a file system gives out room in blocks, which are 64 KiB at most on those in use.
RESERVE_BYTES = 256 * 2**10

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


class FolderGone(OSError):
    """The folder of a run is no longer where it was made."""

    def __init__(self, folder: Path) -> None:
        super().__init__(errno.ENOENT, "removed, or moved away", str(folder))


def append_whole(descriptor: int, content: bytes) -> None:
    """Appends all of `content` to a file, unbuffered, or nothing: a part of it is cut off again."""
    before = os.fstat(descriptor).st_size
    try:
        _write_all(descriptor, content)
    except BaseException:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, before)
        raise


def set_reserve_aside(folder: Path) -> None:
    """Take room for the run's end, on disk and not only in name; where there is none, nothing."""
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
    descriptor = os.open(folder / RESERVE_NAME, flags, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        else:  # bytes that are written are the only ones that are sure to have room
            _write_all(descriptor, bytes(RESERVE_BYTES))
            os.fsync(descriptor)
    except BaseException:
        free_reserve(folder)
        raise
    finally:
        os.close(descriptor)


def free_reserve(folder: Path) -> None:
    with contextlib.suppress(OSError):
        (folder / RESERVE_NAME).unlink(missing_ok=True)


def is_full(error: OSError) -> bool:
    """Whether there was no room, or no more than somebody's quota."""
    return error.errno in _FULL


def told(error: OSError, folder: Path) -> str:
    """A failed read or write of the files in a run's folder (or its parent), for a person.

    >>> told(OSError(errno.ENOSPC, "No space left on device"), Path("."))
    'the disk is full: . has no room left; make room there'
    """
    if not is_folder(folder):
        return f"the folder {folder} is gone: it was removed, or moved away"
    if isinstance(error, FolderGone):
        return f"{folder} was replaced by another, or its {LOCK_NAME} was removed, during the run"
    if is_full(error):
        return f"the disk is full: {folder} has no room left; make room there"
    if error.errno == errno.EFBIG:
        return f"a file in {folder} would be larger than the system allows (File too large)"
    where = error.filename or folder
    if error.errno in _FORBIDDEN:
        return f"{where} can't be written: {os.strerror(error.errno)}"
    if error.errno is None:  # one of our own, which says it all
        return str(error)
    return f"the disk reports an error: {os.strerror(error.errno)} ({where})"


def is_folder(path: Path) -> bool:
    """Whether there is a folder, as far as it may be looked at, whatever the path holds."""
    # A circle of links, too long a name, a NUL character in it.
    with contextlib.suppress(OSError, ValueError):
        return path.is_dir()
    return False


def is_file(path: Path) -> bool:
    """Whether there is a file, likewise."""
    with contextlib.suppress(OSError, ValueError):
        return path.is_file()
    return False


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
