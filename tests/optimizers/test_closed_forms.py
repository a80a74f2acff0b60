"""Equations that hold for the wrappers around any core, and Lookahead's variance."""

import keras
import numpy as np
import pytest
from checks import recorded
from optrun.optimizers import Lookahead, SoftBatch
from optrun.optimizers.registry import ENTRIES
from optrun.optimizers.specification import parse
from references.cases import CASES

CORES = [
    name
    for name, entry in ENTRIES.items()
    if name in CASES and not entry.is_wrapper and entry.evaluations == 1 and name != "ranger"
]
cores = pytest.mark.parametrize("core", CORES)


def made(name, rate_factor=1.0):
    arguments = dict(next(iter(CASES[name].values())))
    arguments["learning_rate"] *= rate_factor
    return parse({"name": name, **arguments}).build(total_updates=100)


def trained(optimizer, steps):
    model = recorded.layers_of_every_shape()
    recorded.prepare(optimizer, model)
    return recorded.trajectory(optimizer, model, steps, recorded.recording_for(optimizer))


@cores
def test_lookahead_with_a_full_step_is_its_core_bit_for_bit(core):
    ours = trained(Lookahead(made(core), sync_period=2, slow_step_size=1.0), 4)
    assert recorded.deviation(ours, trained(made(core), 4)) == 0


@cores
def test_lookahead_with_no_step_returns_to_the_start_bit_for_bit(core):
    ours = trained(Lookahead(made(core), sync_period=2, slow_step_size=0.0), 4)
    start = [one.astype("float32") for one in recorded.start()]
    assert recorded.deviation(ours[1::2], [start, start]) == 0
    assert recorded.deviation(ours[::2], [start, start]) > 0


# These look at the weights, or at the rate inside their state, so that the rate is no factor.
@pytest.mark.parametrize("core", sorted(set(CORES) - {"ftrl", "lamb", "adafactor"}))
def test_lookahead_of_period_one_is_its_core_at_a_smaller_rate(core):
    ours = trained(Lookahead(made(core), sync_period=1, slow_step_size=0.5), 4)
    theirs = trained(made(core, rate_factor=0.5), 4)
    assert recorded.deviation(ours, theirs) < 1e-6


@cores
@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param((4, 4, 4), id="4+4+4", marks=pytest.mark.slow),
        pytest.param((4, 4, 2), id="4+4+2"),
    ],
)
def test_a_soft_batch_is_the_large_batch_for_every_core(core, sizes):
    soft, whole = recorded.layers_of_every_shape(), recorded.layers_of_every_shape()
    around, alone = SoftBatch(made(core), 3), made(core)
    recorded.prepare(around, soft)
    recorded.prepare(alone, whole)
    recording = recorded.Recording()
    for window in range(2):
        parts = [recording.numpy_of(3 * window + index)(recorded.start()) for index in range(3)]
        for part, size in zip(parts, sizes, strict=True):
            around.weigh_next_batch(size)
            slots = recorded.values(around.inner_optimizer.variables)
            weights = recorded.values(soft.trainable_variables)
            recorded.step(around, soft.trainable_variables, lambda _, part=part: part)
            if part is not parts[-1]:
                for before, after in zip(
                    [*slots, *weights],
                    recorded.values([*around.inner_optimizer.variables, *soft.trainable_variables]),
                    strict=True,
                ):
                    np.testing.assert_array_equal(before, after)
        mean = [
            np.average(column, axis=0, weights=sizes).astype("float32")
            for column in zip(*parts, strict=True)
        ]
        recorded.step(alone, whole.trainable_variables, lambda _, mean=mean: mean)
    ours, theirs = (recorded.values(one.trainable_variables) for one in (soft, whole))
    assert recorded.deviation([ours], [theirs]) < 1e-6


@pytest.mark.parametrize(
    ("rate", "period", "share"), [(0.5, 5, 0.5), (1.0, 5, 0.5), (0.5, 10, 0.8)]
)
def test_lookahead_s_variance_on_a_noisy_quadratic(rate, period, share):
    # Zhang et al. 2019, proposition 2: f = (w − c)² / 2 with c ~ N(0, 1) anew at each step. Many
    # independent weights are stationary after a few cycles.
    weights, cycles = 50_000, 8
    generator = np.random.default_rng(0)
    variable = keras.Variable(np.zeros(weights, "float32"))
    optimizer = Lookahead(keras.optimizers.SGD(rate), period, share)
    measured = []
    for step in range(1, cycles * period + 1):
        target = generator.normal(size=weights).astype("float32")
        optimizer.apply([variable.value - target], [variable])
        if step % period == 0 and step > cycles * period // 2:
            measured.append(np.var(variable.numpy()))
    keep = 1 - rate
    of_sgd = rate**2 / (1 - keep**2)
    moved = share**2 * (1 - keep ** (2 * period))
    ratio = moved / (moved + 2 * share * (1 - share) * (1 - keep**period))
    # Each measurement has a standard error of √(2 / weights) = 0.6 %.
    assert np.mean(measured) == pytest.approx(ratio * of_sgd, rel=0.02)
