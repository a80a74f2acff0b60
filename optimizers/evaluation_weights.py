"""The weights a network is measured on: Lookahead's slow ones, otherwise those it trains on."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import keras
from optrun.optimizers.lookahead import Lookahead
from optrun.optimizers.unwrapping import find


@contextmanager
def evaluation_weights(model: keras.Model) -> Iterator[None]:
    """Put a compiled model on the weights it is measured on; training weights return bit for bit.

    Finds Lookahead inside SoftBatch and LossScaleOptimizer. Does nothing for other optimizers, and
    nothing right after a sync. For eager use, between epochs; do not train inside it.

    Example:
        with evaluation_weights(model):
            model.evaluate(validation)
            model.save_weights("best.weights.h5")
    """
    lookahead = find(getattr(model, "optimizer", None), Lookahead)
    with nullcontext() if lookahead is None else lookahead.slow_weights():
        yield
