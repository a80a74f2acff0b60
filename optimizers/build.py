"""A specification becomes an optimizer."""

from collections.abc import Mapping
from typing import Any

import keras
from optrun.optimizers.checking import Path, evaluations_within
from optrun.optimizers.entry import GRADIENT_CENTRALIZATION, Entry
from optrun.optimizers.gradient_centralization import GradientCentralization
from optrun.optimizers.lookup import class_for, entry_for
from optrun.optimizers.own import OwnOptimizerError, is_own, names_in
from optrun.optimizers.own_code import failure, load, stated_evaluations
from optrun.optimizers.schedules import build_schedule
from optrun.optimizers.several_gradients import SeveralGradients
from optrun.optimizers.specification import resolve
from optrun.optimizers.unwrapping import chain

# More than any schedule's warm-up, for an optimizer that is made to be asked and not to train.
_MANY_UPDATES = 2**31 - 1


def build(
    specification: object, *, total_updates: int, track_fast_weights: bool = False
) -> keras.optimizers.Optimizer:
    """The optimizer that a specification describes, ready for `compile`.

    Args:
        specification: the mapping, as a person writes it or as `resolve` returns it.
        total_updates: updates of the weights in the whole training, 1 or more; a schedule without
            `decay_updates` spans them.
        track_fast_weights: whether a Lookahead in it keeps the fast weights from before each sync,
            for `Lookahead.fast_weights_before_sync`.

    Raises:
        ValueError: with every problem of the specification.
        OwnOptimizerError: what a person's own optimizer, or one around it, raised when it was made.

    Example:
        >>> optimizer = build({"name": "sgd", "learning_rate": 0.5}, total_updates=10)
        >>> type(optimizer).__name__, float(optimizer.learning_rate)
        ('SGD', 0.5)
    """
    resolved = resolve(specification, import_own=True)
    return _built(resolved, total_updates, track_fast_weights)


def try_out(specification: object) -> keras.optimizers.Optimizer:
    """The optimizer, made to see whether it can be, or to ask it something.

    Raises:
        ValueError: as `build`.
    """
    return build(specification, total_updates=_MANY_UPDATES)


def evaluations_of(specification: object) -> int:
    """Gradient evaluations in one step, where a person's own optimizer may be among those named.

    Raises:
        ValueError: as `build`.
    """
    names = names_in(specification)
    if None not in [stated_evaluations(load(name).optimizer_class) for name in names]:
        return evaluations_within(specification, import_own=True)
    made = chain(try_out(specification))
    return max((one.evaluations for one in made if isinstance(one, SeveralGradients)), default=1)


def _built(
    resolved: Mapping[str, Any], total_updates: int, track_fast_weights: bool, path: Path = ()
) -> keras.optimizers.Optimizer:
    entry = entry_for(resolved, import_own=True)
    given: dict[str, Any] = {}
    for argument in entry.arguments:
        if argument.name not in resolved:
            continue  # of a person's own optimizer, whose class knows its defaults
        value = resolved[argument.name]
        if argument.kind == "optimizer" and isinstance(value, Mapping):
            value = _built(value, total_updates, track_fast_weights, (*path, argument.name))
        elif argument.kind == "learning_rate" and isinstance(value, Mapping):
            value = build_schedule(value, total_updates=total_updates)
        elif argument.kind == "float" and isinstance(value, int):
            value = float(value)
        if argument.of_class:
            given[argument.name] = value
    if track_fast_weights and "track_fast_weights" in entry.withheld:
        given["track_fast_weights"] = True
    optimizer = _made(entry, given, path) if names_in(resolved) else class_for(entry)(**given)
    if GRADIENT_CENTRALIZATION in entry.arguments and resolved[GRADIENT_CENTRALIZATION.name]:
        return GradientCentralization(optimizer)
    return optimizer


def _made(entry: Entry, given: Mapping[str, Any], path: Path) -> keras.optimizers.Optimizer:
    """A person's own optimizer, or one around it: what it raises says where it stands."""
    here = (*path, "name")
    optimizer_class = class_for(entry)
    if not is_own(entry.name):
        try:
            return optimizer_class(**given)
        except (TypeError, ValueError) as error:
            raise OwnOptimizerError(f"cannot be built: {error}", here) from error
    try:
        return optimizer_class(**given)
    except Exception as error:
        said = failure(error, load(entry.name).file)
        raise OwnOptimizerError(f"cannot be made with these arguments: {said}", here) from error
