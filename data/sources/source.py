"""What every source of photos offers."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Photo:
    """One photo as its source holds it."""

    id: str  # its name within the source, unique
    label: int  # see `optrun.data.labels`
    encoded: bytes  # of the image file; empty where they could not be read
    unreadable: str = ""  # why; empty where they could


class Source(Protocol):
    """A place that photos come from. Asking for anything may raise `data.exceptions.PhotoError`."""

    name: str  # a built-in name, or the path
    is_sample: bool  # whether these are the built-in drawings

    def expected(self) -> int:
        """How many photos there will be; nothing is downloaded to find out."""

    def identity(self) -> Mapping[str, str | int]:
        """What tells these photos from others, cheap to find out: no photo is read."""

    def entries(self) -> Mapping[str, int]:
        """The label of every photo by its id, in the order they are stored in."""

    def unlabelled(self) -> Sequence[str]:
        """The names of photos that nothing labels, which are not used therefore."""

    def parts(self) -> Mapping[str, int]:
        """The part, as in `data.labels`, of each photo that the source's own folders name one for.

        Empty unless they name training and at least one of validation and test.
        """

    def read(self, ids: Collection[str] | None = None) -> Iterator[Photo]:
        """Yields the photos with these ids, or all, in the order they are stored in."""
