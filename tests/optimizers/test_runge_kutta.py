from functools import partial

import keras
import numpy as np
import pytest
from checks import flow
from keras import ops
from optrun.optimizers import BogackiShampine, DormandPrince, Heun, Lookahead, Model, SoftBatch
from scipy.integrate._ivp import rk as scipy_rk

ALL = (Heun, BogackiShampine, DormandPrince)
BOTH = pytest.mark.parametrize("method", [BogackiShampine, DormandPrince])
POLYNOMIAL = {Heun: flow.HEUN, BogackiShampine: flow.RK23, DormandPrince: flow.RK45}


def factor(method):
    return partial(flow.amplification, POLYNOMIAL[method])


# The step, in float64.


@pytest.mark.parametrize("method", ALL)
def test_a_step_on_a_parabola_is_its_stability_polynomial(method, float64):
    flow.check_amplification(method, POLYNOMIAL[method])


@pytest.mark.parametrize(("method", "order"), [(Heun, 2), (BogackiShampine, 3), (DormandPrince, 5)])
def test_halving_the_step_divides_the_error_by_two_to_the_order(method, order, float64):
    flow.check_order(method, order, steps=24)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (BogackiShampine, [3.32e-4, 3.66e-5, 4.28e-6, 5.17e-7]),
        (DormandPrince, [2.81e-6, 2.87e-8, 3.84e-10, 6.5e-12]),
    ],
)
def test_the_errors_are_those_of_the_method(method, expected, float64):
    assert flow.quartic_errors(method, (8, 16, 32, 64)) == pytest.approx(expected, rel=1e-2)


def scipy_step(method, gradient, weights, rate):
    """One step of SciPy's along θ' = −∇L from a flat vector, float64."""
    theirs = {BogackiShampine: scipy_rk.RK23, DormandPrince: scipy_rk.RK45}[method]
    stages = np.empty((theirs.n_stages + 1, weights.size))
    end, _ = scipy_rk.rk_step(
        lambda _, theta: -gradient(theta),
        0.0,
        weights,
        -gradient(weights),
        rate,
        theirs.A,
        theirs.B,
        theirs.C,
        stages,
    )
    return end


@BOTH
def test_a_step_is_scipy_s_to_the_last_digits(method, float64):
    def gradient(theta):
        x, y = theta
        return [400 * x * (x**2 - y) + 2 * (x - 1), 200 * (y - x**2)]  # Rosenbrock 1960

    start = [-1.2, 1.0]
    theirs = scipy_step(method, lambda theta: np.array(gradient(theta)), np.array(start), 1e-3)
    np.testing.assert_allclose(flow.along(method(1e-3), gradient, start), theirs, rtol=1e-13)


# The step, in `fit`.


@pytest.mark.parametrize(
    ("method", "jit", "built"),
    [
        (BogackiShampine, False, False),
        (BogackiShampine, True, True),
        (DormandPrince, False, True),
        (DormandPrince, True, False),
    ],
)
def test_fit_takes_the_steps_of_the_polynomial(method, jit, built, parabola):
    run = parabola(method(0.5), jit_compile=jit)
    if built:
        run.build()
    expected = factor(method)(-0.5) ** np.arange(1, 4)
    np.testing.assert_allclose(run.fit(3), expected, rtol=1e-6)
    assert int(run.optimizer.iterations) == 3


@BOTH
def test_a_network_takes_scipy_s_steps(method, network, samples):
    x, y = samples(16)
    model = network(method(0.3), run_eagerly=False)
    shapes = [weight.shape for weight in model.get_weights()]
    edges = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    flat = np.concatenate([weight.ravel() for weight in model.get_weights()]).astype("float64")
    for start in (0, 8):
        inputs = x[start : start + 8].astype("float64")
        targets = y[start : start + 8]

        def gradient(theta, inputs=inputs, targets=targets):
            """Of out(tanh(hidden(x))) and a mean squared error, by hand."""
            parts = np.split(theta, edges)
            w1, b1, w2, b2 = (p.reshape(s) for p, s in zip(parts, shapes, strict=True))
            hidden = np.tanh(inputs @ w1 + b1)
            error = 2 * (hidden @ w2 + b2 - targets) / targets.size
            back = error @ w2.T * (1 - hidden**2)
            grads = (inputs.T @ back, back.sum(0), hidden.T @ error, error.sum(0))
            return np.concatenate([one.ravel() for one in grads])

        flat = scipy_step(method, gradient, flat, 0.3)
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    ours = np.concatenate([weight.ravel() for weight in model.get_weights()])
    np.testing.assert_allclose(ours, flat, atol=3e-7)


