"""Learning-rate schedules, counted in updates of the weights, each with a linear warm-up.

With η₀ the `initial_learning_rate`, above 0, w the `warmup_updates`, 0 or more, T the
`decay_updates`, 1 or more, r the `decay_rate`, above 0, and t = 0, 1, ... the updates already made:

    t < w:   η(t) = η₀ (t + 1) / w
    t ≥ w:   η(t) = decayed(s),  s = t − w

So the warm-up reaches η₀ at its last update, and the decay begins at the next one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import ops
from optrun.optimizers.entry import Argument, Entry, number, positive, whole

_WHOLE_BUDGET = "null: from the warm-up to the end of the training"


def _entry(name: str, class_name: str, description: str, *arguments: Argument) -> Entry:
    initial = "the rate at the end of the warm-up, where the decay begins"
    warmup = "updates over which the rate rises linearly from 0; 0 for none"
    warmed_up = (
        positive("initial_learning_rate", None, initial, required=True),
        whole("warmup_updates", 0, warmup, minimum=0, label="warm-up"),
    )
    return Entry(name, class_name, __name__, description, (*warmed_up, *arguments))


def _decay_updates(description: str, **more: bool) -> Argument:
    return whole("decay_updates", None, description, minimum=1, label="over", **more)


def _decay_rate(description: str, *, maximum: float | None = None) -> Argument:
    return positive("decay_rate", None, description, required=True, maximum=maximum, label="decay")


ENTRIES: tuple[Entry, ...] = (
    _entry("constant", "Constant", "the same rate throughout"),
    _entry(
        "cosine",
        "Cosine",
        "half a cosine from the initial rate down to the final one",
        _decay_updates(f"updates until the final rate; {_WHOLE_BUDGET}", optional=True),
        number(
            "final_learning_rate", 0.0, "the rate at the end and after it", minimum=0, label="to"
        ),
    ),
    _entry(
        "exponential",
        "Exponential",
        "multiplied by decay_rate, evenly, over every decay_updates",
        _decay_updates(f"updates for one factor decay_rate; {_WHOLE_BUDGET}", optional=True),
        _decay_rate("factor over decay_updates, in (0, 1]", maximum=1),
    ),
    _entry(
        "inverse_time",
        "InverseTime",
        "divided by 1 + decay_rate · updates / decay_updates",
        _decay_updates(f"unit in which updates are counted; {_WHOLE_BUDGET}", optional=True),
        _decay_rate("growth of the divisor over decay_updates"),
    ),
    _entry(
        "step",
        "Step",
        "multiplied by decay_rate, at once, after every decay_updates",
        _decay_updates("updates between two drops", required=True),
        _decay_rate("factor of one drop, in (0, 1]", maximum=1),
    ),
)

_REGISTER = keras.saving.register_keras_serializable(package="optimizers")
_ARGUMENTS = dataclass(eq=False, repr=False)


class _WarmedUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The warm-up; the arguments are checked and kept as the class's entry has them."""

    initial_learning_rate: float
    warmup_updates: int

    def __post_init__(self) -> None:
        for argument in self._arguments():
            value: Any = getattr(self, argument.name)
            # Null, for the whole budget, and a rate that must not grow are a specification's.
            replace(argument, optional=False, maximum=None).require(value)
            setattr(self, argument.name, int(value) if argument.kind == "int" else float(value))

    def _arguments(self) -> tuple[Argument, ...]:
        names = [one.__name__ for one in type(self).__mro__]
        return next(entry.arguments for entry in ENTRIES if entry.class_name in names)

    def decayed(self, updates: Any) -> Any:
        """The rate `updates` after the warm-up; a float tensor from a whole-number tensor."""
        raise NotImplementedError

    def __call__(self, step: Any) -> Any:
        step = ops.convert_to_tensor(step)
        decayed = self.decayed(ops.maximum(step - self.warmup_updates, 0))
        if self.warmup_updates == 0:
            return decayed
        rising = _as_float(step + 1) * (self.initial_learning_rate / self.warmup_updates)
        return ops.where(step < self.warmup_updates, rising, decayed)

    def get_config(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in self._arguments()}


@_REGISTER
@_ARGUMENTS
class Constant(_WarmedUp):
    """The same rate throughout: decayed(s) = η₀.

    Example:
        >>> schedule = Constant(0.4, warmup_updates=4)
        >>> [round(float(schedule(t)), 3) for t in range(6)]
        [0.1, 0.2, 0.3, 0.4, 0.4, 0.4]
    """

    initial_learning_rate: float
    warmup_updates: int = 0

    def decayed(self, updates: Any) -> Any:
        return ops.full_like(_as_float(updates), self.initial_learning_rate)


@_REGISTER
@_ARGUMENTS
class Cosine(_WarmedUp):
    """Half a cosine: decayed(s) = η_T + (η₀ − η_T) ½ (1 + cos(π min(s, T) / T)).

    η_T is `final_learning_rate`, 0 or more. Loshchilov & Hutter 2017, "SGDR", equation 5.
    """

    initial_learning_rate: float
    decay_updates: int
    final_learning_rate: float = 0.0
    warmup_updates: int = 0

    def decayed(self, updates: Any) -> Any:
        share = _as_float(ops.minimum(updates, self.decay_updates)) / self.decay_updates
        fall = self.initial_learning_rate - self.final_learning_rate
        return self.final_learning_rate + fall * 0.5 * (1 + ops.cos(math.pi * share))


@_ARGUMENTS
class _DecayingByRate(_WarmedUp):
    """A schedule that decays by `decay_rate` over every `decay_updates` updates."""

    initial_learning_rate: float
    decay_updates: int
    decay_rate: float
    warmup_updates: int = 0


@_REGISTER
class Exponential(_DecayingByRate):
    """An even decay: decayed(s) = η₀ r^(s / T)."""

    def decayed(self, updates: Any) -> Any:
        share = _as_float(updates) / self.decay_updates
        return self.initial_learning_rate * ops.exp(math.log(self.decay_rate) * share)


@_REGISTER
class InverseTime(_DecayingByRate):
    """A decay like 1 / t: decayed(s) = η₀ / (1 + r s / T).

    Robbins & Monro 1951 ask for such a sequence: its sum diverges, the sum of its squares does not.
    """

    def decayed(self, updates: Any) -> Any:
        share = _as_float(updates) / self.decay_updates
        return self.initial_learning_rate / (1 + self.decay_rate * share)


@_REGISTER
class Step(_DecayingByRate):
    """A decay in steps: decayed(s) = η₀ r^⌊s / T⌋."""

    def decayed(self, updates: Any) -> Any:
        drops = _as_float(ops.floor_divide(updates, self.decay_updates))
        return self.initial_learning_rate * ops.power(self.decay_rate, drops)


def build_schedule(
    stated: Mapping[str, Any], *, total_updates: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The schedule of a specification's `learning_rate`, with its name as `schedule`.

    Where `decay_updates` is null, the decay takes those of the training's updates that the warm-up
    leaves; ValueError if it leaves none.
    """
    warmup = stated["warmup_updates"]
    if warmup >= total_updates:
        raise ValueError(
            f"warmup_updates must be less than the {total_updates} updates of the training, or its "
            f"learning rate is never reached; received {warmup}"
        )
    given = {name: value for name, value in stated.items() if name != "schedule"}
    if "decay_updates" in given and given["decay_updates"] is None:
        given["decay_updates"] = total_updates - warmup
    class_name = next(one.class_name for one in ENTRIES if one.name == stated["schedule"])
    return globals()[class_name](**given)


def _as_float(updates: Any) -> Any:
    return ops.cast(updates, keras.config.floatx())
