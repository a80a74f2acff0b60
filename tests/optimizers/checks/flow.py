"""What a step of several gradients along the gradient flow must satisfy, as assertions.

The right optimizers pass them, the wrong variants in test_wrong_flow_steps.py must not. Those that
say "float64" need the fixture of that name.
"""

import math
import warnings

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from scipy.integrate import solve_ivp

# R(z) of an explicit method of s stages and order p: the series of e^z up to zᵖ, and for s > p the
# products of the tableau. Hairer & Wanner 1996, section IV.2.
HEUN = (1, 1, 1 / 2)
RK23 = (1, 1, 1 / 2, 1 / 6)
RK45 = (1, 1, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 600)


def amplification(coefficients, z):
    """R(z) = Σₖ coefficientₖ zᵏ."""
    return sum(coefficient * z**power for power, coefficient in enumerate(coefficients))


def along(optimizer, gradient, start, steps=1):
    """The weights after steps on a loss given by its gradient, in a loop of one's own.

    Args:
        optimizer: a SeveralGradients, bare.
        gradient: from a list of numbers, one per weight, to a list of as many.
        start: the first weights.
        steps: how many.
    """
    weights = [keras.Variable(one, dtype=keras.config.floatx()) for one in start]
    for _ in range(steps):
        combined = optimizer.step(
            lambda probe: gradient([one.value for one in weights] if probe is None else probe),
            weights,
        )
        with optimizer.combined_gradient():
            optimizer.apply(combined, weights)
    return np.array([float(one.value) for one in weights])


def check_amplification(make, coefficients):
    """A step on a θ² / 2 multiplies θ by R(−h a); float64."""
    for rate, curvature in ((0.1, 1.0), (0.5, 3.0), (1.0, 1.0), (1.9, 1.0), (1.0, 3.0)):
        ours = along(make(rate), lambda theta, a=curvature: [a * theta[0]], [1.25])
        exact = 1.25 * amplification(coefficients, -rate * curvature)
        np.testing.assert_allclose(ours, exact, rtol=1e-12, atol=1e-15)


def _quartic(theta):
    # f = x² / 2 + x⁴ / 4
    return [theta[0] + theta[0] ** 3]


def _saddle_free(theta):
    # f = x² / 2 + 2 y² + x² y² / 4
    x, y = theta
    return [x + x * y**2 / 2, 4 * y + x**2 * y / 2]


def _ends():
    """Gradient, start and exact end at time 1 of the two problems."""
    # θ' = −(θ + θ³) is a Bernoulli equation: θ(1) = e⁻¹ / √(2 − e⁻²) from 1.
    yield _quartic, [1.0], np.array([math.exp(-1) / math.sqrt(2 - math.exp(-2))])
    solved = solve_ivp(
        lambda _, theta: [-one for one in _saddle_free(theta)],
        (0, 1),
        [1.0, 1.0],
        method="DOP853",
        rtol=1e-13,
        atol=1e-15,
    )
    yield _saddle_free, [1.0, 1.0], solved.y[:, -1]


def check_order(make, order, steps):
    """Halving the step divides the error by at least nearly 2 to the order; float64."""
    for gradient, start, exact in _ends():
        errors = [
            np.max(np.abs(along(make(1 / count), gradient, start, count) - exact))
            for count in (steps, 2 * steps)
        ]
        assert np.log2(errors[0] / errors[1]) >= order - 0.2, errors


def quartic_errors(make, counts):
    """Errors at time 1 on x² / 2 + x⁴ / 4 from 1, for as many steps; float64."""
    gradient, start, exact = next(_ends())
    return [abs(along(make(1 / count), gradient, start, count) - exact)[0] for count in counts]


def check_missing_gradients(make):
    """A weight without a gradient stays, its neighbours take their own steps."""

    def gradient(theta):
        return [1.0 * theta[0], None, 3.0 * theta[2]]

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Gradients do not exist")  # Keras says so, rightly
        ends = along(make(0.25), gradient, [1.0, 2.0, 4.0])
    alone = [
        along(make(0.25), lambda theta: [1.0 * theta[0]], [1.0])[0],
        2.0,
        along(make(0.25), lambda theta: [3.0 * theta[0]], [4.0])[0],
    ]
    np.testing.assert_allclose(ends, alone, rtol=1e-6)


