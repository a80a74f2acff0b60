"""Small trainings whose every value is known, run the way a person runs them: through `fit`."""

import importlib.util
import itertools
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from optrun.optimizers import Model

# Under importmode=importlib a test can import only what is a module already: these folders become
# packages, so that tests say `from references.cases import ...`.
for _folder in ("references", "checks"):
    _spec = PathFinder.find_spec(_folder, [str(Path(__file__).parent)])
    sys.modules[_folder] = importlib.util.module_from_spec(_spec)

MODES = {
    "graph": {"jit_compile": False, "run_eagerly": False},
    "jit": {"jit_compile": True, "run_eagerly": False},
    "eager": {"jit_compile": False, "run_eagerly": True},
}


class _Trajectory(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(self.model.trainable_variables[0].numpy().item())


def _half_square(_, output):
    return keras.ops.mean(keras.ops.square(output)) / 2


@pytest.fixture(params=MODES)
def mode(request):
    """compile() arguments: as a graph, through XLA, or eagerly."""
    return MODES[request.param]


@pytest.fixture(params=["built", "unbuilt"])
def built(request):
    """Whether the optimizer is built before `fit`."""
    return request.param == "built"


@pytest.fixture
def parabola():
    """A model whose loss is w² / 2 from w = 1, so the gradient is w; and its training."""

    class Parabola:
        def __init__(self, optimizer, model_class=Model, **compile_arguments):
            inputs = keras.Input((1,))
            layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", name="w")
            self.model = model_class(inputs, layer(inputs))
            arguments = {"jit_compile": False} | compile_arguments
            self.model.compile(optimizer, loss=_half_square, **arguments)

        @property
        def optimizer(self):
            return self.model.optimizer

        @property
        def weight(self):
            return self.model.trainable_variables[0].numpy().item()

        def build(self):
            self.optimizer.build(self.model.trainable_variables)
            return self

        def fit(self, steps, epochs=1, callbacks=()):
            """The weight after each step."""
            trajectory = _Trajectory()
            one = np.ones((1, 1), "float32")
            stream = tf.data.Dataset.from_tensors((one, 0 * one)).repeat()
            self.model.fit(
                stream,
                steps_per_epoch=steps,
                epochs=epochs,
                shuffle=False,
                verbose=0,
                callbacks=[trajectory, *callbacks],
            )
            return np.array(trajectory.values)

    return Parabola


@pytest.fixture
def network():
    """A small dense network with a mean squared error, the same weights for the same seed.

    It runs eagerly unless told otherwise: tracing would be most of a short training.
    """

    def make(optimizer, *, seed=3, model_class=Model, loss="mse", layers=(), **compile_arguments):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((3,))
        hidden = keras.layers.Dense(4, activation="tanh", name="hidden")(inputs)
        for layer in layers:
            hidden = layer(hidden)
        model = model_class(inputs, keras.layers.Dense(2, name="out")(hidden))
        arguments = {"jit_compile": False, "run_eagerly": True} | compile_arguments
        model.compile(optimizer, loss=loss, **arguments)
        return model

    return make


@pytest.fixture
def samples():
    """Inputs [count, 3] and targets [count, 2], float32."""

    def draw(count, seed=0):
        generator = np.random.default_rng(seed)
        x = generator.normal(size=(count, 3)).astype("float32")
        return x, np.sin(x[:, :2] * 2).astype("float32")

    return draw


@pytest.fixture
def batches():
    """A dataset of the samples in batches of the given sizes, in order."""

    def make(x, y, sizes):
        edges = list(itertools.accumulate(sizes, initial=0))

        def stream():
            for start, end in itertools.pairwise(edges):
                yield x[start:end], y[start:end]

        signature = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in (x, y))
        dataset = tf.data.Dataset.from_generator(stream, output_signature=signature)
        return dataset.apply(tf.data.experimental.assert_cardinality(len(sizes)))

    return make


@pytest.fixture
def float64():
    """Weights and computation in float64 while the test runs."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def precision():
    """Sets a dtype policy for the rest of the test."""
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def specification_of():
    """A small valid specification for any registered optimizer."""

    def make(name, learning_rate=0.05):
        from optrun.optimizers.registry import ENTRIES

        inner = {"name": "sgd", "learning_rate": learning_rate, "momentum": 0.5}
        values = {
            "learning_rate": learning_rate,
            "inner_optimizer": inner,
            "batches_per_update": 2,
        }
        required = [one.name for one in ENTRIES[name].arguments if one.required]
        return {"name": name} | {argument: values[argument] for argument in required}

    return make
