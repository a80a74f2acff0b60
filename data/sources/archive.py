"""Zip archives from anywhere: listed as a stream, read in place, and trusted in nothing.

Python's own `zipfile` lists a directory into memory before anything about it can be judged, and
takes whatever an entry says of itself; here both are judged first.
"""

import contextlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from optrun.data.exceptions import PhotoError
from optrun.data.sources.views import (
    METHODS,
    STORED,
    DecompressedView,
    FileView,
    PartView,
    UnreadableError,
    View,
    cannot_be_read,
    decompressed,
    open_regular,
)
from optrun.data.sources.zip_directory import Entry, entries

# No photo is this large; an archive that claims so would only fill the memory.
MAXIMUM_FILE_BYTES = 64 * 1024**2
# Photos are compressed already. What shrinks more than this is no photo, but fills the time.
_MAXIMUM_RATIO = 100
_HARMLESS_BYTES = 1024**2
_LOCAL = struct.Struct("<4s5H3L2H")
_OTHER_METHODS = {9: "Deflate64", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}


@contextlib.contextmanager
def opened(path: Path, where: str) -> Iterator["Zip"]:
    """Opens a zip archive; when done, makes sure that it is still what it was.

    Args:
        path: Where it lies.
        where: How messages name it, printable.

    Raises:
        PhotoError: If it can't be opened, or was changed in the meantime.
    """
    try:
        file = open_regular(str(path))
    except UnreadableError as error:
        raise PhotoError(f"{where} can't be used: {error}.") from error
    with file:
        view = FileView(file)
        before = view.state()
        yield Zip(view, where, before)
        if view.state() != before:
            raise PhotoError(changed(where))


def changed(where: str) -> str:
    """Returns what is said of an archive that was written to while it was read."""
    return f"{where} was changed while it was being read. Run again when it is complete."


class Zip:
    """A zip archive.

    Args:
        view: Its bytes.
        where: How messages name it, printable.
        state: What differs after its file has been changed.
    """

    def __init__(self, view: View, where: str, state: tuple[int, ...]) -> None:
        self._view = view
        self.where = where
        self.state = state

    def entries(self, most: int) -> Iterator[Entry]:
        """Yields the files in the order of the directory, which is never in memory as a whole.

        Args:
            most: How many entries are accepted; of an archive that says it has more, none is
                yielded.

        Raises:
            PhotoError: If this is no archive, or one to be refused.
        """
        try:
            # A view of its own: what is read in between lies elsewhere.
            yield from entries(self._view.twin(), self.where, most)
        except UnreadableError as error:
            raise PhotoError(f"{self.where} can't be used: {error}.") from error
        except OSError as error:
            raise PhotoError(f"{self.where} {cannot_be_read(error)}.") from error

    def read(self, entry: Entry) -> bytes:
        """Returns the bytes of a file.

        Raises:
            UnreadableError: If they can't or must not be had.
        """
        if entry.size > MAXIMUM_FILE_BYTES:
            raise UnreadableError(too_large())
        pieces: list[bytes] = []
        missing = entry.size
        try:
            for piece in decompressed(self._compressed(entry), entry.method):
                pieces.append(piece)
                missing -= len(piece)
                if missing < 0:  # an entry may hold more than it says
                    break
        except OSError as error:
            raise UnreadableError(f"damaged in the archive: {error.strerror or error}") from error
        content = b"".join(pieces)
        if missing > 0:
            raise UnreadableError(f"damaged in the archive: {missing:,} bytes of it are missing")
        if missing < 0 or zlib.crc32(content) != entry.crc:
            raise UnreadableError("damaged in the archive: its checksum does not fit")
        return content

    def nested(self, entry: Entry, where: str) -> "Zip":
        """Returns the archive that one of the files is; `where` is how messages name it.

        Raises:
            PhotoError: If it can't or must not be read.
        """
        try:
            view: View = self._compressed(entry)
        except (UnreadableError, OSError) as error:
            raise PhotoError(f"{where} can't be used: {error}.") from error
        if entry.method != STORED:
            view = DecompressedView(view, entry.method, entry.size)
        return Zip(view, where, self.state)

    def _compressed(self, entry: Entry) -> View:
        if entry.refused:
            raise UnreadableError(entry.refused)
        if entry.method not in METHODS:
            name = _OTHER_METHODS.get(entry.method, f"method {entry.method}")
            raise UnreadableError(f"compressed with {name}; pack it anew with Deflate")
        if entry.size > max(entry.compressed_bytes * _MAXIMUM_RATIO, _HARMLESS_BYTES) or (
            entry.method == STORED and entry.size != entry.compressed_bytes
        ):
            raise UnreadableError(
                f"claims {entry.size:,} bytes in {entry.compressed_bytes:,}, as no photo does"
            )
        local = self._view.read_at(entry.offset, _LOCAL.size + len(entry.raw_name))
        if len(local) < _LOCAL.size + len(entry.raw_name) or not local.startswith(b"PK\x03\x04"):
            raise UnreadableError("damaged in the archive: it is not where the directory says")
        *_, name_bytes, extra_bytes = _LOCAL.unpack_from(local)
        if name_bytes != len(entry.raw_name) or local[_LOCAL.size :] != entry.raw_name:
            raise UnreadableError("damaged in the archive: it has another name in the directory")
        start = entry.offset + _LOCAL.size + name_bytes + extra_bytes
        return PartView(self._view, start, entry.compressed_bytes)


def too_large() -> str:
    """Returns the reason for which a file is not read."""
    return f"larger than {MAXIMUM_FILE_BYTES // 1024**2} MiB"
