"""What is known of one optimizer and of each of its arguments, as data: no Keras here.

The module of an optimizer, or of a schedule, begins with its entries, `ENTRIES`, before its class.
`registry` reads that beginning without importing the module. The arguments and aliases that many
share stand at the end of this file.
"""

import difflib
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

Kind = Literal[
    "float", "int", "bool", "choice", "strings", "text", "any", "optimizer", "learning_rate"
]
Momentum = Literal["always", "stated", "never"]
Arguments = Mapping[str, object]
Shape = tuple[int, ...]
Problems = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Argument:
    """One argument of an optimizer or a schedule, as a specification may state it."""

    name: str  # the keyword of the class, and the key in a specification
    # What a value must be: "optimizer" is a nested specification, "learning_rate" a number or a
    # schedule, "strings" a list of texts, "any" whatever YAML can say.
    kind: Kind
    description: str  # in one line
    default: object = None  # the value of the class when it is not stated
    required: bool = False
    optional: bool = False  # whether `null` is a value
    minimum: float | None = None
    maximum: float | None = None
    minimum_excluded: bool = False
    maximum_excluded: bool = False
    choices: tuple[str, ...] = ()
    # Its short name in a table. With one it is always shown, a "bool" only where it is not default.
    label: str | None = None
    of_class: bool = True  # whether the class takes it; otherwise building acts on it

    def fits(self, value: object) -> bool:
        """Whether a plain value is allowed; of nested ones only that they are mappings."""
        if value is None:
            return self.optional or self.kind == "any"
        types = {"bool": bool, "choice": str, "text": str, "optimizer": Mapping}
        if self.kind in types:
            fits = isinstance(value, types[self.kind])
            return fits and (self.kind != "choice" or value in self.choices)
        if self.kind == "any":
            return _is_plain(value)
        if self.kind == "strings":
            is_list = isinstance(value, list | tuple)
            return is_list and all(isinstance(one, str) for one in cast("list[object]", value))
        kind = numbers.Integral if self.kind == "int" else numbers.Real
        if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
            return False
        size, low, high = float(value), self.minimum, self.maximum
        is_above = low is None or (size > low if self.minimum_excluded else size >= low)
        is_below = high is None or (size < high if self.maximum_excluded else size <= high)
        return is_above and is_below

    def require(self, value: object) -> None:
        """Raise ValueError, saying what it must be, for a value that is not allowed."""
        if not self.fits(value):
            received = f"{self.name}={value!r}"
            raise ValueError(f"`{self.name}` must be {self.wanted}. Received: {received}")

    @property
    def wanted(self) -> str:
        """What a value must be, in words that follow "must be"."""
        if self.kind == "any":
            return "finite numbers, texts, true, false or null, or lists and mappings of them"
        words = {
            "bool": "true or false",
            "choice": " or ".join(", ".join(self.choices).rsplit(", ", 1)),
            "strings": "a list of texts",
            "text": "a text",
            "optimizer": "a mapping that names an optimizer",
        }.get(self.kind)
        if words is None:
            noun = "a whole number" if self.kind == "int" else "a number"
            bounds = range_in_words(
                self.minimum,
                self.maximum,
                minimum_excluded=self.minimum_excluded,
                maximum_excluded=self.maximum_excluded,
            )
            words = f"{noun} {bounds}".strip()
        if self.kind == "learning_rate":
            words += " or a schedule such as {schedule: cosine, initial_learning_rate: 0.01}"
        return words + (" or null" if self.optional else "")


def range_in_words(
    low: float | None,
    high: float | None,
    *,
    minimum_excluded: bool = False,
    maximum_excluded: bool = False,
) -> str:
    """A range, in words that follow "a number"; empty without bounds."""
    if None not in (low, high) and not minimum_excluded and not maximum_excluded:
        return f"from {low:g} to {high:g}"
    words = []
    if low is not None:
        words.append(f"{'above' if minimum_excluded else 'of at least'} {low:g}")
    if high is not None:
        below = "below" if maximum_excluded else "at most" if words else "of at most"
        words.append(f"{below} {high:g}")
    return " and ".join(words)


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(one) for one in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)


