"""Every optimizer a specification can name. Imports neither Keras nor NumPy.

Example:
    >>> from optrun.optimizers.registry import ENTRIES
    >>> ENTRIES["heun"].evaluations
    2
    >>> [argument.name for argument in ENTRIES["lookahead"].arguments]
    ['inner_optimizer', 'sync_period', 'slow_step_size', 'inner_state']
"""

from collections.abc import Mapping
from types import MappingProxyType

from optrun.optimizers.entry import LEARNING_RATE, Argument, Entry, Kind
from optrun.optimizers.keras_entries import KERAS_ENTRIES
from optrun.optimizers.own_entries import OWN_ENTRIES

__all__ = ["ENTRIES", "LEARNING_RATE", "NOT_OFFERED", "Argument", "Entry", "Kind"]

ENTRIES: Mapping[str, Entry] = MappingProxyType(
    {entry.name: entry for entry in (*KERAS_ENTRIES, *OWN_ENTRIES)}
)

_WRAPPED_BY_KERAS = "Keras adds it by itself under mixed_float16"
NOT_OFFERED: Mapping[str, str] = MappingProxyType(
    {
        "schedulefreeadamw": "Keras 3.15 leaves the network on its training weights, where the "
        "method is measured on the averaged ones",
        "lossscaleoptimizer": _WRAPPED_BY_KERAS,
        "multioptimizer": "it needs Python code that says which layer goes with which optimizer",
    }
)
