import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from optrun.optimizers import FlushTail, Heun, Lookahead, Model, SoftBatch


def sgd(rate=0.1, **arguments):
    return keras.optimizers.SGD(rate, **arguments)


def _fit(model, dataset, epochs=1, **arguments):
    return model.fit(dataset, epochs=epochs, shuffle=False, verbose=0, **arguments)


def _assert_same(ours, theirs, tolerance=3e-7):
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=0)


CORES = {
    "momentum": lambda: sgd(momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw clipped": lambda: keras.optimizers.AdamW(0.01, global_clipnorm=0.1),
}


@pytest.mark.parametrize("core", CORES.values(), ids=list(CORES))
@pytest.mark.parametrize(
    ("sizes", "window"), [([4, 4, 4], 3), ([4, 4, 2], 3)], ids=["4+4+4", "4+4+2"]
)
def test_a_window_is_one_batch_of_all_its_samples(core, sizes, window, network, samples, batches):
    x, y = samples(sum(sizes))
    soft = network(SoftBatch(core(), window))
    whole = network(core())
    _fit(soft, batches(x, y, sizes), epochs=3)
    _fit(whole, batches(x, y, [sum(sizes)]), epochs=3)
    _assert_same(soft, whole)
    assert int(soft.optimizer.iterations) == 3


def test_unequal_batches_are_exact_in_every_mode(mode, network, samples, batches):
    x, y = samples(10)
    soft = network(SoftBatch(sgd(momentum=0.9), 3), **mode)
    whole = network(sgd(momentum=0.9))
    _fit(soft, batches(x, y, [4, 4, 2]), epochs=2)
    _fit(whole, batches(x, y, [10]), epochs=2)
    _assert_same(soft, whole)


def test_weighted_means_are_weighed_by_their_weights(network, samples):
    x, y = samples(8)
    weights = np.array([1, 0, 2, 1, 3, 3, 0.5, 1], "float32")
    loss = keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    soft = network(SoftBatch(sgd(), 2), loss=loss)
    whole = network(sgd(), loss=loss)
    soft.fit(x, y, sample_weight=weights, batch_size=4, shuffle=False, verbose=0)
    whole.fit(x, y, sample_weight=weights, batch_size=8, shuffle=False, verbose=0)
    _assert_same(soft, whole)


def test_a_soft_batch_of_lookahead_is_lookahead_on_the_large_batch(network, samples, batches):
    x, y = samples(8)
    soft = network(SoftBatch(Lookahead(sgd(), sync_period=2), 2))
    whole = network(Lookahead(sgd(), sync_period=2))
    _fit(soft, batches(x, y, [4, 4]), epochs=5)
    _fit(whole, batches(x, y, [8]), epochs=5)
    _assert_same(soft, whole)


@pytest.mark.parametrize("core", CORES.values(), ids=list(CORES))
def test_a_window_of_one_is_the_inner_optimizer_bit_for_bit(core, network, samples, batches):
    x, y = samples(7)
    soft, plain = network(SoftBatch(core(), 1)), network(core())
    for model in (soft, plain):
        _fit(model, batches(x, y, [3, 3, 1]), epochs=2)
    _assert_same(soft, plain, tolerance=0)


def test_nothing_moves_inside_a_window(network, samples):
    model = network(SoftBatch(keras.optimizers.Adam(0.01), 3))
    model.optimizer.build(model.trainable_variables)
    x, y = samples(6)

    def state():
        inner = [variable.numpy() for variable in model.optimizer.inner_optimizer.variables]
        return [*model.get_weights(), *inner]

    def moved():
        before = state()
        model.train_on_batch(x, y)
        return any(np.any(a != b) for a, b in zip(before, state(), strict=True))

    assert [moved() for _ in range(7)] == [False, False, True, False, False, True, False]
    assert int(model.optimizer.iterations) == 2
    assert model.optimizer.batches_waiting() == 1


@pytest.mark.parametrize(
    ("tail", "after_each_epoch", "updates"),
    [
        # 5 batches an epoch, windows of 2, each update × 0.9.
        ("flush", [0.9**3, 0.9**6], 6),
        ("carry", [0.9**2, 0.9**5], 5),
        ("drop", [0.9**2, 0.9**4], 4),
    ],
)
def test_the_tail_of_an_epoch(tail, after_each_epoch, updates, parabola):
    seen = []
    run = parabola(SoftBatch(sgd(), 2, tail=tail))
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(run.weight))
    run.fit(5, epochs=2, callbacks=[watch])
    assert seen == pytest.approx(after_each_epoch, rel=1e-6)
    assert int(run.optimizer.iterations) == updates
    assert run.optimizer.batches_waiting() == 0


