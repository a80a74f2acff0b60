"""How many numbers an optimizer keeps, from its specification alone.

`Entry.extra_weight_copies` says it for an optimizer's default arguments; here the arguments count,
and so does what is inside a wrapper. Nothing here imports Keras, except to ask a person's own
optimizer, which alone knows.
"""

import math
from collections.abc import Mapping, Sequence

from optrun.optimizers.lookup import entry_for
from optrun.optimizers.own import names_in
from optrun.optimizers.specification import resolve
from optrun.optimizers.wrapper_entries import TRACKING_WITHHELD

Shape = tuple[int, ...]

# Of an own optimizer that can't be asked: as many as Adam keeps, which is what most do.
_ASSUMED_COPIES = 2
_PROBE_SHAPES: tuple[Shape, ...] = ((3, 3, 16, 32), (32,))


def state_floats(
    specification: object, shapes: Sequence[Shape], *, track_fast_weights: bool = False
) -> int:
    """Numbers in the variables of an optimizer, but for its few counters.

    Args:
        specification: the optimizer's.
        shapes: of the weights that it trains.
        track_fast_weights: as `build` takes it.

    Raises:
        ValueError: with every problem of the specification, where there are any.

    Example:
        >>> adam = {"name": "adam", "learning_rate": 1e-4}
        >>> state_floats(adam, [(3, 3, 64, 64), (64,)])
        73856
        >>> around = {"name": "lookahead", "inner_optimizer": adam}
        >>> state_floats(around, [(64,)]), state_floats(around, [(64,)], track_fast_weights=True)
        (192, 256)
    """
    resolved = resolve(specification)
    if names_in(resolved):
        return math.ceil(
            _asked_floats_per_weight(resolved, track_fast_weights) * sum(map(math.prod, shapes))
        )
    return sum(_floats(resolved, shape, track_fast_weights) for shape in shapes)


def _floats(resolved: Mapping[str, object], shape: Shape, track_fast_weights: bool) -> int:
    """Of one variable and everything inside the optimizer."""
    entry, count = entry_for(resolved), math.prod(shape)
    copies = entry.extra_weight_copies + _copies_beyond_defaults(resolved, shape)
    if track_fast_weights and entry.withheld.keys() >= TRACKING_WITHHELD.keys():
        copies += 1
    floats = copies * count
    if entry.name == "adafactor" and len(shape) >= 2:
        # Beside the full second moment that Keras keeps, one value per row and one per column.
        floats += math.prod(shape[:-1]) + math.prod(shape[:-2]) * shape[-1]
    inner = resolved.get("inner_optimizer")
    if isinstance(inner, Mapping):
        floats += _floats(inner, shape, track_fast_weights)
    return floats


def _copies_beyond_defaults(resolved: Mapping[str, object], shape: Shape) -> int:
    name = resolved["name"]
    if name == "sgd":
        return int(bool(resolved["momentum"]))
    if name == "rmsprop":
        return int(bool(resolved["momentum"])) + int(bool(resolved["centered"]))
    if name in ("adam", "adamw"):
        return int(bool(resolved["amsgrad"]))
    if name == "lookahead" and resolved["inner_state"] == "pullback":
        return 1  # every optimizer with a momentum has one per weight
    if name == "muon" and len(shape) in (2, 3) and not resolved["exclude_layers"]:
        return -1  # a matrix needs the momentum alone; the second moment is Adam's
    return 0


def _asked_floats_per_weight(resolved: Mapping[str, object], track_fast_weights: bool) -> float:
    """Floats per weight of an optimizer made and built around a small layer."""
    import keras
    from optrun.optimizers.build import build

    weights = [keras.Variable(keras.ops.zeros(shape)) for shape in _PROBE_SHAPES]
    try:
        optimizer = build(resolved, total_updates=2**31 - 1, track_fast_weights=track_fast_weights)
        optimizer.build(weights)
        kept = [math.prod(variable.shape) for variable in optimizer.variables]
    except Exception:  # noqa: BLE001 (a person's code; training says what is wrong with it)
        return _ASSUMED_COPIES
    # Counters, of which there are a handful, would weigh too much beside so few weights.
    weights_count = sum(map(math.prod, _PROBE_SHAPES))
    return float(sum(count for count in kept if count > 1) / weights_count)
