"""Where the program keeps what it made: decoded photos, and the names of imported ones."""

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """Returns $OPTRUN_CACHE, or this user's cache folder."""
    chosen = os.environ.get("OPTRUN_CACHE")
    return expanded(chosen) if chosen else platformdirs.user_cache_path("optrun")


def expanded(path: str) -> Path:
    """Returns the path with the home of a user in the place of a leading "~"."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user: then "~" is part of a name
        return Path(path)
