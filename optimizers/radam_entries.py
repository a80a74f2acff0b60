"""RAdam, and Ranger around it."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from optrun.optimizers.entry import GRADIENT_CENTRALIZATION, LEARNING_RATE, Argument, Entry
from optrun.optimizers.keras_entries import (
    ALIASES,
    CLIPPING,
    WITHHELD,
    decay_rate,
    positive,
    weight_decay_argument,
)
from optrun.optimizers.wrapper_entries import SYNC_ALIASES, TRACKING_WITHHELD

_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **ALIASES,
        "sma_threshold": "threshold",
        "rho_threshold": "threshold",
        "n_sma_threshold": "threshold",
        "N_sma_threshold": "threshold",
        "N_sma_threshhold": "threshold",
        "degenerated_to_sgd": "unadapted_steps",
        "degenerate_to_sgd": "unadapted_steps",
    }
)
_WITHHELD: Mapping[str, str] = MappingProxyType(
    {**WITHHELD, "betas": "state the two numbers as `beta_1` and `beta_2`"}
)


def reason_never_adapted(beta_2: float, threshold: float) -> str | None:
    """Why RAdam with these would never adapt a step; None where it does.

    The moving average is no longer than ρ∞ = 2 / (1 − β₂) − 1 gradients.

    Example:
        >>> reason_never_adapted(0.5, threshold=5)
        'must be greater than 0.666667 for a threshold of 5, or no step is ever adapted'
    """
    if 2 / (1 - beta_2) - 1 > threshold:
        return None
    return (
        f"must be greater than {(threshold - 1) / (threshold + 1):.6g} for a threshold of "
        f"{threshold:g}, or no step is ever adapted"
    )


def _core(beta_1: float, epsilon: float) -> tuple[Argument, ...]:
    return (
        LEARNING_RATE,
        decay_rate("beta_1", beta_1, "decay of the first moment, in [0, 1)"),
        decay_rate(
            "beta_2",
            0.999,
            "decay of the second moment, in [0, 1); above 2/3 for a threshold of 5",
        ),
        positive(
            "epsilon", epsilon, "added to the root of the second moment, before its bias correction"
        ),
        Argument(
            "threshold",
            "float",
            "length ρ of the moving average above which steps are adapted; the paper has 4",
            5.0,
            minimum=4,
        ),
        Argument(
            "unadapted_steps",
            "choice",
            "what the updates before do: sgd (a step of plain momentum) or skip (none)",
            "sgd",
            choices=("sgd", "skip"),
        ),
        weight_decay_argument(None),
        *CLIPPING,
    )


RADAM_ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="radam",
        class_name="RAdam",
        module="optrun.optimizers.radam",
        description="Adam with its first steps held back until their variance is known.",
        paper="Liu et al. 2020, ICLR, algorithm 2",
        arguments=(*_core(beta_1=0.9, epsilon=1e-7), GRADIENT_CENTRALIZATION),
        extra_weight_copies=2,
        aliases=_ALIASES,
        withheld=_WITHHELD,
    ),
    Entry(
        name="ranger",
        class_name="Ranger",
        module="optrun.optimizers.ranger",
        description="Lookahead around RAdam, on centralized gradients.",
        paper="Wright 2019, version 20.4.11; Yong et al. 2020; Liu et al. 2020; Zhang et al. 2019",
        arguments=(
            *_core(beta_1=0.95, epsilon=1e-5),
            Argument(
                "sync_period", "int", "updates between two syncs (Lookahead's k)", 6, minimum=1
            ),
            Argument(
                "slow_step_size",
                "float",
                "share of the way to the fast weights that a sync goes (Lookahead's α)",
                0.5,
                minimum=0,
                maximum=1,
            ),
            replace(GRADIENT_CENTRALIZATION, default=True, of_class=True),
        ),
        extra_weight_copies=3,
        aliases=MappingProxyType(
            {
                **_ALIASES,
                **SYNC_ALIASES,
            }
        ),
        withheld=MappingProxyType(
            {
                **_WITHHELD,
                **TRACKING_WITHHELD,
                "inner_optimizer": "RAdam is inside: for another, put it inside `lookahead` with "
                "`gradient_centralization: true`",
                "inner_state": "a sync keeps RAdam's moments: for another choice, put `radam` "
                "inside `lookahead`",
            }
        ),
    ),
)
