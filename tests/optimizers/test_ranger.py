import keras
import numpy as np
import pytest
import tensorflow as tf
from optrun.optimizers import GradientCentralization, Lookahead, Model, RAdam, Ranger
from optrun.optimizers.lookahead import evaluation_weights
from optrun.optimizers.wrapper import find


class _Trajectory(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.rows = []

    def on_train_batch_end(self, batch, logs=None):
        self.rows.append(self.model.get_weights())


@pytest.fixture
def photos():
    """Twelve noise photos of 6 px and their classes."""
    x = np.random.default_rng(5).normal(size=(12, 6, 6, 2))
    return x, (np.arange(12) % 2)[:, None].astype("float64")


@pytest.fixture
def convolutional():
    """conv(3 filters of 3 x 3), ReLU, mean over the map, one logit."""

    def make(optimizer, **compile_arguments):
        keras.utils.set_random_seed(11)
        inputs = keras.Input((6, 6, 2))
        features = keras.layers.Conv2D(3, 3, activation="relu", name="conv")(inputs)
        flat = keras.layers.GlobalAveragePooling2D()(features)
        model = Model(inputs, keras.layers.Dense(1, name="head")(flat))
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        arguments = {"jit_compile": False, "run_eagerly": True} | compile_arguments
        model.compile(optimizer, loss=loss, **arguments)
        return model

    return make


def numpy_gradients(weights, x, y):
    """Of that network's mean cross-entropy, by hand, in float64."""
    kernel, bias, head, head_bias = weights
    patches = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    patches = patches.transpose(0, 1, 2, 4, 5, 3)
    before = np.einsum("nhwijc,ijcf->nhwf", patches, kernel) + bias
    pooled = np.maximum(before, 0).mean(axis=(1, 2))
    error = (1 / (1 + np.exp(-(pooled @ head + head_bias))) - y) / len(y)
    back = (error @ head.T)[:, None, None, :] / 16 * (before > 0)
    kernel_gradient = np.einsum("nhwijc,nhwf->ijcf", patches, back)
    return [kernel_gradient, back.sum((0, 1, 2)), pooled.T @ error, error.sum(0)]


def numpy_ranger(weights, batches, rate, decay, period, share, betas=(0.95, 0.999), epsilon=1e-5):
    """The weights after each update, and the slow ones then: centralize, RAdam, Lookahead."""
    weights = [np.array(one, "float64") for one in weights]
    moments = [np.zeros_like(one) for one in weights]
    squares = [np.zeros_like(one) for one in weights]
    slow = weights
    longest = 2 / (1 - betas[1]) - 1
    rows, slow_rows = [], []
    for t, (x, y) in enumerate(batches, 1):
        gradients = [
            one - one.mean(axis=tuple(range(one.ndim - 1)), keepdims=True) if one.ndim > 1 else one
            for one in numpy_gradients(weights, x, y)
        ]
        new = []
        for index, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            moments[index] = betas[0] * moments[index] + (1 - betas[0]) * gradient
            squares[index] = betas[1] * squares[index] + (1 - betas[1]) * gradient**2
            step = rate * moments[index] / (1 - betas[0] ** t)
            length = longest - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
            if length > 5:
                factor = (length - 4) * (length - 2) * longest
                factor /= (longest - 4) * (longest - 2) * length
                step = step * np.sqrt(factor * (1 - betas[1] ** t))
                step = step / (np.sqrt(squares[index]) + epsilon)
            new.append(weight - rate * decay * weight - step)
        weights = new
        if t % period == 0:
            weights = slow = [a + share * (b - a) for a, b in zip(slow, weights, strict=True)]
        rows.append(weights)
        slow_rows.append(slow)
    return rows, slow_rows


def in_batches(x, y, epochs, size=4):
    slices = [slice(start, start + size) for start in range(0, len(x), size)]
    return [(x[one], y[one]) for one in slices] * epochs


def assert_close(ours, expected, rtol, atol=0.0):
    for row, other in zip(ours, expected, strict=True):
        for one, two in zip(row, other, strict=True):
            np.testing.assert_allclose(one, two, rtol=rtol, atol=atol)


def test_fit_is_a_loop_in_numpy(convolutional, photos, float64):
    model = convolutional(Ranger(0.05, weight_decay=0.125), run_eagerly=False)
    expected, slow = numpy_ranger(
        model.get_weights(), in_batches(*photos, epochs=5), rate=0.05, decay=0.125, period=6,
        share=0.5,
    )  # fmt: skip
    trajectory = _Trajectory()
    model.fit(*photos, batch_size=4, epochs=5, shuffle=False, verbose=0, callbacks=[trajectory])
    assert_close(trajectory.rows, expected, rtol=1e-9, atol=1e-12)
    assert_close([model.get_weights()], [slow[-1]], rtol=1e-9, atol=1e-12)
    assert int(model.optimizer.iterations) == 15


def test_in_float32_fit_is_that_loop_to_five_digits(convolutional, photos):
    model = convolutional(Ranger(0.05, sync_period=4, slow_step_size=0.75))
    x, y = (one.astype("float32") for one in photos)
    expected, _ = numpy_ranger(
        model.get_weights(), in_batches(x, y, epochs=4), rate=0.05, decay=0, period=4, share=0.75
    )
    trajectory = _Trajectory()
    model.fit(x, y, batch_size=4, epochs=4, shuffle=False, verbose=0, callbacks=[trajectory])
    assert_close(trajectory.rows, expected, rtol=1e-5, atol=2e-6)


def test_it_is_measured_on_its_slow_weights(convolutional, photos, float64):
    model = convolutional(Ranger(0.05))
    batches = in_batches(*photos, epochs=3)
    rows, slow = numpy_ranger(model.get_weights(), batches, 0.05, 0.0, 6, 0.5)
    for update, batch in enumerate(batches):
        model.train_on_batch(*batch)
        fast = model.get_weights()
        assert_close([fast], [rows[update]], rtol=1e-9, atol=1e-12)
        with evaluation_weights(model):
            assert_close([model.get_weights()], [slow[update]], rtol=1e-9, atol=1e-12)
        for one, two in zip(model.get_weights(), fast, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("start", "gradient", "expected"),
    [
        ([1.0, 2.0], [0.1, 0.2], [0.993126, 1.992901]),
        ([3.0, 4.0], [0.03, 0.04], [2.993283, 3.993261]),
    ],
)
def test_without_centralization_it_is_tensorflow_addons_lookahead_of_radam(
    start, gradient, expected, float64
):
    optimizer = Ranger(epsilon=1e-7, slow_step_size=0.45, gradient_centralization=False)
    weight = keras.Variable(np.array(start))
    for _ in range(100):
        optimizer.apply([tf.constant(gradient, "float64")], [weight])
    np.testing.assert_allclose(weight.numpy(), expected, atol=1e-6)


def test_the_gradient_is_not_divided_by_its_standard_deviation():
    # As the article's listing would: the first step is the rate times the centralized gradient.
    layer = keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((3,)), layer])
    kernel = layer.kernel.numpy()
    optimizer = Ranger(0.5)
    optimizer.learn_layers(model)
    gradient = np.array([[4.0], [1.0], [1.0]], "float32")
    optimizer.apply([tf.constant(gradient), tf.zeros(1)], model.trainable_variables)
    np.testing.assert_allclose(
        layer.kernel.numpy(), kernel - 0.5 * np.array([[2.0], [-1.0], [-1.0]]), rtol=1e-5
    )


