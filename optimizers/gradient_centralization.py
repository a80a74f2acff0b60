"""Gradient centralization: the gradient of each unit's weights is shifted to mean 0."""

import logging
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from optrun.optimizers.keras_internals import key_of, layers_of, own_trained
from optrun.optimizers.wrapper import Wrapper, find, with_several_evaluations

_log = logging.getLogger(__name__)

_COVERED = (keras.layers.Conv2D, keras.layers.Dense)


def centralize(gradient: Any) -> Any:
    """A kernel's gradient minus, for each output unit, its mean over that unit's weights.

    The output units lie along the last axis, in Keras' Dense and Conv2D kernels.

    Example:
        >>> import numpy as np
        >>> print(np.array(centralize([[1.0, 5.0, 0.0], [3.0, 5.0, 2.0]])))
        [[-1.  0. -1.]
         [ 1.  0.  1.]]
    """
    gradient = ops.convert_to_tensor(gradient)
    low = keras.backend.standardize_dtype(gradient.dtype) in ("float16", "bfloat16")
    wide = ops.cast(gradient, "float32") if low else gradient
    fan_in = tuple(range(len(wide.shape) - 1))
    return ops.cast(wide - ops.mean(wide, axis=fan_in, keepdims=True), gradient.dtype)


@keras.saving.register_keras_serializable(package="optimizers")
class GradientCentralization(Wrapper):
    """Centralizes the gradients of Conv2D and Dense kernels before an inner optimizer sees them.

    For the M weights w of one output unit, a filter or a column, with gradient g:

        g ← g − (1 / M) Σᵢ gᵢ

    the projection of g on the directions that leave Σᵢ wᵢ as it is. It comes before clipping,
    moments and weight decay. Biases, and kernels of other layers, keep their gradient.

    Which variables are such kernels is read off the model's layers, once: `optimizers.Model` does
    it by itself, for a plain `keras.Model` call `learn_layers`. Around an optimizer with several
    gradients per step each of them is centralized, and not the decay that the step adds to them.

    Args:
        inner_optimizer: any Keras optimizer, or the name of one for its defaults; rate, clipping
            and decay belong to it. Refused are LossScaleOptimizer, another GradientCentralization
            and `gradient_accumulation_steps`.

    Source: Yong, Huang, Hua & Zhang, "Gradient Centralization: A New Optimization Technique for
    Deep Neural Networks", ECCV 2020, section 3 (https://arxiv.org/abs/2004.01461).

    Example:
        >>> import keras
        >>> import numpy as np
        >>> layer = keras.layers.Dense(1, kernel_initializer="ones")
        >>> model = keras.Sequential([keras.Input((2,)), layer])
        >>> optimizer = GradientCentralization(keras.optimizers.SGD(0.1))
        >>> optimizer.learn_layers(model)
        >>> optimizer.apply([np.array([[1.0], [3.0]]), np.array([2.0])], model.trainable_variables)
        >>> print(np.array(layer.kernel).ravel(), np.array(layer.bias))
        [1.1 0.9] [-0.2]
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer | str,
        name: str | None = None,
        **unsupported: Any,
    ) -> None:
        super().__init__(inner_optimizer, name=name, unsupported=unsupported)
        self._kernels: frozenset[str] = frozenset()
        self._known: frozenset[str] = frozenset()

    def _reason_against(self, inner_optimizer: keras.optimizers.Optimizer) -> str | None:
        if find(inner_optimizer, GradientCentralization) is not None:
            return (
                "the gradient is centralized already, and doing it again changes nothing: use one"
            )
        return super()._reason_against(inner_optimizer)

    def learn_layers(self, model: keras.Model) -> None:
        """Take from a built model's layers, of nested models too, which variables to centralize."""
        if not model.weights:
            raise ValueError(
                f"GradientCentralization reads the layers of a built model, and '{model.name}' has "
                "no weights yet: call it on a batch, or its `build`, first."
            )
        layers = [one for one in layers_of(model) if isinstance(one, _COVERED) and one.built]
        kernels = [one.kernel for one in layers]
        # With LoRA, `kernel` is a sum of variables, none of which is the kernel.
        self._kernels = frozenset(
            key_of(self, one) for one in kernels if isinstance(one, keras.Variable)
        )
        self._known = frozenset(key_of(self, one) for one in model.weights)
        others = [
            one.path
            for one in model.trainable_variables
            if len(one.shape) > 1 and key_of(self, one) not in self._kernels
        ]
        if others:
            _log.warning(
                "Gradient centralization covers the kernels of Conv2D and Dense layers. "
                "Left as they are: %s.",
                ", ".join(others),
            )

    def knows(self, variables: Sequence[Any]) -> bool:
        return all(key_of(self, one) in self._known for one in variables)

    def centralized(self, gradients: Sequence[Any], variables: Sequence[Any]) -> list[Any]:
        """The gradients of these variables, those of the kernels among them centralized.

        A training loop around an optimizer with several gradients per step calls it on each of
        them, without any loss scale.
        """
        self._check_known(variables)
        return [
            gradient
            if gradient is None or key_of(self, variable) not in self._kernels
            else centralize(gradient)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]

    def _check_known(self, variables: Sequence[Any]) -> None:
        if not self.knows(variables):
            raise ValueError(
                "GradientCentralization does not know which layers these variables belong to: "
                "train with `optimizers.Model` in place of `keras.Model` (a subclass of it), or "
                "call `learn_layers(model)` of this optimizer before training."
            )

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        if len(grads) == 0:
            return
        self._build_on_first_use(trainable_variables)
        variables = list(trainable_variables or own_trained(self))
        if with_several_evaluations(self.inner_optimizer) is None:
            grads = self.centralized(grads, variables)
        else:  # combined of gradients that were centralized, and with the weight decay in it
            self._check_known(variables)
        self.inner_optimizer.apply(grads, trainable_variables=trainable_variables)
