"""The cards of the classics: SGD with its momenta, Adam, AdamW, AdaGrad, RMSprop."""

from collections.abc import Mapping

from optrun.optimizers.cards.card import Card

RETRAIN_ADAPTIVE = "1e-5 – 1e-4 to retrain VGG19; 1e-4 – 1e-2 from random weights"
MOMENT_SYMBOLS: Mapping[str, str] = {
    "m, v": "first and second moment, 0 at first",
    "β₁, β₂": "beta_1, beta_2",
}
MOMENTS = "m ← m + (1 − β₁) (g − m);   v ← v + (1 − β₂) (g² − v)\n"
DECAY_IS_DECOUPLED = (
    "Keras' weight decay is decoupled: η λ θ is taken off the weights before the step and never "
    "enters the moments."
)
SIGN_STEPS = (
    "A step is of the order of η in every weight, however small the gradient: the rate is a "
    "distance, and has to fall for the weights to settle."
)
_EPSILON_HAT = (
    "ε is added to √v before the bias correction (the paper's ε̂, end of its section 2), by "
    "PyTorch after it. It counts where gradients are as small as ε."
)
_CORRECTION_IN_FLOAT32 = (
    "The bias correction is computed in the weights' precision: in float32 the first updates are "
    "off by about 1e-5 of their size."
)

