"""The schema in words, and as JSON Schema: its keys, what each means and allows, its default."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from optrun.optimizers.card_text import definitions
from optrun.optimizers.entry import range_in_words
from optrun.runner.config.problems import Path
from optrun.runner.config.schema import LARGEST, NOT_ON_SAMPLE, SAMPLE_SECTIONS, Experiment
from optrun.runner.ui.wording import one_of
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def fields(
    model: type[BaseModel] = Experiment, path: Path = ()
) -> Iterator[tuple[Path, FieldInfo]]:
    """Every key of the tree with its field, in the order of the schema, sections before their keys.

    >>> ["." .join(path) for path, _ in fields()][:4]
    ['name', 'notes', 'data', 'data.source']
    """
    for key, field in model.model_fields.items():
        yield (*path, key), field
        if is_section(field):
            yield from fields(field.annotation, (*path, key))  # type: ignore[arg-type]


def is_section(field: FieldInfo) -> bool:
    """Whether the field is a mapping with keys of its own in this schema."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def words(field: FieldInfo) -> tuple[str, ...]:
    """The words a field allows, if any.

    >>> words(dict(fields())[("data", "when_unavailable")])
    ('error', 'sample')
    """
    kinds = (field.annotation, *get_args(field.annotation))
    return tuple(word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind))


def expected(field: FieldInfo) -> str:
    """What a field allows, in words that follow "must be".

    >>> expected(dict(fields())[("training", "batch_size")])
    'a whole number of at least 1'
    >>> expected(dict(fields())[("model", "head", "dropout")])
    'a number of at least 0 and below 1'
    """
    extra = field.json_schema_extra
    if isinstance(extra, Mapping) and "expected" in extra:
        return str(extra["expected"])
    kinds = (field.annotation, *get_args(field.annotation))
    if is_section(field):
        return "a mapping of keys"
    if get_origin(field.annotation) is tuple:
        return "a list of whole numbers of at least 1"
    alternatives = [*words(field), *(["true", "false"] if bool in kinds else [])]
    if alternatives:
        return one_of(alternatives)
    if str in kinds:
        return "text"
    noun = "a whole number" if int in kinds else "a number"
    return f"{noun} {_range(field)}" + (" or null" if type(None) in kinds else "")


def _range(field: FieldInfo) -> str:
    bounds = {
        name: value
        for bound in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if (value := getattr(bound, name, None)) not in (None, LARGEST)
    }
    return range_in_words(
        bounds.get("ge", bounds.get("gt")),
        bounds.get("le", bounds.get("lt")),
        minimum_excluded="gt" in bounds,
        maximum_excluded="lt" in bounds,
    )


def json_schema() -> dict[str, Any]:
    """What editors complete and check a configuration file by, JSON Schema (draft 2020-12).

    A file need not be complete, since it may extend another: nothing is required.
    """
    schema = _cleaned(Experiment.model_json_schema())
    sections = schema["$defs"] | definitions()
    data = sections["Data"]
    on_sample = {key: of for key, of in data["properties"].items() if key not in NOT_ON_SAMPLE}
    sections["SampleData"] = data | {"properties": on_sample}
    keys = schema["properties"]
    pattern = keys["name"]["pattern"].replace(r"\A", "^").replace(r"\Z", "$")  # they are Python's
    text = {"type": "string", "pattern": pattern}
    keys["name"] = text | {"description": keys["name"]["description"]}
    keys["optimizer"] |= {"$ref": "#/$defs/optimizer"}
    sample = {key: keys[key] for key in SAMPLE_SECTIONS}
    keys["sample"] = {
        "type": "object",
        "description": keys["sample"]["description"],
        "properties": sample | {"data": {"$ref": "#/$defs/SampleData"}},
        "additionalProperties": False,
    }
    extends = "The file that this one extends, relative to this one"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An optrun experiment",
        "type": "object",
        "properties": {"extends": {"type": "string", "description": extends}, **keys},
        "additionalProperties": False,
        "$defs": sections,
    }


def _cleaned(value: Any, *, names: bool = False) -> Any:
    """Without titles, which only repeat the keys, what is required, and words for `expected`.

    `names`: the keys of `value` are names of the configuration, and no words of JSON Schema.
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
