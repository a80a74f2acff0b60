"""Folders from anywhere: walked as a stream, without following links to other folders."""

import contextlib
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
        """Returns the bytes of the file, or raises `UnreadableError`."""
        return read_regular(self._place())

    def open_archive(self, where: str) -> AbstractContextManager[Zip]:
        """Opens the zip archive that the file is; `where` is how messages name its folder."""
        shown = f"{printable(self.name, longest=200)} in {where}"
        try:
            return opened(Path(self._place()), shown)
        except UnreadableError as error:
            raise PhotoError(f"{shown} can't be used: {error}.") from error

    def _place(self) -> str:
        """Returns the path of the file; links to files count, as a way to choose some of many."""
        if self.is_linked_folder:
            raise UnreadableError("a link to a folder, which is not followed")
        if not self.entry.is_symlink():
            return self.entry.path
        try:
            return os.path.realpath(self.entry.path, strict=True)
        except OSError as error:
            raise UnreadableError(f"a link that {cannot_be_read(error)}") from error


File = FolderFile | Member  # whichever the source is, its files are used alike


def walk(folder: Path) -> Iterator[FolderFile]:
    """Yields the files below a folder, in the order of their names in each folder.

    Links to folders are not followed, so neither circles nor other places are entered; each counts
    as one file that can't be read.
    """
    for within, entry in _below(str(folder.resolve())):
        is_linked_folder = False
        with contextlib.suppress(OSError):  # a link that leads in a circle
            is_linked_folder = entry.is_symlink() and entry.is_dir()
        yield FolderFile(within + entry.name, entry, is_linked_folder)


def summary(folder: str, most: int) -> dict[str, str | int]:
    """Returns sums and a hash that tell the files below a folder from others, without reading them.

    Of a link, what it leads to counts. Of more than `most` files some are looked at: no photo is
    read from such a folder anyway.
    """
    files = size = changed_ns = 0
    # A file that is renamed, or exchanged for an older one, may leave all sums as they are.
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
    return {"files": files, "bytes": size, "changed_ns": changed_ns, "names": whole.hexdigest()}


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


def _sorted(folder: str) -> Iterator["os.DirEntry[str]"]:
    """Yields what lies in a folder by name, keeping no more than some of it at a time.

    A folder of n entries is looked through n / 50,000 times.
    """
    last = ""
    while True:
        try:
            with os.scandir(folder) as entries:
                following = (entry for entry in entries if entry.name > last)
                chosen = heapq.nsmallest(_SORTED_AT_ONCE, following, key=lambda entry: entry.name)
        except OSError as error:
            raise PhotoError(f"{printable(folder)} {cannot_be_read(error)}.") from error
        yield from chosen
        if len(chosen) < _SORTED_AT_ONCE:
            return
        last = chosen[-1].name
