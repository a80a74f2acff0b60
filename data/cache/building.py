"""Decoding all photos of a source into a folder of the cache, on all cores; a killed build goes on.

A journal on the disk says what became of each photo. Of it, nothing is trusted but what the pixels
beside it confirm.
"""

import contextlib
import hashlib
import itertools
import json
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from optrun.data.cache.cache_key import Preparation
from optrun.data.images import decode
from optrun.data.images.decode import TOGETHER, Header, Pixels, UndecodableError
from optrun.data.images.duplicates import pixel_digest
from optrun.data.parallel import DECODING_BYTES, Memory, in_order
from optrun.data.sources.source import Photo, Source

_TOGETHER_BYTES = 16 * 1024**2  # larger photos are decoded one by one


@dataclass(frozen=True)
class Decoded:
    """A photo whose pixels are in the file."""

    digest: bytes  # SHA-256 of its encoded bytes
    pixel_digest: bytes
    row: int  # where in the file
    is_turned: bool  # whether it lay on a side in its file, as that says
    profile: str  # of its colours, where they are not sRGB


Record = Decoded | str  # a text is the reason why a photo is left out


class Journal(AbstractContextManager["Journal"]):
    """Lines of JSON, one for each photo, below a first line that says what is being built.

    A line is written when the pixels are; after a crash of the machine these may be missing. A torn
    line is ignored. A file that is about anything else than `header` says is begun anew.
    """

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        first = json.dumps({"format": 2, **header}, sort_keys=True).encode()
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        goes_on = lines[:1] == [first]
        self.records: dict[str, Record] = {}  # what was known when the file was opened, by id
        for line in lines[1:] if goes_on else []:
            with contextlib.suppress(ValueError):  # a torn or empty line
                match json.loads(line):
                    case [str(name), str(reason)]:
                        self.records[name] = reason
                    case [
                        str(name), str(digest), str(of_pixels), int(row), bool(turned), str(profile)
                    ] if row >= 0:  # fmt: skip
                        digests = bytes.fromhex(digest), bytes.fromhex(of_pixels)
                        if {len(one) for one in digests} == {32}:
                            self.records[name] = Decoded(*digests, row, turned, profile)
        self._file = path.open("ab" if goes_on else "wb", buffering=0)
        # Of an earlier build, the last line may be torn.
        self._file.write(b"\n" if goes_on else first + b"\n")

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, name: str, record: Record) -> None:
        """Notes what became of the photo with this id; several threads may do so at once."""
        values: list[object] = [record]
        if isinstance(record, Decoded):
            digests = record.digest.hex(), record.pixel_digest.hex()
            values = [*digests, record.row, record.is_turned, record.profile]
        self._file.write(json.dumps([name, *values]).encode() + b"\n")


class PixelFile(AbstractContextManager["PixelFile"]):
    """uint8 [n, image_size, image_size, 3] in NumPy's format, with n known only at the end.

    Not written through a memory map, where a full disk is no error but a signal that ends the
    process. Rows of an earlier build stay in it. Several threads may read and write at once.
    """

    def __init__(self, path: Path, image_size: int) -> None:
        path.touch()
        self._file = path.open("r+b", buffering=0)
        self._shape, self._row_bytes = (image_size, image_size, 3), image_size**2 * 3
        self._lock = threading.Lock()
        self._start = self._write_header(0)

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, row: int, pixels: Pixels) -> None:
        """Writes one photo, uint8 [image_size, image_size, 3]."""
        rest = np.ascontiguousarray(pixels).data.cast("B")
        with self._lock:
            self._file.seek(self._start + row * self._row_bytes)
            while rest:
                rest = rest[self._file.write(rest) :]

    def read(self, row: int) -> Pixels:
        """Returns the photo in a row; black as far as nothing was written there."""
        with self._lock:
            self._file.seek(self._start + row * self._row_bytes)
            content = self._file.read(self._row_bytes)
        # Behind its end a file is zeros, as it is between rows that were written.
        whole = content.ljust(self._row_bytes, b"\0")
        return np.frombuffer(whole, np.uint8).reshape(self._shape)

    def arrange(self, rows: Sequence[int]) -> None:
        """Puts the row now at `rows[k]` at place k, for every k, and drops all others.

        Every row is moved once: a place whose own row nobody wants takes its row from where that
        is, which frees that place, and so on. Circles are left; of each, one row is kept aside.
        """
        left = {place: row for place, row in enumerate(rows) if place != row}
        unwanted = sorted(left.keys() - left.values(), reverse=True)
        while left:
            place = first = unwanted.pop() if unwanted else next(iter(left))
            aside = self.read(first)
            while place in left:
                row = left.pop(place)
                self.write(place, aside if row == first else self.read(row))
                place = row
        self._file.truncate(self._start + len(rows) * self._row_bytes)
        self._write_header(len(rows))

    def _write_header(self, count: int) -> int:
        """Writes the header and returns its length, which NumPy keeps the same for any count."""
        self._file.seek(0)
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()


