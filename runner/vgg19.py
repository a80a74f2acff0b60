"""VGG19 in numbers: what the architecture fixes, without Keras.

Source: Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(ICLR 2015), table 1, column E, without its three dense layers.
"""

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
    inputs, total = 3, 0
    for count, outputs in zip(CONVOLUTIONS_PER_BLOCK, channels(width), strict=True):
        for _ in range(count):
            total += (KERNEL_SIZE**2 * inputs + 1) * outputs
            inputs = outputs
    if pooling == "flatten":
        inputs *= (image_size // 2 ** len(CONVOLUTIONS_PER_BLOCK)) ** 2
    for outputs in (*hidden_units, 1):
        total += (inputs + 1) * outputs
        inputs = outputs
    return total