def _empty() -> Any:
    return field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One optimizer that a specification can name, or one schedule.

    From `summary` on it is the optimizer's card, what a person should know before using it.
    """

    name: str  # in a specification
    class_name: str
    module: str  # where the class is imported from
    description: str  # what it does, in one line
    arguments: tuple[Argument, ...]
    paper: str = ""  # authors, year, place
    evaluations: int = 1  # of the gradient, in one step on one batch
    # Floats kept per weight with the default arguments, those of an inner optimizer not counted;
    # and from the arguments and the shape of a variable, those it keeps for that beyond them.
    extra_weight_copies: int = 0
    more_state: Callable[[Arguments, Shape], int] | None = None
    # Whether it keeps a first moment; "stated" is where its argument `momentum` is more than 0.
    momentum: Momentum = "always"
    tracks_fast_weights: bool = False  # whether it can keep those from before each sync
    aliases: Mapping[str, str] = _empty()  # what people call an argument, and its name here
    withheld: Mapping[str, str] = _empty()  # arguments of the class not offered, and why
    refused_inside: Mapping[str, str] = _empty()  # optimizers it cannot go around, and why
    several_gradients_refused: str = ""  # why it cannot go around one of several evaluations
    # From the arguments that are right by themselves and the inner optimizer's entry, which of them
    # are wrong together, each with a message.
    combination_problems: Callable[[Arguments, "Entry | None"], Problems] | None = None
    # For one that updates on every `batches_per_update`-th batch: from the arguments, the batches
    # of an epoch and the epochs, the updates of the training.
    count_updates: Callable[[Arguments, int, int], int] | None = None
    also_called: tuple[str, ...] = ()  # elsewhere, in lower case without punctuation
    summary: str = ""  # at most 43 characters, for a list
    rule: str = ""  # one update as the class computes it; products are element by element
    symbols: Mapping[str, str] = _empty()  # the rule's letters, beside those that all rules share
    when: str = ""  # to use it
    sensible: Mapping[str, str] = _empty()  # for arguments worth a choice, what to choose from
    equivalences: tuple[str, ...] = ()  # settings with which it is another one, and how exactly
    caveats: tuple[str, ...] = ()  # what surprises people
    example: Mapping[str, object] = _empty()  # a specification to start from
    cost_note: str = ""  # what the numbers above leave out

    def argument(self, name: str) -> Argument | None:
        return next((one for one in self.arguments if one.name == name), None)

    @property
    def is_wrapper(self) -> bool:
        return self.argument("inner_optimizer") is not None

    @property
    def is_ours(self) -> bool:
        """Whether it is this package's, rather than Keras' or a person's own."""
        return self.module.startswith(f"{__package__}.")

    def require(self, **values: object) -> None:
        """What a constructor begins with: raise ValueError for the first value not allowed."""
        for argument in self.arguments:
            if argument.name in values:
                argument.require(values[argument.name])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the known name most like it, or nothing."""
    by_lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean '{by_lower[close[0]]}'?" if close else ""


LEARNING_RATE = Argument(
    "learning_rate",
    "learning_rate",
    "factor on the step: a number greater than 0, or a schedule counted in updates",
    required=True,
    minimum=0,
    minimum_excluded=True,
)
GRADIENT_CENTRALIZATION = Argument(
    "gradient_centralization",
    "bool",
    "take its mean off the gradient of each unit's weights, in Conv2D and Dense layers",
    False,
    label="GC",
    of_class=False,
)


def number(name: str, default: float | None, description: str, **bounds: object) -> Argument:
    return Argument(name, "float", description, default, **bounds)  # type: ignore[arg-type]


def share(name: str, default: float, description: str, **more: object) -> Argument:
    return number(name, default, description, minimum=0, maximum=1, **more)


def whole(name: str, default: int | None, description: str, **more: object) -> Argument:
    return Argument(name, "int", description, default, **more)  # type: ignore[arg-type]


def choice(name: str, description: str, *choices: str) -> Argument:
    """The first choice is the default."""
    return Argument(name, "choice", description, choices[0], choices=choices)


def decay_rate(name: str, default: float, description: str) -> Argument:
    return number(name, default, description, minimum=0, maximum=1, maximum_excluded=True)


def positive(name: str, default: float | None, description: str, **more: object) -> Argument:
    return number(name, default, description, minimum=0, minimum_excluded=True, **more)


def weight_decay_argument(default: float | None, *, optional: bool = True) -> Argument:
    """The weight decay of Keras' base class; AdamW alone refuses null."""
    what = "decoupled decay: each update takes learning_rate times this share off every weight"
    return number("weight_decay", default, what, minimum=0, optional=optional)


