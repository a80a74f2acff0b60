"""A plan is a list of (config, settings, seed); a run of it is plain data that can be sent away."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optrun.runner.engine.signals import signals_heard
from optrun.runner.errors import UserError
from optrun.runner.events import EpochRecord, Event, NetworkBuilt, RunEnded, RunStarted, StepDone
from optrun.runner.plan import plan as plans
from optrun.runner.plan import progress
from optrun.runner.plan.executor import Request, execute
from optrun.runner.plan.plan import Entry, RunSpec
from optrun.runner.plan.resources import open_photos, prepare
from optrun.runner.plan.run import carry_out
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import native_stderr_captured
from rich.console import Console

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SILENT = Display(Console(), quiet=True)
TINY = (
    "data.image_size=32",
    "data.limit=120",
    "model.width=0.0625",
    "training.epochs=1",
    "training.precision=float32",
    "model.trainable=block5",
)


def entry(name: str, *settings: str) -> Entry:
    return Entry(CONFIGS / f"{name}_vgg19.yaml", (*TINY, *settings))


def spec_of(one: Entry, results: Path) -> RunSpec:
    plan = plans.make([one], sample=True)
    (run,) = plan.runs
    machine = progress.machine_for(run.experiment, "cpu", [], deterministic=False)
    resources = prepare([(run, machine)], display=SILENT, results=results)
    return resources.spec(run, machine, results, None)


# Reads a spec and writes what it tells; the last is what became of the run.
ANOTHER_PROCESS = """
import pickle, sys
from optrun.runner.engine.signals import signals_heard
from optrun.runner.plan.resources import open_photos
from optrun.runner.plan.run import carry_out
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import native_stderr_captured
from rich.console import Console
with open(sys.argv[1], "rb") as file:
    spec = pickle.load(file)
photos = open_photos(spec.planned.experiment, Display(Console(), quiet=True))
with signals_heard() as stops, native_stderr_captured() as native, open(sys.argv[2], "wb") as file:
    def tell(event):
        pickle.dump(event, file)
    tell(carry_out(spec, tell, stops=stops, native=native, photos=photos))
"""


def everything_in(file: Path) -> list[object]:
    told = []
    with file.open("rb") as stream:
        while stream.peek():
            told.append(pickle.load(stream))  # noqa: S301 - our own bytes
    return told


def predictions(results: Path) -> dict[str, bytes]:
    (file,) = results.glob("*/predictions.npz")
    with np.load(file) as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files}


def test_a_run_sent_to_another_process_is_the_run_made_here(
    tmp_path: Path, photo_cache: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    told_here: list[Event] = []
    spec = spec_of(entry("lookahead"), here)
    photos = open_photos(spec.planned.experiment, SILENT)
    with signals_heard() as stops, native_stderr_captured() as native:
        end = carry_out(spec, told_here.append, stops=stops, native=native, photos=photos)
    assert end == "completed"

    sent, received = tmp_path / "spec", tmp_path / "told"
    sent.write_bytes(pickle.dumps(spec_of(entry("lookahead"), there)))
    subprocess.run([sys.executable, "-c", ANOTHER_PROCESS, sent, received], check=True)
    told = everything_in(received)
    assert told[-1] == "completed"
    assert list(map(type, told[:-1])) == list(map(type, told_here))
    assert {type(event) for event in told_here} >= {
        *(RunStarted, NetworkBuilt, StepDone, EpochRecord, RunEnded)
    }
    assert predictions(here) == predictions(there)


def test_a_new_run_whose_folder_cannot_be_made_is_a_mistake_that_can_be_sent(
    tmp_path: Path,
) -> None:
    spec = replace(spec_of(entry("sgd"), tmp_path), results=tmp_path / "missing")
    (tmp_path / "missing").write_text("no folder")
    photos = open_photos(spec.planned.experiment, SILENT)
    with (
        signals_heard() as stops,
        native_stderr_captured() as native,
        pytest.raises(UserError) as raised,
    ):
        carry_out(spec, [].append, stops=stops, native=native, photos=photos)
    again = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 - our own bytes
    assert (type(again), str(again)) == (type(raised.value), str(raised.value))


@pytest.mark.usefixtures("shallow_network")
def test_a_config_may_stand_in_a_plan_several_times_with_other_settings(
    tmp_path: Path, photo_cache: Path
) -> None:
    entries = [entry("sgd", f"optimizer.learning_rate={rate}") for rate in (0.01, 0.02)]
    request = Request(entries, seeds=[1], sample=True, device="cpu", results=tmp_path, quiet=True)
    assert execute(request) == 0
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("*/run.json")]
    rates = {
        (run["optimizer"]["specification"]["learning_rate"]["initial"], run["seed"])
        if isinstance(run["optimizer"]["specification"]["learning_rate"], dict)
        else (run["optimizer"]["specification"]["learning_rate"], run["seed"])
        for run in runs
    }
    assert rates == {(0.01, 1), (0.02, 1)}

    # Picked up again, each finds its own.
    picked_up = Request(
        entries, seeds=[1], sample=True, device="cpu", results=tmp_path, resume=True, quiet=True
    )
    assert execute(picked_up) == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_the_same_experiment_twice_is_a_mistake() -> None:
    with pytest.raises(UserError, match="is given twice; name seeds instead"):
        plans.make([entry("sgd"), entry("sgd", "notes=again")], sample=True)
