"""One writer for each run: a lock that the operating system drops when its holder dies.

A file that merely exists says nothing after a crash, and a process id may have been given to
another process since. A lock held by the kernel is free the moment its holder is gone, so a run
that says "running" while nobody holds its lock was killed.

Readers take a shared lock for an instant, and a writer that comes in that instant tries again.
"""

import contextlib
import errno
import json
import os
import platform
import stat
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from optrun.data.locks import try_lock
from optrun.runner.errors import UserError
from optrun.runner.untrusted import DamageError, content_of, json_object, printable, time_of, whole

LOCK_NAME = "writer.lock"

_LARGEST = 4096  # bytes of a lock file; a holder takes some hundred
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


class RunHeldError(UserError):
    """Another process is writing this run."""

    exit_code = 5


@dataclass(frozen=True)
class Holder:
    """Who wrote into a lock file that he holds it."""

    pid: int
    host: str
    since: datetime

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since:%Y-%m-%d %H:%M} UTC"


def acquire(path: Path, *, patience_s: float = 1.0) -> int:
    """Takes the lock file at `path`, made where it is missing; no link, since it is written into.

    Returns the file descriptor that holds it until it is closed.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        deadline = time.monotonic() + patience_s
        while not require_locks(descriptor, path.parent):
            if time.monotonic() >= deadline:
                raise RunHeldError(held_message(path.parent))
            time.sleep(0.01)
        _write_holder(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file at `path`; a missing file is held by nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):
        return False
    try:
        return not try_lock(descriptor, shared=True)
    except OSError:  # a file system that knows no locks: then nobody holds one
        return False
    finally:
        os.close(descriptor)


def holder_of(path: Path) -> Holder | None:
    """Who says in a lock file that he holds it, also where he died: ask `is_held` first."""
    try:
        said = json_object(content_of(path, _LARGEST))
        pid, since = whole(said.get("pid")), time_of(said.get("since"))
        if not pid or since is None:
            return None
        host = printable(str(said.get("host") or "an unknown host"), 100)
        return Holder(pid, host, since.astimezone(UTC))
    except (DamageError, OverflowError):
        return None


def held_message(folder: Path) -> str:
    """That a run is being written, by whom as far as he says so, and what to do."""
    who = holder_of(folder / LOCK_NAME) or "another process"
    return (
        f"The run {printable(str(folder))} is being written by {who}. "
        "Wait until it ends, or stop it first."
    )


def require_locks(descriptor: int, folder: Path) -> bool:
    """Tries the lock of a file that is open in a folder; gives whether it was free."""
    try:
        return try_lock(descriptor)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise UserError(
            f"The file system of {printable(str(folder))} knows no file locks (flock), and without "
            "them two processes could write one run, and a killed run could not be told from a "
            "running one. Give a folder on another file system with --results DIR."
        ) from error


def _write_holder(descriptor: int) -> None:
    """Says who holds the lock, for people; where the disk is full, nobody is named."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:  # it may be somebody's own file
        return
    since = datetime.now(UTC).isoformat(timespec="seconds")
    said = {"pid": os.getpid(), "host": platform.node() or "an unknown host", "since": since}
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(said).encode() + b"\n")
