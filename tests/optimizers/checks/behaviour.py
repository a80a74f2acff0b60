"""Checks that an optimizer passes or fails by an assertion; each takes a function that makes it.

Every check takes the fixtures of the tests by keyword and leaves those it has no use for.
"""

import keras
import numpy as np
import pytest
from checks import recorded
from keras import ops
from optrun.optimizers import GradientCentralization
from optrun.optimizers.wrapper import find
from references.composed import Lookahead as LookaheadReference
from references.momenta import Adam as AdamReference
from references.momenta import RAdam as RAdamReference
from references.momenta import Sgd as SgdReference


def sgd(rate=0.1, **arguments):
    return keras.optimizers.SGD(rate, **arguments)


def heavy_ball():
    return sgd(momentum=0.9)


def adam():
    return keras.optimizers.Adam(0.1)


def _on_a_parabola(optimizer, steps):
    """The weight after each step down w² / 2 from 1."""
    weight = keras.Variable(1.0)
    values = []
    for _ in range(steps):
        optimizer.apply([weight.value], [weight])
        values.append(float(weight.value))
    return np.array(values)


def _reference_on_a_parabola(rule, steps):
    weights, values = [np.array(1.0)], []
    for _ in range(steps):
        weights = rule.step(lambda w: w, weights)
        values.append(float(weights[0]))
    return np.array(values)


# SGD at 0.1, k = 5, α = 0.5: 0.9 an update and (1 + 0.9⁵) / 2 a cycle.
TABLE = [
    0.9, 0.81, 0.729, 0.6561, 0.795245, 0.7157205,
    0.64414845, 0.579733605, 0.521760245, 0.632414610, 0.569173149, 0.512255834,
]  # fmt: skip


def check_table(make, **_):
    np.testing.assert_allclose(_on_a_parabola(make(sgd()), 12), TABLE, rtol=2e-6)


def check_table_in_fit(make, parabola, **_):
    np.testing.assert_allclose(parabola(make(sgd())).fit(12), TABLE, rtol=2e-6)


def _check_inner_state(make, core, rule, inner_state):
    expected = _reference_on_a_parabola(LookaheadReference(rule, inner_state=inner_state), 15)
    np.testing.assert_allclose(_on_a_parabola(make(core()), 15), expected, atol=2e-5)


def check_pullback(make, **_):
    _check_inner_state(make, heavy_ball, SgdReference(0.1, momentum=0.9), "pullback")


def check_reset(make, **_):
    _check_inner_state(make, heavy_ball, SgdReference(0.1, momentum=0.9), "reset")
    _check_inner_state(make, adam, AdamReference(0.1), "reset")


def check_resume(make, tmp_path, **_):
    for phase in range(5):
        whole, resumed = (recorded.layers_of_every_shape() for _ in range(2))
        for model in (whole, resumed):
            model.compile(make(heavy_ball()))
            recorded.prepare(model.optimizer, model)
        recording = recorded.Recording()
        recorded.trajectory(whole.optimizer, whole, phase, recording)
        path = tmp_path / f"{phase}.weights.h5"
        whole.save_weights(path)
        resumed.load_weights(path)
        rest = [
            recorded.trajectory(model.optimizer, model, 6, recording, first=phase)
            for model in (whole, resumed)
        ]
        assert recorded.deviation(*rest) == 0


def check_skipped_batches_are_not_counted(make, **_):
    optimizer = make(sgd())
    if find(optimizer, keras.optimizers.LossScaleOptimizer) is None:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    scaler = find(optimizer, keras.optimizers.LossScaleOptimizer)
    weight = keras.Variable(1.0)
    optimizer.build([weight])
    values = []
    for call in range(1, 15):
        gradient = weight.value if call not in (2, 4) else ops.convert_to_tensor(np.inf)
        optimizer.apply([gradient * scaler.dynamic_scale], [weight])
        if call not in (2, 4):
            values.append(float(weight.value))
    np.testing.assert_allclose(values, TABLE, rtol=2e-6)


def check_rate(make, parabola, **_):
    run = parabola(make(sgd()), run_eagerly=True)
    callback = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 if epoch else rate)
    np.testing.assert_allclose(run.fit(1, epochs=2, callbacks=[callback]), [0.9, 0.45], rtol=1e-6)


def check_clipping_and_decay(make, **_):
    core = sgd(global_clipnorm=0.5, weight_decay=0.2)
    expected, w = [], 1.0
    for _ in range(4):
        w = w - 0.1 * 0.2 * w - 0.1 * min(w, 0.5)
        expected.append(w)
    np.testing.assert_allclose(_on_a_parabola(make(core), 4), expected, rtol=1e-6)


