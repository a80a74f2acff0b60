import keras
import numpy as np
import pytest
from optrun.optimizers import Lookahead, SoftBatch
from optrun.optimizers.lookahead import evaluation_weights


def _train(model, samples, steps):
    x, y = samples(4)
    model.optimizer.build(model.trainable_variables)
    for _ in range(steps):
        model.train_on_batch(x, y)


def _equal(ours, theirs):
    return all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_slow_weights_are_found_inside_a_soft_batch_and_a_loss_scale(network, samples):
    start = network("sgd").get_weights()
    inner = SoftBatch(Lookahead(keras.optimizers.SGD(0.1), sync_period=10), 1)
    model = network(keras.optimizers.LossScaleOptimizer(inner))
    _train(model, samples, 3)
    fast = model.get_weights()
    assert not _equal(fast, start)
    with evaluation_weights(model):
        assert _equal(model.get_weights(), start)
        with evaluation_weights(model):
            assert _equal(model.get_weights(), start)
        assert _equal(model.get_weights(), start)
    assert _equal(model.get_weights(), fast)


def test_after_a_sync_there_is_nothing_to_swap(network, samples):
    model = network(Lookahead(keras.optimizers.SGD(0.1), sync_period=2))
    _train(model, samples, 2)
    fast = model.get_weights()
    with evaluation_weights(model):
        assert _equal(model.get_weights(), fast)


@pytest.mark.parametrize("optimizer", ["adam", None], ids=["adam", "not compiled"])
def test_other_optimizers_are_measured_on_the_weights_they_train(optimizer, network):
    if optimizer is None:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    else:
        model = network(optimizer)
    weights = model.get_weights()
    with evaluation_weights(model):
        assert _equal(model.get_weights(), weights)
