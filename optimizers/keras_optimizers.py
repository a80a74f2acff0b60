"""The optimizers of Keras 3.15: what each takes, its bounds and defaults, and its card.

The arguments and defaults are those of the classes; a test compares them with the signatures. This
module is data and imports no Keras.
"""

import math
from collections.abc import Callable
from typing import Any

from optrun.optimizers.entry import (
    ALIASES,
    CLIPPING,
    GRADIENT_CENTRALIZATION,
    LEARNING_RATE,
    WITHHELD,
    Argument,
    Arguments,
    Entry,
    Momentum,
    Problems,
    Shape,
    decay_rate,
    number,
    positive,
    share,
    weight_decay_argument,
    whole,
)


def _switch(name: str, default: bool, description: str) -> Argument:
    return Argument(name, "bool", description, default)


def _momentum(default: float) -> Argument:
    return share("momentum", default, "share of the last step kept, in [0, 1]")


_DECAY = weight_decay_argument(None)
_EPSILON = positive("epsilon", 1e-7, "keeps the division finite")
_ADAM = (
    decay_rate("beta_1", 0.9, "decay of the first moment, in [0, 1)"),
    decay_rate("beta_2", 0.999, "decay of the second moment, in [0, 1)"),
    _EPSILON,
)
_AMSGRAD = _switch("amsgrad", False, "divide by the largest second moment seen so far")


def _copy_for_each(*switches: str) -> Callable[[Arguments, Shape], int]:
    """One more copy of the weights for each of these arguments that is on."""
    return lambda arguments, shape: math.prod(shape) * sum(bool(arguments[one]) for one in switches)


def _rows_and_columns(_arguments: Arguments, shape: Shape) -> int:
    # Beside the full second moment that Keras keeps.
    if len(shape) < 2:
        return 0
    return math.prod(shape[:-1]) + math.prod(shape[:-2]) * shape[-1]


def _one_copy_less_for_matrices(arguments: Arguments, shape: Shape) -> int:
    # A matrix needs the momentum alone; the second moment is Adam's.
    is_matrix = len(shape) in (2, 3) and not arguments["exclude_layers"]
    return -math.prod(shape) if is_matrix else 0


def _nesterov_needs_momentum(arguments: Arguments, _inner: Entry | None) -> Problems:
    if arguments.get("nesterov") is True and arguments.get("momentum") == 0:
        yield "nesterov", "has no effect without a momentum greater than 0: state `momentum`"


def _keras(
    name: str, class_name: str, *, copies: int, momentum: Momentum = "always"
) -> Callable[..., Entry]:
    """Makes an optimizer's entry of the arguments of its own, its card and what else is known."""

    def entry(*arguments: Argument, weight_decay: Argument = _DECAY, **more: Any) -> Entry:
        return Entry(
            name=name,
            class_name=class_name,
            module="keras.optimizers",
            arguments=(LEARNING_RATE, *arguments, weight_decay, *CLIPPING, GRADIENT_CENTRALIZATION),
            extra_weight_copies=copies,
            momentum=momentum,
            aliases=ALIASES,
            withheld=WITHHELD,
            **more,
        )

    return entry


