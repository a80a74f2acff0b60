"""The classifier: VGG19's convolutions under a new head, raw RGB bytes in, one logit out.

The architecture's numbers stand in `optrun.runner.models.vgg`. Layers carry Keras' names
(`block1_conv1` ... `block5_pool`), so that published weight files fit.

Importing this module imports Keras.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
from optrun.optimizers import Model
from optrun.runner.models.vgg import CONVOLUTIONS_PER_BLOCK, KERNEL_SIZE, channels

# What the published weights were trained on: RGB photos minus ImageNet's mean colour, not divided.
IMAGENET_MEAN_RGB = (123.68, 116.779, 103.939)


@dataclass(frozen=True)
class Architecture:
    """Everything that decides which function the network can compute.

    Attributes:
        image_size: Height and width of a photo in pixels, at least 32 (VGG19 halves it five times).
        pretrained_input: Whether pixels are centred as for the published ImageNet weights
            (x - mean) or scaled to [-1, 1] as for random ones.
        width: Factor on the number of channels of every convolution, above 0; 1 is VGG19.
        pooling: How the last feature map becomes a vector: "average", "max" or "flatten".
        hidden_units: Sizes of the dense layers (ReLU) between the features and the logit.
        dropout: Share of values set to zero before each dense layer, in [0, 1).
        trainable: "all", "head", or the lowest block that learns, "block2" to "block5".
    """

    image_size: int
    pretrained_input: bool
    width: float = 1.0
    pooling: str = "average"
    hidden_units: Sequence[int] = ()
    dropout: float = 0.5
    trainable: str = "all"


def build_classifier(
    architecture: Architecture, *, seed: int, precision: str = "float32"
) -> keras.Model:
    """Build the network, its weights not yet chosen (see `initialization` and `weights`).

    Args:
        architecture: What to build.
        seed: Seed of the dropout masks.
        precision: Dtype policy of its layers, whatever Keras' global one is.

    Returns:
        A model from uint8 [batch, size, size, 3], RGB in 0..255, to one float32 logit a photo,
        [batch, 1]; positive means dog.
    """
    # Weights are put in afterwards: to draw them here would cost time, and Python's random numbers.
    blank = {"dtype": precision, "kernel_initializer": "zeros"}
    photos = keras.Input((architecture.image_size,) * 2 + (3,), dtype="uint8", name="photos")
    x = _normalised(photos, pretrained=architecture.pretrained_input, precision=precision)
    for block, (count, filters) in enumerate(
        zip(CONVOLUTIONS_PER_BLOCK, channels(architecture.width), strict=True), start=1
    ):
        for index in range(1, count + 1):
            x = keras.layers.Conv2D(
                filters,
                KERNEL_SIZE,
                padding="same",
                activation="relu",
                name=f"block{block}_conv{index}",
                **blank,
            )(x)
        x = keras.layers.MaxPooling2D(2, dtype=precision, name=f"block{block}_pool")(x)
    x = _pooled(x, architecture.pooling, precision=precision)
    rate = architecture.dropout
    for index, units in enumerate(architecture.hidden_units, start=1):
        x = keras.layers.Dropout(rate, seed=seed + index, dtype=precision, name=f"dropout{index}")(
            x
        )
        x = keras.layers.Dense(units, activation="relu", name=f"hidden{index}", **blank)(x)
    x = keras.layers.Dropout(rate, seed=seed, dtype=precision, name="dropout")(x)
    # The loss takes a logarithm of this value's sigmoid; eight bits of mantissa are too few.
    logit = keras.layers.Dense(1, name="logit", **blank | {"dtype": "float32"})(x)
    model = Model(photos, logit, name="vgg19_classifier")
    # Its own, which decides whether the optimizer scales the loss: a functional model is not asked.
    model.dtype_policy = precision
    _freeze(model, architecture.trainable)
    return model


def convolutions(model: keras.Model) -> list[keras.layers.Conv2D]:
    """The model's convolutions from the photo up."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


def _normalised(
    photos: keras.KerasTensor, *, pretrained: bool, precision: str
) -> keras.KerasTensor:
    if pretrained:
        # The published kernels expect BGR; `weights` turns their input axis around instead, so
        # that the network keeps to stock layers and RGB.
        scale, offset = 1.0, [-mean for mean in IMAGENET_MEAN_RGB]
    else:
        scale, offset = 1 / 127.5, [-1.0, -1.0, -1.0]
    return keras.layers.Rescaling(scale, offset=offset, dtype=precision, name="normalise")(photos)


def _pooled(features: keras.KerasTensor, pooling: str, *, precision: str) -> keras.KerasTensor:
    layer = {
        "average": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
        "flatten": keras.layers.Flatten,
    }[pooling]
    return layer(name="pooled", dtype=precision)(features)


def _freeze(model: keras.Model, trainable: str) -> None:
    if trainable == "all":
        return
    lowest = len(CONVOLUTIONS_PER_BLOCK) + 1 if trainable == "head" else int(trainable[-1])
    for layer in convolutions(model):
        layer.trainable = int(layer.name.removeprefix("block").split("_")[0]) >= lowest
