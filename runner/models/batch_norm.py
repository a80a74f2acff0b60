"""Batch normalisation's averages at the weights that are measured.

The averages that a BatchNormalization keeps in training lag behind its weights, and where Lookahead
is measured on its slow weights they are of others altogether. So that the same weights are worth
the same whatever optimizer made them, they are taken anew over some of the training photos, as
Izmailov et al. do for averaged weights ("Averaging Weights Leads to Wider Optima", 2018, section
3.2).

Importing this module imports TensorFlow and Keras.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Photos that the averages are taken over: enough for means within a few per cent.
PHOTOS = 512


def normalised_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The layers whose averages move in training; frozen ones keep theirs."""
    return [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]


class Averages:
    """The averages of a model's batch normalisation; a model without it has none."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._layers = normalised_layers(model)
        self._averages = [
            one for layer in self._layers for one in (layer.moving_mean, layer.moving_variance)
        ]

    @contextmanager
    def anew(self, batches: Iterable[Any]) -> Iterator[None]:
        """Within, they are means over batches of photos at the present weights.

        A pure function of weights and batches, each photo of equal weight; a batch is at least one
        photo, uint8 [n, s, s, 3], alone or as a tuple's first. No other variable is written: the
        seeds of dropout masks stay as they are. On leaving, training's own averages return bit for
        bit.
        """
        if not self._layers:
            yield
            return
        kept = [keras.ops.convert_to_numpy(one) for one in self._averages]
        sums, count = [np.zeros(one.shape) for one in self._averages], 0
        for batch in batches:
            photos = batch[0] if isinstance(batch, tuple) else batch
            for total, found in zip(sums, self._statistics(photos), strict=True):
                total += len(photos) * np.asarray(found, np.float64)
            count += len(photos)
        try:
            for variable, total in zip(self._averages, sums, strict=True):
                variable.assign(total / count)
            yield
        finally:
            for variable, value in zip(self._averages, kept, strict=True):
                variable.assign(value)

    @cached_property
    def _statistics(self) -> Callable[[Any], list[tf.Tensor]]:
        """The means and variances of a batch of any size."""
        model = self._model
        numbers = {id(one): number for number, one in enumerate(model.non_trainable_variables)}
        places = [numbers[id(one)] for one in self._averages]

        def statistics(photos: tf.Tensor) -> list[tf.Tensor]:
            _, after = model.stateless_call(
                model.trainable_variables, model.non_trainable_variables, photos, training=True
            )
            return [after[place] for place in places]

        signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8)]
        momenta = [layer.momentum for layer in self._layers]
        try:
            # While it is traced: what is left of the averages after a batch is then its own.
            for layer in self._layers:
                layer.momentum = 0.0
            compiled: Callable[[Any], list[tf.Tensor]]
            compiled = tf.function(statistics, input_signature=signature).get_concrete_function()
            return compiled
        finally:
            for layer, momentum in zip(self._layers, momenta, strict=True):
                layer.momentum = momentum
