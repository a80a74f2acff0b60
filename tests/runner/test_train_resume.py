"""`optrun train --resume`: a plan cut short is picked up where it was; nothing is trained twice."""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optrun.runner.engine import checkpoint
from optrun.runner.engine import hardware as machines
from optrun.runner.engine import state as training_state
from optrun.runner.engine.checkpointer import Storage
from optrun.runner.engine.hardware import Machine
from optrun.runner.engine.loop import Outcome
from optrun.runner.engine.signals import Interrupted
from optrun.runner.engine.state import Diverged, Position, State
from optrun.runner.plan import plan as plans
from optrun.runner.plan import progress as plan_progress
from optrun.runner.plan import run as single_run
from optrun.runner.runs.run_folder import reopen

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SGD, ADAM = CONFIGS / "sgd_vgg19.yaml", CONFIGS / "adam_vgg19.yaml"
SETTINGS = (
    *("data.image_size=32", "data.limit=160", "training.epochs=3"),
    *("model.width=0.0625", "model.trainable=block5"),
)
TINY = tuple(part for setting in SETTINGS for part in ("--set", setting))

Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]
MakeArchive = Callable[[Path, Sequence[str]], Path]
RESULT = {
    "best_epoch": 1,
    "best_validation_loss": 0.5,
    "best_validation_accuracy": 0.75,
    "test_accuracy": 0.75,
    "test_log_loss": 0.5,
    "test_roc_auc": 0.8,
    "training_seconds": 1.0,
    "epochs": 3,
}


class Trainer:
    """Stands in for the training: does what it is told of each run, and remembers the call.

    Attributes:
        will: What becomes of a run, by name and seed: completed (if nothing is said), diverged,
            failed, or the step at which a signal comes.
        calls: Name, seed and steps done before, of each run that was trained.
        machines: On what.
    """

    def __init__(self) -> None:
        self.will: dict[tuple[str, int], str | int] = {}
        self.calls: list[tuple[str, int, int]] = []
        self.machines: list[Machine] = []

    def __call__(
        self,
        experiment: Any,
        *,
        machine: Machine,
        storage: Storage,
        resumed: State | None = None,
        **_: Any,
    ) -> Outcome:
        name, seed = experiment.name.removesuffix("_vgg19"), experiment.training.seed
        self.calls.append((name, seed, resumed.position.steps_done(8) if resumed else 0))
        self.machines.append(machine)
        match self.will.get((name, seed), "completed"):
            case "failed":
                raise ZeroDivisionError("planted")
            case "diverged":
                raise diverged()
            case int() as step:
                save_at(storage, step)
                raise Interrupted(signal.SIGTERM)
        return Outcome(result=dict(RESULT), predictions={"test_ids": np.array(["a"])})


def diverged() -> Diverged:
    return Diverged("the loss", step=3, epoch=1, last_finite={})


