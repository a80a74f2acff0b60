"""Gradients recorded once, fed to an optimizer and to its reference."""

import keras
import numpy as np
from optrun.optimizers import GradientCentralization, Model
from optrun.optimizers.wrapper import find, with_several_evaluations

SHAPES = ((3, 2, 2, 3), (3, 4), (4,))


def layers_of_every_shape(dtype="float32"):
    """A model with a kernel of four axes, a matrix and a bias, at fixed weights."""
    inputs = keras.Input((6, 6, 2))
    hidden = keras.layers.Conv2D(3, (3, 2), use_bias=False, dtype=dtype)(inputs)
    pooled = keras.layers.GlobalAveragePooling2D(dtype=dtype)(hidden)
    model = Model(inputs, keras.layers.Dense(4, dtype=dtype)(pooled))
    model.set_weights(start())
    return model


def prepare(optimizer, model):
    """Build an optimizer for a model that no `fit` trains."""
    centralization = find(optimizer, GradientCentralization)
    if centralization is not None:
        centralization.learn_layers(model)
    optimizer.build(model.trainable_variables)


def start():
    return _drawn(0.5, seed=1)


def _drawn(scale, seed):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape) * scale for shape in SHAPES]


class Recording:
    """The gradients of steps 0, 1, 2, ..., float64.

    Args:
        steepness: 0, or for steps of several gradients the factor of a part that depends on where
            the gradient is taken, so that the stages differ.
    """

    def __init__(self, steepness=0.0):
        self.steepness = steepness

    def of(self, step):
        """A function from weights to gradients, for arrays and tensors."""
        fixed = _drawn(0.3, seed=100 + step)

        def gradient_at(weights):
            if not self.steepness:
                return [keras.ops.cast(f, w.dtype) for f, w in zip(fixed, weights, strict=True)]
            return [
                self.steepness * (w + w * w * w) + f for f, w in zip(fixed, weights, strict=True)
            ]

        return gradient_at

    def numpy_of(self, step):
        gradient_at = self.of(step)
        return lambda weights: [np.asarray(one) for one in gradient_at(weights)]


def recording_for(optimizer):
    return Recording(0.0 if with_several_evaluations(optimizer) is None else 0.4)


def step(optimizer, variables, gradient_at, scale=None):
    """One step of an optimizer, eagerly; `scale` is what the gradients are scaled by."""

    def gradient(probe):
        where = [one.value for one in variables] if probe is None else probe
        return [keras.ops.convert_to_tensor(one) for one in gradient_at(where)]

    stepper = with_several_evaluations(optimizer)
    if stepper is None:
        optimizer.apply(_scaled(gradient(None), scale), variables)
        return
    combined = stepper.step(gradient, variables)
    with stepper.combined_gradient():
        optimizer.apply(_scaled(combined, scale), variables)


def _scaled(gradients, scale):
    return (
        gradients
        if scale is None
        else [one * keras.ops.cast(scale, one.dtype) for one in gradients]
    )


def values(variables):
    return [keras.ops.convert_to_numpy(one) for one in variables]


def trajectory(optimizer, model, steps, recording, first=0):
    """The weights after each of the steps."""
    seen = []
    for index in range(first, first + steps):
        step(optimizer, model.trainable_variables, recording.of(index))
        seen.append(values(model.trainable_variables))
    return seen


def reference_trajectory(rule, weights, steps, recording, first=0):
    seen = []
    for index in range(first, first + steps):
        weights = rule.step(recording.numpy_of(index), weights)
        seen.append(weights)
    return seen


def deviation(ours, theirs):
    """The largest difference in any variable at any step, over that variable's largest weight."""
    return max(
        np.max(np.abs(one.astype("float64") - other)) / np.max(np.abs(other))
        for weights, expected in zip(ours, theirs, strict=True)
        for one, other in zip(weights, expected, strict=True)
    )
