"""Chance that falls the same way on every machine and with every version of NumPy."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Choice = TypeVar("Choice")


class Dice:
    """Random choices as a pure function of a seed and an index.

    They come from the raw bits of PCG64, a stream that NumPy promises never to change; the methods
    of its Generator may change with any version (NEP 19).
    """

    def __init__(self, seed: int, index: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, index]))
        self._fractions = self._stream()

    def _stream(self) -> Iterator[float]:
        while True:
            words = np.asarray(self._bits.random_raw(128))
            # The upper 53 bits of a word, as a fraction in [0, 1): exact in float64.
            yield from ((words >> np.uint64(11)) * 2.0**-53).tolist()

    def between(self, low: float, high: float) -> float:
        """A number drawn uniformly from [low, high)."""
        return low + (high - low) * next(self._fractions)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return next(self._fractions) < probability

    def one_of(self, choices: Sequence[Choice]) -> Choice:
        """One of the choices, each as likely as the others."""
        return choices[int(next(self._fractions) * len(choices))]

    def bytes(self, count: int) -> npt.NDArray[np.uint8]:
        """`count` independent uniform bytes."""
        words = np.asarray(self._bits.random_raw(-(-count // 8)))
        return words.astype("<u8").view(np.uint8)[:count]
