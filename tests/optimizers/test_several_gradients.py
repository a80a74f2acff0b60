import keras
import numpy as np
import pytest
from checks import flow
from keras import ops
from optrun.optimizers import Lookahead, Model, SeveralGradients


class Extragradient(SeveralGradients):
    """θ ← θ − h ∇L(θ − h ∇L(θ)); on θ² / 2 the factor 1 − h + h²."""

    evaluations = 2

    def step(self, gradient_at, variables):
        here = gradient_at(None)
        return gradient_at(
            [w - self.learning_rate * g for w, g in zip(variables, here, strict=True)]
        )


class WithMomentum(Extragradient):
    """The combined gradient gathers in a velocity."""

    def build(self, variables):
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient, variable, learning_rate):
        velocity = self.velocities[self._get_variable_index(variable)]
        self.assign(velocity, 0.9 * velocity - learning_rate * gradient)
        self.assign_add(variable, velocity)


def test_a_subclass_trains_in_fit(parabola, mode, built):
    run = parabola(Extragradient(0.5), **mode)
    if built:
        run.build()
    np.testing.assert_allclose(run.fit(3), 0.75 ** np.arange(1, 4), rtol=1e-6)


def test_a_subclass_may_have_an_update_and_a_state_of_its_own(parabola):
    expected, weight, velocity = [], 1.0, 0.0
    for _ in range(4):
        velocity = 0.9 * velocity - 0.5 * (1 - 0.5) * weight
        weight += velocity
        expected.append(weight)
    ours = parabola(WithMomentum(0.5), run_eagerly=True).fit(4)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_clipping_and_decay_of_the_base_act_on_the_combined_gradient(parabola):
    # The combined gradient of 0.5 is clipped to 0.2; the decay takes 0.5 × 0.4 off the weight.
    optimizer = Extragradient(0.5, global_clipnorm=0.2, weight_decay=0.4)
    ours = parabola(optimizer, run_eagerly=True).fit(1)
    assert ours[0] == pytest.approx(1 - 0.5 * 0.4 - 0.5 * 0.2, rel=1e-6)


def test_lookahead_and_a_loss_scale_go_around_it(network, samples):
    def train():
        model = network(Lookahead(Extragradient(0.1), sync_period=2))
        model.fit(*samples(16), batch_size=4, shuffle=False, verbose=0)
        return model.get_weights()

    flow.check_mixed_float16(train)


@pytest.mark.parametrize("stated", [None, 1, 2.5, True])
def test_a_class_that_does_not_state_its_evaluations_is_refused(stated):
    attributes = {} if stated is None else {"evaluations": stated}
    stating = type("Mine", (SeveralGradients,), attributes)
    with pytest.raises(TypeError, match=r"Mine must state how many gradients its step takes"):
        stating(0.1)


def test_a_class_without_a_step_says_what_to_define():
    stepless = type("Mine", (SeveralGradients,), {"evaluations": 2})
    with pytest.raises(NotImplementedError, match=r"Mine must define `step\("):
        stepless(0.1).step(lambda probe: [], [])


def test_one_gradient_is_refused_with_the_way_out(network, samples):
    model = network(Extragradient(0.1), model_class=keras.Model)
    with pytest.raises(ValueError, match=r"Extragradient takes 2 gradients .*optimizers\.Model"):
        model.fit(*samples(4), verbose=0)
    with pytest.raises(ValueError, match=r"inside `Extragradient\.combined_gradient\(\)`"):
        Extragradient(0.1).apply([ops.ones(())], [keras.Variable(1.0)])


class OneTooFew(Extragradient):
    def step(self, gradient_at, variables):
        return super().step(gradient_at, variables)[1:]


class ProbesOneTooFew(Extragradient):
    def step(self, gradient_at, variables):
        gradient_at(None)
        return gradient_at([one.value for one in variables[1:]])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (OneTooFew, r"OneTooFew\.step returned 3 tensors, where the model has 4 trainable"),
        (ProbesOneTooFew, r"step asked for a gradient at 3 tensors, where the model has 4"),
    ],
)
def test_a_list_of_the_wrong_length_is_refused(wrong, told, network, samples):
    with pytest.raises(ValueError, match=told):
        network(wrong(0.1)).train_on_batch(*samples(4))


def test_probes_may_be_variables_and_numbers_of_another_type(network, samples):
    class Mixed(Extragradient):
        def step(self, gradient_at, variables):
            first, *others = variables
            gradient_at(None)
            return gradient_at([first.numpy().astype("float64"), *others])

    model, plain = network(Mixed(0.1)), network(keras.optimizers.SGD(0.1))
    for one in (model, plain):
        one.train_on_batch(*samples(4))
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)
    assert isinstance(model, Model)