def save_at(storage: Storage, step: int) -> None:
    state = State(
        position=Position(epoch=step // 8, batch=step % 8),
        arrays={"model/0000": np.ones(1, np.float32)},
        seconds={"training": 1.0, "evaluation": 0.0, "other": 0.0},
    )
    written = training_state.to_checkpoint(state, steps_per_epoch=8)
    checkpoint.save(storage.last, written.arrays, written.facts, owner=storage.run_id)


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    stand_in = Trainer()
    monkeypatch.setattr(single_run, "train", stand_in)
    return stand_in


@pytest.fixture
def train(optrun: Optrun, tmp_path: Path) -> Callable[..., Answer]:
    """`optrun train` with two configs, two seeds, on the tiny sample, into tmp_path/results."""

    def call(*options: object, configs: Sequence[Path] = (SGD, ADAM), seeds: str = "2") -> Answer:
        results = ("--results", tmp_path / "results")
        return optrun("train", *configs, "--sample", *TINY, "--seeds", seeds, *results, *options)

    return call


def in_results(tmp_path: Path, pattern: str = "*") -> Path:
    (folder,) = (tmp_path / "results").glob(pattern)
    return folder


def edit(folder: Path, **changes: Any) -> None:
    """Changes run.json; dotted keys lie deeper."""
    content = json.loads((folder / "run.json").read_text())
    for dotted, value in changes.items():
        *sections, key = dotted.split("__")
        section = content
        for name in sections:
            section = section[name]
        section[key] = value
    (folder / "run.json").write_text(json.dumps(content))


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "writer.lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_plan_cut_short_is_picked_up_in_its_order(
    train: Callable[..., Answer], trainer: Trainer, tmp_path: Path
) -> None:
    trainer.will = {("adam", 1): "diverged", ("sgd", 2): "failed", ("adam", 2): 11}
    code, out, _ = train()
    assert code == 143
    assert "the same command with --resume" in out
    done = {name: in_results(tmp_path, f"*{name}*-s1-*") for name in ("sgd", "adam")}
    before = {name: contents(folder) for name, folder in done.items()}
    (tmp_path / "results" / "sample-sgd_vgg19-s3-abcdef").mkdir()  # killed right after mkdir
    trainer.calls, trainer.will = [], {}

    code, out, _ = train("--resume", seeds="3")
    assert code == 3  # one of the plan diverged, if not now
    assert trainer.calls == [("sgd", 2, 0), ("adam", 2, 11), ("sgd", 3, 0), ("adam", 3, 0)]
    assert {name: contents(folder) for name, folder in done.items()} == before
    assert "6 planned: 1 completed, 1 diverged, 2 to go on with, 2 to start" in out
    assert "6 runs: 1 completed before, 1 diverged before, 4 completed" in out
    assert "run 3 of 6" in out
    assert "run 1 of 6" not in out

    trainer.calls = []
    code, out, _ = train("--resume", seeds="3")
    assert (code, trainer.calls) == (3, [])
    assert "6 runs: 5 completed before, 1 diverged before" in out


