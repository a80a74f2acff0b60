"""The registry as JSON Schema (draft 2020-12), for editors. Imports no Keras.

A specification is judged by its `name`. One without a name, which extends another file's, may state
any argument of any optimizer. Nothing is required, for the same reason.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from optrun.optimizers.entry import Argument
from optrun.optimizers.registry import ENTRIES, SCHEDULES

USER_DEFINED_NAME = r"^.+:[^:/\\]+$"
_OPTIMIZER = {"$ref": "#/$defs/optimizer"}
_LEARNING_RATE = {"$ref": "#/$defs/learning_rate"}


def definitions() -> dict[str, Any]:
    """What goes under `$defs`: `optimizer`, and what that refers to.

    Example:
        >>> momentum = definitions()["optimizer.sgd"]["properties"]["momentum"]
        >>> momentum["type"], momentum["minimum"], momentum["maximum"], momentum["default"]
        ('number', 0, 1, 0.0)
    """
    found = {
        "optimizer": _chosen(
            "name",
            {name: entry.description for name, entry in ENTRIES.items()},
            "optimizer",
            _any_of(ENTRIES.values()),
        ),
        "learning_rate": {
            "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"$ref": "#/$defs/schedule"}]
        },
        "schedule": _chosen(
            "schedule",
            {name: entry.description for name, entry in SCHEDULES.items()},
            "schedule",
            _any_of(SCHEDULES.values()),
        ),
    }
    own = {
        "type": "string",
        "pattern": USER_DEFINED_NAME,
        "description": "One of your own: module:Class, or path/to/file.py:Class from here",
    }
    found["optimizer"]["properties"]["name"]["anyOf"].append(own)
    found["optimizer"]["allOf"].append(
        {
            "if": {"properties": {"name": own}, "required": ["name"]},
            "then": {
                "properties": {"learning_rate": _LEARNING_RATE, "inner_optimizer": _OPTIMIZER}
            },
        }
    )
    for name, entry in ENTRIES.items():
        found[f"optimizer.{name}"] = _mapping("name", entry.arguments) | {
            "description": f"{entry.description} ({entry.paper})"
        }
    for name, schedule in SCHEDULES.items():
        found[f"schedule.{name}"] = _mapping("schedule", schedule.arguments)
    return found


def _chosen(
    key: str, descriptions: Mapping[str, str], prefix: str, nameless: Mapping[str, Any]
) -> dict[str, Any]:
    """A mapping whose `key` says which definition it follows."""
    names = [{"const": name, "description": text} for name, text in descriptions.items()]
    cases = [
        {
            "if": {"properties": {key: {"const": name}}, "required": [key]},
            "then": {"$ref": f"#/$defs/{prefix}.{name}"},
        }
        for name in descriptions
    ]
    return {
        "type": "object",
        "properties": {key: {"anyOf": names}},
        "allOf": [*cases, {"if": {"required": [key]}, "else": nameless}],
    }


def _any_of(entries: Iterable[Any]) -> dict[str, Any]:
    """Every argument of any of the entries."""
    values: dict[str, list[Any]] = {}
    for entry in entries:
        for argument in entry.arguments:
            schema = argument_schema(argument)
            alternatives = values.setdefault(argument.name, [])
            if schema not in alternatives:
                alternatives.append(schema)
    return {
        "properties": {
            name: found[0] if len(found) == 1 else {"anyOf": found}
            for name, found in values.items()
        },
        "additionalProperties": False,
    }


def _mapping(key: str, arguments: Iterable[Argument]) -> dict[str, Any]:
    return {
        "properties": {key: True} | {one.name: argument_schema(one) for one in arguments},
        "additionalProperties": False,
    }


def argument_schema(argument: Argument) -> dict[str, Any]:
    """What a value of the argument must be, with its description and default.

    Example:
        >>> schema = argument_schema(ENTRIES["lookahead"].argument("sync_period"))
        >>> schema["type"], schema["minimum"], schema["default"]
        ('integer', 1, 5)
    """
    schema = _value(argument)
    if argument.optional:
        schema = {"anyOf": [schema, {"type": "null"}]}
    if argument.description:
        schema["description"] = argument.description
    if not argument.required:
        schema["default"] = argument.default
    return schema


def _value(argument: Argument) -> dict[str, Any]:
    if argument.kind == "optimizer":
        return dict(_OPTIMIZER)
    if argument.kind == "learning_rate":
        return dict(_LEARNING_RATE)
    if argument.kind == "choice":
        return {"enum": list(argument.choices)}
    if argument.kind == "strings":
        return {"type": "array", "items": {"type": "string"}}
    if argument.kind == "any":
        return {}
    types = {"bool": "boolean", "int": "integer", "float": "number", "text": "string"}
    bounds = {
        "exclusiveMinimum" if argument.minimum_excluded else "minimum": argument.minimum,
        "exclusiveMaximum" if argument.maximum_excluded else "maximum": argument.maximum,
    }
    stated = {key: bound for key, bound in bounds.items() if bound is not None}
    return {"type": types[argument.kind], **stated}