class Counting(keras.layers.Layer):
    """The identity; counts the passes in `forward` and `backward`, TensorFlow variables.

    Keras' own variables would not do: evaluations at a probe leave those as they are.
    """

    def __init__(self):
        super().__init__()
        with tf.init_scope():
            self.forward = tf.Variable(0, trainable=False)
            self.backward = tf.Variable(0, trainable=False)

    def call(self, inputs):
        @tf.custom_gradient
        def count(x):
            self.forward.assign_add(1)

            def gradient(upstream):
                self.backward.assign_add(1)
                return upstream

            return tf.identity(x), gradient

        return count(inputs)


def check_evaluations(make_model, expected):
    """Passes through the model per step, forward and backward, are as expected.

    Args:
        make_model: from the network's inputs and outputs to a model with an optimizer compiled.
        expected: passes per step.
    """
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="tanh")(inputs)
    counting = Counting()
    model = make_model(inputs, keras.layers.Dense(2)(counting(hidden)))
    counting.forward.assign(0)
    x = np.ones((12, 3), "float32")
    model.fit(x, x[:, :2], batch_size=4, verbose=0)
    assert (int(counting.forward), int(counting.backward)) == (3 * expected, 3 * expected)


def check_same_batch(model_of, factor):
    """Each step multiplies the weight by R of its own batch's curvature.

    Args:
        model_of: from inputs and outputs to a model compiled at rate 0.2, for a loss of w² x² / 2.
        factor: R as a function.
    """
    model = _single_weight(model_of)
    expected = 1.0
    for value in (1.0, 2.0, 0.5, 2.0):
        batch = np.full((2, 1), value, "float32")
        model.train_on_batch(batch, batch)
        expected *= factor(-0.2 * value**2)
        np.testing.assert_allclose(model.get_weights()[0].item(), expected, rtol=2e-6)


def check_same_dropout_masks(model_of, factor):
    """With its one output kept or dropped, a step multiplies the weight by R or by 1.

    A kept output is doubled: L = 4 w² / 2, so that z = −4 h = −0.8 at rate 0.2. Where the masks
    of Heun's two evaluations differ, the factor is 1 − 0.4 in place of 0.52 or 1.
    """
    model = _single_weight(model_of, keras.layers.Dropout(0.5, seed=5))
    one, weights = np.ones((1, 1), "float32"), [1.0]
    for _ in range(12):
        model.train_on_batch(one, one)
        weights.append(model.get_weights()[0].item())
    ours = np.array(weights[1:]) / weights[:-1]
    kept = np.abs(ours - 1) > 1e-6
    np.testing.assert_allclose(ours, np.where(kept, factor(-0.8), 1.0), rtol=1e-5)
    assert 0 < kept.sum() < 12


def _single_weight(model_of, *layers):
    inputs = keras.Input((1,))
    output = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(inputs)
    for layer in layers:
        output = layer(output)
    return model_of(inputs, output)


def half_square(_, output):
    """The loss of `check_same_batch` and `check_same_dropout_masks`."""
    return ops.mean(ops.square(output)) / 2


def check_batch_normalisation(train_once):
    """After a step the moving averages are bit for bit those after a plain step.

    Args:
        train_once: from a list of layers and whether to train plainly, with SGD in a `keras.Model`,
            to a network that has made one step.
    """
    averages = []
    for plain in (False, True):
        model = train_once([keras.layers.BatchNormalization(name="norm")], plain)
        averages.append([one.numpy() for one in model.get_layer("norm").non_trainable_variables])
    for ours, theirs in zip(*averages, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def check_mixed_float16(train):
    """Under mixed_float16, with its loss scale, training stays close to that in float32.

    Args:
        train: from nothing to the weights after a short training.
    """
    weights = []
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        try:
            weights.append(train())
        finally:
            keras.config.set_dtype_policy("float32")
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
