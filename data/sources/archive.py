"""Zip archives from anywhere: listed as a stream, read in place, and trusted in nothing.

Python's `zipfile` has a whole directory in memory before anything in it can be judged, stops at a
name that is not UTF-8, and bounds neither overlap nor bzip2. So the records of PKWARE's APPNOTE.TXT
(6.3.10, sections 4.3.7 to 4.3.16) are read here.
"""

import bz2
import contextlib
import functools
import os
import re
import shutil
import stat
import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from optrun.data.exceptions import PhotoError
from optrun.data.printable import printable
from optrun.data.sources import regular_file
from optrun.data.sources.regular_file import UnreadableError, state_of

# Photos are compressed already. What shrinks more than this is no photo, but fills the time.
_MAXIMUM_RATIO = 100
_HARMLESS_BYTES = 1024**2
_MAXIMUM_NAME_BYTES = 4096
_MAXIMUM_COMMENT_BYTES = 0xFFFF
_USUAL_LISTED_BYTES = 256  # what an entry of the directory takes, with a long name
_PIECE_BYTES = 1024**2
_IN_MEMORY_BYTES = 16 * 1024**2  # of an archive that had to be decompressed; more is in a file

_DRIVE = re.compile("[A-Za-z]:")
_ENCRYPTED, _PATCHED, _UTF_8 = 1 << 0, 1 << 5, 1 << 11  # general purpose flags
_STORED, _DEFLATED, _BZIP2 = 0, 8, 12
_OTHER_METHODS = {9: "Deflate64", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}

# Where it stands in the file, what stands there, and what the file then is.
_OTHER_ARCHIVES = (
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"\x1f\x8b", "compressed by gzip, as .tgz and .tar.gz are"),
    (0, b"BZh", "compressed by bzip2, as .tar.bz2 is"),
    (0, b"\xfd7zXZ\0", "compressed by xz, as .tar.xz is"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by Zstandard"),
    (257, b"ustar", "a tar archive"),
)
_LONGEST_SIGNATURE = max(start + len(signature) for start, signature, _ in _OTHER_ARCHIVES)

_DAMAGED = "damaged in the archive: it can't be decompressed"

# Of each record, what is needed; "x" is passed over.
_LISTED = struct.Struct("<4s4x2H4x3L3H4x2L")  # as in `_listed`
_END = struct.Struct("<4s2H2xH2L2x")  # signature, disk, its first, count, size, offset
_END_64 = struct.Struct("<4s12x2L8x3Q")  # the same
_LOCATOR_64_BYTES = 20
_LOCAL_BYTES = 30  # the last four are the lengths of name and extra


@contextlib.contextmanager
def opened(path: Path, where: str) -> Iterator["Zip"]:
    """Opens a zip archive, `where` in messages; when done, makes sure it is still what it was."""
    try:
        file = regular_file.open_regular(str(path))
    except UnreadableError as error:
        raise PhotoError(f"{where} can't be used: {error}.") from error
    with file:
        status = os.fstat(file.fileno())
        yield Zip(file, 0, status.st_size, where, state_of(status))
        if state_of(os.fstat(file.fileno())) != state_of(status):
            raise changed(where)


def changed(where: str) -> PhotoError:
    """The archive was written to while it was read."""
    return PhotoError(
        f"{where} was changed while it was being read. Run again when it is complete."
    )


def too_many(where: str, most: int, count: int | None = None) -> PhotoError:
    """The source has more files than are accepted: `count`, where that is known."""
    number = f"more than {most:,}" if count is None else f"{count:,}"
    return PhotoError(
        f"{where} is refused: it holds {number} files, and at most {most:,} are accepted. "
        "Give a folder or an archive with fewer."
    )


