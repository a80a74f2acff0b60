"""RAdam: Adam that holds back its adaptive steps until their variance is known."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from optrun.optimizers.radam_entries import reason_never_adapted

_UNADAPTED_STEPS = ("sgd", "skip")


def sma_length(update: Any, beta_2: float) -> Any:
    """ρₜ, the length of the simple moving average that the exponential one amounts to.

    The second moment after t updates weighs the squared gradients by (1 − β₂) β₂ᵗ⁻ⁱ. A simple
    average over the last ρₜ of them has the same centre of mass if

        ρₜ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ),    ρ∞ = 2 / (1 − β₂) − 1

    It is computed in float64, two nearly equal numbers being subtracted: in float32 ρ₅ comes out
    as 4.987 in place of 4.996 for β₂ = 0.999, and rₜ, hence the first adapted steps, wrong by 1 %.
    These are scalars, so it costs nothing, and XLA has float64.

    Args:
        update: t, 1 for the first update.
        beta_2: the decay of the second moment, in (0, 1).

    Returns:
        A float64 scalar.

    Example:
        >>> [f"{float(sma_length(update, 0.999)):.4f}" for update in (1, 2, 5)]
        ['1.0000', '1.9995', '4.9960']
    """
    t = ops.cast(update, "float64")
    power = ops.power(beta_2, t)
    return _longest(beta_2) - 2 * t * power / (1 - power)


def rectification(length: Any, beta_2: float) -> Any:
    """rₜ, the factor by which the variance of the adaptive step shrinks in the long run.

        rₜ = √( (ρₜ − 4) (ρₜ − 2) ρ∞ / ((ρ∞ − 4) (ρ∞ − 2) ρₜ) )

    Args:
        length: ρₜ, 4 or more; the variance does not exist below.
        beta_2: the decay of the second moment, greater than 0.6, where ρ∞ = 4.

    Example:
        >>> f"{float(rectification(sma_length(6, 0.999), 0.999)):.5f}"
        '0.02582'
    """
    longest = _longest(beta_2)
    scale = longest / ((longest - 4) * (longest - 2))
    return ops.sqrt((length - 4) * (length - 2) / length * scale)


def _longest(beta_2: float) -> float:
    """ρ∞, what ρₜ grows to."""
    return 2 / (1 - beta_2) - 1


@keras.saving.register_keras_serializable(package="optimizers")
class RAdam(keras.optimizers.Optimizer):  # type: ignore[misc]
    """Adam whose adaptive steps are rectified while few gradients stand behind them.

    After a handful of updates the second moment is a mean of a handful of squares, and a step
    divided by its root varies without bound. With ρₜ the number of squares it amounts to
    (`sma_length`) and rₜ the factor that keeps the step's variance constant (`rectification`):

        m ← β₁ m + (1 − β₁) g;    v ← β₂ v + (1 − β₂) g²
        ρₜ > threshold:   θ ← θ − η rₜ √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)
        otherwise:        θ ← θ − η / (1 − β₁ᵗ) · m

    t counts from 1. For β₂ = 0.999 the first 5 updates are not adapted. These are steps of plain
    momentum at the rate η meant for adaptive ones: with gradients much larger than 1 they can throw
    the weights far off, which `unadapted_steps="skip"` avoids.

    ε stands beside √v as it is, before the bias correction, as in Keras' Adam, the authors' code
    and PyTorch.

    Args:
        learning_rate: η, a float greater than 0 or a schedule.
        beta_1: decay of the first moment m, in [0, 1).
        beta_2: decay of the second moment v, in [0, 1), large enough for ρ∞ = 2 / (1 − β₂) − 1 to
            exceed the threshold.
        epsilon: ε, greater than 0. 1e-7 is that of Keras' Adam; the authors' code has 1e-8.
        threshold: how long ρₜ must be, exclusive, for an adapted step, 4 or more. The paper has 4,
            where rₜ is 0; the authors' code and most others 5.
        unadapted_steps: what the updates before do: "sgd", the paper's step of plain momentum, or
            "skip", nothing but gather the moments.
        weight_decay: decoupled decay: each update, adapted or not, takes learning_rate times this
            share off every weight first; None for none.
        clipnorm: largest norm of each variable's gradient.
        clipvalue: largest magnitude of a gradient's elements.
        global_clipnorm: largest norm of all gradients together.
        name: prefix of the names of the optimizer's variables.
        kwargs: what else `keras.optimizers.Optimizer` takes.

    Raises:
        ValueError: if an argument is out of its range.

    Source: Liu, Jiang, He, Chen, Liu, Gao & Han, "On the Variance of the Adaptive Learning Rate and
    Beyond", ICLR 2020, algorithm 2 (https://arxiv.org/abs/1908.03265).

    Example:
        With a constant gradient of 0.1 five steps are 0.001 · 0.1, and the sixth 0.001 · r₆.

        >>> import keras
        >>> weight = keras.Variable(1.0)
        >>> optimizer = RAdam(0.001)
        >>> for step in range(6):
        ...     optimizer.apply([keras.ops.convert_to_tensor(0.1)], [weight])
        ...     print(f"{float(weight.value):.6f}")
        0.999900
        0.999800
        0.999700
        0.999600
        0.999500
        0.999474
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        threshold: float = 5.0,
        unadapted_steps: str = "sgd",
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        for decay, value in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= value < 1:
                raise ValueError(f"`{decay}` must be in [0, 1). Received: {decay}={value!r}")
        if not epsilon > 0:
            raise ValueError(f"`epsilon` must be greater than 0. Received: {epsilon=}")
        if not (threshold >= 4 and math.isfinite(threshold)):
            raise ValueError(
                "`threshold` must be 4 or more: a moving average of 4 gradients or fewer has no "
                f"variance to rectify. Received: {threshold=}"
            )
        reason = reason_never_adapted(beta_2, threshold)
        if reason is not None:
            raise ValueError(f"`beta_2` {reason}. Received: {beta_2=}")
        if unadapted_steps not in _UNADAPTED_STEPS:
            raise ValueError(
                f"`unadapted_steps` must be one of {', '.join(_UNADAPTED_STEPS)}. "
                f"Received: {unadapted_steps=}"
            )
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            name=name,
            **kwargs,
        )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.threshold = threshold
        self.unadapted_steps = unadapted_steps

    def build(self, variables: Sequence[Any]) -> None:
        """Create both moments of each variable."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One update of one variable."""
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index], self._velocities[index]
        gradient = ops.cast(gradient, variable.dtype)
        self.assign_add(momentum, (gradient - momentum) * (1 - self.beta_1))
        self.assign_add(velocity, (ops.square(gradient) - velocity) * (1 - self.beta_2))
        is_adapted, factor = self._factor()
        # A choice between two values, not between two branches: XLA copies whatever a branch may
        # write, at every step.
        divisor = ops.where(is_adapted, ops.sqrt(velocity) + self.epsilon, 1.0)
        rate = ops.cast(ops.cast(learning_rate, "float64") * factor, variable.dtype)
        self.assign_sub(variable, momentum * rate / divisor)

    def _factor(self) -> tuple[Any, Any]:
        """Whether this update is adapted, and what its rate is multiplied by, in float64."""
        update = ops.cast(self.iterations + 1, "float64")
        length = sma_length(update, self.beta_2)
        is_adapted = length > self.threshold
        # Below a length of 4, where rₜ is not a number, this is a 0 that is not chosen.
        rectified = rectification(ops.maximum(length, 4.0), self.beta_2) * ops.sqrt(
            1 - ops.power(self.beta_2, update)
        )
        unadapted = 1.0 if self.unadapted_steps == "sgd" else 0.0
        chosen = ops.where(is_adapted, rectified, ops.full_like(rectified, unadapted))
        return is_adapted, chosen / (1 - ops.power(self.beta_1, update))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "threshold": self.threshold,
            "unadapted_steps": self.unadapted_steps,
        }
