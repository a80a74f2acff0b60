"""Folders from anywhere: walked as a stream, without following links to other folders."""

import hashlib
import heapq
import itertools
import os
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from optrun.data.exceptions import PhotoError
from optrun.data.printable import printable
from optrun.data.sources.archive import MAXIMUM_FILE_BYTES, too_large
from optrun.data.sources.views import UnreadableError, cannot_be_read, open_regular

_SORTED_AT_ONCE = 50_000
_by_name = attrgetter("name")


class FolderFile(NamedTuple):
    """One file of a folder.

    Attributes:
        name: Path within the folder, with forward slashes; may hold any character.
        refused: Why it is never opened; empty for a file or a link to be looked at.
        entry: What the system says of it.
        is_linked_folder: Whether it stands for the folder that a link leads to.
    """

    name: str
    refused: str
    entry: "os.DirEntry[str]"
    is_linked_folder: bool = False


class Summary(NamedTuple):
    """What tells the files of a folder from others, without reading them.

    Attributes:
        files: How many there are.
        size: Their sizes in bytes, together.
        changed_ns: When one was changed last, nanoseconds since 1970.
        digest: SHA-256 (hex) over name, size and time of change of each. A file that is renamed, or
            exchanged for an older one, may leave all the other numbers as they are.
    """

    files: int
    size: int
    changed_ns: int
    digest: str


def walk(folder: str) -> Iterator[FolderFile]:
    """Yields the files below a folder, in the order of their names in each folder.

    Links to folders are not followed, so neither circles nor other places are entered; each counts
    as one file that is refused. Of a folder with very many files, only some names are in memory.

    Raises:
        PhotoError: If a folder can't be listed.
    """
    for within, entry in _below(folder):
        is_linked_folder = entry.is_symlink() and _leads_to_folder(entry)
        refused = "a link to a folder, which is not followed" if is_linked_folder else ""
        yield FolderFile(within + entry.name, refused, entry, is_linked_folder)


def summary(folder: str, most: int) -> Summary:
    """Returns what tells the files below a folder from others; of a link, what it leads to counts.

    Args:
        folder: The folder.
        most: How many files are looked at; with more, no photo is read from the folder anyway.

    Raises:
        PhotoError: If a folder can't be listed, or is changed meanwhile.
    """
    files = size = changed_ns = 0
    whole = hashlib.sha256()
    try:
        for within, entry in itertools.islice(_below(folder), most + 1):
            state = _state(entry)
            files += 1
            size += state.st_size
            changed_ns = max(changed_ns, state.st_mtime_ns)
            line = f"{within}{entry.name}\0{state.st_size} {state.st_mtime_ns}\n"
            whole.update(line.encode("utf-8", "surrogateescape"))
    except OSError as error:
        shown = printable(folder)
        raise PhotoError(f"{shown} was changed while it was looked at. Run again.") from error
    return Summary(files, size, changed_ns, whole.hexdigest())


def read(file: FolderFile) -> bytes:
    """Returns the bytes of a file of a folder that was walked.

    Raises:
        UnreadableError: If they can't or must not be had.
    """
    return read_file(place(file))


def read_file(path: str) -> bytes:
    """Returns the bytes of a file that is no larger than a photo can be.

    Raises:
        UnreadableError: If they can't or must not be had.
    """
    with open_regular(path) as opened:
        try:
            size = os.fstat(opened.fileno()).st_size
            if size > MAXIMUM_FILE_BYTES:
                raise UnreadableError(too_large())
            return opened.read(size)
        except OSError as error:
            raise UnreadableError(cannot_be_read(error)) from error


def place(file: FolderFile) -> str:
    """Returns the path that a file, or the link that it is, leads to.

    A folder of links is a common way to choose some of many photos, so links to files count
    wherever they lead.

    Raises:
        UnreadableError: If it leads nowhere, or to a folder.
    """
    if file.refused:
        raise UnreadableError(file.refused)
    if not file.entry.is_symlink():
        return file.entry.path
    try:
        return os.path.realpath(file.entry.path, strict=True)
    except OSError as error:
        raise UnreadableError(f"a link that {cannot_be_read(error)}") from error


def _state(entry: "os.DirEntry[str]") -> os.stat_result:
    try:
        return entry.stat()
    except OSError:  # a link that leads nowhere
        return entry.stat(follow_symlinks=False)


def _below(folder: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yields what is no folder, after the path of the folder that it lies in, with a slash."""
    levels = [("", _sorted(folder))]
    while levels:
        within, entries = levels[-1]
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                levels.append((f"{within}{entry.name}/", _sorted(entry.path)))
                break
            yield within, entry
        else:
            levels.pop()


def _leads_to_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _sorted(folder: str) -> Iterator["os.DirEntry[str]"]:
    """Yields what lies in a folder by name, keeping no more than some of it at a time.

    A folder of n entries is looked through n / 50,000 times: an hour of photos costs seconds more,
    and no memory.
    """
    last = ""
    while True:
        try:
            with os.scandir(folder) as entries:
                following = (entry for entry in entries if entry.name > last) if last else entries
                chosen = list(itertools.islice(following, _SORTED_AT_ONCE))
                if len(chosen) == _SORTED_AT_ONCE:
                    everything = itertools.chain(chosen, following)
                    chosen = heapq.nsmallest(_SORTED_AT_ONCE, everything, key=_by_name)
                else:
                    chosen.sort(key=_by_name)
        except OSError as error:
            raise PhotoError(
                f"{printable(folder)} can't be read: {error.strerror or error}."
            ) from error
        yield from chosen
        if len(chosen) < _SORTED_AT_ONCE:
            return
        last = chosen[-1].name
