"""A person's own optimizer is tried on a few weights before anything is trained."""

from pathlib import Path

import keras
import pytest
from optrun.optimizers.specification import parse
from optrun.optimizers.user_defined import UserOptimizerError
from optrun.runner.engine.rehearsal import rehearse

CLASS = """\
import keras, tensorflow as tf
from keras import ops

class Mine(keras.optimizers.Optimizer):
    def __init__(self, learning_rate=0.01, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.count = 0

    def update_step(self, gradient, variable, rate):
"""
DESCENT = "        self.assign_sub(variable, rate * gradient{})\n"
COUNTED = "        self.count += 1\n"
HALF = "mixed_bfloat16"


def specification(folder: Path, body: str, around: dict | None = None) -> object:
    folder.mkdir(exist_ok=True)  # one for each: a file is imported once
    (folder / "mine.py").write_text(CLASS + body)
    own = {"name": f"{folder / 'mine.py'}:Mine", "learning_rate": 0.1}
    return parse(own if around is None else around | {"inner_optimizer": own})


LOOKAHEAD = {"name": "lookahead", "sync_period": 3}
GATHERING = {"name": "soft_batch", "batches_per_update": 20}


FAILING = {
    "misspelt": (
        DESCENT.format(" / ops.squareroot(2.0)"),
        r"steps one by one: .*mine\.py:10: AttributeError: module 'keras\.ops' has no attribute",
    ),
    "branch": (
        "        if ops.sum(gradient) > 0:\n    " + DESCENT.format(""),
        r"steps in a graph, which is how it is trained: .*mine\.py:10: Operator.*a symbolic",
    ),
    "counter": (
        COUNTED + DESCENT.format(" / self.count"),
        "^keeps something that is no variable: after 12 steps in a graph",
    ),
    "flag": (
        COUNTED + "        if self.count > 4:\n    " + DESCENT.format(""),
        "^keeps something that is no variable: after 12 steps in a graph",
    ),
}


@pytest.mark.parametrize(("body", "said"), FAILING.values(), ids=FAILING)
def test_what_would_fail_or_be_wrong_in_training_is_told_with_its_line(
    tmp_path: Path, body: str, said: str
) -> None:
    with pytest.raises(UserOptimizerError, match=said) as caught:
        rehearse(specification(tmp_path, body), half=HALF)
    assert caught.value.path == ("name",)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "around", [LOOKAHEAD, pytest.param(GATHERING, marks=pytest.mark.slow)], ids=["in", "gathered"]
)
def test_inside_another_optimizer_it_is_found_too(tmp_path: Path, around: dict) -> None:
    for kind, said in (("branch", "Using a symbolic"), ("counter", "^keeps something that is no")):
        with pytest.raises(UserOptimizerError, match=said) as caught:
            rehearse(specification(tmp_path / kind, FAILING[kind][0], around), half=HALF)
        assert caught.value.path == ("inner_optimizer", "name")


@pytest.mark.parametrize(
    "body",
    [
        "        self.assign_sub(variable, rate * ops.sign(gradient))\n",
        DESCENT.format(" / (1 + ops.cast(self.iterations, 'float32'))"),
        DESCENT.format(" + tf.random.normal(gradient.shape)"),
        pytest.param(DESCENT.format(" * float('nan')"), marks=pytest.mark.slow),
        pytest.param(DESCENT.format(" * 0"), marks=pytest.mark.slow),
    ],
    ids=["descent", "variable", "random", "not a number", "standing"],
)
def test_what_can_be_trained_passes(tmp_path: Path, body: str) -> None:
    before = keras.config.dtype_policy().name
    rehearse(specification(tmp_path, body), half=HALF)
    assert keras.config.dtype_policy().name == before


@pytest.mark.parametrize(("half", "scales"), [("mixed_bfloat16", 0), ("mixed_float16", 1)])
def test_it_is_tried_in_half_precision_too(
    tmp_path: Path, half: str, scales: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled, own = [], keras.optimizers.LossScaleOptimizer.apply

    def apply(self: object, *arguments: object) -> None:
        scaled.append(self)
        own(self, *arguments)

    monkeypatch.setattr(keras.optimizers.LossScaleOptimizer, "apply", apply)
    rehearse(specification(tmp_path, DESCENT.format("")), half=half)
    assert len(scaled) == scales
    monkeypatch.setattr(keras.optimizers.LossScaleOptimizer, "apply", lambda *_: 1 / 0)
    if scales:
        with pytest.raises(UserOptimizerError, match=r"steps in mixed_float16: .*ZeroDivision"):
            rehearse(specification(tmp_path, DESCENT.format("")), half=half)
