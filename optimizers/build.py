"""A specification becomes an optimizer."""

import importlib
from collections.abc import Mapping
from typing import Any

import keras

from optimizers.registry import ENTRIES
from optimizers.schedules import build_schedule
from optimizers.specification import resolve


def build(specification: object, *, total_updates: int) -> keras.optimizers.Optimizer:
    """The optimizer that a specification describes, ready for `compile`.

    Args:
        specification: the mapping, as a person writes it or as `resolve` returns it.
        total_updates: updates of the weights in the whole training, 1 or more; a schedule without
            `decay_updates` spans them.

    Raises:
        ValueError: with every problem of the specification.

    Example:
        >>> optimizer = build({"name": "sgd", "learning_rate": 0.5}, total_updates=10)
        >>> type(optimizer).__name__, float(optimizer.learning_rate)
        ('SGD', 0.5)
    """
    return _built(resolve(specification), total_updates)


def _built(resolved: Mapping[str, Any], total_updates: int) -> keras.optimizers.Optimizer:
    entry = ENTRIES[resolved["name"]]
    optimizer_class = getattr(importlib.import_module(entry.module), entry.class_name)
    given: dict[str, Any] = {}
    for argument in entry.arguments:
        value = resolved[argument.name]
        if argument.kind == "optimizer":
            value = _built(value, total_updates)
        elif isinstance(value, Mapping):
            value = build_schedule(value, total_updates=total_updates)
        given[argument.name] = value
    return optimizer_class(**given)
