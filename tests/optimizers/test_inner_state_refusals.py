"""Inner optimizers whose state Lookahead can neither reset nor pull back: refused, with why."""

import re

import keras
import pytest
from keras import ops
from optrun.optimizers import Heun, Lookahead
from optrun.optimizers.argument_checks import problems


def momentum():
    return keras.optimizers.SGD(0.1, momentum=0.9)


def trained():
    core = momentum()
    core.apply([ops.ones(())], [keras.Variable(1.0)])
    return core


class Own(keras.optimizers.Optimizer):
    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, gradient * learning_rate)


def several():
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(momentum()))


REFUSED = {
    "no momentum": (
        lambda: Lookahead("sgd", inner_state="pullback"),
        "`inner_state` cannot be 'pullback': there is no momentum to pull back without a "
        "`momentum` greater than 0: state it in SGD.",
    ),
    "another slot": (
        lambda: Lookahead("adagrad", inner_state="pullback"),
        "`inner_state` cannot be 'pullback': there is no momentum of Adagrad to pull back: it "
        "keeps none. Use inner_state 'maintain' or 'reset', or an inner optimizer with a momentum.",
    ),
    "no slot": (
        lambda: Lookahead(Heun(0.1), inner_state="pullback"),
        "`inner_state` cannot be 'pullback': there is no momentum of Heun to pull back",
    ),
    "a person's own": (
        lambda: Lookahead(Own(0.1), inner_state="pullback").build([keras.Variable(1.0)]),
        "Lookahead cannot pull back the momentum of Own: it keeps none.",
    ),
    "several optimizers": (
        lambda: Lookahead(several(), inner_state="reset"),
        "`inner_state` cannot be 'reset': each of its optimizers has a count and a state of its",
    ),
    "a trained one": (
        lambda: Lookahead(trained(), inner_state="reset").build([keras.Variable(1.0)]),
        "Lookahead resets the inner optimizer to the state it begins with, and this SGD has made "
        "1 updates already: give it a new one.",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_refusal_says_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make()


SPECIFICATIONS = {
    "sgd": ({"name": "sgd"}, "cannot be pullback: there is no momentum to pull back without"),
    "adagrad": ({"name": "adagrad"}, "cannot be pullback: there is no momentum of Adagrad"),
    "rk45": ({"name": "rk45"}, "cannot be pullback: there is no momentum of DormandPrince"),
    "momentum": ({"name": "sgd", "momentum": 0.9}, None),
    "adam": ({"name": "adam"}, None),
}


@pytest.mark.parametrize(("inner", "message"), SPECIFICATIONS.values(), ids=list(SPECIFICATIONS))
def test_a_specification_without_a_momentum_to_pull_back_is_refused_unbuilt(inner, message):
    inner = inner | {"learning_rate": 0.1}
    specification = {"name": "lookahead", "inner_state": "pullback", "inner_optimizer": inner}
    found = [(one.path, one.message) for one in problems(specification)]
    if message is None:
        assert found == []
    else:
        ((path, text),) = found
        assert path == ("inner_state",)
        assert text.startswith(message)
