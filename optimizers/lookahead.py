"""Lookahead: slow weights that follow an inner optimizer's fast ones."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from optimizers.distribution import run_when, update_each
from optimizers.nesting import (
    EMA_INSIDE_LOOKAHEAD,
    LOOKAHEAD_IN_LOOKAHEAD,
    SOFT_BATCH_IN_LOOKAHEAD,
)
from optimizers.soft_batch import SoftBatch
from optimizers.unwrapping import find
from optimizers.wrapper import Wrapper

_INNER_STATES = ("maintain",)


@keras.saving.register_keras_serializable(package="optimizers")
class Lookahead(Wrapper):
    """Lets an inner optimizer run ahead, then goes a share of the way after it.

    From the slow weights φ the inner optimizer A makes k updates on the fast weights θ; then both
    become the point α of the way along:

        θ₀ = φ;   θᵢ = A(θᵢ₋₁), i = 1 ... k;   φ ← φ + α (θₖ − φ)

    The network is measured on φ, the weights of the last sync: see `slow_weights`. After the last
    epoch `fit` leaves the model on φ, and updates since the last sync are discarded. The slow
    weights are taken from the model when a cycle begins, so loading other weights between two
    cycles, or building late, starts the next cycle from those.

    Args:
        inner_optimizer: any Keras optimizer; rate, clipping and decay belong to it.
        sync_period: the paper's k, updates between two syncs, 1 or more.
        slow_step_size: the paper's α, in [0, 1]. 1 is the inner optimizer itself.
        inner_state: what a sync does with the inner optimizer's momenta: "maintain" keeps them.
        name: prefix of the names of the optimizer's variables.

    Raises:
        TypeError: if `inner_optimizer` is no optimizer, or for an argument that belongs to it.
        ValueError: if an argument is out of its range, or around LossScaleOptimizer, SoftBatch,
            another Lookahead, or an optimizer with `use_ema` or `gradient_accumulation_steps`.

    Source: Zhang, Lucas, Hinton & Ba, "Lookahead Optimizer: k steps forward, 1 step back", NeurIPS
    2019, algorithm 1 (https://arxiv.org/abs/1907.08610).

    Example:
        On f(w) = w² / 2 a step of SGD at rate 0.1 multiplies w by 0.9; the fifth is followed by a
        sync halfway between 1 and 0.9⁵.

        >>> import keras
        >>> weight = keras.Variable(1.0)
        >>> optimizer = Lookahead(keras.optimizers.SGD(0.1), sync_period=5, slow_step_size=0.5)
        >>> for step in range(5):
        ...     optimizer.apply([weight.value], [weight])
        ...     print(f"{float(weight.value):.4f}")
        0.9000
        0.8100
        0.7290
        0.6561
        0.7952
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer,
        sync_period: int = 5,
        slow_step_size: float = 0.5,
        inner_state: str = "maintain",
        name: str | None = None,
        **unsupported: Any,
    ) -> None:
        if isinstance(sync_period, bool) or not isinstance(sync_period, int) or sync_period < 1:
            raise ValueError(
                "`sync_period` must be a whole number of updates, 1 or more. "
                f"Received: sync_period={sync_period!r}"
            )
        if not isinstance(slow_step_size, (int, float)) or not 0 <= slow_step_size <= 1:
            raise ValueError(
                "`slow_step_size` must be a number from 0 to 1. "
                f"Received: slow_step_size={slow_step_size!r}"
            )
        if inner_state not in _INNER_STATES:
            raise ValueError(
                f"`inner_state` must be one of {', '.join(_INNER_STATES)}. "
                f"Received: inner_state={inner_state!r}"
            )
        super().__init__(inner_optimizer, name=name, unsupported=unsupported)
        self.sync_period = sync_period
        self.slow_step_size = float(slow_step_size)
        self.inner_state = inner_state

    def _reason_against(self, inner_optimizer: keras.optimizers.Optimizer) -> str | None:
        if find(inner_optimizer, SoftBatch) is not None:
            return SOFT_BATCH_IN_LOOKAHEAD
        if find(inner_optimizer, Lookahead) is not None:
            return LOOKAHEAD_IN_LOOKAHEAD
        if inner_optimizer.use_ema:
            return EMA_INSIDE_LOOKAHEAD
        return super()._reason_against(inner_optimizer)

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slow weights and the phase, and the inner optimizer's state.

        The slow weights hold nothing yet: inside `fit` this runs while the step is traced, where a
        copy of the weights would be lost. The first update of a cycle takes it.
        """
        if self.built:
            return
        self._phase = self.add_variable(
            shape=(),
            dtype="int32",
            initializer="zeros",
            aggregation="only_first_replica",
            name="phase",
        )
        self._slow = self.add_optimizer_variables(variables, "slow")
        super().build(variables)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Make one update of the inner optimizer, and a sync if the cycle ends with it."""
        if len(grads) == 0:
            return
        self._build_on_first_use(trainable_variables)
        run_when(lambda: ops.equal(self._phase, 0), self._begin_cycle)
        self.inner_optimizer.apply(grads, trainable_variables=trainable_variables)
        if self.slow_step_size < 1:
            run_when(lambda: ops.equal(self._phase, self.sync_period - 1), self._sync)
        self._phase.assign((self._phase + 1) % self.sync_period)

    def _begin_cycle(self) -> None:
        update_each(self.assign, self._slow, self._trainable_variables)

    def _sync(self) -> None:
        # φ + α (θ − φ) leaves a weight that did not move exactly where it is. It is not exact at
        # α = 1, where no sync is made at all: θ already is the new φ.
        def pull_back(fast: Any, slow: Any) -> None:
            dtype = "float32" if fast.dtype in ("float16", "bfloat16") else fast.dtype
            start, end = ops.cast(slow, dtype), ops.cast(fast, dtype)
            self.assign(fast, start + self.slow_step_size * (end - start))

        update_each(pull_back, self._trainable_variables, self._slow)

    @contextmanager
    def slow_weights(self) -> Iterator[None]:
        """Put the slow weights into the model for a while; the fast ones return bit for bit.

        At the end of a cycle the model is on the slow weights already. For eager use, between
        training steps; outside, training goes on as if nothing had happened.
        """
        if not self._is_inside_cycle():
            yield
            return
        fast = [ops.convert_to_numpy(variable) for variable in self._trainable_variables]
        self._load_slow()
        try:
            yield
        finally:
            for variable, value in zip(self._trainable_variables, fast, strict=True):
                variable.assign(value)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Leave the model on the slow weights and begin a new cycle; `fit` calls it at its end."""
        super().finalize_variable_values(var_list)
        if self._is_inside_cycle():
            self._load_slow()
            self._phase.assign(0)

    def _is_inside_cycle(self) -> bool:
        return self.built and int(ops.convert_to_numpy(self._phase)) != 0

    def _load_slow(self) -> None:
        for variable, slow in zip(self._trainable_variables, self._slow, strict=True):
            variable.assign(ops.convert_to_numpy(slow))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "sync_period": self.sync_period,
            "slow_step_size": self.slow_step_size,
            "inner_state": self.inner_state,
        }
