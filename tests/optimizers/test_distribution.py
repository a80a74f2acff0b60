"""Two replicas on two logical CPUs take the steps of one device."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from optrun.optimizers.registry import ENTRIES

PROGRAM = Path(__file__).parent / "checks" / "replicas.py"


def compared(specifications):
    """What the program says, by name."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), json.dumps(specifications)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(done.stderr[-3000:])
    said = [json.loads(line) for line in done.stdout.splitlines()]
    return {one.pop("name"): one for one in said}


def check_the_same(outcomes):
    different = {
        name: outcome
        for name, outcome in outcomes.items()
        if not outcome.get("identical")
        or outcome["updates"][0] != outcome["updates"][1]
        or max(outcome["deviation"], outcome["loss_deviation"]) > 1e-5
    }
    assert different == {}


def in_turn(specification):
    """Reduced without collectives, which a reduction inside a condition needs."""
    return {"strategy": "in turn", **specification}


@pytest.mark.slow
def test_replicas_agree_and_reduce_the_gradient_of_every_stage(specification_of):
    heun = {"name": "heun", "learning_rate": 0.3}
    outcomes = compared(
        {
            "heun": heun,
            "heun, stages not reduced": heun | {"local_stages": True},
            "lookahead": specification_of("lookahead") | {"sync_period": 3},
        }
    )
    wrong = outcomes.pop("heun, stages not reduced")
    check_the_same(outcomes)
    # Replicas whose stages are their own agree with each other still, and with one device no more.
    assert wrong["identical"]
    assert wrong["deviation"] > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_every_optimizer_takes_the_steps_of_one_device(part, specification_of):
    outcomes = compared(
        {
            name: in_turn(specification_of(name))
            if name == "soft_batch"
            else specification_of(name)
            for name in list(ENTRIES)[part::3]
        }
    )
    assert list(outcomes) == list(ENTRIES)[part::3]
    check_the_same(outcomes)


@pytest.mark.slow
def test_nestings_and_options_take_the_steps_of_one_device():
    adam = {"name": "adam", "learning_rate": 0.05}
    rk45 = {"name": "rk45", "learning_rate": 0.3, "weight_decay": 0.1, "global_clipnorm": 0.5}
    lookahead = {"name": "lookahead", "inner_optimizer": adam, "sync_period": 2}
    heavy_ball = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}
    soft = {"name": "soft_batch", "inner_optimizer": lookahead, "batches_per_update": 3}
    check_the_same(
        compared(
            {
                "lookahead around rk45": lookahead | {"inner_optimizer": rk45},
                "lookahead, reset": lookahead | {"inner_state": "reset"},
                "lookahead, pullback": lookahead
                | {"inner_state": "pullback", "inner_optimizer": heavy_ball},
                "centralized adam": adam | {"gradient_centralization": True},
                "centralized rk45": rk45 | {"gradient_centralization": True},
                "soft batch of lookahead": in_turn(soft),
                "loss scaled adam": in_turn(adam | {"loss_scale": True}),
                "loss scaled rk45": in_turn(rk45 | {"loss_scale": True}),
                "loss scaled soft batch of lookahead": in_turn(soft | {"loss_scale": True}),
            }
        )
    )


@pytest.mark.slow
def test_reductions_that_would_go_wrong_inside_a_condition_are_refused(specification_of):
    outcomes = compared(
        {
            "soft_batch": specification_of("soft_batch"),
            "heun": specification_of("heun") | {"loss_scale": True},
        }
    )
    assert outcomes["soft_batch"]["refused"].startswith(
        "SoftBatch reduces gradients inside a condition"
    )
    assert outcomes["heun"]["refused"].startswith("LossScaleOptimizer around Heun reduces")
