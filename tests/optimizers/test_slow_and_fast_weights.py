"""Lookahead's slow weights, and its fast ones from before a sync, in the model for a while."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from optrun.optimizers import Lookahead, Ranger, SoftBatch
from optrun.optimizers.specification import parse
from optrun.optimizers.wrapper import find

# SGD at rate 0.1 on w² / 2 from 1, k = 5, α = 0.5: right before a sync 0.9⁵ of the last slow one.
CYCLE = (1 + 0.9**5) / 2


def tracking(core=None, **arguments):
    return Lookahead(core or keras.optimizers.SGD(0.1), track_fast_weights=True, **arguments)


def _train(run, steps):
    for _ in range(steps):
        run.model.train_on_batch(np.ones((1, 1)), np.zeros((1, 1)))
    return run.weight


def _slow(run):
    with find(run.optimizer, Lookahead).slow_weights():
        return run.weight


def _fast(run):
    with find(run.optimizer, Lookahead).fast_weights_before_sync():
        return run.weight


@pytest.fixture
def after(parabola):
    """A training of so many steps."""

    def make(steps, optimizer=None):
        run = parabola(optimizer or tracking(), run_eagerly=True).build()
        _train(run, steps)
        return run

    return make


def test_the_slow_weights_are_those_of_the_last_sync_and_the_fast_ones_return(after):
    run = after(7)
    fast = run.weight
    assert _slow(run) == pytest.approx(CYCLE, rel=1e-6)
    assert run.weight == fast == pytest.approx(0.81 * CYCLE, rel=1e-6)
    assert _train(run, 1) == pytest.approx(0.9**3 * CYCLE, rel=1e-6)


@pytest.mark.parametrize("steps", [7, 10], ids=["in a cycle", "after a sync"])
@pytest.mark.parametrize("context", ["slow_weights", "fast_weights_before_sync"])
def test_an_exception_leaves_the_weights_as_they_were_to_the_last_bit(context, steps, after):
    run = after(steps)
    present = run.weight

    def fail_inside():
        with getattr(run.optimizer, context)():
            run.model.set_weights([np.full((1, 1), 3.0)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert run.weight == present


def test_an_interruption_while_the_weights_are_swapped_undoes_the_swap(network, samples):
    model = network(tracking())
    model.optimizer.build(model.trainable_variables)
    for _ in range(7):
        model.train_on_batch(*samples(4))
    present = model.get_weights()
    slow = model.optimizer._slow
    model.optimizer._slow = [slow[0], *"no variables"[:3]]
    with pytest.raises((ValueError, TypeError)), model.optimizer.slow_weights():
        pytest.fail("the weights are not all there")
    model.optimizer._slow = slow
    for one, other in zip(present, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("steps", [7, 10], ids=["in a cycle", "after a sync"])
def test_either_kind_is_the_same_inside_the_other(steps, after):
    run = after(steps)
    present, slow, fast = run.weight, _slow(run), _fast(run)
    assert fast not in (slow, present)
    lookahead = run.optimizer
    with lookahead.slow_weights():
        assert (_slow(run), _fast(run), run.weight) == (slow, fast, slow)
        with lookahead.fast_weights_before_sync():
            assert (_slow(run), _fast(run), run.weight) == (slow, fast, fast)
        assert run.weight == slow
    with lookahead.fast_weights_before_sync(), lookahead.slow_weights():
        assert (_slow(run), _fast(run), run.weight) == (slow, fast, slow)
    assert run.weight == present


def test_the_fast_weights_stay_those_right_before_the_last_sync(parabola, mode):
    run, seen = parabola(tracking(), **mode), []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(
            _fast(run) if run.optimizer.has_synced else None
        )
    )
    run.fit(12, callbacks=[callback])
    assert seen[:4] == [None] * 4
    expected = [0.9**5] * 5 + [0.9**5 * CYCLE] * 3
    np.testing.assert_allclose(np.array(seen[4:], float), expected, rtol=2e-6)
    assert _fast(run) == seen[-1]


class _AtEpochEnd(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.values = []

    def on_epoch_end(self, epoch, logs=None):
        lookahead = find(self.model.optimizer, Lookahead)
        weight = self.model.trainable_variables[0]
        with lookahead.slow_weights():
            slow = weight.numpy().item()
        with lookahead.fast_weights_before_sync():
            self.values.append((weight.numpy().item(), slow))


def test_where_an_epoch_ends_with_a_sync_they_differ_from_the_slow_ones(parabola):
    epochs = _AtEpochEnd()
    parabola(tracking()).fit(10, epochs=2, callbacks=[epochs])
    expected = [(0.9**5 * CYCLE, CYCLE**2), (0.9**5 * CYCLE**3, CYCLE**4)]
    np.testing.assert_allclose(epochs.values, expected, rtol=4e-6)


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "loss scale"])
def test_a_sync_made_by_a_soft_batch_s_flush_counts(scaled, parabola):
    # Three batches an epoch in windows of two: the epoch's second update, a sync, is the flush.
    optimizer = SoftBatch(tracking(sync_period=2), 2)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)
    one = np.ones((1, 1), "float32")
    data = tf.data.Dataset.from_tensors((one, 0 * one)).repeat(3)
    run, epochs = parabola(optimizer), _AtEpochEnd()
    run.model.fit(data, epochs=2, verbose=0, shuffle=False, callbacks=[epochs])
    cycle = (1 + 0.81) / 2
    np.testing.assert_allclose(epochs.values, [(0.81, cycle), (0.81 * cycle, cycle**2)], rtol=1e-6)


def test_with_a_full_step_they_are_the_weights_of_the_sync(after):
    run = after(10, tracking(keras.optimizers.Adam(0.1), slow_step_size=1.0))
    assert _fast(run) == _slow(run) == run.weight
    at_sync = run.weight
    _train(run, 2)
    assert _fast(run) == _slow(run) == at_sync != run.weight


def test_a_batch_that_the_loss_scale_skips_is_no_sync():
    lookahead = tracking(sync_period=2)
    optimizer = keras.optimizers.LossScaleOptimizer(lookahead, initial_scale=1.0)
    weight = keras.Variable(1.0)
    optimizer.build([weight])
    for call in range(1, 4):
        gradient = weight.value if call != 2 else ops.convert_to_tensor(np.inf)
        optimizer.apply([gradient * optimizer.dynamic_scale], [weight])
        assert lookahead.has_synced == (call == 3)
    with lookahead.fast_weights_before_sync():
        assert float(weight.value) == pytest.approx(0.81)


def test_they_are_saved_and_loaded(after, tmp_path):
    run, resumed = after(7), after(0)
    run.model.save_weights(tmp_path / "state.weights.h5")
    resumed.model.load_weights(tmp_path / "state.weights.h5")
    assert (_fast(resumed), _slow(resumed)) == (_fast(run), _slow(run))


def test_asking_for_fast_weights_that_are_not_there_says_why(after):
    lookahead = after(7, Lookahead("sgd")).optimizer
    assert not lookahead.has_synced
    with pytest.raises(RuntimeError, match="make it with `track_fast_weights=True`"):
        lookahead.fast_weights_before_sync().__enter__()
    lookahead = after(4).optimizer
    assert not lookahead.has_synced
    with pytest.raises(RuntimeError, match=r"no sync yet.*make 5 updates first"):
        lookahead.fast_weights_before_sync().__enter__()
    assert not tracking().has_synced


INNER = {"name": "sgd", "learning_rate": 0.1}
LOOKAHEAD = {"name": "lookahead", "inner_optimizer": INNER}
SPECIFICATIONS = {
    "lookahead": LOOKAHEAD,
    "soft batch": {"name": "soft_batch", "batches_per_update": 2, "inner_optimizer": LOOKAHEAD},
    "ranger": {"name": "ranger", "learning_rate": 0.1},
}


@pytest.mark.parametrize("specification", SPECIFICATIONS.values(), ids=list(SPECIFICATIONS))
def test_a_specification_is_built_with_or_without_them(specification):
    for track in (False, True):
        optimizer = parse(specification).build(total_updates=9, track_fast_weights=track)
        assert find(optimizer, Lookahead).track_fast_weights is track
    assert parse(INNER).build(total_updates=9, track_fast_weights=True).name.startswith("sgd")


@pytest.mark.parametrize("make", [tracking, lambda: Ranger(track_fast_weights=True)])
def test_the_config_says_whether_they_are_kept(make):
    optimizer = make()
    assert type(optimizer).from_config(optimizer.get_config()).track_fast_weights
