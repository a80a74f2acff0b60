"""What every source of photos offers."""

from collections.abc import Collection, Iterator, Mapping
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

    @property
    def name(self) -> str:
        """Where the photos come from: a built-in name, or the path."""

    @property
    def is_sample(self) -> bool:
        """Whether these are the built-in drawings."""

    def expected(self) -> int:
        """How many photos there will be; nothing is downloaded to find out."""

    def identity(self) -> Mapping[str, str | int]:
        """What tells these photos from others, cheap to find out: no photo is read."""

    def entries(self) -> Mapping[str, int]:
        """The label of every photo by its id, in the order they are stored in."""

    def parts(self) -> Mapping[str, int]:
        """The part of each photo that the source's own folders name: `data.photos` numbers them.

        Empty unless the source names training and at least one of validation and test, each with
        labelled photos. A photo outside of such folders has no part.
        """

    def read(self, ids: Collection[str] | None = None) -> Iterator[Photo]:
        """Yields the photos with these ids, or all, in the order they are stored in."""
