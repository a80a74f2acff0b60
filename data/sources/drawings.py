"""The built-in sample as a source."""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from optrun.data import sample
from optrun.data.labels import CLASS_NAMES
from optrun.data.sources.registry import SAMPLE
from optrun.data.sources.source import Photo

DEFAULT_COUNT = 2000


def source(*, count: int | None, obtain: Callable[[], Path] | None) -> "Drawings":
    """Returns the source; see `optrun.data.sources.registry.BuiltIn`."""
    del obtain  # nothing is fetched
    return Drawings(DEFAULT_COUNT if count is None else count)


def missing() -> str:
    """Returns that nothing is."""
    return ""


class Drawings:
    """The first `count` drawings, cats and dogs in turn."""

    name = SAMPLE
    is_sample = True

    def __init__(self, count: int = DEFAULT_COUNT) -> None:
        self._indices = {
            f"{CLASS_NAMES[sample.label(index)]}-{index:06d}": index for index in range(count)
        }

    def expected(self) -> int:
        return len(self._indices)

    def identity(self) -> Mapping[str, str | int]:
        """The version of the drawings, and how many."""
        return {
            "sample": sample.SAMPLE_VERSION,
            "seed": sample.SAMPLE_SEED,
            "count": len(self._indices),
        }

    def entries(self) -> Mapping[str, int]:
        return {name: sample.label(index) for name, index in self._indices.items()}

    def parts(self) -> Mapping[str, int]:
        return {}

    def read(self, ids: Collection[str] | None = None) -> Iterator[Photo]:
        for name, index in self._indices.items():
            if ids is None or name in ids:
                picture = sample.draw(sample.SAMPLE_SEED, index)
                yield Photo(name, sample.label(index), sample.encode(picture))
