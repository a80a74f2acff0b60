"""What is known of each photo while a cache is being built, on disk: a killed build goes on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_FORMAT = 1
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Decoded:
    """A photo whose pixels are in the file.

    Attributes:
        digest: SHA-256 of its encoded bytes.
        pixel_digest: See `optrun.data.photos.Photos.pixel_digests`.
        row: Where in the file.
    """

    digest: bytes
    pixel_digest: bytes
    row: int


@dataclass(frozen=True)
class Unusable:
    """A photo that is left out.

    Attributes:
        reason: In a few words.
    """

    reason: str


Record = Decoded | Unusable


class Journal:
    """Lines of JSON, one for each photo, below a first line that says what is being built.

    A line is written when the pixels are, so whatever ends the process, a line may at worst be
    torn, and is then ignored. After a crash of the whole machine pixels may be missing though
    their line is there: a reader must compare the digests.

    Args:
        path: The file; lines are added to what is in it.
        header: What is being built. Where the file is about anything else, it is begun anew.
    """

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        first = json.dumps({"format": _FORMAT, **header}, sort_keys=True).encode()
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        self.records: dict[str, Record] = {}
        """What was known when the file was opened, by id."""
        if lines[:1] == [first]:
            for line in lines[1:]:
                self.records |= _parsed(line)
            self._file = path.open("ab", buffering=0)
            self._file.write(b"\n")  # behind a torn line
        else:
            self._file = path.open("wb", buffering=0)
            self._file.write(first + b"\n")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, name: str, record: Record) -> None:
        """Notes what became of the photo with this id; several threads may do so at once."""
        if isinstance(record, Decoded):
            digests = record.digest.hex(), record.pixel_digest.hex()
            values: list[object] = [name, *digests, record.row]
        else:
            values = [name, record.reason]
        self._file.write(json.dumps(values).encode() + b"\n")


def _parsed(line: bytes) -> dict[str, Record]:
    """Returns the record in a line by its id; nothing where the line is torn or empty."""
    try:
        match json.loads(line):
            case [str(name), str(reason)]:
                return {name: Unusable(reason)}
            case [str(name), str(digest), str(of_pixels), int(row)]:
                digests = bytes.fromhex(digest), bytes.fromhex(of_pixels)
                if all(len(one) == _DIGEST_BYTES for one in digests) and row >= 0:
                    return {name: Decoded(*digests, row)}
    except ValueError:
        pass
    return {}
