import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from optrun.optimizers import (
    GradientCentralization,
    Heun,
    Lookahead,
    Model,
    RAdam,
    Ranger,
    SoftBatch,
)
from optrun.optimizers.gradient_centralization import centralize


def sgd(rate=0.1, **arguments):
    return keras.optimizers.SGD(rate, **arguments)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def minus_mean(gradient):
    """Each column's gradient minus its mean, in NumPy."""
    return gradient - gradient.mean(axis=tuple(range(gradient.ndim - 1)), keepdims=True)


@pytest.fixture
def photos():
    """Twelve noise photos of 6 px and their classes."""
    x = random(12, 6, 6, 2, seed=5).astype("float32")
    return x, (np.arange(12) % 2)[:, None].astype("float32")


@pytest.fixture
def convolutional():
    """A small convolutional network on those photos, with biases that learn."""

    def make(optimizer, model_class=Model, **compile_arguments):
        keras.utils.set_random_seed(11)
        inputs = keras.Input((6, 6, 2))
        features = keras.layers.Conv2D(3, 3, activation="relu", name="conv")(inputs)
        flat = keras.layers.GlobalAveragePooling2D()(features)
        model = model_class(inputs, keras.layers.Dense(1, name="head")(flat))
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        model.compile(optimizer, loss=loss, **({"jit_compile": False} | compile_arguments))
        return model

    return make


def kernels(model):
    return [model.get_layer(name).kernel.numpy() for name in ("conv", "head")]


def sums(model):
    """Σ of the weights of each output unit."""
    return [one.reshape(-1, one.shape[-1]).sum(axis=0) for one in kernels(model)]


@pytest.mark.parametrize("shape", [(5, 4), (3, 3, 2, 4)], ids=["dense", "conv"])
def test_a_centralized_gradient_has_mean_zero_for_each_output_unit(shape, float64):
    gradient = random(*shape) + 3
    once = np.array(centralize(gradient))
    np.testing.assert_allclose(once, minus_mean(gradient), rtol=1e-12)
    np.testing.assert_allclose(once.reshape(-1, shape[-1]).sum(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(np.array(centralize(once)), once, atol=1e-15)


def test_keras_axes_are_the_authors_after_their_layout():
    # The authors take the mean over all axes but the first, of kernels [out, in, height, width].
    gradient = random(3, 2, 4, 5)
    theirs = gradient.transpose(3, 2, 0, 1)
    theirs = theirs - theirs.mean(axis=(1, 2, 3), keepdims=True)
    ours = np.array(centralize(gradient))
    np.testing.assert_allclose(ours.transpose(3, 2, 0, 1), theirs, atol=1e-6)
    # Their axes on a kernel of Keras' layout leave the filters' sums moving.
    wrong = gradient - gradient.mean(axis=(1, 2, 3), keepdims=True)
    assert np.abs(wrong.sum(axis=(0, 1, 2))).max() > 1


def test_a_gradient_of_low_precision_is_centralized_in_float32_and_keeps_its_type():
    gradient = tf.cast(random(4096, 2) + 8, "bfloat16")
    centred = centralize(gradient)
    assert centred.dtype == tf.bfloat16
    expected = minus_mean(np.array(gradient).astype("float64"))
    np.testing.assert_allclose(np.array(centred).astype("float64"), expected, rtol=1e-2, atol=1e-2)


def heavy_ball():
    return sgd(momentum=0.9, nesterov=True)


@pytest.mark.parametrize(
    ("core", "mode"),
    [
        (heavy_ball, "graph"),
        (heavy_ball, "jit"),
        (heavy_ball, "eager"),
        (sgd, "eager"),
        pytest.param(sgd, "graph", marks=pytest.mark.slow),
        pytest.param(sgd, "jit", marks=pytest.mark.slow),
    ],
    indirect=["mode"],
)
def test_sgd_leaves_the_sum_of_every_unit_s_weights_as_it_is(core, convolutional, photos, mode):
    model = convolutional(GradientCentralization(core()), **mode)
    start, before = kernels(model), sums(model)
    model.fit(*photos, batch_size=4, epochs=4, verbose=0)
    for one, two in zip(sums(model), before, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    for one, two in zip(kernels(model), start, strict=True):
        assert np.abs(one - two).max() > 1e-3
    assert np.abs(model.get_layer("head").bias.numpy()).max() > 1e-3


@pytest.mark.parametrize(
    "optimizer",
    [
        sgd,
        # Division by the root of the second moment changes the sums again.
        lambda: GradientCentralization(keras.optimizers.Adam(0.1)),
    ],
    ids=["not centralized", "adam"],
)
def test_without_it_or_with_adam_the_sums_move(optimizer, convolutional, photos):
    model = convolutional(optimizer(), run_eagerly=True)
    before = sums(model)
    model.fit(*photos, batch_size=4, epochs=2, verbose=0)
    assert all(np.abs(one - two).max() > 1e-3 for one, two in zip(sums(model), before, strict=True))


def _apply(optimizer, gradients, variables):
    optimizer.apply([tf.constant(one, "float32") for one in gradients], variables)
    return [np.array(one) for one in variables]


@pytest.fixture
def dense():
    """A plain model of one dense layer 3 → 2, built: a kernel and a bias."""
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, bias_initializer="ones")])


