"""Keras' global state, fresh for a run and afterwards as the person's own program had it.

A run states the policy of each of its layers. What Keras takes from global state nevertheless (the
dtype of losses, metrics and learning rates, the layout of photos, the numbering of names, unseeded
random numbers) is here.

Importing this module imports Keras.
"""

import copy
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
from keras.src.backend.common import global_state
from tensorflow.python.eager import context


@contextmanager
def fresh_keras(*, seed: int | None = None) -> Iterator[None]:
    """Keras as it is after its import; on leaving, everything global is put back.

    That is dtype policy, floatx, epsilon and image data format, the numbering of layers' names, and
    the random generators of Python, NumPy, TensorFlow and Keras, which are set to the seed if there
    is one.
    """
    config = keras.config
    settings = (
        (config.set_floatx, config.floatx(), "float32"),
        (config.set_epsilon, config.epsilon(), 1e-7),
        (config.set_image_data_format, config.image_data_format(), "channels_last"),
    )
    # Policy, names and seed generator hang on these, and `keras.utils.clear_session` replaces them.
    trackers = global_state.GLOBAL_STATE_TRACKER, global_state.GLOBAL_SETTINGS_TRACKER
    python, numpy = random.getstate(), np.random.get_state()
    eager = context.context()
    tensorflow = eager._seed, copy.copy(getattr(eager, "_rng", None))
    try:
        for put, _, fresh in settings:
            put(fresh)
        global_state.GLOBAL_STATE_TRACKER = threading.local()
        global_state.GLOBAL_SETTINGS_TRACKER = threading.local()
        if seed is not None:
            keras.utils.set_random_seed(seed)
        yield
    finally:
        for put, before, _ in settings:
            put(before)
        global_state.GLOBAL_STATE_TRACKER, global_state.GLOBAL_SETTINGS_TRACKER = trackers
        random.setstate(python)
        np.random.set_state(numpy)
        eager._seed, eager._rng = tensorflow
