"""From what `data.source` says to the photos that are meant."""

import difflib
import itertools
from collections.abc import Callable
from pathlib import Path

from optrun.data.exceptions import PhotoError
from optrun.data.places import expanded
from optrun.data.printable import printable
from optrun.data.sources import library
from optrun.data.sources.built_in import NAMES, PUBLIC, SAMPLE, Drawings
from optrun.data.sources.cats_vs_dogs import CatsVsDogs, obtained
from optrun.data.sources.labelled_files import Files
from optrun.data.sources.source import Source

_ALLOWED = (
    f"data.source must be {', '.join(NAMES)}, an imported name (optrun data list), or the path of "
    "a folder or a zip archive."
)


def open_source(
    source: str, *, count: int | None = None, obtain: Callable[[], Path] | None = None
) -> Source:
    """Returns the source that `source` names; nothing is read or downloaded yet.

    That is a built-in name, one that photos were imported under, or the path of a folder or zip
    archive, "./sample" where it has such a name. Of the sample there are `count` photos, or its
    usual number. `obtain` brings the public photos here when they are first read, and returns where
    they are; without it they come in silence.
    """
    if source == SAMPLE:
        return Drawings(count)
    if source == PUBLIC:
        return CatsVsDogs(obtain) if obtain else CatsVsDogs()
    imported = library.entry(source)
    path = Path(imported.path) if imported else expanded(source)
    try:
        if path.exists():
            return Files(path)
    except OSError as error:
        shown = printable(str(path), longest=300)
        raise PhotoError(f"{shown} can't be looked at: {error.strerror or error}.") from error
    if not imported:
        raise PhotoError(_missing(source, path))
    raise PhotoError(
        f"The photos named {imported.name} lay at {imported.path}, where nothing is now. Put them "
        f"back, or forget the name (optrun data remove {imported.name}) and import them again."
    )


def lacking(name: str) -> str:
    """Returns what a built-in source lacks before its photos can be read; empty for nothing."""
    return "" if name == SAMPLE or obtained() else "not obtained yet: optrun data prepare"


def _missing(source: str, path: Path) -> str:
    if library.is_damaged(source):
        return (
            f"What the name {source} stands for can't be read any more, in {library.folder()}. "
            "Import its photos again."
        )
    shown = printable(str(path.absolute()))
    message = f"There are no photos at {shown}: no such file or folder."
    parent = path.absolute().parent
    if not parent.is_dir():
        return f"{message} Its folder {printable(str(parent))} does not exist either."
    try:
        beside = itertools.islice(parent.iterdir(), 1000)
        neighbours = {entry.name: printable(str(entry)) for entry in beside}
    except OSError:  # a folder that may not be listed
        neighbours = {}
    if source == path.name:
        neighbours |= {name: name for name in (*NAMES, *library.names())}
    nearest = difflib.get_close_matches(path.name, neighbours, n=1)
    return f"{message} " + (f"Did you mean {neighbours[nearest[0]]}?" if nearest else _ALLOWED)
