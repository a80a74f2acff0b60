"""VGG16 and VGG19: blocks of 3 x 3 convolutions, each block halving the photo.

Source: Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(ICLR 2015), table 1, columns D and E, without their three dense layers. Layers carry Keras' names
(`block1_conv1` ... `block5_pool`), so that published weight files fit.
"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from optrun.runner.models import base, weights
from optrun.runner.models.base import Architecture, LayerSize

if TYPE_CHECKING:
    import keras
    import numpy as np
    import numpy.typing as npt

CONVOLUTIONS_PER_BLOCK = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
CHANNELS_PER_BLOCK = (64, 128, 256, 512, 512)
KERNEL_SIZE = 3


def features(
    photos: "keras.KerasTensor", architecture: Architecture, precision: str
) -> "keras.KerasTensor":
    """The convolutions over photos; see `base.Network`."""
    import keras
    from optrun.runner.models.ends import centred, scaled

    x = (centred if architecture.pretrained_input else scaled)(photos, precision)
    for block, (count, filters) in enumerate(_blocks(architecture), start=1):
        for index in range(1, count + 1):
            x = keras.layers.Conv2D(
                filters,
                KERNEL_SIZE,
                padding="same",
                activation="relu",
                name=f"block{block}_conv{index}",
                dtype=precision,
                kernel_initializer="zeros",
            )(x)
        x = keras.layers.MaxPooling2D(2, dtype=precision, name=f"block{block}_pool")(x)
    return x


def sizes(architecture: Architecture) -> base.FeatureSizes:
    """The same in numbers.

    >>> sum(one.outputs for one in sizes(Architecture(224, True)).layers)
    16532992
    """
    inputs, side = 3, architecture.image_size
    found = [LayerSize(side**2 * inputs)]
    for block, (count, outputs) in enumerate(_blocks(architecture), start=1):
        for _ in range(count):
            shapes = [(KERNEL_SIZE, KERNEL_SIZE, inputs, outputs), (outputs,)]
            found.append(LayerSize(side**2 * outputs, shapes, block=f"block{block}"))
            inputs = outputs
        side //= 2
        found.append(LayerSize(side**2 * outputs, block=f"block{block}"))
    return base.FeatureSizes(found, side, inputs)


def initialise(model: "keras.Model", photos: "npt.NDArray[np.uint8]", seed: int) -> None:
    from optrun.runner.models.initialization import initialise_convolutions

    initialise_convolutions(model, photos, seed=seed)


def put_in(title: str, model: "keras.Model", path: Path) -> None:
    """Put a file's weights into the convolutions; a `WeightsError` leaves them unchanged."""
    from optrun.runner.models.initialization import convolutions

    layers = {layer.name: layer for layer in convolutions(model)}
    shapes = {name: tuple(layer.kernel.shape) for name, layer in layers.items()}
    for name, arrays in weights.read_convolutions(path, shapes, title=title).items():
        layers[name].set_weights(arrays)


def _blocks(architecture: Architecture) -> list[tuple[int, int]]:
    """Convolutions and channels of each block."""
    channels = [max(1, round(count * architecture.width)) for count in CHANNELS_PER_BLOCK]
    return list(zip(CONVOLUTIONS_PER_BLOCK[architecture.network], channels, strict=True))


def _network(name: str, layers: str, md5: str, megabytes: int) -> base.Network:
    title, file = name.upper(), f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return base.Network(
        name=name,
        title=title,
        description=f"Simonyan & Zisserman 2015: {layers} convolutions, no normalisation",
        features=features,
        sizes=sizes,
        initialise=initialise,
        put_in=functools.partial(put_in, title),
        published=base.PublishedWeights(title, file, md5, megabytes),
        blocks=("block1", "block2", "block3", "block4", "block5"),
    )


VGG16 = _network("vgg16", "thirteen", "6d6bbae143d832006294945121d1f1fc", 59)
VGG19 = _network("vgg19", "sixteen", "253f8cb515780f3b799900260a226db6", 80)
