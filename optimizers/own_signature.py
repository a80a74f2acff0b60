"""What a person's own optimizer takes, read off the signature of its class."""

import inspect
import types
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, Union, get_args, get_origin

from optrun.optimizers.entry import LEARNING_RATE, Argument, Entry, Kind
from optrun.optimizers.keras_entries import ALIASES, KERAS_ENTRIES, WITHHELD
from optrun.optimizers.own_code import Own, stated_evaluations

_KINDS: Mapping[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
_UNKNOWN = inspect.Parameter.empty
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_KERAS = {entry.class_name: entry for entry in KERAS_ENTRIES}
# Weight decay and clipping, which every Keras optimizer takes, with their bounds.
_BASE = {
    one.name: one
    for one in _KERAS["SGD"].arguments
    if one.name in ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm")
}


@dataclass(frozen=True)
class _Parameter:
    """A parameter, the class whose `__init__` has it, and whether that is the one called."""

    parameter: inspect.Parameter
    annotation: Any
    owner: type
    is_called: bool


def entry_of(own: Own) -> Entry:
    """What the registry would say about a person's own optimizer.

    Arguments are those of the `__init__` that is called and, where it takes `**kwargs`, those of
    the next one up, and so on to `keras.optimizers.Optimizer`. `*args` adds none: a specification
    states arguments by name. Where only an instance can say how many gradients the step takes,
    `evaluations` is 2, for "several".
    """
    parameters = _parameters(own.optimizer_class)
    offered = {name: one for name, one in parameters.items() if name not in WITHHELD}
    wraps = "inner_optimizer" in offered
    aliases = {
        alias: name for alias, name in ALIASES.items() if name in offered and alias not in offered
    }
    evaluations = stated_evaluations(own.optimizer_class)
    return Entry(
        name=own.name,
        class_name=own.optimizer_class.__name__,
        module=own.optimizer_class.__module__,
        description="",
        paper="",
        arguments=tuple(_argument(one, wraps=wraps) for one in offered.values()),
        evaluations=2 if evaluations is None else evaluations,
        aliases=MappingProxyType(aliases),
        withheld=MappingProxyType({n: why for n, why in WITHHELD.items() if n in parameters}),
    )


def _parameters(optimizer_class: type) -> dict[str, _Parameter]:
    found: dict[str, _Parameter] = {}
    is_called = True
    for owner in optimizer_class.__mro__:
        init = vars(owner).get("__init__")
        if init is None:
            continue
        parameters = list(inspect.signature(init).parameters.values())[1:]
        annotations = _annotations(init)
        for one in parameters:
            if one.kind in _NAMED and one.name not in found:
                annotation = annotations.get(one.name, _UNKNOWN)
                found[one.name] = _Parameter(one, annotation, owner, is_called)
        if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
            break
        is_called = False
    return found


def _annotations(init: Any) -> dict[str, Any]:
    try:
        return inspect.get_annotations(init, eval_str=True)
    except (AttributeError, NameError, SyntaxError, TypeError):
        # Some of them only a type checker can read.
        return {k: v for k, v in inspect.get_annotations(init).items() if not isinstance(v, str)}


def _argument(one: _Parameter, *, wraps: bool) -> Argument:
    name, default = one.parameter.name, one.parameter.default
    required = one.is_called and default is _UNKNOWN
    optional = default is None or type(None) in get_args(one.annotation)
    if name == "learning_rate":
        # Comparisons hang on it, so no class's default stands in for it.
        stated = one.is_called and not wraps and not optional
        return replace(LEARNING_RATE, required=stated, optional=optional)
    if name == "inner_optimizer":
        description = "the optimizer that it works around"
        return Argument(name, "optimizer", description, required=required, optional=optional)
    registered = _registered(one)
    if registered is not None:
        return replace(registered, required=required, default=default)
    kind, choices = _kind(one.annotation, default)
    return Argument(
        name,
        kind,
        "the class gives it no default" if required else "",
        default=None if required else default,
        required=required,
        optional=optional or kind == "any",
        choices=choices,
    )


def _registered(one: _Parameter) -> Argument | None:
    """The registry's word on an argument of a Keras class, with its bounds."""
    name = one.parameter.name
    if one.owner.__module__.startswith("keras."):
        entry = _KERAS.get(one.owner.__name__)
        found = None if entry is None else entry.argument(name)
        return found or _BASE.get(name)
    return _BASE.get(name) if one.parameter.default is None else None


def _kind(annotation: Any, default: Any) -> tuple[Kind, tuple[str, ...]]:
    """What an annotation, or else a default, says a value other than null must be; its choices."""
    if annotation is _UNKNOWN:
        return _KINDS.get(type(default), "any"), ()
    alternatives = (annotation,)
    if get_origin(annotation) in (Union, types.UnionType):
        alternatives = tuple(one for one in get_args(annotation) if one is not type(None))
    if set(alternatives) == {int, float}:
        return "float", ()
    if len(alternatives) == 1:
        only = alternatives[0]
        if only in (bool, int, float, str):
            return _KINDS[only], ()
        if get_origin(only) is Literal and all(isinstance(one, str) for one in get_args(only)):
            return "choice", get_args(only)
    return "any", ()
