"""What each learning-rate schedule takes. Imports no Keras; `schedules` holds the classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from optrun.optimizers.entry import Argument

_INITIAL = Argument(
    "initial_learning_rate",
    "float",
    "the rate at the end of the warm-up, where the decay begins",
    required=True,
    minimum=0,
    minimum_excluded=True,
)
_WARMUP = Argument(
    "warmup_updates",
    "int",
    "updates over which the rate rises linearly from 0; 0 for none",
    0,
    minimum=0,
    label="warm-up",
)


def _decay_updates(description: str, *, required: bool = False) -> Argument:
    return Argument(
        "decay_updates",
        "int",
        description,
        required=required,
        optional=not required,
        minimum=1,
        label="over",
    )


_WHOLE_BUDGET = "null: from the warm-up to the end of the training"


def _decay_rate(description: str, *, maximum: float | None) -> Argument:
    return Argument(
        "decay_rate",
        "float",
        description,
        required=True,
        minimum=0,
        maximum=maximum,
        minimum_excluded=True,
        label="decay",
    )


@dataclass(frozen=True)
class ScheduleEntry:
    """One schedule: its name in a specification, its class in `schedules`, what it takes."""

    name: str
    class_name: str
    description: str
    arguments: tuple[Argument, ...]

    def argument(self, name: str) -> Argument | None:
        """The argument of that name, or None."""
        return next((one for one in self.arguments if one.name == name), None)


SCHEDULES: Mapping[str, ScheduleEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            ScheduleEntry("constant", "Constant", "the same rate throughout", (_INITIAL, _WARMUP)),
            ScheduleEntry(
                "cosine",
                "Cosine",
                "half a cosine from the initial rate down to the final one",
                (
                    _INITIAL,
                    _WARMUP,
                    _decay_updates(f"updates until the final rate; {_WHOLE_BUDGET}"),
                    Argument(
                        "final_learning_rate",
                        "float",
                        "the rate at the end and after it",
                        0.0,
                        minimum=0,
                        label="to",
                    ),
                ),
            ),
            ScheduleEntry(
                "exponential",
                "Exponential",
                "multiplied by decay_rate, evenly, over every decay_updates",
                (
                    _INITIAL,
                    _WARMUP,
                    _decay_updates(f"updates for one factor decay_rate; {_WHOLE_BUDGET}"),
                    _decay_rate("factor over decay_updates, in (0, 1]", maximum=1),
                ),
            ),
            ScheduleEntry(
                "inverse_time",
                "InverseTime",
                "divided by 1 + decay_rate · updates / decay_updates",
                (
                    _INITIAL,
                    _WARMUP,
                    _decay_updates(f"unit in which updates are counted; {_WHOLE_BUDGET}"),
                    _decay_rate("growth of the divisor over decay_updates", maximum=None),
                ),
            ),
            ScheduleEntry(
                "step",
                "Step",
                "multiplied by decay_rate, at once, after every decay_updates",
                (
                    _INITIAL,
                    _WARMUP,
                    _decay_updates("updates between two drops", required=True),
                    _decay_rate("factor of one drop, in (0, 1]", maximum=1),
                ),
            ),
        )
    }
)
