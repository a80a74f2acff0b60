"""What a person should be told at the end of an epoch: each matter once, when it first shows."""

from collections.abc import Callable, Sequence

from optrun.runner.engine.scores import stuck_at_chance
from optrun.runner.events import EpochRecord

_MOSTLY = 0.9  # of the updates, which in float16 lack a few while the loss scale is found


def advice(records: Sequence[EpochRecord], planned_updates: Callable[[int], int]) -> str | None:
    """Of a training's records so far; `planned_updates` are those of its first so many epochs."""

    def skips(one: EpochRecord) -> bool:
        return one.updates < _MOSTLY * planned_updates(one.epoch)

    def is_stuck(one: EpochRecord) -> bool:
        return stuck_at_chance(one.training_loss, epoch=one.epoch)

    *before, last = records
    if skips(last):
        if any(map(skips, before)):
            return None
        planned = planned_updates(last.epoch)
        return (
            f"epoch {last.epoch}: {planned - last.updates:,} of {planned:,} updates were skipped, "
            "since their gradients overflow in float16. Train in another precision "
            "(training.precision: mixed_bfloat16 or float32), or with smaller gradients"
        )
    if is_stuck(last) and not any(map(is_stuck, before)):
        return (
            f"epoch {last.epoch}: the loss is that of guessing (ln 2 = 0.693); the network does "
            "not learn. Try a lower or higher learning rate, pretrained weights (model.weights), "
            "or global_clipnorm: 1.0 in the optimizer"
        )
    return None