def check_iterations(make, **_):
    optimizer = make(sgd())
    _on_a_parabola(optimizer, 7)
    assert int(optimizer.iterations) == 7
    assert int(optimizer.inner_optimizer.iterations) == 7


def check_nothing_moves_in_a_window(make, **_):
    optimizer = make(adam(), 3)
    weight = keras.Variable(1.0)
    optimizer.build([weight])
    core = find(optimizer, keras.optimizers.Adam)

    def moved():
        before = recorded.values([weight, *core.variables])
        optimizer.apply([weight.value], [weight])
        return any(
            np.any(a != b)
            for a, b in zip(before, recorded.values([weight, *core.variables]), strict=True)
        )

    assert [moved() for _ in range(6)] == [False, False, True] * 2


class _Rising(keras.optimizers.schedules.LearningRateSchedule):
    """0.1, 0.2, 0.3, ... for updates 0, 1, 2, ..."""

    def __call__(self, step):
        return 0.1 * (ops.cast(step, "float32") + 1)


def _down_a_slope(optimizer, batches):
    """The weight after each batch with gradient 1, from 1."""
    weight = keras.Variable(1.0)
    values = []
    for _ in range(batches):
        optimizer.apply([ops.ones(())], [weight])
        values.append(float(weight.value))
    return np.array(values)


def check_schedule_counts_updates(make, **_):
    values = _down_a_slope(make(sgd(_Rising()), 4), 12)
    np.testing.assert_allclose(values[3::4], [0.9, 0.7, 0.4], rtol=1e-5)


def check_average_is_of_updates(make, **_):
    optimizer = make(sgd(use_ema=True, ema_momentum=0.5), 2)
    _down_a_slope(optimizer, 6)
    core = find(optimizer, keras.optimizers.SGD)
    # The weights are 0.9, 0.8, 0.7 after the updates; the average starts at the first.
    average = float(core._model_variables_moving_average[0].value)
    assert average == pytest.approx(((0.9 + 0.8) / 2 + 0.7) / 2, rel=1e-5)


def check_tail(make, parabola, **_):
    # Five batches in windows of two: three updates, the last from one batch.
    run = parabola(make(sgd(), 2), run_eagerly=True)
    run.fit(5)
    assert run.weight == pytest.approx(0.9**3, rel=1e-6)


def check_unequal_batches(make, network, samples, batches, **_):
    x, y = samples(10)
    soft, whole = network(make(sgd(), 3)), network(sgd())
    for model, sizes in ((soft, [4, 4, 2]), (whole, [10])):
        model.fit(batches(x, y, sizes), shuffle=False, verbose=0)
    for ours, theirs in zip(soft.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=3e-7)


def check_first_steps_descend(make, **_):
    values = _down_a_slope(_learned(make()), 5)
    assert np.all(np.diff([1.0, *values]) < 0), values


def check_rectification(make, **_):
    # ε is of the gradients' size, so that its place shows.
    rule = RAdamReference(0.1, epsilon=0.05)
    weights, expected = [np.array(0.0)], []
    optimizer, weight, values = make(), keras.Variable(0.0), []
    for step in range(12):
        gradient = 0.1 if step % 2 else -0.05
        weights = rule.step(lambda _, g=gradient: [np.array(g)], weights)
        expected.append(float(weights[0]))
        optimizer.apply([ops.convert_to_tensor(gradient)], [weight])
        values.append(float(weight.value))
    np.testing.assert_allclose(values, expected, atol=1e-6 * np.max(np.abs(expected)))


def check_units_keep_their_sum(make, **_):
    model = recorded.layers_of_every_shape()
    optimizer = make(heavy_ball())
    recorded.prepare(optimizer, model)
    before = _sums(model)
    recorded.trajectory(optimizer, model, 5, recorded.Recording())
    for ours, theirs in zip(_sums(model), before, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def _sums(model):
    """For each kernel, the sum of each output unit's weights."""
    kernels = [one.numpy() for one in model.trainable_variables if len(one.shape) > 1]
    return [one.sum(axis=tuple(range(one.ndim - 1))) for one in kernels]


def _learned(optimizer):
    """For an optimizer that asks which variables are kernels: this one's variable is none."""
    centralization = find(optimizer, GradientCentralization)
    if centralization is not None:
        centralization.centralized = lambda gradients, variables: list(gradients)
    return optimizer
