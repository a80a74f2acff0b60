"""A specification: the plain mapping that says which optimizer, with which arguments.

    {"name": "lookahead", "sync_period": 5, "slow_step_size": 0.5,
     "inner_optimizer": {"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9}}

This module reads specifications: it completes, describes and counts. `checking` finds what is
wrong with one, `build` makes the optimizer. Nothing here imports Keras, and of a person's own
optimizer (`optimizers.own`) it knows the stated arguments alone; only `gradient_evaluations` asks
the class itself.
"""

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal

from optrun.optimizers.checking import Problem, evaluations_within, problems
from optrun.optimizers.entry import Argument, Entry
from optrun.optimizers.lookup import entry_for
from optrun.optimizers.own import names_in
from optrun.optimizers.schedule_entries import SCHEDULES

__all__ = [
    "Problem",
    "batches_per_update",
    "describe",
    "gradient_evaluations",
    "problems",
    "resolve",
    "updates",
]


def resolve(specification: object, *, import_own: bool = False) -> dict[str, object]:
    """The specification with every argument present: plain JSON and YAML types, nested.

    Whole numbers become floats where the argument is one, so equal settings resolve equally. Of a
    person's own optimizer, the arguments are those that were stated: its defaults are its code's.

    Args:
        specification: the mapping.
        import_own: whether `problems` imports a person's own optimizer.

    Raises:
        ValueError: with every problem, where there are any.

    Example:
        >>> resolve({"name": "sgd", "learning_rate": 1})["learning_rate"]
        1.0
        >>> list(resolve(resolve({"name": "heun", "learning_rate": 0.1})))
        ['name', 'learning_rate', 'weight_decay', 'global_clipnorm', 'gradient_centralization']
    """
    found = problems(specification, import_own=import_own)
    if found or not isinstance(specification, Mapping):
        lines = (f"{'.'.join(problem.path) or 'optimizer'}: {problem.message}" for problem in found)
        raise ValueError("\n".join(lines))
    return _resolved(specification)


def describe(specification: object) -> str:
    """A short description for a table: what differs from the defaults, and what defines it.

    Two specifications that resolve differently are described differently.

    Raises:
        ValueError: with every problem, where there are any.

    Example:
        >>> print(describe({"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9}))
        SGD 1e-4, momentum 0.9
        >>> inner = {"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9}
        >>> print(describe({"name": "lookahead", "inner_optimizer": inner}))
        Lookahead(SGD 1e-4, momentum 0.9), sync 5, slow 0.5
    """
    return _described(resolve(specification))


def gradient_evaluations(specification: object) -> int:
    """Gradient evaluations in one step on one batch: 2 for Heun, also inside Lookahead.

    A person's own optimizer is imported for this, and made where its class does not say.

    Raises:
        ValueError: with every problem, where there are any.
    """
    resolved = resolve(specification)
    if not names_in(resolved):
        return evaluations_within(resolved)
    from optrun.optimizers.build import evaluations_of

    return evaluations_of(resolved)


def batches_per_update(specification: object) -> int:
    """Batches whose gradients go into one update: a soft batch's count, otherwise 1.

    Raises:
        ValueError: with every problem, where there are any.
    """
    batches = _soft_batch(resolve(specification)).get("batches_per_update")
    return batches if isinstance(batches, int) else 1


def updates(specification: object, *, batches_per_epoch: int, epochs: int) -> int:
    """Updates of the weights in a training: what a schedule counts.

    Args:
        specification: the optimizer's.
        batches_per_epoch: batches in each epoch, 0 or more.
        epochs: passes over the training photos, 0 or more.

    Raises:
        ValueError: with every problem, where there are any.

    Example:
        >>> soft = {"name": "soft_batch", "batches_per_update": 4,
        ...         "inner_optimizer": {"name": "sgd", "learning_rate": 0.1}}
        >>> [updates(soft | {"tail": tail}, batches_per_epoch=10, epochs=3)
        ...  for tail in ("flush", "carry", "drop")]
        [9, 8, 6]
    """
    count = batches_per_update(specification)
    tail = _soft_batch(resolve(specification)).get("tail")
    if tail == "carry":
        return math.ceil(batches_per_epoch * epochs / count)
    if tail == "drop":
        return batches_per_epoch // count * epochs
    return math.ceil(batches_per_epoch / count) * epochs


