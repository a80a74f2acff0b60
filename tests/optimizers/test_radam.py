from fractions import Fraction

import keras
import numpy as np
import pytest
import tensorflow as tf
from optrun.optimizers import RAdam
from optrun.optimizers.radam import rectification, sma_length

# ρ₁ ... ρ₈ and r₅ ... r₁₁ for β₂ = 0.999, where ρ∞ = 1999.
LENGTHS = [1, 1.9995, 2.9987, 3.9975, 4.9960, 5.9942, 6.9920, 7.9895]
FACTORS = [0.017312, 0.025821, 0.032739, 0.038738, 0.044105, 0.048998, 0.053519]

# Gradients 0.1, −0.05, 0.1, ... from 1 at rate 1e-3, ε = 1e-8; torch.optim.RAdam's values.
ALTERNATING = [
    0.9999, 0.999878947, 0.999828763, 0.99980771, 0.999767379, 0.999760502, 0.999746121,
    0.999735803,
]  # fmt: skip


def numpy_radam(
    weight, gradients, rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7, threshold=5.0,
    skip=False, decay=0.0,
):  # fmt: skip
    """The weights after each update, in float64: algorithm 2 of the paper, line by line."""
    weight = np.array(weight, "float64")
    moment = np.zeros_like(weight)
    square = np.zeros_like(weight)
    longest = 2 / (1 - beta_2) - 1
    rows = []
    for t, gradient in enumerate(gradients, 1):
        weight = weight * (1 - rate * decay)
        moment = beta_1 * moment + (1 - beta_1) * gradient
        square = beta_2 * square + (1 - beta_2) * gradient**2
        corrected = moment / (1 - beta_1**t)
        length = longest - 2 * t * beta_2**t / (1 - beta_2**t)
        if length > threshold:
            factor = (length - 4) * (length - 2) * longest
            factor /= (longest - 4) * (longest - 2) * length
            adaptive = np.sqrt(1 - beta_2**t) / (np.sqrt(square) + epsilon)
            weight = weight - rate * np.sqrt(factor) * corrected * adaptive
        elif not skip:
            weight = weight - rate * corrected
        rows.append(weight)
    return np.array(rows)


def stepped(optimizer, start, gradients):
    """The weights after each update of the optimizer."""
    weight = keras.Variable(np.array(start, keras.config.floatx()))
    rows = []
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient, keras.config.floatx())], [weight])
        rows.append(np.array(weight))
    return np.array(rows)


def test_the_lengths_are_the_paper_s():
    lengths = [float(sma_length(update, 0.999)) for update in range(1, 9)]
    np.testing.assert_allclose(lengths, LENGTHS, atol=5e-5)
    assert float(sma_length(5, 0.99)) == pytest.approx(4.9598, abs=5e-5)
    assert float(sma_length(10**6, 0.999)) == pytest.approx(1999)


def test_the_rectifications_are_the_paper_s():
    factors = [float(rectification(sma_length(t, 0.999), 0.999)) for t in range(5, 12)]
    np.testing.assert_allclose(factors, FACTORS, atol=5e-7)
    assert float(rectification(sma_length(6, 0.99), 0.99)) == pytest.approx(0.081679, abs=5e-7)
    assert float(rectification(sma_length(10**6, 0.999), 0.999)) == pytest.approx(1)


@pytest.mark.parametrize("update", [1, 2, 5, 6, 100])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_length_is_exact_to_more_digits_than_float32_has(update, jit_compile):
    beta = Fraction(999, 1000)
    exact = 2 / (1 - beta) - 1 - 2 * update * beta**update / (1 - beta**update)
    compiled = tf.function(lambda t: sma_length(t, 0.999), jit_compile=jit_compile)
    assert float(compiled(tf.constant(update))) == pytest.approx(float(exact), rel=1e-9)


def test_eight_alternating_gradients_are_torch_s_values(float64):
    gradients = [0.1, -0.05] * 4
    ours = stepped(RAdam(1e-3, epsilon=1e-8), 1.0, gradients)
    np.testing.assert_allclose(ours, ALTERNATING, atol=1e-9)


def test_with_the_paper_s_threshold_the_fifth_step_is_adapted(float64):
    ours = stepped(RAdam(1e-3, epsilon=1e-8, threshold=4), 1.0, [0.1, -0.05] * 4)
    np.testing.assert_allclose(ours[:4], ALTERNATING[:4], atol=1e-9)
    assert ours[4] == pytest.approx(0.999799365, abs=1e-9)


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        (None, [0.985769, 1.985269, 2.986119, 3.986068]),
        (0.01, [0.984775, 1.983276, 2.983125, 3.982076]),
    ],
)
def test_a_hundred_steps_are_the_values_tensorflow_addons_publishes(decay, expected, float64):
    start, gradient = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.1, 0.2, 0.03, 0.04])
    ours = stepped(RAdam(1e-3, weight_decay=decay), start, [gradient] * 100)
    np.testing.assert_allclose(ours[-1], expected, atol=1.5e-6)


