"""Known wrong versions of the optimizers, each caught by a check that ours passes.

What they do wrong was found in published code.
"""

import numpy as np
import pytest
from checks import behaviour
from checks import wrong_lookaheads as wrong
from keras import ops
from optrun.optimizers import GradientCentralization, Lookahead, RAdam, Ranger, SoftBatch


def keras_accumulation(core, count):
    """Keras' own, whose count is of batches."""
    core.gradient_accumulation_steps = count
    return core


class ZerosBetween(SoftBatch):
    """Hands the inner optimizer zeros while the window fills."""

    def apply(self, grads, trainable_variables=None):
        super().apply(grads, trainable_variables)
        if self.batches_waiting():
            self.inner_optimizer.apply([0 * one for one in grads], trainable_variables)


class TailOverTheWholeWindow(SoftBatch):
    """Divides a part of a window by the whole window's count."""

    def end_epoch(self):
        for total in self._gradient_sums:
            total.assign(total * self.batches_waiting() / self.batches_per_update)
        return super().end_epoch()


class MeanOfMeans(SoftBatch):
    """Counts batches, not samples."""

    def weigh_next_batch(self, samples):
        pass


class Ascending(RAdam):
    """Has the sign of the steps before the first adapted one wrong."""

    def update_step(self, gradient, variable, learning_rate):
        sign = -1 if int(self.iterations) < 5 else 1
        super().update_step(gradient, variable, sign * learning_rate)


class EpsilonAfterCorrection(RAdam):
    """Adds ε to the corrected second moment's root."""

    def update_step(self, gradient, variable, learning_rate):
        self.epsilon = 0.05 * np.sqrt(1 - self.beta_2 ** (int(self.iterations) + 1))
        super().update_step(gradient, variable, learning_rate)


class LengthInFloat32(RAdam):
    """ρₜ in float32, up to 1 % off in the first adapted steps."""

    def _factor(self):
        t, beta_2 = np.float32(int(self.iterations) + 1), np.float32(self.beta_2)
        longest = 2 / (1 - beta_2) - 1
        length = longest - 2 * t * beta_2**t / (1 - beta_2**t)
        correction = 1 - np.float32(self.beta_1) ** t
        if length <= self.threshold:
            return ops.convert_to_tensor(False), ops.convert_to_tensor(1 / correction, "float64")
        rectified = (length - 4) * (length - 2) * longest
        rectified /= (longest - 4) * (longest - 2) * length
        factor = np.sqrt(rectified * (1 - beta_2**t)) / correction
        return ops.convert_to_tensor(True), ops.convert_to_tensor(factor, "float64")


class AxesOfTorch(GradientCentralization):
    """The mean over all axes but the first, right for (out, in, height, width)."""

    def centralized(self, gradients, variables):
        return [
            one - ops.mean(one, axis=tuple(range(1, one.ndim)), keepdims=True)
            if one.ndim > 1
            else one
            for one in gradients
        ]


class SwitchedOff(GradientCentralization):
    """Takes the option and does not use it."""

    def centralized(self, gradients, variables):
        return list(gradients)


def _rectified(kind=RAdam, **more):
    return lambda: kind(0.1, epsilon=0.05, **more)


