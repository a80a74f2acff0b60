"""What tf.distribute asks of an optimizer that acts on some updates and not on others.

Under a strategy every replica runs the update in a context of its own. There, a mirrored variable
is written through `extended.update`, which leaves that context (`merge_call`), and leaving it from
inside a `tf.cond` fails. So the condition is taken outside: leave once, decide there, and enter the
replicas again in the branch. Without a strategy both functions are the plain thing.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from optrun.optimizers.keras_internals import (
    maybe_merge_call,
    reduces_by_collectives,
    updates_without_merge_call,
)


def run_when(condition: Callable[[], Any], action: Callable[[], None]) -> None:
    """Run `action` on every replica if `condition()`, read from shared variables, holds.

    `action` writes variables through `update_each` or an optimizer's `apply`.
    """
    if updates_without_merge_call():
        ops.cond(condition(), action, lambda: None)
        return

    def decide(strategy: Any) -> None:
        def on_every_replica() -> None:
            strategy.extended.call_for_each_replica(action)

        ops.cond(condition(), on_every_replica, lambda: None)

    tf.distribute.get_replica_context().merge_call(decide)


def update_each(
    update: Callable[..., None], variables: Sequence[Any], *companions: Sequence[Any]
) -> None:
    """Call `update(variable, *companion)` for each variable, on each replica's own copy."""

    def update_all(strategy: Any, columns: Sequence[Sequence[Any]]) -> None:
        for variable, *others in zip(*columns, strict=True):
            strategy.extended.update(variable, update, args=tuple(others), group=False)

    columns = [[_raw(one) for one in column] for column in (variables, *companions)]
    maybe_merge_call(update_all, columns)


def all_reduce_sum(tensors: Sequence[Any]) -> list[Any]:
    """The sum of each tensor, made dense, over the replicas, on each of them; None stays None."""
    context = tf.distribute.get_replica_context()
    present = [tf.convert_to_tensor(one) for one in tensors if one is not None]
    if context is not None and context.num_replicas_in_sync > 1 and present:
        present = context.all_reduce(tf.distribute.ReduceOp.SUM, present)
    summed = iter(present)
    return [None if one is None else next(summed) for one in tensors]


def check_reductions_can_nest(optimizer_name: str) -> None:
    """Refuse a strategy whose reductions go wrong once some of them lie inside a condition.

    TensorFlow numbers collective reductions anew inside a branch, so one made there is taken for
    another made outside: an error where the shapes differ, a wrong sum where they do not.
    """
    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync > 1 and reduces_by_collectives(strategy):
        raise ValueError(
            f"{optimizer_name} reduces gradients inside a condition, which TensorFlow's collective "
            "reductions do not allow: make the strategy with "
            "tf.distribute.MirroredStrategy(cross_device_ops=tf.distribute.ReductionToOneDevice())."
        )


def num_replicas() -> int:
    """1 without a strategy."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def colocated(variable: Any) -> Any:
    """A context in which new variables are placed as `variable` is."""
    return tf.distribute.get_strategy().extended.colocate_vars_with(_raw(variable))


def _raw(value: Any) -> Any:
    return value.value if isinstance(value, keras.Variable) else value
