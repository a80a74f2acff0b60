"""Where the time of a run goes: training, evaluation, and everything else."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

NAMES = ("training", "evaluation", "other")


class Clocks:
    """Seconds spent on training, on evaluation, and on everything else.

    The first step of a run traces and compiles the network; it belongs to everything else, and its
    photos do not count towards the rate. Time for which the process was stopped is nobody's.
    """

    def __init__(self, suspended_s: Callable[[], float] = lambda: 0.0) -> None:
        """`suspended_s` tells for how long the process has been stopped so far."""
        self.training = 0.0
        self.evaluation = 0.0
        self._suspended_s = suspended_s
        self._started = self._now()
        self._timed_images = 0
        self._first_step_done = False

    @property
    def other(self) -> float:
        return self._now() - self._started - self.training - self.evaluation

    @property
    def images_per_second(self) -> float | None:
        return self._timed_images / self.training if self.training else None

    @contextmanager
    def step(self, images: int) -> Iterator[None]:
        """Time a step on so many photos."""
        start = self._now()
        yield
        if self._first_step_done:
            self.training += self._now() - start
            self._timed_images += images
        self._first_step_done = True

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Time an evaluation, also one that is given up."""
        start = self._now()
        try:
            yield
        finally:
            self.evaluation += self._now() - start

    def state_dict(self) -> dict[str, Any]:
        """`seconds` by name and `timed_images`, as a `State` has them."""
        return {
            "seconds": {name: float(getattr(self, name)) for name in NAMES},
            "timed_images": self._timed_images,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where they were: the time in between is nobody's."""
        seconds: Mapping[str, float] = state["seconds"]
        self._started -= sum(seconds.values())
        self.training, self.evaluation = seconds["training"], seconds["evaluation"]
        self._timed_images = state["timed_images"]

    def _now(self) -> float:
        return time.monotonic() - self._suspended_s()
