"""RAdam, Adam that holds back its adaptive steps until their variance is known, and Ranger."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import keras
from keras import ops
from optrun.optimizers.entry import (
    ALIASES,
    CLIPPING,
    GRADIENT_CENTRALIZATION,
    LEARNING_RATE,
    SYNC_ALIASES,
    TRACKING_WITHHELD,
    WITHHELD,
    Argument,
    Arguments,
    Entry,
    Problems,
    choice,
    decay_rate,
    number,
    positive,
    share,
    weight_decay_argument,
    whole,
)
from optrun.optimizers.gradient_centralization import GradientCentralization
from optrun.optimizers.keras_internals import index_of
from optrun.optimizers.lookahead import Lookahead
from optrun.optimizers.wrapper import find

_ALIASES: Mapping[str, str] = {
    **ALIASES,
    **dict.fromkeys(("sma_threshold", "rho_threshold", "n_sma_threshold"), "threshold"),
    **dict.fromkeys(("N_sma_threshold", "N_sma_threshhold"), "threshold"),
    **dict.fromkeys(("degenerated_to_sgd", "degenerate_to_sgd"), "unadapted_steps"),
}
_BETA_2 = 0.999


def _longest(beta_2: float) -> float:
    """ρ∞, what ρₜ grows to."""
    return 2 / (1 - beta_2) - 1


def _reason_never_adapted(beta_2: float, threshold: float) -> str | None:
    """Why RAdam with these would never adapt a step, or None."""
    if _longest(beta_2) > threshold:
        return None
    return (
        f"must be greater than {(threshold - 1) / (threshold + 1):.6g} for a threshold of "
        f"{threshold:g}, or no step is ever adapted"
    )


def _never_adapted(arguments: Arguments, _inner: Entry | None) -> Problems:
    beta_2, threshold = arguments.get("beta_2"), arguments.get("threshold")
    if isinstance(beta_2, int | float) and isinstance(threshold, int | float):
        reason = _reason_never_adapted(beta_2, threshold)
        if reason is not None:
            name = "threshold" if beta_2 == _BETA_2 else "beta_2"
            yield name, f"beta_2 {reason}; received {beta_2!r}"


def _core(beta_1: float, epsilon: float) -> tuple[Argument, ...]:
    second = "decay of the second moment, in [0, 1); above 2/3 for a threshold of 5"
    return (
        LEARNING_RATE,
        decay_rate("beta_1", beta_1, "decay of the first moment, in [0, 1)"),
        decay_rate("beta_2", _BETA_2, second),
        positive(
            "epsilon", epsilon, "added to the root of the second moment, before its bias correction"
        ),
        number(
            "threshold",
            5.0,
            "length ρ of the moving average above which steps are adapted; the paper has 4",
            minimum=4,
        ),
        choice(
            "unadapted_steps",
            "what the updates before do: sgd (a step of plain momentum) or skip (none)",
            *("sgd", "skip"),
        ),
        weight_decay_argument(None),
        *CLIPPING,
    )


_RECTIFICATION = (
    "m ← m + (1 − β₁) (g − m);   v ← v + (1 − β₂) (g² − v)\n"
    "ρ∞ = 2/(1 − β₂) − 1;   ρ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)\n"
    "ρ > ρ₀:  r = √( (ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ) )\n"
    "         θ ← θ − η r √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)\n"
)
_UNADAPTED_STEP = "else:    θ ← θ − η / (1 − β₁ᵗ) · m"
_SYMBOLS: Mapping[str, str] = {
    "m, v": "first and second moment, 0 at first",
    "β₁, β₂": "beta_1, beta_2",
    "ρ": "how many gradients v has effectively seen; ρ₀ is threshold",
}
_UNADAPTED = (
    "With the default β₂ and threshold the first five updates are not divided by √v: they are "
    "steps of plain momentum, of size η |g|, and gradients far above 1 throw the weights far off."
)
_THRESHOLD = "4 – 5; 5 is that of the authors' code, 4 the paper's, where r is still 0"

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="radam",
        class_name="RAdam",
        module=__name__,
        description="Adam with its first steps held back until their variance is known.",
        paper="Liu et al. 2020, ICLR, algorithm 2",
        arguments=(*_core(beta_1=0.9, epsilon=1e-7), GRADIENT_CENTRALIZATION),
        extra_weight_copies=2,
        aliases=_ALIASES,
        withheld=WITHHELD,
        combination_problems=_never_adapted,
        also_called=("rectifiedadam",),
        summary="Adam that waits until its scale is known",
        rule=_RECTIFICATION + _UNADAPTED_STEP,
        symbols=_SYMBOLS,
        when="In place of Adam with a warm-up: it holds the first adaptive steps back until the "
        "second moment has seen enough gradients. Once t is in the thousands it is Adam.",
        sensible={
            "learning_rate": "1e-5 – 1e-4 to retrain VGG19; 1e-4 – 1e-3 from random weights",
            "beta_2": "0.99 – 0.999; at 2/3 or less ρ never exceeds 5, and it is refused",
            "threshold": _THRESHOLD,
            "unadapted_steps": "sgd, as published; skip where the first losses jump",
        },
        equivalences=(
            "r tends to 1: RAdam tends to Adam with the same arguments.",
            "Constant gradients: the first five updates move η g, later ones η r sign(g).",
        ),
        caveats=(
            _UNADAPTED,
            "ε is added to √v before the bias correction, as in the authors' code, PyTorch's RAdam "
            "and Keras' Adam; others add it after.",
            "Weight decay is decoupled: η λ θ is taken off the weights.",
            "ρ and r are computed in float64: in float32 the first r would be off by up to 1 %.",
        ),
        example={"name": "radam", "learning_rate": 1e-5},
    ),
    Entry(
        name="ranger",
        class_name="Ranger",
        module=__name__,
        description="Lookahead around RAdam, on centralized gradients.",
        paper="Wright 2019, version 20.4.11; Yong et al. 2020; Liu et al. 2020; Zhang et al. 2019",
        arguments=(
            *_core(beta_1=0.95, epsilon=1e-5),
            whole("sync_period", 6, "updates between two syncs (Lookahead's k)", minimum=1),
            share(
                "slow_step_size",
                0.5,
                "share of the way to the fast weights that a sync goes (Lookahead's α)",
            ),
            replace(GRADIENT_CENTRALIZATION, default=True, of_class=True),
        ),
        extra_weight_copies=3,
        aliases={**_ALIASES, **SYNC_ALIASES},
        withheld={
            **WITHHELD,
            **TRACKING_WITHHELD,
            "inner_optimizer": "RAdam is inside: for another, put it inside `lookahead` with "
            "`gradient_centralization: true`",
            "inner_state": "a sync keeps RAdam's moments: for another choice, put `radam` "
            "inside `lookahead`",
        },
        combination_problems=_never_adapted,
        tracks_fast_weights=True,
        summary="Lookahead(RAdam) with centralized gradients",
        rule="g ← g − mean of g over each output unit's inputs   (Conv2D and Dense kernels)\n"
        "θ ← θ − η λ θ\n"
        + _RECTIFICATION
        + _UNADAPTED_STEP
        + "\nevery k updates:  φ ← φ + α (θ − φ);  θ ← φ",
        symbols={
            **_SYMBOLS,
            "λ": "weight_decay",
            "φ": "the slow weights, which the network is measured on",
            "k": "sync_period",
            "α": "slow_step_size",
        },
        when="A composition that many articles use with its defaults. Take it to compare with "
        "those; to learn which of its three parts helps, compare lookahead, radam and "
        "gradient_centralization one by one.",
        sensible={
            "learning_rate": "1e-5 – 2e-4 to retrain VGG19; 1e-4 – 1e-3 from random weights",
            "sync_period": "5 – 10",
            "slow_step_size": "0.5 – 0.8",
            "threshold": _THRESHOLD,
        },
        equivalences=(
            "It is lookahead around radam with gradient_centralization: true, with defaults of its "
            "own: k 6, α 0.5, β₁ 0.95, ε 1e-5.",
            "slow_step_size 1 and gradient_centralization: false leave RAdam.",
        ),
        caveats=(
            "The article's listing also divides the gradient by its standard deviation; ours does "
            "not, as the published code and the paper on centralization do not.",
            "ε = 1e-5 is a hundred times Keras' usual one: where gradients are small it damps the "
            "adaptation.",
            _UNADAPTED,
            "Evaluated on its slow weights; updates since the last sync are discarded at the end.",
        ),
        example={"name": "ranger", "learning_rate": 2e-5},
    ),
)


def sma_length(update: Any, beta_2: float) -> Any:
    """ρₜ, the length of the simple moving average that the exponential one amounts to.

    The second moment after t updates weighs the squared gradients by (1 − β₂) β₂ᵗ⁻ⁱ. A simple
    average over the last ρₜ of them has the same centre of mass. In float64: two nearly equal
    numbers are subtracted.

    Example:
        >>> [f"{float(sma_length(update, 0.999)):.4f}" for update in (1, 2, 5)]
        ['1.0000', '1.9995', '4.9960']
    """
    t = ops.cast(update, "float64")
    power = ops.power(beta_2, t)
    return _longest(beta_2) - 2 * t * power / (1 - power)


def rectification(length: Any, beta_2: float) -> Any:
    """rₜ, the factor by which the variance of the adaptive step shrinks in the long run.

    ρₜ is 4 or more, since the variance does not exist below, and β₂ greater than 0.6.
    """
    longest = _longest(beta_2)
    scale = longest / ((longest - 4) * (longest - 2))
    return ops.sqrt((length - 4) * (length - 2) / length * scale)


@keras.saving.register_keras_serializable(package="optimizers")
class RAdam(keras.optimizers.Optimizer):  # type: ignore[misc]
    """Adam whose adaptive steps are rectified while few gradients stand behind them.

    After a handful of updates the second moment is a mean of a handful of squares, and a step
    divided by its root varies without bound. With ρₜ the number of squares it amounts to
    (`sma_length`) and rₜ the factor that keeps the step's variance constant (`rectification`):

        m ← β₁ m + (1 − β₁) g;    v ← β₂ v + (1 − β₂) g²
        ρₜ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ),    ρ∞ = 2 / (1 − β₂) − 1
        rₜ = √( (ρₜ − 4) (ρₜ − 2) ρ∞ / ((ρ∞ − 4) (ρ∞ − 2) ρₜ) )
        ρₜ > threshold:   θ ← θ − η rₜ √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)
        otherwise:        θ ← θ − η / (1 − β₁ᵗ) · m

    Args:
        learning_rate: η, a float greater than 0 or a schedule.
        beta_1, beta_2: decays of m and v, in [0, 1); ρ∞ must exceed the threshold.
        epsilon: ε, greater than 0.
        threshold: how long ρₜ must be, exclusive, for an adapted step, 4 or more.
        unadapted_steps: what the updates before do: "sgd", the paper's step of plain momentum, or
            "skip", nothing but gather the moments.
        weight_decay, ..., kwargs: as for any Keras optimizer.

    Source: Liu, Jiang, He, Chen, Liu, Gao & Han, "On the Variance of the Adaptive Learning Rate and
    Beyond", ICLR 2020, algorithm 2 (https://arxiv.org/abs/1908.03265).

    Example:
        With a constant gradient of 0.1 five steps are 0.001 · 0.1, and the sixth 0.001 · r₆.

        >>> import keras
        >>> weight, optimizer = keras.Variable(1.0), RAdam(0.001)
        >>> for step in range(6):
        ...     optimizer.apply([keras.ops.convert_to_tensor(0.1)], [weight])
        ...     print(f"{float(weight.value):.6f}", end=" ")
        0.999900 0.999800 0.999700 0.999600 0.999500 0.999474
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
        ENTRIES[0].require(
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            threshold=threshold,
            unadapted_steps=unadapted_steps,
        )
        reason = _reason_never_adapted(beta_2, threshold)
        if reason is not None:
            raise ValueError(f"`beta_2` {reason}. Received: {beta_2=}")
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name=name, **kwargs
        )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.threshold = threshold
        self.unadapted_steps = unadapted_steps

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        slots = self.add_optimizer_variables(variables, ["momentum", "velocity"])
        self._momentums, self._velocities = slots

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = index_of(self, variable)
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
        own = ("beta_1", "beta_2", "epsilon", "threshold", "unadapted_steps")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable(package="optimizers")
