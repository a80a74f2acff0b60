"""The cards of Keras' optimizers that look at a whole variable: Adafactor, LAMB, Muon."""

from collections.abc import Mapping

from optrun.optimizers.cards.card import Card
from optrun.optimizers.cards.classic import DECAY_IS_DECOUPLED, MOMENT_SYMBOLS, MOMENTS

STRUCTURED_CARDS: Mapping[str, Card] = {
    "adafactor": Card(
        summary="Adam's scale from row and column means",
        rule=(
            "β = 1 − t^beta_2_decay;   G = g² + ε₁\n"
            "r ← β r + (1 − β) mean of G over columns;   c likewise over rows\n"
            "v = r cᵀ / mean(r)   (vectors: v ← β v + (1 − β) G)\n"
            "u = g / √v;   u ← u / max(1, RMS(u) / clip_threshold)\n"
            "θ ← θ − max(ε₂, RMS(θ)) · min(η, 1/√t) · u"
        ),
        symbols={
            "ε₁, ε₂": "epsilon_1, epsilon_2",
            "RMS": "root mean square over the variable",
        },
        when=(
            "Very large embeddings and transformers. The rate is relative: each variable moves "
            "that share of its own size, which suits layers of different scale."
        ),
        sensible={
            "learning_rate": "1e-4 – 1e-2, relative to the size of the weights",
            "clip_threshold": "1",
        },
        equivalences=("relative_step changes nothing here: the step is bounded by 1/√t anyway.",),
        caveats=(
            "Keras keeps v at full size beside its rows and columns: it saves no memory against "
            "Adam without momentum.",
            "Biases and other weights near 0 move ε₂ times the rate, a thousandth of it.",
            DECAY_IS_DECOUPLED,
        ),
        example={"name": "adafactor", "learning_rate": 1e-3},
        cost_note="A row and a column for each matrix besides.",
    ),
    "lamb": Card(
        summary="Adam's direction, scaled to each layer",
        rule=(
            MOMENTS
            + "u = (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)\n"
            + "θ ← θ − η ‖θ‖ / ‖u‖ · u   (‖θ‖ / ‖u‖ is 1 where one of them is 0)"
        ),
        symbols={**MOMENT_SYMBOLS, "‖ ‖": "norm over the variable"},
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
    "muon": Card(
        summary="orthogonalised momentum for matrices",
        rule=(
            "M ← μ M + g;   G = g + μ M   (nesterov: false: G = M)\n"
            "O = the Newton-Schulz iteration on G / ‖G‖, ns_steps times:\n"
            "    X ← a X + (b X Xᵀ + c (X Xᵀ)²) X\n"
            "θ ← θ − η rms_rate √max(rows, columns) · O;   other variables: AdamW's step"
        ),
        symbols={
            "M": "momentum, 0 at first",
            "μ": "momentum",
            "a, b, c": "muon_a, muon_b, muon_c",
        },
        when=(
            "Transformers and other networks made of matrices. Hardly for VGG19: see the caveats."
        ),
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
}
