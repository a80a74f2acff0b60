"""The JSON Schema of the configuration, applied by a small validator of the tests' own."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from optrun.optimizers.registry import ENTRIES
from optrun.runner.commands.config import config
from optrun.runner.config.documentation import json_schema
from optrun.runner.config.strict_yaml import parse

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json_schema()
# Each keyword is a member of draft 2020-12; one that is not among these would go unchecked here.
ANNOTATIONS = {"description", "default", "title", "$schema", "$defs"}
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def errors(value: Any, schema: Any, at: str = "") -> Iterator[str]:
    """Where, and by which keyword, a value breaks a schema."""
    if schema is True:
        return
    for keyword, wanted in schema.items():
        if keyword == "$ref":
            yield from errors(value, SCHEMA["$defs"][wanted.removeprefix("#/$defs/")], at)
        elif keyword == "allOf":
            for one in wanted:
                yield from errors(value, one, at)
        elif keyword == "if":
            branch = "else" if any(errors(value, wanted, at)) else "then"
            yield from errors(value, schema.get(branch, True), at)
        elif keyword == "properties" and isinstance(value, dict):
            for key in value.keys() & wanted.keys():
                yield from errors(value[key], wanted[key], f"{at}.{key}")
        elif keyword == "items" and isinstance(value, list):
            for index, one in enumerate(value):
                yield from errors(one, wanted, f"{at}[{index}]")
        elif not _holds(keyword, wanted, value, schema):
            yield f"{at}: {keyword}"


def _holds(keyword: str, wanted: Any, value: Any, schema: Mapping[str, Any]) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if keyword in ANNOTATIONS | {"then", "else", "properties", "items"}:
        return True
    if keyword == "type":
        boolean = isinstance(value, bool) and wanted != "boolean"
        return isinstance(value, TYPES[wanted]) and not boolean
    if keyword == "const":
        return value == wanted
    if keyword == "enum":
        return value in wanted
    if keyword == "anyOf":
        return any(not any(errors(value, one)) for one in wanted)
    if keyword == "required":
        return not isinstance(value, dict) or set(wanted) <= value.keys()
    if keyword == "additionalProperties":
        assert wanted is False
        return not isinstance(value, dict) or value.keys() <= schema["properties"].keys()
    if keyword == "pattern":
        return not isinstance(value, str) or re.search(wanted, value) is not None
    bounds = {
        "minimum": lambda: value >= wanted,
        "maximum": lambda: value <= wanted,
        "exclusiveMinimum": lambda: value > wanted,
        "exclusiveMaximum": lambda: value < wanted,
    }
    return not number or bounds[keyword]()


def found(text: str) -> list[str]:
    node, problems = parse(text, "x.yaml")
    assert problems == []
    return list(errors(node.plain(), SCHEMA))


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda f: f.name)
def test_every_shipped_config_fits_it(file: Path) -> None:
    assert found(file.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "optimizer: {name: sgd, learning_rate: 1e-3, momentum: 0.9, clipnorm: null}",
        "optimizer: {learning_rate: 0.5}",  # of the optimizer in the file that is extended
        "optimizer: {inner_optimizer: {momentum: 0.5}}",
        "optimizer: {name: adam, learning_rate: {schedule: cosine, initial_learning_rate: 1}}",
        "optimizer: {name: 'mine.py:Mine', learning_rate: 0.1, whatever: [1]}",
        "optimizer: {name: package.module:Mine, inner_optimizer: {name: sgd}}",
        "extends: vgg19.yaml\nname: a_b-1.0\nmodel: {head: {hidden_units: [64]}}",
        "sample: {data: {image_size: 32}, training: {epochs: 1}}",
    ],
)
def test_what_is_right_fits(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("optimiser: {}", ": additionalProperties"),
        ("optimizer: {name: sdg}", ".optimizer.name: anyOf"),
        ("optimizer: {name: sgd, beta_1: 0.9}", ".optimizer: additionalProperties"),
        ("optimizer: {name: sgd, momentum: 2}", ".optimizer.momentum: maximum"),
        ("optimizer: {name: sgd, learning_rate: 0}", ".optimizer.learning_rate: anyOf"),
        ("optimizer: {name: lookahead, sync_period: 2.5}", ".optimizer.sync_period: type"),
        (
            "optimizer: {name: lookahead, inner_optimizer: {name: adam, beta_1: 1}}",
            ".optimizer.inner_optimizer.beta_1: exclusiveMaximum",
        ),
        ("optimizer: {name: 'mine.py:Mine', learning_rate: fast}", ".optimizer.learning_rate: an"),
        ("optimizer: {momentun: 0.5}", ".optimizer: additionalProperties"),
        ("training: {epochs: 0}", ".training.epochs: minimum"),
        ("name: a b", ".name: pattern"),
        ("sample: {data: {source: x}}", ".sample.data: additionalProperties"),
        ("sample: {notes: x}", ".sample: additionalProperties"),
    ],
)
def test_what_is_wrong_does_not(text: str, error: str) -> None:
    assert any(one.startswith(error) for one in found(text))


def test_it_says_of_every_optimizer_and_argument_what_the_registry_says() -> None:
    for name, entry in ENTRIES.items():
        properties = SCHEMA["$defs"][f"optimizer.{name}"]["properties"]
        assert list(properties) == ["name", *(one.name for one in entry.arguments)]
        for argument in entry.arguments:
            schema = properties[argument.name]
            assert schema["description"] == argument.description
            assert argument.required or schema["default"] == argument.default


def test_the_command_prints_it_as_json_that_any_reader_takes() -> None:
    result = CliRunner().invoke(config, ["schema"])
    assert result.exit_code == 0

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    printed = json.loads(result.stdout, parse_constant=refuse)
    assert printed == json.loads(json.dumps(SCHEMA))
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_reference_leads_somewhere() -> None:
    references = set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(SCHEMA)))
    assert references <= SCHEMA["$defs"].keys()
