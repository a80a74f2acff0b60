"""The rules that look at a variable as a whole, and follow-the-leader."""

import numpy as np
from references.momenta import Adam, Moments
from references.rule import Rule, mean_square, norm


class Ftrl(Rule):
    """McMahan et al. 2013, algorithm 1, from its first step on; weights move to a minimum.

    Keras' λ₂ counts twice, since it minimises λ₂ θ² where the paper has λ₂ θ² / 2; its shrinkage
    λₛ adds 2 λₛ θ to the gradient inside z alone (Keras' documentation). The power of the sum of
    squares is −1/2 in the paper.
    """

    def __init__(
        self,
        learning_rate,
        learning_rate_power=-0.5,
        initial_accumulator_value=0.1,
        l1_regularization_strength=0.0,
        l2_regularization_strength=0.0,
        l2_shrinkage_regularization_strength=0.0,
        beta=0.0,
        **common,
    ):
        super().__init__(learning_rate, **common)
        self.power, self.start, self.beta = -learning_rate_power, initial_accumulator_value, beta
        self.l1, self.l2 = l1_regularization_strength, l2_regularization_strength
        self.shrinkage = l2_shrinkage_regularization_strength

    def move(self, weight, gradient, slots):
        before = slots.get("n", np.full_like(weight, self.start))
        n = slots["n"] = before + gradient**2
        sigma = (n**self.power - before**self.power) / self.rate
        z = slots.get("z", 0.0) + gradient + 2 * self.shrinkage * weight - sigma * weight
        slots["z"] = z
        curvature = (self.beta + n**self.power) / self.rate + 2 * self.l2
        return np.where(np.abs(z) <= self.l1, 0.0, (np.sign(z) * self.l1 - z) / curvature)


class Adafactor(Rule):
    """Shazeer & Stern 2018, algorithms 4 and 5, without first moment.

    The largest relative rate is the learning rate, 10⁻² in the paper. A kernel of four axes has a
    factored second moment over its last two (Keras). A mean over rows or columns in place of the
    paper's sum cancels in the quotient.
    """

    def __init__(
        self,
        learning_rate,
        beta_2_decay=-0.8,
        epsilon_1=1e-30,
        epsilon_2=1e-3,
        clip_threshold=1.0,
        relative_step=True,
        **common,
    ):
        super().__init__(learning_rate, **common)
        if not relative_step:
            raise NotImplementedError("no case of the suite leaves the rate unbounded")
        self.beta_2_decay, self.clip_threshold = beta_2_decay, clip_threshold
        self.epsilon_1, self.epsilon_2 = epsilon_1, epsilon_2

    def move(self, weight, gradient, slots):
        t = self.age
        beta_2 = 1 - t**self.beta_2_decay
        squares = gradient**2 + self.epsilon_1

        def average(name, value):
            slots[name] = beta_2 * slots.get(name, 0.0) + (1 - beta_2) * value
            return slots[name]

        if weight.ndim > 1:
            rows = average("rows", squares.sum(-1, keepdims=True))
            columns = average("columns", squares.sum(-2, keepdims=True))
            second = rows * columns / rows.sum(-2, keepdims=True)
        else:
            second = average("v", squares)
        update = gradient / np.sqrt(second)
        update = update / max(1.0, np.sqrt(mean_square(update)) / self.clip_threshold)
        relative = min(self.rate, 1 / np.sqrt(t))
        return weight - max(self.epsilon_2, np.sqrt(mean_square(weight))) * relative * update


class Lamb(Moments):
    """You et al. 2020, algorithm 2, with φ the identity, each variable a layer.

    Keras' decay is decoupled; the paper adds λθ to the direction, inside the ratio.
    """

    def move(self, weight, gradient, slots):
        m = self.first(gradient, slots) / (1 - self.beta_1**self.age)
        v = self.second(gradient, slots) / (1 - self.beta_2**self.age)
        direction = m / (np.sqrt(v) + self.epsilon)
        lengths = norm([weight]), norm([direction])
        return weight - self.rate * (lengths[0] / lengths[1] if all(lengths) else 1) * direction


class Muon(Adam):
    """Jordan et al. 2024 for matrices, scaled as in Liu et al. 2025, eq. 4; Adam for the others.

    The momentum is orthogonalised by five steps of the quintic Newton-Schulz iteration. Each kind
    of variable has a decay of its own (Keras).
    """

    def __init__(
        self,
        learning_rate,
        adam_beta_1=0.9,
        adam_beta_2=0.999,
        adam_weight_decay=0.004,
        weight_decay=0.004,
        muon_a=3.4445,
        muon_b=-4.775,
        muon_c=2.0315,
        momentum=0.95,
        ns_steps=5,
        nesterov=True,
        rms_rate=0.2,
        adam_lr_ratio=1.0,
        exclude_layers=None,
        exclude_embeddings=True,
        **more,
    ):
        super().__init__(
            learning_rate,
            beta_1=adam_beta_1,
            beta_2=adam_beta_2,
            weight_decay=weight_decay,
            **more,
        )
        if exclude_layers:
            raise NotImplementedError("no case of the suite names layers")
        self.adam_weight_decay, self.adam_lr_ratio = adam_weight_decay, adam_lr_ratio
        self.coefficients, self.ns_steps = (muon_a, muon_b, muon_c), ns_steps
        self.momentum, self.nesterov, self.rms_rate = momentum, nesterov, rms_rate

    def decay_of(self, weight):
        return self.weight_decay if weight.ndim == 2 else self.adam_weight_decay

    def move(self, weight, gradient, slots):
        if weight.ndim != 2:
            moved = super().move(weight, gradient, slots)
            return weight + self.adam_lr_ratio * (moved - weight)
        buffer = slots["buffer"] = self.momentum * slots.get("buffer", 0.0) + gradient
        if self.nesterov:
            buffer = gradient + self.momentum * buffer
        scale = 1.0 if self.rms_rate is None else self.rms_rate * np.sqrt(max(weight.shape))
        return weight - self.rate * scale * self._orthogonalized(buffer)

    def _orthogonalized(self, matrix):
        a, b, c = self.coefficients
        x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
        x = x / (norm([x]) + 1e-7)
        for _ in range(self.ns_steps):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        return x.T if matrix.shape[0] > matrix.shape[1] else x