def test_the_bias_keeps_its_gradient(dense):
    optimizer = GradientCentralization(sgd(1.0))
    optimizer.learn_layers(dense)
    kernel = dense.get_weights()[0]
    gradient = random(3, 2)
    after = _apply(optimizer, [gradient, [2.0, 4.0]], dense.trainable_variables)
    assert optimizer.centralized([gradient, None], dense.trainable_variables)[1] is None
    np.testing.assert_allclose(after[0], kernel - minus_mean(gradient), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after[1], [-1.0, -3.0])


def test_clipping_sees_the_centralized_gradient(dense):
    # Ten on every weight is a large gradient, and nothing once its mean is gone.
    optimizer = GradientCentralization(sgd(1.0, global_clipnorm=2.0))
    optimizer.learn_layers(dense)
    kernel = dense.get_weights()[0]
    step = np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    after = _apply(optimizer, [10 + step, [0.0, 0.0]], dense.trainable_variables)
    np.testing.assert_allclose(after[0], kernel - step, atol=1e-5)


def test_the_decay_is_not_centralized(dense):
    optimizer = GradientCentralization(sgd(0.5, weight_decay=0.25))
    optimizer.learn_layers(dense)
    kernel = dense.get_weights()[0]
    after = _apply(optimizer, [np.full((3, 2), 7.0), [0.0, 0.0]], dense.trainable_variables)
    np.testing.assert_allclose(after[0], kernel * 0.875, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after[1], 0.875)


def _gradients(weights, x, y):
    """Of the mean squared error of the `network` fixture, by hand, in float64."""
    w1, b1, w2, b2 = weights
    hidden = np.tanh(x @ w1 + b1)
    error = 2 * (hidden @ w2 + b2 - y) / y.size
    back = error @ w2.T * (1 - hidden**2)
    return [x.T @ back, back.sum(0), hidden.T @ error, error.sum(0)]


def _centred(gradients):
    return [minus_mean(one) if one.ndim > 1 else one for one in gradients]


def _train_on(model, x, y, steps):
    for _ in range(steps):
        model.train_on_batch(x, y)
    return model.get_weights()


def test_around_heun_each_stage_is_centralized_and_the_decay_is_not(network, samples, mode):
    x, y = samples(8)
    rate, decay = 0.3, 0.125
    model = network(GradientCentralization(Heun(rate, weight_decay=decay)), **mode)
    weights = [one.astype("float64") for one in model.get_weights()]
    for _ in range(3):
        first = [
            gradient + decay * weight
            for gradient, weight in zip(_centred(_gradients(weights, x, y)), weights, strict=True)
        ]
        probe = [weight - rate * slope for weight, slope in zip(weights, first, strict=True)]
        second = [
            gradient + decay * weight
            for gradient, weight in zip(_centred(_gradients(probe, x, y)), probe, strict=True)
        ]
        weights = [
            weight - rate / 2 * (one + two)
            for weight, one, two in zip(weights, first, second, strict=True)
        ]
    for ours, expected in zip(_train_on(model, x, y, 3), weights, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=2e-6)


def test_between_lookahead_and_a_core_it_is_found_and_taught(network, samples, built):
    x, y = samples(8)
    model = network(Lookahead(GradientCentralization(sgd()), sync_period=2))
    if built:
        model.optimizer.build(model.trainable_variables)
    weights = [one.astype("float64") for one in model.get_weights()]
    for _ in range(2):
        slow = weights
        for _ in range(2):
            gradients = _centred(_gradients(weights, x, y))
            weights = [one - 0.1 * two for one, two in zip(weights, gradients, strict=True)]
        weights = [(one + two) / 2 for one, two in zip(slow, weights, strict=True)]
    for ours, expected in zip(_train_on(model, x, y, 4), weights, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=2e-6)


