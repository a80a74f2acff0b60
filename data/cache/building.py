"""Decoding all photos of a source into a folder of the cache, on all cores."""

import hashlib
from collections.abc import Collection, Iterator, Set
from dataclasses import replace

from optrun.data.cache.cache_key import Preparation
from optrun.data.cache.journal import Decoded, Journal, Record, Unusable
from optrun.data.cache.pixel_file import PixelFile
from optrun.data.images.decode import Pixels, UndecodableError, examine, photo
from optrun.data.images.duplicates import pixel_digest
from optrun.data.images.resizing import as_resized
from optrun.data.parallel import DECODING_BYTES, Memory, in_order
from optrun.data.sources.source import Photo, Source


class Builder:
    """Decodes photos into a file, and knows what became of each.

    Attributes:
        decoded: What is in the file, by id.
        left_out: Why a photo can't be used, by id.
    """

    def __init__(self, source: Source, how: Preparation, file: PixelFile, journal: Journal) -> None:
        self.decoded: dict[str, Decoded] = {}
        self.left_out: dict[str, str] = {}
        self._source = source
        self._how = how
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

        def work(found: Photo) -> Record:
            record = self._record(found, rows[found.id])
            self._journal.add(found.id, record)
            return record

        photos = self._source.read(rows.keys())
        for found, record in in_order(photos, lambda photo: len(photo.encoded), work):
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

    def _record(self, found: Photo, row: int) -> Record:
        """Decodes a photo into its row, and returns what became of it."""
        if found.unreadable:
            return Unusable(found.unreadable)
        try:
            pixels = self._pixels(found)
        except UndecodableError as error:
            return Unusable(str(error))
        self._file.write(row, pixels)
        return Decoded(hashlib.sha256(found.encoded).digest(), pixel_digest(pixels), row)

    def _pixels(self, found: Photo) -> Pixels:
        how, header = self._how, examine(found.encoded)
        with self._memory.taken(header.decoding_bytes):
            whole = photo(found.encoded, header)
            return as_resized(whole, how.image_size, how.resize, how.antialias)


def _is_in(file: PixelFile, row: int, record: Decoded) -> bool:
    """Whether the pixels of a photo are in a row: nothing else is trusted after a crash."""
    return pixel_digest(file.read(row)) == record.pixel_digest