SETTINGS = {
    "defaults": {},
    "the paper's threshold": {"threshold": 4.0},
    "a later start": {"threshold": 12.5},
    "short memory": {"beta_1": 0.5, "beta_2": 0.9},
    "no momentum": {"beta_1": 0.0},
    "skip": {"unadapted_steps": "skip"},
    "decay": {"weight_decay": 0.125},  # Keras rounds it to float32
    "large epsilon": {"epsilon": 1e-3},
}


def _for_numpy(settings):
    renamed = {"weight_decay": "decay"}
    plain = {renamed.get(key, key): value for key, value in settings.items()}
    if "unadapted_steps" in plain:
        plain["skip"] = plain.pop("unadapted_steps") == "skip"
    return plain


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_every_setting_is_the_paper_s_algorithm(settings, float64):
    gradients = np.random.default_rng(1).normal(size=(30, 4))
    start = np.linspace(-1, 2, 4)
    ours = stepped(RAdam(0.01, **settings), start, gradients)
    expected = numpy_radam(start, gradients, rate=0.01, **_for_numpy(settings))
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_in_float32_it_is_the_paper_s_algorithm_to_five_digits():
    gradients = np.random.default_rng(1).normal(size=(30, 4))
    ours = stepped(RAdam(0.01), np.ones(4), gradients)
    np.testing.assert_allclose(ours, numpy_radam(np.ones(4), gradients, rate=0.01), rtol=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.125])
def test_it_is_torch_s_radam(decay, float64):
    torch = pytest.importorskip("torch", reason="PyTorch, the reference here, is not installed")
    gradients = np.random.default_rng(2).normal(size=(40, 3))
    weight = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64, requires_grad=True)
    theirs = torch.optim.RAdam(
        [weight], lr=0.01, eps=1e-7, weight_decay=decay, decoupled_weight_decay=True
    )
    rows = []
    for gradient in gradients:
        weight.grad = torch.tensor(gradient)
        theirs.step()
        rows.append(weight.detach().numpy().copy())
    ours = stepped(RAdam(0.01, weight_decay=decay), [1.0, -2.0, 3.0], gradients)
    np.testing.assert_allclose(ours, rows, rtol=1e-12)


@pytest.mark.parametrize("gradient", [1.0, -1.0])
def test_the_first_steps_descend(gradient):
    steps = np.diff([0.0, *stepped(RAdam(1e-3), 0.0, [gradient] * 8)])
    assert np.all(np.sign(steps) == -np.sign(gradient))


def test_under_a_constant_gradient_a_step_is_the_rate_times_the_rectification(float64):
    # m / (1 − β₁ᵗ) and √(v / (1 − β₂ᵗ)) are the gradient and its size.
    steps = -np.diff([0.0, *stepped(RAdam(1e-3, epsilon=1e-12), 0.0, [0.1] * 11)])
    np.testing.assert_allclose(steps[:5], 1e-3 * 0.1, rtol=1e-12)
    np.testing.assert_allclose(steps[5:], 1e-3 * np.array(FACTORS[1:]), rtol=2e-5)