CLIPPING = (
    positive("clipnorm", None, "largest norm of each variable's gradient", optional=True),
    positive("clipvalue", None, "largest magnitude of a gradient's elements", optional=True),
    positive("global_clipnorm", None, "largest norm of all gradients together", optional=True),
)

# What every optimizer of Keras is called on, and what none is offered.
ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("lr", "eta", "step_size"), "learning_rate"),
    "mu": "momentum",
    **dict.fromkeys(("beta1", "b1"), "beta_1"),
    **dict.fromkeys(("beta2", "b2"), "beta_2"),
    "eps": "epsilon",
    **dict.fromkeys(("wd", "weight_decay_rate"), "weight_decay"),
    "clip_value": "clipvalue",
    "global_clip_norm": "global_clipnorm",
    **dict.fromkeys(("gc", "use_gc"), "gradient_centralization"),
}
_FALLING_RATE = (
    "`learning_rate: {schedule: inverse_time, initial_learning_rate: …, decay_rate: …, "
    "decay_updates: 1}`"
)
# Names that stand elsewhere for what has no name here, or for several things: for each of the
# arguments that an optimizer may have, what the name may mean, and how that is said here.
MEANINGS: Mapping[str, Mapping[str, str]] = {
    "decay": {
        "learning_rate": f"a rate that falls with every update, in Keras 2 ({_FALLING_RATE})",
        "rho": "the decay of the average, in TensorFlow 1's RMSprop (`rho`)",
        "weight_decay": "decay of the weights (`weight_decay`)",
    },
    "lr_decay": {"learning_rate": f"a rate that falls, in PyTorch's Adagrad ({_FALLING_RATE})"},
    "clip_norm": {
        "clipnorm": "the norm of each variable's gradient, in tf.clip_by_norm (`clipnorm`)",
        "global_clipnorm": "that of all gradients together, in tf.clip_by_global_norm and "
        "PyTorch's clip_grad_norm_ (`global_clipnorm`)",
    },
    "betas": {"beta_1": "a pair, in PyTorch (`beta_1` and `beta_2`)"},
    "nesterov_momentum": {"nesterov": "the momentum (`momentum` with `nesterov: true`)"},
    "pullback_momentum": {
        "inner_state": "what becomes of the momentum at a sync (`inner_state`: `maintain` for "
        "none, `reset` and `pullback` as they are)",
    },
}
WITHHELD: Mapping[str, str] = {
    "gradient_accumulation_steps": "Keras hands the schedule the count of batches, not of "
    "updates, and lets a partial window cross the epoch's end: use the optimizer `soft_batch`",
    "use_ema": "validation would measure other weights than the averaged ones",
    "ema_momentum": "it belongs to `use_ema`, which is not offered",
    "ema_overwrite_frequency": "it belongs to `use_ema`, which is not offered",
    "loss_scale_factor": "under mixed_float16 Keras scales the loss by itself",
    "name": "it only names the variables",
}

# What optimizers with a Lookahead in them share.
SYNC_ALIASES: Mapping[str, str] = {
    "k": "sync_period",
    "la_steps": "sync_period",
    "alpha": "slow_step_size",
    "la_alpha": "slow_step_size",
}
TRACKING_WITHHELD: Mapping[str, str] = {
    "track_fast_weights": "a run asks for it by itself, to measure the fast weights too"
}

# What the optimizers around another one share.
INNER_ALIASES: Mapping[str, str] = dict.fromkeys(
    ("inner", "optimizer", "base_optimizer"), "inner_optimizer"
)
INNER_WITHHELD: Mapping[str, str] = dict.fromkeys(
    (
        *("learning_rate", "lr", "momentum", "weight_decay", "gradient_centralization"),
        *(one.name for one in CLIPPING),
    ),
    "it belongs to the inner optimizer: state it under `inner_optimizer`",
)
INNER_EXAMPLE: Mapping[str, object] = {"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9}

NO_MOMENTUM = (
    "it keeps none. Use inner_state 'maintain' or 'reset', or an inner optimizer with a momentum"
)


def reason_against_pullback(entry: Entry | None, *, momentum: object) -> str | None:
    """Why a sync of Lookahead cannot pull back the momentum of such a core, or None.

    None for one that is not known: whether it has a momentum shows once it is built.
    """
    if entry is None or entry.momentum == "always":
        return None
    own = entry.class_name
    if entry.momentum == "never":
        return f"there is no momentum of {own} to pull back: {NO_MOMENTUM}"
    reason = "there is no momentum to pull back without a `momentum` greater than 0: state it in"
    return None if momentum else f"{reason} {own}"