RIGHT = {
    "Lookahead: table": (behaviour.check_table, Lookahead),
    "Lookahead: table in fit": (behaviour.check_table_in_fit, Lookahead),
    "Lookahead: pullback": (
        behaviour.check_pullback,
        lambda core: Lookahead(core, inner_state="pullback"),
    ),
    "Lookahead: reset": (behaviour.check_reset, lambda core: Lookahead(core, inner_state="reset")),
    "Lookahead: resume": (behaviour.check_resume, Lookahead),
    "Lookahead: loss scale": (behaviour.check_skipped_batches_are_not_counted, Lookahead),
    "Lookahead: rate": (behaviour.check_rate, Lookahead),
    "Lookahead: clipping": (behaviour.check_clipping_and_decay, Lookahead),
    "Lookahead: iterations": (behaviour.check_iterations, Lookahead),
    "Lookahead of the tests: table": (behaviour.check_table, wrong.Plain),
    "Lookahead of the tests: table in fit": (
        behaviour.check_table_in_fit,
        wrong.Plain,
    ),
    "Lookahead of the tests: resume": (behaviour.check_resume, wrong.Plain),
    "SoftBatch: window": (behaviour.check_nothing_moves_in_a_window, SoftBatch),
    "SoftBatch: schedule": (behaviour.check_schedule_counts_updates, SoftBatch),
    "SoftBatch: average": (behaviour.check_average_is_of_updates, SoftBatch),
    "SoftBatch: tail": (behaviour.check_tail, SoftBatch),
    "SoftBatch: unequal": (behaviour.check_unequal_batches, SoftBatch),
    "RAdam: descent": (behaviour.check_first_steps_descend, lambda: RAdam(0.1)),
    "Ranger: descent": (behaviour.check_first_steps_descend, lambda: Ranger(0.1)),
    "RAdam: rectification": (behaviour.check_rectification, _rectified()),
    "GradientCentralization: sums": (behaviour.check_units_keep_their_sum, GradientCentralization),
}
WRONG = {
    "slow weights from build": (
        behaviour.check_table_in_fit,
        wrong.SlowFromBuild,
    ),
    "slow weights from zero": (behaviour.check_table, wrong.SlowFromZero),
    "one step late": (behaviour.check_table, wrong.OneStepLate),
    "sync without effect": (behaviour.check_table, wrong.SyncWithoutEffect),
    "slow weights from the first sync": (behaviour.check_table, wrong.SlowFromFirstSync),
    "slow weights from the first update": (
        behaviour.check_table,
        wrong.SlowFromFirstUpdate,
    ),
    "count in Python": (behaviour.check_table_in_fit, wrong.CountInPython),
    "pullback of itself": (behaviour.check_pullback, wrong.PullbackOfItself),
    "reset of the momentum alone": (behaviour.check_reset, wrong.ResetOfMomentumAlone),
    "state not saved": (behaviour.check_resume, wrong.UnsavedState),
    "skipped batches counted": (
        behaviour.check_skipped_batches_are_not_counted,
        wrong.CountsSkipped,
    ),
    "rate of its own": (behaviour.check_rate, wrong.RateOfItsOwn),
    "clipping bypassed": (behaviour.check_clipping_and_decay, wrong.UpdateStepAlone),
    "count of its own": (behaviour.check_iterations, wrong.CountOfItsOwn),
    "zeros between": (behaviour.check_nothing_moves_in_a_window, ZerosBetween),
    "schedule too fast": (behaviour.check_schedule_counts_updates, keras_accumulation),
    "average per batch": (behaviour.check_average_is_of_updates, keras_accumulation),
    "tail lost": (behaviour.check_tail, keras_accumulation),
    "tail over the whole window": (behaviour.check_tail, TailOverTheWholeWindow),
    "mean of means": (behaviour.check_unequal_batches, MeanOfMeans),
    "first steps ascend": (behaviour.check_first_steps_descend, lambda: Ascending(0.1)),
    "threshold 4": (behaviour.check_rectification, _rectified(threshold=4.0)),
    "ε after the correction": (
        behaviour.check_rectification,
        _rectified(EpsilonAfterCorrection),
    ),
    "length in float32": (behaviour.check_rectification, _rectified(LengthInFloat32)),
    "axes of torch": (behaviour.check_units_keep_their_sum, AxesOfTorch),
    "centralization switched off": (behaviour.check_units_keep_their_sum, SwitchedOff),
}


@pytest.fixture
def tools(parabola, network, samples, batches, tmp_path):
    return {
        "parabola": parabola,
        "network": network,
        "samples": samples,
        "batches": batches,
        "tmp_path": tmp_path,
    }


@pytest.mark.parametrize(("check", "make"), RIGHT.values(), ids=list(RIGHT))
def test_ours_passes(check, make, tools):
    check(make, **tools)


@pytest.mark.slow
@pytest.mark.parametrize(("check", "make"), WRONG.values(), ids=list(WRONG))
def test_a_wrong_version_is_caught(check, make, tools):
    with pytest.raises(AssertionError):
        check(make, **tools)
