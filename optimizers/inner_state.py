"""What Lookahead's sync does with the inner optimizer's state, where it does not keep it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops
from optrun.optimizers.distribution import update_each
from optrun.optimizers.entry import NO_MOMENTUM, reason_against_pullback
from optrun.optimizers.keras_internals import count_of, rate_of
from optrun.optimizers.registry import ENTRIES
from optrun.optimizers.wrapper import core_of


def reason_against(inner_state: str, inner_optimizer: keras.optimizers.Optimizer) -> str | None:
    """Why a sync cannot do that with this optimizer's state; None where it can, or may.

    The slots exist once it is built: `momenta` knows for certain.
    """
    core = core_of(inner_optimizer)
    if inner_state != "maintain" and isinstance(core, keras.optimizers.MultiOptimizer):
        return (
            "each of its optimizers has a count and a state of its own: use inner_state 'maintain'"
        )
    if inner_state == "pullback":
        name = type(core).__name__
        entry = next((one for one in ENTRIES.values() if one.class_name == name), None)
        return reason_against_pullback(entry, momentum=getattr(core, "momentum", None))
    return None


def momenta(inner_optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """The first moments of a built optimizer: the slots that Keras' convention names momentum."""
    core = core_of(inner_optimizer)
    found = [one for one in core.variables if one.name.endswith("_momentum")]
    if not found:
        raise ValueError(
            f"Lookahead cannot pull back the momentum of {type(core).__name__}: {NO_MOMENTUM}."
        )
    return found


class InitialState:
    """The state that a newly built optimizer has, and the way back to it.

    All its variables but the count of updates and the learning rate, those of the optimizers
    between it and its core included. A variable whose elements are equal, as Keras' slots are, is
    kept as one number.
    """

    def __init__(self, inner_optimizer: keras.optimizers.Optimizer) -> None:
        """Remember the state; for eager use, since a graph has no values yet."""
        core = core_of(inner_optimizer)
        made = int(ops.convert_to_numpy(core.iterations))
        if made:
            raise ValueError(
                f"Lookahead resets the inner optimizer to the state it begins with, and this "
                f"{type(core).__name__} has made {made} updates already: give it a new one."
            )
        others = (id(count_of(core)), id(rate_of(core)))
        self._variables = [one for one in inner_optimizer.variables if id(one) not in others]
        self._values = [_uniform_value(ops.convert_to_numpy(one)) for one in self._variables]

    def restore(self, assign: Callable[[Any, Any], None]) -> None:
        """Give every variable its initial value, with `assign(variable, value)`."""

        def put_back(variable: Any, value: Any) -> None:
            assign(variable, ops.broadcast_to(ops.cast(value, variable.dtype), variable.shape))

        update_each(put_back, self._variables, self._values)


def _uniform_value(values: Any) -> Any:
    """The number that all elements equal, or the values where they differ."""
    first = values.flat[0].item() if values.size else 0
    return first if (values == first).all() else ops.convert_to_tensor(values)


@keras.saving.register_keras_serializable(package="optimizers")
class CountingAllUpdates(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule read at the count since the last reset plus the updates before it, a variable.

    It is saved as the schedule inside, and loaded as that: whoever resets the count wraps it anew.
    """

    def __init__(self, schedule: Any, updates_before_reset: Any) -> None:
        self.schedule = schedule
        self.updates_before_reset = updates_before_reset

    def __call__(self, step: Any) -> Any:
        return self.schedule(step + self.updates_before_reset)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": keras.saving.serialize_keras_object(self.schedule)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return keras.saving.deserialize_keras_object(config["schedule"])


def keep_schedule_going(inner_optimizer: keras.optimizers.Optimizer, updates_before: Any) -> None:
    """Let the core's schedule, if it has one, count the updates before a reset too."""
    core = core_of(inner_optimizer)
    schedule = rate_of(core)
    is_schedule = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
    if is_schedule and not isinstance(schedule, CountingAllUpdates):
        core.learning_rate = CountingAllUpdates(schedule, updates_before)


@contextmanager
def schedule_as_given(inner_optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Inside, the core has the schedule that it was made with, as its config states it."""
    core = core_of(inner_optimizer)
    present = rate_of(core)
    if not isinstance(present, CountingAllUpdates):
        yield
        return
    core.learning_rate = present.schedule
    try:
        yield
    finally:
        core.learning_rate = present