def test_everything_is_prepared_once(
    train: Callable[..., Answer], trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optrun.runner.plan import resources as preparation

    trainer.will = {("sgd", 1): 3}
    assert train()[0] == 143
    prepared, prepare = [], preparation.prepare

    def counted(*arguments: Any, **named: Any) -> Any:
        prepared.append(arguments)
        return prepare(*arguments, **named)

    monkeypatch.setattr(preparation, "prepare", counted)
    trainer.will = {}
    assert train("--resume")[0] == 0
    assert len(prepared) == 1


def test_a_run_that_says_running_but_is_nobodys_goes_on(
    train: Callable[..., Answer], trainer: Trainer, tmp_path: Path
) -> None:
    trainer.will = {("sgd", 1): 5}
    train(configs=[SGD], seeds="1")
    edit(in_results(tmp_path), state="running", ended=None)
    trainer.will = {}
    assert train("--resume", configs=[SGD], seeds="1")[0] == 0
    assert trainer.calls[-1] == ("sgd", 1, 5)


def test_a_run_that_another_process_writes_is_left_to_it(
    train: Callable[..., Answer], trainer: Trainer, tmp_path: Path
) -> None:
    trainer.will = {("sgd", 1): 5}
    train(configs=[SGD])
    folder = in_results(tmp_path)
    edit(folder, state="running")
    before = contents(folder)
    trainer.calls, trainer.will = [], {("sgd", 2): "diverged"}
    with reopen(folder, record(folder)["id"]):
        code, out, err = train("--resume", configs=[SGD])
    assert code == 5
    assert trainer.calls == [("sgd", 2, 0)]
    assert f"process {os.getpid()} on " in err
    assert f"running  {folder}, by process {os.getpid()} on " in out
    assert "2 runs: 1 left to the process that writes it, 1 diverged" in out
    assert contents(folder) == before


def test_of_several_unfinished_ones_the_furthest_goes_on(
    train: Callable[..., Answer], trainer: Trainer, tmp_path: Path
) -> None:
    for step in (4, 17, 9):
        trainer.will = {("sgd", 1): step}
        train(configs=[SGD], seeds="1")
    copies = {step_of(path): path for path in (tmp_path / "results").iterdir()}
    others = {step: contents(copies[step]) for step in (4, 9)}
    furthest, trainer.will = max(copies), {}
    code, out, _ = train("--resume", configs=[SGD], seeds="1")
    assert (code, trainer.calls[-1]) == (0, ("sgd", 1, furthest))
    assert "from step 18 of 24, the furthest of 3, left alone: " in out
    assert {step: contents(copies[step]) for step in (4, 9)} == others

    # The completed one makes the others irrelevant.
    calls = len(trainer.calls)
    code, out, _ = train("--resume", configs=[SGD], seeds="1")
    assert (code, len(trainer.calls)) == (0, calls)
    assert "1 planned: 1 completed" in out


def step_of(folder: Path) -> int:
    manifest = json.loads((folder / "checkpoint" / "last" / "manifest.json").read_text())
    step: int = manifest["facts"]["steps_done"]
    return step


def test_one_that_cannot_be_resumed_is_said_and_keeps_none_of_the_others(
    train: Callable[..., Answer], trainer: Trainer, tmp_path: Path
) -> None:
    trainer.will = {("sgd", 1): 5}
    train(configs=[SGD])
    folder = in_results(tmp_path)
    file = folder / "checkpoint" / "last" / "weights.npz"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    before = contents(folder)
    trainer.calls, trainer.will = [], {}
    code, out, err = train("--resume", configs=[SGD])
    assert (code, trainer.calls) == (1, [("sgd", 2, 0)])
    assert "none of its checkpoints is whole" in err
    assert "2 runs: 1 cannot be resumed, 1 completed" in out
    assert contents(folder) == before


def test_another_experiment_seed_or_name_is_no_run_of_the_plan(
    train: Callable[..., Answer], trainer: Trainer, tmp_path: Path
) -> None:
    train(configs=[SGD], seeds="1")
    renamed = tmp_path / "renamed.yaml"
    renamed.write_text(f"extends: {SGD}\nname: renamed\n")
    trainer.calls = []
    for options, configs, seeds in (
        (("--set", "training.batch_size=13"), [SGD], "1"),
        ((), [SGD], "2-2"),
        ((), [renamed], "1"),
    ):
        code, out, _ = train("--resume", *options, configs=configs, seeds=seeds)
        assert code == 0
        assert "1 planned: 1 to start" in out
    assert len(trainer.calls) == 3


def test_what_says_nothing_about_the_result_may_be_changed(
    train: Callable[..., Answer], trainer: Trainer
) -> None:
    trainer.will = {("sgd", 1): 5}
    train(configs=[SGD], seeds="1")
    trainer.will = {}
    options = ("--set", "training.checkpoint_minutes=1", "--set", "notes=again")
    assert train("--resume", *options, configs=[SGD], seeds="1")[0] == 0
    assert trainer.calls[-1] == ("sgd", 1, 5)


def test_a_dry_run_says_of_every_run_what_would_be_done_and_does_nothing(
    train: Callable[..., Answer], trainer: Trainer, tmp_path: Path
) -> None:
    trainer.will = {("adam", 1): "diverged", ("sgd", 2): 11}
    train()
    trainer.calls = []
    before = contents(tmp_path)
    code, out, err = train("--resume", "--dry-run")
    rows = [line.split()[1:4] for line in out.splitlines() if line.startswith("  seed")]
    assert (code, err, trainer.calls) == (0, "", [])
    assert rows == [
        ["1", "sample-sgd_vgg19", "completed"],
        ["1", "sample-adam_vgg19", "diverged"],
        ["2", "sample-sgd_vgg19", "go"],
        ["2", "sample-adam_vgg19", "start"],
    ]
    assert "from step 12 of 24" in out
    assert "2 runs, one after another" in out
    assert contents(tmp_path) == before


def test_quiet_prints_the_folders_of_the_whole_plan(
    train: Callable[..., Answer], trainer: Trainer, tmp_path: Path
) -> None:
    train(seeds="1")
    code, out, err = train("--resume", "--quiet")
    assert (code, err) == (0, "")
    assert {Path(line) for line in out.splitlines()} == set((tmp_path / "results").iterdir())


@pytest.fixture
def own_photos(make_archive: MakeArchive, tmp_path: Path) -> Callable[[str, int], Path]:
    """An archive of a name with so many cats and dogs."""

    def make(name: str, count: int) -> Path:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        names = [f"train/{kind}.{i}.jpg" for i in range(count) for kind in ("cat", "dog")]
        return make_archive(tmp_path / name, names)

    return make


@pytest.fixture
def train_on(optrun: Optrun, tmp_path: Path) -> Callable[..., Answer]:
    """`optrun train` with one seed on photos of one's own."""

    def call(photos: Path, *options: object) -> Answer:
        changes = (f"data.source={photos}", "model.weights=random", "data.image_size=32")
        settings = (part for change in changes for part in ("--set", change))
        results = ("--results", tmp_path / "results")
        return optrun("train", SGD, "--real", *settings, *results, *options)

    return call


def test_photos_that_moved_are_the_same_photos_and_others_are_not(
    train_on: Callable[..., Answer],
    trainer: Trainer,
    own_photos: Callable[[str, int], Path],
    tmp_path: Path,
) -> None:
    assert train_on(own_photos("photos.zip", 30))[0] == 0
    (tmp_path / "moved").mkdir()
    moved = (tmp_path / "photos.zip").rename(tmp_path / "moved" / "photos.zip")
    code, out, _ = train_on(moved, "--resume")
    assert (code, len(trainer.calls)) == (0, 1)
    assert f"if its photos from {tmp_path / 'photos.zip'} are those of the plan" in out

    trainer.will = {("sgd", 1): 2}
    code, out, _ = train_on(own_photos("others.zip", 31), "--resume")
    assert (code, len(trainer.calls)) == (143, 2)
    assert "no run of this plan: the photos and the division of the photos are not those" in out

    trainer.will = {}
    assert train_on(tmp_path / "others.zip", "--resume")[0] == 0
    assert trainer.calls[-1] == ("sgd", 1, 2)


def test_a_run_whose_photos_were_changed_is_not_gone_on_with(
    train_on: Callable[..., Answer],
    trainer: Trainer,
    own_photos: Callable[[str, int], Path],
    tmp_path: Path,
) -> None:
    trainer.will = {("sgd", 1): 2}
    train_on(own_photos("photos.zip", 30))
    before = contents(in_results(tmp_path))
    code, _, err = train_on(own_photos("photos.zip", 31), "--resume")
    assert (code, len(trainer.calls)) == (1, 1)
    assert "can't be resumed: the photos and the division of the photos are not those" in err
    assert contents(in_results(tmp_path)) == before


GPU = Machine("gpu", "NVIDIA Pretend", "mixed_float16", jit_compile=True, threads=2)
CPU = Machine("cpu", "Pretend", "mixed_bfloat16", jit_compile=False, threads=2)


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], list[str]]:
    """Makes this another machine, `auto` decided as it says; returns what devices are asked for."""

    def make(best: Machine) -> list[str]:
        asked: list[str] = []

        def prepare(
            device: str, *, precision: str, jit_compile: bool | str, deterministic: bool
        ) -> Machine:
            asked.append(device)
            chosen = best if device in ("auto", best.device) else CPU
            return Machine(
                chosen.device,
                chosen.device_name,
                chosen.precision if precision == "auto" else precision,
                chosen.jit_compile if jit_compile == "auto" else bool(jit_compile),
                chosen.threads,
            )

        monkeypatch.setattr(machines, "prepare", prepare)
        monkeypatch.setattr(machines, "has_gpu", lambda: best.device == "gpu")
        return asked

    return make


