"""The names of the built-in sources of photos, and the sample as one of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from optrun.data.labels import CLASS_NAMES
from optrun.data.sources.source import Photo

PUBLIC, SAMPLE = "cats_vs_dogs", "sample"
NAMES = (PUBLIC, SAMPLE)


class Drawings:
    """The first `count` drawings, cats and dogs in turn."""

    name = SAMPLE
    is_sample = True

    def __init__(self, count: int | None) -> None:
        self._count = 2000 if count is None else count

    def expected(self) -> int:
        return self._count

    def identity(self) -> Mapping[str, str | int]:
        from optrun.data import sample

        version, seed = sample.SAMPLE_VERSION, sample.SAMPLE_SEED
        return {"sample": version, "seed": seed, "count": self._count}

    def entries(self) -> Mapping[str, int]:
        from optrun.data import sample

        labels = map(sample.label, range(self._count))
        return {f"{CLASS_NAMES[label]}-{i:06d}": label for i, label in enumerate(labels)}

    def unlabelled(self) -> Sequence[str]:
        return ()

    def parts(self) -> Mapping[str, int]:
        return {}

    def read(self, ids: Collection[str] | None = None) -> Iterator[Photo]:
        from optrun.data import sample

        for index, (name, label) in enumerate(self.entries().items()):
            if ids is None or name in ids:
                yield Photo(name, label, sample.encode(sample.draw(sample.SAMPLE_SEED, index)))