def test_in_the_middle_of_every_wrapper_there_is(dense):
    # Six batches and one that overflows: three updates of two batches each, a sync after the
    # second. Under RAdam's first updates a step is the rate times the corrected moment.
    optimizer = keras.optimizers.LossScaleOptimizer(
        SoftBatch(
            Lookahead(GradientCentralization(RAdam(0.125)), sync_period=2), batches_per_update=2
        ),
        initial_scale=1.0,
    )
    optimizer.build(dense.trainable_variables)
    centralization = optimizer.inner_optimizer.inner_optimizer.inner_optimizer
    centralization.learn_layers(dense)
    weights = [one.astype("float64") for one in dense.get_weights()]
    slow, moments = weights, [np.zeros(()), np.zeros(())]
    batches = [[random(3, 2, seed=seed), random(2, seed=-seed + 20)] for seed in range(6)]
    for update in range(1, 4):
        pair = batches[2 * update - 2 : 2 * update]
        gradients = _centred([(one + two) / 2 for one, two in zip(*pair, strict=True)])
        moments = [0.9 * one + 0.1 * two for one, two in zip(moments, gradients, strict=True)]
        step = 0.125 / (1 - 0.9**update)
        weights = [one - step * two for one, two in zip(weights, moments, strict=True)]
        if update == 2:
            weights = [(one + two) / 2 for one, two in zip(slow, weights, strict=True)]
    overflow = [np.full((3, 2), np.inf), np.zeros(2)]
    for gradients in [*batches[:3], overflow, *batches[3:]]:
        scaled = [tf.constant(one, "float32") * optimizer.dynamic_scale for one in gradients]
        optimizer.apply(scaled, dense.trainable_variables)
    assert int(optimizer.iterations) == 3
    for ours, expected in zip(dense.get_weights(), weights, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_under_mixed_float16_it_trains_as_in_float32(network, samples, precision):
    x, y = samples(8)
    plain = _train_on(network(GradientCentralization(RAdam(0.01))), x, y, 8)
    precision("mixed_float16")
    model = network(GradientCentralization(RAdam(0.01)))
    assert type(model.optimizer) is keras.optimizers.LossScaleOptimizer
    for ours, theirs in zip(_train_on(model, x, y, 8), plain, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-3)


def test_a_model_of_layers_built_by_its_first_batch_is_learned_too(samples):
    @keras.saving.register_keras_serializable(package="tests")
    class Late(Model):
        def __init__(self):
            super().__init__()
            self.out = keras.layers.Dense(2)

        def call(self, inputs):
            return self.out(inputs)

    x, y = samples(8)
    model = Late()
    model.compile(GradientCentralization(sgd()), loss="mse", jit_compile=False)
    model.fit(x, y, batch_size=8, verbose=0)
    before = model.out.kernel.numpy()
    model.fit(x, y, batch_size=8, epochs=3, verbose=0)
    after = model.out.kernel.numpy()
    np.testing.assert_allclose(after.sum(axis=0), before.sum(axis=0), atol=1e-6)
    assert np.abs(after - before).max() > 1e-3


def test_shared_frozen_and_nested_layers():
    shared = keras.layers.Dense(3, name="shared")
    block_input = keras.Input((3,))
    block = keras.Model(block_input, keras.layers.Dense(3, name="inner")(block_input), name="block")
    inputs = keras.Input((3,))
    frozen = keras.layers.Dense(3, name="frozen")
    frozen.trainable = False
    outputs = keras.layers.Dense(1, name="out")(block(frozen(shared(shared(inputs)))))
    model = Model(inputs, outputs)
    model.compile(GradientCentralization(sgd()), loss="mse", run_eagerly=True)
    x, y = random(8, 3).astype("float32"), random(8, 1, seed=1).astype("float32")
    before = {one.path: one.numpy() for one in model.weights}
    model.fit(x, y, epochs=2, verbose=0)
    moved = {one.path: np.abs(one.numpy() - before[one.path]).max() > 1e-4 for one in model.weights}
    assert moved == {path: "frozen" not in path for path in moved}
    for one in model.weights:
        if one.path.endswith("kernel"):
            drift = one.numpy().sum(axis=0) - before[one.path].sum(axis=0)
            np.testing.assert_allclose(drift, 0, atol=1e-6)


def test_other_kernels_keep_their_gradient_and_are_named_once(caplog, photos):
    inputs = keras.Input((6, 6, 2))
    features = keras.layers.DepthwiseConv2D(3, name="depthwise")(inputs)
    features = keras.layers.Conv2DTranspose(3, 3, name="transposed")(features)
    features = keras.layers.BatchNormalization(name="norm")(features)
    flat = keras.layers.GlobalAveragePooling2D()(features)
    model = Model(inputs, keras.layers.Dense(1, name="head")(flat))
    model.compile(GradientCentralization(sgd()), loss="mse", run_eagerly=True)
    transposed = model.get_layer("transposed").kernel
    before = transposed.numpy()
    with caplog.at_level(logging.INFO, logger="optimizers"):
        model.fit(*photos, batch_size=4, epochs=2, verbose=0)
    said = [record.message for record in caplog.records if "centralization" in record.message]
    assert said == [
        "Gradient centralization covers the kernels of Conv2D and Dense layers. "
        "Left as they are: depthwise/kernel, transposed/kernel."
    ]
    drift = transposed.numpy() - before
    assert np.abs(drift.sum(axis=(0, 1, 3))).max() > 1e-4


def test_an_embedding_keeps_its_sparse_gradient(caplog):
    inputs = keras.Input((2,), dtype="int32")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(5, 3, name="words")(inputs))
    model = Model(inputs, keras.layers.Dense(1)(embedded))
    model.compile(GradientCentralization(sgd()), loss="mse", run_eagerly=True)
    before = model.get_layer("words").get_weights()[0]
    model.fit(np.array([[0, 1], [1, 2]]), np.ones((2, 1)), verbose=0)
    moved = np.abs(model.get_layer("words").get_weights()[0] - before).max(axis=1) > 0
    assert moved.tolist() == [True, True, True, False, False]
    assert "words/embeddings" in caplog.text


