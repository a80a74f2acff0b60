"""What the kernel's log says of a process that died: whether it was killed for want of memory."""

import contextlib
import functools
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

KERNEL_LOG = Path("/dev/kmsg")  # of Linux; readable to the administrator, or to all
_LARGEST_RECORD = 8192  # bytes, which one reading gives at most
_MOST_RECORDS = 100_000
_KILL = re.compile(rb"^\d+,\d+,(\d+),.*?;.*?[Oo]ut of memory: Killed process (\d+) ", re.MULTILINE)


def was_killed_for_memory(pid: int | None, since: datetime) -> bool:
    """Whether the log is readable and says so of a process that was alive since then.

    In a container a process has another number than for the kernel, and is not found.
    """
    return any(killed == pid and at >= since for killed, at in _kills(KERNEL_LOG))


@functools.cache
def _kills(log: Path) -> tuple[tuple[int, datetime], ...]:
    """Process numbers and times of all such kills that are still in the log."""
    content: list[bytes] = []
    with contextlib.suppress(OSError):  # also where all of it is read
        descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
        try:
            while len(content) < _MOST_RECORDS and (read := os.read(descriptor, _LARGEST_RECORD)):
                content.append(read)
        finally:
            os.close(descriptor)
    # Times are in microseconds on the clock that counts from the machine's start.
    started = datetime.now(UTC) - timedelta(seconds=time.monotonic())
    return tuple(
        (int(pid), started + timedelta(microseconds=int(at)))
        for at, pid in _KILL.findall(b"".join(content))
    )
