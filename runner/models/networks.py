"""The networks that `model.network` can name. A further one is its module and a line here."""

import math
from collections.abc import Mapping

from optrun.runner.models import applications
from optrun.runner.models.base import Architecture, Network, Shape
from optrun.runner.models.residual import RESNET_SMALL
from optrun.runner.models.vgg import VGG16, VGG19

_IN_ORDER = (VGG19, VGG16, *applications.NETWORKS, RESNET_SMALL)
NETWORKS: Mapping[str, Network] = {one.name: one for one in _IN_ORDER}
DEFAULT = VGG19.name


def title_of(name: object, width: float | None = 1.0) -> str:
    """A network in words; of a name that a run brings and nobody here knows, that name.

    >>> title_of("vgg19", 0.125)
    'VGG19 at width 0.125'
    """
    title = NETWORKS[name].title if isinstance(name, str) and name in NETWORKS else str(name)
    return title if width in (None, 1) else f"{title} at width {width:g}"


def weight_shapes(architecture: Architecture, *, trained: bool = False) -> list[Shape]:
    """Shapes of a classifier's weights, from the photo up, or of those that an optimizer moves.

    The others are frozen, or what layers keep of their own (batch normalisation's averages).

    >>> weight_shapes(Architecture(224, True, trainable="head"), trained=True)
    [(512, 1), (1,)]
    """
    network = NETWORKS[architecture.network]
    sizes = network.sizes(architecture)
    shapes: list[Shape] = []
    for layer in sizes.layers:
        if not trained:
            shapes += [*layer.weights, *layer.state]
        elif layer.weights and network.is_trained(layer.block, architecture.trainable):
            shapes += layer.weights
    inputs = sizes.channels * (sizes.side**2 if architecture.pooling == "flatten" else 1)
    for outputs in (*architecture.hidden_units, 1):
        shapes += [(inputs, outputs), (outputs,)]
        inputs = outputs
    return shapes


def weight_count(architecture: Architecture) -> int:
    """Numbers in a classifier's weights, counted without building it where its module can.

    >>> weight_count(Architecture(224, True))
    20024897
    """
    return sum(map(math.prod, weight_shapes(architecture)))


def output_floats(architecture: Architecture) -> list[int]:
    """Numbers in a photo and in the output of each layer below the head for it."""
    sizes = NETWORKS[architecture.network].sizes(architecture)
    return [layer.outputs for layer in sizes.layers]
