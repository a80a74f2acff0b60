"""The optimizers of this package, which Keras does not have."""

from optimizers.entry import Entry
from optimizers.flow_entries import FLOW_ENTRIES
from optimizers.radam_entries import RADAM_ENTRIES
from optimizers.wrapper_entries import WRAPPER_ENTRIES

OWN_ENTRIES: tuple[Entry, ...] = (*WRAPPER_ENTRIES, *FLOW_ENTRIES, *RADAM_ENTRIES)