@dataclass(frozen=True)
class Zip:
    """A zip archive: `size` bytes of an open file, from `start` on."""

    file: IO[bytes]
    start: int
    size: int
    where: str  # how messages name it, printable
    state: tuple[int, ...]  # what differs after its file has been changed

    def read_at(self, position: int, count: int) -> bytes:
        """Returns `count` bytes, or fewer where the archive ends before."""
        if position >= self.size:  # it may be beyond what the system can count
            return b""
        self.file.seek(self.start + position)
        return self.file.read(min(count, self.size - position))

    def files(self, most: int, within: str = "") -> Iterator["Member"]:
        """Yields the files, at most so many, in the order of the directory, as `within` + name."""
        try:
            start, directory_bytes, count, prefix_bytes = self._directory()
            if count > most:
                raise too_many(self.where, most, count)
            if directory_bytes > most * _USUAL_LISTED_BYTES:
                raise PhotoError(
                    f"{self.where} is refused: the list of its files alone has "
                    f"{directory_bytes:,} bytes. Give a folder or an archive with fewer files."
                )
            claimed_bytes = 0
            listed = self._listed(start, start + directory_bytes, prefix_bytes, within)
            for found, member in enumerate(listed, 1):
                if found > most:
                    raise too_many(self.where, most)
                # So no bytes are decompressed again and again, for many that all claim them.
                claimed_bytes += _LOCAL_BYTES + len(member.raw_name) + member.compressed_bytes
                if claimed_bytes > start:
                    raise PhotoError(
                        f"{self.where} is refused: its entries overlap, or lie outside of it; "
                        "together they claim more bytes than it has. Pack the photos anew."
                    )
                if not member.name.endswith("/"):
                    yield member
        except OSError as error:
            raise PhotoError(f"{self.where} {regular_file.cannot_be_read(error)}.") from error

    def _directory(self) -> tuple[int, int, int, int]:
        """Finds the directory by the record at the end: start, size in bytes, entries claimed.

        And how many bytes stand before the archive proper, as in one that extracts itself.
        """
        tail_start = max(self.size - _END.size - _MAXIMUM_COMMENT_BYTES, 0)
        tail = self.read_at(tail_start, self.size - tail_start)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + _END.size > len(tail):
            raise self._no_archive("its end is missing")
        _, disk, first_disk, count, size, offset = _END.unpack_from(tail, at)
        end = tail_start + at
        end_64 = end - _LOCATOR_64_BYTES - _END_64.size
        if end_64 >= 0:
            record = self.read_at(end_64, _END_64.size + _LOCATOR_64_BYTES)
            if record.startswith(b"PK\x06\x06") and record[_END_64.size :].startswith(b"PK\6\7"):
                _, disk, first_disk, count, size, offset = _END_64.unpack_from(record)
                end = end_64
        if disk != 0 or first_disk != 0:
            raise PhotoError(f"{self.where} is one part of several. Join them, or give the folder.")
        # The directory ends where its end record begins, whatever stands before the archive.
        start = end - size
        if start < offset:
            raise self._no_archive("the list of its files is missing")
        return start, size, count, start - offset

    def _listed(
        self, position: int, end: int, prefix_bytes: int, within: str
    ) -> Iterator["Member"]:
        """Yields what stands in the directory, folders too; it is never in memory as a whole."""
        buffer, at = b"", 0
        while at < len(buffer) or position < end:
            if len(buffer) - at < _LISTED.size + 3 * 0xFFFF and position < end:
                more = self.read_at(position, min(_PIECE_BYTES, end - position))
                position = position + len(more) if more else end
                buffer, at = buffer[at:] + more, 0
            if len(buffer) - at < _LISTED.size:
                raise self._no_archive("the list of its files ends too early")
            signature, flags, method, crc, *sizes, mode, offset = _LISTED.unpack_from(buffer, at)
            if signature != b"PK\x01\x02":
                raise self._no_archive("the list of its files is damaged")
            compressed_bytes, size, name_bytes, extra_bytes, comment_bytes = sizes
            name_end = at + _LISTED.size + name_bytes
            raw_name = buffer[at + _LISTED.size : name_end]
            if 0xFFFFFFFF in (size, compressed_bytes, offset):
                extra = buffer[name_end : name_end + extra_bytes]
                size, compressed_bytes, offset = _of_64_bits(extra, size, compressed_bytes, offset)
            at = name_end + extra_bytes + comment_bytes
            if at > len(buffer):
                raise self._no_archive("the list of its files ends too early")
            if flags & _ENCRYPTED:
                raise PhotoError(
                    f"{self.where} is encrypted. Unpack it with its password and give the folder."
                )
            name, offset = within + self._name(raw_name, flags), offset + prefix_bytes
            place = compressed_bytes, size, offset
            yield Member(self, name, raw_name, mode >> 16, flags, method, crc, *place)

    def _name(self, raw_name: bytes, flags: int) -> str:
        name = raw_name.decode("utf-8" if flags & _UTF_8 else "cp437", "surrogateescape")
        name = name.replace("\\", "/")
        if name.startswith("/") or _DRIVE.match(name) or (".." in name and ".." in name.split("/")):
            raise PhotoError(
                f"{self.where} is refused: its entry {printable(name, longest=200)} would lie "
                "outside of the folder that it is unpacked to. Pack the photos anew, with names "
                "below one folder."
            )
        if len(raw_name) > _MAXIMUM_NAME_BYTES:
            raise PhotoError(
                f"{self.where} is refused: it has a name of {len(raw_name):,} bytes, "
                f"{printable(name, longest=40)}. Pack the photos anew, with shorter names."
            )
        if "./" in name or "//" in name:
            folder = "/" if name.endswith("/") else ""
            name = "/".join(part for part in name.split("/") if part not in ("", ".")) + folder
        return name

    def _no_archive(self, reason: str) -> PhotoError:
        begins = self.read_at(0, _LONGEST_SIGNATURE)
        for start, signature, kind in _OTHER_ARCHIVES:
            if begins.startswith(signature, start):
                return PhotoError(
                    f"{self.where} is {kind}, and of archives zip alone is read: unpack it, and "
                    "give the folder."
                )
        return PhotoError(
            f"{self.where} is not a zip archive, or is truncated: {reason}. "
            "Give a folder or a complete zip; an interrupted download must be repeated."
        )