def test_a_carried_window_is_flushed_at_the_end_of_the_training(parabola):
    run = parabola(SoftBatch(sgd(), 4, tail="carry"))
    run.fit(5)
    assert run.weight == pytest.approx(0.81, rel=1e-6)
    assert int(run.optimizer.iterations) == 2


def test_validation_measures_the_weights_after_the_flush(network, samples, batches):
    x, y = samples(10)
    soft, whole = network(SoftBatch(sgd(), 8)), network(sgd())
    ours = _fit(soft, batches(x, y, [4, 4, 2]), epochs=2, validation_data=(x, y)).history
    theirs = _fit(whole, batches(x, y, [10]), epochs=2, validation_data=(x, y)).history
    assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-6)


def test_a_plain_model_flushes_with_the_callback_and_at_the_end_without(parabola):
    seen = []
    for callbacks in ([FlushTail()], []):
        run = parabola(SoftBatch(sgd(), 2), model_class=keras.Model)
        watch = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs, run=run: seen.append(run.weight)
        )
        run.fit(3, callbacks=[*callbacks, watch])
        assert run.weight == pytest.approx(0.81, rel=1e-6)
    assert seen == pytest.approx([0.81, 0.9], rel=1e-6)


def test_a_callback_list_gets_the_flush_first(parabola):
    run = parabola(SoftBatch(sgd(), 2))
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(run.weight))
    seen = []
    callbacks = keras.callbacks.CallbackList([watch], add_history=True, model=run.model)
    one = np.ones((1, 1), "float32")
    run.model.fit(one, one, epochs=1, callbacks=callbacks, verbose=0)
    assert seen == pytest.approx([0.9], rel=1e-6)


def test_a_dataset_that_ends_early_is_flushed_too(parabola):
    run = parabola(SoftBatch(sgd(), 2))
    one = np.ones((3, 1), "float32")
    unknown = tf.data.Dataset.from_tensor_slices((one, one)).batch(1).filter(lambda x, y: True)
    with pytest.warns(UserWarning, match="ran out of data"):
        run.model.fit(unknown, epochs=1, shuffle=False, verbose=0)
    assert run.weight == pytest.approx(0.81, rel=1e-6)


@pytest.mark.parametrize("waiting", range(3))
def test_saving_and_loading_in_a_window_goes_on_bit_for_bit(waiting, network, samples, tmp_path):
    sizes = [4, 2, 3, 4, 1, 4, 3, 2]
    x, y = samples(4)

    def steps(model, part):
        for size in part:
            model.train_on_batch(x[:size], y[:size])

    def built():
        model = network(SoftBatch(keras.optimizers.Adam(0.01), 3))
        model.optimizer.build(model.trainable_variables)
        return model

    whole = built()
    steps(whole, sizes[: 3 + waiting])
    whole.save_weights(tmp_path / "state.weights.h5")
    steps(whole, sizes[3 + waiting :])
    resumed = built()
    resumed.load_weights(tmp_path / "state.weights.h5")
    assert resumed.optimizer.batches_waiting() == waiting
    steps(resumed, sizes[3 + waiting :])
    _assert_same(resumed, whole, tolerance=0)


def test_batches_skipped_by_the_loss_scale_are_not_in_the_window():
    optimizer = keras.optimizers.LossScaleOptimizer(SoftBatch(sgd(), 2), initial_scale=1.0)
    weight = keras.Variable(0.0)
    optimizer.build([weight])
    values = []
    for gradient in (1.0, np.inf, 3.0, np.nan, 2.0, 4.0):
        scaled = ops.convert_to_tensor(gradient) * optimizer.dynamic_scale
        optimizer.apply([scaled], [weight])
        values.append(float(weight.value))
    assert values == pytest.approx([0.0, 0.0, -0.2, -0.2, -0.2, -0.5], abs=1e-7)
    assert int(optimizer.iterations) == 2


def test_mixed_float16_is_the_large_batch(network, samples, precision, batches):
    precision("mixed_float16")
    x, y = samples(8)
    soft, whole = network(SoftBatch(sgd(), 2)), network(sgd())
    _fit(soft, batches(x, y, [4, 4]), epochs=3)
    _fit(whole, batches(x, y, [8]), epochs=3)
    assert isinstance(soft.optimizer, keras.optimizers.LossScaleOptimizer)
    assert int(soft.optimizer.iterations) == 3
    _assert_same(soft, whole, tolerance=2e-4)


