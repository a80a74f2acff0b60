"""What the registry says about one optimizer and about each of its arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Kind = Literal[
    "float", "int", "bool", "choice", "strings", "text", "any", "optimizer", "learning_rate"
]


@dataclass(frozen=True)
class Argument:
    """One argument of an optimizer, as a specification may state it.

    Attributes:
        name: the keyword of the class, and the key in a specification.
        kind: what a value must be; `"strings"` is a list of texts, `"optimizer"` a nested
            specification, `"learning_rate"` a number or a schedule, `"any"` whatever YAML can say.
        description: what it does, in one line, with its unit where it has one.
        default: the value of the class when it is not stated; meaningless where `required`.
        required: whether it must be stated.
        optional: whether `null` is a value.
        minimum: the smallest number allowed, None for no bound.
        maximum: the largest number allowed, None for no bound.
        minimum_excluded: whether `minimum` itself is refused.
        maximum_excluded: whether `maximum` itself is refused.
        choices: the allowed values of a `"choice"`.
        label: its short name in a table; an argument with a label of its own is always shown, a
            `"bool"` only where it is not the default.
        of_class: whether the class takes it; otherwise `build` acts on it.
    """

    name: str
    kind: Kind
    description: str
    default: object = None
    required: bool = False
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    minimum_excluded: bool = False
    maximum_excluded: bool = False
    choices: tuple[str, ...] = ()
    label: str | None = None
    of_class: bool = True


@dataclass(frozen=True)
class Entry:
    """One optimizer a specification can name.

    Attributes:
        name: its name in a specification.
        class_name: the class, for people and for `module`.
        module: where the class is imported from.
        description: what it does, in one line.
        paper: where it was published: authors, year, place.
        arguments: everything it takes.
        evaluations: gradient evaluations in one step on one batch.
        extra_weight_copies: floats it keeps per weight with its default arguments, those of an
            inner optimizer not counted.
        aliases: names people use for an argument, and the name it has here.
        withheld: arguments of the class that are not offered, and why.
    """

    name: str
    class_name: str
    module: str
    description: str
    paper: str
    arguments: tuple[Argument, ...]
    evaluations: int = 1
    extra_weight_copies: int = 0
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    withheld: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def argument(self, name: str) -> Argument | None:
        """The argument of that name, or None."""
        return next((one for one in self.arguments if one.name == name), None)

    @property
    def is_wrapper(self) -> bool:
        """Whether it works around an inner optimizer."""
        return self.argument("inner_optimizer") is not None


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
