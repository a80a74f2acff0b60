"""`optrun verify` finds two runs the same, or says what differs; it leaves nothing behind."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from optrun.runner.config.load import load
from optrun.runner.engine import checkpoint
from optrun.runner.errors import UserError
from optrun.runner.plan.executor import Request
from optrun.runner.plan.plan import Entry
from optrun.runner.runs import checkpoint_places as places
from optrun.runner.verify import (
    BEGUN,
    EPOCH,
    STEP,
    TURNS,
    Event,
    Failure,
    Phase,
    Training,
    choose,
    compare,
    moments,
    verify,
)

ROOT = Path(__file__).resolve().parents[2]
Answer = tuple[int, str, str]

# Two epochs of ten steps, whose weights are a function of the step, without TensorFlow.
IMITATION = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from optrun.runner.engine import checkpoint
from optrun.runner.runs import checkpoint_places as places

STEPS, PER_EPOCH = 20, 10
request = json.loads(sys.stdin.read() or sys.exit(1))
behaviour = os.environ.get("IMITATION", "")

def tell(kind, steps_done):
    event = {"kind": kind, "steps_done": steps_done, "steps_per_epoch": PER_EPOCH, "steps": STEPS,
             "at": time.monotonic()}
    os.write(1, json.dumps(event).encode() + b"\\n")

def rows(steps):
    return [{"epoch": n, "loss": 1 / n, "training_seconds": time.monotonic()}
            for n in range(1, steps // PER_EPOCH + 1)]

def record(run, state, **more):
    content = {"format": 1, "name": "verify", "seed": 1, "sample": True, "state": state,
               "started": "2026-11-20T15:30:00+00:00", "experiment": "e",
               "optimizer": {"description": "SGD"},
               "comparable": {"device": "cpu", "precision": "float32"},
               "provenance": {"initial_weights": "i", "first_batches": "b"}, **more}
    (run / "run.json").write_text(json.dumps(content))

def save(run, steps):
    if killed and behaviour == "weights" and steps == STEPS:
        weights = np.arange(6.0) + steps + 1e-12
    else:
        weights = np.arange(6.0) + steps
    arrays = {"model/0000": weights, "optimizer/0000": np.float32(steps) * np.ones((2, 2), "f")}
    facts = {"position": {"epoch": steps // PER_EPOCH, "batch": 0}, "records": rows(steps),
             "best_epoch": 1, "steps_done": steps}
    checkpoint.save(places.best(run), [weights], {"epoch": 1})
    checkpoint.save(places.last(run), arrays, facts, keep_previous=True)

if "entries" in request:
    if behaviour == "diverges":
        sys.exit(3)
    run = Path(request["results"]) / "verify-s1-abcdef"
    run.mkdir(parents=True, exist_ok=True)
    done = 0
    (run / "pid").write_text(str(os.getpid()))
    record(run, "running")
else:
    if behaviour == "cannot resume":
        print("the checkpoint is damaged", file=sys.stderr)
        sys.exit(2)
    run = Path(request["runs"][0])
    try:
        done = checkpoint.read_newest(places.last(run))[0].facts["steps_done"]
    except FileNotFoundError:
        done = 0
killed = run.parent.name == "killed"
tell("run", done)
for step in range(done, STEPS):
    time.sleep(0.01 if behaviour != "slow" else 0.5)
    tell("step", step + 1)
    if (step + 1) % PER_EPOCH == 0:
        time.sleep(0.05)
        tell("epoch", step + 1)
        save(run, step + 1)
time.sleep(0.1)
events = [{"event": "epoch", "time": time.time(), **row} for row in rows(STEPS)]
if killed and behaviour == "row":
    events[1]["loss"] = 0.25
lines = [{"event": "started", "time": time.time()}, *events]
(run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\\n" for line in lines))
np.savez(run / "predictions.npz", test_ids=np.array(["a", "b"]), test_logits=np.ones(2, "f"))
record(run, "completed", result={"best_epoch": 1, "test_accuracy": 0.5, "images_per_second": 9.0})
"""


