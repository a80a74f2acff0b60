import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from optrun.optimizers import Heun, Lookahead, Model


def test_a_step_on_a_parabola_is_its_stability_polynomial(parabola, mode, built):
    run = parabola(Heun(0.5), **mode)
    if built:
        run.build()
    factor = 1 - 0.5 + 0.5**2 / 2
    np.testing.assert_allclose(run.fit(3), [factor, factor**2, factor**3], rtol=1e-6)
    assert int(run.optimizer.iterations) == 3


@pytest.mark.parametrize("rate", [0.1, 1.0, 1.9])
def test_the_factor_is_the_polynomial_at_every_rate(rate, parabola):
    factor = 1 - rate + rate**2 / 2
    assert parabola(Heun(rate), run_eagerly=True).fit(1)[0] == pytest.approx(factor, rel=1e-6)


def test_the_error_falls_with_the_square_of_the_step(float64):
    # θ' = −(θ + θ³) from 1 has θ(1) = e⁻¹ / √(2 − e⁻²).
    exact = math.exp(-1) / math.sqrt(2 - math.exp(-2))

    def error(steps):
        weight = keras.Variable(1.0, dtype="float64")
        optimizer = Heun(1 / steps)
        for _ in range(steps):
            combined = optimizer.step(
                lambda probe: [_slope(weight.value if probe is None else probe[0])], [weight]
            )
            with optimizer.combined_gradient():
                optimizer.apply(combined, [weight])
        return abs(float(weight.value) - exact)

    errors = [error(steps) for steps in (8, 16, 32, 64)]
    assert errors == pytest.approx([2.29e-3, 5.60e-4, 1.37e-4, 3.39e-5], rel=5e-3)
    assert min(np.log2(np.array(errors[:-1]) / errors[1:])) > 1.95


def _slope(theta):
    return theta + theta**3


def test_two_gradients_are_taken_per_step(network, samples):
    passes = []

    def loss(y_true, y_pred):
        passes.append(1)
        return ops.mean(ops.square(y_true - y_pred), axis=-1)

    for optimizer, evaluations in ((Heun(0.1), 2), (Lookahead(Heun(0.1)), 2), ("sgd", 1)):
        passes.clear()
        network(optimizer, loss=loss).fit(*samples(12), batch_size=4, verbose=0)
        assert len(passes) == 3 * evaluations


def test_a_rate_of_zero_leaves_every_weight_as_it_is(network, samples):
    model = network(Heun(0.0))
    before = model.get_weights()
    model.fit(*samples(8), batch_size=4, verbose=0)
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _numpy_heun(weights, x, y, rate):
    """One step for out(tanh(hidden(x))) and a mean squared error, with gradients by hand."""

    def gradient(w1, b1, w2, b2):
        hidden = np.tanh(x @ w1 + b1)
        error = 2 * (hidden @ w2 + b2 - y) / y.size
        back = error @ w2.T * (1 - hidden**2)
        return [x.T @ back, back.sum(0), hidden.T @ error, error.sum(0)]

    first = gradient(*weights)
    second = gradient(*(w - rate * g for w, g in zip(weights, first, strict=True)))
    return [w - rate * (g + h) / 2 for w, g, h in zip(weights, first, second, strict=True)]


def test_a_network_takes_the_step_computed_by_hand(network, samples, mode):
    x, y = samples(16)
    model = network(Heun(0.3), **mode)
    weights = [weight.astype("float64") for weight in model.get_weights()]
    for start in (0, 8):
        batch = slice(start, start + 8)
        weights = _numpy_heun(weights, x[batch].astype("float64"), y[batch], 0.3)
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-7)


def test_loss_and_metrics_are_those_of_the_first_evaluation(network, samples):
    x, y = samples(8)
    logs = []
    for optimizer in (Heun(0.5), "sgd"):
        model = network(optimizer)
        model.compile(optimizer, loss="mse", metrics=["mae"], run_eagerly=True)
        logs.append(model.train_on_batch(x, y, return_dict=True))
    assert logs[0] == logs[1]


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "jit"])
def test_both_evaluations_see_the_same_dropout_mask_and_the_state_advances_once(jit):
    def train(optimizer, model_class):
        """For each step, the factor on the weight."""
        inputs = keras.Input((1,))
        dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
        model = model_class(inputs, keras.layers.Dropout(0.5, seed=5)(dense(inputs)))
        model.compile(optimizer, loss=lambda _, p: ops.mean(ops.square(p)) / 2, jit_compile=jit)
        one, weights = np.ones((1, 1), "float32"), [1.0]
        for _ in range(12):
            model.train_on_batch(one, one)
            weights.append(model.get_weights()[0].item())
        return np.array(weights[1:]) / weights[:-1]

    # A kept output is doubled, L = 4 w² / 2 and z = −0.8; a dropped one has no gradient. With one
    # mask a step multiplies by 0.52 or 1, with two it would also by 1 − 0.4 and by 1 − 0.8 / 2.
    ours = train(Heun(0.2), Model)
    stock = train(keras.optimizers.SGD(0.2), keras.Model)
    kept, dropped = 1 - 0.8 + 0.8**2 / 2, 1.0
    expected = np.where(stock < 1, kept, dropped)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    assert 0 < np.sum(stock < 1) < 12


