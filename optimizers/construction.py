"""A specification becomes a Keras optimizer."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
from optrun.optimizers.argument_checks import Path
from optrun.optimizers.entry import GRADIENT_CENTRALIZATION
from optrun.optimizers.gradient_centralization import GradientCentralization
from optrun.optimizers.schedules import build_schedule
from optrun.optimizers.user_defined import (
    UserOptimizerError,
    entry_of,
    failure,
    is_user_defined,
    load,
)

if TYPE_CHECKING:
    from optrun.optimizers.specification import Specification


def construct(
    specification: "Specification", total_updates: int, track_fast_weights: bool, path: Path = ()
) -> keras.optimizers.Optimizer:
    """The optimizer; see `Specification.build`."""
    stated = specification.as_mapping()
    if is_user_defined(specification.name):
        user = load(specification.name)
        entry, optimizer_class = entry_of(user), user.optimizer_class
    else:
        entry = specification.entry
        optimizer_class = getattr(importlib.import_module(entry.module), entry.class_name)
    given: dict[str, Any] = {}
    for argument in entry.arguments:
        if argument.name not in stated:
            continue  # of a person's own optimizer, whose class knows its defaults
        value = stated[argument.name]
        if argument.kind == "optimizer" and specification.inner is not None:
            here = (*path, argument.name)
            value = construct(specification.inner, total_updates, track_fast_weights, here)
        elif argument.kind == "learning_rate" and isinstance(value, Mapping):
            value = build_schedule(value, total_updates=total_updates)
        elif argument.kind == "float" and isinstance(value, int):
            value = float(value)
        if argument.of_class:
            given[argument.name] = value
    if track_fast_weights and entry.tracks_fast_weights:
        given["track_fast_weights"] = True
    optimizer = _made(optimizer_class, given, specification, (*path, "name"))
    if GRADIENT_CENTRALIZATION in entry.arguments and stated[GRADIENT_CENTRALIZATION.name]:
        return GradientCentralization(optimizer)
    return optimizer


def _made(
    optimizer_class: Any, given: Mapping[str, Any], specification: "Specification", path: Path
) -> keras.optimizers.Optimizer:
    """The optimizer; what a person's own, or one around it, raises says where it stands."""
    if not specification.user_defined_names:
        return optimizer_class(**given)
    try:
        return optimizer_class(**given)
    except Exception as error:
        if is_user_defined(specification.name):
            said = failure(error, load(specification.name).file)
            message = f"cannot be made with these arguments: {said}"
        elif isinstance(error, TypeError | ValueError):
            message = f"cannot be built: {error}"
        else:
            raise
        raise UserOptimizerError(message, path) from error
