"""Decoding all photos of a source into a folder of the cache, on all cores."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from optrun.data.cache.cache_key import Resize
from optrun.data.cache.journal import Decoded, Journal, Record, Unusable
from optrun.data.cache.pixel_file import PixelFile
from optrun.data.images.decode import Header, Pixels, UndecodableError, examine, photo
from optrun.data.images.pixel_hash import pixel_digest
from optrun.data.images.resizing import as_resized, rounded
from optrun.data.images.squashing import TOGETHER, squashed_together
from optrun.data.parallel import DECODING_BYTES, Memory, in_order
from optrun.data.sources import Photo, Source

if TYPE_CHECKING:
    import tensorflow as tf

# Larger photos are decoded one by one.
_TOGETHER_BYTES = 32 * 1024**2


@dataclass(frozen=True)
class Shape:
    """What photos are made into.

    Attributes:
        image_size: Side in pixels.
        resize: See `optrun.data.images.decode.decode`.
        antialias: See `optrun.data.images.decode.decode`.
    """

    image_size: int
    resize: Resize
    antialias: bool


class Builder:
    """Decodes photos into a file, and knows what became of each.

    Attributes:
        decoded: What is in the file, by id.
        left_out: Why a photo can't be used, by id.
    """

    def __init__(self, source: Source, shape: Shape, file: PixelFile, journal: Journal) -> None:
        self.decoded: dict[str, Decoded] = {}
        self.left_out: dict[str, str] = {}
        self._source = source
        self._shape = shape
        self._file = file
        self._journal = journal
        self._memory = Memory(DECODING_BYTES)

    def go_on(self) -> None:
        """Takes over what an earlier build has done, as far as its pixels are there.

        A build that was stopped while it arranged its photos has some of them at their last place
        already.
        """
        done = {}
        for name, record in self._journal.records.items():
            if isinstance(record, Unusable):
                self.left_out[name] = record.reason
            else:
                done[name] = record
        rows: set[int] = set()
        for place, (name, record) in enumerate(sorted(done.items())):
            for row in (record.row, place):
                if row not in rows and _is_in(self._file, row, record):
                    rows.add(row)
                    self.decoded[name] = replace(record, row=row)
                    break

    def decode(self, wanted: Collection[str]) -> Iterator[int]:
        """Decodes the photos with these ids, and yields how many are dealt with in all."""
        rows = dict(zip(sorted(wanted), self._free_rows(), strict=False))

        def work(photos: Sequence[Photo]) -> list[Record]:
            return self._records(photos, rows)

        groups = _grouped(self._source.read(rows.keys()))
        for photos, records in in_order(groups, _encoded_bytes, work):
            for found, record in zip(photos, records, strict=True):
                if isinstance(record, Decoded):
                    self.decoded[found.id] = record
                else:
                    self.left_out[found.id] = record.reason
                yield len(self.decoded) + len(self.left_out)

    def leave_out(self, names: Set[str], reason: str) -> None:
        """Leaves out those of these photos that could be used."""
        for name in sorted(self.decoded.keys() & names):
            del self.decoded[name]
            self.left_out[name] = reason
            self._journal.add(name, Unusable(reason))

    def arrange(self, names: Collection[str]) -> None:
        """Puts the photos with these ids into the file in this order, and drops all others."""
        self._file.arrange([self.decoded[name].row for name in names])

    def _free_rows(self) -> Iterator[int]:
        taken = {record.row for record in self.decoded.values()}
        row = 0
        while True:
            if row not in taken:
                yield row
            row += 1

    def _records(self, photos: Sequence[Photo], rows: Mapping[str, int]) -> list[Record]:
        """Decodes photos into their rows, and returns what became of each."""
        headers = [_header(found) for found in photos]
        together = self._squashed_together(photos, headers)
        records = []
        for found, header, resized in zip(photos, headers, together, strict=True):
            record = self._record(found, header, resized, rows[found.id])
            self._journal.add(found.id, record)
            records.append(record)
        return records

    def _record(
        self, found: Photo, header: Header | Unusable, resized: "tf.Tensor | None", row: int
    ) -> Record:
        if isinstance(header, Unusable):
            return header
        try:
            pixels = self._pixels(found, header) if resized is None else rounded(resized)
        except UndecodableError as error:
            return Unusable(str(error))
        self._file.write(row, pixels)
        return Decoded(hashlib.sha256(found.encoded).digest(), pixel_digest(pixels), row)

    def _pixels(self, found: Photo, header: Header) -> Pixels:
        shape = self._shape
        with self._memory.taken(header.decoding_bytes):
            whole = photo(found.encoded, header)
            return as_resized(whole, shape.image_size, shape.resize, shape.antialias)

    def _squashed_together(
        self, photos: Sequence[Photo], headers: Sequence[Header | Unusable]
    ) -> "Sequence[tf.Tensor | None]":
        """Returns photos that are decoded together; None for those that are not."""
        usable = [header for header in headers if isinstance(header, Header)]
        size = sum(header.decoding_bytes for header in usable)
        if (
            len(usable) == TOGETHER
            and all(header.is_jpeg for header in usable)
            and size <= _TOGETHER_BYTES
            and self._shape.resize == "squash"
            and not self._shape.antialias
        ):
            with self._memory.taken(size):
                encoded = [found.encoded for found in photos]
                return squashed_together(encoded, self._shape.image_size)
        return [None] * len(photos)


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


def _header(found: Photo) -> Header | Unusable:
    if found.unreadable:
        return Unusable(found.unreadable)
    try:
        return examine(found.encoded)
    except UndecodableError as error:
        return Unusable(str(error))


def _is_in(file: PixelFile, row: int, record: Decoded) -> bool:
    """Whether the pixels of a photo are in a row: nothing else is trusted after a crash."""
    return pixel_digest(file.read(row)) == record.pixel_digest
