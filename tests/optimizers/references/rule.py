"""What the float64 references have in common. They are written from the papers, in NumPy alone."""

import numpy as np


class Rule:
    """An update rule on a list of arrays, one variable at a time.

    Where a paper leaves it open, the references do as Keras documents: the decay is decoupled,
    θ ← θ − ηλθ before the update (Loshchilov & Hutter 2019), and gradients are clipped first.

    Attributes:
        learning_rate: η, which a test may change between steps, or a function of the updates made.
        updates: updates made; they drive a schedule.
        age: updates since the state was new; they drive bias corrections.
        slots: for each variable, its state by name.
    """

    def __init__(
        self,
        learning_rate,
        *,
        weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        gradient_centralization=False,
    ):
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue = clipnorm, clipvalue
        self.global_clipnorm = global_clipnorm
        self.gradient_centralization = gradient_centralization
        self.updates = 0
        self.reset()

    def reset(self):
        """Forget the state, as after construction; the schedule goes on."""
        self.age = 0
        self.slots = None

    @property
    def rate(self):
        return (
            self.learning_rate(self.updates)
            if callable(self.learning_rate)
            else (self.learning_rate)
        )

    def step(self, gradient_at, weights, samples=1):
        """The weights after one batch.

        Args:
            gradient_at: the gradients at a list of arrays.
            weights: where the step starts.
            samples: how many samples the batch has.
        """
        if self.slots is None:
            self.slots = [{} for _ in weights]
        gradients = self._clipped(self._prepared(gradient_at(weights)))
        self.age += 1
        moved = [
            self.move(self._decayed(weight), gradient, slots)
            for weight, gradient, slots in zip(weights, gradients, self.slots, strict=True)
        ]
        self.updates += 1
        return moved

    def move(self, weight, gradient, slots):
        """The variable after the update; `slots` is its state, empty at first."""
        raise NotImplementedError

    def end_epoch(self, weights):
        return weights

    def finish(self, weights):
        return weights

    def decay_of(self, weight):
        return self.weight_decay

    def _decayed(self, weight):
        decay = self.decay_of(weight)
        return weight if decay is None else weight - self.rate * decay * weight

    def _prepared(self, gradients):
        return centralized(gradients) if self.gradient_centralization else gradients

    def _clipped(self, gradients):
        if self.clipvalue is not None:
            return [np.clip(one, -self.clipvalue, self.clipvalue) for one in gradients]
        if self.clipnorm is not None:
            return [one * min(1.0, self.clipnorm / norm([one])) for one in gradients]
        if self.global_clipnorm is not None:
            factor = min(1.0, self.global_clipnorm / norm(gradients))
            return [one * factor for one in gradients]
        return gradients


def norm(arrays):
    """The Euclidean norm of all elements together."""
    return np.sqrt(sum(np.sum(np.square(one)) for one in arrays))


def mean_square(array):
    return np.mean(np.square(array))


def centralized(gradients):
    """Kernels' gradients minus their mean over each output's fan-in (Yong et al. 2020, eq. 1).

    Keras stores (height, width, in, out) and (in, out): the output is the last axis. The networks
    of the tests have no other variables of two or four axes.
    """
    return [
        one - one.mean(axis=tuple(range(one.ndim - 1)), keepdims=True) if one.ndim > 1 else one
        for one in gradients
    ]
