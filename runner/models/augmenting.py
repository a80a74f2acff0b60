"""The network in training with augmentation: photos are changed on the device, once per batch."""

import functools
from typing import Any

import keras
import tensorflow as tf
from optrun.data.feed.augmentation import Augmentation, augment
from optrun.optimizers.model import FunctionalModel


class AugmentingModel(FunctionalModel):
    """A model that is trained on ((photos, parameters), labels), and otherwise as it was.

    Its training step changes the photos as `data.augmentation.parameters` has drawn it and hands
    the batch on: every gradient of an optimizer that takes several per step is of the same changed
    photos. Evaluation and prediction take plain photos. It consists of the given functional model's
    own layers and variables, in their order, and of no others.
    """

    def __init__(self, model: keras.Model, augmentation: Augmentation) -> None:
        super().__init__(model.input, model.output, name=model.name)
        self.dtype_policy = model.dtype_policy
        # Compiled by itself where the step as a whole is not: on the CPU, where XLA halves the
        # speed of the network, it is several times faster at this.
        self._augment = tf.function(
            functools.partial(augment, augmentation=augmentation), jit_compile=True
        )

    def train_step(self, data: Any) -> Any:
        (photos, parameters), labels, weight = keras.utils.unpack_x_y_sample_weight(data)
        changed = self._augment(photos, parameters)
        return super().train_step(keras.utils.pack_x_y_sample_weight(changed, labels, weight))

    def _symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Under a distribution strategy Keras calls the model on what the first batch looks like.
        if data_batch is not None:
            x, labels, weight = keras.utils.unpack_x_y_sample_weight(data_batch)
            photos = x[0] if isinstance(x, tuple) else x
            data_batch = (photos, labels, weight)
        super()._symbolic_build(iterator, data_batch)
