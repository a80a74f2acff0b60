"""The cards of the optimizers around another one: Lookahead and soft batch."""

from collections.abc import Mapping

from optrun.optimizers.cards.card import Card

_SGD: Mapping[str, object] = {"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9}

WRAPPER_CARDS: Mapping[str, Card] = {
    "lookahead": Card(
        summary="slow weights that follow an inner optimizer",
        rule="θ₀ = φ;   θᵢ = A(θᵢ₋₁), i = 1 … k;   φ ← φ + α (θₖ − φ)",
        symbols={
            "θ": "the fast weights, which the gradients are taken at",
            "φ": "the slow weights, which the network is measured on",
            "A": "one update of inner_optimizer",
            "k": "sync_period",
            "α": "slow_step_size",
        },
        when=(
            "Around any optimizer whose validation loss jumps about from epoch to epoch, or whose "
            "rate you cannot tune carefully. The gain is steadiness: less spread between epochs "
            "and seeds, and more room for the rate. Around a tuned optimizer with a decaying rate "
            "the gain at the end of the training is small, often within the noise."
        ),
        sensible={
            "sync_period": "5 – 10",
            "slow_step_size": "0.5 – 0.8",
            "inner_state": "maintain; pullback or reset to study what a sync does to momentum",
        },
        equivalences=(
            "slow_step_size 1 is the inner optimizer, to the last bit, but for inner_state reset.",
            "sync_period 1 is the inner optimizer at slow_step_size times its rate, up to rounding "
            "(SGD with any momentum, Adam, AdamW, AdaGrad).",
            "slow_step_size 0 returns to the first weights at every sync.",
            "The slow weights are a moving average with decay 1 − α of the weights at the ends of "
            "the cycles.",
        ),
        caveats=(
            "The network is evaluated, selected and exported on the slow weights. Between two "
            "syncs the training loss is that of the fast ones.",
            "After the last epoch the updates since the last sync are discarded.",
            "Along a constant gradient it goes slow_step_size times as far as its inner optimizer: "
            "compare the two at the best rate of each.",
            "Rate, clipping and weight decay belong to the inner optimizer and act on the fast "
            "weights.",
            "The paper studies α = 0.5, its authors' code takes 0.8, and Ranger takes k = 6.",
        ),
        example={
            "name": "lookahead",
            "sync_period": 5,
            "slow_step_size": 0.5,
            "inner_optimizer": _SGD,
        },
        cost_note=(
            "inner_state: pullback keeps the momenta of the cycle's start, 1 more. A run of optrun "
            "keeps another, to measure the fast weights too."
        ),
    ),
    "soft_batch": Card(
        summary="one update from several batches' gradients",
        rule="G = Σ Bᵢ gᵢ / Σ Bᵢ,  i = 1 … n, all gᵢ at the same θ;   θ ← A(θ, G)",
        symbols={
            "g": "the gradient of one batch's mean loss",
            "B": "the photos in a batch",
            "n": "batches_per_update",
            "A": "one update of inner_optimizer",
        },
        when=(
            "Where the batch you want does not fit into memory, or to ask what a larger batch does "
            "without changing anything else. It takes as long per photo as small batches do and "
            "makes n times fewer updates: raise the rate with n, or expect slower training."
        ),
        sensible={
            "batches_per_update": "2 – 16",
            "tail": "flush; carry is what Keras' own accumulation does",
        },
        equivalences=(
            "n batches of B photos are one batch of n · B, up to rounding, where no layer draws at "
            "random (dropout: other masks, the same expectation) or looks across the batch (batch "
            "normalisation). Batches of unequal size are weighted by their photos.",
            "batches_per_update 1 is the inner optimizer, to the last bit.",
        ),
        caveats=(
            "Weights and momenta stand still inside a window; schedules, momenta and bias "
            "corrections count updates, not batches. Keras' gradient_accumulation_steps hands the "
            "schedule the count of batches, so it runs n times too fast.",
            "With tail: flush the last update of an epoch may be made of fewer batches: it is "
            "their mean, as noisy as they are few.",
            "Optimizers that take several gradients per step cannot stand inside it: their later "
            "gradients would need the window's earlier batches again.",
        ),
        example={"name": "soft_batch", "batches_per_update": 4, "inner_optimizer": _SGD},
    ),
}
