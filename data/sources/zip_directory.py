"""The list of files of a zip archive, read as a stream and judged before anything is taken from it.

The layout is that of PKWARE's APPNOTE.TXT (6.3.10, 2022), sections 4.3.12 to 4.3.16.
"""

import re
import stat
import struct
from collections.abc import Iterator
from typing import NamedTuple

from optrun.data.exceptions import PhotoError
from optrun.data.printable import printable
from optrun.data.sources.views import PIECE_BYTES, PartView, View

LOCAL_HEADER_BYTES = 30
_MAXIMUM_NAME_BYTES = 4096
_MAXIMUM_COMMENT_BYTES = 0xFFFF
_USUAL_LISTED_BYTES = 256  # what an entry of the directory takes, with a long name

_DRIVE = re.compile("[A-Za-z]:")
_ENCRYPTED, _PATCHED, _UTF_8 = 1 << 0, 1 << 5, 1 << 11  # general purpose flags
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64_BYTES = 20
_LISTED = struct.Struct("<4s6H3L5H2L")


class Entry(NamedTuple):
    """One file of an archive, as its directory describes it.

    Attributes:
        name: Path within the archive, with forward slashes; may hold any character.
        raw_name: The name as it is stored.
        refused: Why it is never read; empty for an ordinary file.
        method: How it is compressed.
        crc: CRC-32 of its bytes.
        compressed_bytes: Its size in the archive.
        size: Its own size in bytes, as claimed.
        offset: Where it begins in the archive.
    """

    name: str
    raw_name: bytes
    refused: str
    method: int
    crc: int
    compressed_bytes: int
    size: int
    offset: int


def entries(view: View, where: str, most: int) -> Iterator[Entry]:
    """Yields the files in the order of the directory, which is never in memory as a whole.

    Args:
        view: The archive's bytes.
        where: How messages name it, printable.
        most: How many entries are accepted; of an archive that says it has more, none is yielded.

    Raises:
        PhotoError: If this is no archive, or one to be refused.
    """
    start, directory_bytes, count, prefix_bytes = _directory(view, where)
    if count > most:
        raise PhotoError(too_many(where, f"{count:,}", most))
    if directory_bytes > most * _USUAL_LISTED_BYTES:
        raise PhotoError(
            f"{where} is refused: the list of its files alone has {directory_bytes:,} bytes. "
            "Give a folder or an archive with fewer files."
        )
    claimed_bytes = 0
    listed = _listed(PartView(view, start, directory_bytes), where, prefix_bytes)
    for found, entry in enumerate(listed, 1):
        if found > most:
            raise PhotoError(too_many(where, f"more than {most:,}", most))
        # So no bytes are decompressed again and again, for many entries that all claim them.
        claimed_bytes += LOCAL_HEADER_BYTES + len(entry.raw_name) + entry.compressed_bytes
        if claimed_bytes > start:
            raise PhotoError(
                f"{where} is refused: its entries overlap, or lie outside of it; together they "
                "claim more bytes than it has. Pack the photos anew."
            )
        if not entry.name.endswith("/"):
            yield entry


def too_many(where: str, count: str, most: int) -> str:
    """Returns what is said of a source with more files than are accepted."""
    return (
        f"{where} is refused: it holds {count} files, and at most {most:,} are accepted. "
        "Give a folder or an archive with fewer."
    )


def _directory(view: View, where: str) -> tuple[int, int, int, int]:
    """Finds the directory, by the record at the end of the archive.

    Returns:
        Where the directory starts, its size in bytes, the number of entries it claims, and how many
        bytes stand before the archive proper (as in one that extracts itself).
    """
    tail_start = max(view.size - _END.size - _MAXIMUM_COMMENT_BYTES, 0)
    tail = view.read_at(tail_start, view.size - tail_start)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise PhotoError(_no_archive(where, "its end is missing"))
    _, disk, first_disk, _, count, size, offset, _ = _END.unpack_from(tail, at)
    end = tail_start + at
    locator = view.read_at(max(end - _LOCATOR_64_BYTES, 0), _LOCATOR_64_BYTES)
    if locator.startswith(b"PK\x06\x07") and end >= _LOCATOR_64_BYTES + _END_64.size:
        record = view.read_at(end - _LOCATOR_64_BYTES - _END_64.size, _END_64.size)
        if record.startswith(b"PK\x06\x06"):
            *_, disk, first_disk, _, count, size, offset = _END_64.unpack(record)
            end -= _LOCATOR_64_BYTES + _END_64.size
    if disk != 0 or first_disk != 0:
        raise PhotoError(f"{where} is one part of several. Join them, or give the folder.")
    # The directory ends where its end record begins, whatever stands before the archive.
    start = end - size
    if start < offset:
        raise PhotoError(_no_archive(where, "the list of its files is missing"))
    return start, size, count, start - offset


