"""What every registered optimizer must do, whichever it is."""

import keras
import numpy as np
import pytest
from optrun.optimizers import GradientCentralization
from optrun.optimizers.registry import ENTRIES
from optrun.optimizers.specification import parse


@pytest.mark.parametrize("name", ENTRIES)
def test_it_is_built_with_the_arguments_of_its_specification(name, specification_of):
    specification = specification_of(name)
    optimizer = parse(specification).build(total_updates=100)
    assert type(optimizer).__name__ == ENTRIES[name].class_name
    config = optimizer.get_config()
    for argument in ENTRIES[name].arguments:
        stated = parse(specification).as_mapping()[argument.name]
        if argument.kind != "optimizer":
            actual = config.get(argument.name, getattr(optimizer, argument.name, None))
            assert (actual or None) == pytest.approx(stated or None), argument.name


@pytest.mark.parametrize("name", ENTRIES)
def test_its_config_makes_the_same_optimizer(name, specification_of):
    optimizer = parse(specification_of(name)).build(total_updates=100)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()


def for_a_single_weight(specification):
    """The specification without centralization, which leaves a unit of one weight where it is."""
    argument = ENTRIES[specification["name"]].argument("gradient_centralization")
    return specification | ({"gradient_centralization": False} if argument else {})


@pytest.mark.parametrize("name", ENTRIES)
def test_it_trains_with_a_schedule_of_its_updates(name, specification_of, parabola):
    rate = {"schedule": "cosine", "initial_learning_rate": 0.05}
    specification = for_a_single_weight(specification_of(name, rate))
    optimizer = parse(specification).build(total_updates=4)
    assert np.all(np.isfinite(parabola(optimizer, run_eagerly=True).fit(4)))


@pytest.mark.parametrize(
    "name", [name for name, entry in ENTRIES.items() if not entry.is_wrapper and name != "ranger"]
)
def test_it_is_built_around_the_core_where_gradients_are_to_be_centralized(name, specification_of):
    specification = specification_of(name) | {"gradient_centralization": True}
    optimizer = parse(specification).build(total_updates=100)
    assert type(optimizer) is GradientCentralization
    assert type(optimizer.inner_optimizer).__name__ == ENTRIES[name].class_name
    wrapped = {"name": "lookahead", "inner_optimizer": specification}
    assert type(parse(wrapped).build(total_updates=100).inner_optimizer) is GradientCentralization


def test_a_wrong_specification_is_refused_with_its_problems():
    with pytest.raises(ValueError, match=r"inner_optimizer\.lr: SGD calls this `learning_rate`"):
        parse({"name": "lookahead", "inner_optimizer": {"name": "sgd", "lr": 0.1}}).build(
            total_updates=10
        )
