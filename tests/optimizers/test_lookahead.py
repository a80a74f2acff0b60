import keras
import numpy as np
import pytest
from keras import ops
from optrun.optimizers import Heun, Lookahead, SoftBatch

# SGD at rate 0.1 on w² / 2 from 1, k = 5, α = 0.5: 0.9 per update, (1 + 0.9⁵) / 2 per cycle.
TABLE = [
    0.9, 0.81, 0.729, 0.6561, 0.795245, 0.7157205,
    0.64414845, 0.579733605, 0.521760245, 0.632414610, 0.569173149, 0.512255834,
]  # fmt: skip


def sgd(rate=0.1, **arguments):
    return keras.optimizers.SGD(rate, **arguments)


def test_the_table_of_twelve_updates_through_fit(parabola, mode, built):
    run = parabola(Lookahead(sgd()), **mode)
    if built:
        run.build()
    np.testing.assert_allclose(run.fit(12), TABLE, rtol=2e-6)
    assert int(run.optimizer.iterations) == 12


def test_the_table_with_a_plain_keras_model(parabola, built):
    run = parabola(Lookahead(sgd()), model_class=keras.Model)
    if built:
        run.build()
    np.testing.assert_allclose(run.fit(12), TABLE, rtol=2e-6)


def test_a_name_stands_for_keras_optimizer_with_its_defaults(network, samples):
    x, y = samples(16)
    weights = []
    for inner in ("adam", keras.optimizers.Adam()):
        model = network(Lookahead(inner, sync_period=2), model_class=keras.Model)
        model.fit(x, y, batch_size=4, verbose=0, shuffle=False)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_table_with_several_steps_per_execution(parabola):
    run = parabola(Lookahead(sgd()), steps_per_execution=4)
    np.testing.assert_allclose(run.fit(12), TABLE[3::4], rtol=2e-6)


def test_heavy_ball_keeps_its_momentum_through_a_sync(parabola):
    # x_5, x_10, x_15 of v ← 0.9 v − 0.1 x, x ← x + v, with a sync halfway every fifth update.
    x, velocity, slow, expected = 1.0, 0.0, 1.0, []
    for update in range(1, 16):
        velocity = 0.9 * velocity - 0.1 * x
        x += velocity
        if update % 5 == 0:
            x = slow = (slow + x) / 2
        expected.append(x)
    assert expected[4::5] == pytest.approx([0.48542, -0.05918727, -0.16324519], abs=5e-9)
    trajectory = parabola(Lookahead(sgd(momentum=0.9))).fit(15)
    np.testing.assert_allclose(trajectory, expected, atol=1e-6)


CORES = {
    "sgd": sgd,
    "heavy ball": lambda rate=0.1: sgd(rate, momentum=0.9),
    "nesterov": lambda rate=0.1: sgd(rate, momentum=0.9, nesterov=True),
    "adam": keras.optimizers.Adam,
    "adagrad": keras.optimizers.Adagrad,
}


@pytest.mark.parametrize("core", CORES.values(), ids=list(CORES))
def test_a_full_step_is_the_inner_optimizer_bit_for_bit(core, parabola):
    lookahead = parabola(Lookahead(core(0.1), slow_step_size=1.0), run_eagerly=True).fit(12)
    np.testing.assert_array_equal(lookahead, parabola(core(0.1), run_eagerly=True).fit(12))


def test_a_step_of_zero_returns_to_the_start_every_cycle(parabola):
    trajectory = parabola(Lookahead(sgd(), sync_period=3, slow_step_size=0.0)).fit(9)
    np.testing.assert_array_equal(trajectory[2::3], 1.0)
    np.testing.assert_allclose(trajectory[3:5], [0.9, 0.81], rtol=1e-6)


@pytest.mark.parametrize("core", CORES.values(), ids=list(CORES))
def test_a_period_of_one_is_the_inner_optimizer_at_a_smaller_rate(core, parabola):
    # θ = φ + α (θ₁ − φ), and the inner state never sees α: the rate is the factor of each step.
    halved = Lookahead(core(0.1), sync_period=1, slow_step_size=0.5)
    lookahead = parabola(halved, run_eagerly=True).fit(12)
    np.testing.assert_allclose(lookahead, parabola(core(0.05), run_eagerly=True).fit(12), atol=1e-6)


def test_clipping_and_decay_act_on_the_inner_step(parabola):
    # The gradient w is clipped to 0.5, and the decay takes 0.1 · 0.2 w first, as Keras does.
    w, slow, expected = 1.0, 1.0, []
    for update in range(1, 7):
        w = w - 0.1 * 0.2 * w - 0.1 * min(w, 0.5)
        if update % 3 == 0:
            w = slow = (slow + w) / 2
        expected.append(w)
    core = sgd(global_clipnorm=0.5, weight_decay=0.2)
    np.testing.assert_allclose(parabola(Lookahead(core, sync_period=3)).fit(6), expected, rtol=1e-6)


def test_weights_set_between_cycles_stay(parabola):
    run = parabola(Lookahead(sgd(0.0), sync_period=2))
    run.fit(2)
    run.model.set_weights([np.array([[10.0]])])
    np.testing.assert_array_equal(run.fit(2), 10.0)