def compiled(optimizer, **compile_arguments):
    """From inputs and outputs to a model with that optimizer, compiled."""

    def make(inputs, outputs):
        model = Model(inputs, outputs)
        arguments = {"loss": flow.half_square, "run_eagerly": True, "jit_compile": False}
        model.compile(optimizer, **(arguments | compile_arguments))
        return model

    return make


@pytest.mark.parametrize(
    ("method", "expected", "eager", "jit"),
    [
        (Heun, 2, True, False),
        (Heun, 2, False, True),
        (BogackiShampine, 3, True, False),
        (BogackiShampine, 3, False, False),
        (DormandPrince, 6, True, False),
        (DormandPrince, 6, False, False),
    ],
)
def test_a_step_takes_the_gradients_it_states_and_no_more(method, expected, eager, jit):
    make = compiled(method(0.1), run_eagerly=eager, jit_compile=jit)
    flow.check_evaluations(make, expected)
    assert method.evaluations == expected


def test_a_step_inside_lookahead_takes_no_more_gradients():
    flow.check_evaluations(compiled(Lookahead(DormandPrince(0.1))), 6)


@BOTH
def test_all_gradients_of_a_step_are_of_its_own_batch(method):
    flow.check_same_batch(compiled(method(0.2)), factor(method))


@BOTH
@pytest.mark.parametrize("jit", [False, True], ids=["graph", "jit"])
def test_all_evaluations_see_the_same_dropout_mask(method, jit):
    make = compiled(method(0.2), run_eagerly=False, jit_compile=jit)
    flow.check_same_dropout_masks(make, factor(method))


@BOTH
def test_the_dropout_masks_advance_by_one_step(method, network, samples):
    counts = []
    for optimizer in (method(0.1), "sgd"):
        dropout = keras.layers.Dropout(0.5, seed=1)
        model = network(optimizer, layers=[dropout])
        model.fit(*samples(12), batch_size=4, verbose=0)
        counts.append(dropout.seed_generator.state.numpy())
    np.testing.assert_array_equal(*counts)


@BOTH
def test_batch_normalisation_averages_move_as_in_a_plain_step(method, network, samples):
    def train_once(layers, plain):
        optimizer = keras.optimizers.SGD(0.3) if plain else method(0.3)
        model = network(optimizer, layers=layers, model_class=keras.Model if plain else Model)
        model.train_on_batch(*samples(8))
        return model

    flow.check_batch_normalisation(train_once)


@BOTH
def test_frozen_layers_do_not_move_and_the_others_do(method, network, samples):
    model = network("sgd")
    model.get_layer("hidden").trainable = False
    model.compile(method(0.3), loss="mse", run_eagerly=True)
    before = model.get_weights()
    model.fit(*samples(8), batch_size=4, verbose=0)
    moved = [np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert moved == [False, False, True, True]


@pytest.mark.parametrize("method", ALL)
def test_a_weight_without_a_gradient_stays(method):
    flow.check_missing_gradients(method)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_trained_weight_that_the_loss_does_not_use_stays(parabola):
    run = parabola(BogackiShampine(0.5), run_eagerly=True)
    layer = run.model.get_layer("w")
    layer._tracker.unlock()
    unused = layer.add_weight(shape=(2,), initializer="ones")
    layer._tracker.lock()
    assert run.fit(2)[-1] == pytest.approx(factor(BogackiShampine)(-0.5) ** 2, rel=1e-6)
    np.testing.assert_array_equal(unused.numpy(), [1, 1])


@BOTH
def test_sparse_gradients_of_embeddings_take_the_same_step(method):
    inputs = keras.Input((), dtype="int32")
    embedding = keras.layers.Embedding(3, 1, embeddings_initializer="ones")
    model = compiled(method(0.5))(inputs, embedding(inputs))
    index = np.array([1, 1])
    model.train_on_batch(index, index)
    expected = [1, factor(method)(-0.5), 1]
    np.testing.assert_allclose(model.get_weights()[0].ravel(), expected, rtol=1e-6)


@BOTH
def test_a_rate_of_zero_leaves_every_weight_as_it_is(method, network, samples):
    model = network(method(0.0))
    before = model.get_weights()
    model.fit(*samples(8), batch_size=4, verbose=0)
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@BOTH
def test_weight_decay_is_part_of_the_flow(method, float64):
    # K = (1 + λ) θ, so z = −h (1 + λ).
    ours = flow.along(method(0.5, weight_decay=0.4), lambda theta: [theta[0]], [1.0])
    np.testing.assert_allclose(ours, factor(method)(-0.7), rtol=1e-12)


@BOTH
def test_clipping_is_one_factor_for_the_whole_step(method, float64):
    def gradient(theta):
        return [3.0 * theta[0], 4.0 * theta[1]]  # of norm 5 at (1, 1)

    # A field scaled by c is a step of c h.
    clipped = flow.along(method(0.5, global_clipnorm=2.0), gradient, [1.0, 1.0])
    shorter = [factor(method)(-0.2 * 3), factor(method)(-0.2 * 4)]
    np.testing.assert_allclose(clipped, shorter, rtol=1e-12)
    free = flow.along(method(0.5, global_clipnorm=5.1), gradient, [1.0, 1.0])
    np.testing.assert_array_equal(free, flow.along(method(0.5), gradient, [1.0, 1.0]))


@BOTH
def test_a_gradient_too_large_for_its_norm_is_not_clipped_to_nothing(method):
    ours = flow.along(method(0.5, global_clipnorm=1.0), lambda theta: [theta[0]], [1e30])
    assert np.isnan(ours[0])


@BOTH
def test_a_schedule_gives_all_stages_the_rate_of_the_step(method, parabola):
    rates = [0.5, 0.25, 0.125]
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0, 1], rates)
    trajectory = parabola(method(schedule), run_eagerly=True).fit(3)
    expected = np.cumprod([factor(method)(-rate) for rate in rates])
    np.testing.assert_allclose(trajectory, expected, rtol=1e-6)


