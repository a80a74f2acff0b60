"""Mistakes that steps of several gradients are published with: our checks see each of them."""

from fractions import Fraction

import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import flow
from optrun.optimizers import DormandPrince, Heun, Model, SeveralGradients

pytestmark = pytest.mark.slow  # checks the checks, not what a user has


class _Stepwise(SeveralGradients):
    """Heun's method, with one thing wrong."""

    evaluations = 2

    def step(self, gradient_at, variables):
        rate = self.learning_rate
        first = gradient_at(None)
        probe = [
            w.value if g is None else w - rate * g for w, g in zip(variables, first, strict=True)
        ]
        return self.combined(variables, probe, first, gradient_at)

    def combined(self, variables, probe, first, gradient_at):
        return _mean(first, gradient_at(probe))


def _mean(first, second):
    return [None if a is None else (a + b) / 2 for a, b in zip(first, second, strict=True)]


class BasePointMoved(_Stepwise):
    """The probe is put into the weights and not taken back: the step starts there."""

    def combined(self, variables, probe, first, gradient_at):
        for variable, point in zip(variables, probe, strict=True):
            variable.assign(point)
        return _mean(first, gradient_at(None))


class ThirdEvaluation(_Stepwise):
    """The loss is evaluated once more, at the probe, and the gradient not used."""

    def combined(self, variables, probe, first, gradient_at):
        gradient_at(probe)
        return _mean(first, gradient_at(probe))


class SecondGradientAlone(_Stepwise):
    """The first gradient is forgotten in the mean."""

    def combined(self, variables, probe, first, gradient_at):
        return gradient_at(probe)


class FirstGradientTwice(_Stepwise):
    """The second gradient is taken at the weights again: plain gradient descent."""

    def combined(self, variables, probe, first, gradient_at):
        return _mean(first, gradient_at(None))


class MissingGradientsLeftOut(_Stepwise):
    """Gradients that are missing are dropped from the list, and the others move up."""

    def combined(self, variables, probe, first, gradient_at):
        present = [one for one in gradient_at(probe) if one is not None]
        shifted = [*present, *[None] * (len(first) - len(present))]
        return [
            None if a is None else a if b is None else (a + b) / 2
            for a, b in zip(first, shifted, strict=True)
        ]


class StaleFirstGradient(_Stepwise):
    """The last gradient of a step is kept as the first of the next, as if its batch were the same.

    The reuse is right for one loss, where a method's last point is the next start.
    """

    kept = None

    def step(self, gradient_at, variables):
        first = gradient_at(None) if self.kept is None else self.kept
        probe = [w - self.learning_rate * g for w, g in zip(variables, first, strict=True)]
        combined = _mean(first, gradient_at(probe))
        # A gradient at the end of the step, which for this loss is at hand.
        end = [w - self.learning_rate * g for w, g in zip(variables, combined, strict=True)]
        self.kept = gradient_at(end)
        return combined


class DecayAfterwards(Heun):
    """The weight decay acts once, on the combined gradient."""

    def step(self, gradient_at, variables):
        decay, self.flow_weight_decay = self.flow_weight_decay, None
        combined = super().step(gradient_at, variables)
        self.flow_weight_decay = decay
        return [g + decay * w for g, w in zip(combined, variables, strict=True)]


class LastStageOnly(DormandPrince):
    """A wrong index: each probe uses the newest slope alone, with its row's sum as weight."""

    stages = tuple(
        (*[Fraction(0)] * (len(row) - 1), sum(row, start=Fraction(0)))
        for row in DormandPrince.stages
    )


class ShiftedIndex(DormandPrince):
    """A wrong index: the coefficients of each row meet the slopes in reverse."""

    stages = tuple(row[::-1] for row in DormandPrince.stages)


class MisprintedTableau(DormandPrince):
    """One sign lost in the last row."""

    stages = (
        *DormandPrince.stages[:-1],
        (*DormandPrince.stages[-1][:-1], -DormandPrince.stages[-1][-1]),
    )


class LowerOrderShares(DormandPrince):
    """The weights of the embedded method of order 4, whose seventh gradient is left out."""

    shares = tuple(
        Fraction(one)
        for one in ("5179/57600", "0", "7571/16695", "393/640", "-92097/339200", "187/2100")
    )


def _half_square_gradient(theta):
    return [theta[0]]


def test_the_base_of_the_variants_is_right_when_nothing_is_wrong(float64):
    flow.check_amplification(_Stepwise, flow.HEUN)
    flow.check_order(_Stepwise, 2, steps=32)
    flow.check_missing_gradients(_Stepwise)


@pytest.mark.parametrize(
    "variant",
    [BasePointMoved, SecondGradientAlone, FirstGradientTwice],
    ids=lambda one: one.__name__,
)
def test_wrong_points_of_heun_s_method_miss_the_polynomial(variant, float64):
    with pytest.raises(AssertionError):
        flow.check_amplification(variant, flow.HEUN)


@pytest.mark.parametrize(
    "variant",
    [LastStageOnly, ShiftedIndex, MisprintedTableau, LowerOrderShares],
    ids=lambda one: one.__name__,
)
def test_wrong_tableaux_miss_the_polynomial_and_the_order(variant, float64):
    with pytest.raises(AssertionError):
        flow.check_amplification(variant, flow.RK45)
    with pytest.raises(AssertionError):
        flow.check_order(variant, 5, steps=32)


