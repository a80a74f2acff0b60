"""What cards say of Keras' own optimizers, where no other test would notice that it is wrong."""

import keras
import numpy as np
import pytest


def walk(optimizer, gradients, start):
    """The weights after each update, one row each."""
    weights = keras.Variable(np.array(start, "float32"))
    rows = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [weights])
        rows.append(np.array(weights.value))
    return np.array(rows)


START = [1.0, -2.0]
GRADIENTS = np.random.default_rng(0).normal(size=(8, 2))


def test_along_a_constant_gradient_momentum_goes_as_far_as_a_larger_rate_without():
    with_momentum = walk(keras.optimizers.SGD(0.01, momentum=0.9), [[1.0, 1.0]] * 200, START)
    step = with_momentum[-2] - with_momentum[-1]
    np.testing.assert_allclose(step, 0.01 / (1 - 0.9), rtol=1e-3)


def test_adam_with_weight_decay_is_adamw():
    adam = walk(keras.optimizers.Adam(0.1, weight_decay=0.004), GRADIENTS, START)
    np.testing.assert_array_equal(adam, walk(keras.optimizers.AdamW(0.1), GRADIENTS, START))


def test_adamw_without_decay_is_adam():
    adamw = walk(keras.optimizers.AdamW(0.1, weight_decay=0.0), GRADIENTS, START)
    np.testing.assert_array_equal(adamw, walk(keras.optimizers.Adam(0.1), GRADIENTS, START))


@pytest.mark.parametrize("name", ["Adam", "Adamax"])
def test_along_a_constant_gradient_every_weight_moves_the_rate(name):
    steps = np.diff(walk(getattr(keras.optimizers, name)(0.1), [[0.3, -20.0]] * 8, START), axis=0)
    np.testing.assert_allclose(steps, np.tile([-0.1, 0.1], (7, 1)), rtol=1e-4)


def test_nadam_without_first_moment_is_adam_without_it():
    nadam = walk(keras.optimizers.Nadam(0.1, beta_1=0.0), GRADIENTS, START)
    adam = walk(keras.optimizers.Adam(0.1, beta_1=0.0), GRADIENTS, START)
    np.testing.assert_allclose(nadam, adam, atol=1e-5)


def test_rmsprop_begins_with_steps_of_three_times_the_rate():
    first = walk(keras.optimizers.RMSprop(0.1), [[5.0, -5.0]], START)[0]
    np.testing.assert_allclose(np.array(START) - first, [0.3162, -0.3162], rtol=1e-3)


def test_adagrad_with_small_gradients_is_sgd_at_three_times_the_rate():
    gradients = 1e-3 * GRADIENTS
    adagrad = walk(keras.optimizers.Adagrad(0.1), gradients, [0.0, 0.0])
    sgd = walk(keras.optimizers.SGD(0.1 / np.sqrt(0.1)), gradients, [0.0, 0.0])
    np.testing.assert_allclose(adagrad, sgd, rtol=1e-3)


def test_adagrad_from_a_sum_of_zero_begins_with_the_rate_in_every_weight():
    optimizer = keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.0)
    first = walk(optimizer, [[5.0, -0.01]], START)[0]
    np.testing.assert_allclose(first - np.array(START), [-0.1, 0.1], rtol=1e-3)


def test_adadelta_begins_with_tiny_steps():
    first = walk(keras.optimizers.Adadelta(1.0), [[1.0, -1.0]], START)[0]
    np.testing.assert_allclose(first - np.array(START), [-1.41e-3, 1.41e-3], rtol=1e-2)


def test_ftrl_forgets_the_weights_it_is_given():
    first = walk(keras.optimizers.Ftrl(0.05), [[0.01, 0.01]], START)[0]
    assert np.abs(first).max() < 5e-3


def test_ftrl_from_zero_weights_is_adagrad():
    ftrl = walk(keras.optimizers.Ftrl(0.1), GRADIENTS, [0.0, 0.0])
    adagrad = walk(keras.optimizers.Adagrad(0.1), GRADIENTS, [0.0, 0.0])
    np.testing.assert_allclose(ftrl, adagrad, rtol=1e-4, atol=1e-6)


def test_lion_with_beta_1_of_one_follows_the_sign_of_its_momentum():
    steps = np.diff(
        walk(keras.optimizers.Lion(0.1, beta_1=1.0, beta_2=0.5), GRADIENTS, START), axis=0
    )
    momentum, expected = np.zeros(2), []
    for gradient in GRADIENTS[:-1]:
        momentum = 0.5 * momentum + 0.5 * gradient
        expected.append(-0.1 * np.sign(momentum))
    np.testing.assert_allclose(steps, expected, rtol=1e-5)


@pytest.mark.parametrize("rate", [0.01, 3.0])
def test_adafactors_relative_step_changes_nothing(rate):
    gradients = np.random.default_rng(0).normal(size=(6, 3, 2))
    start = np.ones((3, 2))
    with_it = walk(keras.optimizers.Adafactor(rate), gradients, start)
    without = walk(keras.optimizers.Adafactor(rate, relative_step=False), gradients, start)
    np.testing.assert_array_equal(with_it, without)


def test_adafactor_keeps_a_second_moment_of_full_size():
    optimizer = keras.optimizers.Adafactor(0.1)
    optimizer.build([keras.Variable(np.ones((3, 2)))])
    assert (3, 2) in [tuple(one.shape) for one in optimizer.variables]


def test_muon_leaves_what_is_no_matrix_to_adamw():
    for shape in [(4,), (3, 3, 2, 4)]:
        gradients = np.random.default_rng(0).normal(size=(5, *shape))
        muon = walk(keras.optimizers.Muon(0.1), gradients, np.ones(shape))
        adamw = walk(keras.optimizers.AdamW(0.1), gradients, np.ones(shape))
        np.testing.assert_allclose(muon, adamw, rtol=1e-6)


def test_muon_nearly_orthogonalises_a_matrix():
    gradient = np.random.default_rng(0).normal(size=(1, 6, 4))
    optimizer = keras.optimizers.Muon(1.0, rms_rate=None, weight_decay=None)
    first = walk(optimizer, gradient, np.zeros((6, 4)))[0]
    singular = np.linalg.svd(first, compute_uv=False)
    assert singular.min() > 0.6
    assert singular.max() < 1.3


def test_pytorchs_momentum_differs_only_after_a_change_of_the_rate():
    rates = [0.1] * 3 + [0.01] * 3
    weights, velocity, theirs = np.array(START), np.zeros(2), []
    for rate, gradient in zip(rates, GRADIENTS, strict=False):
        velocity = 0.9 * velocity + gradient
        weights = weights - rate * velocity
        theirs.append(weights)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    ours = walk(optimizer, GRADIENTS[:3], START)
    np.testing.assert_allclose(ours, theirs[:3], rtol=1e-5)
    resumed = keras.Variable(ours[-1])
    velocity_so_far = optimizer.variables[2]
    coasting = keras.optimizers.SGD(0.01, momentum=0.9)
    coasting.build([resumed])
    coasting.variables[2].assign(velocity_so_far)
    coasting.apply([keras.ops.convert_to_tensor(GRADIENTS[3], "float32")], [resumed])
    assert np.abs(np.array(resumed.value) - theirs[3]).max() > 0.01
