"""The optimizer that a person means by a name they know."""

import re
from collections.abc import Mapping

from optrun.optimizers.checking import nearest
from optrun.optimizers.registry import ENTRIES, NOT_OFFERED, Entry

# What articles and other libraries call it, without punctuation.
_KNOWN_AS: Mapping[str, str] = {
    "rectifiedadam": "radam",
    "heunsmethod": "heun",
    "rk2": "heun",
    "bs23": "rk23",
    "bs3": "rk23",
    "ode23": "rk23",
    "dopri5": "rk45",
    "rkdp": "rk45",
    "ode45": "rk45",
    "softbatches": "soft_batch",
    "gradientaccumulation": "soft_batch",
    "stochasticgradientdescent": "sgd",
    "gradientdescent": "sgd",
}
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


def find(name: str) -> Entry:
    """The entry of an optimizer by its name, its class's name or another name in use.

    Raises:
        LookupError: saying what there is instead, if there is none of that name.

    Example:
        >>> find("AdamW").name, find("Dopri5").name, find("Soft-Batch").name
        ('adamw', 'rk45', 'soft_batch')
        >>> find("lookahead_adam")
        Traceback (most recent call last):
        LookupError: 'lookahead_adam' is lookahead around adam, as `name: lookahead` with
        `inner_optimizer: {name: adam, ...}`: see `optrun optimizers lookahead` and `optrun
        optimizers adam`.
    """
    key = _bare(name)
    spelt = {_bare(spelling): entry for entry in ENTRIES.values() for spelling in _names(entry)}
    if key in spelt:
        return spelt[key]
    if key in _KNOWN_AS and _KNOWN_AS[key] in ENTRIES:
        return ENTRIES[_KNOWN_AS[key]]
    raise LookupError(f"{name!r} {_instead(name, key)}")


def _names(entry: Entry) -> tuple[str, str]:
    return entry.class_name, entry.name


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
    return f"is no optimizer known here{nearest(name, ENTRIES) or '.'} Known: {known}."


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