def test_batch_normalisation_averages_move_as_in_a_plain_step(network, samples):
    x, y = samples(8)
    averages = []
    for optimizer in (Heun(0.3), keras.optimizers.SGD(0.3)):
        model = network(optimizer, layers=[keras.layers.BatchNormalization(name="norm")])
        model.train_on_batch(x, y)
        averages.append([v.numpy() for v in model.get_layer("norm").non_trainable_variables])
    for ours, theirs in zip(*averages, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_frozen_layers_do_not_move_and_the_others_do(network, samples):
    model = network("sgd")
    model.get_layer("hidden").trainable = False
    model.compile(Heun(0.3), loss="mse", run_eagerly=True)
    before = model.get_weights()
    model.fit(*samples(8), batch_size=4, verbose=0)
    moved = [np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert moved == [False, False, True, True]


def test_regularisers_and_activity_losses_are_evaluated_at_the_probe():
    # L = w² / 2 from the kernel and w² / 2 from the activity: z = −2 h.
    inputs = keras.Input((1,))
    layer = keras.layers.Dense(
        1,
        use_bias=False,
        kernel_initializer="ones",
        kernel_regularizer=keras.regularizers.L2(0.5),
        activity_regularizer=keras.regularizers.L2(0.5),
    )
    model = Model(inputs, layer(inputs))
    model.compile(Heun(0.25), loss=lambda _, p: 0 * ops.mean(p), jit_compile=False)
    one = np.ones((1, 1), "float32")
    model.train_on_batch(one, one)
    assert model.get_weights()[0].item() == pytest.approx(1 - 0.5 + 0.125, rel=1e-6)


def test_weight_decay_is_part_of_the_flow(parabola):
    # K = (1 + λ) θ, so z = −h (1 + λ).
    z = -0.5 * 1.4
    trajectory = parabola(Heun(0.5, weight_decay=0.4), run_eagerly=True).fit(2)
    factor = 1 + z + z**2 / 2
    np.testing.assert_allclose(trajectory, [factor, factor**2], rtol=1e-6)


def test_clipping_is_a_shorter_step_along_the_same_flow(parabola):
    # From 1 the first gradient has norm 1; clipped to 0.4 the step is 0.4 times as long.
    z = -0.5 * 0.4
    trajectory = parabola(Heun(0.5, global_clipnorm=0.4), run_eagerly=True).fit(1)
    assert trajectory[0] == pytest.approx(1 + z * (1 + z / 2), rel=1e-6)
    far = parabola(Heun(0.5, global_clipnorm=4.0), run_eagerly=True).fit(1)
    assert far[0] == pytest.approx(0.625, rel=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_follows_float32(policy, network, samples, precision):
    x, y = samples(16)
    weights = []
    for name in ("float32", policy):
        precision(name)
        model = network(Heun(0.3))
        model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (
        policy == "mixed_float16"
    )
    tolerance = 2e-3 if policy == "mixed_float16" else 2e-2
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


@pytest.mark.parametrize("which", [1, 2])
def test_a_gradient_that_is_not_finite_under_the_loss_scale_changes_nothing(
    which, network, samples, precision
):
    precision("mixed_float16")
    x, y = samples(8)
    calls = []

    def loss(y_true, y_pred):
        calls.append(1)
        factor = np.inf if len(calls) == which else 1.0
        return ops.mean(ops.square(y_true - ops.cast(y_pred, "float32")), axis=-1) * factor

    model = network(Heun(0.3), loss=loss)
    before = model.get_weights()
    model.train_on_batch(x, y)
    assert int(model.optimizer.iterations) == 0
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model.train_on_batch(x, y)
    assert int(model.optimizer.iterations) == 1
    assert np.any(before[0] != model.get_weights()[0])


def test_one_gradient_is_refused_with_the_way_out(network, samples):
    model = network(Heun(0.1), model_class=keras.Model)
    with pytest.raises(ValueError, match=r"Heun takes 2 gradients for one step.*optimizers\.Model"):
        model.fit(*samples(4), verbose=0)
    with pytest.raises(ValueError, match=r"inside `Heun\.combined_gradient\(\)`"):
        Heun(0.1).apply([ops.ones(())], [keras.Variable(1.0)])


def test_a_saved_model_goes_on_bit_for_bit(network, samples, tmp_path):
    x, y = samples(8)
    model = network(Heun(0.2, weight_decay=0.1, global_clipnorm=1.0))
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Model)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert model.train_on_batch(x, y) == loaded.train_on_batch(x, y)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Heun(0.1, weight_decay=-1),
            "`weight_decay` must be a number of at least 0 or null",
        ),
        (
            lambda: Heun(0.1, global_clipnorm=0),
            "`global_clipnorm` must be a number above 0 or null",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_subclassed_model_takes_the_same_steps(samples):
    class Small(Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, kernel_initializer="ones")

        def call(self, inputs):
            return self.dense(inputs)

    x, y = samples(8)
    subclassed = Small()
    inputs = keras.Input((3,))
    functional = Model(inputs, keras.layers.Dense(2, kernel_initializer="ones")(inputs))
    for model in (subclassed, functional):
        model.compile(Heun(0.1), loss="mse", run_eagerly=True)
        model.train_on_batch(x, y)
    for ours, theirs in zip(subclassed.get_weights(), functional.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_the_first_probe_is_asked_at_the_weights_as_they_are():
    asked = []

    def gradient_at(probe):
        asked.append(probe)
        return [tf.ones(())]

    combined = Heun(0.5).step(gradient_at, [keras.Variable(3.0)])
    assert asked[0] is None
    assert float(asked[1][0]) == 2.5
    assert float(combined[0]) == 1.0
