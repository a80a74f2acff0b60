"""Explicit Runge-Kutta steps along the gradient flow of one batch's loss: Heun, RK23, RK45."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import keras
import tensorflow as tf
from keras import ops
from optrun.optimizers.entry import GRADIENT_CENTRALIZATION, LEARNING_RATE, Entry, number, positive
from optrun.optimizers.several_gradients import GradientAt, SeveralGradients, scaled_by

_DECAYS = "decay of the weights, part of the flow: λθ is added to each gradient"
_CLIPS = "largest norm of the first gradient; one factor for the whole step"
_ARGUMENTS = (
    LEARNING_RATE,
    number("weight_decay", None, _DECAYS, optional=True, minimum=0),
    positive("global_clipnorm", None, _CLIPS, optional=True),
    GRADIENT_CENTRALIZATION,
)
_ALIASES = {
    **dict.fromkeys(("lr", "h", "step_size"), "learning_rate"),
    "wd": "weight_decay",
    **dict.fromkeys(("gc", "use_gc"), "gradient_centralization"),
}

_SYMBOLS: Mapping[str, str] = {
    "K(θ)": "∇L(θ) + λθ, L the loss of this one batch",
    "h": "learning_rate, the step size",
    "λ": "weight_decay",
}

_RATE = (
    "1e-4 – 1e-3 to retrain VGG19; 1e-2 – 2e-1 from random weights. "
    "Stable steps are about as long as those of SGD without momentum"
)
_SAME_BATCH = (
    "All gradients of a step are taken on the same photos with the same dropout masks: the step "
    "is exact for that batch's loss. The noise between batches stays as large as SGD's."
)
_NEEDS_MODEL = (
    "It needs optimizers.Model, which takes the several gradients (optrun does so by itself). "
    "Under a plain keras.Model it refuses rather than fall back to SGD."
)
_NO_MOMENTUM = "It has no momentum: compare it with SGD without momentum, at equal gradients."
_DECAY = "Weight decay is part of the flow: λθ is added to the gradient of every stage."
_BENDS = "bends the flow: use `global_clipnorm`"


def _entry(
    name: str,
    class_name: str,
    *caveats: str,
    held: int,
    rate: str = _RATE,
    example_rate: float = 1e-3,
    **more: Any,
) -> Entry:
    return Entry(
        name=name,
        class_name=class_name,
        module=__name__,
        arguments=_ARGUMENTS,
        momentum="never",
        aliases=_ALIASES,
        withheld={
            "momentum": "the step follows the gradient flow, which has no momentum",
            "clipnorm": f"a factor per variable {_BENDS}",
            "clipvalue": f"a bound per element {_BENDS}",
            "inner_optimizer": f"{class_name} is a rule of its own; Lookahead can go around it",
        },
        symbols=_SYMBOLS,
        sensible={"learning_rate": rate, "global_clipnorm": "1 – 10 where single batches blow up"},
        caveats=(*caveats, _NO_MOMENTUM, _SAME_BATCH, _DECAY, _NEEDS_MODEL),
        example={"name": name, "learning_rate": example_rate},
        cost_note=(
            "Nothing is kept between steps; during one its gradients and a probe are held, up to "
            f"{held} copies of the weights more than SGD's."
        ),
        **more,
    )


ENTRIES: tuple[Entry, ...] = (
    _entry(
        "heun",
        "Heun",
        "Its stability limit is SGD's, h a < 2, at twice the cost; a step never shrinks θ "
        "below one half.",
        evaluations=2,
        description="Heun's second-order step along the gradient flow: two gradients per step.",
        paper="Heun 1900; Hairer, Nørsett & Wanner 1993, section II.1",
        also_called=("heunsmethod", "rk2"),
        summary="second order along the gradient flow",
        rule="K₁ = K(θ);   K₂ = K(θ − h K₁);   θ ← θ − (h/2) (K₁ + K₂)",
        when="To ask whether following the gradient flow more closely helps: for studies of "
        "training dynamics, and for small or smooth problems. Do not expect it to train "
        "faster than SGD for the same number of gradients.",
        held=2,
        equivalences=(
            "It is SGD without momentum, fed the mean of the gradients at both ends of an SGD "
            "step.",
            "On L = a θ²/2 a step multiplies θ by 1 − z + z²/2 with z = h a.",
        ),
    ),
    _entry(
        "rk23",
        "BogackiShampine",
        "Stable for h a < 2.51, at three gradients: 0.84 per gradient, where SGD has 2.",
        "A fourth stage would only estimate the error of the step, which a fixed step size does "
        "not use; with a new batch it cannot be reused either.",
        evaluations=3,
        description="Bogacki and Shampine's third-order step along the gradient flow: three "
        "gradients per step.",
        paper="Bogacki & Shampine 1989, Applied Mathematics Letters 2 (4)",
        also_called=("bs23", "bs3", "ode23"),
        summary="third order along the gradient flow",
        rule="K₁ = K(θ);   K₂ = K(θ − (1/2) h K₁);   K₃ = K(θ − (3/4) h K₂)\n"
        "θ ← θ − h (2/9 K₁ + 1/3 K₂ + 4/9 K₃)",
        when="As Heun, where its error along the flow is still too large. The Bogacki-Shampine "
        "pair's third-order step, with a step size that you fix: no error estimate is taken.",
        held=3,
        equivalences=("On L = a θ²/2 a step multiplies θ by 1 − z + z²/2 − z³/6 with z = h a.",),
    ),
    _entry(
        "rk45",
        "DormandPrince",
        "Stable for h a < 3.31, at six gradients: 0.55 per gradient, where SGD has 2.",
        "The fifth point lies up to 25360/2187 = 11.6 gradients away. Where curvature changes, a "
        "step blows up long before that limit: on the drawn sample Heun trains at 0.2, RK45 at "
        "0.02 and not at 0.05; retraining VGG19, Heun trains at 1e-3, RK45 at 1e-4 and not at "
        "1e-3.",
        "In float32 its error along the flow is soon below rounding: small steps gain nothing.",
        evaluations=6,
        description="Dormand and Prince's fifth-order step along the gradient flow: six gradients "
        "per step.",
        paper="Dormand & Prince 1980, Journal of Computational and Applied Mathematics 6 (1)",
        also_called=("dopri5", "rkdp", "ode45"),
        summary="fifth order along the gradient flow",
        rule="Kᵢ = K(θ − h Σ aᵢⱼ Kⱼ),  j < i,  i = 1 … 6\n"
        "θ ← θ − h (35/384 K₁ + 500/1113 K₃ + 125/192 K₄ − 2187/6784 K₅ + 11/84 K₆)",
        when="As a reference for the flow itself, to tell what the step size does from what the "
        "loss does. Too costly to train with: six gradients a step. The Dormand-Prince pair's "
        "fifth-order step, with a step size that you fix: no error estimate is taken.",
        held=6,
        rate="1e-4 to retrain VGG19; 1e-2 – 2e-2 from random weights, a tenth of Heun's",
        example_rate=1e-4,
        equivalences=(
            "On L = a θ²/2 a step multiplies θ by 1 − z + z²/2 − z³/6 + z⁴/24 − z⁵/120 + z⁶/600 "
            "with z = h a.",
        ),
    ),
)


class RungeKutta(SeveralGradients):
    """A step of an explicit Runge-Kutta method with fixed step size; subclasses give the tableau.

    Training follows the flow θ' = −K(θ), K(θ) = ∇L(θ) + λθ, with L the loss of the step's batch. A
    step of size h evaluates K at s points and goes along their weighted mean:

        Kᵢ = K(θ − h Σⱼ aᵢⱼ Kⱼ), j < i;    θ ← θ − h Σᵢ bᵢ Kᵢ

    A last point whose bᵢ is 0, which methods with an error estimate have, is left out.

    Args:
        learning_rate: the step size h, a float greater than 0 or a schedule; read once per step.
        weight_decay: λ, 0 or more, or None for none.
        global_clipnorm: the largest norm of the first K, greater than 0, or None for none. One
            factor scales all stages: the step is shorter, its direction and order are kept.
    """

    stages: ClassVar[tuple[tuple[Fraction, ...], ...]]  # the rows aᵢⱼ after the first, empty one
    shares: ClassVar[tuple[Fraction, ...]]  # the weights bᵢ, which sum to 1

    def __init__(
        self,
        learning_rate: Any = 0.01,
        weight_decay: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        ENTRIES[0].require(weight_decay=weight_decay, global_clipnorm=global_clipnorm)
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
        fields = [scaled_by(first, scale)]
        for row in self.stages:
            direction = _weighted_sum(row, fields)
            probe = [
                point if slope is None else point - ops.cast(rate, point.dtype) * slope
                for point, slope in zip(start, direction, strict=True)
            ]
            fields.append(scaled_by(self._with_decay(gradient_at(probe), probe), scale))
        return _weighted_sum(self.shares, fields)

    def _with_decay(self, gradients: Sequence[Any], points: Sequence[Any]) -> list[Any]:
        dense = [None if one is None else tf.convert_to_tensor(one) for one in gradients]
        if self.flow_weight_decay is None:
            return dense
        return [
            None if one is None else one + self.flow_weight_decay * point
            for one, point in zip(dense, points, strict=True)
        ]

    def _clipping_scale(self, field: Sequence[Any]) -> Any:
        if self.flow_global_clipnorm is None:
            return 1.0
        squares = [ops.sum(ops.square(one)) for one in field if one is not None]
        norm = ops.sqrt(ops.sum(ops.stack(squares)))
        # Where the norm overflows, ∞ − ∞ makes the step NaN, which shows; 1 / ∞ would make it 0.
        return ops.minimum(self.flow_global_clipnorm / norm, 1.0) + (norm - norm)

    def get_config(self) -> dict[str, Any]:
        base = super().get_config()
        return {
            "name": base["name"],
            "learning_rate": base["learning_rate"],
            "weight_decay": self.flow_weight_decay,
            "global_clipnorm": self.flow_global_clipnorm,
        }


def _row(coefficients: str) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, coefficients.split()))


def _weighted_sum(weights: Sequence[Fraction], fields: Sequence[Sequence[Any]]) -> list[Any]:
    """Σ weightᵢ fieldᵢ, variable by variable; None where every field has None."""
    # A graph runs whatever is ready. The products of an early field with all its later weights are,
    # at once, and would be kept until they are needed: another copy of the weights each. So each
    # waits for the sum so far, and the first is that of the newest field.
    totals = []
    for column in zip(*fields, strict=True):
        total: Any = None
        for weight, one in reversed(list(zip(weights, column, strict=True))):
            if one is None or weight == 0:
                continue
            if total is None:
                total = float(weight) * one
                continue
            with tf.control_dependencies([total]):
                total = total + float(weight) * one
        totals.append(total)
    return totals


@keras.saving.register_keras_serializable(package="optimizers")
class Heun(RungeKutta):
    """Follows the gradient flow to second order, with two gradients of the same batch per step.

        K₁ = K(θ);   K₂ = K(θ − h K₁);   θ ← θ − (h / 2) (K₁ + K₂)

    Source: Heun, "Neue Methoden zur approximativen Integration", 1900; Hairer, Nørsett & Wanner,
    "Solving Ordinary Differential Equations I", 1993, section II.1.

    Example:
        One step at h = 0.5 on θ² / 2 from 1: 1 − 0.5 + 0.125.

        >>> import keras
        >>> weight = keras.Variable(1.0)
        >>> heun = Heun(0.5)
        >>> combined = heun.step(
        ...     lambda probe: [weight.value] if probe is None else probe, [weight]
        ... )
        >>> with heun.combined_gradient():
        ...     heun.apply(combined, [weight])
        >>> float(weight.value)
        0.625
    """

    evaluations = 2
    stages = (_row("1"),)
    shares = _row("1/2 1/2")


@keras.saving.register_keras_serializable(package="optimizers")
class BogackiShampine(RungeKutta):
    """Follows the gradient flow to third order, with three gradients of the same batch per step.

        K₁ = K(θ);   K₂ = K(θ − (h / 2) K₁);   K₃ = K(θ − (3 h / 4) K₂)
        θ ← θ − h (2 K₁ + 3 K₂ + 4 K₃) / 9

    Source: Bogacki & Shampine, "A 3(2) pair of Runge-Kutta formulas", Applied Mathematics Letters
    2 (4), 1989.
    """

    evaluations = 3
    stages = (_row("1/2"), _row("0 3/4"))
    shares = _row("2/9 1/3 4/9")


@keras.saving.register_keras_serializable(package="optimizers")
class DormandPrince(RungeKutta):
    """Follows the gradient flow to fifth order, with six gradients of the same batch per step.

        Kᵢ = K(θ − h Σⱼ aᵢⱼ Kⱼ), j < i = 1 ... 6
        θ ← θ − h (35/384 K₁ + 500/1113 K₃ + 125/192 K₄ − 2187/6784 K₅ + 11/84 K₆)

    Source: Dormand & Prince, "A family of embedded Runge-Kutta formulae", Journal of Computational
    and Applied Mathematics 6 (1), 1980, RK5(4)7M.
    """

    evaluations = 6
    stages = (
        _row("1/5"),
        _row("3/40 9/40"),
        _row("44/45 -56/15 32/9"),
        _row("19372/6561 -25360/2187 64448/6561 -212/729"),
        _row("9017/3168 -355/33 46732/5247 49/176 -5103/18656"),
    )
    shares = _row("35/384 0 500/1113 125/192 -2187/6784 11/84")
