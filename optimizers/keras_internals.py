"""The private parts of Keras 3.15 and TensorFlow 2.21 that this package needs; nowhere else.

Each has a test of its own, which says at the next upgrade what moved.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import keras
import tensorflow as tf
from keras.src.models.functional import Functional

__all__ = ["Functional"]  # the class that `keras.Model(inputs, outputs)` is made of

_distribute = tf.__internal__.distribute


count_of = attrgetter("_iterations")  # the variable in which an optimizer counts its updates
rate_of = attrgetter("_learning_rate")  # the variable or the schedule that it has as learning rate
own_strategy = attrgetter("_distribution_strategy")  # the one that it was made under
loss_tracker = attrgetter("_loss_tracker")  # the metric of a compiled model's loss


def without_count_and_rate(optimizer: keras.optimizers.Optimizer) -> None:
    """Take both, which the base class makes, out of an optimizer's variables."""
    optimizer._untrack_variable(optimizer._iterations)
    optimizer._untrack_variable(optimizer._learning_rate)


def own_variables(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    return list(optimizer._variables)


def own_trained(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    return list(optimizer._trainable_variables)


def index_of(optimizer: keras.optimizers.Optimizer, variable: Any) -> int:
    return int(optimizer._get_variable_index(variable))


def key_of(optimizer: keras.optimizers.Optimizer, variable: Any) -> str:
    """What an optimizer knows a variable by."""
    return str(optimizer._var_key(variable))


def refuse_unknown(optimizer: keras.optimizers.Optimizer, variables: Sequence[Any]) -> None:
    """Raise ValueError for a variable that the optimizer was not built with."""
    optimizer._check_variables_are_known(variables)


def layers_of(model: keras.Model) -> list[Any]:
    """A model's layers, those of nested models too."""
    return list(model._flatten_layers())


def takes_training(model: keras.Model) -> bool:
    return bool(model._call_has_training_arg)


def updates_without_merge_call() -> bool:
    """Whether variables can be written inside a replica's own context."""
    return bool(_distribute.strategy_supports_no_merge_call())


def maybe_merge_call(update: Callable[..., None], *arguments: Any) -> None:
    """Call `update(strategy, *arguments)` outside the replicas' contexts where that is needed."""
    _distribute.interim.maybe_merge_call(update, tf.distribute.get_strategy(), *arguments)


def reduces_by_collectives(strategy: tf.distribute.Strategy) -> bool:
    """Whether gradients are summed over the replicas by TensorFlow's collective operations."""
    operations = getattr(strategy.extended, "_cross_device_ops", None)
    return type(operations).__name__ == "CollectiveAllReduce"
