"""`optrun runs`: what lies in the folders, one run, two side by side, and taking one away."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optrun.runner.runs import checkpoint_places, kernel_log
from optrun.runner.runs import remove as removal
from optrun.runner.runs.run_folder import create
from optrun.runner.runs.writer_lock import LOCK_NAME, acquire

MakeRun = Callable[..., Path]
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]

EPOCH = {
    "event": "epoch",
    "time": "2026-11-20T15:35:00+00:00",
    "epoch": 2,
    "training_loss": 0.4,
    "training_accuracy": 0.8,
    "validation_loss": 0.3,
    "validation_accuracy": 0.875,
    "images": 320,
    "images_per_second": 8.0,
    "training_seconds": 40.0,
    "evaluation_seconds": 5.0,
}
COMPARABLE = {"photos": "aa" * 32, "image_size": 128, "model": {"width": 1.0}, "epochs": 4}


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def make_stopped(make_run: MakeRun) -> MakeRun:
    """A run that ended in its third epoch of four, ten steps each, as its state says."""

    def make(folder: str, *, state: str = "interrupted", **changes: Any) -> Path:
        path = make_run(
            folder, state=state, result=None, ended=None, comparable=COMPARABLE, **changes
        )
        content = json.loads((path / "run.json").read_text())
        (path / "run.json").write_text(json.dumps(content | {"result": None}))
        (path / "config.yaml").write_text("name: sgd\ntraining:\n  epochs: 4\n")
        (path / "metrics.jsonl").write_text(json.dumps(EPOCH) + "\n" + '{"event": "epo')
        (path / LOCK_NAME).touch()
        return path

    return make


def save_checkpoint(run: Path, steps_done: int, *, name: str = "last") -> Path:
    """As `optrun.runner.engine.state` has it, ten steps an epoch."""
    from optrun.runner.engine.checkpoint import save

    folder = run / "checkpoint" / name
    facts = {
        "steps_done": steps_done,
        "position": {"epoch": steps_done // 10, "batch": steps_done % 10},
        "seconds": {"training": 47.0, "evaluation": 5.0, "other": 3.0},
    }
    owner = json.loads((run / "run.json").read_text())["id"]
    save(folder, [np.zeros(100, np.float32)], facts, owner=owner)
    return folder


def listed(optrun: Optrun, *arguments: object) -> dict[str, Any]:
    code, out, _ = optrun("runs", "--format", "json", *arguments)
    assert code == 0
    content = json.loads(out)
    return {run["run"]: run for run in (*content["runs"], *content["damaged"])}


def row_of(out: str, run: str) -> list[str]:
    lines = out.splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith(run))
    following = lines[index + 1] if index + 1 < len(lines) else ""
    return [lines[index], following.strip() if following.startswith("    ") else ""]


def test_the_manifest_is_of_the_format_that_is_written() -> None:
    from optrun.runner.engine import checkpoint

    assert checkpoint_places.FORMAT == checkpoint.FORMAT


def test_a_run_that_was_interrupted_goes_on_from_its_newest_whole_checkpoint(
    optrun: Optrun, make_stopped: MakeRun
) -> None:
    run = make_stopped("sgd-s1-k3f9ab", why="stopped by a signal")
    save_checkpoint(run, 20, name="last.previous")
    save_checkpoint(run, 23)
    code, out, _ = optrun("runs")
    row, remark = row_of(out, "sgd-s1-k3f9ab")
    assert code == 0
    assert "interrupted  epoch 3/4" in row
    assert remark == "stopped by a signal; would resume from step 24 of 40"
    assert out.splitlines()[-2:] == [
        "1 would resume:",
        "    optrun resume results/sgd-s1-k3f9ab",
    ]


@pytest.mark.parametrize("damage", ["truncated", "no manifest", "empty manifest", "other format"])
def test_a_checkpoint_that_is_not_whole_is_passed_over(
    optrun: Optrun, make_stopped: MakeRun, damage: str
) -> None:
    run = make_stopped("sgd-s1-k3f9ab")
    save_checkpoint(run, 20, name="last.previous")
    last = save_checkpoint(run, 23)
    manifest = json.loads((last / "manifest.json").read_text())
    if damage == "truncated":
        os.truncate(last / "weights.npz", 100)
    elif damage == "no manifest":
        (last / "manifest.json").unlink()
    elif damage == "empty manifest":
        (last / "manifest.json").write_bytes(b"")
    else:
        (last / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    found = listed(optrun)["sgd-s1-k3f9ab"]
    assert (found["resumes"], found["resumes_after_step"]) == (True, 20)
    (run / "checkpoint" / "last.previous" / "manifest.json").unlink()
    found = listed(optrun)["sgd-s1-k3f9ab"]
    assert not found["resumes"]
    assert found["resumes_not_because"] == "none of its checkpoints is whole"


def test_a_checkpoint_after_thousands_of_epochs_looks_whole(
    optrun: Optrun, make_stopped: MakeRun
) -> None:
    run = make_stopped("sgd-s1-k3f9ab")
    last = save_checkpoint(run, 23)
    manifest = json.loads((last / "manifest.json").read_text())
    manifest["facts"]["records"] = [EPOCH] * 5000
    (last / "manifest.json").write_text(json.dumps(manifest))
    assert listed(optrun)[run.name]["resumes_after_step"] == 23


def test_without_a_checkpoint_it_starts_again_and_without_a_configuration_not(
    optrun: Optrun, make_stopped: MakeRun
) -> None:
    run = make_stopped("sgd-s1-k3f9ab", state="failed", why="the disk is full")
    assert row_of(optrun("runs")[1], run.name)[1] == (
        "the disk is full; would resume from the start"
    )
    (run / "config.yaml").unlink()
    assert row_of(optrun("runs")[1], run.name)[1].endswith(
        "cannot be resumed: it has no config.yaml"
    )


@pytest.mark.parametrize(
    ("number", "ago_s", "said"),
    [
        (4711, 5, "killed by the system, which was out of memory; would resume"),
        (4712, 5, "killed, cause unknown"),
        (4711, 5000, "killed, cause unknown"),  # another process of that number, before the run
    ],
)
def test_a_run_that_was_killed_for_memory_says_so_where_the_kernels_log_does(
    optrun: Optrun,
    make_stopped: MakeRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    ago_s: int,
    said: str,
) -> None:
    log = tmp_path / "kmsg"
    at = int((time.monotonic() - ago_s) * 1e6)
    lines = "6,12,1,-;Linux version 6\n SUBSYSTEM=x\n4,13,{},-;{}Killed process {} (optrun) total"
    log.write_text(lines.format(at, "Memory cgroup out of memory: ", number))
    monkeypatch.setattr(kernel_log, "KERNEL_LOG", log)
    started = datetime.now(UTC) - timedelta(seconds=60)
    run = make_stopped("sgd-s1-k3f9ab", state="running", pid=4711, started=started.isoformat())
    assert row_of(optrun("runs")[1], run.name)[1].startswith(said)


def test_a_run_whose_owner_is_gone_was_killed(optrun: Optrun, make_stopped: MakeRun) -> None:
    run = make_stopped("sgd-s1-k3f9ab", state="running")
    save_checkpoint(run, 23)
    row, remark = row_of(optrun("runs")[1], run.name)
    assert "  killed  " in row
    assert remark == "killed, cause unknown; would resume from step 24 of 40"
    lock = acquire(run / LOCK_NAME)
    row, remark = row_of(optrun("runs")[1], run.name)
    assert "  running  " in row
    assert remark.startswith("saved at step 23 of 40, ")
    assert not listed(optrun)[run.name]["resumes"]
    os.close(lock)


def test_a_run_that_is_being_gone_on_with_would_not_resume(
    optrun: Optrun, make_stopped: MakeRun
) -> None:
    run = make_stopped("sgd-s1-k3f9ab")
    lock = acquire(run / LOCK_NAME)
    assert listed(optrun)[run.name]["resumes_not_because"] == "a process is at work on it"
    os.close(lock)


def test_a_run_that_ends_while_it_is_read_is_not_taken_for_killed(
    make_stopped: MakeRun, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optrun.runner.runs import reader, record

    run, over = make_stopped("one", state="running"), make_run("over")

    def ends(path: Path) -> bool:
        (over / "run.json").replace(run / "run.json")
        monkeypatch.undo()
        return False

    monkeypatch.setattr(record, "is_held", ends)
    assert reader.read(run).status == "completed"


def test_completed_and_diverged_runs_have_nothing_to_go_on_with(
    optrun: Optrun, make_run: MakeRun, make_stopped: MakeRun
) -> None:
    make_run("done-s1-k3f9ab", comparable=COMPARABLE, result={"epochs": 3})
    why = "the loss is not finite at step 7, in epoch 1"
    make_stopped("wild-s1-mm2n7p", state="diverged", why=why)
    _, out, _ = optrun("runs")
    assert "completed  3/4 epochs" in row_of(out, "done")[0]
    assert row_of(out, "wild")[1] == why
    assert out.splitlines()[-1].startswith("2 runs: 1 completed, 1 diverged. ")


def test_damaged_folders_are_listed_with_the_reason_and_one_that_starts_is_not(
    optrun: Optrun, make_run: MakeRun
) -> None:
    (make_run("broken-s1-k3f9ab") / "run.json").write_text('{"format": 1, "sta')
    with create(Path("results"), "new", 1) as folder:
        code, out, _ = optrun("runs")
        assert code == 0
        assert "    broken-s1-k3f9ab: not JSON, 18 B" in out
        assert "  starting  " in row_of(out, folder.path.name)[0]


def test_the_newest_run_is_the_last(optrun: Optrun, make_run: MakeRun) -> None:
    make_run("a-s1-k3f9ab", started="2026-11-20T15:30:00+00:00")
    make_run("b-s1-k3f9ab", started="2026-11-19T15:30:00+00:00")
    assert list(listed(optrun)) == ["b-s1-k3f9ab", "a-s1-k3f9ab"]


def test_names_are_never_cut_and_no_line_is_wider_than_the_terminal(
    optrun: Optrun, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "sample-" + "lookahead_" * 6 + "vgg19-s1-k3f9ab"
    make_run(name)
    make_run("sgd-s1-k3f9ab")
    for columns in ("80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        lines = optrun("runs")[1].splitlines()
        assert any(line == name or line.startswith(f"{name} ") for line in lines)
        assert max(map(len, lines)) <= max(int(columns), len(name))


SGD = {"name": "sgd", "learning_rate": 0.02, "momentum": 0.9}


def test_each_run_is_told_with_its_optimizer_and_what_came_out(
    optrun: Optrun, make_run: MakeRun, make_stopped: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookahead = "Lookahead(SGD 0.02 cosine, momentum 0.9), sync 5, slow 0.5"
    make_run(
        "lookahead-s1-k3f9ab",
        comparable=COMPARABLE,
        result={"epochs": 4, "test_accuracy": 0.91146},
        optimizer={
            "description": lookahead,
            "specification": {
                "name": "lookahead",
                "inner_optimizer": {
                    **SGD,
                    "learning_rate": {"name": "cosine", "initial_learning_rate": 0.02},
                },
            },
        },
    )
    make_stopped(
        "sgd-s1-teeggc",
        why="stopped by a signal",
        optimizer={"description": "SGD 0.02, momentum 0.9", "specification": SGD},
    )
    monkeypatch.setenv("COLUMNS", "80")
    lines = optrun("runs")[1].splitlines()
    assert lines[0].split() == ["RUN", "STATE", "PROGRESS", "TEST", "AGE", "SIZE"]
    assert "  4/4 epochs  91.1 %  " in lines[1]
    assert lines[2] == f"    {lookahead}"
    assert "%" not in lines[3]
    assert lines[4] == "    SGD 0.02, momentum 0.9"
    assert lines[5] == "    stopped by a signal; would resume from the start"
    monkeypatch.setenv("COLUMNS", "140")
    lines = optrun("runs")[1].splitlines()
    assert lines[0].endswith("SIZE  OPTIMIZER")
    assert lines[1].endswith(f"kB  {lookahead}")
    assert lines[2].endswith("  SGD 0.02, momentum 0.9")
    assert lines[3] == "    stopped by a signal; would resume from the start"
    found = listed(optrun)
    assert [one["learning_rate"] for one in found.values()] == [0.02, 0.02]
    assert found["lookahead-s1-k3f9ab"]["result"]["test_accuracy"] == 0.91146
    assert found["sgd-s1-teeggc"]["result"] is None


@pytest.mark.parametrize("rate", ["fast", {"name": "cosine"}, True, None, 1e999, [0.1]])
def test_a_rate_that_is_none_is_none(optrun: Optrun, make_run: MakeRun, rate: object) -> None:
    specification = {"name": "x", "inner_optimizer": {"name": "y", "learning_rate": rate}}
    make_run("x-s1-k3f9ab", optimizer={"description": "X", "specification": specification})
    assert listed(optrun)["x-s1-k3f9ab"]["learning_rate"] is None


def test_no_results_yet_is_no_mistake_and_a_missing_folder_is(optrun: Optrun) -> None:
    code, out, _ = optrun("runs")
    assert code == 0
    assert "    optrun train configs/lookahead_vgg19.yaml --sample" in out
    assert optrun("runs", "missing")[0] == 2


def test_a_mistyped_command_is_answered_with_the_nearest(optrun: Optrun) -> None:
    code, _, err = optrun("runs", "shwo", "k3f9ab")
    assert code == 2
    assert "Did you mean 'show'?" in err


def test_a_thousand_runs_take_about_a_second_and_nothing_heavy(
    make_stopped: MakeRun, tmp_path: Path
) -> None:
    for number in range(1000):
        run = make_stopped(f"sgd-s{number}-k3f9ab", state="completed" if number % 4 else "killed")
        state = "running" if number % 4 == 0 else "completed"
        content = json.loads((run / "run.json").read_text()) | {"state": state, "result": {}}
        (run / "run.json").write_text(json.dumps(content, indent=1))
    program = (
        "import sys, time; from optrun.runner.commands.runs import runs\n"
        "runs(standalone_mode=False)\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'sklearn', 'h5py', 'pydantic', 'PIL'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)\n"
        "print(time.process_time(), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    heavy, seconds = done.stderr.splitlines()
    assert "1,000 runs: 750 completed, 250 killed." in done.stdout
    assert heavy == "[]"
    assert float(seconds) < 2.0  # of the processor: other tests run at the same time


def test_show_says_all_of_a_trained_run_but_never_the_diff(
    optrun: Optrun, trained_run: Path
) -> None:
    code, out, _ = optrun("runs", "show", trained_run)
    record = json.loads((trained_run / "run.json").read_text())
    accuracy = record["result"]["test_accuracy"]
    with np.load(trained_run / "predictions.npz") as predictions:
        photos = len(predictions["test_labels"])
    assert code == 0
    text = " ".join(out.split())
    for expected in (
        "state completed; started",
        record["optimizer"]["description"],
        "1 epochs, batch 8",
        "VGG19 at width 0.125",
        "32 px",
        f"initial weights {record['provenance']['initial_weights'][:8]}",
        f"tensorflow {record['provenance']['packages']['tensorflow']}",
        f"test accuracy {100 * accuracy:.1f} % ({round(accuracy * photos)} of {photos} photos)",
        "images/s",
        "everything else",
        "from start to end",
        "checkpoint/best",
        "predictions.npz",
    ):
        assert expected in text
    assert max(map(len, out.splitlines())) <= 80
    assert "git.diff" not in out or "diff --git" not in out


def test_show_as_json_holds_everything_and_no_diff(optrun: Optrun, make_stopped: MakeRun) -> None:
    run = make_stopped("sgd-s1-k3f9ab")
    save_checkpoint(run, 23)
    (run / "git.diff").write_text("diff --git a/secret b/secret\n+password\n")
    code, out, _ = optrun("runs", "show", "k3f9ab", "--format", "json")
    content = json.loads(out)
    assert code == 0
    assert content["configuration"] == {"name": "sgd", "training.epochs": 4}
    assert content["seconds"] == {"training": 47.0, "evaluation": 5.0, "other": 3.0}
    assert content["seconds_until"] == "last checkpoint"
    assert (content["steps_done"], content["steps"]) == (23, 40)
    assert [epoch["epoch"] for epoch in content["epochs"]] == [2]
    assert content["metrics_skipped"] == ["line 2: torn"]
    assert {"name": "git.diff", "bytes": 39, "at_least": False} in content["files"]
    assert "password" not in out
    assert "password" not in optrun("runs", "show", "k3f9ab")[1]


def test_show_tells_where_the_time_went_and_what_had_changed(
    optrun: Optrun, make_run: MakeRun
) -> None:
    resumed = {
        "time": "2026-11-20T15:36:00+00:00",
        "steps_done": 23,
        "changes": ["packages.keras was 3.15.0, now 3.15.1"],
    }
    run = make_run(
        "sgd-s1-k3f9ab",
        resumed=[resumed],
        result={"training_seconds": 360.0, "evaluation_seconds": 36.0, "other_seconds": 4.0},
    )
    (run / "metrics.jsonl").write_text(json.dumps(EPOCH) + "\n")
    lines = [" ".join(line.split()) for line in optrun("runs", "show", run)[1].splitlines()]
    # 320 photos in batches of 16: 20 steps.
    assert "time training 6:00 min 90 % 40.0 images/s, 18.0 s a step" in lines
    assert "evaluation 36 s 9 %" in lines
    assert "everything else 4 s 1 %" in lines
    assert "from start to end 10:00 min" in lines
    assert "of it not running 3:20 min" in lines
    text = " ".join(lines)
    assert "from step 24; packages.keras was 3.15.0, now 3.15.1" in text


def test_show_of_a_damaged_run_shows_what_is_left(optrun: Optrun, make_stopped: MakeRun) -> None:
    run = make_stopped("sgd-s1-k3f9ab")
    (run / "run.json").write_bytes(b"")
    code, out, _ = optrun("runs", "show", run)
    assert code == 1
    text = " ".join(out.split())
    assert "damaged: not JSON" in text
    assert "training.epochs 4" in text
    assert "metrics.jsonl" in text


def test_what_others_wrote_reaches_the_terminal_printable(
    optrun: Optrun, make_stopped: MakeRun
) -> None:
    evil = "\x1b[2J\u202e<b>[red]"
    run = make_stopped(
        f"e\x1b[31m-{'s1'}-k3f9ab",
        state="failed",
        why=evil,
        resumed=[{"time": evil, "steps_done": 1e999, "changes": [evil, {evil: evil}]}, evil],
        provenance={"command": [evil, evil], "packages": {evil: evil}, "hardware": [evil]},
    )
    (run / "config.yaml").write_text("name: !!set {a, b}\nnotes: 2001-01-01\nx: [.nan]\n")
    (run / "metrics.jsonl").write_text(
        json.dumps(EPOCH | {"epoch": 10**400, "images": -1, "training_loss": "x"})
        + "\n"
        + json.dumps({"event": "notice", "message": evil})
        + "\n"
    )
    (run / evil.replace("/", "")).touch()
    (run / "checkpoint").symlink_to("/")
    for arguments in (["results"], ["show", run], ["diff", run, run]):
        for layout in ("table", "json"):
            code, out, err = optrun("runs", *arguments, "--format", layout)
            assert code == 0, err
            assert "Traceback" not in err
            assert out.replace("\n", "").isprintable()


def test_a_pipe_or_an_endless_line_is_not_waited_for(optrun: Optrun, make_stopped: MakeRun) -> None:
    run = make_stopped("sgd-s1-k3f9ab")
    (run / "metrics.jsonl").unlink()
    os.mkfifo(run / "metrics.jsonl")
    assert listed(optrun)[run.name]["epochs_done"] == 0
    (run / "metrics.jsonl").unlink()
    with (run / "metrics.jsonl").open("wb") as file:
        file.truncate(10**9)
    assert listed(optrun)[run.name]["epochs_done"] == 0
    shown = optrun("runs", "show", run)[1]
    assert "line 1: longer than 64 KiB" in shown
    assert "what follows the first 256 MiB" in shown


def test_diff_shows_only_what_differs(optrun: Optrun, make_run: MakeRun) -> None:
    one = make_run("a-s1-k3f9ab", result={"test_accuracy": 0.5})
    other = make_run("b-s1-mm2n7p", result={"test_accuracy": 0.75})
    (one / "config.yaml").write_text("training: {epochs: 3, batch_size: 16}\n")
    (other / "config.yaml").write_text("training: {epochs: 4, batch_size: 16}\n")
    code, out, _ = optrun("runs", "diff", "k3f9ab", "mm2n7p")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert lines[:2] == ["A a-s1-k3f9ab", "B b-s1-mm2n7p"]
    assert "configuration: 1 differs, 1 the same" in lines
    assert "training.epochs 3 4" in lines
    assert "photos and start: the same" in lines
    assert "environment: the same" in lines
    assert "test_accuracy 50.0 % 75.0 %" in lines
    assert "batch_size" not in out
    content = json.loads(optrun("runs", "diff", one, other, "--format", "json")[1])
    assert content["configuration"]["differing"] == {"training.epochs": {"a": 3, "b": 4}}


def test_diff_says_where_nothing_can_be_said(optrun: Optrun, make_run: MakeRun) -> None:
    make_run("a-s1-k3f9ab")
    broken = make_run("b-s1-mm2n7p")
    assert "config.yaml of a-s1-k3f9ab and of b-s1-mm2n7p cannot be read" in " ".join(
        optrun("runs", "diff", "k3f9ab", "mm2n7p")[1].split()
    )
    (broken / "run.json").write_text("")
    code, _, err = optrun("runs", "diff", "k3f9ab", "mm2n7p")
    assert code == 2
    assert "cannot be read: not JSON" in err


def test_remove_takes_a_run_away_whole_and_says_what_it_freed(
    optrun: Optrun, trained_run: Path, tmp_path: Path
) -> None:
    import shutil

    run = tmp_path / "results" / trained_run.name
    shutil.copytree(trained_run, run)
    keep = tmp_path / "results" / "keep-s1-k3f9ab"
    shutil.copytree(trained_run, keep)
    bytes_before = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    code, out, _ = optrun("runs", "remove", trained_run.name[-6:], "--yes")
    assert code == 0
    assert out.splitlines()[-1] == f"Removed 1; {bytes_before / 1e6:.1f} MB freed."
    assert [path.name for path in (tmp_path / "results").iterdir()] == [keep.name]


def test_remove_asks_and_takes_no_for_an_answer(
    optrun: Optrun, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("sgd-s1-k3f9ab")
    code, _, err = optrun("runs", "remove", "k3f9ab")
    assert (code, "--yes does" in err) == (2, True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", lambda text: False)
    assert optrun("runs", "remove", "k3f9ab")[0] == 1
    assert (run / "run.json").exists()
    monkeypatch.setattr("click.confirm", lambda text: True)
    assert optrun("runs", "remove", "k3f9ab")[0] == 0
    assert not run.exists()


def test_remove_leaves_a_run_that_a_process_holds_and_all_named_with_it(
    optrun: Optrun, make_run: MakeRun
) -> None:
    other = make_run("a-s1-mm2n7p")
    run = make_run("b-s1-k3f9ab")
    lock = acquire(run / LOCK_NAME)
    code, _, err = optrun("runs", "remove", other, run, "--yes")
    os.close(lock)
    assert code == 5
    assert "is being written by process 123" in err
    assert other.exists()
    assert run.exists()


def test_remove_loses_against_a_process_that_takes_it_meanwhile(
    optrun: Optrun, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, run = make_run("a-s1-mm2n7p"), make_run("b-s1-k3f9ab")
    locks: list[int] = []

    def taken_meanwhile(folder: Path) -> Any:
        if folder == run:
            locks.append(acquire(run / LOCK_NAME))
        return size_of(folder)

    size_of = removal.size_of
    monkeypatch.setattr(removal, "size_of", taken_meanwhile)
    code, out, err = optrun("runs", "remove", other, run, "--yes")
    os.close(locks[0])
    assert code == 5
    assert out.splitlines()[-1].startswith("Removed 1; ")
    assert "It was not removed." in err
    assert run.exists()


@pytest.mark.parametrize("kind", ["no run", "notes", "results", "link", "part of two", "file"])
def test_remove_refuses_what_is_no_run_or_more_than_one(
    optrun: Optrun, make_run: MakeRun, tmp_path: Path, kind: str
) -> None:
    run = make_run("sgd-s1-k3f9ab")
    named: object = run
    if kind == "no run":
        named = tmp_path / "project"
        named.mkdir()
        (named / "config.yaml").write_text("name: mine\n")
    elif kind == "notes":
        (run / "notes.txt").write_text("what I thought")
    elif kind == "results":
        named = "results"
    elif kind == "link":
        named = tmp_path / "link"
        named.symlink_to(run)
    elif kind == "part of two":
        make_run("sgd-s2-mm2n7p")
        named = "sgd"
    else:
        named = tmp_path / "file"
        named.write_text("x")
    before = sorted(tmp_path.rglob("*"))
    code, _, err = optrun("runs", "remove", named, "--yes")
    assert code == 2
    assert err.startswith("optrun: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_remove_never_follows_a_link(optrun: Optrun, make_run: MakeRun, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "photo.jpg").write_text("x")
    run = make_run("sgd-s1-k3f9ab")
    (run / "checkpoint").symlink_to(precious)
    (run / "log.txt").symlink_to(precious / "photo.jpg")
    (run / LOCK_NAME).symlink_to(precious / "new")
    assert optrun("runs", "remove", run, "--yes")[0] == 0
    assert [path.name for path in precious.iterdir()] == ["photo.jpg"]
    assert not run.exists()


def test_a_removal_that_is_killed_leaves_nothing_that_looks_like_a_run(
    optrun: Optrun, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("keep-s1-mm2n7p")
    run = make_run("sgd-s1-k3f9ab")

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(removal, "_delete", killed)
        assert optrun("runs", "remove", "k3f9ab", "--yes")[0] == 130
    assert not run.exists()
    assert list(listed(optrun)) == ["keep-s1-mm2n7p"]
    (command,) = [line for line in optrun("runs")[1].splitlines() if "optrun runs remove" in line]
    left = command.split()[-1]
    assert optrun("runs", "remove", left, "--yes")[0] == 0
    assert [path.name for path in Path("results").iterdir()] == ["keep-s1-mm2n7p"]


def test_what_a_run_writes_can_be_removed(trained_run: Path) -> None:
    assert all(removal._WRITTEN.fullmatch(path.name) for path in trained_run.iterdir())
