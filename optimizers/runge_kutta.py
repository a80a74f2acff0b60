"""Explicit Runge-Kutta steps along the gradient flow of one batch's loss."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar

import tensorflow as tf
from keras import ops
from optrun.optimizers.several_gradients import GradientAt, SeveralGradients


class RungeKutta(SeveralGradients):
    """A step of an explicit Runge-Kutta method with fixed step size; subclasses give the tableau.

    Training follows the flow θ' = −K(θ), K(θ) = ∇L(θ) + λθ, with L the loss of the step's batch. A
    step of size h evaluates K at s points and goes along their weighted mean:

        Kᵢ = K(θ − h Σⱼ aᵢⱼ Kⱼ), j < i;    θ ← θ − h Σᵢ bᵢ Kᵢ

    All evaluations use the same batch. A last point whose bᵢ is 0, which methods with an error
    estimate have, would not enter the step and is left out.

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

    stages: ClassVar[tuple[tuple[Fraction, ...], ...]]
    shares: ClassVar[tuple[Fraction, ...]]

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

    def step(self, gradient_at: GradientAt, variables: Sequence[Any]) -> list[Any]:
        """Σᵢ bᵢ Kᵢ, one tensor (or None) per variable; see `SeveralGradients.step`."""
        start = [tf.convert_to_tensor(variable) for variable in variables]
        rate = self.learning_rate
        first = self._with_decay(gradient_at(None), start)
        scale = self._clipping_scale(first)
        fields = [_scaled(first, scale)]
        for row in self.stages:
            direction = _weighted_sum(row, fields)
            probe = [
                point if slope is None else point - ops.cast(rate, point.dtype) * slope
                for point, slope in zip(start, direction, strict=True)
            ]
            fields.append(_scaled(self._with_decay(gradient_at(probe), probe), scale))
        return _weighted_sum(self.shares, fields)

    def _with_decay(self, gradients: Sequence[Any], points: Sequence[Any]) -> list[Any]:
        decay = self.flow_weight_decay
        dense = [None if one is None else tf.convert_to_tensor(one) for one in gradients]
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
        # Where the norm overflows, ∞ − ∞ makes the step NaN, which shows; 1 / ∞ would make it 0.
        return ops.minimum(self.flow_global_clipnorm / norm, 1.0) + (norm - norm)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        base = super().get_config()
        return {
            "name": base["name"],
            "learning_rate": base["learning_rate"],
            "weight_decay": self.flow_weight_decay,
            "global_clipnorm": self.flow_global_clipnorm,
        }


def row(*coefficients: str) -> tuple[Fraction, ...]:
    """A row of a tableau, in exact fractions.

    Example:
        >>> row("2/9", "1/3", "4/9")
        (Fraction(2, 9), Fraction(1, 3), Fraction(4, 9))
    """
    return tuple(Fraction(one) for one in coefficients)


def _scaled(field: Sequence[Any], scale: Any) -> list[Any]:
    if scale is None:
        return list(field)
    return [None if one is None else one * ops.cast(scale, one.dtype) for one in field]


def _weighted_sum(weights: Sequence[Fraction], fields: Sequence[Sequence[Any]]) -> list[Any]:
    """Σ weightᵢ fieldᵢ, variable by variable; None where every field has None."""
    return [_weighted_term_by_term(weights, column) for column in zip(*fields, strict=True)]


def _weighted_term_by_term(weights: Sequence[Fraction], column: Sequence[Any]) -> Any:
    # A graph runs whatever is ready. The products of an early field with all its later weights are,
    # at once, and would be kept until they are needed: another copy of the weights each. So each
    # waits for the sum so far, and the first is that of the newest field.
    total: Any = None
    for weight, one in reversed(list(zip(weights, column, strict=True))):
        if one is None or weight == 0:
            continue
        if total is None:
            total = float(weight) * one
        else:
            with tf.control_dependencies([total]):
                total = total + float(weight) * one
    return total
