"""Decoding all photos of a source into a folder of the cache, on all cores; a killed build goes on.

A journal on the disk says what became of each photo. Of it, nothing is trusted but what the pixels
beside it confirm.
"""

import hashlib
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path

from optrun.data.cache.cache_key import Preparation
from optrun.data.cache.pixel_file import PixelFile
from optrun.data.images.decode import Pixels, UndecodableError, examine, photo
from optrun.data.images.duplicates import pixel_digest
from optrun.data.images.resizing import as_resized
from optrun.data.parallel import DECODING_BYTES, Memory, in_order
from optrun.data.sources.source import Photo, Source

_FORMAT = 1
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Decoded:
    """A photo whose pixels are in the file."""

    digest: bytes  # SHA-256 of its encoded bytes
    pixel_digest: bytes
    row: int  # where in the file


Record = Decoded | str  # a text is the reason why a photo is left out


class Journal:
    """Lines of JSON, one for each photo, below a first line that says what is being built.

    A line is written when the pixels are, so whatever ends the process, a line may at worst be
    torn, and is then ignored. After a crash of the whole machine pixels may be missing though
    their line is there: a reader must compare the digests. A file that is about anything else than
    `header` says is begun anew.
    """

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        first = json.dumps({"format": _FORMAT, **header}, sort_keys=True).encode()
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        goes_on = lines[:1] == [first]
        self.records: dict[str, Record] = {}  # what was known when the file was opened, by id
        for line in lines[1:] if goes_on else []:
            self.records |= _parsed(line)
        self._file = path.open("ab" if goes_on else "wb", buffering=0)
        # Of an earlier build, the last line may be torn.
        self._file.write(b"\n" if goes_on else first + b"\n")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, name: str, record: Record) -> None:
        """Notes what became of the photo with this id; several threads may do so at once."""
        values: list[object] = [record]
        if isinstance(record, Decoded):
            values = [record.digest.hex(), record.pixel_digest.hex(), record.row]
        self._file.write(json.dumps([name, *values]).encode() + b"\n")


def _parsed(line: bytes) -> dict[str, Record]:
    """Returns the record in a line by its id; nothing where the line is torn or empty."""
    try:
        match json.loads(line):
            case [str(name), str(reason)]:
                return {name: reason}
            case [str(name), str(digest), str(of_pixels), int(row)]:
                digests = bytes.fromhex(digest), bytes.fromhex(of_pixels)
                if all(len(one) == _DIGEST_BYTES for one in digests) and row >= 0:
                    return {name: Decoded(*digests, row)}
    except ValueError:
        pass
    return {}


class Builder:
    """Decodes photos into a file, and knows what is in it and what is left out, and why, by id."""

    def __init__(self, source: Source, how: Preparation, file: PixelFile, journal: Journal) -> None:
        self.decoded: dict[str, Decoded] = {}
        self.left_out: dict[str, str] = {}
        self._source, self._how = source, how
        self._file, self._journal = file, journal
        self._memory = Memory(DECODING_BYTES)

    def go_on(self) -> None:
        """Takes over what an earlier build has done, as far as its pixels are there.

        A build that was stopped while it arranged its photos has some of them at their last place
        already.
        """
        records = self._journal.records.items()
        self.left_out |= {name: reason for name, reason in records if isinstance(reason, str)}
        done = sorted((name, one) for name, one in records if isinstance(one, Decoded))
        rows: set[int] = set()
        for place, (name, found) in enumerate(done):
            for row in (found.row, place):
                # Nothing but the pixels themselves is trusted after a crash.
                if row not in rows and pixel_digest(self._file.read(row)) == found.pixel_digest:
                    rows.add(row)
                    self.decoded[name] = replace(found, row=row)
                    break

    def decode(self, wanted: Collection[str]) -> Iterator[int]:
        """Decodes the photos with these ids, and yields how many are dealt with in all."""
        taken = {record.row for record in self.decoded.values()}
        free = (row for row in itertools.count() if row not in taken)
        rows = dict(zip(sorted(wanted), free, strict=False))

        def work(found: Photo) -> Record:
            record: Record
            try:
                pixels = square(found, self._how, self._memory)
            except UndecodableError as error:
                record = str(error)
            else:
                row, digest = rows[found.id], hashlib.sha256(found.encoded).digest()
                self._file.write(row, pixels)
                record = Decoded(digest, pixel_digest(pixels), row)
            self._journal.add(found.id, record)
            return record

        photos = self._source.read(rows.keys())
        for found, record in in_order(photos, lambda photo: len(photo.encoded), work):
            if isinstance(record, Decoded):
                self.decoded[found.id] = record
            else:
                self.left_out[found.id] = record
            yield len(self.decoded) + len(self.left_out)

    def leave_out(self, names: Set[str], reason: str) -> None:
        """Leaves out those of these photos that could be used."""
        for name in sorted(self.decoded.keys() & names):
            del self.decoded[name]
            self.left_out[name] = reason
            self._journal.add(name, reason)

    def arrange(self, names: Collection[str]) -> None:
        """Puts the photos with these ids into the file in this order, and drops all others."""
        self._file.arrange([self.decoded[name].row for name in names])


def square(found: Photo, how: Preparation, memory: Memory) -> Pixels:
    """Decodes a photo of a source, as `how` says, within this memory."""
    if found.unreadable:
        raise UndecodableError(found.unreadable)
    header = examine(found.encoded)
    with memory.taken(header.decoding_bytes):
        whole = photo(found.encoded, header)
        return as_resized(whole, how.image_size, how.resize, how.antialias)
