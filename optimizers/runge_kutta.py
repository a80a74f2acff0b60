"""Explicit Runge-Kutta steps along the gradient flow of one batch's loss."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import keras
from keras import ops

GradientAt = Callable[[Sequence[Any] | None], Sequence[Any]]


class RungeKutta(keras.optimizers.Optimizer):  # type: ignore[misc]
    """A step of an explicit Runge-Kutta method with fixed step size; subclasses give the tableau.

    Training follows the flow θ' = −K(θ), K(θ) = ∇L(θ) + λθ, with L the loss of the step's batch. A
    step of size h evaluates K at s points and goes along their weighted mean:

        Kᵢ = K(θ − h Σⱼ aᵢⱼ Kⱼ), j < i;    θ ← θ − h Σᵢ bᵢ Kᵢ

    All evaluations use the same batch. Since one gradient cannot make such a step, `apply` refuses
    gradients that `step` did not combine: `optimizers.Model` runs both.

    Attributes:
        stages: the rows aᵢⱼ of the tableau after the first, which is empty.
        shares: the weights bᵢ, which sum to 1.

    Args:
        learning_rate: the step size h, a float greater than 0 or a schedule; read once per step.
        weight_decay: λ, 0 or more. It is part of the flow, so it enters at every stage.
        global_clipnorm: the largest norm of the first K. One factor, from the first stage, scales
            all of them, which is a shorter step: direction and order are kept.
        name: prefix of the names of the optimizer's variables.
    """

    stages: ClassVar[tuple[tuple[float, ...], ...]]
    shares: ClassVar[tuple[float, ...]]

    def __init__(
        self,
        learning_rate: Any = 0.01,
        weight_decay: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        if weight_decay is not None and not weight_decay >= 0:
            raise ValueError(
                f"`weight_decay` must be 0 or more. Received: weight_decay={weight_decay}"
            )
        if global_clipnorm is not None and not global_clipnorm > 0:
            raise ValueError(
                f"`global_clipnorm` must be greater than 0. Received: {global_clipnorm=}"
            )
        # The base class would decay and clip once more, after the stages are combined.
        super().__init__(learning_rate=learning_rate, name=name)
        self.flow_weight_decay = weight_decay
        self.flow_global_clipnorm = global_clipnorm
        self._open_steps = 0

    @property
    def evaluations(self) -> int:
        """Gradient evaluations in one step."""
        return len(self.shares)

    def step(self, gradient_at: GradientAt, variables: Sequence[Any]) -> list[Any]:
        """The combined gradient of one step, to be applied inside `combined_gradient`.

        Args:
            gradient_at: the unscaled gradient of the batch's loss, at a list of tensors that stand
                in for the variables; for None, at the variables as they are. Called `evaluations`
                times, first with None. An entry may be None: that variable then stays.
            variables: the trainable variables. They are read, not written.

        Returns:
            Σᵢ bᵢ Kᵢ, one tensor (or None) per variable.
        """
        start = [ops.convert_to_tensor(variable) for variable in variables]
        first = self._with_decay(gradient_at(None), start)
        scale = self._clipping_scale(first)
        fields = [_scaled(first, scale)]
        for row in self.stages:
            direction = _weighted_sum(row, fields)
            probe = [
                point
                if slope is None
                else point - ops.cast(self.learning_rate, point.dtype) * slope
                for point, slope in zip(start, direction, strict=True)
            ]
            fields.append(_scaled(self._with_decay(gradient_at(probe), probe), scale))
        return _weighted_sum(self.shares, fields)

    def _with_decay(self, gradients: Sequence[Any], points: Sequence[Any]) -> list[Any]:
        decay = self.flow_weight_decay
        dense = [None if one is None else ops.convert_to_tensor(one) for one in gradients]
        if decay is None:
            return dense
        return [
            None if one is None else one + decay * point
            for one, point in zip(dense, points, strict=True)
        ]

    def _clipping_scale(self, field: Sequence[Any]) -> Any:
        if self.flow_global_clipnorm is None:
            return None
        squares = [ops.sum(ops.square(one)) for one in field if one is not None]
        norm = ops.sqrt(ops.sum(ops.stack(squares)))
        return ops.minimum(self.flow_global_clipnorm / norm, 1.0)

    @contextmanager
    def combined_gradient(self) -> Iterator[None]:
        """Where `apply`, of this optimizer or one around it, is given what `step` returned."""
        # A count, since under tf.distribute the replicas' threads are in here at the same time.
        self._open_steps += 1
        try:
            yield
        finally:
            self._open_steps -= 1

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Go one step along a combined gradient.

        Raises:
            ValueError: outside `combined_gradient`.
        """
        if self._open_steps == 0:
            own = type(self).__name__
            raise ValueError(
                f"{own} takes {self.evaluations} gradients for one step and was given one: train "
                f"with `optimizers.Model` in place of `keras.Model` (a subclass of it). In a loop "
                f"of your own, pass what `{own}.step` returns, inside `{own}.combined_gradient()`."
            )
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """θ ← θ − h g."""
        rate = ops.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, rate * ops.cast(gradient, variable.dtype))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        base = super().get_config()
        return {
            "name": base["name"],
            "learning_rate": base["learning_rate"],
            "weight_decay": self.flow_weight_decay,
            "global_clipnorm": self.flow_global_clipnorm,
        }


def _scaled(field: Sequence[Any], scale: Any) -> list[Any]:
    if scale is None:
        return list(field)
    return [None if one is None else one * ops.cast(scale, one.dtype) for one in field]


def _weighted_sum(weights: Sequence[float], fields: Sequence[Sequence[Any]]) -> list[Any]:
    """Σ weightᵢ fieldᵢ, variable by variable; None where every field has None."""
    sums = []
    for column in zip(*fields, strict=True):
        terms = [
            weight * one
            for weight, one in zip(weights, column, strict=True)
            if one is not None and weight != 0
        ]
        sums.append(sum(terms[1:], start=terms[0]) if terms else None)
    return sums