def test_the_first_five_steps_descend():
    optimizer = Ranger(gradient_centralization=False)
    weight = keras.Variable(1.0)
    values = [1.0]
    for _ in range(5):
        optimizer.apply([tf.constant(1.0)], [weight])
        values.append(float(weight.value))
    assert np.all(np.diff(values) < 0)


def test_it_is_a_lookahead_around_centralization_around_radam():
    ranger = Ranger()
    assert find(keras.optimizers.LossScaleOptimizer(ranger), Lookahead) is ranger
    assert (ranger.sync_period, ranger.slow_step_size) == (6, 0.5)
    core = find(ranger, RAdam)
    assert (core.beta_1, core.beta_2, core.epsilon, core.threshold) == (0.95, 0.999, 1e-5, 5)
    assert core.weight_decay is None
    assert type(ranger.inner_optimizer) is GradientCentralization
    plain = Ranger(gradient_centralization=False)
    assert type(plain.inner_optimizer) is RAdam


def test_a_whole_model_saved_and_loaded_is_in_mid_cycle(convolutional, photos, tmp_path):
    batches = in_batches(*photos, epochs=4)
    model = convolutional(Ranger(0.05))
    model.optimizer.build(model.trainable_variables)
    for batch in batches[:8]:
        model.train_on_batch(*batch)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is Ranger
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for batch in batches[8:]:
        assert model.train_on_batch(*batch) == loaded.train_on_batch(*batch)


def test_its_config_holds_its_own_arguments_and_makes_the_same_optimizer():
    schedule = keras.optimizers.schedules.CosineDecay(0.25, 10)
    optimizer = Ranger(
        schedule,
        beta_1=0.5,
        threshold=4.0,
        unadapted_steps="skip",
        weight_decay=0.1,
        clipnorm=2.0,
        sync_period=3,
        slow_step_size=0.25,
        gradient_centralization=False,
        name="ours",
    )
    config = optimizer.get_config()
    assert "inner_optimizer" not in config
    assert {key: config[key] for key in ("beta_1", "sync_period", "gradient_centralization")} == {
        "beta_1": 0.5,
        "sync_period": 3,
        "gradient_centralization": False,
    }
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is Ranger
    assert again.get_config() == config
    assert find(again, GradientCentralization) is None
    assert find(again, RAdam).clipnorm == 2.0


def test_its_rate_is_radam_s():
    ranger = Ranger(0.25)
    ranger.learning_rate = 0.5
    assert float(find(ranger, RAdam).learning_rate) == 0.5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sync_period": 0}, ValueError, "sync_period"),
        ({"slow_step_size": 1.5}, ValueError, "slow_step_size"),
        ({"beta_1": 1.0}, ValueError, r"`beta_1` must be a number of at least 0 and below 1"),
        ({"threshold": 3}, ValueError, "`threshold` must be a number of at least 4"),
        (
            {"gradient_centralization": 1},
            ValueError,
            "`gradient_centralization` must be True or False. Received: 1",
        ),
        ({"use_ema": True}, TypeError, "use_ema"),
        ({"inner_optimizer": RAdam}, TypeError, "inner_optimizer"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Ranger(1e-3, **arguments)


def test_lookahead_around_it_is_refused():
    with pytest.raises(ValueError, match="Lookahead cannot wrap Ranger: Lookahead around"):
        Lookahead(Ranger())
