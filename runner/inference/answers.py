"""What a network says of a photo, in the terms people use."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """What the network says of one photo.

    Attributes:
        name: As the source has it; perhaps not printable.
        logit: Log odds of dog against cat; None where the photo is unreadable.
        unreadable: Why the photo can't be judged; None where it was.
    """

    name: str
    logit: float | None
    unreadable: str | None = None

    @property
    def answer(self) -> str:
        """Dog or cat; cat where both are equally likely."""
        return "dog" if self._known > 0 else "cat"

    @property
    def probability(self) -> float:
        """Of the answer, 0.5 to 1."""
        return sigmoid(abs(self._known))

    @property
    def dog_probability(self) -> float:
        """Of a dog, 0 to 1."""
        return sigmoid(self._known)

    @property
    def _known(self) -> float:
        if self.logit is None:
            raise ValueError(f"{self.name} was not judged: {self.unreadable}")
        return self.logit


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)), without overflow.

    >>> sigmoid(0), sigmoid(-1000)
    (0.5, 0.0)
    """
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return math.exp(logit) / (1 + math.exp(logit))
