"""Where the program keeps what it made: decoded photos, and the names of imported ones."""

import os
from pathlib import Path

import platformdirs
from optrun.data.exceptions import PhotoError


def cache_root() -> Path:
    """Returns $OPTRUN_CACHE, or this user's cache folder."""
    if chosen := os.environ.get("OPTRUN_CACHE"):
        return expanded(chosen)
    if not has_home():
        raise PhotoError("This user has no home. Set HOME, or OPTRUN_CACHE to a folder for photos.")
    return platformdirs.user_cache_path("optrun")


def has_home() -> bool:
    """Returns whether the user has one; in a container whose user has no entry there is none."""
    return expanded("~") != Path("~")


def expanded(path: str) -> Path:
    """Returns the path with the home of a user in the place of a leading "~"."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user: then "~" is part of a name
        return Path(path)
