"""Files that are whole or not there: atomic writes, what is on the disk, digests."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces the file at `path` by `content`, on disk when the call returns.

    The bytes go to a temporary name in the same folder, since a rename is atomic only within one
    file system. A failure (`OSError`) leaves the old file as it was and no temporary file behind.
    """
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.tmp")
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
    sync(path.parent)


def sync(path: Path) -> None:
    """Waits until a file, or a rename within a folder, is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no such thing for folders.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path, progress: Callable[[int, int], None] | None = None) -> str:
    """Returns the SHA-256 (hex) of a file; `progress` is called with (bytes read, bytes in all)."""
    whole, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(2**22):
            whole.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
    return whole.hexdigest()


def disk_bytes(state: os.stat_result) -> int:
    """Returns what a file takes on the disk, where one with holes takes less than its size."""
    return state.st_blocks * 512 if hasattr(state, "st_blocks") else state.st_size
