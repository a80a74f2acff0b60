"""The names of imported photos: a small JSON file each, which says where the photos lie."""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from optrun.data.exceptions import PhotoError
from optrun.data.files import write_atomically
from optrun.data.locks import exclusive
from optrun.data.places import cache_root, expanded
from optrun.data.sources.built_in import NAMES as BUILT_IN

_LONGEST_NAME = 40
# What YAML reads as something else, and what Windows keeps for devices.
_NO_NAMES = re.compile(r"null|true|false|con|prn|aux|nul|(com|lpt)[0-9]")


@dataclass(frozen=True)
class Entry:
    """One name."""

    name: str  # what stands in `data.source`
    path: str  # the folder or archive it stands for, absolute
    fingerprint: str  # that of all its photos when they were imported; see `data.photos.Photos`
    imported: str  # when, ISO 8601 in UTC


@dataclass(frozen=True)
class Library:
    """All names."""

    entries: Mapping[str, Entry]  # in alphabetical order
    damaged: Sequence[Path]  # files beside them that can't be read as a name


def folder() -> Path:
    return cache_root() / "sources"


def read() -> Library:
    """Returns all names, and the files that are none."""
    try:
        files = sorted(file for file in folder().iterdir() if file.suffix == ".json")
    except FileNotFoundError:
        files = []
    except OSError as error:
        why = f"{folder()} can't be read: {error.strerror or error}"
        raise PhotoError(f"{why}. Set OPTRUN_CACHE to a folder of your own.") from error
    found = {file: _entry_in(file) for file in files}
    entries = {entry.name: entry for entry in found.values() if entry}
    return Library(entries, [file for file, entry in found.items() if not entry])


def names() -> tuple[str, ...]:
    """Returns the imported names, in alphabetical order."""
    return tuple(read().entries)


def entry(name: str) -> Entry | None:
    """Returns what was imported under `name`, which may be anything, or None."""
    file = _file(name)
    return _entry_in(file) if file else None


def location(source: str) -> str:
    """Returns a built-in name, or the absolute path that `source` leads to, if only to nowhere."""
    if source in BUILT_IN:
        return source
    imported = entry(source)
    return imported.path if imported else str(expanded(source).resolve())


def is_damaged(name: str) -> bool:
    """Returns whether there is a file for `name` that can't be read."""
    file = _file(name)
    return file is not None and file.exists() and _entry_in(file) is None


def problem_with(name: str) -> str | None:
    """Returns why photos can't have this name, or None where they can."""
    if name.casefold() in BUILT_IN:
        return "is the name of built-in photos"
    if not re.fullmatch(r"[^\W\d_][\w-]*", name) or len(name) > _LONGEST_NAME:
        return f'must be 1 to {_LONGEST_NAME} letters, digits, "_" or "-", the first a letter'
    if _NO_NAMES.fullmatch(name.casefold()):
        return "is a word that YAML or Windows takes for something else"
    return None


def name_for(path: Path) -> str:
    """Returns a name that photos can have, as near to their file's name as may be.

    >>> name_for(Path("/home/ann/Photos of 2019.zip")), name_for(Path("/data/123"))
    ('Photos-of-2019', 'photos-123')
    """
    stem = path.stem if path.suffix.lower() == ".zip" else path.name
    text = unicodedata.normalize("NFC", stem)
    text = re.sub(r"[^\w-]+", "-", text).strip("-_")[:_LONGEST_NAME].rstrip("-_")
    return f"photos-{text}"[:_LONGEST_NAME].rstrip("-_") if problem_with(text) else text


def register(name: str, path: Path, fingerprint: str) -> Entry:
    """Keeps `name` for the photos at `path`; a name for the same path is renewed."""
    name = unicodedata.normalize("NFC", name)
    require_free(name, path)
    now = datetime.now(UTC).isoformat("T", "seconds")
    wanted = Entry(name, str(path.resolve()), fingerprint, now)
    content = json.dumps({"format": 1, **vars(wanted)}, indent=1) + "\n"
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with exclusive(folder() / ".lock"):
            require_free(name, path)
            write_atomically(folder() / f"{name}.json", content.encode("ascii"))
    except OSError as error:
        raise PhotoError(
            f"The name {name} can't be kept in {folder()}: {error.strerror or error}. "
            "Set OPTRUN_CACHE to a folder that is writable and has room."
        ) from error
    return wanted


def require_free(name: str, path: Path) -> None:
    """Raises `PhotoError` where photos at `path` can't have this name."""
    name = unicodedata.normalize("NFC", name)
    if problem := problem_with(name):
        raise PhotoError(f"--name {problem}, received: {name!r}")
    # Also those that differ in case alone, which some file systems take for one.
    taken = {other.casefold(): here for other, here in read().entries.items()}
    held = taken.get(name.casefold())
    if held and (held.name, held.path) != (name, str(path.resolve())):
        raise PhotoError(
            f"The name {held.name} is taken by the photos at {held.path}. Give these another one "
            f"(--name), or free it first: optrun data remove {held.name}"
        )


def remove(name: str) -> bool:
    """Forgets a name; returns whether there was one. The photos stay as they are."""
    file = _file(name)
    if not file or not file.exists():
        return False
    try:
        with exclusive(folder() / ".lock"):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise PhotoError(f"{file} can't be removed: {error.strerror or error}.") from error
    return True


def _file(name: str) -> Path | None:
    """Returns the file of a name, which may be anything; None where photos can't have it."""
    name = unicodedata.normalize("NFC", name)
    return None if problem_with(name) else folder() / f"{name}.json"


def _entry_in(file: Path) -> Entry | None:
    try:
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            content = json.loads(stream.read(64 * 1024))
        # A name is what its file is called; file systems may give that back decomposed.
        name = unicodedata.normalize("NFC", file.stem)
        found = Entry(name, content["path"], content["fingerprint"], content["imported"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    texts = all(isinstance(value, str) for value in vars(found).values())
    whole = texts and not problem_with(name) and Path(found.path).is_absolute()
    return found if whole and content.get("name") == name else None
