"""What is prepared on this disk, found by looking: nothing is decoded, no array is read."""

import contextlib
import functools
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optrun.data.cache import cache_key
from optrun.data.cache.cache_key import INDEX, JOURNAL, PARTIAL, RESIZES, Preparation
from optrun.data.exceptions import PhotoError
from optrun.data.files import disk_bytes
from optrun.data.labels import CLASS_NAMES
from optrun.data.locks import if_free
from optrun.data.sources.built_in import SAMPLE
from optrun.data.sources.opening import open_source

_REMOVED = ".removed"
# What `folder_name` makes. Anything else in the cache is not ours: who knows where it lies.
_OURS = re.compile(rf".+-[0-9a-f]{{20}}({re.escape(PARTIAL)}|{re.escape(_REMOVED)})?")

_OTHER_VERSION = "made by another version of optrun"


@dataclass(frozen=True)
class Copy:
    """A folder of prepared photos, or what is left of one."""

    folder: Path
    source: str  # a built-in name or a path; empty where the folder does not say
    how: Preparation  # its image_size is 0 where the folder does not say
    disk_bytes: int
    counts: tuple[int, ...] = (0,) * len(CLASS_NAMES)  # photos of each class
    left_out: int = 0  # how many files of the source could not be used
    fingerprint: str = ""
    stale: str = ""  # why no run will ever use it; empty where runs do
    unfinished: bool = False  # its making was stopped, or goes on at this moment

    @property
    def usable(self) -> bool:
        return not (self.stale or self.unfinished)


def copies() -> list[Copy]:
    """Returns all prepared copies, by source, then by size."""
    folder = cache_key.directory()
    try:
        folders = [
            path
            for path in sorted(folder.iterdir())
            if _OURS.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PhotoError(f"{folder} can't be read: {error.strerror or error}.") from error
    _identity.cache_clear()  # sources may have changed since
    found = map(_copy, folders)
    return sorted(found, key=lambda one: (one.source, one.how.image_size, str(one.folder)))


def remove(copy: Copy) -> bool:
    """Removes a prepared copy; returns False where a process is just building it."""
    name = copy.folder.name.removesuffix(PARTIAL).removesuffix(_REMOVED)
    try:
        with if_free(copy.folder.with_name(name + ".lock")) as is_free:
            if not is_free:
                return False
            # Renamed first, so that nobody opens half of it.
            going = copy.folder.with_name(name + _REMOVED)
            if going != copy.folder:
                if going.exists():
                    shutil.rmtree(going)
                copy.folder.rename(going)
            shutil.rmtree(going)
    except FileNotFoundError:
        return True  # somebody else removed it
    except OSError as error:
        raise PhotoError(f"{copy.folder} can't be removed: {error.strerror or error}.") from error
    return True


def _copy(folder: Path) -> Copy:
    unknown = Copy(folder, "", Preparation(0), _disk_bytes(folder))
    if folder.name.endswith(_REMOVED):
        return replace(unknown, stale="left over from a removal")
    unfinished = folder.name.endswith(PARTIAL)
    about: dict[str, Any] = {}
    try:
        with (folder / (JOURNAL if unfinished else INDEX)).open("rb") as stream:
            # The first line of a journal says what is being built.
            about |= json.loads(stream.readline() if unfinished else stream.read())
        key, source = about["key"], str(about["source"])
        if key["resize"] not in RESIZES:
            raise ValueError(key["resize"])
        limit = None if key["limit"] is None else int(key["limit"])
        how = Preparation(int(key["image_size"]), key["resize"], bool(key["antialias"]), limit)
        stale = _why_stale(folder, source, key["source"], how)
        known = replace(unknown, source=source, how=how, stale=stale, unfinished=unfinished)
        return known if unfinished else _counted(known, about)
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        # What can't be read any more can still be removed together with its source's name.
        stated = about.get("source")
        source = stated if isinstance(stated, str) else ""
        return replace(unknown, source=source, stale=_OTHER_VERSION)


def _counted(copy: Copy, index: Mapping[str, Any]) -> Copy:
    try:
        # A byte each; without NumPy, whose import takes longer than all of this. A .npy file of
        # version 1.0 holds the length of its header at byte 8, and the array behind it.
        content = (copy.folder / cache_key.LABELS).read_bytes()
        labels = content[10 + int.from_bytes(content[8:10], "little") :]
        pixel_bytes = (copy.folder / cache_key.PIXELS).stat().st_size
    except OSError:
        labels, pixel_bytes = b"", 0
    whole = labels and pixel_bytes > len(labels) * copy.how.image_size**2 * 3
    return replace(
        copy,
        counts=tuple(map(labels.count, range(len(CLASS_NAMES)))),
        left_out=len(index["left_out"]),
        fingerprint=str(index["fingerprint"]),
        stale=copy.stale if whole else "damaged",
    )


def _why_stale(folder: Path, source: str, stated: Any, how: Preparation) -> str:
    """Returns why nobody will ask again for a copy of what is stated; empty where somebody may."""
    # How many drawings there are is the copy's own affair.
    count = stated.get("count") if isinstance(stated, dict) and source == SAMPLE else None
    identity = _identity(source, count)
    if isinstance(identity, str):
        return identity
    if stated != identity:
        return "its source has changed since"
    wanted = cache_key.folder_name(source, cache_key.cache_key(identity, how))
    return "" if folder.name.removesuffix(PARTIAL) == wanted else _OTHER_VERSION


@functools.cache
def _identity(source: str, count: int | None) -> Mapping[str, str | int] | str:
    """Returns what tells the source's photos from others, or why there is nothing that does."""
    try:
        return open_source(source, count=count).identity()
    except (PhotoError, OSError):
        return "its source is no longer there"


def _disk_bytes(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a build goes on meanwhile
                total += disk_bytes(Path(where, name).lstat())
    return total
