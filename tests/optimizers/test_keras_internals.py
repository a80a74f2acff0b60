"""The private names of Keras and TensorFlow: each is what the package takes it for."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from optrun.optimizers import keras_internals as internals


@pytest.fixture
def optimizer():
    made = keras.optimizers.SGD(0.1, momentum=0.9)
    made.build([keras.Variable([1.0, 2.0], name="a"), keras.Variable(3.0, name="b")])
    return made


def test_the_count_and_the_rate_are_the_first_variables_and_can_be_taken_out(optimizer):
    count, rate = internals.count_of(optimizer), internals.rate_of(optimizer)
    assert optimizer.variables[0] is count
    assert optimizer.variables[1] is rate
    assert float(rate.numpy()) == pytest.approx(0.1)
    optimizer.apply([np.zeros(2, "float32"), np.float32(0)])
    assert int(count.numpy()) == 1
    internals.without_count_and_rate(optimizer)
    assert not {id(count), id(rate)} & {id(one) for one in optimizer.variables}


def test_a_schedule_is_the_rate_as_it_was_given():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert internals.rate_of(keras.optimizers.SGD(schedule)) is schedule


def test_own_variables_are_those_of_the_optimizer_and_not_those_it_trains(optimizer):
    trained = internals.own_trained(optimizer)
    assert [one.name for one in trained] == ["a", "b"]
    own = internals.own_variables(optimizer)
    assert [id(one) for one in own] == [id(one) for one in optimizer.variables]
    assert not {id(one) for one in trained} & {id(one) for one in own}


def test_variables_are_known_by_their_place_and_key_and_strangers_refused(optimizer):
    first, second = internals.own_trained(optimizer)
    assert (internals.index_of(optimizer, first), internals.index_of(optimizer, second)) == (0, 1)
    assert internals.key_of(optimizer, first) != internals.key_of(optimizer, second)
    internals.refuse_unknown(optimizer, [second])
    with pytest.raises(ValueError, match="Unknown variable"):
        internals.refuse_unknown(optimizer, [keras.Variable(0.0)])


def test_the_strategy_is_the_one_the_optimizer_was_made_under(optimizer):
    assert internals.own_strategy(optimizer) is tf.distribute.get_strategy()
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        assert internals.own_strategy(keras.optimizers.SGD(0.1)) is strategy


def test_layers_are_found_in_nested_models_and_a_functional_model_is_one():
    inputs = keras.Input((2,))
    nested = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="inside")])
    model = keras.Model(inputs, keras.layers.Dense(1, name="outside")(nested(inputs)))
    names = {one.name for one in internals.layers_of(model)}
    assert {"inside", "outside"} <= names
    assert isinstance(model, internals.Functional)


class _Plain(keras.Model):
    def call(self, x):
        return x


def test_a_model_says_whether_it_takes_training_and_tracks_its_loss():
    assert not internals.takes_training(_Plain())
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
    assert internals.takes_training(model)
    model.compile(loss="mse")
    assert internals.loss_tracker(model).name == "loss"
    assert internals.loss_tracker(model) in model.metrics


def test_without_a_strategy_updates_need_no_merge_call_and_reductions_no_collectives():
    strategy = tf.distribute.get_strategy()
    assert internals.updates_without_merge_call() is True
    assert internals.reduces_by_collectives(strategy) is False
    seen = []
    internals.maybe_merge_call(lambda *arguments: seen.append(arguments), 1, 2)
    assert seen == [(strategy, 1, 2)]


def test_a_strategy_keeps_what_it_reduces_with_where_it_is_looked_for():
    given = tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"], cross_device_ops=given)
    assert strategy.extended._cross_device_ops is given
    assert not internals.reduces_by_collectives(strategy)
