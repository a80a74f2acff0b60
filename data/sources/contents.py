"""The files of a folder or a zip archive, one after the other, in one form for both."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from optrun.data.exceptions import PhotoError
from optrun.data.printable import printable
from optrun.data.sources import folder
from optrun.data.sources.archive import Zip, opened
from optrun.data.sources.views import UnreadableError
from optrun.data.sources.zip_directory import Entry


class File(NamedTuple):
    """One file of a folder or an archive.

    Attributes:
        name: Path within the source, with forward slashes; may hold any character.
        read: Returns its bytes; raises `UnreadableError`.
        open_archive: Opens the zip archive that it is; given is how messages name where it lies.
        is_linked_folder: Whether it stands for the folder that a link leads to.
    """

    name: str
    read: Callable[[], bytes]
    open_archive: Callable[[str], AbstractContextManager[Zip]]
    is_linked_folder: bool = False

    @property
    def is_archive(self) -> bool:
        """Whether it is called a zip archive."""
        return self.name.lower().endswith(".zip")


def folder_files(path: Path) -> Iterator[File]:
    """Yields the files below a folder; see `optrun.data.sources.folder` for what it may raise."""
    for file in folder.walk(str(path.resolve())):
        yield File(
            file.name,
            functools.partial(folder.read, file),
            functools.partial(_open_in_folder, file),
            file.is_linked_folder,
        )


def zip_files(archive: Zip, most: int, within: str = "") -> Iterator[File]:
    """Yields the files of an archive; see `optrun.data.sources.archive` for what it may raise.

    Args:
        archive: The archive, open.
        most: How many are accepted.
        within: What comes before their names.
    """
    for entry in archive.entries(most):
        yield File(
            within + entry.name,
            functools.partial(archive.read, entry),
            functools.partial(_open_in_zip, archive, entry),
        )


def _open_in_folder(file: folder.FolderFile, where: str) -> AbstractContextManager[Zip]:
    shown = _shown(file.name, where)
    try:
        return opened(Path(folder.place(file)), shown)
    except UnreadableError as error:
        raise PhotoError(f"{shown} can't be used: {error}.") from error


def _open_in_zip(archive: Zip, entry: Entry, where: str) -> AbstractContextManager[Zip]:
    return contextlib.nullcontext(archive.nested(entry, _shown(entry.name, where)))


def _shown(name: str, where: str) -> str:
    return f"{printable(name, longest=200)} in {where}"
