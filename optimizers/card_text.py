"""How cards, pages and the JSON Schema put an argument's values and an optimizer's cost."""

import json
import re
from collections.abc import Mapping
from typing import Any

from optrun.optimizers.entry import Argument, Entry
from optrun.optimizers.registry import ENTRIES, SCHEDULES

# What these letters stand for in every rule; an entry explains the others it uses.
COMMON_SYMBOLS: Mapping[str, str] = {
    "θ": "the weights",
    "g": "the gradient of the batch's mean loss",
    "η": "learning_rate",
    "t": "the count of updates, this one included",
    "ε": "epsilon",
}


def symbols_of(entry: Entry) -> dict[str, str]:
    """Every letter of an optimizer's rule with its meaning, the common ones first."""
    common = {}
    for letter, meaning in COMMON_SYMBOLS.items():
        # The letter by itself, not as a part of a word; t also in an exponent.
        alternatives = {"t": "[tᵗₜ]"}.get(letter, letter)
        if re.search(f"(?<![A-Za-z_]){alternatives}(?![A-Za-z_])", entry.rule):
            common[letter] = meaning
    return common | {**entry.symbols}


def allowed(argument: Argument) -> str:
    """The values an argument takes, in a few characters; a square bracket includes the bound.

    Example:
        >>> [allowed(argument) for argument in ENTRIES["lookahead"].arguments][:3]
        ['an optimizer', 'whole, ≥ 1', '[0, 1]']
        >>> allowed(ENTRIES["sgd"].argument("clipnorm"))
        '> 0 or null'
    """
    values = {
        "optimizer": "an optimizer",
        "bool": "true, false",
        "choice": ", ".join(argument.choices),
        "strings": "list of texts",
        "text": "text",
        "any": "any value",
        "int": f"whole, {_range(argument)}",
        "learning_rate": f"{_range(argument)} or schedule",
        "float": _range(argument),
    }[argument.kind]
    return values + (" or null" if argument.optional else "")


def _range(argument: Argument) -> str:
    low, high = argument.minimum, argument.maximum
    if low is not None and high is not None:
        opening = "(" if argument.minimum_excluded else "["
        return f"{opening}{low:g}, {high:g}{')' if argument.maximum_excluded else ']'}"
    if low is not None:
        return f"{'>' if argument.minimum_excluded else '≥'} {low:g}"
    if high is not None:
        return f"{'<' if argument.maximum_excluded else '≤'} {high:g}"
    return "any number"


def default(argument: Argument) -> str:
    """The default as YAML has it, or "required"."""
    return "required" if argument.required else _yaml_value(argument.default)


def example_yaml(entry: Entry) -> str:
    """A config file that trains with its card's example, beside the shipped `configs/`."""
    return f"extends: configs/vgg19.yaml\noptimizer:\n{_yaml_lines(entry.example, '  ')}"


def _yaml_lines(mapping: Mapping[str, object], indent: str) -> str:
    return "".join(
        f"{indent}{key}:\n{_yaml_lines(value, indent + '  ')}"
        if isinstance(value, Mapping)
        else f"{indent}{key}: {_yaml_value(value)}\n"
        for key, value in mapping.items()
    )


def _yaml_value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return number(value) if isinstance(value, float) else str(value)


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
    return "as inner" if entry.is_wrapper and entry.evaluations == 1 else str(entry.evaluations)


def extra_weight_copies(entry: Entry) -> str:
    return f"{entry.extra_weight_copies}{' + inner' if entry.is_wrapper else ''}"


_OPTIMIZER = {"$ref": "#/$defs/optimizer"}
_LEARNING_RATE = {"$ref": "#/$defs/learning_rate"}


def definitions() -> dict[str, Any]:
    """The registry as JSON Schema (draft 2020-12): `$defs`, `optimizer` and what that refers to.

    A specification without a name, which extends another file's, may state any argument of any
    optimizer. Nothing is required, for the same reason.
    """
    found = {
        "optimizer": _chosen("name", "optimizer", ENTRIES),
        "learning_rate": {
            "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"$ref": "#/$defs/schedule"}]
        },
        "schedule": _chosen("schedule", "schedule", SCHEDULES),
    }
    own = {
        "type": "string",
        "pattern": r"^.+:[^:/\\]+$",
        "description": "One of your own: module:Class, or path/to/file.py:Class from here",
    }
    stated = {"properties": {"learning_rate": _LEARNING_RATE, "inner_optimizer": _OPTIMIZER}}
    found["optimizer"]["properties"]["name"]["anyOf"].append(own)
    found["optimizer"]["allOf"].append(
        {"if": {"properties": {"name": own}, "required": ["name"]}, "then": stated}
    )
    for name, entry in ENTRIES.items():
        description = f"{entry.description} ({entry.paper})"
        found[f"optimizer.{name}"] = {**_mapping("name", entry), "description": description}
    for name, schedule in SCHEDULES.items():
        found[f"schedule.{name}"] = _mapping("schedule", schedule)
    return found


def _chosen(key: str, prefix: str, entries: Mapping[str, Entry]) -> dict[str, Any]:
    """A mapping whose `key` says which definition it follows."""
    names = [{"const": name, "description": entry.description} for name, entry in entries.items()]
    cases = [
        {
            "if": {"properties": {key: {"const": name}}, "required": [key]},
            "then": {"$ref": f"#/$defs/{prefix}.{name}"},
        }
        for name in entries
    ]
    values: dict[str, list[Any]] = {}  # every argument of any of the entries
    for argument in (argument for entry in entries.values() for argument in entry.arguments):
        schema = _argument_schema(argument)
        alternatives = values.setdefault(argument.name, [])
        if schema not in alternatives:
            alternatives.append(schema)
    properties = {
        name: found[0] if len(found) == 1 else {"anyOf": found} for name, found in values.items()
    }
    unnamed = {"properties": properties, "additionalProperties": False}
    return {
        "type": "object",
        "properties": {key: {"anyOf": names}},
        "allOf": [*cases, {"if": {"required": [key]}, "else": unnamed}],
    }


def _mapping(key: str, entry: Entry) -> dict[str, Any]:
    arguments = {one.name: _argument_schema(one) for one in entry.arguments}
    return {"properties": {key: True, **arguments}, "additionalProperties": False}


def _argument_schema(argument: Argument) -> dict[str, Any]:
    """What a value of the argument must be, with its description and default."""
    bounds = {
        "exclusiveMinimum" if argument.minimum_excluded else "minimum": argument.minimum,
        "exclusiveMaximum" if argument.maximum_excluded else "maximum": argument.maximum,
    }
    stated = {key: bound for key, bound in bounds.items() if bound is not None}
    schemas: dict[str, dict[str, Any]] = {
        "optimizer": {**_OPTIMIZER},
        "learning_rate": {**_LEARNING_RATE},
        "choice": {"enum": list(argument.choices)},
        "strings": {"type": "array", "items": {"type": "string"}},
        "any": {},
        "bool": {"type": "boolean"},
        "int": {"type": "integer", **stated},
        "float": {"type": "number", **stated},
        "text": {"type": "string"},
    }
    schema = schemas[argument.kind]
    if argument.optional:
        schema = {"anyOf": [schema, {"type": "null"}]}
    if argument.description:
        schema["description"] = argument.description
    if not argument.required:
        schema["default"] = argument.default
    return schema
