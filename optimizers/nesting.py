"""Which optimizer makes no sense around which, and why. Imports no Keras.

The reasons are stated once, for specifications and for the classes.
"""

LOOKAHEAD_IN_LOOKAHEAD = (
    "Lookahead around Lookahead keeps two sets of slow weights, and nothing says which of them the "
    "network is measured on: use one, with the period and step you want"
)
RANGER_IN_LOOKAHEAD = (
    "Ranger is Lookahead around RAdam already: state `sync_period` and `slow_step_size` in it, or "
    "put radam inside"
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
CENTRALIZATION_IN_CENTRALIZATION = (
    "the gradient is centralized already, and doing it again changes nothing: use one"
)
EMA_INSIDE_LOOKAHEAD = (
    "its use_ema keeps an average of its own, which would overwrite the weights that the slow "
    "weights follow: Lookahead's slow weights are the average"
)
SEVERAL_CORES_INSIDE = (
    "each of its optimizers has a count and a state of its own: use inner_state 'maintain'"
)
MOMENTUM_ABSENT = (
    "it keeps none. Use inner_state 'maintain' or 'reset', or an inner optimizer with a momentum"
)

_NEVER_A_MOMENTUM = (
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "BogackiShampine",
    "DormandPrince",
    "Ftrl",
    "Heun",
)
_MOMENTUM_IF_STATED = ("RMSprop", "SGD")


def reason_against_pullback(class_name: str, *, momentum: object) -> str | None:
    """Why a sync of Lookahead cannot pull back the momentum of such an optimizer, or None.

    None for a class that is not known here: whether it has one shows once it is built.

    Args:
        class_name: the innermost optimizer's class.
        momentum: its argument of that name, if it has one.

    Example:
        >>> reason_against_pullback("SGD", momentum=0.9) is None
        True
        >>> reason_against_pullback("SGD", momentum=0.0)
        'there is no momentum to pull back without a `momentum` greater than 0: state it in SGD'
    """
    if class_name in _MOMENTUM_IF_STATED and not momentum:
        return (
            "there is no momentum to pull back without a `momentum` greater than 0: state it in "
            f"{class_name}"
        )
    if class_name in _NEVER_A_MOMENTUM:
        return f"there is no momentum of {class_name} to pull back: {MOMENTUM_ABSENT}"
    return None


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
        return {
            "lookahead": LOOKAHEAD_IN_LOOKAHEAD,
            "ranger": RANGER_IN_LOOKAHEAD,
            "soft_batch": SOFT_BATCH_IN_LOOKAHEAD,
        }.get(inner)
    if outer == "soft_batch":
        if inner == "soft_batch":
            return SOFT_BATCH_IN_SOFT_BATCH
        if inner_evaluations > 1:
            return SEVERAL_EVALUATIONS_IN_SOFT_BATCH
    return None
