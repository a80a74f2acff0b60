"""What Lookahead's sync does with the inner optimizer's state: maintain, reset, pullback."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from optrun.optimizers import GradientCentralization, Lookahead, Model, RAdam, SoftBatch
from optrun.optimizers.keras_optimizers import KERAS_ENTRIES
from optrun.optimizers.lookahead import CountingAllUpdates, InitialState, core_of

INNER_STATES = ("maintain", "reset", "pullback")
CHANGING = INNER_STATES[1:]

# Heavy ball at rate 0.1 and momentum 0.9 on w² / 2 from 1, k = 5, α = 0.5: w₅, w₁₀, w₁₅.
TABLE = {
    "maintain": [0.48542, -0.05918727, -0.16324519],
    "reset": [0.48542, 0.23563258, 0.11438077],
    "pullback": [0.48542, 0.08822265, -0.10028641],
}


def momentum(rate=0.1, **arguments):
    return keras.optimizers.SGD(rate, momentum=0.9, **arguments)


def replay(inner_state, updates, *, start=(1.0, 0.0), nesterov=False, share=0.5, rate=None):
    """Heavy ball on w² / 2 in float64: weight and velocity after each update, k = 5."""
    (weight, velocity), rows = start, []
    slow, velocity_at_start = start
    for update in range(1, updates + 1):
        step = 0.1 * weight if rate is None else rate(update - 1) * weight
        velocity = 0.9 * velocity - step
        weight += 0.9 * velocity - step if nesterov else velocity
        if update % 5 == 0:
            weight = slow = slow + share * (weight - slow)
            if inner_state == "reset":
                velocity = 0.0
            elif inner_state == "pullback":
                velocity = velocity_at_start + share * (velocity - velocity_at_start)
            velocity_at_start = velocity
        rows.append((weight, velocity))
    return np.array(rows)


def _step(run, x=1.0):
    run.model.train_on_batch(np.full((1, 1), x), np.zeros((1, 1)))
    return run.weight


@pytest.mark.parametrize("inner_state", INNER_STATES)
def test_the_three_mode_table_through_fit(inner_state, parabola, mode, built):
    run = parabola(Lookahead(momentum(), inner_state=inner_state), **mode)
    if built:
        run.build()
    expected = replay(inner_state, 15)[:, 0]
    assert expected[4::5] == pytest.approx(TABLE[inner_state], abs=5e-9)
    np.testing.assert_allclose(run.fit(15), expected, atol=1e-6)
    assert int(run.optimizer.iterations) == 15


@pytest.mark.parametrize("inner_state", INNER_STATES)
def test_nesterov_s_momentum_is_treated_alike(inner_state, parabola):
    run = parabola(Lookahead(momentum(nesterov=True), inner_state=inner_state), run_eagerly=True)
    expected = replay(inner_state, 15, nesterov=True)[:, 0]
    if inner_state == "maintain":
        assert expected[4::5] == pytest.approx([0.44770916, 0.02168574, -0.08542745], abs=5e-9)
    np.testing.assert_allclose(run.fit(15), expected, atol=1e-6)


def adam(rows, weight, rate):
    m = v = 0.0
    for t in range(1, len(rows) + 1):
        m += 0.1 * (weight - m)
        v += 0.001 * (weight**2 - v)
        weight -= rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
        rows[t - 1] = weight


def adagrad(rows, weight, rate):
    total = 0.1
    for index in range(len(rows)):
        total += weight**2
        weight -= rate * weight / np.sqrt(total + 1e-7)
        rows[index] = weight


def radam(rows, weight, rate):
    m = v = 0.0
    longest = 2 / 0.001 - 1
    for t in range(1, len(rows) + 1):
        m += 0.1 * (weight - m)
        v += 0.001 * (weight**2 - v)
        step = rate * m / (1 - 0.9**t)
        length = longest - 2 * t * 0.999**t / (1 - 0.999**t)
        if length > 5:
            step *= np.sqrt((length - 4) * (length - 2) * longest * (1 - 0.999**t))
            step /= np.sqrt((longest - 4) * (longest - 2) * length) * (np.sqrt(v) + 1e-7)
        weight -= step
        rows[t - 1] = weight


RESTARTING = {
    "adam": (keras.optimizers.Adam, adam),
    "adagrad": (keras.optimizers.Adagrad, adagrad),
    "radam": (RAdam, radam),
}


@pytest.mark.parametrize(("make", "cycle"), RESTARTING.values(), ids=list(RESTARTING))
def test_reset_starts_each_cycle_with_the_optimizer_as_it_was_made(make, cycle, parabola, float64):
    run = parabola(Lookahead(make(0.1), sync_period=8, inner_state="reset"), run_eagerly=True)
    rows, slow = np.zeros((3, 8)), 1.0
    for row in rows:
        cycle(row, slow, 0.1)
        slow = row[-1] = (slow + row[-1]) / 2
    # Keras' Adam takes its betas in float32, whatever the weights are.
    np.testing.assert_allclose(run.fit(24), rows.ravel(), atol=1e-12 if make is RAdam else 1e-5)
    assert int(core_of(run.optimizer).iterations) == 0
    assert int(run.optimizer.iterations) == 24


@pytest.mark.parametrize("name", [entry.name for entry in KERAS_ENTRIES])
def test_reset_puts_every_variable_of_the_inner_optimizer_back(name):
    def built():
        optimizer = Lookahead(name, sync_period=2, inner_state="reset")
        variables = [keras.Variable(np.full(shape, 0.5, "float32")) for shape in ((3, 2), (2,))]
        optimizer.build(variables)
        return optimizer, variables

    (optimizer, variables), (fresh, _) = built(), built()
    gradients = [ops.full(one.shape, 0.3) for one in variables]
    optimizer.apply(gradients, variables)
    before = [np.array(one) for one in optimizer.inner_optimizer.variables]
    optimizer.apply(gradients, variables)
    expected = [np.array(one) for one in fresh.inner_optimizer.variables]
    assert any(not np.array_equal(*pair) for pair in zip(before, expected, strict=True))
    for one, start in zip(optimizer.inner_optimizer.variables, expected, strict=True):
        np.testing.assert_array_equal(one, start, err_msg=one.path)
    assert int(optimizer.iterations) == 2


def test_a_slot_that_begins_with_different_values_returns_to_each():
    class Patterned(keras.optimizers.SGD):
        def build(self, variables):
            super().build(variables)
            initializer = keras.initializers.RandomUniform(seed=1)
            self.slots = self.add_optimizer_variables(variables, "slot", initializer)

    core = Patterned(0.1)
    core.build([keras.Variable(np.zeros((4, 3)))])
    start = np.array(core.slots[0])
    assert len(np.unique(start)) == 12
    state = InitialState(core)
    core.slots[0].assign(np.zeros((4, 3)))
    state.restore(core.assign)
    np.testing.assert_array_equal(core.slots[0], start)


def test_a_reset_reaches_through_the_optimizers_in_between(network, samples):
    core = keras.optimizers.Adam(0.01)
    lookahead = Lookahead(GradientCentralization(core), sync_period=2, inner_state="reset")
    model = network(SoftBatch(lookahead, 2), model_class=Model)
    model.fit(*samples(16), batch_size=2, verbose=0)
    assert int(model.optimizer.iterations) == 4
    assert int(core.iterations) == 0
    assert all(not np.any(one) for one in core.variables if "momentum" in one.name)
    model.train_on_batch(*samples(2))
    model.train_on_batch(*samples(2))
    assert int(model.optimizer.iterations) == 5
    assert np.any(core._momentums[0])


@pytest.fixture
def schedule():
    return keras.optimizers.schedules.InverseTimeDecay(0.1, decay_steps=4, decay_rate=0.5)


@pytest.mark.parametrize("inner_state", CHANGING)
def test_a_schedule_counts_all_updates(inner_state, parabola, schedule, mode):
    run = parabola(Lookahead(momentum(schedule), inner_state=inner_state), **mode)
    expected = replay(inner_state, 13, rate=lambda update: 0.1 / (1 + 0.5 * update / 4))
    np.testing.assert_allclose(run.fit(13), expected[:, 0], atol=1e-6)
    assert float(run.optimizer.learning_rate) == pytest.approx(0.1 / (1 + 0.5 * 13 / 4))


def test_the_config_holds_the_schedule_as_it_was_given(parabola, schedule):
    run = parabola(SoftBatch(Lookahead(momentum(schedule), inner_state="reset", name="one"), 1))
    before = run.optimizer.get_config()
    run.build()
    assert isinstance(core_of(run.optimizer)._learning_rate, CountingAllUpdates)
    assert run.optimizer.get_config() == before
    assert isinstance(core_of(run.optimizer)._learning_rate, CountingAllUpdates)
    alone = keras.optimizers.SGD.from_config(core_of(run.optimizer).get_config())
    assert type(alone._learning_rate) is type(schedule)


def test_a_schedule_set_between_two_cycles_counts_all_updates_too(parabola, schedule):
    run = parabola(Lookahead(momentum(), inner_state="reset"), run_eagerly=True).build()
    for _ in range(5):
        _step(run)
    run.optimizer.learning_rate = schedule
    _step(run)
    assert float(run.optimizer.learning_rate) == pytest.approx(0.1 / (1 + 0.5 * 6 / 4))


@pytest.mark.parametrize("inner_state", CHANGING)
def test_the_rate_set_by_a_callback_reaches_the_core(inner_state, parabola):
    run = parabola(Lookahead(keras.optimizers.Adam(0.1), sync_period=1, inner_state=inner_state))
    callback = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.2 if epoch else rate)
    run.fit(2, epochs=2, callbacks=[callback])
    assert float(core_of(run.optimizer).learning_rate) == pytest.approx(0.2)
    assert float(run.optimizer.learning_rate) == pytest.approx(0.2)


@pytest.mark.parametrize("phase", [0, 3])
@pytest.mark.parametrize("inner_state", CHANGING)
def test_saving_and_loading_in_a_cycle_goes_on_bit_for_bit(
    inner_state, phase, parabola, schedule, tmp_path
):
    def made():
        core = keras.optimizers.Nadam(schedule)
        return parabola(Lookahead(core, inner_state=inner_state), run_eagerly=True).build()

    whole, resumed = made(), made()
    first = [_step(whole) for _ in range(5 + phase)]
    path = tmp_path / "state.weights.h5"
    whole.model.save_weights(path)
    rest = [_step(whole) for _ in range(6)]
    resumed.model.load_weights(path)
    rate = float(resumed.optimizer.learning_rate)
    assert rate == pytest.approx(0.1 / (1 + 0.5 * (5 + phase) / 4))
    assert [_step(resumed) for _ in range(6)] == rest
    assert first[-1] != rest[0]
    assert int(resumed.optimizer.iterations) == 11 + phase


_IN_ANOTHER_PROCESS = """
import sys
import keras
import numpy as np
from optrun.optimizers import Lookahead, Model

