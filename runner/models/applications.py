"""Networks of `keras.applications` by name, as published, with what their weights expect of pixels.

A network is one row of the table here; what it is made of, Keras says.
"""

import functools
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from optrun.runner.models import base, residual, weights
from optrun.runner.models.base import Architecture, LayerSize

if TYPE_CHECKING:
    import keras

# What the published weights were trained on: photos minus ImageNet's mean colour, as BGR; photos in
# [-1, 1]; or plain photos, which the network itself brings into its range.
Pixels = Literal["centred", "scaled", "plain"]


def _features(
    constructor: str,
    pixels: Pixels,
    photos: "keras.KerasTensor",
    architecture: Architecture,
    precision: str,
) -> "keras.KerasTensor":
    from optrun.runner.models.ends import centred, scaled

    if pixels != "plain":
        is_centred = pixels == "centred" and architecture.pretrained_input
        photos = (centred if is_centred else scaled)(photos, precision)
    return _built(constructor, architecture.image_size, precision, photos).output


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
def _sizes(constructor: str, image_size: int) -> base.FeatureSizes:
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
    return base.FeatureSizes(layers, side, channels)


def _put_in(title: str, pixels: Pixels, model: "keras.Model", path: Path) -> None:
    import keras
    from optrun.runner.models.ends import POOLED, below_head

    features = keras.Model(model.input, model.get_layer(POOLED).input)
    try:
        with warnings.catch_warnings():
            # Keras warns of each layer that does not fit, and then raises, which says it.
            warnings.simplefilter("ignore")
            features.load_weights(path)
    except weights.DAMAGE as error:
        reason = " ".join(str(error).split())[:300]
        raise weights.WeightsError(
            f"{path} must be weights of {title} without its dense layers ('notop'), as Keras "
            f"saves them (.h5 or .weights.h5), and does not fit: {reason}"
        ) from error
    if pixels == "centred":
        # The files were trained on BGR; reversing the input axis gives the same for RGB.
        first = next(one for one in below_head(model) if isinstance(one, keras.layers.Conv2D))
        kernel = keras.ops.convert_to_numpy(first.kernel)
        first.kernel.assign(kernel[:, :, ::-1, :])


def _network(
    title: str, description: str, pixels: Pixels, file: str, md5: str | None, megabytes: int
) -> base.Network:
    return base.Network(
        name=title.lower(),
        title=title,
        description=description,
        features=functools.partial(_features, title, pixels),
        sizes=lambda architecture: _sizes(title, architecture.image_size),
        initialise=residual.initialise,
        put_in=functools.partial(_put_in, title, pixels),
        published=base.PublishedWeights(title, file, md5, megabytes),
        scales=False,
    )


NETWORKS = (
    _network(
        "ResNet50",
        "He et al. 2016: 50 layers with shortcuts around each three",
        "centred",
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "4d473c1dd8becc155b73f8504c6f6626",
        95,
    ),
    _network(
        "EfficientNetV2B0",
        "Tan & Le 2021: found by search for speed of training",
        "plain",
        "efficientnetv2-b0_notop.h5",
        "893217f2bb855e2983157299931e43ff",
        24,
    ),
    _network(
        "MobileNetV2",
        "Sandler et al. 2018: thin layers for small machines",
        "scaled",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        None,
        9,
    ),
)
