"""Learning-rate schedules, counted in updates of the weights, each with a linear warm-up.

With w the updates of the warm-up, η₀ the initial rate, T the `decay_updates` and t = 0, 1, ... the
updates already made:

    t < w:   η(t) = η₀ (t + 1) / w
    t ≥ w:   η(t) = decayed(s),  s = t − w

So the warm-up reaches η₀ at its last update, and the decay begins at the next one.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops
from optrun.optimizers.schedule_entries import SCHEDULES

_REGISTER = keras.saving.register_keras_serializable(package="optimizers")


class _WarmedUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The warm-up, and the config every schedule here shares."""

    def __init__(self, initial_learning_rate: float, warmup_updates: int = 0) -> None:
        if not initial_learning_rate > 0 or not math.isfinite(initial_learning_rate):
            raise ValueError(
                "`initial_learning_rate` must be a number greater than 0. "
                f"Received: initial_learning_rate={initial_learning_rate}"
            )
        if warmup_updates < 0:
            raise ValueError(
                "`warmup_updates` must be a whole number of updates, 0 or more. "
                f"Received: warmup_updates={warmup_updates}"
            )
        self.initial_learning_rate = float(initial_learning_rate)
        self.warmup_updates = int(warmup_updates)

    def decayed(self, updates: Any) -> Any:
        """The rate `updates` after the warm-up; a float tensor from a whole-number tensor."""
        raise NotImplementedError

    def __call__(self, step: Any) -> Any:
        """The rate of the update after `step` updates, a scalar of the backend's float type."""
        step = ops.convert_to_tensor(step)
        decayed = self.decayed(ops.maximum(step - self.warmup_updates, 0))
        if self.warmup_updates == 0:
            return decayed
        rising = _as_float(step + 1) * (self.initial_learning_rate / self.warmup_updates)
        return ops.where(step < self.warmup_updates, rising, decayed)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "warmup_updates": self.warmup_updates,
        }


class _Decaying(_WarmedUp):
    """A schedule that decays over `decay_updates` updates."""

    def __init__(
        self, initial_learning_rate: float, decay_updates: int, warmup_updates: int = 0
    ) -> None:
        super().__init__(initial_learning_rate, warmup_updates)
        if decay_updates < 1:
            raise ValueError(
                "`decay_updates` must be a whole number of updates, 1 or more. "
                f"Received: decay_updates={decay_updates}"
            )
        self.decay_updates = int(decay_updates)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "decay_updates": self.decay_updates}


class _DecayingByRate(_Decaying):
    """A schedule that decays by `decay_rate` over every `decay_updates` updates."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_updates: int,
        decay_rate: float,
        warmup_updates: int = 0,
    ) -> None:
        super().__init__(initial_learning_rate, decay_updates, warmup_updates)
        if not decay_rate > 0 or not math.isfinite(decay_rate):
            raise ValueError(
                f"`decay_rate` must be a number greater than 0. Received: decay_rate={decay_rate}"
            )
        self.decay_rate = float(decay_rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "decay_rate": self.decay_rate}


@_REGISTER
class Constant(_WarmedUp):
    """The same rate throughout: decayed(s) = η₀.

    Args:
        initial_learning_rate: the rate η₀, greater than 0.
        warmup_updates: updates of the linear warm-up, 0 or more.

    Example:
        >>> schedule = Constant(0.4, warmup_updates=4)
        >>> [round(float(schedule(t)), 3) for t in range(6)]
        [0.1, 0.2, 0.3, 0.4, 0.4, 0.4]
    """

    def decayed(self, updates: Any) -> Any:
        return ops.full_like(_as_float(updates), self.initial_learning_rate)


@_REGISTER
class Cosine(_Decaying):
    """Half a cosine: decayed(s) = η_T + (η₀ − η_T) ½ (1 + cos(π min(s, T) / T)).

    Loshchilov & Hutter 2017, "SGDR", equation 5, without restarts.

    Args:
        initial_learning_rate: the rate η₀ after the warm-up, greater than 0.
        decay_updates: updates T until the final rate, 1 or more.
        final_learning_rate: the rate η_T from then on, 0 or more.
        warmup_updates: updates of the linear warm-up, 0 or more.

    Example:
        >>> schedule = Cosine(0.2, decay_updates=4)
        >>> [round(float(schedule(t)), 4) for t in (0, 2, 4, 9)]
        [0.2, 0.1, 0.0, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_updates: int,
        final_learning_rate: float = 0.0,
        warmup_updates: int = 0,
    ) -> None:
        super().__init__(initial_learning_rate, decay_updates, warmup_updates)
        if not final_learning_rate >= 0 or not math.isfinite(final_learning_rate):
            raise ValueError(
                "`final_learning_rate` must be a number, 0 or more. "
                f"Received: final_learning_rate={final_learning_rate}"
            )
        self.final_learning_rate = float(final_learning_rate)

    def decayed(self, updates: Any) -> Any:
        share = _as_float(ops.minimum(updates, self.decay_updates)) / self.decay_updates
        fall = self.initial_learning_rate - self.final_learning_rate
        return self.final_learning_rate + fall * 0.5 * (1 + ops.cos(math.pi * share))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "final_learning_rate": self.final_learning_rate}