def test_what_auto_decided_is_kept_for_the_whole_plan(
    train: Callable[..., Answer], trainer: Trainer, pretend: Callable[[Machine], list[str]]
) -> None:
    pretend(CPU)
    trainer.will = {("sgd", 2): 5}
    train(configs=[SGD])
    asked = pretend(GPU)
    trainer.will = {}
    assert train("--resume", configs=[SGD], seeds="3")[0] == 0
    assert [call[1] for call in trainer.calls] == [1, 2, 2, 3]
    assert set(asked) == {"cpu"}
    assert set(trainer.machines) == {CPU}  # the third seed, too: it is to be compared with the two


def test_a_new_run_of_a_plan_says_auto_as_configured(
    train: Callable[..., Answer],
    trainer: Trainer,
    pretend: Callable[[Machine], list[str]],
    tmp_path: Path,
) -> None:
    pretend(CPU)
    train(configs=[SGD], seeds="1")
    pretend(GPU)
    train("--resume", configs=[SGD])
    one, two = (record(in_results(tmp_path, f"*-s{seed}-*")) for seed in (1, 2))
    assert one["experiment"] == two["experiment"]
    assert one["comparable"] == two["comparable"]
    assert "precision: auto" in (in_results(tmp_path, "*-s2-*") / "config.yaml").read_text()


