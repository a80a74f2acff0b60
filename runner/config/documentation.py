"""The schema in words: its keys, what each means and allows, and its default."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from optrun.optimizers.entry import range_in_words
from optrun.optimizers.specification import Specification
from optrun.runner.config.problems import Path, one_of, received
from optrun.runner.config.schema import LARGEST, Experiment
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
    if field.annotation is None:
        return ()
    literals = [field.annotation, *get_args(field.annotation)]
    return tuple(
        word for kind in literals if get_origin(kind) is Literal for word in get_args(kind)
    )


def expected(field: FieldInfo) -> str:
    """What a field allows, in words that follow "must be".

    >>> expected(dict(fields())[("training", "batch_size")])
    'a whole number of at least 1'
    >>> expected(dict(fields())[("training", "jit_compile")])
    'auto, true or false'
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
        name: getattr(bound, name)
        for bound in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(bound, name, None) is not None
    }
    upper = {key: bounds[key] for key in ("le", "lt") if bounds.get(key, LARGEST) != LARGEST}
    return range_in_words(
        bounds.get("ge", bounds.get("gt")),
        upper.get("le", upper.get("lt")),
        minimum_excluded="gt" in bounds,
        maximum_excluded="lt" in upper,
    )


def comment(path: Path) -> str:
    """The line of documentation for a key: meaning, unit or type, default.

    >>> comment(("data", "image_size"))
    'Side of the square photos, in pixels (a whole number of at least 32; default 224).'
    """
    field = dict(fields())[path]
    if is_section(field) or field.annotation in (Specification, dict[str, Any]):
        return f"{field.description}."
    return f"{field.description} ({expected(field)}; {_default(field)})."


def _default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, Mapping) and "default" in extra:
        return f"default {extra['default']}"
    if field.is_required():
        return "must be stated"
    default = field.get_default()
    if default == ():
        return "default []"
    return f"default {default if isinstance(default, str) and default else received(default)}"
