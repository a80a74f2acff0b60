"""The base of every optimizer that takes more than one gradient for one step."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

GradientAt = Callable[[Sequence[Any] | None], Sequence[Any]]


def scaled_by(gradients: Sequence[Any], factor: Any) -> list[Any]:
    """Each times a factor; the number 1.0 leaves them as they are, and None stays None."""
    if isinstance(factor, float) and factor == 1:
        return list(gradients)
    return [None if one is None else one * ops.cast(factor, one.dtype) for one in gradients]


class SeveralGradients(keras.optimizers.Optimizer):  # type: ignore[misc]
    """An optimizer whose step combines gradients of one batch at several points.

    A subclass states `evaluations` and defines `step`, which asks for the gradients g at the
    weights θ and at points of its choice, and returns their combination d; the update is
    θ ← θ − h d, unless the subclass defines another `update_step`. `optimizers.Model` runs it: all
    gradients are of the same batch, with the same dropout masks, and under tf.distribute each is
    summed over the replicas before the next point is chosen.

    Args:
        learning_rate: the step size h, a float greater than 0 or a schedule.
        weight_decay, ..., more: as for any Keras optimizer; decay and clipping act on the combined
            gradient.

    Example:
        The extragradient step (Korpelevich 1976) goes along the gradient one plain step ahead. On
        θ² / 2 it multiplies θ by 1 − h + h².

        >>> import keras
        >>> class Extragradient(SeveralGradients):
        ...     evaluations = 2
        ...
        ...     def step(self, gradient_at, variables):
        ...         here = gradient_at(None)
        ...         rate = self.learning_rate
        ...         return gradient_at([w - rate * g for w, g in zip(variables, here)])
        >>> weight = keras.Variable(1.0)
        >>> optimizer = Extragradient(0.5)
        >>> combined = optimizer.step(
        ...     lambda probe: [weight.value] if probe is None else probe, [weight]
        ... )
        >>> with optimizer.combined_gradient():
        ...     optimizer.apply(combined, [weight])
        >>> float(weight.value)
        0.75
    """

    evaluations: int  # gradients in one step, 2 or more; a class attribute or a property

    def __init__(
        self,
        learning_rate: Any = 0.01,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name=name, **more
        )
        # A property may need what the subclass sets after this.
        stated = getattr(type(self), "evaluations", None)
        if isinstance(stated, property):
            stated = 2
        if isinstance(stated, bool) or not isinstance(stated, int) or stated < 2:
            own = type(self).__name__
            raise TypeError(
                f"{own} must state how many gradients its step takes, 2 or more, as a class "
                f"attribute such as `evaluations = 2`. Received: evaluations={stated!r}. With one "
                "gradient per step, derive it from keras.optimizers.Optimizer."
            )
        self._open_steps = 0

    def step(self, gradient_at: GradientAt, variables: Sequence[Any]) -> Sequence[Any]:
        """The combined gradient of one step, to be applied inside `combined_gradient`.

        `gradient_at`, to be called `evaluations` times, first with None, gives the gradient of the
        batch's loss, without any loss scale: at a list of tensors that stand in for the variables,
        of their shapes and dtypes, or for None at the variables as they are. What it and this
        return has one tensor per variable, or None where the loss does not depend on it. The
        variables are to be read, not written.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define `step(self, gradient_at, variables)`, which "
            "returns the combined gradient."
        )

    @contextmanager
    def combined_gradient(self) -> Iterator[None]:
        """Where `apply`, of this optimizer or one around it, is given what `step` returned."""
        # A count, since under tf.distribute the replicas' threads are in here at the same time.
        self._open_steps += 1
        try:
            yield
        finally:
            self._open_steps -= 1

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Go one step along a combined gradient; ValueError outside `combined_gradient`."""
        if self._open_steps == 0:
            own = type(self).__name__
            raise ValueError(
                f"{own} takes {self.evaluations} gradients for one step and was given one: train "
                f"with `optimizers.Model` in place of `keras.Model` (a subclass of it). In a loop "
                f"of your own, pass what `{own}.step` returns, inside `{own}.combined_gradient()`."
            )
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        rate = ops.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, rate * ops.cast(gradient, variable.dtype))
