"""What a network is here: the contract that every module of networks fills in, without Keras.

A network turns a photo into a feature map; the head over it (`ends`) is the same for all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras
    import numpy as np
    import numpy.typing as npt

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """Everything that decides which function the classifier can compute.

    Attributes:
        image_size: Height and width of a photo in pixels, at least 32.
        pretrained_input: Whether pixels are brought into the range of the published ImageNet
            weights, or scaled to [-1, 1] as for random ones.
        width: Factor on the number of channels of every convolution, above 0; 1 is as published.
        pooling: How the last feature map becomes a vector: "average", "max" or "flatten".
        hidden_units: Sizes of the dense layers (ReLU) between the features and the logit.
        dropout: Share of values set to zero before each dense layer, in [0, 1).
        trainable: "all", "head", or the lowest of the network's blocks that learns.
    """

    image_size: int
    pretrained_input: bool
    network: str = "vgg19"
    width: float = 1.0
    pooling: str = "average"
    hidden_units: Sequence[int] = ()
    dropout: float = 0.5
    trainable: str = "all"


@dataclass(frozen=True)
class LayerSize:
    """A layer in numbers.

    Attributes:
        outputs: Numbers in its output for one photo.
        state: Shapes of what the layer itself keeps (the running averages of a BatchNormalization).
        block: The network's block that it belongs to.
    """

    outputs: int
    weights: Sequence[Shape] = ()
    state: Sequence[Shape] = ()
    block: str = ""


@dataclass(frozen=True)
class FeatureSizes:
    """The layers below the head from the photo up, and the last feature map's side and channels."""

    layers: Sequence[LayerSize]
    side: int
    channels: int


@dataclass(frozen=True)
class PublishedWeights:
    """ImageNet weights that Keras downloads into its cache.

    Attributes:
        constructor: Of `keras.applications`; it downloads the file.
        md5: As Keras states it; None where it states none.
    """

    constructor: str
    file_name: str
    md5: str | None
    megabytes: int


@dataclass(frozen=True)
class Network:
    """A network that `model.network` can name.

    Attributes:
        features: The layers from the photos, uint8 [b, s, s, 3], to the last feature map,
            [b, h, w, c], in a dtype policy. Layers of a block have names that begin with the
            block's name and "_". Weights need not be drawn.
        sizes: The same in numbers; it may build the network for it.
        initialise: Gives the layers below the head random weights, a pure function of the training
            photos it is handed and the seed.
        put_in: Puts a weights file's content into the layers below the head; raises `WeightsError`.
        published: Its ImageNet weights; None where there are none, and none can be put in.
        blocks: From the photo up, where training can begin at one of them.
        scales: Whether `model.width` may be other than 1.
    """

    name: str
    title: str
    description: str
    features: Callable[["keras.KerasTensor", Architecture, str], "keras.KerasTensor"]
    sizes: Callable[[Architecture], FeatureSizes]
    initialise: Callable[["keras.Model", "npt.NDArray[np.uint8]", int], None]
    put_in: Callable[["keras.Model", Path], None] | None = None
    published: PublishedWeights | None = None
    blocks: tuple[str, ...] = ()
    scales: bool = True

    def is_trained(self, block: str, trainable: str) -> bool:
        """Whether the layers of a block below the head learn.

        Args:
            block: One of `blocks`; "" where it has none.
            trainable: As in `Architecture`.
        """
        if trainable in ("all", "head"):
            return trainable == "all"
        return self.blocks.index(block) >= self.blocks.index(trainable)
