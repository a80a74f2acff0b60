"""The configuration as JSON Schema (draft 2020-12), which editors complete and check by.

A file need not be complete, since it may extend another: nothing is required.
"""

from typing import Any

from optrun.optimizers.schema_definitions import definitions
from optrun.runner.config.schema import SAMPLE_SECTIONS, Experiment

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NOT_ON_SAMPLE = ("source", "when_unavailable")


def json_schema() -> dict[str, Any]:
    """The schema of a configuration file.

    Example:
        >>> schema = json_schema()
        >>> schema["$defs"]["Training"]["properties"]["epochs"]["minimum"]
        1
    """
    schema = _cleaned(Experiment.model_json_schema())
    sections = schema.pop("$defs")
    sections |= definitions()
    data = sections["Data"]
    sections["SampleData"] = data | {
        "properties": {
            key: value for key, value in data["properties"].items() if key not in _NOT_ON_SAMPLE
        }
    }
    keys = schema["properties"]
    # \A and \Z are Python's; and the default there is in words.
    keys["name"] = {
        "type": "string",
        "pattern": keys["name"]["pattern"].replace(r"\A", "^").replace(r"\Z", "$"),
        "description": keys["name"]["description"],
    }
    keys["optimizer"] = {
        "description": keys["optimizer"]["description"],
        "$ref": "#/$defs/optimizer",
    }
    keys["sample"] = {
        "type": "object",
        "description": keys["sample"]["description"],
        "properties": {
            name: {"$ref": "#/$defs/SampleData"} if name == "data" else keys[name]
            for name in SAMPLE_SECTIONS
        },
        "additionalProperties": False,
    }
    extends = {
        "type": "string",
        "description": "The file that this one extends, relative to this one",
    }
    return {
        "$schema": DIALECT,
        "title": "An optrun experiment",
        "type": "object",
        "properties": {"extends": extends, **keys},
        "additionalProperties": False,
        "$defs": sections,
    }


def _cleaned(value: Any, *, names: bool = False) -> Any:
    """Without titles, which only repeat the keys, what is required, and words for `expected`.

    Args:
        value: A part of the schema.
        names: Whether the keys of `value` are names of the configuration, and no words of JSON
            Schema.
    """
    if isinstance(value, list):
        return [_cleaned(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _cleaned(one, names=key in ("properties", "$defs"))
        for key, one in value.items()
        if names or key not in ("title", "required", "expected")
    }