class Builder:
    """Decodes photos into a file, and knows what is in it and what is left out, and why, by id."""

    def __init__(self, source: Source, how: Preparation, file: PixelFile, journal: Journal) -> None:
        self.decoded: dict[str, Decoded] = {}
        self.left_out: dict[str, str] = {}
        self._source, self._how, self._file, self._journal = source, how, file, journal
        self._memory = Memory(DECODING_BYTES)
        self._kept = threading.local()

    def go_on(self) -> None:
        """Takes over what an earlier build has done, as far as its pixels are there."""
        records = self._journal.records.items()
        self.left_out |= {name: reason for name, reason in records if isinstance(reason, str)}
        done = sorted((name, one) for name, one in records if isinstance(one, Decoded))
        rows: set[int] = set()
        for place, (name, found) in enumerate(done):
            # A build that was stopped while it arranged them has some at their last place already.
            for row in (found.row, place):
                if row not in rows and pixel_digest(self._file.read(row)) == found.pixel_digest:
                    rows.add(row)
                    self.decoded[name] = replace(found, row=row)
                    break

    def decode(self, wanted: Collection[str]) -> Iterator[int]:
        """Decodes the photos with these ids, and yields how many are dealt with in all."""
        taken = {record.row for record in self.decoded.values()}
        free = (row for row in itertools.count() if row not in taken)
        rows = dict(zip(sorted(wanted), free, strict=False))

        def work(photos: Sequence[Photo]) -> list[Record]:
            records: list[Record] = []
            for found, answer in zip(photos, self._squares(photos), strict=True):
                if isinstance(answer, str):
                    records.append(answer)
                else:
                    header, pixels = answer
                    row, digest = rows[found.id], hashlib.sha256(found.encoded).digest()
                    self._file.write(row, pixels)
                    of_pixels = pixel_digest(pixels)
                    records.append(
                        Decoded(digest, of_pixels, row, header.is_turned, header.profile)
                    )
                self._journal.add(found.id, records[-1])
            return records

        groups = _grouped(self._source.read(rows.keys()))
        for photos, records in in_order(groups, _encoded_bytes, work):
            for found, record in zip(photos, records, strict=True):
                if isinstance(record, Decoded):
                    self.decoded[found.id] = record
                else:
                    self.left_out[found.id] = record
                yield len(self.decoded) + len(self.left_out)

    def _squares(self, photos: Sequence[Photo]) -> Iterator[tuple[Header, Pixels] | str]:
        """Decodes photos; a text is the reason why one can't be used."""
        how = self._how
        if how.resize == "squash" and not how.antialias and len(photos) == TOGETHER:
            with contextlib.suppress(UndecodableError):  # each has its own reason, found below
                headers = [_header(found) for found in photos]
                size_bytes = sum(header.decoding_bytes for header in headers)
                if size_bytes <= _TOGETHER_BYTES:
                    with self._memory.taken(size_bytes):
                        whole, start = [], 0
                        memory = self._kept_memory(sum(one.memory_bytes for one in headers))
                        for found, header in zip(photos, headers, strict=True):
                            whole.append(decode.photo(found.encoded, header, memory[start:]))
                            start += header.memory_bytes
                        squares = decode.squashed_together(whole, how.image_size)
                    yield from zip(headers, squares, strict=True)
                    return
        for found in photos:
            try:
                header = _header(found)
                yield header, _square(found, header, how, self._memory)
            except UndecodableError as error:
                yield str(error)

    def _kept_memory(self, size: int) -> Pixels:
        """Returns memory that this thread keeps: the system would have to clear any that is new."""
        memory: Pixels | None = getattr(self._kept, "memory", None)
        if memory is None or len(memory) < size:
            memory = self._kept.memory = np.empty(size, np.uint8)
        return memory

    def leave_out(self, names: Set[str], reason: str) -> None:
        """Leaves out those of these photos that could be used."""
        for name in sorted(self.decoded.keys() & names):
            del self.decoded[name]
            self.left_out[name] = reason
            self._journal.add(name, reason)


def _grouped(photos: Iterable[Photo]) -> Iterator[list[Photo]]:
    """Yields photos in groups to be decoded together, large ones in smaller groups."""
    group: list[Photo] = []
    for found in photos:
        group.append(found)
        if len(group) == TOGETHER or _encoded_bytes(group) > _TOGETHER_BYTES:
            yield group
            group = []
    if group:
        yield group


def _encoded_bytes(photos: Sequence[Photo]) -> int:
    return sum(len(found.encoded) for found in photos)


def square(found: Photo, how: Preparation, memory: Memory) -> Pixels:
    """Decodes a photo of a source, as `how` says, within this memory."""
    return _square(found, _header(found), how, memory)


def _square(found: Photo, header: Header, how: Preparation, memory: Memory) -> Pixels:
    with memory.taken(header.decoding_bytes):
        whole = decode.photo(found.encoded, header)
        return decode.as_resized(whole, how.image_size, how.resize, how.antialias)


def _header(found: Photo) -> Header:
    if found.unreadable:
        raise UndecodableError(found.unreadable)
    return decode.examine(found.encoded)
