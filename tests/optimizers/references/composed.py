"""The rules around other rules, and those of several gradients per step."""

from references.momenta import RAdam
from references.rule import Rule, norm


class Lookahead:
    """Zhang et al. 2019, algorithm 1; at a sync the inner state is kept, renewed or interpolated.

    "reset" starts the inner rule anew, its bias corrections included. "pullback" takes the velocity
    the same share of the way from that of the last sync, which was zero at the start (appendix
    D.1 of the paper). `fit` ends on the slow weights.
    """

    def __init__(self, inner_optimizer, sync_period=5, slow_step_size=0.5, inner_state="maintain"):
        self.inner, self.period, self.share = inner_optimizer, sync_period, slow_step_size
        self.inner_state = inner_state
        self.phase = 0
        self.velocities = None

    def step(self, gradient_at, weights, samples=1):
        if self.phase == 0:
            self.slow = weights
        weights = self.inner.step(gradient_at, weights, samples)
        self.phase += 1
        if self.phase < self.period:
            return weights
        self.phase = 0
        if self.inner_state == "reset":
            self.inner.reset()
        elif self.inner_state == "pullback":
            self._pull_velocities_back()
        return [s + self.share * (w - s) for s, w in zip(self.slow, weights, strict=True)]

    def _pull_velocities_back(self):
        before = self.velocities or [0.0 for _ in self.inner.slots]
        self.velocities = [
            self.share * slots["velocity"] + (1 - self.share) * old
            for slots, old in zip(self.inner.slots, before, strict=True)
        ]
        for slots, velocity in zip(self.inner.slots, self.velocities, strict=True):
            slots["velocity"] = velocity

    def end_epoch(self, weights):
        return self.inner.end_epoch(weights)

    def finish(self, weights):
        weights = self.inner.finish(weights)
        if self.phase:
            weights, self.phase = self.slow, 0
        return weights

    @property
    def core(self):
        return self.inner


class SoftBatch:
    """One update from the mean gradient over the samples of several batches."""

    def __init__(self, inner_optimizer, batches_per_update, tail="flush"):
        self.inner, self.window, self.tail = inner_optimizer, batches_per_update, tail
        self._empty()

    def _empty(self):
        self.batches, self.samples, self.sums = 0, 0, None

    def step(self, gradient_at, weights, samples=1):
        parts = [samples * one for one in gradient_at(weights)]
        before = self.sums or [0.0 for _ in parts]
        self.sums = [old + part for old, part in zip(before, parts, strict=True)]
        self.samples += samples
        self.batches += 1
        return self._update(weights) if self.batches == self.window else weights

    def _update(self, weights):
        mean = [one / self.samples for one in self.sums]
        self._empty()
        return self.inner.step(lambda _: mean, weights)

    def end_epoch(self, weights):
        if self.batches and self.tail == "flush":
            weights = self._update(weights)
        elif self.tail == "drop":
            self._empty()
        return weights

    def finish(self, weights):
        if self.batches:
            weights = self._update(weights)
        return self.inner.finish(weights)

    @property
    def core(self):
        return self.inner


class Flow(Rule):
    """An explicit Runge-Kutta step of size h along θ' = −K(θ), K = ∇L + λθ.

    Butcher 1964: Kᵢ at θ − h Σ aᵢⱼ Kⱼ, then θ − h Σ bᵢ Kᵢ. A bound on the first K's norm shortens
    the whole step.
    """

    a: tuple
    b: tuple

    def step(self, gradient_at, weights, samples=1):
        decay = self.weight_decay or 0.0

        def field(point):
            gradients = self._prepared(gradient_at(point))
            return [g + decay * w for g, w in zip(gradients, point, strict=True)]

        def along(shares, slopes):
            return [
                w - self.rate * sum(share * one for share, one in zip(shares, column, strict=True))
                for w, *column in zip(weights, *slopes, strict=True)
            ]

        slopes = [field(weights)]
        factor = 1.0
        if self.global_clipnorm is not None:
            factor = min(1.0, self.global_clipnorm / norm(slopes[0]))
        slopes = [[factor * one for one in slopes[0]]]
        for row in self.a:
            slopes.append([factor * one for one in field(along(row, slopes))])
        self.updates += 1
        return along(self.b, slopes)


class Heun(Flow):
    """Heun 1900: the mean of the slopes at both ends."""

    a = ((1.0,),)
    b = (1 / 2, 1 / 2)


class BogackiShampine(Flow):
    """Bogacki & Shampine 1989, the third-order formula of the pair."""

    a = ((1 / 2,), (0.0, 3 / 4))
    b = (2 / 9, 1 / 3, 4 / 9)


class DormandPrince(Flow):
    """Dormand & Prince 1980, table 2, the fifth-order formula of the pair."""

    a = (
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    )
    b = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)


class Ranger(Lookahead):
    """Wright 2019, version 20.4.11: centralised gradients into RAdam, Lookahead around it."""

    def __init__(
        self,
        learning_rate=1e-3,
        beta_1=0.95,
        beta_2=0.999,
        epsilon=1e-5,
        gradient_centralization=True,
        sync_period=6,
        slow_step_size=0.5,
        **radam,
    ):
        core = RAdam(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            gradient_centralization=gradient_centralization,
            **radam,
        )
        super().__init__(core, sync_period, slow_step_size)
