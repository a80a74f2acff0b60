"""The room a run takes on the disk is said before it starts, and is enough."""

import math
import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest
from optrun.optimizers.registry import ENTRIES
from optrun.optimizers.specification import parse
from optrun.runner.config.load import load
from optrun.runner.config.schema import Experiment
from optrun.runner.engine import checkpoint
from optrun.runner.engine.engine import TensorFlowEngine
from optrun.runner.engine.network import build_classifier
from optrun.runner.engine.state import Position, State, to_checkpoint
from optrun.runner.models.base import Architecture
from optrun.runner.plan import forecast
from optrun.runner.plan.forecast import Room, room_of

ROOT = Path(__file__).resolve().parents[2]
SGD = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}
ADAM = {"name": "adam", "learning_rate": 0.1}
Optrun = Callable[..., tuple[int, str, str]]
Usage = namedtuple("Usage", ["total", "used", "free"])


def stated(name: str) -> dict[str, Any]:
    """The shortest specification of a registered optimizer."""
    given: dict[str, Any] = {"name": name}
    for argument in ENTRIES[name].arguments:
        if argument.required:
            given[argument.name] = {"optimizer": SGD, "int": 2}.get(argument.kind, 0.1)
    return given


SPECIFICATIONS = {
    **{name: stated(name) for name in ENTRIES},
    "sgd with momentum": SGD,
    "centralized": SGD | {"gradient_centralization": True},
    "amsgrad": ADAM | {"amsgrad": True},
    "rmsprop with everything": stated("rmsprop") | {"momentum": 0.9, "centered": True},
    "lookahead, pullback": stated("lookahead") | {"inner_state": "pullback"},
    "lookahead, reset": stated("lookahead") | {"inner_state": "reset"},
    "lookahead(heun)": {"name": "lookahead", "inner_optimizer": stated("heun")},
    "soft batch of one": stated("soft_batch") | {"batches_per_update": 1},
    "soft batch(lookahead(adam))": stated("soft_batch")
    | {"inner_optimizer": {"name": "lookahead", "inner_optimizer": ADAM}},
    "soft batch(ranger)": stated("soft_batch") | {"inner_optimizer": stated("ranger")},
}


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    return build_classifier(
        Architecture(
            image_size=32,
            pretrained_input=True,
            width=0.0625,
            pooling="flatten",
            hidden_units=(8,),
            trainable="block5",
        ),
        seed=1,
    )


@pytest.mark.parametrize("specification", SPECIFICATIONS.values(), ids=SPECIFICATIONS)
def test_the_state_of_every_optimizer_is_counted_without_building_it(
    specification: dict[str, Any], classifier: keras.Model
) -> None:
    optimizer = parse(specification).build(total_updates=10, track_fast_weights=True)
    optimizer.build(classifier.trainable_variables)
    sizes = [math.prod(variable.shape) for variable in optimizer.variables]
    shapes = [tuple(variable.shape) for variable in classifier.trainable_variables]

    counted = parse(specification).state_floats(shapes, track_fast_weights=True)
    # Counts, rates, and Adafactor's placeholders.
    scalars = sum(len(variable.shape) == 0 for variable in optimizer.variables)
    assert counted == sum(sizes) - scalars


def test_an_own_optimizer_is_asked(tmp_path: Path, classifier: keras.Model) -> None:
    own = tmp_path / "mine.py"
    own.write_text(
        "import keras\n\n\n"
        "class Three(keras.optimizers.SGD):\n"
        "    def build(self, variables):\n"
        "        super().build(variables)\n"
        "        self.more = [self.add_variable_from_reference(v, name=str(n))\n"
        "                     for v in variables for n in range(3)]\n"
    )
    specification = {"name": f"{own}:Three", "learning_rate": 0.1}
    weights = sum(math.prod(one.shape) for one in classifier.trainable_variables)
    shapes = [tuple(one.shape) for one in classifier.trainable_variables]

    assert parse(specification).state_floats(shapes) == 3 * weights


def experiment(*overrides: str, config: str = "adam") -> Experiment:
    path = ROOT / "configs" / f"{config}_vgg19.yaml"
    return load(path, list(overrides), sample=True).experiment


def folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("config", "trainable"),
    [("adam", "all"), ("adam", "block4"), ("lookahead_adam", "all"), ("ranger", "head")],
)
def test_checkpoints_are_as_large_as_estimated(tmp_path: Path, config: str, trainable: str) -> None:
    settings = experiment(
        "model.width=0.0625", "data.image_size=32", f"model.trainable={trainable}", config=config
    )
    model = build_classifier(
        Architecture(image_size=32, pretrained_input=True, width=0.0625, trainable=trainable),
        seed=1,
    )
    optimizer = settings.optimizer.build(total_updates=10, track_fast_weights=True)
    arrays = TensorFlowEngine(model, optimizer, jit_compile=False).state_dict()
    state = to_checkpoint(State(position=Position(), arrays=arrays), steps_per_epoch=1)
    checkpoint.save(tmp_path / "last", state.arrays, state.facts)
    checkpoint.save(tmp_path / "best", model.get_weights(), {"epoch": 1})

    expected = room_of(settings, photos=60, evaluated_photos=30)
    assert 1 <= expected.last / folder_bytes(tmp_path / "last") < 1.05
    assert 1 <= expected.best / folder_bytes(tmp_path / "best") < 1.05


def test_a_completed_run_takes_no_more_than_was_said(trained_run: Path) -> None:
    settings = load(trained_run / "config.yaml").experiment
    expected = room_of(settings, photos=100, evaluated_photos=50)

    checkpoints = trained_run / "checkpoint"
    assert 1 <= expected.best / folder_bytes(checkpoints / "best") < 1.05
    assert folder_bytes(trained_run) - folder_bytes(checkpoints) < expected.others
    assert folder_bytes(trained_run) < expected.when_completed
    assert {path.name for path in checkpoints.iterdir()} == {"best"}


def test_of_several_runs_one_has_its_checkpoints_in_the_making() -> None:
    small, large = Room(last=10, best=5, others=1), Room(last=100, best=50, others=10)
    kept = replace(large, keeps_last=True)

    assert (large.when_completed, kept.when_completed) == (60, 160)
    assert large.at_most == kept.at_most == 300 + 100 + 10
    assert forecast.at_most([small]) == small.at_most
    assert forecast.at_most([large, small, small]) == 60 + 6 + 6 + (410 - 60)
    assert forecast.at_most([kept, small, small]) == 160 + 6 + 6 + (410 - 160)


def test_photos_to_be_prepared_on_the_same_disk_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 1_000_000_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2 * free, free, free))
    rooms = [Room(last=100_000_000, best=50_000_000, others=1_000_000)]

    assert forecast.shortage(rooms, tmp_path / "not" / "yet") is None
    said = forecast.shortage(rooms, tmp_path, cache_bytes=700_000_000)
    assert said is not None
    assert "1.1 GB" in said
    assert "700 MB of them for prepared photos" in said
    assert "1.0 GB are free" in said


def test_a_file_system_that_does_not_tell_its_size_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 0))
    rooms = [Room(last=10**12, best=10**12, others=0)]

    assert forecast.shortage(rooms, tmp_path) is None
    assert "free" not in forecast.room_line(rooms, tmp_path)


def test_a_plan_that_the_disk_has_no_room_for_is_refused_before_it_starts(
    tmp_path: Path, optrun: Optrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 1_500_000_000))
    results = tmp_path / "results"
    plan = (
        *("train", ROOT / "configs" / "adam_vgg19.yaml", "--sample", "--results", results),
        *("--set", "model.width=1", "--seeds", "8", "--set", "data.limit=100"),
        *("--set", "training.keep_last_checkpoint=true"),
    )

    code, _, err = optrun(*plan)
    assert code == 2
    assert "8 runs may take 3.2 GB" in err
    assert "1.5 GB are free" in err
    assert str(results) in err
    assert "Traceback" not in err
    assert not results.exists()

    code, out, err = optrun(*plan, "--dry-run")
    assert (code, err) == (0, "")
    assert "It would not be started: 8 runs may take" in out
    assert "1.5 GB free there" in out


def test_what_a_plan_takes_and_what_is_free_is_said_at_its_start(
    tmp_path: Path, optrun: Optrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**11, 9 * 10**11))
    results = tmp_path / "results"
    # Ends where the photos have been prepared, which comes after it.
    code, out, _ = optrun(
        *("train", ROOT / "configs" / "adam_vgg19.yaml", "--sample", "--results", results),
        *("--set", "data.limit=20", "--set", "training.batch_size=1000"),
    )
    assert code == 2
    (said,) = [line for line in out.splitlines() if line.startswith("disk ")]
    assert said.endswith(f" at most in {results}, 900.0 GB free there")
