"""Files from anywhere: opened without ever waiting for them, or a reason why they can't be read."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

# No photo is this large; what claims so would only fill the memory.
MAXIMUM_FILE_BYTES = 64 * 1024**2
TOO_LARGE = f"larger than {MAXIMUM_FILE_BYTES // 1024**2} MiB"
NOT_A_FILE = "a pipe, a device or a socket, not a file"


class UnreadableError(Exception):
    """The bytes of one file can't be had; the message is the reason, in a few words."""


def open_regular(path: str) -> BinaryIO:
    """Opens a regular file to read; raises `UnreadableError`, as for all that could block."""
    try:
        _require_regular(Path(path).stat())
        # Between the two looks, somebody may have put a pipe there: without waiting, it shows.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags), "rb")
    except (OSError, ValueError) as error:
        raise UnreadableError(cannot_be_read(error)) from error
    try:
        _require_regular(os.fstat(file.fileno()))
    except UnreadableError:
        file.close()
        raise
    return file


def read_regular(path: str) -> bytes:
    """Returns the bytes of a file; raises `UnreadableError`, also if no photo is as large."""
    with open_regular(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            if size > MAXIMUM_FILE_BYTES:
                raise UnreadableError(TOO_LARGE)
            return file.read(size)
        except OSError as error:
            raise UnreadableError(cannot_be_read(error)) from error


def state_of(file: os.stat_result) -> tuple[int, ...]:
    """Returns what differs after a file has been changed or replaced."""
    return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns


def cannot_be_read(error: OSError | ValueError) -> str:
    """Returns the reason that a failed look at a file gives."""
    return f"can't be read: {getattr(error, 'strerror', None) or error}"


def _require_regular(state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise UnreadableError(NOT_A_FILE)
