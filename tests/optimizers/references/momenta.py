"""Gradient descent and the rules that scale each weight by its past gradients."""

import numpy as np
from references.rule import Rule


class Sgd(Rule):
    """Polyak 1964, eq. 9: v ← μ v − η g, θ ← θ + v.

    Nesterov's form is Sutskever et al. 2013, eq. 3-4, re-centred on the look-ahead point, as in
    Keras: θ ← θ + μ v − η g.
    """

    def __init__(self, learning_rate, momentum=0.0, nesterov=False, **common):
        super().__init__(learning_rate, **common)
        self.momentum, self.nesterov = momentum, nesterov

    def move(self, weight, gradient, slots):
        velocity = self.momentum * slots.get("velocity", 0.0) - self.rate * gradient
        slots["velocity"] = velocity
        if self.nesterov:
            return weight + self.momentum * velocity - self.rate * gradient
        return weight + velocity


class Moments(Rule):
    """The averages of the gradient and of its square, shared by Adam's relatives."""

    def __init__(self, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **common):
        super().__init__(learning_rate, **common)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def first(self, gradient, slots):
        slots["m"] = self.beta_1 * slots.get("m", 0.0) + (1 - self.beta_1) * gradient
        return slots["m"]

    def second(self, gradient, slots):
        slots["v"] = self.beta_2 * slots.get("v", 0.0) + (1 - self.beta_2) * gradient**2
        return slots["v"]


class Adam(Moments):
    """Kingma & Ba 2015, algorithm 1, in the form at the end of section 2, where ε is not corrected.

    AMSGrad (Reddi et al. 2018, algorithm 2) divides by the largest v so far. Keras takes that
    largest before the bias correction.
    """

    def __init__(self, learning_rate, amsgrad=False, **moments):
        super().__init__(learning_rate, **moments)
        self.amsgrad = amsgrad

    def move(self, weight, gradient, slots):
        m, v = self.first(gradient, slots), self.second(gradient, slots)
        if self.amsgrad:
            v = slots["largest"] = np.maximum(slots.get("largest", 0.0), v)
        rate = self.rate * np.sqrt(1 - self.beta_2**self.age) / (1 - self.beta_1**self.age)
        return weight - rate * m / (np.sqrt(v) + self.epsilon)


class AdamW(Adam):
    """Loshchilov & Hutter 2019, algorithm 2; the decay's factor is the rate, as in Keras."""

    def __init__(self, learning_rate, weight_decay=0.004, **more):
        super().__init__(learning_rate, weight_decay=weight_decay, **more)


class Adamax(Moments):
    """Kingma & Ba 2015, algorithm 2; Keras adds ε to u."""

    def move(self, weight, gradient, slots):
        m = self.first(gradient, slots)
        u = np.maximum(self.beta_2 * slots.get("u", 0.0), np.abs(gradient))
        slots["u"] = u
        return weight - self.rate / (1 - self.beta_1**self.age) * m / (u + self.epsilon)


class Nadam(Moments):
    """Dozat 2016, algorithm 2, with the schedule μₜ = β₁ (1 − 0.96ᵗ / 2) of section 3.

    Its products of μ run from the first update.
    """

    base = base_in_product = 0.96

    def _mu(self, update, base=None):
        return self.beta_1 * (1 - 0.5 * (base or self.base) ** update)

    def move(self, weight, gradient, slots):
        t = self.age
        m, v = self.first(gradient, slots), self.second(gradient, slots)
        product = np.prod([self._mu(update, self.base_in_product) for update in range(1, t + 1)])
        direction = self._mu(t + 1) * m / (1 - product * self._mu(t + 1)) + (
            1 - self._mu(t)
        ) * gradient / (1 - product)
        corrected = v / (1 - self.beta_2**t)
        return weight - self.rate * direction / (np.sqrt(corrected) + self.epsilon)