@pytest.mark.parametrize("phase", range(5))
def test_saving_and_loading_in_a_cycle_goes_on_bit_for_bit(phase, parabola, tmp_path):
    whole = parabola(Lookahead(sgd(momentum=0.9)))
    whole.build()
    step = _step(whole)
    first = [step() for _ in range(5 + phase)]
    path = tmp_path / "state.weights.h5"
    whole.model.save_weights(path)
    rest = [step() for _ in range(6)]

    resumed = parabola(Lookahead(sgd(momentum=0.9))).build()
    resumed.model.load_weights(path)
    step = _step(resumed)
    assert [step() for _ in range(6)] == rest
    assert first[-1] != rest[0]
    assert int(resumed.optimizer.iterations) == 11 + phase


def _step(run):
    def step():
        run.model.train_on_batch(np.ones((1, 1)), np.zeros((1, 1)))
        return run.weight

    return step


def test_a_whole_model_saved_and_loaded_has_its_optimizer_in_mid_cycle(network, samples, tmp_path):
    x, y = samples(8)
    model = network(Lookahead(keras.optimizers.Adam(0.01), sync_period=3, slow_step_size=0.8))
    model.optimizer.build(model.trainable_variables)
    for _ in range(4):
        model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for _ in range(3):
        assert model.train_on_batch(x, y) == loaded.train_on_batch(x, y)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_fit_ends_on_the_slow_weights_and_the_next_fit_begins_a_cycle(parabola):
    run = parabola(Lookahead(sgd()))
    assert run.fit(7)[-1] == pytest.approx(0.64414845, rel=1e-6)
    assert run.weight == pytest.approx(0.795245, rel=1e-6)
    np.testing.assert_allclose(run.fit(5), 0.795245 * np.array(TABLE[:5]), rtol=2e-6)


def test_the_rate_set_on_the_wrapper_is_the_inner_one(parabola):
    run = parabola(Lookahead(sgd()))
    run.optimizer.learning_rate = 0.2
    assert float(run.optimizer.inner_optimizer.learning_rate) == pytest.approx(0.2)
    callback = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 if epoch else rate)
    trajectory = run.fit(1, epochs=2, callbacks=[callback])
    np.testing.assert_allclose(trajectory, [0.8, 0.4], rtol=1e-6)


def test_a_fixed_loss_scale_of_the_inner_optimizer_cancels_out(parabola):
    trajectory = parabola(Lookahead(sgd(loss_scale_factor=128.0))).fit(12)
    np.testing.assert_allclose(trajectory, TABLE, rtol=2e-6)


def test_a_dynamic_loss_scale_takes_the_place_of_the_inner_optimizer_s_fixed_one():
    core = sgd(loss_scale_factor=128.0)
    optimizer = keras.optimizers.LossScaleOptimizer(Lookahead(core), initial_scale=4.0)
    weight = keras.Variable(1.0)
    optimizer.build([weight])
    optimizer.apply([optimizer.scale_loss(weight.value)], [weight])
    assert float(weight.value) == pytest.approx(0.9)


