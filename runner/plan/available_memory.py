"""How much memory a process may still take: the system's, and what a container or job allows."""

from collections.abc import Iterator
from pathlib import Path

import psutil

_PROC = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")
# "max" in version 2; in version 1 no limit is the largest multiple of a page below 2^63.
_NO_LIMIT = 2**62


def available_bytes(proc: Path = _PROC, root: Path = _ROOT) -> int | None:
    """Bytes that this process may hold in all: what it has already, and what is free for more.

    Free is what the system could give without swapping, or less where a control group (a
    container's, a batch system's) allows less.

    Args:
        proc: The system's file that says which control groups the process is in.
        root: Where control groups are mounted.

    Returns:
        None where the system does not say.
    """
    try:
        own = psutil.Process().memory_info().rss
        free = psutil.virtual_memory().available
    except (psutil.Error, OSError):
        return None
    return own + max(0, min([free, *group_free_bytes(proc, root)]))


def group_free_bytes(proc: Path = _PROC, root: Path = _ROOT) -> list[int]:
    """What each control group with a limit on memory has left; those above a group count too."""
    found = []
    for folder, version in _folders(proc, root):
        names = _NAMES[version]
        limit, used = _number(folder / names[0]), _number(folder / names[1])
        if limit is not None and used is not None and limit < _NO_LIMIT:
            # Pages of files that were read once go as soon as room is needed.
            reclaimable = _statistics(folder / "memory.stat").get(names[2], 0)
            found.append(limit - max(0, used - reclaimable))
    return found


_NAMES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


def _folders(proc: Path, root: Path) -> Iterator[tuple[Path, int]]:
    """The folders of the groups that the process is in, innermost first, with their version.

    Within a container the path may be the host's, of which only the root is to be seen.
    """
    try:
        lines = proc.read_text("utf-8", errors="surrogateescape").splitlines()
    except OSError:  # another system than Linux
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            mounted, version = root / "memory", 1
        elif number == "0" and not controllers:
            mounted, version = root, 2
        else:
            continue
        folder = mounted / path.lstrip("/")
        while folder != mounted and mounted in folder.parents:
            yield folder, version
            folder = folder.parent
        yield mounted, version


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None


def _statistics(path: Path) -> dict[str, int]:
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
    except (OSError, ValueError):
        return {}