_RETRAIN_ADAPTIVE = "1e-5 – 1e-4 to retrain VGG19; 1e-4 – 1e-2 from random weights"
_MOMENT_SYMBOLS = {"m, v": "first and second moment, 0 at first", "β₁, β₂": "beta_1, beta_2"}
_MOMENTS = "m ← m + (1 − β₁) (g − m);   v ← v + (1 − β₂) (g² − v)\n"
_DECAY_IS_DECOUPLED = (
    "Keras' weight decay is decoupled: η λ θ is taken off the weights before the step and never "
    "enters the moments."
)
_SIGN_STEPS = (
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
_ADAM_DECAY = "decoupled decay of the variables left to Adam, as weight_decay is of the others"

KERAS_ENTRIES: tuple[Entry, ...] = (
    _keras("sgd", "SGD", momentum="stated", copies=0)(
        _momentum(0.0),
        _switch("nesterov", False, "evaluate the gradient at the look-ahead point"),
        more_state=_copy_for_each("momentum"),
        combination_problems=_nesterov_needs_momentum,
        also_called=("stochasticgradientdescent", "gradientdescent"),
        description="Gradient descent; with momentum (heavy ball) or Nesterov's look-ahead point.",
        paper="Robbins & Monro 1951; Polyak 1964; Nesterov 1983",
        summary="gradient descent; heavy ball, Nesterov",
        rule="θ ← θ − η g                                  momentum 0\n"
        "v ← μ v − η g;   θ ← θ + v                   momentum μ (heavy ball)\n"
        "v ← μ v − η g;   θ ← θ + μ v − η g           momentum μ and nesterov: true",
        symbols={"v": "the last step, 0 at first", "μ": "momentum"},
        when="The one to beat. With momentum 0.9 and a tuned, falling rate it is among the best on "
        "image classifiers, and it keeps the least in memory. The rate has to be tuned.",
        sensible={
            "learning_rate": "1e-5 – 1e-4 to retrain VGG19 with momentum 0.9 (at 1e-3 it "
            "collapses), ten times that without momentum; 1e-3 – 1e-1 from random weights",
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
    _keras("adam", "Adam", copies=2)(
        *_ADAM,
        _AMSGRAD,
        more_state=_copy_for_each("amsgrad"),
        description="Steps scaled per weight by moving averages of the gradient and of its square.",
        paper="Kingma & Ba 2015, ICLR",
        summary="steps scaled by two moving averages",
        rule=_MOMENTS + "θ ← θ − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)",
        symbols=_MOMENT_SYMBOLS,
        when="The safe first choice: it trains most networks at its usual rates, layers of very "
        "different gradients included. A well tuned SGD often generalises as well or better.",
        sensible={
            "learning_rate": _RETRAIN_ADAPTIVE,
            "beta_1": "0.8 – 0.95",
            "beta_2": "0.99 – 0.999",
            "epsilon": "1e-8 – 1e-3; larger values make it more like SGD with momentum",
        },
        equivalences=(
            "Along a constant gradient every weight moves η sign(g) per update.",
            "weight_decay 0.004 makes it Keras' adamw.",
        ),
        caveats=(_SIGN_STEPS, _EPSILON_HAT, _DECAY_IS_DECOUPLED, _CORRECTION_IN_FLOAT32),
        example={"name": "adam", "learning_rate": 1e-5},
        cost_note="With amsgrad it keeps 1 more.",
    ),
    _keras("adamw", "AdamW", copies=2)(
        *_ADAM,
        _AMSGRAD,
        more_state=_copy_for_each("amsgrad"),
        weight_decay=weight_decay_argument(0.004, optional=False),
        description="Adam with weight decay taken out of the gradient.",
        paper="Loshchilov & Hutter 2019, ICLR",
        summary="Adam with decoupled weight decay",
        rule="θ ← θ − η λ θ\n" + _MOMENTS + "θ ← θ − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)",
        symbols={**_MOMENT_SYMBOLS, "λ": "weight_decay"},
        when="Where Adam overfits, and for transformers. Its decay is the same for all weights.",
        sensible={
            "learning_rate": _RETRAIN_ADAPTIVE,
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
            _SIGN_STEPS,
            _EPSILON_HAT,
        ),
        example={"name": "adamw", "learning_rate": 2e-5, "weight_decay": 0.01},
        cost_note="With amsgrad it keeps 1 more.",
    ),
    _keras("adamax", "Adamax", copies=2)(
        *_ADAM,
        description="Adam with the largest recent gradient in place of the second moment.",
        paper="Kingma & Ba 2015, ICLR, section 7",
        summary="Adam scaled by the largest recent gradient",
        rule="m ← m + (1 − β₁) (g − m);   u ← max(β₂ u, |g|)\nθ ← θ − η / (1 − β₁ᵗ) · m / (u + ε)",
        symbols={
            "m": "first moment, 0 at first",
            "u": "largest recent gradient, 0 at first",
            "β₁, β₂": "beta_1, beta_2",
        },
        when="Gradients with rare large values, where Adam's second moment jumps; embeddings.",
        sensible={"learning_rate": _RETRAIN_ADAPTIVE, "beta_2": "0.99 – 0.999"},
        equivalences=("Along a constant gradient every weight moves η sign(g), as Adam's.",),
        caveats=(
            "A weight whose gradient spikes once takes short steps for 1 / (1 − β₂) updates.",
            _DECAY_IS_DECOUPLED,
        ),
        example={"name": "adamax", "learning_rate": 4e-5},
    ),
    _keras("nadam", "Nadam", copies=2)(
        *_ADAM,
        description="Adam with Nesterov's momentum.",
        paper="Dozat 2016, ICLR workshop",
        summary="Adam with Nesterov's momentum",
        rule=_MOMENTS + "μₜ = β₁ (1 − 0.96ᵗ / 2)\n"
        "m̂ = μₜ₊₁ m / (1 − μ₁ ⋯ μₜ₊₁) + (1 − μₜ) g / (1 − μ₁ ⋯ μₜ)\n"
        "θ ← θ − η m̂ / (√(v / (1 − β₂ᵗ)) + ε)",
        symbols={**_MOMENT_SYMBOLS, "μₜ": "the momentum of update t, rising from β₁/2 to β₁"},
        when="As Adam; a little faster at first, a little more restless.",
        sensible={"learning_rate": _RETRAIN_ADAPTIVE, "beta_1": "0.8 – 0.95"},
        equivalences=("With beta_1 0 it is Adam with beta_1 0, where ε is negligible.",),
        caveats=(
            "ε is added after the bias correction, unlike in Keras' Adam.",
            "The schedule of the momentum, 0.96ᵗ, is built in.",
            _SIGN_STEPS,
            _DECAY_IS_DECOUPLED,
        ),
        example={"name": "nadam", "learning_rate": 2e-5},
    ),
    _keras("adagrad", "Adagrad", momentum="never", copies=1)(
        number("initial_accumulator_value", 0.1, "start of that sum", minimum=0),
        _EPSILON,
        description="Steps scaled per weight by the sum of all squared gradients so far.",
        paper="Duchi, Hazan & Singer 2011, JMLR 12",
        summary="steps scaled by all past squared gradients",
        rule="a ← a + g²;   θ ← θ − η g / √(a + ε)",
        symbols={"a": "sum of squares, initial_accumulator_value at first"},
        when="Sparse features, whose rare weights keep long steps while frequent ones shrink; "
        "convex problems. Its steps only ever get shorter, which deep networks outlast.",
        sensible={
            "learning_rate": "1e-5 – 1e-3 to retrain VGG19; 1e-3 – 1e-1 from random weights",
            "initial_accumulator_value": "0 – 0.1; 0 makes every first step η in each weight",
        },
        equivalences=("Along a constant gradient the t-th step is η g / √(a₀ + t g² + ε).",),
        caveats=(
            "While gradients are small against √0.1 ≈ 0.3 the first sum rules, and it is SGD at "
            "about 3 times the rate: with the gradients of a large network, for a long time.",
            "PyTorch starts the sum at 0, takes 0.01 as rate and adds its ε outside the root.",
            _DECAY_IS_DECOUPLED,
        ),
        example={"name": "adagrad", "learning_rate": 1e-4, "initial_accumulator_value": 0.0},
    ),
    _keras("adadelta", "Adadelta", momentum="never", copies=2)(
        decay_rate("rho", 0.95, "decay of both averages, in [0, 1)"),
        _EPSILON,
        description="Steps scaled per weight by the ratio of recent updates to recent gradients.",
        paper="Zeiler 2012, arXiv 1212.5701",
        summary="steps scaled by recent steps over gradients",
        rule="v ← ρ v + (1 − ρ) g²;   Δ = − √(d + ε) / √(v + ε) · g\n"
        "d ← ρ d + (1 − ρ) Δ²;   θ ← θ + η Δ",
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
            _DECAY_IS_DECOUPLED,
        ),
        example={"name": "adadelta", "learning_rate": 0.1},
    ),
    _keras("rmsprop", "RMSprop", momentum="stated", copies=1)(
        decay_rate("rho", 0.9, "decay of the average, in [0, 1)"),
        _momentum(0.0),
        _EPSILON,
        _switch("centered", False, "subtract the squared mean of the gradient: its variance"),
        more_state=_copy_for_each("momentum", "centered"),
        description="Steps scaled per weight by a moving average of the squared gradient.",
        paper="Tieleman & Hinton 2012, Coursera lecture 6.5",
        summary="steps scaled by recent squared gradients",
        rule="v ← ρ v + (1 − ρ) g²;   d = v + ε;   centered: d = v − ḡ² + ε\n"
        "θ ← θ − η g / √d;   with momentum μ: b ← μ b + η g / √d,  θ ← θ − b",
        symbols={
            "v": "moving average of the squared gradient",
            "ḡ": "moving average of the gradient, decay ρ",
            "ρ": "rho",
            "μ": "momentum",
        },
        when="Noisy or shifting objectives, such as reinforcement learning; Adam's forerunner.",
        sensible={"learning_rate": _RETRAIN_ADAPTIVE, "rho": "0.9 – 0.99", "momentum": "0 – 0.9"},
        equivalences=(
            "Without momentum it is Adam with β₁ = 0, but for the bias correction and ε's place.",
        ),
        caveats=(
            "The average starts at 0 and is not corrected: the first step is η / √(1 − ρ) in every "
            "weight, 3.2 η at rho 0.9.",
            _SIGN_STEPS,
            _DECAY_IS_DECOUPLED,
        ),
        example={"name": "rmsprop", "learning_rate": 2e-5},
        cost_note="With momentum it keeps 1 more, and with centered another.",
    ),
    _keras("ftrl", "Ftrl", momentum="never", copies=2)(
        number("learning_rate_power", -0.5, "power of the accumulated squares", maximum=0),
        number("initial_accumulator_value", 0.1, "start of the sum of squares", minimum=0),
        number("l1_regularization_strength", 0.0, "L1 penalty", minimum=0),
        number("l2_regularization_strength", 0.0, "L2 penalty, stabilising", minimum=0),
        number("l2_shrinkage_regularization_strength", 0.0, "L2 penalty on the size", minimum=0),
        number("beta", 0.0, "the paper's β, added to the root of the sum", minimum=0),
        description="Follow the regularised leader: per-weight rates with L1 and L2 shrinkage.",
        paper="McMahan et al. 2013, KDD",
        summary="regularised leader, for sparse models",
        rule="n′ = n + g²;   σ = (n′ᵖ − nᵖ) / η;   z ← z + g + 2 s θ − σ θ;   n ← n′\n"
        "θ ← (clip(z, −λ₁, λ₁) − z) / ((β + nᵖ) / η + 2 λ₂)",
        symbols={
            "n": "sum of squares, initial_accumulator_value at first",
            "p": "−learning_rate_power",
            "z": "sum of gradients and shifts, 0 at first",
            "s": "l2_shrinkage_regularization_strength",
            "λ₁": "l1_regularization_strength",
            "λ₂": "l2_regularization_strength",
            "β": "beta",
        },
        when="Linear models on many sparse features, where λ₁ sets most weights to exactly 0. Not "
        "for retraining a network: see the caveats.",
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
    _keras("adafactor", "Adafactor", momentum="never", copies=1)(
        number("beta_2_decay", -0.8, "power of the step count in the decay rate", maximum=0),
        positive("epsilon_1", 1e-30, "keeps the squared gradient above 0"),
        positive("epsilon_2", 1e-3, "smallest scale of a variable"),
        positive("clip_threshold", 1.0, "largest root mean square of an update"),
        _switch("relative_step", True, "bound a constant rate by 1 / sqrt(update)"),
        more_state=_rows_and_columns,
        description="Adam's second moment kept as one value per row and column instead of per "
        "weight.",
        paper="Shazeer & Stern 2018, ICML",
        summary="Adam's scale from row and column means",
        rule="β = 1 − t^beta_2_decay;   G = g² + ε₁\n"
        "r ← β r + (1 − β) mean of G over columns;   c likewise over rows\n"
        "v = r cᵀ / mean(r)   (vectors: v ← β v + (1 − β) G)\n"
        "u = g / √v;   u ← u / max(1, RMS(u) / clip_threshold)\n"
        "θ ← θ − max(ε₂, RMS(θ)) · min(η, 1/√t) · u",
        symbols={"ε₁, ε₂": "epsilon_1, epsilon_2", "RMS": "root mean square over the variable"},
        when="Very large embeddings and transformers. The rate is relative: each variable moves "
        "that share of its own size, which suits layers of different scale.",
        sensible={
            "learning_rate": "1e-4 – 1e-2, relative to the size of the weights",
            "clip_threshold": "1",
        },
        equivalences=("relative_step changes nothing here: the step is bounded by 1/√t anyway.",),
        caveats=(
            "Keras keeps v at full size beside its rows and columns: it saves no memory against "
            "Adam without momentum.",
            "Biases and other weights near 0 move ε₂ times the rate, a thousandth of it.",
            _DECAY_IS_DECOUPLED,
        ),
        example={"name": "adafactor", "learning_rate": 1e-3},
        cost_note="A row and a column for each matrix besides.",
    ),
    _keras("lamb", "Lamb", copies=2)(
        *_ADAM,
        description="Adam with each layer's step scaled to the norm of its weights, for large "
        "batches.",
        paper="You et al. 2020, ICLR",
        summary="Adam's direction, scaled to each layer",
        rule=_MOMENTS
        + "u = (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)\n"
        + "θ ← θ − η ‖θ‖ / ‖u‖ · u   (‖θ‖ / ‖u‖ is 1 where one of them is 0)",
        symbols={**_MOMENT_SYMBOLS, "‖ ‖": "norm over the variable"},
        when="Very large batches (thousands), where one rate for all layers no longer fits.",
        sensible={"learning_rate": "1e-4 – 1e-2: the share of its norm each variable moves"},
        equivalences=("Where ‖θ‖ = ‖u‖ it is Adam, but for where ε is added.",),
        caveats=(
            "Every variable turns or grows by the share η per update, converged or not: the rate "
            "has to fall.",
            "The paper adds λθ to u, inside the ratio; Keras takes η λ θ off beside it.",
        ),
        example={"name": "lamb", "learning_rate": 1e-3},
    ),
    _keras("lion", "Lion", copies=1)(
        positive("beta_1", 0.9, "share of the momentum in the sign, in (0, 1]", maximum=1),
        decay_rate("beta_2", 0.99, "decay of the momentum, in [0, 1)"),
        description="Steps of one size in the sign of the momentum; wants a rate 3 to 10 times "
        "below Adam's.",
        paper="Chen et al. 2023, NeurIPS",
        summary="steps of one size, the momentum's sign",
        rule="θ ← θ − η sign(β₁ m + (1 − β₁) g);   m ← β₂ m + (1 − β₂) g",
        symbols={"m": "momentum, 0 at first", "β₁, β₂": "beta_1, beta_2"},
        when="Large batches and long trainings, with half of Adam's memory. Small batches make its "
        "signs random.",
        sensible={
            "learning_rate": "3e-6 – 3e-5 to retrain VGG19; 3e-5 – 1e-3 from random weights: a "
            "third to a tenth of Adam's",
            "beta_2": "0.98 – 0.99",
            "weight_decay": "3 to 10 times AdamW's, since it is multiplied by the smaller rate",
        },
        equivalences=("beta_1 1 is the sign of the momentum alone (Signum).",),
        caveats=(_SIGN_STEPS, _DECAY_IS_DECOUPLED),
        example={"name": "lion", "learning_rate": 5e-6},
    ),
    _keras("muon", "Muon", copies=2)(
        decay_rate("adam_beta_1", 0.9, "Adam's first decay, in [0, 1)"),
        decay_rate("adam_beta_2", 0.999, "Adam's second decay, in [0, 1)"),
        number("adam_weight_decay", 0.004, _ADAM_DECAY, minimum=0),
        _EPSILON,
        Argument(
            "exclude_layers", "strings", "layers left to Adam, by pattern", None, optional=True
        ),
        _switch("exclude_embeddings", True, "leave embeddings to Adam"),
        number("muon_a", 3.4445, "first coefficient of the iteration"),
        number("muon_b", -4.775, "second coefficient of the iteration"),
        number("muon_c", 2.0315, "third coefficient of the iteration"),
        positive("adam_lr_ratio", 1.0, "Adam's rate over Muon's"),
        _momentum(0.95),
        whole("ns_steps", 5, "Newton-Schulz iterations", minimum=1),
        _switch("nesterov", True, "look-ahead momentum"),
        positive(
            "rms_rate", 0.2, "root mean square of an update; null: as it comes", optional=True
        ),
        more_state=_one_copy_less_for_matrices,
        weight_decay=weight_decay_argument(0.004),
        description="Orthogonalised momentum for matrices; Adam for every other variable.",
        paper="Jordan et al. 2024; Liu et al. 2025, arXiv 2502.16982",
        summary="orthogonalised momentum for matrices",
        rule="M ← μ M + g;   G = g + μ M   (nesterov: false: G = M)\n"
        "O = the Newton-Schulz iteration on G / ‖G‖, ns_steps times:\n"
        "    X ← a X + (b X Xᵀ + c (X Xᵀ)²) X\n"
        "θ ← θ − η rms_rate √max(rows, columns) · O;   other variables: AdamW's step",
        symbols={"M": "momentum, 0 at first", "μ": "momentum", "a, b, c": "muon_a, muon_b, muon_c"},
        when="Transformers and other networks made of matrices. Hardly for VGG19: see the caveats.",
        sensible={
            "learning_rate": "1e-5 – 1e-4 to retrain VGG19; 1e-4 – 1e-2 from random weights",
            "momentum": "0.9 – 0.95",
            "weight_decay": "0 – 0.1",
        },
        equivalences=("On variables that are no matrix it is AdamW at adam_lr_ratio times η.",),
        caveats=(
            "Keras orthogonalises two-dimensional kernels only: of VGG19, whose convolutions have "
            "four dimensions, that is the head's, and everything else gets AdamW.",
            "Weight decay is on by default, 0.004, for matrices (weight_decay) and for the rest "
            "(adam_weight_decay) alike.",
            "The Newton-Schulz iteration only nearly orthogonalises: singular values end between "
            "about 0.7 and 1.2.",
        ),
        example={"name": "muon", "learning_rate": 2e-5},
        cost_note="Matrices keep 1 copy, all other variables 2.",
    ),
)
