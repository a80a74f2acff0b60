"""Networks of `keras.applications` by name, as published, with what their weights expect of pixels.

A network is one row of the table here; what it is made of, Keras says.
"""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from optrun.runner.models.base import (
    Architecture,
    FeatureSizes,
    LayerSize,
    Network,
    PublishedWeights,
)
from optrun.runner.models.weights import WeightsError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import numpy.typing as npt

# What the published weights were trained on: photos minus ImageNet's mean colour, as BGR; photos in
# [-1, 1]; or plain photos, which the network itself brings into its range.
Pixels = Literal["centred", "scaled", "plain"]


def _features(
    constructor: str, pixels: Pixels
) -> Callable[["keras.KerasTensor", Architecture, str], "keras.KerasTensor"]:
    def features(
        photos: "keras.KerasTensor", architecture: Architecture, precision: str
    ) -> "keras.KerasTensor":
        from optrun.runner.models.ends import centred, scaled

        if pixels == "plain":
            x = photos
        elif pixels == "centred" and architecture.pretrained_input:
            x = centred(photos, precision)
        else:
            x = scaled(photos, precision)
        return _built(constructor, architecture.image_size, precision, x).output

    return features


def _built(
    constructor: str, image_size: int, precision: str, photos: "keras.KerasTensor | None" = None
) -> "keras.Model":
    """The network without its dense layers, on the given tensor or by itself."""
    import keras
    from optrun.runner.models.keras_state import fresh_keras

    # Its layers take their policy, their names and their random weights from global state alone.
    with fresh_keras():
        keras.config.set_dtype_policy(precision)
        return getattr(keras.applications, constructor)(
            include_top=False,
            weights=None,
            input_tensor=photos,
            input_shape=(image_size, image_size, 3),
        )


@functools.cache
def _sizes(constructor: str, image_size: int) -> FeatureSizes:
    """Read off the network, which is built for it: some seconds, once for each size of photo."""
    model = _built(constructor, image_size, "float32")
    layers = [
        LayerSize(
            math.prod(layer.output.shape[1:]),
            [tuple(one.shape) for one in layer.trainable_weights],
            [tuple(one.shape) for one in layer.non_trainable_weights],
        )
        for layer in model.layers
    ]
    _, side, _, channels = model.output.shape
    return FeatureSizes(layers, side, channels)


def _initialise(model: "keras.Model", _photos: "npt.NDArray[np.uint8]", seed: int) -> None:
    from optrun.runner.models.initialization import initialise_normalised

    initialise_normalised(model, seed=seed)


def _put_in(title: str, pixels: Pixels) -> Callable[["keras.Model", Path], None]:
    def put_in(model: "keras.Model", path: Path) -> None:
        import keras
        from optrun.runner.models.ends import POOLED, below_head

        features = keras.Model(model.input, model.get_layer(POOLED).input)
        try:
            features.load_weights(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise WeightsError(
                f"{path} must be weights of {title} without its dense layers ('notop'), as Keras "
                f"saves them (.h5 or .weights.h5), and does not fit: {reason}"
            ) from error
        if pixels == "centred":
            # The files were trained on BGR; reversing the input axis gives the same for RGB.
            first = next(one for one in below_head(model) if isinstance(one, keras.layers.Conv2D))
            kernel = keras.ops.convert_to_numpy(first.kernel)
            first.kernel.assign(kernel[:, :, ::-1, :])

    return put_in


def _network(
    name: str,
    title: str,
    description: str,
    pixels: Pixels,
    published: PublishedWeights,
) -> Network:
    def sizes(architecture: Architecture) -> FeatureSizes:
        return _sizes(published.constructor, architecture.image_size)

    return Network(
        name=name,
        title=title,
        description=description,
        features=_features(published.constructor, pixels),
        sizes=sizes,
        initialise=_initialise,
        put_in=_put_in(title, pixels),
        published=published,
        scales=False,
    )


NETWORKS = (
    _network(
        "resnet50",
        "ResNet50",
        "He et al. 2016: 50 layers with shortcuts around each three",
        "centred",
        PublishedWeights(
            "ResNet50",
            "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "4d473c1dd8becc155b73f8504c6f6626",
            95,
        ),
    ),
    _network(
        "efficientnetv2b0",
        "EfficientNetV2B0",
        "Tan & Le 2021: found by search for speed of training",
        "plain",
        PublishedWeights(
            "EfficientNetV2B0",
            "efficientnetv2-b0_notop.h5",
            "893217f2bb855e2983157299931e43ff",
            24,
        ),
    ),
    _network(
        "mobilenetv2",
        "MobileNetV2",
        "Sandler et al. 2018: thin layers for small machines",
        "scaled",
        PublishedWeights(
            "MobileNetV2",
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
            None,
            9,
        ),
    ),
)