def test_means_are_float32_for_half_precision_weights():
    weight = keras.Variable(np.zeros(2), dtype="bfloat16")
    optimizer = SoftBatch(sgd(1.0), 256)
    optimizer.build([weight])
    one = ops.ones((2,), "bfloat16")
    for _ in range(256):
        optimizer.apply([one * 0.5], [weight])
    np.testing.assert_allclose(ops.cast(weight, "float32"), -0.5, rtol=1e-3)


def test_a_variable_without_a_gradient_is_left_to_the_inner_optimizer():
    used, unused = keras.Variable(1.0, name="used"), keras.Variable(1.0, name="unused")
    optimizer = SoftBatch(keras.optimizers.AdamW(0.1, weight_decay=0.5), 2)
    optimizer.apply([used.value, None], [used, unused])
    with pytest.warns(UserWarning, match="Gradients do not exist for variables .*unused"):
        optimizer.apply([used.value, None], [used, unused])
    assert float(unused.value) == 1.0
    assert float(used.value) < 1.0


def test_a_summed_loss_is_refused(network, samples):
    model = network(SoftBatch(sgd(), 2), loss=keras.losses.MeanSquaredError(reduction="sum"))
    with pytest.raises(ValueError, match=r"the loss must be a mean over the batch.*'sum'"):
        model.fit(*samples(4), verbose=0)


REFUSED = {
    "no batches": (
        lambda: SoftBatch(sgd(), 0),
        "`batches_per_update` must be a whole number of at least 1. Received: batches_per_update=0",
    ),
    "tail": (
        lambda: SoftBatch(sgd(), 2, tail="keep"),
        "`tail` must be flush, carry or drop. Received: tail='keep'",
    ),
    "rate outside": (
        lambda: SoftBatch(sgd(), 2, learning_rate=0.1),
        "SoftBatch does not take `learning_rate`; set it on the inner optimizer.",
    ),
    "in itself": (
        lambda: SoftBatch(SoftBatch(sgd(), 2), 2),
        "SoftBatch cannot wrap SoftBatch: a soft batch of soft batches is one soft batch",
    ),
    "around Heun": (
        lambda: SoftBatch(Heun(0.1), 2),
        "SoftBatch cannot wrap Heun: its later gradients are taken on the same batch",
    ),
    "around Heun in Lookahead": (
        lambda: SoftBatch(Lookahead(Heun(0.1)), 2),
        "SoftBatch cannot wrap Lookahead: its later gradients are taken on the same batch",
    ),
    "around a loss scale": (
        lambda: SoftBatch(keras.optimizers.LossScaleOptimizer(sgd()), 2),
        "SoftBatch cannot wrap LossScaleOptimizer: a loss scale inside would skip batches",
    ),
    "around accumulation": (
        lambda: SoftBatch(sgd(gradient_accumulation_steps=2), 2),
        "SoftBatch cannot wrap SGD: its gradient_accumulation_steps count batches as updates",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_refusal_says_what_is_wrong(make, message):
    with pytest.raises((ValueError, TypeError)) as refusal:
        make()
    assert str(refusal.value).startswith(message)


def test_a_batch_without_weight_takes_no_part_wherever_it_stands(network, samples):
    x, y = samples(8)
    loss = keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    plain = network(sgd(), loss=loss)
    plain.train_on_batch(x[:4], y[:4])
    for first, second in ((0, 4), (4, 0)):  # which samples stand in each of the two batches
        rows = np.r_[first : first + 4, second : second + 4]
        soft = network(SoftBatch(sgd(), 2), loss=loss)
        weights = (rows < 4).astype("float32")
        soft.fit(x[rows], y[rows], sample_weight=weights, batch_size=4, shuffle=False, verbose=0)
        _assert_same(soft, plain)


def test_sparse_gradients_of_embeddings_add_up():
    def train(optimizer, batch_size):
        inputs = keras.Input((), dtype="int32")
        embedding = keras.layers.Embedding(3, 1, embeddings_initializer="ones")
        model = Model(inputs, embedding(inputs))
        model.compile(optimizer, loss=lambda _, p: ops.mean(ops.square(p)), run_eagerly=True)
        index = np.array([1, 1, 1, 2])
        model.fit(index, index, batch_size=batch_size, shuffle=False, verbose=0)
        return model

    _assert_same(train(SoftBatch(sgd(), 2), 2), train(sgd(), 4))
