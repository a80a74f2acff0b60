"""What the engine needs of TensorFlow and Keras and they have no public name for."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
from keras.src.backend.common.global_state import get_global_attribute, set_global_attribute
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED
from tensorflow.python.eager import context as eager

_OF_TENSORFLOW = ("_seed", "_rng")
_OF_KERAS = (GLOBAL_RANDOM_SEED, GLOBAL_SEED_GENERATOR)


@contextmanager
def random_state_of(seed: int) -> Iterator[None]:
    """Whatever draws from a global generator within does so from this seed; then all is as before.

    Nothing of ours draws from one, but a person's own optimizer may, and Keras does for the first
    values of weights that are then replaced.
    """
    tensorflow = vars(eager.context())
    python, numpy = random.getstate(), np.random.get_state()
    of_keras = [get_global_attribute(name) for name in _OF_KERAS]
    of_tensorflow = {name: tensorflow[name] for name in _OF_TENSORFLOW if name in tensorflow}
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        for name in _OF_TENSORFLOW:  # the second is not there before a seed is set
            tensorflow.pop(name, None)
        tensorflow |= of_tensorflow
        for name, value in zip(_OF_KERAS, of_keras, strict=True):
            set_global_attribute(name, value)
