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
    """Everything that decides which function the classifier can compute."""

    image_size: int  # height and width of a photo in pixels, at least 32
    # Whether pixels are brought into the range of the published ImageNet weights, or scaled to
    # [-1, 1] as for random ones.
    pretrained_input: bool
    network: str = "vgg19"
    width: float = 1.0  # factor on the channels of every convolution, above 0; 1 is as published
    pooling: str = "average"  # how the last feature map becomes a vector; or "max" or "flatten"
    hidden_units: Sequence[int] = ()  # dense layers (ReLU) between the features and the logit
    dropout: float = 0.5  # share of values set to zero before each dense layer, in [0, 1)
    trainable: str = "all"  # or "head", or the lowest of the network's blocks that learns


@dataclass(frozen=True)
class LayerSize:
    """A layer in numbers."""

    outputs: int  # numbers in its output for one photo
    weights: Sequence[Shape] = ()
    state: Sequence[Shape] = ()  # of what it keeps itself: a BatchNormalization's running averages
    block: str = ""  # of the network, that it belongs to


@dataclass(frozen=True)
class FeatureSizes:
    """The layers below the head from the photo up, and the last feature map's side and channels."""

    layers: Sequence[LayerSize]
    side: int
    channels: int


@dataclass(frozen=True)
class PublishedWeights:
    """ImageNet weights that Keras downloads into its cache."""

    constructor: str  # of `keras.applications`; it downloads the file
    file_name: str
    md5: str | None  # as Keras states it; None where it states none
    megabytes: int


@dataclass(frozen=True)
class Network:
    """A network that `model.network` can name."""

    name: str
    title: str
    description: str
    # The layers from the photos, uint8 [b, s, s, 3], to the last feature map, [b, h, w, c], in a
    # dtype policy. Those of a block have names that begin with the block's name and "_". Weights
    # need not be drawn.
    features: Callable[["keras.KerasTensor", Architecture, str], "keras.KerasTensor"]
    sizes: Callable[[Architecture], FeatureSizes]  # the same; it may build the network for it
    # Gives the layers below the head random weights, a pure function of training photos and seed.
    initialise: Callable[["keras.Model", "npt.NDArray[np.uint8]", int], None]
    # Puts a weights file's content into the layers below the head; raises `WeightsError`.
    put_in: Callable[["keras.Model", Path], None] | None = None
    published: PublishedWeights | None = None  # where there are none, none can be put in
    blocks: tuple[str, ...] = ()  # from the photo up, where training can begin at one of them
    scales: bool = True  # whether `model.width` may be other than 1

    def is_trained(self, block: str, trainable: str) -> bool:
        """Whether a block's layers below the head learn; it is "" where there are no blocks."""
        if trainable in ("all", "head"):
            return trainable == "all"
        return self.blocks.index(block) >= self.blocks.index(trainable)
