"""Where a result comes from: code, packages, hardware, command."""

import os
import platform
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import psutil
from optrun.runner import environment

# What TensorFlow and Keras pull in that computes, beside what optrun asks for itself.
_COMPUTING = ("ml-dtypes", "opt-einsum")
DIFF_LIMIT_BYTES = 1_000_000


def collect(folder: Path) -> dict[str, object]:
    """Facts that are the same for all runs of a plan, with the folder's git commit, if any."""
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "git_commit": _git(folder, "rev-parse", "HEAD"),
        "git_dirty": None if status is None else bool(status),
        "packages": packages(),
        "python": platform.python_version(),
        "environment": environment.variables(),
        "hardware": {
            "system": platform.platform(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "host": platform.node(),
        },
        "command": sys.argv,
        "working_directory": str(Path.cwd()),
    }


def packages() -> dict[str, str]:
    """Versions of what can change a number: optrun, all that it needs, and the CUDA libraries.

    Needed packages that are not installed are left out.
    """
    installed = {
        _normalised(name): one
        for one in metadata.distributions()
        if (name := one.metadata["Name"])  # each reading of its metadata takes a millisecond
    }
    required = [line for line in metadata.requires("optrun") or () if "extra ==" not in line]
    needed = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required]
    cuda = sorted(name for name in installed if name.startswith("nvidia-"))
    wanted = dict.fromkeys(map(_normalised, ("optrun", *needed, *_COMPUTING, *cuda)))
    return {name: installed[name].version for name in wanted if name in installed}


def uncommitted_changes(folder: Path) -> str:
    """The git diff of tracked files, cut at `DIFF_LIMIT_BYTES`; empty where there is none."""
    diff = (_git(folder, "diff", "--no-ext-diff", "HEAD") or "").encode()
    kept = diff[:DIFF_LIMIT_BYTES].decode(errors="ignore")
    return kept if len(diff) <= DIFF_LIMIT_BYTES else f"{kept}\n[cut: there is more]\n"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, a little more than `DIFF_LIMIT_BYTES` of it at most."""
    variables = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        # A file, since a diff may be larger than the memory.
        with tempfile.TemporaryFile() as printed:
            subprocess.run(
                ["git", "-C", str(folder), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.DEVNULL,
                timeout=10,
                env=variables,
                check=True,
            )
            printed.seek(0)
            return printed.read(DIFF_LIMIT_BYTES + 1).decode(errors="replace").strip()
    except (OSError, subprocess.SubprocessError):
        return None  # not a repository, or no git: both are facts worth recording as null


def _normalised(name: str) -> str:
    """A package's name as indexes have it."""
    return re.sub(r"[-_.]+", "-", name).lower()
