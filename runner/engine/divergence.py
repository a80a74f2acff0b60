"""A training that can't go on: a number of it is no longer finite."""

from collections.abc import Mapping


class Diverged(Exception):
    """The loss, or a weight, stopped being a finite number.

    Step (over the whole run) and epoch count from 1; `last_finite` are the last values that were
    finite, by name, and the step or epoch they are of.

    >>> str(Diverged("the loss", step=7, epoch=1, last_finite={"training_loss": 88.25, "step": 6}))
    'the loss is not finite at step 7, in epoch 1; before: training loss 88.25, step 6'
    """

    def __init__(
        self, what: str, *, step: int, epoch: int, last_finite: Mapping[str, float]
    ) -> None:
        told = ", ".join(
            f"{name.replace('_', ' ')} {value:{',' if isinstance(value, int) else '.4g'}}"
            for name, value in last_finite.items()
        )
        before = f"; before: {told}" if told else ""
        super().__init__(f"{what} is not finite at step {step:,}, in epoch {epoch:,}{before}")
        # What run.json keeps of it.
        self.facts = {"step": step, "epoch": epoch, "last_finite": dict(last_finite)}