folder, source, target, first, last = sys.argv[1], *sys.argv[2:4], *map(int, sys.argv[4:6])
for inner_state in ("maintain", "reset", "pullback"):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((3,))
    model = Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile(Lookahead(keras.optimizers.Adam(0.1), inner_state=inner_state), loss="mse")
    model.optimizer.build(model.trainable_variables)
    if first:
        model.load_weights(f"{folder}/{source}_{inner_state}.weights.h5")
    for step in range(first, last):
        x = np.random.default_rng(step).normal(size=(4, 3))
        model.train_on_batch(x, x[:, :2])
    model.save_weights(f"{folder}/{target}_{inner_state}.weights.h5")
    np.save(f"{folder}/{target}_{inner_state}.npy", model.trainable_variables[0])
"""


@pytest.mark.slow
def test_another_process_goes_on_bit_for_bit(tmp_path):
    for source, target, first, last in (
        ("none", "whole", 0, 13),
        ("none", "half", 0, 7),
        ("half", "resumed", 7, 13),
    ):
        arguments = [str(one) for one in (tmp_path, source, target, first, last)]
        subprocess.run([sys.executable, "-c", _IN_ANOTHER_PROCESS, *arguments], check=True)
    for inner_state in INNER_STATES:
        whole, resumed = (
            np.load(tmp_path / f"{name}_{inner_state}.npy") for name in ("whole", "resumed")
        )
        np.testing.assert_array_equal(resumed, whole)


@pytest.mark.parametrize("inner_state", INNER_STATES)
def test_an_infinite_gradient_under_float16_changes_and_counts_nothing(
    inner_state, parabola, precision
):
    precision("mixed_float16")
    run = parabola(Lookahead(momentum(), inner_state=inner_state)).build()
    lookahead = run.optimizer.inner_optimizer
    kept = []
    for call in range(1, 15):
        before = [np.array(one) for one in (*lookahead.variables, *run.model.trainable_variables)]
        _step(run, np.inf if call in (2, 4, 5, 11) else 1.0)
        if call not in (2, 4, 5, 11):
            kept.append(run.weight)
            continue
        after = [*lookahead.variables, *run.model.trainable_variables]
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(kept, replay(inner_state, 10)[:, 0], atol=2e-3)
    assert int(run.optimizer.iterations) == 10


@pytest.mark.parametrize("inner_state", CHANGING)
def test_a_step_of_zero_repeats_the_cycle(inner_state, parabola):
    run = parabola(Lookahead(momentum(), slow_step_size=0.0, inner_state=inner_state))
    trajectory = run.fit(15)
    np.testing.assert_array_equal(trajectory[5:10], trajectory[:5])
    np.testing.assert_array_equal(trajectory[10:], trajectory[:5])


def test_a_full_step_moves_no_weight_and_pulls_back_nothing_but_resets(parabola):
    def trajectory(inner_state):
        optimizer = Lookahead(momentum(), slow_step_size=1.0, inner_state=inner_state)
        return parabola(optimizer, run_eagerly=True).fit(12)

    alone = parabola(momentum(), run_eagerly=True).fit(12)
    np.testing.assert_array_equal(trajectory("pullback"), alone)
    expected = replay("reset", 12, share=1.0)[:, 0]
    np.testing.assert_allclose(trajectory("reset"), expected, atol=1e-6)


@pytest.mark.parametrize("inner_state", INNER_STATES)
def test_a_cycle_that_fit_discards_leaves_no_trace_in_a_state_that_is_not_maintained(
    inner_state, parabola
):
    run = parabola(Lookahead(momentum(), inner_state=inner_state))
    first = replay(inner_state, 7)
    np.testing.assert_allclose(run.fit(7), first[:, 0], atol=1e-6)
    (weight, velocity), (_, later_velocity) = first[4], first[6]
    kept = later_velocity if inner_state == "maintain" else velocity
    expected = replay(inner_state, 10, start=(weight, kept))[:, 0]
    np.testing.assert_allclose(run.fit(10), expected, atol=1e-6)
    assert int(run.optimizer.iterations) == 17


def test_what_moves_by_no_momentum_is_not_pulled_back(parabola):
    run = parabola(Lookahead(keras.optimizers.Adam(0.1), inner_state="pullback"), run_eagerly=True)
    run.build()
    for _ in range(4):
        _step(run)
    core = core_of(run.optimizer)

    def moments():
        return [np.array(one[0]).item() for one in (core._momentums, core._velocities)]

    (m, v), gradient = moments(), run.weight
    _step(run)
    halved = (0.9 * m + 0.1 * gradient) / 2
    assert moments() == pytest.approx([halved, 0.999 * v + 0.001 * gradient**2], rel=1e-5)
