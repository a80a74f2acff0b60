"""Photos in a folder or a zip archive, read in place: nothing is unpacked to disk."""

import contextlib
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from data.errors import PhotoError
from data.photos import CAT, DOG
from data.sources.layout import LAYOUTS, label_of, without_common_folder
from data.sources.source import Photo

# No photo is this large; an archive that claims so would only fill the memory.
_MAXIMUM_FILE_BYTES = 256 * 1024**2
_ENCRYPTED = 0x1  # bit 0 of a zip entry's general purpose flags


class _UnreadableError(Exception):
    """The bytes of one file can't be had; the message is the reason."""


@dataclass(frozen=True)
class _File:
    """One file of a folder or an archive.

    Attributes:
        name: Path within the source, with forward slashes.
        read: Returns its bytes; raises `_UnreadableError`.
        open: Returns it as a binary stream that can seek, for an archive within an archive.
    """

    name: str
    read: Callable[[], bytes]
    open: Callable[[], IO[bytes]]


class Files:
    """A folder or a zip archive of labelled photos, which lie as `data.sources.layout` says."""

    is_sample = False

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self.name = str(self._path)

    def identity(self) -> Mapping[str, str | int]:
        """Path, size and time of change; for a folder, counts and sums over its files."""
        files = [self._path] if self._path.is_file() else list(_paths_below(self._path))
        states = [file.stat() for file in files]
        return {
            "path": self.name,
            "files": len(states),
            "bytes": sum(state.st_size for state in states),
            "changed_ns": max((state.st_mtime_ns for state in states), default=0),
        }

    def entries(self) -> Mapping[str, int]:
        return dict(self._labels.values())

    def read(self, ids: Collection[str] | None = None) -> Iterator[Photo]:
        wanted = None if ids is None else frozenset(ids)
        with _opened(self._path) as files:
            for file in files:
                if file.name not in self._labels:
                    continue
                photo_id, label = self._labels[file.name]
                if wanted is not None and photo_id not in wanted:
                    continue
                try:
                    yield Photo(photo_id, label, file.read())
                except _UnreadableError as error:
                    yield Photo(photo_id, label, b"", unreadable=str(error))

    @cached_property
    def _labels(self) -> Mapping[str, tuple[str, int]]:
        """Id and label of each photo by the name of its file."""
        with _opened(self._path) as files:
            names = [file.name for file in files]
        labels = {name: label for name in names if (label := label_of(name)) is not None}
        if not names:
            raise PhotoError(f"{self._path} is empty: it holds no files.\n{LAYOUTS}")
        if not labels:
            raise PhotoError(
                f"{self._path} holds {_number(len(names), 'file')}, but none that is known to be "
                f"a cat or a dog.\n{LAYOUTS}"
            )
        _require_both(self._path, Counter(labels.values()))
        ids = without_common_folder(labels)
        return {name: (ids[name], label) for name, label in labels.items()}


def _require_both(path: Path, counts: Counter[int]) -> None:
    for label, missing, present in ((CAT, "cat", "dog"), (DOG, "dog", "cat")):
        if counts[label] == 0:
            raise PhotoError(
                f"{path} holds {_number(counts[1 - label], present)} but no {missing}; "
                f"photos of both are needed.\n{LAYOUTS}"
            )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[list[_File]]:
    """Gives the files at `path`; without photos among them, also those of the zips among them."""
    with contextlib.ExitStack() as stack:
        if path.is_dir():
            files = [_file_in_folder(path, below) for below in _paths_below(path)]
        else:
            files = _files_in_zip(stack, path, str(path))
        if not any(label_of(file.name) is not None for file in files):
            for archive in [file for file in files if file.name.lower().endswith(".zip")]:
                stream = stack.enter_context(archive.open())
                files += [
                    _File(f"{archive.name}/{inner.name}", inner.read, inner.open)
                    for inner in _files_in_zip(stack, stream, f"{archive.name} in {path}")
                ]
        yield files


def _paths_below(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise PhotoError(f"{error.filename} can't be read: {error.strerror}.") from error

    for where, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        yield from (Path(where, name) for name in sorted(names))


def _file_in_folder(folder: Path, path: Path) -> _File:
    def read() -> bytes:
        try:
            if path.stat().st_size > _MAXIMUM_FILE_BYTES:
                raise _UnreadableError(_too_large())
            return path.read_bytes()
        except OSError as error:
            raise _UnreadableError(f"can't be read: {error.strerror}") from error

    return _File(path.relative_to(folder).as_posix(), read, lambda: path.open("rb"))


def _files_in_zip(
    stack: contextlib.ExitStack, archive: Path | IO[bytes], where: str
) -> list[_File]:
    try:
        opened = stack.enter_context(zipfile.ZipFile(archive))
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise PhotoError(
            f"{where} is not a zip archive, or is truncated ({str(error).rstrip('.')}). "
            "Give a folder or a complete zip; an interrupted download must be repeated."
        ) from error
    except OSError as error:
        raise PhotoError(f"{where} can't be read: {error.strerror or error}.") from error
    # A later entry replaces an earlier one of the same name, as it would when unpacked.
    entries = {entry.filename: entry for entry in opened.infolist() if not entry.is_dir()}
    if any(entry.flag_bits & _ENCRYPTED for entry in entries.values()):
        raise PhotoError(f"{where} is encrypted. Unpack it with its password and give the folder.")
    # Reading in the order of storage never goes back in an archive within a compressed archive.
    in_order = sorted(entries.values(), key=lambda entry: entry.header_offset)
    return [_file_in_zip(opened, entry) for entry in in_order]


def _file_in_zip(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> _File:
    def read() -> bytes:
        if entry.file_size > _MAXIMUM_FILE_BYTES:
            raise _UnreadableError(_too_large())
        try:
            with archive.open(entry) as stream:
                # An entry may hold more than it says.
                return stream.read(entry.file_size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise _UnreadableError(f"damaged in the archive: {str(error).rstrip('.')}") from error

    return _File(entry.filename.replace("\\", "/"), read, lambda: archive.open(entry))


def _too_large() -> str:
    return f"larger than {_MAXIMUM_FILE_BYTES // 1024**2} MiB"


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}" + ("" if count == 1 else "s")
