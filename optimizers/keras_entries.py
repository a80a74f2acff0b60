"""The optimizers of Keras 3.15: what each takes, its bounds and its defaults.

The arguments and defaults are those of the classes; a test compares them with the signatures.
"""

from collections.abc import Mapping
from types import MappingProxyType

from optrun.optimizers.entry import GRADIENT_CENTRALIZATION, LEARNING_RATE, Argument, Entry

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "lr": "learning_rate",
        "eta": "learning_rate",
        "step_size": "learning_rate",
        "mu": "momentum",
        "beta1": "beta_1",
        "b1": "beta_1",
        "beta2": "beta_2",
        "b2": "beta_2",
        "eps": "epsilon",
        "decay": "weight_decay",
        "wd": "weight_decay",
        "clip_norm": "clipnorm",
        "clip_value": "clipvalue",
        "global_clip_norm": "global_clipnorm",
        "gc": "gradient_centralization",
        "use_gc": "gradient_centralization",
    }
)

WITHHELD: Mapping[str, str] = MappingProxyType(
    {
        "gradient_accumulation_steps": "Keras hands the schedule the count of batches, not of "
        "updates, and lets a partial window cross the epoch's end: use the optimizer `soft_batch`",
        "use_ema": "validation would measure other weights than the averaged ones",
        "ema_momentum": "it belongs to `use_ema`, which is not offered",
        "ema_overwrite_frequency": "it belongs to `use_ema`, which is not offered",
        "loss_scale_factor": "under mixed_float16 Keras scales the loss by itself",
        "name": "it only names the variables",
    }
)


def _float(name: str, default: float | None, description: str, **bounds: object) -> Argument:
    return Argument(name, "float", description, default, **bounds)  # type: ignore[arg-type]


def decay_rate(name: str, default: float, description: str) -> Argument:
    """A decay rate of a moving average, in [0, 1)."""
    return _float(name, default, description, minimum=0, maximum=1, maximum_excluded=True)


def positive(name: str, default: float | None, description: str, **more: object) -> Argument:
    """A number greater than 0."""
    return _float(name, default, description, minimum=0, minimum_excluded=True, **more)


def _switch(name: str, default: bool, description: str) -> Argument:
    return Argument(name, "bool", description, default)


def _momentum(default: float) -> Argument:
    return _float(
        "momentum", default, "share of the last step kept, in [0, 1]", minimum=0, maximum=1
    )


def weight_decay_argument(default: float | None, *, optional: bool = True) -> Argument:
    """The weight decay of Keras' base class; AdamW alone refuses null."""
    return _float(
        "weight_decay",
        default,
        "decoupled decay: each update takes learning_rate times this share off every weight",
        minimum=0,
        optional=optional,
    )


CLIPPING = (
    positive("clipnorm", None, "largest norm of each variable's gradient", optional=True),
    positive("clipvalue", None, "largest magnitude of a gradient's elements", optional=True),
    positive("global_clipnorm", None, "largest norm of all gradients together", optional=True),
)
_EPSILON = positive("epsilon", 1e-7, "keeps the division finite")
_BETAS = (
    decay_rate("beta_1", 0.9, "decay of the first moment, in [0, 1)"),
    decay_rate("beta_2", 0.999, "decay of the second moment, in [0, 1)"),
)
_AMSGRAD = _switch("amsgrad", False, "divide by the largest second moment seen so far")


def _keras(
    name: str,
    class_name: str,
    description: str,
    paper: str,
    *arguments: Argument,
    copies: int,
    weight_decay: float | None = None,
) -> Entry:
    return Entry(
        name=name,
        class_name=class_name,
        module="keras.optimizers",
        description=description,
        paper=paper,
        arguments=(
            LEARNING_RATE,
            *arguments,
            weight_decay_argument(weight_decay, optional=name != "adamw"),
            *CLIPPING,
            GRADIENT_CENTRALIZATION,
        ),
        extra_weight_copies=copies,
        aliases=ALIASES,
        withheld=WITHHELD,
    )


