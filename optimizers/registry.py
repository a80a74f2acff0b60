"""Every optimizer and schedule that a specification can name. Imports neither Keras nor NumPy.

Adding an optimizer takes one module, with its `ENTRIES` and its class, and its line in `MODULES`.
"""

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import cast

from optrun.optimizers.entry import Entry, did_you_mean
from optrun.optimizers.keras_optimizers import KERAS_ENTRIES

MODULES = ("lookahead", "soft_batch", "runge_kutta", "radam")


def entries_of(module: str) -> tuple[Entry, ...]:
    """The `ENTRIES` that a module of this package begins with, without its Keras.

    Of the module's text only what stands up to `ENTRIES` is run, and of the imports among that
    only those from the standard library and from `entry`.
    """
    name = f"{__package__}.{module}"
    found = find_spec(name)
    source = getattr(found and found.loader, "get_source", lambda _: None)(name)
    if found is None or source is None:
        raise ImportError(f"the source of {name} is needed, for its entries", name=name)
    beginning: list[ast.stmt] = []
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.Import | ast.ImportFrom) or _is_light(statement):
            beginning.append(statement)
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == "ENTRIES":
            break
    names: dict[str, object] = {"__name__": name}
    code = compile(ast.Module(beginning, []), found.origin or name, "exec")
    exec(code, names)  # noqa: S102 (this package's own text)
    return cast("tuple[Entry, ...]", names["ENTRIES"])


def _is_light(statement: ast.Import | ast.ImportFrom) -> bool:
    modules = [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        modules = [str(statement.module)]
    light = {f"{__package__}.entry", *sys.stdlib_module_names}
    return all(one in light or one.partition(".")[0] in light for one in modules)


def _by_name(entries: Iterable[Entry]) -> Mapping[str, Entry]:
    return MappingProxyType({entry.name: entry for entry in entries})


ENTRIES = _by_name([*KERAS_ENTRIES, *(entry for one in MODULES for entry in entries_of(one))])
SCHEDULES = _by_name(entries_of("schedules"))

NOT_OFFERED: Mapping[str, str] = {
    "schedulefreeadamw": "Keras 3.15 leaves the network on its training weights, where the method "
    "is measured on the averaged ones",
    "lossscaleoptimizer": "Keras adds it by itself under mixed_float16",
    "multioptimizer": "it needs Python code that says which layer goes with which optimizer",
}

# What people may look for among the optimizers, and where it is.
_ARGUMENTS: Mapping[str, str] = {
    "momentum": "is an argument of sgd (momentum: 0.9): see `optrun optimizers sgd`",
    "heavyball": "is sgd with momentum: 0.9: see `optrun optimizers sgd`",
    "nesterov": "is sgd with momentum: 0.9 and nesterov: true: see `optrun optimizers sgd`",
    "nag": "is sgd with momentum: 0.9 and nesterov: true: see `optrun optimizers sgd`",
    **dict.fromkeys(
        ("gradientcentralization", "gc"),
        "is an argument, gradient_centralization: true, of every optimizer that is not around "
        "another one; ranger has it by default: see `optrun optimizers ranger`",
    ),
    "amsgrad": "is an argument of adam and adamw (amsgrad: true): see `optrun optimizers adam`",
    "rk4": "is not offered; the Runge-Kutta steps are heun (order 2), rk23 (3) and rk45 (5)",
    "rungekutta": "is heun (order 2), rk23 (3) or rk45 (5)",
    "ema": "is not offered by itself; lookahead's slow weights are an average: see `optrun "
    "optimizers lookahead`",
}


def entry_called(name: str) -> Entry:
    """The entry of that name, class name or other name in use; LookupError says what there is."""
    key = _bare(name)
    for entry in ENTRIES.values():
        if key in (_bare(entry.class_name), _bare(entry.name), *entry.also_called):
            return entry
    raise LookupError(f"{name!r} {_instead(name, key)}")


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _instead(name: str, key: str) -> str:
    if key in NOT_OFFERED:
        return f"is not offered: {NOT_OFFERED[key]}."
    if key in _ARGUMENTS:
        return f"{_ARGUMENTS[key]}."
    for outer in (one for one in ENTRIES.values() if one.is_wrapper):
        # Made of a wrapper's name and its inner optimizer's, in either order.
        rest = key.replace(_bare(outer.name), "", 1)
        inner = next((one for one in ENTRIES.values() if rest == _bare(one.name)), None)
        if inner is not None and rest != key:
            return (
                f"is {outer.name} around {inner.name}, as `name: {outer.name}` with "
                f"`inner_optimizer: {{name: {inner.name}, ...}}`: see `optrun optimizers "
                f"{outer.name}` and `optrun optimizers {inner.name}`."
            )
    known = ", ".join(sorted(ENTRIES))
    return f"is no optimizer known here{did_you_mean(name, ENTRIES) or '.'} Known: {known}."