@pytest.mark.parametrize(
    "make", [lambda: GradientCentralization(sgd()), lambda: Ranger(sync_period=2)]
)
def test_a_plain_keras_model_is_refused_with_both_ways_out(make, network, samples):
    model = network(make(), model_class=keras.Model)
    with pytest.raises(
        ValueError, match=r"`optimizers\.Model` in place .* `learn_layers\(model\)`"
    ):
        model.fit(*samples(8), verbose=0)
    model.optimizer.learn_layers(model)
    before = model.get_layer("out").kernel.numpy()
    model.fit(*samples(8), epochs=4, verbose=0)
    after = model.get_layer("out").kernel.numpy()
    assert np.abs(after - before).max() > 0
    np.testing.assert_allclose(after.sum(axis=0), before.sum(axis=0), atol=1e-6)


def test_a_model_without_weights_cannot_be_learned():
    model = keras.Sequential([keras.layers.Dense(2)], name="late")
    with pytest.raises(ValueError, match="'late' has no weights yet: call it on a batch"):
        GradientCentralization(sgd()).learn_layers(model)


def test_a_variable_of_another_model_is_refused(dense):
    optimizer = GradientCentralization(sgd())
    optimizer.learn_layers(dense)
    assert optimizer.knows(dense.trainable_variables)
    stranger = keras.Variable(np.ones((3, 2)))
    assert not optimizer.knows([stranger])
    with pytest.raises(ValueError, match="does not know which layers"):
        optimizer.apply([tf.ones((3, 2))], [stranger])


def test_it_is_refused_where_it_makes_no_sense():
    with pytest.raises(ValueError, match="the gradient is centralized already"):
        GradientCentralization(Lookahead(GradientCentralization(sgd())))
    with pytest.raises(ValueError, match="put LossScaleOptimizer outermost"):
        GradientCentralization(keras.optimizers.LossScaleOptimizer(sgd()))
    with pytest.raises(TypeError, match="`learning_rate`; set it on the inner optimizer"):
        GradientCentralization(sgd(), learning_rate=0.1)
    with pytest.raises(TypeError, match="`inner_optimizer` must be an optimizer"):
        GradientCentralization(0.1)


def test_a_whole_model_saved_and_loaded_goes_on_bit_for_bit(network, samples, tmp_path):
    x, y = samples(8)
    model = network(GradientCentralization(sgd(momentum=0.9)))
    model.optimizer.build(model.trainable_variables)
    _train_on(model, x, y, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for ours, theirs in zip(_train_on(model, x, y, 3), _train_on(loaded, x, y, 3), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_it_keeps_no_state_of_its_own(dense):
    optimizer = GradientCentralization(sgd(momentum=0.9))
    optimizer.build(dense.trainable_variables)
    assert optimizer.variables == optimizer.inner_optimizer.variables
    optimizer.learning_rate = 0.5
    assert float(optimizer.inner_optimizer.learning_rate) == 0.5
