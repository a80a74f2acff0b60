"""The built-in sample as a source."""

from collections.abc import Collection, Iterator, Mapping

from optrun.data import sample
from optrun.data.sources.source import Photo

DEFAULT_COUNT = 2000


class Drawn:
    """The first `count` drawings, cats and dogs in turn."""

    name = "sample"
    is_sample = True

    def __init__(self, count: int = DEFAULT_COUNT) -> None:
        self._indices = {
            f"{sample.CLASS_NAMES[sample.label(index)]}-{index:06d}": index
            for index in range(count)
        }

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
