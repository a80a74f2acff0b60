"""Which experiment the others are set against."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

_PLAINEST = "sgd"


@dataclass(frozen=True)
class Described:
    """An experiment as it is told in a word and in a line."""

    names: Collection[str]  # that it is called by: its own and its optimizer's
    optimizer: str  # in a line, with all that is not as usual
    distinctions: int = 0  # what else tells it from others

    def is_called(self, name: str) -> bool:
        return name.lower() in {one.lower() for one in self.names}


def baseline_of(experiments: Mapping[str, Described], stated: str | None = None) -> str | None:
    """The one that is meant; None: SGD, else the one of the shortest description.

    Returns None where none is called as stated.

    >>> described = {"a": Described({"a", "adam"}, "Adam 0.1"), "b": Described({"sgd"}, "SGD 0.1")}
    >>> baseline_of(described), baseline_of(described, "Adam"), baseline_of(described, "lion")
    ('b', 'a', None)
    """
    wanted = stated or _PLAINEST
    named = [label for label, one in experiments.items() if one.is_called(wanted)]
    if stated is not None and not named:
        return None

    def plainness(label: str) -> tuple[int, int, int, str]:
        one = experiments[label]
        return len(one.optimizer), one.distinctions, len(label), label

    return min(named or experiments, key=plainness)