@BOTH
def test_training_under_a_loss_scale_follows_float32(method, network, samples):
    def train():
        model = network(method(0.3))
        model.fit(*samples(16), batch_size=8, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    flow.check_mixed_float16(train)


@pytest.mark.parametrize(
    ("method", "which"),
    [(BogackiShampine, 1), (BogackiShampine, 3), (DormandPrince, 2), (DormandPrince, 6)],
)
def test_a_stage_that_is_not_finite_under_the_loss_scale_changes_and_counts_nothing(
    method, which, network, samples, precision
):
    precision("mixed_float16")
    x, y = samples(8)
    calls = []

    def loss(y_true, y_pred):
        calls.append(1)
        weight = np.inf if len(calls) == which else 1.0
        return ops.mean(ops.square(y_true - ops.cast(y_pred, "float32")), axis=-1) * weight

    model = network(method(0.3), loss=loss)
    before = model.get_weights()
    scale = model.optimizer.initial_scale
    model.train_on_batch(x, y)
    assert int(model.optimizer.iterations) == 0
    assert float(model.optimizer.dynamic_scale) == scale / 2
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model.train_on_batch(x, y)
    assert int(model.optimizer.iterations) == 1
    assert np.any(before[0] != model.get_weights()[0])


def test_lookahead_goes_after_its_steps(parabola):
    run = parabola(Lookahead(DormandPrince(0.5), sync_period=2), run_eagerly=True)
    once = factor(DormandPrince)(-0.5)
    synced = (1 + once**2) / 2
    expected = [once, synced, synced * once, synced**2]
    np.testing.assert_allclose(run.fit(4), expected, rtol=1e-6)


@pytest.mark.parametrize("method", ALL)
def test_a_soft_batch_around_it_is_refused_with_the_reason(method):
    with pytest.raises(ValueError, match=r"cannot wrap .*no longer has its earlier batches"):
        SoftBatch(method(0.1), batches_per_update=2)
    with pytest.raises(ValueError, match=r"no longer has its earlier batches"):
        SoftBatch(Lookahead(method(0.1)), batches_per_update=2)


@BOTH
def test_one_gradient_is_refused_with_the_way_out(method, network, samples):
    model = network(method(0.1), model_class=keras.Model)
    told = rf"{method.__name__} takes {method.evaluations} gradients .*optimizers\.Model"
    with pytest.raises(ValueError, match=told):
        model.fit(*samples(4), verbose=0)
    with pytest.raises(ValueError, match=told):
        method(0.1).apply([ops.ones(())], [keras.Variable(1.0)])


@BOTH
def test_a_saved_model_goes_on_bit_for_bit(method, network, samples, tmp_path):
    x, y = samples(8)
    model = network(method(0.2, weight_decay=0.1, global_clipnorm=1.0))
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is method
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert model.train_on_batch(x, y) == loaded.train_on_batch(x, y)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@BOTH
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight_decay": -1}, "`weight_decay` must be a number of at least 0 or null"),
        ({"weight_decay": float("nan")}, "`weight_decay` must be a number of at least 0 or null"),
        ({"global_clipnorm": 0}, "`global_clipnorm` must be a number above 0 or null"),
    ],
)
def test_a_refusal_says_what_is_wrong(method, arguments, message):
    with pytest.raises(ValueError, match=message):
        method(0.1, **arguments)