@pytest.fixture
def imitation(tmp_path: Path) -> functools.partial[Training]:
    """Starts what behaves as a training does, at a thousandth of its cost."""
    script = tmp_path / "imitation.py"
    script.write_text(IMITATION)
    return functools.partial(Training, program=(sys.executable, "-P", str(script)))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def completed(tmp_path: Path, imitation: functools.partial[Training]) -> Callable[[str], Path]:
    """Makes a completed run."""

    def make(name: str) -> Path:
        request = Request([Entry(Path("x"))], results=tmp_path / name)
        log = tmp_path / f"{name}.log"
        with imitation(log=log, cache=tmp_path) as training:
            training.begin(request, request.results)
            assert training.wait() == 0, log.read_text()
        return tmp_path / name / "verify-s1-abcdef"

    return make


def test_a_run_that_is_killed_and_the_same_is_proved(
    imitation: functools.partial[Training],
    temporary: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert verify(None, kills=3, kill_seed=5, start=imitation) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1].startswith("Identical: the run killed 3 times")
    assert max(map(len, lines)) <= 80
    assert sum(line.endswith("identical") for line in lines) == 9
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        ("weights", "model/0000: 6 of 6 values, the first at [0], 20.0 against 20.000000000001"),
        ("row", "row 2.loss: 0.5 against 0.25"),
    ],
)
def test_a_difference_is_found_and_the_runs_are_kept(
    behaviour: str,
    told: str,
    imitation: functools.partial[Training],
    temporary: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMITATION", behaviour)
    assert verify(None, kills=2, start=imitation) == 1
    out = capfd.readouterr().out
    assert told in out
    assert out.splitlines()[-1].startswith("DIFFERENT: the run killed twice differs in ")
    (kept,) = temporary.iterdir()
    assert f"Both runs are kept in {kept}" in out
    assert {"uninterrupted", "killed"} <= {path.name for path in kept.iterdir()}


def test_a_run_that_cannot_go_on_is_no_proof(
    imitation: functools.partial[Training],
    temporary: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMITATION", "cannot resume")
    assert verify(None, kills=2, start=imitation) == 1
    out = capfd.readouterr().out
    assert "the checkpoint is damaged" in out
    assert out.splitlines()[-1] == "DIFFERENT: it can't be resumed."


def test_an_experiment_that_diverges_is_the_persons_to_change(
    imitation: functools.partial[Training], temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMITATION", "diverges")
    with pytest.raises(UserError, match="lower the learning rate"):
        verify(None, start=imitation)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_what_it_started_and_leaves_nothing(
    number: signal.Signals, imitation: functools.partial[Training], tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    code = (
        "import functools, sys\n"
        "from optrun.runner.verify import Training, verify\n"
        f"start = functools.partial(Training, program={imitation.keywords['program']!r})\n"
        "sys.exit(verify(None, start=start))\n"
    )
    environment = {**os.environ, "TMPDIR": str(temporary), "IMITATION": "slow"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while not (pids := list(temporary.glob("*/uninterrupted/*/pid"))):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.1)
    child = int(pids[0].read_text())
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert err == "optrun: interrupted\n"
    assert not psutil.pid_exists(child)
    assert list(temporary.iterdir()) == []


def test_mistakes_are_answered_before_anything_is_trained(
    optrun: Callable[..., Answer], tmp_path: Path
) -> None:
    code, _, err = optrun("verify", tmp_path / "missing.yaml")
    assert code == 2
    assert "missing.yaml" in err
    code, _, err = optrun("verify", "--set", "training.epoch=3")
    assert code == 2
    assert "epochs" in err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    code, _, err = optrun("verify", "--keep", tmp_path / "full")
    assert code == 2
    assert "new or empty" in err
    assert (tmp_path / "full" / "file").exists()


def _changed_array(run: Path, kind: str) -> None:
    folder = places.best(run) if kind == "best" else places.last(run)
    saved = checkpoint.read(folder)
    name = "0000" if kind == "best" else f"{kind}/0000"
    array = np.array(saved.arrays[name])
    array.flat[-1] = np.nextafter(array.flat[-1], array.dtype.type(np.inf))
    checkpoint.save(folder, {**saved.arrays, name: array}, saved.facts)


def _changed_json(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((run / "run.json").read_text())
    change(content)
    (run / "run.json").write_text(json.dumps(content))


def _changed_predictions(run: Path) -> None:
    np.savez(run / "predictions.npz", test_ids=np.array(["a", "b"]), test_logits=-np.zeros(2, "f"))


TAMPERINGS: list[tuple[str, Callable[[Path], object]]] = [
    ("weights", lambda run: _changed_array(run, "model")),
    ("optimizer state", lambda run: _changed_array(run, "optimizer")),
    ("best epoch's weights", lambda run: _changed_array(run, "best")),
    ("predictions", _changed_predictions),
    ("result", lambda run: _changed_json(run, lambda one: one["result"].update(test_accuracy=1))),
    ("start", lambda run: _changed_json(run, lambda one: one.update(experiment="f"))),
    ("metric rows", lambda run: (run / "metrics.jsonl").write_text("")),
]


def test_each_part_is_compared_in_every_bit_but_the_clocks(
    completed: Callable[[str], Path], tmp_path: Path
) -> None:
    run, other = completed("one"), completed("other")
    assert [part.name for part in compare(run, other) if part.difference] == []
    for name, tamper in TAMPERINGS:
        tampered = tmp_path / "tampered"
        shutil.copytree(other, tampered)
        tamper(tampered)
        different = [part for part in compare(run, tampered) if part.difference]
        assert [part.name for part in different] == [name]
        assert different[0].hashes[0] != different[0].hashes[1]
        shutil.rmtree(tampered)


def test_what_cannot_be_read_is_not_the_same(completed: Callable[[str], Path]) -> None:
    run, damaged, cut_short = map(completed, ("one", "damaged", "cut_short"))
    (damaged / "predictions.npz").write_bytes(b"PK")
    _changed_json(cut_short, lambda one: one.update(state="interrupted"))
    for other in (damaged, cut_short):
        with pytest.raises(Failure, match="can't be compared"):
            compare(run, other)


def test_the_same_seed_draws_the_same_moments() -> None:
    per_epoch, steps = 10, 30
    kinds = [(BEGUN, 0), *((STEP, step) for step in range(1, steps + 1)), (EPOCH, steps)]
    told = [Event(kind, done, per_epoch, steps, at) for at, (kind, done) in enumerate(kinds)]
    assert moments(8, told, 1) == moments(8, told, 1) != moments(8, told, 2)
    assert {moment.phase for moment in moments(8, told, 1)} == set(TURNS)
    for moment in moments(8, told, 1):
        assert 0 <= moment.step < steps
        assert (moment.step == 0) == (moment.phase is Phase.START)


def test_the_built_in_experiment_is_the_shipped_one(tmp_path: Path) -> None:
    verified = choose(None, [], seed=4, folder=tmp_path)[0].runs[0].experiment
    shipped = load(ROOT / "configs" / "lookahead_vgg19.yaml", sample=True).experiment
    assert verified.optimizer == shipped.optimizer
    assert verified.training.seed == 4
    assert verified.model.head.dropout


def test_what_a_person_sets_outranks_the_shortening(tmp_path: Path) -> None:
    config = ROOT / "configs" / "soft_batch_vgg19.yaml"
    overrides = ["training.epochs=5", "training.batch_size=32"]
    plan, request = choose(config, overrides, sample=True, folder=tmp_path)
    (run,) = plan.runs
    assert run.experiment.training.epochs == 5
    assert run.experiment.data.limit == 320
    assert run.experiment.data.image_size == 48
    assert request.sample


def test_a_warm_up_is_shortened_with_the_run(tmp_path: Path) -> None:
    config = tmp_path / "warm.yaml"
    rate = "{schedule: cosine, initial_learning_rate: 0.01, warmup_updates: 100}"
    sgd = f"{{name: sgd, learning_rate: {rate}}}"
    lookahead = f"{{name: lookahead, inner_optimizer: {sgd}}}"
    config.write_text(f"extends: {ROOT / 'configs' / 'vgg19.yaml'}\noptimizer: {lookahead}\n")
    (run,) = choose(config, sample=True, folder=tmp_path)[0].runs
    assert [warmup for _, warmup in run.experiment.optimizer.warmups()] == [4]


def test_help_needs_no_tensorflow() -> None:
    code = "import optrun.runner.commands.verify, sys; print('tensorflow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(
    capfd: pytest.CaptureFixture[str], temporary: Path
) -> None:
    settings = (
        *("data.image_size=32", "data.limit=160", "training.epochs=2"),
        *("model.width=0.0625", "model.trainable=block5"),  # quickly traced
    )
    assert verify(None, overrides=settings, device="cpu", kills=1) == 0
    out = capfd.readouterr().out
    assert "killed once is the uninterrupted one, bit for bit" in out
    assert list(temporary.iterdir()) == []
