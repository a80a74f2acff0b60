"""Write a file so that a reader, or a crash, sees the old content or the new one, never a part."""

import contextlib
import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces the file at `path` by `content`, on disk when the call returns.

    The bytes go to a temporary name in the same folder, since a rename is atomic only within one
    file system. A failure leaves the old file as it was and no temporary file behind.

    Args:
        path: The file to write. Its folder must exist.
        content: The whole new content.

    Raises:
        OSError: The disk is full, the folder is missing or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def append_whole(descriptor: int, content: bytes) -> None:
    """Appends to a file all of `content`, or nothing: a part that was written is cut off again.

    Nothing is buffered, so that nothing is left to fail when the file is closed.

    Args:
        descriptor: Of a file that was opened to append.
        content: What to append.

    Raises:
        OSError: The disk is full or can't be written; the file is as it was.
    """
    before = os.fstat(descriptor).st_size
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except BaseException:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, before)
        raise


def sync_folder(folder: Path) -> None:
    """Puts a rename within `folder` on disk; Windows does so itself and opens no folders."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
