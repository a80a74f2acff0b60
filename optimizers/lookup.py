"""What is known about the optimizer that a specification names: registered, or a person's own.

Of a person's own, reading commands know the name and the stated arguments, without importing it;
what trains and what checks imports it and knows the rest. Nothing here imports Keras by itself.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from optrun.optimizers.entry import LEARNING_RATE, Argument, Entry
from optrun.optimizers.own import is_own, split
from optrun.optimizers.registry import ENTRIES


def is_known(name: object) -> bool:
    """Whether a name is one that `entry_for` takes."""
    return isinstance(name, str) and (name in ENTRIES or is_own(name))


def entry_for(specification: Mapping[Any, object], *, import_own: bool = False) -> Entry:
    """The entry of the optimizer that a specification names.

    Args:
        specification: with a `name` that `is_known`.
        import_own: whether to import a person's own optimizer. Otherwise its entry is what the
            specification states: those arguments, in that order, of any plain value.

    Raises:
        OwnOptimizerError: a person's own optimizer cannot be imported.

    Example:
        >>> entry = entry_for({"name": "signs.py:SignDescent", "learning_rate": 0.1, "decay": 2})
        >>> entry.class_name, [(one.name, one.kind) for one in entry.arguments]
        ('SignDescent', [('learning_rate', 'learning_rate'), ('decay', 'any')])
    """
    name = str(specification["name"])
    if not is_own(name):
        return ENTRIES[name]
    if import_own:
        from optrun.optimizers.own_code import load
        from optrun.optimizers.own_signature import entry_of

        return entry_of(load(name))
    stated = [str(key) for key in specification if key != "name"]
    return Entry(
        name=name,
        class_name=split(name)[1],
        module="",
        description="",
        paper="",
        arguments=tuple(_stated_argument(key) for key in stated),
    )


def class_for(entry: Entry) -> Any:
    """The class of an entry; for a person's own, one that was imported for it."""
    if is_own(entry.name):
        from optrun.optimizers.own_code import load

        return load(entry.name).optimizer_class
    return getattr(importlib.import_module(entry.module), entry.class_name)


def _stated_argument(name: str) -> Argument:
    # With a label, it is always shown; null is a value, as far as is known.
    label = name.replace("_", " ")
    if name == "learning_rate":
        minimum, excluded = LEARNING_RATE.minimum, LEARNING_RATE.minimum_excluded
        return Argument(
            name, "learning_rate", "", optional=True, minimum=minimum, minimum_excluded=excluded
        )
    kind = "optimizer" if name == "inner_optimizer" else "any"
    return Argument(name, kind, "", optional=True, label=label)  # type: ignore[arg-type]
