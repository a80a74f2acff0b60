"""What all networks share: how pixels come in, and the head that gives one logit.

Importing this module imports Keras.
"""

import keras
from optrun.runner.models.base import Architecture

# The published weights of several networks were trained on photos minus ImageNet's mean colour.
IMAGENET_MEAN_RGB = (123.68, 116.779, 103.939)
POOLED = "pooled"  # the first layer of the head


def centred(photos: keras.KerasTensor, precision: str) -> keras.KerasTensor:
    """RGB photos minus ImageNet's mean colour, not divided.

    The kernels that expect this expect BGR; their input axis is turned around as they are put in,
    so that the network keeps to stock layers and RGB.
    """
    return keras.layers.Rescaling(
        1.0, offset=[-mean for mean in IMAGENET_MEAN_RGB], dtype=precision, name="normalise"
    )(photos)


def scaled(photos: keras.KerasTensor, precision: str) -> keras.KerasTensor:
    """Photos in [-1, 1]."""
    return keras.layers.Rescaling(
        1 / 127.5, offset=[-1.0, -1.0, -1.0], dtype=precision, name="normalise"
    )(photos)


def head(
    features: keras.KerasTensor, architecture: Architecture, *, seed: int, precision: str
) -> keras.KerasTensor:
    """Pooling, dropout and dense layers over a feature map, [b, h, w, c], to the float32 logit."""
    layers, rate = keras.layers, architecture.dropout
    # Weights are put in afterwards: to draw them here would cost time, and Python's random numbers.
    blank = {"dtype": precision, "kernel_initializer": "zeros"}
    pooling = {
        "average": layers.GlobalAveragePooling2D,
        "max": layers.GlobalMaxPooling2D,
        "flatten": layers.Flatten,
    }[architecture.pooling]
    x = pooling(name=POOLED, dtype=precision)(features)
    for index, units in enumerate(architecture.hidden_units, start=1):
        x = layers.Dropout(rate, seed=seed + index, dtype=precision, name=f"dropout{index}")(x)
        x = layers.Dense(units, activation="relu", name=f"hidden{index}", **blank)(x)
    x = layers.Dropout(rate, seed=seed, dtype=precision, name="dropout")(x)
    # The loss takes a logarithm of this value's sigmoid; eight bits of mantissa are too few.
    return layers.Dense(1, name="logit", **blank | {"dtype": "float32"})(x)


def below_head(model: keras.Model) -> list[keras.layers.Layer]:
    """A classifier's layers from the photos up to its last feature map."""
    names = [layer.name for layer in model.layers]
    return list(model.layers[: names.index(POOLED)])
