"""Folders from anywhere: walked as a stream, without following links to other folders."""

import hashlib
import heapq
import itertools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from optrun.data.exceptions import PhotoError
from optrun.data.printable import printable
from optrun.data.sources.archive import Member, Zip, opened
from optrun.data.sources.regular_file import UnreadableError, cannot_be_read, read_regular

_SORTED_AT_ONCE = 50_000


class FolderFile(NamedTuple):
    """One file of a folder, or the link that stands for one."""

    name: str  # path within the folder, with forward slashes; may hold any character
    entry: "os.DirEntry[str]"
    is_linked_folder: bool  # whether it stands for the folder that a link leads to

    def read(self) -> bytes:
        """Returns the bytes of the file; raises `UnreadableError` if they can't be had."""
        return read_regular(self._place())

    def open_archive(self, where: str) -> AbstractContextManager[Zip]:
        """Opens the zip archive that the file is; `where` is how messages name its folder."""
        shown = f"{printable(self.name, longest=200)} in {where}"
        try:
            return opened(Path(self._place()), shown)
        except UnreadableError as error:
            raise PhotoError(f"{shown} can't be used: {error}.") from error

    def _place(self) -> str:
        """Returns the path of the file, or the one that the link leads to.

        A folder of links is a common way to choose some of many photos, so links to files count
        wherever they lead.
        """
        if self.is_linked_folder:
            raise UnreadableError("a link to a folder, which is not followed")
        if not self.entry.is_symlink():
            return self.entry.path
        try:
            return os.path.realpath(self.entry.path, strict=True)
        except OSError as error:
            raise UnreadableError(f"a link that {cannot_be_read(error)}") from error


File = FolderFile | Member  # whichever the source is, its files are used alike


class Summary(NamedTuple):
    """What tells the files of a folder from others, without reading them."""

    files: int
    size: int  # of all together, in bytes
    changed_ns: int  # when one was changed last, since 1970
    # SHA-256 (hex) over name, size and time of change of each. A file that is renamed, or exchanged
    # for an older one, may leave all the other numbers as they are.
    digest: str


def walk(folder: Path) -> Iterator[FolderFile]:
    """Yields the files below a folder, in the order of their names in each folder.

    Links to folders are not followed, so neither circles nor other places are entered; each counts
    as one file that can't be read.
    """
    for within, entry in _below(str(folder.resolve())):
        is_linked_folder = entry.is_symlink() and _leads_to_folder(entry)
        yield FolderFile(within + entry.name, entry, is_linked_folder)


def summary(folder: str, most: int) -> Summary:
    """Returns what tells the files below a folder from others; of a link, what it leads to counts.

    Of more than `most` files some are looked at: no photo is read from such a folder anyway.
    """
    files = size = changed_ns = 0
    whole = hashlib.sha256()
    try:
        for within, entry in itertools.islice(_below(folder), most + 1):
            try:
                state = entry.stat()
            except OSError:  # a link that leads nowhere
                state = entry.stat(follow_symlinks=False)
            files += 1
            size += state.st_size
            changed_ns = max(changed_ns, state.st_mtime_ns)
            line = f"{within}{entry.name}\0{state.st_size} {state.st_mtime_ns}\n"
            whole.update(line.encode("utf-8", "surrogateescape"))
    except OSError as error:
        shown = printable(folder)
        raise PhotoError(f"{shown} was changed while it was looked at. Run again.") from error
    return Summary(files, size, changed_ns, whole.hexdigest())


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
                following = (entry for entry in entries if entry.name > last)
                chosen = heapq.nsmallest(_SORTED_AT_ONCE, following, key=lambda entry: entry.name)
        except OSError as error:
            raise PhotoError(
                f"{printable(folder)} can't be read: {error.strerror or error}."
            ) from error
        yield from chosen
        if len(chosen) < _SORTED_AT_ONCE:
            return
        last = chosen[-1].name
