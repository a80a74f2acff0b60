"""The cards of Keras' other optimizers that scale each weight's step."""

from collections.abc import Mapping

from optrun.optimizers.cards.card import Card
from optrun.optimizers.cards.classic import (
    DECAY_IS_DECOUPLED,
    MOMENT_SYMBOLS,
    MOMENTS,
    RETRAIN_ADAPTIVE,
    SIGN_STEPS,
)

ADAPTIVE_CARDS: Mapping[str, Card] = {
    "adamax": Card(
        summary="Adam scaled by the largest recent gradient",
        rule=(
            "m ← m + (1 − β₁) (g − m);   u ← max(β₂ u, |g|)\nθ ← θ − η / (1 − β₁ᵗ) · m / (u + ε)"
        ),
        symbols={
            "m": "first moment, 0 at first",
            "u": "largest recent gradient, 0 at first",
            "β₁, β₂": "beta_1, beta_2",
        },
        when="Gradients with rare large values, where Adam's second moment jumps; embeddings.",
        sensible={"learning_rate": RETRAIN_ADAPTIVE, "beta_2": "0.99 – 0.999"},
        equivalences=("Along a constant gradient every weight moves η sign(g), as Adam's.",),
        caveats=(
            "A weight whose gradient spikes once takes short steps for 1 / (1 − β₂) updates.",
            DECAY_IS_DECOUPLED,
        ),
        example={"name": "adamax", "learning_rate": 4e-5},
    ),
    "nadam": Card(
        summary="Adam with Nesterov's momentum",
        rule=(
            MOMENTS + "μₜ = β₁ (1 − 0.96ᵗ / 2)\n"
            "m̂ = μₜ₊₁ m / (1 − μ₁ ⋯ μₜ₊₁) + (1 − μₜ) g / (1 − μ₁ ⋯ μₜ)\n"
            "θ ← θ − η m̂ / (√(v / (1 − β₂ᵗ)) + ε)"
        ),
        symbols={**MOMENT_SYMBOLS, "μₜ": "the momentum of update t, rising from β₁/2 to β₁"},
        when="As Adam; a little faster at first, a little more restless.",
        sensible={"learning_rate": RETRAIN_ADAPTIVE, "beta_1": "0.8 – 0.95"},
        equivalences=("With beta_1 0 it is Adam with beta_1 0, where ε is negligible.",),
        caveats=(
            "ε is added after the bias correction, unlike in Keras' Adam.",
            "The schedule of the momentum, 0.96ᵗ, is built in.",
            SIGN_STEPS,
            DECAY_IS_DECOUPLED,
        ),
        example={"name": "nadam", "learning_rate": 2e-5},
    ),
    "adadelta": Card(
        summary="steps scaled by recent steps over gradients",
        rule=(
            "v ← ρ v + (1 − ρ) g²;   Δ = − √(d + ε) / √(v + ε) · g\n"
            "d ← ρ d + (1 − ρ) Δ²;   θ ← θ + η Δ"
        ),
        symbols={
            "v": "moving average of the squared gradient",
            "d": "moving average of the squared step",
            "ρ": "rho",
        },
        when="Hardly: where no rate can be tuned at all. Adam has taken its place.",
        sensible={
            "learning_rate": "0.1 – 1; 1 is the paper's method, which has no rate",
            "rho": "0.9 – 0.99",
            "epsilon": "1e-7 – 1e-4; it sets the size of the first steps",
        },
        equivalences=("learning_rate 1 is the published method.",),
        caveats=(
            "Keras' own default rate is 0.001, a thousandth of the paper's: it hardly moves.",
            "It starts from steps of √(ε / (1 − ρ)), 1.4e-3 with the defaults, and takes long to "
            "find its pace.",
            DECAY_IS_DECOUPLED,
        ),
        example={"name": "adadelta", "learning_rate": 0.1},
    ),
    "ftrl": Card(
        summary="regularised leader, for sparse models",
        rule=(
            "n′ = n + g²;   σ = (n′ᵖ − nᵖ) / η;   z ← z + g + 2 s θ − σ θ;   n ← n′\n"
            "θ ← (clip(z, −λ₁, λ₁) − z) / ((β + nᵖ) / η + 2 λ₂)"
        ),
        symbols={
            "n": "sum of squares, initial_accumulator_value at first",
            "p": "−learning_rate_power",
            "z": "sum of gradients and shifts, 0 at first",
            "s": "l2_shrinkage_regularization_strength",
            "λ₁": "l1_regularization_strength",
            "λ₂": "l2_regularization_strength",
            "β": "beta",
        },
        when=(
            "Linear models on many sparse features, where λ₁ sets most weights to exactly 0. Not "
            "for retraining a network: see the caveats."
        ),
        sensible={
            "learning_rate": "1e-2 – 1",
            "l1_regularization_strength": "0 – 10",
            "l2_regularization_strength": "0 – 10",
        },
        equivalences=(
            "From zero weights, with p = 0.5 and no penalties, it is AdaGrad with that start of "
            "the sum.",
        ),
        caveats=(
            "The weights are computed anew from the gradients; what they were before counts only "
            "through σ. While gradients are small against √0.1 ≈ 0.3 the first update sets all "
            "weights to nearly 0, and pretrained ones are lost.",
            "A learning rate that changes rescales the whole past.",
        ),
        example={"name": "ftrl", "learning_rate": 0.05},
    ),
    "lion": Card(
        summary="steps of one size, the momentum's sign",
        rule="θ ← θ − η sign(β₁ m + (1 − β₁) g);   m ← β₂ m + (1 − β₂) g",
        symbols={"m": "momentum, 0 at first", "β₁, β₂": "beta_1, beta_2"},
        when=(
            "Large batches and long trainings, with half of Adam's memory. Small batches make its "
            "signs random."
        ),
        sensible={
            "learning_rate": (
                "3e-6 – 3e-5 to retrain VGG19; 3e-5 – 1e-3 from random weights: a third to a tenth "
                "of Adam's"
            ),
            "beta_2": "0.98 – 0.99",
            "weight_decay": "3 to 10 times AdamW's, since it is multiplied by the smaller rate",
        },
        equivalences=("beta_1 1 is the sign of the momentum alone (Signum).",),
        caveats=(SIGN_STEPS, DECAY_IS_DECOUPLED),
        example={"name": "lion", "learning_rate": 5e-6},
    ),
}