def test_a_run_begun_on_a_gpu_goes_on_elsewhere_only_when_told(
    train: Callable[..., Answer],
    optrun: Optrun,
    trainer: Trainer,
    pretend: Callable[[Machine], list[str]],
    tmp_path: Path,
) -> None:
    pretend(GPU)
    trainer.will = {("sgd", 1): 5}
    train(configs=[SGD], seeds="1")
    folder = in_results(tmp_path)
    before = contents(folder)
    pretend(CPU)
    trainer.will = {}
    for answer in (train("--resume", configs=[SGD], seeds="1"), optrun("resume", folder)):
        assert answer[0] == 2
        assert "began on a GPU, and TensorFlow finds none here" in answer[2]
        assert "--device cpu" in answer[2]
    assert contents(folder) == before

    assert optrun("resume", folder, "--device", "cpu")[0] == 0
    assert trainer.machines[-1] == Machine("cpu", "Pretend", "mixed_float16", True, 2)
    (resumption,) = record(folder)["resumed"]
    assert "device was gpu, now cpu" in resumption["changes"]
    assert "hardware.device was NVIDIA Pretend, now Pretend" in resumption["changes"]


def test_a_run_begun_on_the_cpu_stays_there(
    optrun: Optrun,
    train: Callable[..., Answer],
    trainer: Trainer,
    pretend: Callable[[Machine], list[str]],
    tmp_path: Path,
) -> None:
    pretend(CPU)
    trainer.will = {("sgd", 1): 5}
    train(configs=[SGD], seeds="1")
    asked = pretend(GPU)
    trainer.will = {}
    assert optrun("resume", in_results(tmp_path))[0] == 0
    assert set(asked) == {"cpu"}
    assert trainer.machines[-1] == CPU


def test_runs_begun_on_different_devices_are_not_gone_on_with_together(
    optrun: Optrun,
    train: Callable[..., Answer],
    trainer: Trainer,
    pretend: Callable[[Machine], list[str]],
    tmp_path: Path,
) -> None:
    for seed, best in (("1", CPU), ("2-2", GPU)):
        pretend(best)
        trainer.will = {("sgd", 1): 5, ("sgd", 2): 5}
        train(configs=[SGD], seeds=seed)
    calls = len(trainer.calls)
    code, _, err = optrun("resume", *(tmp_path / "results").iterdir())
    assert (code, len(trainer.calls)) == (2, calls)
    assert "one process trains on one of them" in err


def test_many_runs_go_on_one_after_another_whatever_becomes_of_each(
    optrun: Optrun, train: Callable[..., Answer], trainer: Trainer, tmp_path: Path
) -> None:
    trainer.will = {("sgd", seed): 5 for seed in range(1, 7)} | {("sgd", 7): "diverged"}
    for seed in range(1, 9):
        train(configs=[SGD], seeds=f"{seed}-{seed}")
    folders = [in_results(tmp_path, f"*-s{seed}-*") for seed in range(1, 9)]
    damaged = folders[1] / "config.yaml"
    damaged.write_text(damaged.read_text().replace("batch_size: 16", "batch_size: 17"))
    trainer.calls, trainer.will = [], {("sgd", 1): "failed", ("sgd", 3): "diverged"}
    with reopen(folders[3], record(folders[3])["id"]):
        code, out, err = optrun("resume", *folders, folders[0])
    assert code == 1
    assert [call[1:] for call in trainer.calls] == [(1, 5), (3, 5), (5, 5), (6, 5)]
    assert "is not what the run was started with" in err
    assert f"is being written by process {os.getpid()}" in err
    assert "It would do so again" in err
    assert (
        "8 runs: 1 failed, 1 cannot be resumed, 1 diverged, 1 left to the process that writes it, "
        "2 completed, 1 diverged before, 1 completed before" in out
    )
    assert out.count("photos    ") == 1  # prepared once for all

    # Whoever changes what a completed run was trained with wants something else of it.
    more = folders[4] / "config.yaml"
    more.write_text(more.read_text().replace("epochs: ", "epochs: 1"))
    code, out, err = optrun("resume", folders[4])
    assert (code, "nothing to do" in out) == (2, False)
    assert "is not what the run was started with" in err

    for given, expected in (((3, 1), 2), ((3, 6), 3), ((7,), 0)):
        assert optrun("resume", *(folders[index] for index in given))[0] == expected
    with reopen(folders[0], record(folders[0])["id"]):
        assert optrun("resume", folders[0], folders[6])[0] == 5