class Member(NamedTuple):
    """One file of an archive, as the directory describes it."""

    archive: Zip
    name: str  # path within the archive, with forward slashes; may hold any character
    raw_name: bytes  # as it is stored
    mode: int  # of Unix; 0 where none is stored
    flags: int
    method: int
    crc: int
    compressed_bytes: int
    size: int  # as claimed
    offset: int

    def read(self) -> bytes:
        """Returns the bytes of the file; raises `UnreadableError` if they can't be had."""
        if max(self.size, self.compressed_bytes) > regular_file.MAXIMUM_FILE_BYTES:
            raise UnreadableError(regular_file.TOO_LARGE)
        try:
            content = self.archive.read_at(self._content_start(), self.compressed_bytes)
        except OSError as error:
            raise UnreadableError(f"damaged in the archive: {error.strerror or error}") from error
        # A file may hold more than it says: one byte more is enough to see it.
        try:
            if self.method == _DEFLATED:
                inflate = zlib.decompressobj(-zlib.MAX_WBITS)  # negative: without zlib's header
                content = inflate.decompress(content, self.size + 1)
            elif self.method == _BZIP2:
                content = bz2.BZ2Decompressor().decompress(content, self.size + 1)
        except (zlib.error, OSError) as error:
            raise UnreadableError(_DAMAGED) from error
        if (missing := self.size - len(content)) > 0:
            raise UnreadableError(f"damaged in the archive: {missing:,} bytes of it are missing")
        if missing < 0 or zlib.crc32(content) != self.crc:
            raise UnreadableError("damaged in the archive: its checksum does not fit")
        return content

    @contextlib.contextmanager
    def open_archive(self, where: str) -> Iterator[Zip]:
        """Opens the zip archive that the file is: where it lies, or decompressed for the time."""
        where = f"{printable(self.name, longest=200)} in {where}"
        outer = self.archive
        with contextlib.ExitStack() as stack:
            try:
                start = outer.start + self._content_start()
                if self.method == _STORED:
                    inner = Zip(outer.file, start, self.size, where, outer.state)
                else:
                    unpacked = stack.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES))
                    self._decompress(start, unpacked)
                    inner = Zip(unpacked, 0, unpacked.tell(), where, outer.state)
            except (UnreadableError, OSError) as error:
                raise PhotoError(f"{where} can't be used: {error}.") from error
            yield inner

    def _decompress(self, start: int, unpacked: IO[bytes]) -> None:
        """Writes the file's bytes, which begin compressed at `start`, into another file."""
        folder = tempfile.gettempdir()
        if self.size > _IN_MEMORY_BYTES and self.size > shutil.disk_usage(folder).free:
            raise UnreadableError(
                f"it has {self.size:,} bytes when unpacked, more than are free in {folder}; set "
                "TMPDIR to another folder, or unpack it and give the folder"
            )
        self.archive.file.seek(start)
        try:
            for piece in _decompressed(self.archive.file, self.method):
                unpacked.write(piece[: self.size - unpacked.tell()])
                if unpacked.tell() == self.size:
                    break
        except (zlib.error, EOFError, OSError) as error:
            raise UnreadableError(getattr(error, "strerror", None) or _DAMAGED) from error

    def _content_start(self) -> int:
        """Returns where the compressed bytes begin in the archive, if they may be read at all."""
        if stat.S_ISLNK(self.mode):
            raise UnreadableError("a link")
        if stat.S_IFMT(self.mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UnreadableError(regular_file.NOT_A_FILE)
        if self.flags & _PATCHED:
            raise UnreadableError("a patch to another file")
        if self.method not in (_STORED, _DEFLATED, _BZIP2):
            name = _OTHER_METHODS.get(self.method, f"method {self.method}")
            raise UnreadableError(f"compressed with {name}; pack it anew with Deflate")
        if self.size > max(self.compressed_bytes * _MAXIMUM_RATIO, _HARMLESS_BYTES) or (
            self.method == _STORED and self.size != self.compressed_bytes
        ):
            raise UnreadableError(
                f"claims {self.size:,} bytes in {self.compressed_bytes:,}, as no photo does"
            )
        name_end = _LOCAL_BYTES + len(self.raw_name)
        local = self.archive.read_at(self.offset, name_end)
        if len(local) < name_end or not local.startswith(b"PK\x03\x04"):
            raise UnreadableError("damaged in the archive: it is not where the directory says")
        name_bytes, extra_bytes = struct.unpack_from("<2H", local, _LOCAL_BYTES - 4)
        if name_bytes != len(self.raw_name) or local[_LOCAL_BYTES:] != self.raw_name:
            raise UnreadableError("damaged in the archive: it has another name in the directory")
        return self.offset + name_end + int(extra_bytes)


def _decompressed(file: IO[bytes], method: int) -> Iterator[bytes]:
    """Yields in pieces of at most 1 MiB what begins, compressed, at the position of a file."""
    if method == _BZIP2:
        # Its own end is known to it; the other bytes of the archive, behind, are no such stream.
        yield from iter(functools.partial(bz2.BZ2File(file).read, _PIECE_BYTES), b"")
        return
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflate.eof:
        data = inflate.unconsumed_tail or file.read(_PIECE_BYTES)
        piece = inflate.decompress(data, _PIECE_BYTES)
        if not data and not piece:
            return
        yield piece


def _of_64_bits(extra: bytes, *sizes: int) -> tuple[int, ...]:
    """Returns the sizes, those that do not fit 32 bits from the record that holds their 64."""
    at = 0
    while at + 4 <= len(extra):
        kind, count = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            numbers = min(count, len(extra) - at - 4, 24) // 8
            large = list(struct.unpack_from(f"<{numbers}Q", extra, at + 4))
            return tuple(large.pop(0) if size == 0xFFFFFFFF and large else size for size in sizes)
        at += 4 + count
    return sizes
