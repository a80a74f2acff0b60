"""VGG19 in numbers: what the architecture fixes, without Keras.

Source: Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(ICLR 2015), table 1, column E, without its three dense layers.
"""

import math
from collections.abc import Sequence

CONVOLUTIONS_PER_BLOCK = (2, 2, 4, 4, 4)
CHANNELS_PER_BLOCK = (64, 128, 256, 512, 512)
KERNEL_SIZE = 3


def channels(width: float) -> list[int]:
    """Channels of each block's convolutions at a width, at least 1.

    >>> channels(0.25)
    [16, 32, 64, 128, 128]
    """
    return [max(1, round(count * width)) for count in CHANNELS_PER_BLOCK]


def weight_count(
    *, width: float, image_size: int, pooling: str, hidden_units: Sequence[int]
) -> int:
    """Weights and biases of the classifier with its new head, counted without building it.

    Args:
        width: Factor on the number of channels.
        image_size: Side of a photo in pixels; matters where the features are flattened.
        pooling: "average", "max" or "flatten".
        hidden_units: Sizes of the dense layers before the logit.

    >>> weight_count(width=1, image_size=224, pooling="average", hidden_units=())
    20024897
    """
    shapes = weight_shapes(
        width=width, image_size=image_size, pooling=pooling, hidden_units=hidden_units
    )
    return sum(map(math.prod, shapes))


def weight_shapes(
    *,
    width: float,
    image_size: int,
    pooling: str,
    hidden_units: Sequence[int],
    trainable: str = "all",
) -> list[tuple[int, ...]]:
    """Shapes of the kernels and biases, from the photo up.

    Args:
        width: As for `weight_count`, and so are the next three.
        image_size: Side of a photo in pixels.
        pooling: "average", "max" or "flatten".
        hidden_units: Sizes of the dense layers before the logit.
        trainable: "all" for every layer, "block2" to "block5" for those from that block up, "head"
            for the dense ones.

    >>> weight_shapes(
    ...     width=1, image_size=224, pooling="average", hidden_units=(), trainable="head"
    ... )
    [(512, 1), (1,)]
    """
    blocks = len(CONVOLUTIONS_PER_BLOCK)
    lowest = {"all": 1, "head": blocks + 1}.get(trainable) or int(trainable[-1])
    shapes: list[tuple[int, ...]] = []
    inputs = 3
    for block, (count, outputs) in enumerate(
        zip(CONVOLUTIONS_PER_BLOCK, channels(width), strict=True), start=1
    ):
        for _ in range(count):
            if block >= lowest:
                shapes += [(KERNEL_SIZE, KERNEL_SIZE, inputs, outputs), (outputs,)]
            inputs = outputs
    if pooling == "flatten":
        inputs *= (image_size // 2**blocks) ** 2
    for outputs in (*hidden_units, 1):
        shapes += [(inputs, outputs), (outputs,)]
        inputs = outputs
    return shapes


def output_floats(*, width: float, image_size: int) -> list[int]:
    """Numbers in a photo and in the output of each convolution and pooling layer for it.

    >>> sum(output_floats(width=1, image_size=224))
    16532992
    """
    found, size = [image_size**2 * 3], image_size
    for count, outputs in zip(CONVOLUTIONS_PER_BLOCK, channels(width), strict=True):
        found += [size**2 * outputs] * count
        size //= 2
        found.append(size**2 * outputs)
    return found