class RAdam(Moments):
    """Liu et al. 2020, algorithm 2; `threshold` is 4 there and 5 in the authors' code.

    ε is added to √v before the bias correction, as in the authors' code.
    """

    def __init__(
        self, learning_rate, epsilon=1e-8, threshold=5.0, unadapted_steps="sgd", **moments
    ):
        super().__init__(learning_rate, epsilon=epsilon, **moments)
        self.threshold, self.unadapted_steps = threshold, unadapted_steps

    def move(self, weight, gradient, slots):
        t, longest = self.age, 2 / (1 - self.beta_2) - 1
        m, v = self.first(gradient, slots), self.second(gradient, slots)
        corrected = m / (1 - self.beta_1**t)
        length = longest - 2 * t * self.beta_2**t / (1 - self.beta_2**t)
        if length <= self.threshold:
            return weight if self.unadapted_steps == "skip" else weight - self.rate * corrected
        rectification = np.sqrt(
            ((length - 4) * (length - 2) * longest) / ((longest - 4) * (longest - 2) * length)
        )
        adapted = np.sqrt(1 - self.beta_2**t) / (np.sqrt(v) + self.epsilon)
        return weight - self.rate * rectification * corrected * adapted


class Adagrad(Rule):
    """Duchi et al. 2011, the diagonal form; Keras starts the sum above 0 and has ε in the root."""

    def __init__(self, learning_rate, initial_accumulator_value=0.1, epsilon=1e-7, **common):
        super().__init__(learning_rate, **common)
        self.start, self.epsilon = initial_accumulator_value, epsilon

    def move(self, weight, gradient, slots):
        slots["sum"] = slots.get("sum", self.start) + gradient**2
        return weight - self.rate * gradient / np.sqrt(slots["sum"] + self.epsilon)


class Adadelta(Rule):
    """Zeiler 2012, algorithm 1; Keras multiplies its step by a rate, 1 in the paper."""

    def __init__(self, learning_rate, rho=0.95, epsilon=1e-7, **common):
        super().__init__(learning_rate, **common)
        self.rho, self.epsilon = rho, epsilon

    def move(self, weight, gradient, slots):
        squares = self.rho * slots.get("squares", 0.0) + (1 - self.rho) * gradient**2
        steps = slots.get("steps", 0.0)
        step = -np.sqrt(steps + self.epsilon) / np.sqrt(squares + self.epsilon) * gradient
        slots["squares"], slots["steps"] = squares, self.rho * steps + (1 - self.rho) * step**2
        return weight + self.rate * step


class RmsProp(Rule):
    """Tieleman & Hinton 2012; momentum and centring as in Graves 2013, eq. 38-41.

    Keras has ε in the root and the rate inside the momentum.
    """

    def __init__(
        self, learning_rate, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False, **common
    ):
        super().__init__(learning_rate, **common)
        self.rho, self.momentum, self.epsilon = rho, momentum, epsilon
        self.centered = centered

    def move(self, weight, gradient, slots):
        slots["n"] = self.rho * slots.get("n", 0.0) + (1 - self.rho) * gradient**2
        variance = slots["n"]
        if self.centered:
            slots["g"] = self.rho * slots.get("g", 0.0) + (1 - self.rho) * gradient
            variance = variance - slots["g"] ** 2
        step = self.rate * gradient / np.sqrt(variance + self.epsilon)
        slots["step"] = self.momentum * slots.get("step", 0.0) + step
        return weight - slots["step"]


class Lion(Rule):
    """Chen et al. 2023, program 1."""

    def __init__(self, learning_rate, beta_1=0.9, beta_2=0.99, **common):
        super().__init__(learning_rate, **common)
        self.beta_1, self.beta_2 = beta_1, beta_2

    def move(self, weight, gradient, slots):
        m = slots.get("m", np.zeros_like(gradient))
        slots["m"] = self.beta_2 * m + (1 - self.beta_2) * gradient
        return weight - self.rate * np.sign(self.beta_1 * m + (1 - self.beta_1) * gradient)
