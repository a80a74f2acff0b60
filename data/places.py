"""Where the program keeps what it made: decoded photos, and the names of imported ones."""

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """Returns $OPTRUN_CACHE, or this user's cache folder."""
    chosen = os.environ.get("OPTRUN_CACHE")
    if not chosen:
        return platformdirs.user_cache_path("optrun")
    try:
        return Path(chosen).expanduser()
    except RuntimeError:  # there is no such user: then "~" is part of a name
        return Path(chosen)
