"""Batch normalisation's averages for weights that were never trained on.

Lookahead is measured and exported on its slow weights, and the averages that a BatchNormalization
kept are of what the fast ones made of the photos. So they are taken anew, over some of the training
photos, as Izmailov et al. do for averaged weights ("Averaging Weights Leads to Wider Optima", 2018,
section 3.2).

Importing this module imports TensorFlow and Keras.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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


@contextmanager
def recomputed_batch_norm(model: keras.Model, batches: Iterable[Any]) -> Iterator[None]:
    """Within, the running averages are means over batches of photos at the present weights.

    A pure function of weights and batches, each photo of equal weight; a batch is at least one
    photo, uint8 [n, s, s, 3], alone or as a tuple's first. No other variable is written: the seeds
    of dropout masks stay as they are. On leaving, training's own averages return bit for bit.
    """
    layers = normalised_layers(model)
    averages = [one for layer in layers for one in (layer.moving_mean, layer.moving_variance)]
    numbers = {id(one): number for number, one in enumerate(model.non_trainable_variables)}
    places = [numbers[id(one)] for one in averages]
    kept = [keras.ops.convert_to_numpy(one) for one in averages]
    momenta = [layer.momentum for layer in layers]

    def statistics(photos: tf.Tensor) -> list[tf.Tensor]:
        _, after = model.stateless_call(
            model.trainable_variables, model.non_trainable_variables, photos, training=True
        )
        return [after[place] for place in places]

    compiled = tf.function(statistics, reduce_retracing=True)
    sums, count = [np.zeros(one.shape) for one in averages], 0
    try:
        # What is left of the averages after a batch is then that batch's own.
        for layer in layers:
            layer.momentum = 0.0
        for batch in batches:
            photos = batch[0] if isinstance(batch, tuple) else batch
            for total, found in zip(sums, compiled(photos), strict=True):
                total += len(photos) * np.asarray(found, np.float64)
            count += len(photos)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    try:
        for variable, total in zip(averages, sums, strict=True):
            variable.assign(total / count)
        yield
    finally:
        for variable, value in zip(averages, kept, strict=True):
            variable.assign(value)