def _soft_batch(resolved: Mapping[str, object]) -> Mapping[str, object]:
    """The soft batch in a specification, which may have an own optimizer around it; else {}."""
    inner = resolved.get("inner_optimizer")
    if resolved["name"] == "soft_batch" or not isinstance(inner, Mapping):
        return resolved if resolved["name"] == "soft_batch" else {}
    return _soft_batch(inner)


def _resolved(specification: Mapping[str, object]) -> dict[str, object]:
    entry = entry_for(specification)
    return {"name": entry.name} | _arguments(specification, entry.arguments)


def _arguments(given: Mapping[str, object], arguments: Iterable[Argument]) -> dict[str, object]:
    return {
        argument.name: _value(given.get(argument.name, argument.default), argument)
        for argument in arguments
    }


def _value(value: object, argument: Argument) -> object:
    if isinstance(value, Mapping) and argument.kind == "optimizer":
        return _resolved(value)
    if isinstance(value, Mapping) and argument.kind == "learning_rate":
        schedule = SCHEDULES[value["schedule"]]
        return {"schedule": schedule.name} | _arguments(value, schedule.arguments)
    if argument.kind in ("float", "learning_rate") and isinstance(value, (int, float)):
        return float(value)
    if argument.kind == "strings" and value is not None:
        return list(value) if isinstance(value, (list, tuple)) else value
    return value


def _described(resolved: Mapping[str, object]) -> str:
    entry = entry_for(resolved)
    head = entry.class_name
    inner = resolved.get("inner_optimizer")
    if isinstance(inner, Mapping):
        head += f"({_described(inner)})"
    if "learning_rate" in resolved:
        head += f" {_rate(resolved['learning_rate'])}"
    return ", ".join([head, *_distinguishing(resolved, entry)])


def _distinguishing(resolved: Mapping[str, object], entry: Entry) -> Iterable[str]:
    for argument in entry.arguments:
        value = resolved[argument.name]
        if argument.kind in ("optimizer", "learning_rate"):
            continue
        always_shown = argument.label is not None and argument.kind != "bool"
        if always_shown or value != argument.default:
            yield _setting(argument, value)


def _setting(argument: Argument, value: object) -> str:
    label = argument.label or argument.name.replace("_", " ")
    if value is True:
        return label
    return f"{'no ' if value is False else ''}{label}{'' if value is False else ' ' + _text(value)}"


def _rate(rate: object) -> str:
    if not isinstance(rate, Mapping):
        return _text(rate)
    entry = SCHEDULES[rate["schedule"]]
    settings = [
        _setting(argument, rate[argument.name])
        for argument in entry.arguments
        if argument.name != "initial_learning_rate"
        and (argument.required or rate[argument.name] != argument.default)
    ]
    inside = f" ({', '.join(settings)})" if settings else ""
    return f"{_text(rate['initial_learning_rate'])} {rate['schedule']}{inside}"


def _text(value: object) -> str:
    """A value in a table: numbers in full and as short as they go, 1e-4 rather than 0.0001."""
    if value is None:
        return "off"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list):
        return "+".join(str(one) for one in value)
    return str(value)


def _number(value: float) -> str:
    # repr is the shortest text that reads back as the same float, so no two rates look alike.
    decimal = Decimal(repr(value)).normalize()
    exponent = decimal.adjusted()
    if value == 0 or -3 <= exponent < 5:
        return f"{decimal:f}"
    mantissa = decimal.scaleb(-exponent).normalize()
    return f"{mantissa:f}e{exponent}"