def test_runs_lacking_their_photos_do_not_keep_the_others(
    optrun: Optrun,
    train: Callable[..., Answer],
    train_on: Callable[..., Answer],
    own_photos: Callable[[str, int], Path],
    trainer: Trainer,
    tmp_path: Path,
) -> None:
    trainer.will = {("sgd", 1): 2}
    train_on(own_photos("photos.zip", 30))
    train(configs=[SGD], seeds="1")
    (tmp_path / "photos.zip").unlink()
    trainer.calls, trainer.will = [], {}
    code, out, err = optrun("resume", *(tmp_path / "results").iterdir())
    assert (code, trainer.calls) == (2, [("sgd", 1, 2)])
    assert "photos.zip" in err
    assert "2 runs: " in out


def test_a_thousand_run_folders_are_looked_through_in_a_moment(
    train: Callable[..., Answer], trainer: Trainer, tmp_path: Path
) -> None:
    train(configs=[SGD], seeds="1")
    content = record(in_results(tmp_path))
    for number in range(1000):
        folder = tmp_path / "results" / f"sample-sgd_vgg19-s{number}-{number:06}"
        folder.mkdir()
        changed = content | {"seed": number, "id": f"{number:06}"}
        (folder / "run.json").write_text(json.dumps(changed))
    entries = [plans.Entry(SGD, SETTINGS)]
    plan = plans.make(entries, seeds=list(range(1000)), sample=True)
    began = time.process_time()
    found = plan_progress.turns(plan.runs, tmp_path / "results")
    assert {one.to_do for one in found} == {plan_progress.ToDo.LEAVE_COMPLETED}
    assert time.process_time() - began < 5


@pytest.fixture
def signal_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has the system ask the program to stop during a step, counted from 1 from now on."""
    from optrun.runner.ui.console import Display

    show = Display._step_done

    def arrange(step: int) -> None:
        steps = iter(range(1, step + 1))

        def shown(self: Display, *arguments: Any) -> None:
            if next(steps, None) == step:
                signal.raise_signal(signal.SIGTERM)
            show(self, *arguments)

        monkeypatch.setattr(Display, "_step_done", shown)

    return arrange


def test_a_plan_that_was_stopped_becomes_the_plan_that_was_not(
    train: Callable[..., Answer], signal_at: Callable[[int], None], tmp_path: Path
) -> None:
    assert train(configs=[SGD], seeds="1")[0] == 0
    twin = in_results(tmp_path).rename(tmp_path / "twin")
    signal_at(12)
    assert train(configs=[SGD], seeds="1")[0] == 143
    assert train("--resume", configs=[SGD], seeds="1")[0] == 0
    run = in_results(tmp_path)
    assert record(run)["resumed"][0]["steps_done"] == 12
    assert epochs(run) == epochs(twin)
    with np.load(run / "predictions.npz") as one, np.load(twin / "predictions.npz") as other:
        assert all(one[name].tobytes() == other[name].tobytes() for name in one.files)


def epochs(run: Path) -> list[dict[str, Any]]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [
        {key: row[key] for key in row if "second" not in key and key != "time"}
        for row in rows
        if row["event"] == "epoch"
    ]
