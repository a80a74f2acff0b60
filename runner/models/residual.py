"""A small residual network of our own: for the sample, for tests, for a quick look.

Three stages of two residual blocks as for CIFAR-10 in He et al. 2016 (CVPR, section 4.2), each with
batch normalisation; every stage halves the photo, the first by a stride of two at its entry.
"""

from typing import TYPE_CHECKING, Any

from optrun.runner.models.base import Architecture, FeatureSizes, LayerSize, Network

if TYPE_CHECKING:
    import keras
    import numpy as np
    import numpy.typing as npt

CHANNELS_PER_STAGE = (32, 64, 128)
BLOCKS_PER_STAGE = 2
KERNEL_SIZE = 3


def _channels(architecture: Architecture) -> list[int]:
    return [max(1, round(count * architecture.width)) for count in CHANNELS_PER_STAGE]


def features(
    photos: "keras.KerasTensor", architecture: Architecture, precision: str
) -> "keras.KerasTensor":
    """The three stages over photos; see `base.Network`."""
    import keras
    from optrun.runner.models.ends import scaled

    layers = keras.layers

    def convolved(x: "keras.KerasTensor", filters: int, size: int, stride: int, name: str) -> Any:
        blank = {"use_bias": False, "kernel_initializer": "zeros", "dtype": precision}
        x = layers.Conv2D(filters, size, stride, "same", name=f"{name}_conv", **blank)(x)
        return layers.BatchNormalization(momentum=0.9, dtype=precision, name=f"{name}_norm")(x)

    def activated(x: "keras.KerasTensor", name: str) -> Any:
        return layers.Activation("relu", dtype=precision, name=f"{name}_relu")(x)

    x = scaled(photos, precision)
    for stage, filters in enumerate(_channels(architecture), start=1):
        for block in range(1, BLOCKS_PER_STAGE + 1):
            name, stride = f"stage{stage}_block{block}", 2 if block == 1 else 1
            inner = activated(convolved(x, filters, KERNEL_SIZE, stride, f"{name}_1"), f"{name}_1")
            inner = convolved(inner, filters, KERNEL_SIZE, 1, f"{name}_2")
            around = x if block > 1 else convolved(x, filters, 1, stride, f"{name}_around")
            x = layers.Add(dtype=precision, name=f"{name}_add")([around, inner])
            x = activated(x, name)
    return x


def sizes(architecture: Architecture) -> FeatureSizes:
    """The same in numbers."""
    inputs, side = 3, architecture.image_size
    found = [LayerSize(side**2 * inputs)]
    for stage, outputs in enumerate(_channels(architecture), start=1):
        side = -(-side // 2)
        for block in range(BLOCKS_PER_STAGE):
            kernels = [(KERNEL_SIZE, inputs), (KERNEL_SIZE, outputs)]
            kernels += [(1, inputs)] if block == 0 else []
            for size, channels in kernels:
                shape = [(size, size, channels, outputs)]
                found.append(LayerSize(side**2 * outputs, shape, block=f"stage{stage}"))
                pair = [(outputs,)] * 2
                found.append(LayerSize(side**2 * outputs, pair, pair, block=f"stage{stage}"))
            found += [LayerSize(side**2 * outputs, block=f"stage{stage}")] * 3
            inputs = outputs
    return FeatureSizes(found, side, inputs)


def initialise(model: "keras.Model", _photos: "npt.NDArray[np.uint8]", seed: int) -> None:
    """He's weights, which batch normalisation makes start."""
    from optrun.runner.models.initialization import initialise_normalised

    initialise_normalised(model, seed=seed)


RESNET_SMALL = Network(
    name="resnet_small",
    title="small ResNet",
    description="Three stages of two residual blocks, for the sample and quick looks",
    features=features,
    sizes=sizes,
    initialise=initialise,
    blocks=("stage1", "stage2", "stage3"),
)
