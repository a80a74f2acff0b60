import math

import keras
import numpy as np
import pytest
from optrun.optimizers import SoftBatch
from optrun.optimizers.schedules import Constant, Cosine, Exponential, InverseTime, Step
from optrun.optimizers.specification import parse

RATE, WARMUP, SPAN = 0.3, 4, 10

CLOSED_FORMS = {
    "constant": (Constant(RATE, warmup_updates=WARMUP), lambda s: RATE),
    "cosine": (
        Cosine(RATE, SPAN, final_learning_rate=0.05, warmup_updates=WARMUP),
        lambda s: 0.05 + 0.25 * (1 + math.cos(math.pi * min(s, SPAN) / SPAN)) / 2,
    ),
    "exponential": (
        Exponential(RATE, SPAN, 0.2, warmup_updates=WARMUP),
        lambda s: RATE * 0.2 ** (s / SPAN),
    ),
    "inverse_time": (
        InverseTime(RATE, SPAN, 3.0, warmup_updates=WARMUP),
        lambda s: RATE / (1 + 3.0 * s / SPAN),
    ),
    "step": (Step(RATE, SPAN, 0.1, warmup_updates=WARMUP), lambda s: RATE * 0.1 ** (s // SPAN)),
}


@pytest.mark.parametrize(("schedule", "decayed"), CLOSED_FORMS.values(), ids=list(CLOSED_FORMS))
def test_the_rate_is_its_closed_form(schedule, decayed):
    expected = [RATE * (t + 1) / WARMUP if t < WARMUP else decayed(t - WARMUP) for t in range(40)]
    assert [float(schedule(t)) for t in range(40)] == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize(("schedule", "_"), CLOSED_FORMS.values(), ids=list(CLOSED_FORMS))
def test_a_config_makes_the_same_schedule(schedule, _):
    serialized = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(serialized)
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()
    assert [float(again(t)) for t in range(30)] == [float(schedule(t)) for t in range(30)]


@pytest.mark.parametrize("make", [lambda: Constant(RATE), lambda: Step(RATE, 3, 0.5)])
def test_without_a_warm_up_the_first_update_has_the_initial_rate(make):
    assert float(make()(0)) == pytest.approx(RATE)


def test_training_uses_the_rate_of_each_update(parabola, mode):
    schedule = Exponential(0.4, 1, 0.5, warmup_updates=2)
    rates = [0.2, 0.4, 0.4, 0.2, 0.1]
    trajectory = parabola(keras.optimizers.SGD(schedule), **mode).fit(5)
    np.testing.assert_allclose(trajectory, np.cumprod(1 - np.array(rates)), rtol=1e-6)


def test_a_soft_batch_counts_updates_not_batches(parabola):
    schedule = Step(0.4, 1, 0.5)
    trajectory = parabola(SoftBatch(keras.optimizers.SGD(schedule), 4)).fit(12)
    np.testing.assert_allclose(trajectory[3::4], [0.6, 0.6 * 0.8, 0.6 * 0.8 * 0.9], rtol=1e-6)


def test_a_decay_without_a_span_takes_what_the_warm_up_leaves():
    rate = {"schedule": "cosine", "initial_learning_rate": 0.2, "warmup_updates": 20}
    optimizer = parse({"name": "sgd", "learning_rate": rate}).build(total_updates=120)
    config = optimizer.get_config()["learning_rate"]["config"]
    assert config["decay_updates"] == 100
    assert config["warmup_updates"] == 20


def test_a_warm_up_as_long_as_the_training_is_refused():
    rate = {"schedule": "constant", "initial_learning_rate": 0.2, "warmup_updates": 20}
    with pytest.raises(ValueError, match="must be less than the 20 updates of the training"):
        parse({"name": "sgd", "learning_rate": rate}).build(total_updates=20)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(0.0), "`initial_learning_rate` must be a number above 0"),
        (lambda: Constant(float("nan")), "`initial_learning_rate` must be a number above 0"),
        (lambda: Constant(0.1, warmup_updates=-1), "`warmup_updates` must be a whole number"),
        (lambda: Cosine(0.1, 0), "`decay_updates` must be a whole number of at least 1"),
        (lambda: Cosine(0.1, 5, -0.1), "`final_learning_rate` must be a number of at least 0"),
        (lambda: Step(0.1, 5, 0.0), "`decay_rate` must be a number above 0"),
    ],
)
def test_a_refusal_says_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()