class Ranger(Lookahead):
    """Lookahead(GradientCentralization(RAdam)), with the settings of its authors.

    The parts are this package's. The network is measured on the slow weights.

    Args:
        learning_rate, ..., global_clipnorm: as for `RAdam`; norms are those of the centralized
            gradients.
        sync_period, slow_step_size, name, track_fast_weights: as for `Lookahead`.
        gradient_centralization: whether gradients are centralized. If so, train with
            `optimizers.Model`, or call `learn_layers`.

    Source: Wright, "Ranger - a synergistic optimizer", 2019, version 20.4.11
    (https://github.com/lessw2020/Ranger-Deep-Learning-Optimizer).
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta_1: float = 0.95,
        beta_2: float = 0.999,
        epsilon: float = 1e-5,
        threshold: float = 5.0,
        unadapted_steps: str = "sgd",
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        sync_period: int = 6,
        slow_step_size: float = 0.5,
        gradient_centralization: bool = True,
        name: str | None = None,
        *,
        track_fast_weights: bool = False,
    ) -> None:
        if not isinstance(gradient_centralization, bool):
            raise ValueError(
                f"`gradient_centralization` must be True or False. Received: "
                f"{gradient_centralization!r}"
            )
        decay_and_clipping = (weight_decay, clipnorm, clipvalue, global_clipnorm)
        core: keras.optimizers.Optimizer = RAdam(
            learning_rate, beta_1, beta_2, epsilon, threshold, unadapted_steps, *decay_and_clipping
        )
        super().__init__(
            GradientCentralization(core) if gradient_centralization else core,
            sync_period=sync_period,
            slow_step_size=slow_step_size,
            name=name,
            track_fast_weights=track_fast_weights,
        )

    def learn_layers(self, model: keras.Model) -> None:
        """`GradientCentralization.learn_layers`, for a plain `keras.Model`."""
        centralization = find(self, GradientCentralization)
        if centralization is not None:
            centralization.learn_layers(model)

    def get_config(self) -> dict[str, Any]:
        core = find(self, RAdam).get_config()  # type: ignore[union-attr]
        own = ("sync_period", "slow_step_size", "name", "track_fast_weights")
        return {
            **{one.name: core[one.name] for one in ENTRIES[0].arguments if one.of_class},
            **{name: getattr(self, name) for name in own},
            "gradient_centralization": find(self, GradientCentralization) is not None,
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        rate = config["learning_rate"]
        if isinstance(rate, Mapping):
            rate = keras.saving.deserialize_keras_object(rate, custom_objects=custom_objects)
        return cls(**{**config, "learning_rate": rate})
