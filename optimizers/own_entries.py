"""The optimizers of this package, which Keras does not have."""

from optrun.optimizers.entry import Entry
from optrun.optimizers.flow_entries import FLOW_ENTRIES
from optrun.optimizers.radam_entries import RADAM_ENTRIES
from optrun.optimizers.wrapper_entries import WRAPPER_ENTRIES

OWN_ENTRIES: tuple[Entry, ...] = (*WRAPPER_ENTRIES, *FLOW_ENTRIES, *RADAM_ENTRIES)
