"""What the system says when a run can't be written, in words that say what to do."""

import errno
import os
from pathlib import Path

from optrun.runner.runs.writer_lock import LOCK_NAME

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


class FolderGone(OSError):
    """The folder of a run is no longer where it was made."""

    def __init__(self, folder: Path) -> None:
        super().__init__(errno.ENOENT, "removed, or moved away", str(folder))


def is_full(error: OSError) -> bool:
    """Whether there was no room, or no more than somebody's quota."""
    return error.errno in _FULL


def told(error: OSError, folder: Path) -> str:
    """A failed read or write of the files in `folder`, for a person.

    Args:
        error: What was raised.
        folder: A run's folder, or the one that it was to be made in.

    >>> told(OSError(errno.ENOSPC, "No space left on device"), Path("."))
    'the disk is full: . has no room left; make room there'
    """
    if not _exists(folder):
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


def _exists(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:
        return False