def _listed(directory: View, where: str, prefix_bytes: int) -> Iterator[Entry]:
    """Yields what stands in the directory, folders too."""
    buffer, position, at = b"", 0, 0
    longest = _LISTED.size + 3 * 0xFFFF
    while at < len(buffer) or position < directory.size:
        if len(buffer) - at < longest and position < directory.size:
            more = directory.read_at(position, PIECE_BYTES)
            position = position + len(more) if more else directory.size
            buffer, at = buffer[at:] + more, 0
        if len(buffer) - at < _LISTED.size:
            raise PhotoError(_no_archive(where, "the list of its files ends too early"))
        (
            signature,
            _versions,
            _version,
            flags,
            method,
            _time,
            _date,
            crc,
            compressed_bytes,
            size,
            name_bytes,
            extra_bytes,
            comment_bytes,
            _disk,
            _internal,
            attributes,
            offset,
        ) = _LISTED.unpack_from(buffer, at)
        if signature != b"PK\x01\x02":
            raise PhotoError(_no_archive(where, "the list of its files is damaged"))
        at += _LISTED.size
        raw_name = buffer[at : at + name_bytes]
        at += name_bytes
        if 0xFFFFFFFF in (size, compressed_bytes, offset):
            size, compressed_bytes, offset = _from_extra(
                buffer[at : at + extra_bytes], size, compressed_bytes, offset
            )
        at += extra_bytes + comment_bytes
        if at > len(buffer):
            raise PhotoError(_no_archive(where, "the list of its files ends too early"))
        if flags & _ENCRYPTED:
            raise PhotoError(
                f"{where} is encrypted. Unpack it with its password and give the folder."
            )
        yield Entry(
            _name(raw_name, flags, where),
            raw_name,
            _refused(attributes >> 16, flags),
            method,
            crc,
            compressed_bytes,
            size,
            offset + prefix_bytes,
        )


def _from_extra(extra: bytes, *sizes: int) -> tuple[int, ...]:
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


def _name(raw_name: bytes, flags: int, where: str) -> str:
    name = raw_name.decode("utf-8" if flags & _UTF_8 else "cp437", "surrogateescape")
    if "\\" in name:
        name = name.replace("\\", "/")
    if name.startswith("/") or _DRIVE.match(name) or (".." in name and ".." in name.split("/")):
        raise PhotoError(
            f"{where} is refused: its entry {printable(name, longest=200)} would lie outside of "
            "the folder that it is unpacked to. Pack the photos anew, with names below one folder."
        )
    if len(raw_name) > _MAXIMUM_NAME_BYTES:
        raise PhotoError(
            f"{where} is refused: it has a name of {len(raw_name):,} bytes, "
            f"{printable(name, longest=40)}. Pack the photos anew, with shorter names."
        )
    if "./" in name or "//" in name:
        folder = "/" if name.endswith("/") else ""
        name = "/".join(part for part in name.split("/") if part not in ("", ".")) + folder
    return name


def _refused(mode: int, flags: int) -> str:
    """Returns why an entry of this Unix mode (0 where none is stored) is no ordinary file."""
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        return "a link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a pipe, a device or a socket, not a file"
    return "a patch to another file" if flags & _PATCHED else ""


def _no_archive(where: str, reason: str) -> str:
    return (
        f"{where} is not a zip archive, or is truncated: {reason}. "
        "Give a folder or a complete zip; an interrupted download must be repeated."
    )