def test_skipping_gathers_the_moments_without_moving():
    gradients = np.random.default_rng(4).normal(size=8)
    skipping, moving = RAdam(0.01, unadapted_steps="skip"), RAdam(0.01)
    ours = stepped(skipping, 1.0, gradients)
    np.testing.assert_array_equal(ours[:5], 1.0)
    assert np.all(np.diff(ours[4:]) != 0)
    steps = np.diff(stepped(moving, 1.0, gradients))
    np.testing.assert_allclose(np.diff(ours)[4:], steps[4:], rtol=2e-4)
    for ours, theirs in zip(skipping.variables, moving.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert int(skipping.iterations) == 8


def test_it_trains_through_fit(parabola, mode, built):
    run = parabola(RAdam(0.1), **mode)
    if built:
        run.build()
    weight, moment, square, expected = 1.0, 0.0, 0.0, []
    for t in range(1, 11):
        moment = 0.9 * moment + 0.1 * weight
        square = 0.999 * square + 0.001 * weight**2
        length = 1999 - 2 * t * 0.999**t / (1 - 0.999**t)
        step = 0.1 * moment / (1 - 0.9**t)
        if length > 5:
            factor = (length - 4) * (length - 2) * 1999 / (1995 * 1997 * length)
            step *= np.sqrt(factor * (1 - 0.999**t)) / (np.sqrt(square) + 1e-7)
        weight -= step
        expected.append(weight)
    np.testing.assert_allclose(run.fit(10), expected, rtol=1e-5)


def test_its_state_is_two_moments_a_count_and_a_rate():
    optimizer = RAdam()
    optimizer.build([keras.Variable(np.zeros((2, 3)), name="kernel")])
    assert [one.path.split("/")[-1] for one in optimizer.variables] == [
        "iteration",
        "learning_rate",
        "kernel_momentum",
        "kernel_velocity",
    ]


def test_clipping_comes_before_the_moments_and_decay_before_the_step(float64):
    gradients = [3.0, -0.1, 4.0, 0.2, -5.0, 6.0, 0.3, 7.0]
    ours = stepped(RAdam(0.01, clipvalue=0.5, weight_decay=0.25), 1.0, gradients)
    clipped = np.clip(gradients, -0.5, 0.5)
    np.testing.assert_allclose(ours, numpy_radam(1.0, clipped, rate=0.01, decay=0.25), rtol=1e-12)


def test_a_schedule_counts_its_updates(float64):
    drop = keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.1, 0.0])
    ours = stepped(RAdam(drop), 1.0, [0.1] * 8)
    assert ours[3] < ours[2]
    np.testing.assert_array_equal(ours[4:], ours[3])


def test_a_batch_that_the_loss_scale_skips_changes_and_counts_nothing():
    optimizer = keras.optimizers.LossScaleOptimizer(RAdam(0.1), initial_scale=1.0)
    weight = keras.Variable(1.0)
    optimizer.build([weight])
    values = []
    for gradient in [1.0, np.inf, 1.0, np.nan, 1.0, 1.0, 1.0, 1.0, 1.0]:
        optimizer.apply([tf.constant(gradient, "float32") * optimizer.dynamic_scale], [weight])
        if np.isfinite(gradient):
            values.append(float(weight.value))
    assert int(optimizer.iterations) == 7
    np.testing.assert_allclose(values, numpy_radam(1.0, [1.0] * 7, rate=0.1), rtol=1e-5)


def test_saving_and_loading_goes_on_bit_for_bit_where_adapted_steps_begin(
    network, samples, tmp_path
):
    x, y = samples(8)
    whole, resumed = network(RAdam(0.01)), network(RAdam(0.01), seed=9)
    for model in (whole, resumed):
        model.optimizer.build(model.trainable_variables)
    for _ in range(5):
        whole.train_on_batch(x, y)
    whole.save_weights(tmp_path / "state.weights.h5")
    resumed.load_weights(tmp_path / "state.weights.h5")
    for _ in range(4):
        assert whole.train_on_batch(x, y) == resumed.train_on_batch(x, y)
    for ours, theirs in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_its_config_makes_the_same_optimizer():
    schedule = keras.optimizers.schedules.CosineDecay(0.25, 10)
    optimizer = RAdam(schedule, 0.8, 0.99, 1e-6, 4.5, "skip", weight_decay=0.1, clipnorm=2.0)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is RAdam
    assert again.get_config() == optimizer.get_config()
    assert again.threshold == 4.5
    assert again.unadapted_steps == "skip"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"beta_1": 1.0},
            r"`beta_1` must be a number of at least 0 and below 1. Received: beta_1=1.0",
        ),
        (
            {"beta_2": -0.1},
            r"`beta_2` must be a number of at least 0 and below 1. Received: beta_2=-0.1",
        ),
        ({"epsilon": 0.0}, r"`epsilon` must be a number above 0. Received: epsilon=0.0"),
        (
            {"threshold": 3.9},
            r"`threshold` must be a number of at least 4. Received: threshold=3.9",
        ),
        ({"threshold": float("nan")}, "`threshold` must be a number of at least 4"),
        (
            {"beta_2": 0.6},
            r"`beta_2` must be greater than 0.666667 for a threshold of 5, or no step is ever "
            r"adapted. Received: beta_2=0.6",
        ),
        (
            {"unadapted_steps": "adam"},
            r"`unadapted_steps` must be sgd or skip. Received: unadapted_steps='adam'",
        ),
        ({"beta2": 0.9}, r"not recognized: .*beta2"),
    ],
)
def test_a_wrong_argument_is_refused_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        RAdam(1e-3, **arguments)
