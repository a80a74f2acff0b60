"""Every optimizer and schedule that a specification can name. Imports neither Keras nor NumPy.

Adding an optimizer takes one module, with its `ENTRIES` and its class, and its line in `MODULES`.

Example:
    >>> from optrun.optimizers.registry import ENTRIES
    >>> ENTRIES["heun"].evaluations
    2
    >>> [argument.name for argument in ENTRIES["lookahead"].arguments]
    ['inner_optimizer', 'sync_period', 'slow_step_size', 'inner_state']
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
    """The `ENTRIES` that a module of this package begins with, without importing it.

    An optimizer's class needs Keras, whose import takes seconds; its entries are data. So of the
    module's text only what stands up to `ENTRIES` is run, and of the imports among that only those
    from the standard library and from `entry`: what `ENTRIES` is made of must need no more.
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
    if isinstance(statement, ast.ImportFrom):
        modules = [str(statement.module)]
    else:
        modules = [alias.name for alias in statement.names]
    return all(
        one == f"{__package__}.entry" or one.partition(".")[0] in sys.stdlib_module_names
        for one in modules
    )


def _by_name(entries: Iterable[Entry]) -> Mapping[str, Entry]:
    return MappingProxyType({entry.name: entry for entry in entries})


ENTRIES = _by_name([*KERAS_ENTRIES, *(entry for one in MODULES for entry in entries_of(one))])
SCHEDULES = _by_name(entries_of("schedules"))

_WRAPPED_BY_KERAS = "Keras adds it by itself under mixed_float16"
NOT_OFFERED: Mapping[str, str] = MappingProxyType(
    {
        "schedulefreeadamw": "Keras 3.15 leaves the network on its training weights, where the "
        "method is measured on the averaged ones",
        "lossscaleoptimizer": _WRAPPED_BY_KERAS,
        "multioptimizer": "it needs Python code that says which layer goes with which optimizer",
    }
)

# What people may look for among the optimizers, and where it is.
_ARGUMENTS: Mapping[str, str] = {
    "momentum": "is an argument of sgd (momentum: 0.9): see `optrun optimizers sgd`",
    "heavyball": "is sgd with momentum: 0.9: see `optrun optimizers sgd`",
    "nesterov": "is sgd with momentum: 0.9 and nesterov: true: see `optrun optimizers sgd`",
    "nag": "is sgd with momentum: 0.9 and nesterov: true: see `optrun optimizers sgd`",
    "gradientcentralization": "is an argument, gradient_centralization: true, of every optimizer "
    "that is not around another one; ranger has it by default: see `optrun optimizers ranger`",
    "gc": "is an argument, gradient_centralization: true, of every optimizer that is not around "
    "another one; ranger has it by default: see `optrun optimizers ranger`",
    "amsgrad": "is an argument of adam and adamw (amsgrad: true): see `optrun optimizers adam`",
    "rk4": "is not offered; the Runge-Kutta steps are heun (order 2), rk23 (3) and rk45 (5)",
    "rungekutta": "is heun (order 2), rk23 (3) or rk45 (5)",
    "ema": "is not offered by itself; lookahead's slow weights are an average: see `optrun "
    "optimizers lookahead`",
}


def entry_called(name: str) -> Entry:
    """The entry of an optimizer by its name, its class's name or another name in use.

    Raises:
        LookupError: saying what there is instead, if there is none of that name.

    Example:
        >>> entry_called("AdamW").name, entry_called("Dopri5").name, entry_called("Soft-Batch").name
        ('adamw', 'rk45', 'soft_batch')
        >>> entry_called("lookahead_adam")
        Traceback (most recent call last):
        LookupError: 'lookahead_adam' is lookahead around adam, as `name: lookahead` with
        `inner_optimizer: {name: adam, ...}`: see `optrun optimizers lookahead` and `optrun
        optimizers adam`.
    """
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
    around = _around(key)
    if around is not None:
        outer, inner = around
        return (
            f"is {outer.name} around {inner.name}, as `name: {outer.name}` with `inner_optimizer: "
            f"{{name: {inner.name}, ...}}`: see `optrun optimizers {outer.name}` and `optrun "
            f"optimizers {inner.name}`."
        )
    known = ", ".join(sorted(ENTRIES))
    return f"is no optimizer known here{did_you_mean(name, ENTRIES) or '.'} Known: {known}."


def _around(key: str) -> tuple[Entry, Entry] | None:
    """A wrapper and its inner optimizer, where a name is made of theirs, in either order."""
    for outer in ENTRIES.values():
        bare = _bare(outer.name)
        if outer.is_wrapper and bare in key:
            rest = key.replace(bare, "", 1)
            inner = next((one for one in ENTRIES.values() if rest == _bare(one.name)), None)
            if inner is not None:
                return outer, inner
    return None