def test_batches_skipped_by_the_loss_scale_change_and_count_nothing():
    optimizer = keras.optimizers.LossScaleOptimizer(Lookahead(sgd()), initial_scale=1.0)
    weight = keras.Variable(1.0)
    optimizer.build([weight])
    values, counts = [], []
    for call in range(1, 15):
        gradient = weight.value if call not in (2, 4) else ops.convert_to_tensor(np.inf)
        optimizer.apply([gradient * optimizer.dynamic_scale], [weight])
        values.append(float(weight.value))
        counts.append(int(optimizer.iterations))
    assert counts[:5] == [1, 1, 2, 2, 3]
    assert counts[-1] == 12
    kept = [value for call, value in enumerate(values, 1) if call not in (2, 4)]
    np.testing.assert_allclose(kept, TABLE, rtol=2e-6)
    assert values[1] == values[0]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_state_in_float32(policy, network, samples, precision):
    precision(policy)
    model = network(Lookahead(sgd(), sync_period=2))
    x, y = samples(16)
    history = model.fit(x, y, batch_size=4, epochs=3, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < history[0]
    kinds = {variable.dtype for variable in model.optimizer.variables if len(variable.shape)}
    assert kinds == {"float32"}
    wrapped = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert wrapped == (policy == "mixed_float16")


def test_frozen_layers_do_not_move(network, samples):
    model = network(Lookahead(sgd(), sync_period=2))
    model.get_layer("hidden").trainable = False
    model.compile(Lookahead(sgd(), sync_period=2, slow_step_size=0.3), loss="mse")
    before = model.get_layer("hidden").get_weights()
    model.fit(*samples(16), batch_size=4, verbose=0)
    for ours, theirs in zip(before, model.get_layer("hidden").get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_each_variable_is_listed_once_and_the_inner_ones_come_last(network):
    model = network(Lookahead(sgd(momentum=0.9)))
    model.optimizer.build(model.trainable_variables)
    paths = [variable.path for variable in model.optimizer.variables]
    assert len(set(paths)) == len(paths) == 1 + 4 + 2 + 4
    inner = model.optimizer.inner_optimizer.variables
    assert [id(one) for one in model.optimizer.variables[5:]] == [id(one) for one in inner]


REFUSED = {
    "sync_period 0": (
        lambda: Lookahead(sgd(), sync_period=0),
        "`sync_period` must be a whole number of at least 1. Received: sync_period=0",
    ),
    "sync_period 2.5": (
        lambda: Lookahead(sgd(), sync_period=2.5),
        "`sync_period` must be a whole number of at least 1. Received: sync_period=2.5",
    ),
    "slow_step_size 2": (
        lambda: Lookahead(sgd(), slow_step_size=2),
        "`slow_step_size` must be a number from 0 to 1. Received: slow_step_size=2",
    ),
    "slow_step_size NaN": (
        lambda: Lookahead(sgd(), slow_step_size=float("nan")),
        "`slow_step_size` must be a number from 0 to 1. Received: slow_step_size=nan",
    ),
    "inner_state": (
        lambda: Lookahead(sgd(), inner_state="forget"),
        "`inner_state` must be maintain, reset or pullback. Received: inner_state='forget'",
    ),
    "slow_step_size -1": (
        lambda: Lookahead(sgd(), slow_step_size=-1),
        "`slow_step_size` must be a number from 0 to 1. Received: slow_step_size=-1",
    ),
    "slow_step_size True": (
        lambda: Lookahead(sgd(), slow_step_size=True),
        "`slow_step_size` must be a number from 0 to 1. Received: slow_step_size=True",
    ),
    "a class": (
        lambda: Lookahead(keras.optimizers.SGD),
        "`inner_optimizer` must be an optimizer, such as keras.optimizers.SGD(0.01), or the name "
        'of one, such as "adam". Received: inner_optimizer=<class',
    ),
    "an unknown name": (
        lambda: Lookahead("sdg"),
        "Keras makes no optimizer of the name 'sdg' alone; did you mean 'sgd'? Any other is given",
    ),
    "a name that needs more": (
        lambda: Lookahead("LossScaleOptimizer"),
        "Keras makes no optimizer of the name 'LossScaleOptimizer' alone. Any other is given",
    ),
    "track_fast_weights": (
        lambda: Lookahead(sgd(), track_fast_weights=1),
        "`track_fast_weights` must be True or False. Received: track_fast_weights=1",
    ),
    "clipnorm outside": (
        lambda: Lookahead(sgd(), clipnorm=1.0),
        "Lookahead does not take `clipnorm`; set it on the inner optimizer.",
    ),
    "unknown": (lambda: Lookahead(sgd(), period=3), "Lookahead does not take `period`."),
    "in itself": (
        lambda: Lookahead(Lookahead(sgd())),
        "Lookahead cannot wrap Lookahead: Lookahead around Lookahead keeps two sets of slow",
    ),
    "around a soft batch": (
        lambda: Lookahead(SoftBatch(sgd(), 2)),
        "Lookahead cannot wrap SoftBatch: Lookahead counts updates, and a soft batch inside it",
    ),
    "around a loss scale": (
        lambda: Lookahead(keras.optimizers.LossScaleOptimizer(sgd())),
        "Lookahead cannot wrap LossScaleOptimizer: a loss scale inside would skip batches",
    ),
    "around accumulation": (
        lambda: Lookahead(sgd(gradient_accumulation_steps=2)),
        "Lookahead cannot wrap SGD: its gradient_accumulation_steps count batches as updates",
    ),
    "around an average": (
        lambda: Lookahead(sgd(use_ema=True)),
        "Lookahead cannot wrap SGD: its use_ema keeps an average of its own",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_refusal_says_what_is_wrong(make, message):
    with pytest.raises((ValueError, TypeError)) as refusal:
        make()
    assert str(refusal.value).startswith(message)


def test_applying_unbuilt_without_variables_says_what_to_do():
    with pytest.raises(ValueError, match=r"call `optimizer\.build\(model\.trainable_variables\)`"):
        Lookahead(sgd()).apply([ops.ones(())])


def test_loading_into_an_unbuilt_optimizer_warns_and_starts_a_cycle(parabola, tmp_path):
    run = parabola(Lookahead(sgd())).build()
    step = _step(run)
    for _ in range(3):
        step()
    run.model.save_weights(tmp_path / "state.weights.h5")
    unbuilt = parabola(Lookahead(sgd()))
    with pytest.warns(UserWarning, match=r"(Build the optimizer before loading|Skipping variable)"):
        unbuilt.model.load_weights(tmp_path / "state.weights.h5")
    np.testing.assert_allclose(unbuilt.fit(5), 0.729 * np.array(TABLE[:5]), rtol=2e-6)


def test_lookahead_around_heun_makes_heun_steps(parabola, mode):
    trajectory = parabola(Lookahead(Heun(0.5), sync_period=2), **mode).fit(4)
    cycle = (1 + 0.625**2) / 2
    np.testing.assert_allclose(trajectory, [0.625, cycle, 0.625 * cycle, cycle**2], rtol=1e-6)