@_REGISTER
class Exponential(_DecayingByRate):
    """An even decay: decayed(s) = η₀ r^(s / T).

    Args:
        initial_learning_rate: the rate η₀ after the warm-up, greater than 0.
        decay_updates: updates T over which the rate is multiplied by r once, 1 or more.
        decay_rate: the factor r, greater than 0.
        warmup_updates: updates of the linear warm-up, 0 or more.

    Example:
        >>> round(float(Exponential(0.1, decay_updates=10, decay_rate=0.01)(5)), 6)
        0.01
    """

    def decayed(self, updates: Any) -> Any:
        share = _as_float(updates) / self.decay_updates
        return self.initial_learning_rate * ops.exp(math.log(self.decay_rate) * share)


@_REGISTER
class InverseTime(_DecayingByRate):
    """A decay like 1 / t: decayed(s) = η₀ / (1 + r s / T).

    Robbins & Monro 1951 ask for such a sequence: its sum diverges, the sum of its squares does not.

    Args:
        initial_learning_rate: the rate η₀ after the warm-up, greater than 0.
        decay_updates: updates T in which s is counted, 1 or more.
        decay_rate: growth r of the divisor over T updates, greater than 0.
        warmup_updates: updates of the linear warm-up, 0 or more.

    Example:
        >>> round(float(InverseTime(0.3, decay_updates=10, decay_rate=2.0)(10)), 6)
        0.1
    """

    def decayed(self, updates: Any) -> Any:
        share = _as_float(updates) / self.decay_updates
        return self.initial_learning_rate / (1 + self.decay_rate * share)


@_REGISTER
class Step(_DecayingByRate):
    """A decay in steps: decayed(s) = η₀ r^⌊s / T⌋.

    Args:
        initial_learning_rate: the rate η₀ after the warm-up, greater than 0.
        decay_updates: updates T between two drops, 1 or more.
        decay_rate: the factor r of one drop, greater than 0.
        warmup_updates: updates of the linear warm-up, 0 or more.

    Example:
        >>> schedule = Step(0.8, decay_updates=2, decay_rate=0.5)
        >>> [round(float(schedule(t)), 3) for t in range(5)]
        [0.8, 0.8, 0.4, 0.4, 0.2]
    """

    def decayed(self, updates: Any) -> Any:
        drops = _as_float(ops.floor_divide(updates, self.decay_updates))
        return self.initial_learning_rate * ops.power(self.decay_rate, drops)


_CLASSES = {
    "constant": Constant,
    "cosine": Cosine,
    "exponential": Exponential,
    "inverse_time": InverseTime,
    "step": Step,
}


def build_schedule(
    resolved: Mapping[str, Any], *, total_updates: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The schedule of a resolved specification.

    Args:
        resolved: the `learning_rate` mapping of a resolved specification, with `schedule`.
        total_updates: updates in the whole training; where `decay_updates` is null, the decay takes
            those that the warm-up leaves.

    Raises:
        ValueError: if the warm-up leaves no update.
    """
    warmup = resolved["warmup_updates"]
    if warmup >= total_updates:
        raise ValueError(
            f"warmup_updates must be less than the {total_updates} updates of the training, or its "
            f"learning rate is never reached; received {warmup}"
        )
    entry = SCHEDULES[resolved["schedule"]]
    given = {argument.name: resolved[argument.name] for argument in entry.arguments}
    if "decay_updates" in given and given["decay_updates"] is None:
        given["decay_updates"] = total_updates - warmup
    return _CLASSES[entry.name](**given)


def _as_float(updates: Any) -> Any:
    return ops.cast(updates, keras.config.floatx())
