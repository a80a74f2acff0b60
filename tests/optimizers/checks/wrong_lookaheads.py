"""Lookahead in a few lines, and what published versions of it do wrong, one thing each."""

import keras
from keras import ops
from optrun.optimizers.wrapper import Wrapper, find


class Plain(Wrapper):
    """Lookahead with k = 5 and α = 0.5: right as it stands, to change one thing in."""

    def build(self, variables):
        if self.built:
            return
        self._phase = self.add_variable((), dtype="int32", initializer="zeros", name="phase")
        self._slow = self.add_optimizer_variables(variables, "slow")
        super().build(variables)

    def __init__(self, inner_optimizer, name=None):
        super().__init__(inner_optimizer, name=name, unsupported={})

    def apply(self, grads, trainable_variables=None):
        self._build_on_first_use(trainable_variables)
        self.before(self._phase)
        self.update(grads, trainable_variables)
        self._phase.assign_add(1)
        self.after(self._phase)

    def before(self, phase):
        self.take_slow(phase == 0)

    def update(self, grads, variables):
        self.inner_optimizer.apply(grads, trainable_variables=variables)

    def after(self, phase):
        self.sync(phase == 5)

    def take_slow(self, now):
        for slow, fast in zip(self._slow, self._trainable_variables, strict=True):
            slow.assign(ops.where(now, fast, slow))

    def sync(self, now):
        for slow, fast in zip(self._slow, self._trainable_variables, strict=True):
            fast.assign(ops.where(now, (slow + fast) / 2, fast))
        self._phase.assign(ops.where(now, 0, self._phase))


class SlowFromBuild(Plain):
    """Slow weights copied in `build`: in `fit` the copy is lost, and they are zero."""

    def build(self, variables):
        super().build(variables)
        for slow, fast in zip(self._slow, self._trainable_variables, strict=True):
            slow.assign(fast)

    def before(self, phase):
        pass

    def sync(self, now):
        super().sync(now)
        self.take_slow(now)


class SlowFromZero(Plain):
    """Slow weights that start at zero."""

    def before(self, phase):
        pass


class OneStepLate(Plain):
    """Asks whether to sync before it counts: every k + 1 updates."""

    def after(self, phase):
        self.sync(phase == 6)


class SyncWithoutEffect(Plain):
    """Moves the slow weights alone."""

    def sync(self, now):
        self._phase.assign(ops.where(now, 0, self._phase))


class SlowFromFirstSync(Plain):
    """Takes the slow weights at the first sync, and pulls back from the second on."""

    taken = False

    def before(self, phase):
        pass

    def sync(self, now):
        if bool(now) and self.taken:
            super().sync(now)
        if bool(now):
            self.take_slow(True)
            self._phase.assign(0)
            self.taken = True


class SlowFromFirstUpdate(Plain):
    """Takes the first slow weights after the first update."""

    def before(self, phase):
        pass

    def update(self, grads, variables):
        super().update(grads, variables)
        if int(self.iterations) == 1:
            self.take_slow(True)

    def sync(self, now):
        super().sync(now)
        self.take_slow(now)


class CountInPython(Plain):
    """A Python count, which a traced step sees once."""

    count = 0

    def before(self, phase):
        self.take_slow(self.count % 5 == 0)

    def after(self, phase):
        self.count += 1
        self.sync(self.count % 5 == 0)


class PullbackOfItself(Plain):
    """Keeps the live momentum as that of the last sync, which halving it halves too."""

    kept = None

    def sync(self, now):
        super().sync(now)
        if bool(now):
            (momentum,) = find(self, keras.optimizers.SGD).momentums
            momentum.assign(momentum / 2)
            momentum.assign_add(0 * momentum if self.kept is None else self.kept / 2)
            self.kept = momentum


class ResetOfMomentumAlone(Plain):
    """Clears the slots called momentum, and neither the second moments nor the count."""

    def sync(self, now):
        super().sync(now)
        for variable in self.inner_optimizer.variables:
            if variable.path.endswith("momentum"):
                variable.assign(ops.where(now, 0.0, variable))


class UnsavedState(Plain):
    """Saves the inner optimizer alone."""

    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass


class CountsSkipped(Plain):
    """A loss scale inside, which skips batches that the wrapper counts."""

    def __init__(self, inner_optimizer, name=None):
        super().__init__(keras.optimizers.LossScaleOptimizer(inner_optimizer), name)

    def _reason_against(self, inner_optimizer):
        return None


class RateOfItsOwn(Plain):
    """A rate of the wrapper's own, which callbacks set and nothing reads."""

    own = 0.1

    @property
    def learning_rate(self):
        return self.own

    @learning_rate.setter
    def learning_rate(self, rate):
        self.own = rate


class UpdateStepAlone(Plain):
    """Calls the inner optimizer's lowest operation: no clipping, no decay."""

    def update(self, grads, variables):
        for gradient, variable in zip(grads, variables, strict=True):
            self.inner_optimizer.update_step(gradient, variable, self.inner_optimizer.learning_rate)
        self.inner_optimizer.iterations.assign_add(1)


class CountOfItsOwn(Plain):
    """The count of the wrapper, which stands still."""

    @property
    def iterations(self):
        return self._iterations