def test_decay_outside_the_flow_misses_the_polynomial(float64):
    def make(rate):
        return DecayAfterwards(rate, weight_decay=0.4)

    ours = flow.along(make(0.5), _half_square_gradient, [1.0])
    assert abs(ours[0] - flow.amplification(flow.HEUN, -0.7)) > 1e-3
    right = flow.along(Heun(0.5, weight_decay=0.4), _half_square_gradient, [1.0])
    assert right[0] == pytest.approx(flow.amplification(flow.HEUN, -0.7), rel=1e-12)


def test_gradients_that_moved_up_in_the_list_are_seen():
    with pytest.raises((AssertionError, tf.errors.InvalidArgumentError)):
        flow.check_missing_gradients(MissingGradientsLeftOut)


def _compiled(optimizer, model_class=Model):
    def make(inputs, outputs):
        model = model_class(inputs, outputs)
        model.compile(optimizer, loss=flow.half_square, run_eagerly=True)
        return model

    return make


@pytest.mark.parametrize("variant", [ThirdEvaluation, FirstGradientTwice])
def test_more_or_fewer_gradients_than_stated_are_refused(variant):
    taken = 3 if variant is ThirdEvaluation else 1
    with pytest.raises(ValueError, match=rf"states `evaluations = 2`, and its step took {taken}"):
        flow.check_evaluations(_compiled(variant(0.1)), 2)


def test_a_third_evaluation_is_counted():
    class Honest(ThirdEvaluation):
        evaluations = 3

    flow.check_evaluations(_compiled(Honest(0.1)), 3)
    with pytest.raises(AssertionError):
        flow.check_evaluations(_compiled(Honest(0.1)), 2)


def test_a_gradient_kept_from_the_last_batch_is_seen():
    def factor(z):
        return flow.amplification(flow.HEUN, z)

    class Honest(StaleFirstGradient):
        evaluations = 3

    flow.check_same_batch(_compiled(Heun(0.2)), factor)
    with pytest.raises(AssertionError):
        flow.check_same_batch(_compiled(Honest(0.2)), factor)


def by_hand(mistake=None):
    """A model class that takes Heun's step the plain way, its weights overwritten with the probe.

    Args:
        mistake: "state" lets both passes move the non-trainable state, "masks" rewinds it only
            afterwards, "batch" evaluates the second gradient on the last batch, "scale" forgets to
            take the loss scale out of the gradients, "base" leaves the weights at the probe.
    """

    class ByHand(keras.Model):
        last = last_loss = None

        def train_step(self, data):
            optimizer = self.optimizer
            weights, state = self.trainable_weights, self.non_trainable_variables
            start = [weight.numpy() for weight in weights]
            before = [one.numpy() for one in state]
            scale = 1.0 if mistake == "scale" else optimizer.scale_loss(1.0)
            first = self.gradients(data, scale)
            after = [one.numpy() for one in state]
            _put(
                weights,
                [w - optimizer.learning_rate * g for w, g in zip(start, first, strict=True)],
            )
            if mistake not in ("state", "masks"):
                _put(state, before)
            later = self.last if mistake == "batch" and self.last is not None else data
            second = self.gradients(later, scale)
            if mistake != "state":
                _put(state, after)
            if mistake != "base":
                _put(weights, start)
            self.last = data
            optimizer.apply([g * scale for g in _mean(first, second)], weights)
            return {"loss": self.last_loss}

        def gradients(self, data, scale):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True), training=True)
                scaled = self.optimizer.scale_loss(loss)
            self.last_loss = loss
            return [
                g / scale for g in tape.gradient(scaled, [w.value for w in self.trainable_weights])
            ]

    return ByHand


def _put(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _check_by_hand(check, mistake, network, samples):
    def factor(z):
        return flow.amplification(flow.HEUN, z)

    def model_of(inputs, outputs):
        return _compiled(keras.optimizers.SGD(0.2), by_hand(mistake))(inputs, outputs)

    def train_once(layers, plain):
        model_class = keras.Model if plain else by_hand(mistake)
        model = network(keras.optimizers.SGD(0.3), layers=layers, model_class=model_class)
        model.train_on_batch(*samples(8))
        return model

    def train():
        model = network(keras.optimizers.SGD(0.3), model_class=by_hand(mistake))
        model.fit(*samples(16), batch_size=8, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    if check == "batch normalisation":
        flow.check_batch_normalisation(train_once)
    elif check == "mixed float16":
        flow.check_mixed_float16(train)
    elif check == "dropout":
        flow.check_same_dropout_masks(model_of, factor)
    else:
        flow.check_same_batch(model_of, factor)


MISTAKES = {
    "batch normalisation": ["state"],
    "dropout": ["state", "masks", "base"],
    "same batch": ["batch", "base"],
    "mixed float16": ["scale"],
}


@pytest.mark.parametrize("check", MISTAKES)
def test_a_step_by_hand_without_a_mistake_passes(check, network, samples):
    _check_by_hand(check, None, network, samples)


@pytest.mark.parametrize(
    ("check", "mistake"),
    [(check, mistake) for check, mistakes in MISTAKES.items() for mistake in mistakes],
)
def test_a_step_by_hand_with_a_mistake_is_seen(check, mistake, network, samples):
    with pytest.raises(AssertionError):
        _check_by_hand(check, mistake, network, samples)


def test_the_step_by_hand_is_the_optimizer_s(network, samples):
    model = network(Heun(0.3))
    twin = network(keras.optimizers.SGD(0.3), model_class=by_hand())
    for one in (model, twin):
        one.fit(*samples(8), batch_size=4, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=3e-7)
