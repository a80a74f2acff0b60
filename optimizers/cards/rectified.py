"""The cards of RAdam and of Ranger, which is Lookahead around it."""

from collections.abc import Mapping

from optrun.optimizers.cards.card import Card

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

RECTIFIED_CARDS: Mapping[str, Card] = {
    "radam": Card(
        summary="Adam that waits until its scale is known",
        rule=_RECTIFICATION + _UNADAPTED_STEP,
        symbols=_SYMBOLS,
        when=(
            "In place of Adam with a warm-up: it holds the first adaptive steps back until the "
            "second moment has seen enough gradients. Once t is in the thousands it is Adam."
        ),
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
    "ranger": Card(
        summary="Lookahead(RAdam) with centralized gradients",
        rule=(
            "g ← g − mean of g over each output unit's inputs   (Conv2D and Dense kernels)\n"
            "θ ← θ − η λ θ\n"
            + _RECTIFICATION
            + _UNADAPTED_STEP
            + "\nevery k updates:  φ ← φ + α (θ − φ);  θ ← φ"
        ),
        symbols={
            **_SYMBOLS,
            "λ": "weight_decay",
            "φ": "the slow weights, which the network is measured on",
            "k": "sync_period",
            "α": "slow_step_size",
        },
        when=(
            "A composition that many articles use with its defaults. Take it to compare with "
            "those; to learn which of its three parts helps, compare lookahead, radam and "
            "gradient_centralization one by one."
        ),
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
}
