"""Where a result comes from: code, packages, hardware, command."""

import os
import platform
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import psutil

PACKAGES = ("optrun", "tensorflow", "keras", "numpy", "tensorflow-datasets")
DIFF_LIMIT_BYTES = 1_000_000
GIT_TIMEOUT_SECONDS = 10.0


def collect(folder: Path) -> dict[str, object]:
    """Facts that are the same for all runs of a plan.

    Args:
        folder: Where the experiment's file lies; its git commit is recorded, if it has one.
    """
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "git_commit": _git(folder, "rev-parse", "HEAD"),
        "git_dirty": None if status is None else bool(status),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "hardware": {
            "system": platform.platform(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "host": platform.node(),
        },
        "command": sys.argv,
        "working_directory": str(Path.cwd()),
    }


def uncommitted_changes(folder: Path) -> str:
    """The git diff of tracked files, cut at `DIFF_LIMIT_BYTES`; empty where there is none."""
    diff = _git(folder, "diff", "--no-ext-diff", "HEAD") or ""
    encoded = diff.encode()
    if len(encoded) <= DIFF_LIMIT_BYTES:
        return diff
    kept = encoded[:DIFF_LIMIT_BYTES].decode(errors="ignore")
    return f"{kept}\n[cut: there is more]\n"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, a little more than `DIFF_LIMIT_BYTES` of it at most."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        # A file, since a diff may be larger than the memory.
        with tempfile.TemporaryFile() as printed:
            subprocess.run(
                ["git", "-C", str(folder), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.DEVNULL,
                timeout=GIT_TIMEOUT_SECONDS,
                env=environment,
                check=True,
            )
            printed.seek(0)
            return printed.read(DIFF_LIMIT_BYTES + 1).decode(errors="replace").strip()
    except (OSError, subprocess.SubprocessError):
        return None  # not a repository, or no git: both are facts worth recording as null


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
