"""Which optimizer makes no sense around which, and why. Imports no Keras.

The reasons are stated once, for specifications and for the classes.
"""

LOOKAHEAD_IN_LOOKAHEAD = (
    "Lookahead around Lookahead keeps two sets of slow weights, and nothing says which of them the "
    "network is measured on: use one, with the period and step you want"
)
SOFT_BATCH_IN_LOOKAHEAD = (
    "Lookahead counts updates, and a soft batch inside it makes none for most batches: put the "
    "soft batch outside, around Lookahead"
)
LOSS_SCALE_INSIDE = (
    "a loss scale inside would skip batches that the wrapper around it has counted: put "
    "LossScaleOptimizer outermost, as Keras does by itself under mixed_float16"
)
SOFT_BATCH_IN_SOFT_BATCH = (
    "a soft batch of soft batches is one soft batch: multiply the two `batches_per_update`"
)
SEVERAL_EVALUATIONS_IN_SOFT_BATCH = (
    "its later gradients are taken on the same batch as its first, and a soft batch no longer has "
    "its earlier batches: use a larger batch instead"
)
ACCUMULATION_INSIDE = (
    "its gradient_accumulation_steps count batches as updates: wrap it in SoftBatch instead, "
    "outermost"
)
EMA_INSIDE_LOOKAHEAD = (
    "its use_ema keeps an average of its own, which would overwrite the weights that the slow "
    "weights follow: Lookahead's slow weights are the average"
)


def reason_against(outer: str, inner: str, *, inner_evaluations: int) -> str | None:
    """Why the optimizer `inner` cannot stand directly inside `outer`; None where it can.

    Args:
        outer: registry name of the wrapper.
        inner: registry name of what it would wrap.
        inner_evaluations: gradient evaluations per step of the inner one, itself unwrapped.

    Example:
        >>> reason_against("lookahead", "adam", inner_evaluations=1) is None
        True
        >>> reason_against("soft_batch", "heun", inner_evaluations=2)
        'its later gradients are taken on the same batch as its first, ...'
    """
    if outer == "lookahead":
        return {"lookahead": LOOKAHEAD_IN_LOOKAHEAD, "soft_batch": SOFT_BATCH_IN_LOOKAHEAD}.get(
            inner
        )
    if outer == "soft_batch":
        if inner == "soft_batch":
            return SOFT_BATCH_IN_SOFT_BATCH
        if inner_evaluations > 1:
            return SEVERAL_EVALUATIONS_IN_SOFT_BATCH
    return None