CLASSIC_CARDS: Mapping[str, Card] = {
    "sgd": Card(
        summary="gradient descent; heavy ball, Nesterov",
        rule=(
            "θ ← θ − η g                                  momentum 0\n"
            "v ← μ v − η g;   θ ← θ + v                   momentum μ (heavy ball)\n"
            "v ← μ v − η g;   θ ← θ + μ v − η g           momentum μ and nesterov: true"
        ),
        symbols={"v": "the last step, 0 at first", "μ": "momentum"},
        when=(
            "The one to beat. With momentum 0.9 and a tuned, falling rate it is among the best on "
            "image classifiers, and it keeps the least in memory. The rate has to be tuned."
        ),
        sensible={
            "learning_rate": (
                "1e-5 – 1e-4 to retrain VGG19 with momentum 0.9 (at 1e-3 it collapses), ten times "
                "that without momentum; 1e-3 – 1e-1 from random weights"
            ),
            "momentum": "0.8 – 0.99; 0.9 is in common use",
            "weight_decay": "1e-4 – 1e-2",
            "global_clipnorm": "1 – 10 where single batches blow up",
        },
        equivalences=(
            "Along a constant gradient, momentum μ at rate η goes as far as no momentum at rate "
            "η / (1 − μ).",
            "v is the weights' last change also when the rate changes: Polyak's heavy ball.",
            "On L = a θ²/2 it is stable for η a < 2 without momentum, < 2 (1 + μ) with it, and "
            "< 2 (1 + μ) / (1 + 2 μ) with nesterov.",
        ),
        caveats=(
            "PyTorch keeps the rate outside the momentum (v ← μ v + g, θ ← θ − η v). The two "
            "differ after a change of the rate: here the old, longer steps fade out over about "
            "1 / (1 − μ) updates.",
            "Articles' “SGD with weight decay 5e-4” mostly means λθ added to the gradient, which "
            "momentum then multiplies by 1 / (1 − μ). Keras' weight_decay is decoupled: η λ θ is "
            "taken off the weights and stays out of v.",
            "With nesterov the weights held between updates are the look-ahead point.",
        ),
        example={"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9},
        cost_note="With momentum it keeps 1 copy, v.",
    ),
    "adam": Card(
        summary="steps scaled by two moving averages",
        rule=MOMENTS + "θ ← θ − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)",
        symbols=MOMENT_SYMBOLS,
        when=(
            "The safe first choice: it trains most networks at its usual rates, layers of very "
            "different gradients included. A well tuned SGD often generalises as well or better."
        ),
        sensible={
            "learning_rate": RETRAIN_ADAPTIVE,
            "beta_1": "0.8 – 0.95",
            "beta_2": "0.99 – 0.999",
            "epsilon": "1e-8 – 1e-3; larger values make it more like SGD with momentum",
        },
        equivalences=(
            "Along a constant gradient every weight moves η sign(g) per update.",
            "weight_decay 0.004 makes it Keras' adamw.",
        ),
        caveats=(SIGN_STEPS, _EPSILON_HAT, DECAY_IS_DECOUPLED, _CORRECTION_IN_FLOAT32),
        example={"name": "adam", "learning_rate": 1e-5},
        cost_note="With amsgrad it keeps 1 more.",
    ),
    "adamw": Card(
        summary="Adam with decoupled weight decay",
        rule=("θ ← θ − η λ θ\n" + MOMENTS + "θ ← θ − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)"),
        symbols={**MOMENT_SYMBOLS, "λ": "weight_decay"},
        when="Where Adam overfits, and for transformers. Its decay is the same for all weights.",
        sensible={
            "learning_rate": RETRAIN_ADAPTIVE,
            "weight_decay": "1e-3 – 1e-1; the decay per update is learning_rate times it",
            "beta_2": "0.95 – 0.999",
        },
        equivalences=(
            "With weight_decay 0 it is adam, to the last bit.",
            "In Keras adam with the same weight_decay is the same optimizer.",
        ),
        caveats=(
            "The decay is multiplied by the scheduled rate: when the rate falls, so does the "
            "decay. Its default is 0.004 here and 0.01 in PyTorch.",
            SIGN_STEPS,
            _EPSILON_HAT,
        ),
        example={"name": "adamw", "learning_rate": 2e-5, "weight_decay": 0.01},
        cost_note="With amsgrad it keeps 1 more.",
    ),
    "adagrad": Card(
        summary="steps scaled by all past squared gradients",
        rule="a ← a + g²;   θ ← θ − η g / √(a + ε)",
        symbols={"a": "sum of squares, initial_accumulator_value at first"},
        when=(
            "Sparse features, whose rare weights keep long steps while frequent ones shrink; "
            "convex problems. Its steps only ever get shorter, which deep networks outlast."
        ),
        sensible={
            "learning_rate": "1e-5 – 1e-3 to retrain VGG19; 1e-3 – 1e-1 from random weights",
            "initial_accumulator_value": "0 – 0.1; 0 makes every first step η in each weight",
        },
        equivalences=("Along a constant gradient the t-th step is η g / √(a₀ + t g² + ε).",),
        caveats=(
            "While gradients are small against √0.1 ≈ 0.3 the first sum rules, and it is SGD at "
            "about 3 times the rate: with the gradients of a large network, for a long time.",
            "PyTorch starts the sum at 0, takes 0.01 as rate and adds its ε outside the root.",
            DECAY_IS_DECOUPLED,
        ),
        example={"name": "adagrad", "learning_rate": 1e-4, "initial_accumulator_value": 0.0},
    ),
    "rmsprop": Card(
        summary="steps scaled by recent squared gradients",
        rule=(
            "v ← ρ v + (1 − ρ) g²;   d = v + ε;   centered: d = v − ḡ² + ε\n"
            "θ ← θ − η g / √d;   with momentum μ: b ← μ b + η g / √d,  θ ← θ − b"
        ),
        symbols={
            "v": "moving average of the squared gradient",
            "ḡ": "moving average of the gradient, decay ρ",
            "ρ": "rho",
            "μ": "momentum",
        },
        when="Noisy or shifting objectives, such as reinforcement learning; Adam's forerunner.",
        sensible={
            "learning_rate": RETRAIN_ADAPTIVE,
            "rho": "0.9 – 0.99",
            "momentum": "0 – 0.9",
        },
        equivalences=(
            "Without momentum it is Adam with β₁ = 0, but for the bias correction and ε's place.",
        ),
        caveats=(
            "The average starts at 0 and is not corrected: the first step is η / √(1 − ρ) in every "
            "weight, 3.2 η at rho 0.9.",
            SIGN_STEPS,
            DECAY_IS_DECOUPLED,
        ),
        example={"name": "rmsprop", "learning_rate": 2e-5},
        cost_note="With momentum it keeps 1 more, and with centered another.",
    ),
}
