"""A plan is a list of (config, settings, seed); a run of it is plain data that can be sent away."""

import json
import multiprocessing
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
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
from optrun.runner.plan.resources import prepare
from optrun.runner.plan.run import carry_out, work
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import native_stderr_captured
from rich.console import Console

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
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


@contextmanager
def spec_of(one: Entry, results: Path) -> Iterator[RunSpec]:
    plan = plans.make([one], sample=True)
    (run,) = plan.runs
    machine = progress.machine_for(run.experiment, "cpu", [], deterministic=False)
    display = Display(Console(), quiet=True)
    resources = prepare([(run, machine)], display=display, results=results)
    yield resources.spec(run, machine, results, None)


def everything_from(receiving: Connection) -> Iterator[object]:
    """What comes through until the other end is closed."""
    while True:
        try:
            yield receiving.recv()
        except EOFError:
            return


def predictions(results: Path) -> dict[str, bytes]:
    (file,) = results.glob("*/predictions.npz")
    with np.load(file) as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files}


def test_a_run_sent_to_another_process_is_the_run_made_here(
    tmp_path: Path, photo_cache: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    told_here: list[Event] = []
    with (
        spec_of(entry("lookahead"), here) as spec,
        signals_heard() as stops,
        native_stderr_captured() as native,
    ):
        assert carry_out(spec, told_here.append, stops=stops, native=native) == "completed"

    with spec_of(entry("lookahead"), there) as spec:
        context = multiprocessing.get_context("spawn")
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(spec, sending))
        process.start()
        sending.close()
        told = list(everything_from(receiving))
        process.join()
    assert process.exitcode == 0
    assert told[-1] == "completed"
    assert list(map(type, told[:-1])) == list(map(type, told_here))
    assert {type(event) for event in told_here} >= {
        *(RunStarted, NetworkBuilt, StepDone, EpochRecord, RunEnded)
    }
    assert predictions(here) == predictions(there)


def test_a_mistake_found_in_another_process_comes_back_as_one(tmp_path: Path) -> None:
    with spec_of(entry("sgd"), tmp_path) as spec:
        receiving, sending = multiprocessing.Pipe(duplex=False)
        gone = pickle.loads(pickle.dumps(spec))  # noqa: S301 - our own bytes
        (tmp_path / "missing").write_text("no folder")
        work(type(gone)(**{**gone.__dict__, "results": tmp_path / "missing"}), sending)
    assert isinstance(receiving.recv(), UserError)


@pytest.mark.usefixtures("shallow_network")
def test_a_config_may_stand_in_a_plan_several_times_with_other_settings(
    tmp_path: Path, photo_cache: Path
) -> None:
    entries = [entry("sgd", f"optimizer.learning_rate={rate}") for rate in (0.01, 0.02)]
    request = Request(
        entries, seeds=[1, 2], sample=True, device="cpu", results=tmp_path, quiet=True
    )
    assert execute(request) == 0
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("*/run.json")]
    rates = {
        (run["optimizer"]["specification"]["learning_rate"]["initial"], run["seed"])
        if isinstance(run["optimizer"]["specification"]["learning_rate"], dict)
        else (run["optimizer"]["specification"]["learning_rate"], run["seed"])
        for run in runs
    }
    assert rates == {(rate, seed) for rate in (0.01, 0.02) for seed in (1, 2)}

    # Picked up again, each finds its own.
    picked_up = Request(
        entries, seeds=[1, 2], sample=True, device="cpu", results=tmp_path, resume=True, quiet=True
    )
    assert execute(picked_up) == 0
    assert len(list(tmp_path.iterdir())) == 4


def test_the_same_experiment_twice_is_a_mistake() -> None:
    with pytest.raises(UserError, match="is given twice; name seeds instead"):
        plans.make([entry("sgd"), entry("sgd", "notes=again")], sample=True)
