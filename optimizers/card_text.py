"""How cards and pages put an argument's values and an optimizer's cost."""

import re
from collections.abc import Iterator, Mapping

from optrun.optimizers.entry import Argument, Entry

# What these letters stand for in every rule; an entry explains the others it uses.
COMMON_SYMBOLS: Mapping[str, str] = {
    "θ": "the weights",
    "g": "the gradient of the batch's mean loss",
    "η": "learning_rate",
    "t": "the count of updates, this one included",
    "ε": "epsilon",
}


def symbols_of(entry: Entry) -> dict[str, str]:
    """Every letter of an optimizer's rule with its meaning, the common ones first.

    Example:
        >>> from optrun.optimizers.registry import ENTRIES
        >>> symbols_of(ENTRIES["heun"])["h"]
        'learning_rate, the step size'
    """
    common = {
        letter: meaning
        for letter, meaning in COMMON_SYMBOLS.items()
        if letter not in entry.symbols and _occurs(letter, entry.rule)
    }
    return {**common, **entry.symbols}


def _occurs(letter: str, rule: str) -> bool:
    """Whether a rule has this letter by itself, not as a part of a word; t also in an exponent."""
    alternatives = {"t": "[tᵗₜ]"}.get(letter, letter)
    return re.search(f"(?<![A-Za-z_]){alternatives}(?![A-Za-z_])", rule) is not None


def allowed(argument: Argument) -> str:
    """The values an argument takes, in a few characters; a square bracket includes the bound.

    Example:
        >>> from optrun.optimizers.registry import ENTRIES
        >>> [allowed(argument) for argument in ENTRIES["lookahead"].arguments][:3]
        ['an optimizer', 'whole, ≥ 1', '[0, 1]']
        >>> allowed(ENTRIES["sgd"].argument("clipnorm"))
        '> 0 or null'
    """
    return _values(argument) + (" or null" if argument.optional else "")


def _values(argument: Argument) -> str:
    if argument.kind == "optimizer":
        return "an optimizer"
    if argument.kind == "bool":
        return "true, false"
    if argument.kind == "choice":
        return ", ".join(argument.choices)
    if argument.kind == "strings":
        return "list of texts"
    if argument.kind == "text":
        return "text"
    if argument.kind == "any":
        return "any value"
    if argument.kind == "int":
        return f"whole, {_range(argument)}"
    return _range(argument) + (" or schedule" if argument.kind == "learning_rate" else "")


def _range(argument: Argument) -> str:
    low, high = argument.minimum, argument.maximum
    if low is not None and high is not None:
        opening = "(" if argument.minimum_excluded else "["
        closing = ")" if argument.maximum_excluded else "]"
        return f"{opening}{low:g}, {high:g}{closing}"
    if low is not None:
        return f"{'>' if argument.minimum_excluded else '≥'} {low:g}"
    if high is not None:
        return f"{'<' if argument.maximum_excluded else '≤'} {high:g}"
    return "any number"


def default(argument: Argument) -> str:
    """The default as YAML has it, or "required".

    Example:
        >>> from optrun.optimizers.registry import ENTRIES
        >>> [default(argument) for argument in ENTRIES["adam"].arguments][:4]
        ['required', '0.9', '0.999', '1e-7']
    """
    return "required" if argument.required else _yaml_value(argument.default)


def example_yaml(entry: Entry) -> str:
    """A config file that trains with its card's example; it stands beside the shipped `configs/`.

    Example:
        >>> from optrun.optimizers.registry import ENTRIES
        >>> print(example_yaml(ENTRIES["adam"]), end="")
        extends: configs/vgg19.yaml
        optimizer:
          name: adam
          learning_rate: 1e-5
    """
    lines = ["extends: configs/vgg19.yaml", "optimizer:", *_yaml_lines(entry.example, "  ")]
    return "\n".join(lines) + "\n"


def _yaml_lines(mapping: Mapping[str, object], indent: str) -> Iterator[str]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _yaml_lines(value, indent + "  ")
        else:
            yield f"{indent}{key}: {_yaml_value(value)}"


def _yaml_value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    return str(value)


def number(value: float, digits: int = 6) -> str:
    """A number as people write it, with at most so many significant digits.

    Example:
        >>> number(0.004), number(1e-4), number(2.5e-7), number(1.0), number(0.123456, digits=2)
        ('0.004', '1e-4', '2.5e-7', '1', '0.12')
    """
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits}g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def gradients_per_step(entry: Entry) -> str:
    """Gradient evaluations in a step on one batch; a wrapper's are its inner optimizer's.

    Example:
        >>> from optrun.optimizers.registry import ENTRIES
        >>> [gradients_per_step(ENTRIES[name]) for name in ("adam", "heun", "lookahead")]
        ['1', '2', 'as inner']
    """
    if entry.is_wrapper and entry.evaluations == 1:
        return "as inner"
    return str(entry.evaluations)


def extra_weight_copies(entry: Entry) -> str:
    """Floats kept for each weight; a wrapper's come on top of its inner optimizer's.

    Example:
        >>> from optrun.optimizers.registry import ENTRIES
        >>> [extra_weight_copies(ENTRIES[name]) for name in ("adam", "lookahead")]
        ['2', '1 + inner']
    """
    return f"{entry.extra_weight_copies}{' + inner' if entry.is_wrapper else ''}"