KERAS_ENTRIES: tuple[Entry, ...] = (
    _keras(
        "sgd",
        "SGD",
        "Gradient descent; with momentum (heavy ball) or Nesterov's look-ahead point.",
        "Robbins & Monro 1951; Polyak 1964; Nesterov 1983",
        _momentum(0.0),
        _switch("nesterov", False, "evaluate the gradient at the look-ahead point"),
        copies=0,
    ),
    _keras(
        "adam",
        "Adam",
        "Steps scaled per weight by moving averages of the gradient and of its square.",
        "Kingma & Ba 2015, ICLR",
        *_BETAS,
        _EPSILON,
        _AMSGRAD,
        copies=2,
    ),
    _keras(
        "adamw",
        "AdamW",
        "Adam with weight decay taken out of the gradient.",
        "Loshchilov & Hutter 2019, ICLR",
        *_BETAS,
        _EPSILON,
        _AMSGRAD,
        copies=2,
        weight_decay=0.004,
    ),
    _keras(
        "adamax",
        "Adamax",
        "Adam with the largest recent gradient in place of the second moment.",
        "Kingma & Ba 2015, ICLR, section 7",
        *_BETAS,
        _EPSILON,
        copies=2,
    ),
    _keras(
        "nadam",
        "Nadam",
        "Adam with Nesterov's momentum.",
        "Dozat 2016, ICLR workshop",
        *_BETAS,
        _EPSILON,
        copies=2,
    ),
    _keras(
        "adagrad",
        "Adagrad",
        "Steps scaled per weight by the sum of all squared gradients so far.",
        "Duchi, Hazan & Singer 2011, JMLR 12",
        _float("initial_accumulator_value", 0.1, "start of that sum", minimum=0),
        _EPSILON,
        copies=1,
    ),
    _keras(
        "adadelta",
        "Adadelta",
        "Steps scaled per weight by the ratio of recent updates to recent gradients.",
        "Zeiler 2012, arXiv 1212.5701",
        decay_rate("rho", 0.95, "decay of both averages, in [0, 1)"),
        _EPSILON,
        copies=2,
    ),
    _keras(
        "rmsprop",
        "RMSprop",
        "Steps scaled per weight by a moving average of the squared gradient.",
        "Tieleman & Hinton 2012, Coursera lecture 6.5",
        decay_rate("rho", 0.9, "decay of the average, in [0, 1)"),
        _momentum(0.0),
        _EPSILON,
        _switch("centered", False, "subtract the squared mean of the gradient: its variance"),
        copies=1,
    ),
    _keras(
        "ftrl",
        "Ftrl",
        "Follow the regularised leader: per-weight rates with L1 and L2 shrinkage.",
        "McMahan et al. 2013, KDD",
        _float("learning_rate_power", -0.5, "power of the accumulated squares", maximum=0),
        _float("initial_accumulator_value", 0.1, "start of the sum of squares", minimum=0),
        _float("l1_regularization_strength", 0.0, "L1 penalty", minimum=0),
        _float("l2_regularization_strength", 0.0, "L2 penalty, stabilising", minimum=0),
        _float("l2_shrinkage_regularization_strength", 0.0, "L2 penalty on the size", minimum=0),
        _float("beta", 0.0, "the paper's β, added to the root of the sum", minimum=0),
        copies=2,
    ),
    _keras(
        "adafactor",
        "Adafactor",
        "Adam's second moment kept as one value per row and column instead of per weight.",
        "Shazeer & Stern 2018, ICML",
        _float("beta_2_decay", -0.8, "power of the step count in the decay rate", maximum=0),
        positive("epsilon_1", 1e-30, "keeps the squared gradient above 0"),
        positive("epsilon_2", 1e-3, "smallest scale of a variable"),
        positive("clip_threshold", 1.0, "largest root mean square of an update"),
        _switch("relative_step", True, "bound a constant rate by 1 / sqrt(update)"),
        copies=1,
    ),
    _keras(
        "lamb",
        "Lamb",
        "Adam with each layer's step scaled to the norm of its weights, for large batches.",
        "You et al. 2020, ICLR",
        *_BETAS,
        _EPSILON,
        copies=2,
    ),
    _keras(
        "lion",
        "Lion",
        "Steps of one size in the sign of the momentum; wants a rate 3 to 10 times below Adam's.",
        "Chen et al. 2023, NeurIPS",
        _float(
            "beta_1",
            0.9,
            "share of the momentum in the sign, in (0, 1]",
            minimum=0,
            maximum=1,
            minimum_excluded=True,
        ),
        decay_rate("beta_2", 0.99, "decay of the momentum, in [0, 1)"),
        copies=1,
    ),
    _keras(
        "muon",
        "Muon",
        "Orthogonalised momentum for matrices; Adam for every other variable.",
        "Jordan et al. 2024; Liu et al. 2025, arXiv 2502.16982",
        decay_rate("adam_beta_1", 0.9, "Adam's first decay, in [0, 1)"),
        decay_rate("adam_beta_2", 0.999, "Adam's second decay, in [0, 1)"),
        _float(
            "adam_weight_decay",
            0.004,
            "decoupled decay of the variables left to Adam, as weight_decay is of the others",
            minimum=0,
        ),
        _EPSILON,
        Argument(
            "exclude_layers", "strings", "layers left to Adam, by pattern", None, optional=True
        ),
        _switch("exclude_embeddings", True, "leave embeddings to Adam"),
        _float("muon_a", 3.4445, "first coefficient of the iteration"),
        _float("muon_b", -4.775, "second coefficient of the iteration"),
        _float("muon_c", 2.0315, "third coefficient of the iteration"),
        positive("adam_lr_ratio", 1.0, "Adam's rate over Muon's"),
        _momentum(0.95),
        Argument("ns_steps", "int", "Newton-Schulz iterations", 5, minimum=1),
        _switch("nesterov", True, "look-ahead momentum"),
        positive(
            "rms_rate", 0.2, "root mean square of an update; null: as it comes", optional=True
        ),
        copies=2,
        weight_decay=0.004,
    ),
)
