"""The optimizers around another one: Lookahead and soft batch."""

from collections.abc import Mapping
from types import MappingProxyType

from optrun.optimizers.entry import Argument, Entry

_RATE_BELONGS_INSIDE = "it belongs to the inner optimizer: state it under `inner_optimizer`"
_WRAPPER_WITHHELD: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        (
            "learning_rate",
            "lr",
            "momentum",
            "weight_decay",
            "clipnorm",
            "clipvalue",
            "global_clipnorm",
            "gradient_centralization",
        ),
        _RATE_BELONGS_INSIDE,
    )
)
# Withheld by every optimizer with Lookahead in it: `build` gives it to those.
TRACKING_WITHHELD: Mapping[str, str] = MappingProxyType(
    {"track_fast_weights": "a run asks for it by itself, to measure the fast weights too"}
)
_INNER_ALIASES = dict.fromkeys(("inner", "optimizer", "base_optimizer"), "inner_optimizer")

SYNC_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "k": "sync_period",
        "la_steps": "sync_period",
        "alpha": "slow_step_size",
        "la_alpha": "slow_step_size",
    }
)

WRAPPER_ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="lookahead",
        class_name="Lookahead",
        module="optrun.optimizers.lookahead",
        description="Slow weights follow an inner optimizer, a share of the way every few updates.",
        paper="Zhang, Lucas, Hinton & Ba 2019, NeurIPS, algorithm 1",
        arguments=(
            Argument("inner_optimizer", "optimizer", "moves the fast weights", required=True),
            Argument(
                "sync_period",
                "int",
                "updates of the inner optimizer between two syncs (the paper's k)",
                5,
                minimum=1,
                label="sync",
            ),
            Argument(
                "slow_step_size",
                "float",
                "share of the way to the fast weights that a sync goes (the paper's α)",
                0.5,
                minimum=0,
                maximum=1,
                label="slow",
            ),
            Argument(
                "inner_state",
                "choice",
                "what a sync does with the inner optimizer's state: maintain (nothing), reset (to "
                "its start, bias corrections too; schedules go on) or pullback (momenta go the "
                "same share of the way as the weights)",
                "maintain",
                choices=("maintain", "reset", "pullback"),
            ),
        ),
        extra_weight_copies=1,
        aliases=MappingProxyType(
            {
                **SYNC_ALIASES,
                "slow_step": "slow_step_size",
                **_INNER_ALIASES,
            }
        ),
        withheld=MappingProxyType({**_WRAPPER_WITHHELD, **TRACKING_WITHHELD}),
    ),
    Entry(
        name="soft_batch",
        class_name="SoftBatch",
        module="optrun.optimizers.soft_batch",
        description="One update of an inner optimizer from the gradients of several batches.",
        paper="gradient accumulation, common practice",
        arguments=(
            Argument("inner_optimizer", "optimizer", "takes the mean gradient", required=True),
            Argument(
                "batches_per_update",
                "int",
                "batches whose gradients are averaged into one update",
                required=True,
                minimum=1,
                label="batches",
            ),
            Argument(
                "tail",
                "choice",
                "what becomes of the batches left over at an epoch's end: flush (an update of "
                "their own), carry (into the next epoch) or drop",
                "flush",
                choices=("flush", "carry", "drop"),
            ),
        ),
        extra_weight_copies=1,
        aliases=MappingProxyType(
            {
                "n": "batches_per_update",
                "steps": "batches_per_update",
                "accumulate": "batches_per_update",
                "accumulation_steps": "batches_per_update",
                "gradient_accumulation_steps": "batches_per_update",
                **_INNER_ALIASES,
            }
        ),
        withheld=_WRAPPER_WITHHELD,
    ),
)
