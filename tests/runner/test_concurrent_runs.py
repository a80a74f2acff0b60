"""Many processes at one results folder: each writes a run of its own, readers disturb nobody."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from optrun.runner.engine.signals import Interrupted
from optrun.runner.errors import UserError
from optrun.runner.runs import reader as runs
from optrun.runner.runs.event_log import read_events
from optrun.runner.runs.reader import Run, Unreadable
from optrun.runner.runs.run_folder import check_writable, create, reopen
from optrun.runner.runs.standing import Standing
from optrun.runner.runs.writer_lock import LOCK_NAME, RunHeldError, acquire, holder_of, is_held

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SETTINGS = (
    *("data.image_size=32", "data.limit=160", "training.epochs=1"),
    *("model.width=0.0625", "model.trainable=block5"),
)
TINY = tuple(part for setting in SETTINGS for part in ("--set", setting))

Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]

# Writes runs as a training does, in as many processes as are asked for, all from one instant on.
WRITERS = """
import json, os, sys, time
from dataclasses import fields, replace
from pathlib import Path
from optrun.runner.events import EpochRecord, RunEnded, StepRecord
from optrun.runner.runs.record import RunRecord
from optrun.runner.runs.run_folder import Recorder
from optrun.runner.runs.run_folder import create

results, writers, epochs, pause, content = json.loads(sys.argv[1])
record = RunRecord.parse(json.dumps(content).encode())

def write(number):
    with create(Path(results), "sgd", 1) as folder:
        recorder = Recorder.of_new_run(folder, replace(record, id=folder.id, pid=os.getpid()))
        for epoch in range(1, epochs + 1):
            for step in range(3):
                recorder(StepRecord(step, epoch, *[float(number)] * (len(fields(StepRecord)) - 2)))
            recorder(EpochRecord(epoch, *[float(number)] * (len(fields(EpochRecord)) - 1)))
            time.sleep(pause)
        folder.save_arrays("predictions.npz", {"test_logits": [float(number)]})
        result = {"best_validation_accuracy": number / 100, "epochs": epochs}
        recorder(RunEnded("completed", result=result))

start = time.time() + 0.5
for number in range(writers):
    if os.fork() == 0:
        time.sleep(max(0.0, start - time.time()))
        write(number)
        os._exit(0)
sys.exit(max(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(writers)))
"""

# Asks about a run all the time, in twenty processes.
READERS = """
import os, sys, time
from pathlib import Path
from optrun.runner.runs.reader import read
from optrun.runner.runs.standing import Standing
from optrun.runner.runs.writer_lock import LOCK_NAME, is_held

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
for number in range(20):
    if os.fork() == 0:
        if number == 0:
            print("reading", flush=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            (is_held(folder / LOCK_NAME), Standing(folder))[number % 2]
        os._exit(0)
for _ in range(20):
    os.wait()
"""


@contextmanager
def started(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program, waited for at the end, which must be a good one."""
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")


def writers(
    results: Path, facts: dict[str, Any], *, count: int, epochs: int, pause_s: float
) -> Any:
    request = json.dumps([str(results), count, epochs, pause_s, facts])
    return started(WRITERS, request)


@pytest.fixture
def facts(run_content: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What run.json holds from the start."""
    return run_content(name="sgd") | {"state": "running", "ended": None, "result": None}


def test_sixteen_processes_write_sixteen_whole_runs(tmp_path: Path, facts: dict[str, Any]) -> None:
    results = tmp_path / "results"
    with writers(results, facts, count=16, epochs=20, pause_s=0.0):
        pass
    found, unreadable = runs.read_all([results])
    assert (len(found), unreadable) == (16, [])
    assert len({run.record.id for run in found}) == 16
    assert {run.status for run in found} == {"completed"}
    numbers = [
        round(100 * (run.record.measure("best_validation_accuracy") or 0.0)) for run in found
    ]
    assert sorted(numbers) == list(range(16))
    for run, number in zip(found, numbers, strict=True):
        read = read_events(run.folder)
        assert read.skipped == ()
        assert Counter(event["event"] for event in read.events) == Counter(
            started=1, epoch=20, ended=1
        )
        epochs = [event for event in read.events if event["event"] == "epoch"]
        assert [event["epoch"] for event in epochs] == list(range(1, 21))
        assert {event["training_loss"] for event in epochs} == {number}
        holder = holder_of(run.folder / LOCK_NAME)
        assert holder is not None
        assert holder.pid == json.loads((run.folder / "run.json").read_text())["pid"]


def test_readers_see_only_what_was_written(
    tmp_path: Path, facts: dict[str, Any], optrun: Optrun
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    seen: dict[str, list[tuple[str, int]]] = {}
    looks = 0
    with writers(results, facts, count=4, epochs=100, pause_s=0.02) as process:
        while process.poll() is None:
            looks += 1
            time.sleep(0.02)
            code, out, err = optrun("runs", results, "--format", "json")
            assert (code, err) == (0, "")
            listed = json.loads(out)
            for one in (*listed["runs"], *listed["damaged"]):
                views = seen.setdefault(one["run"], [])
                views.append((one["state"], one.get("epochs_done") or 0))
            for name in seen:
                code, out, err = optrun("runs", "show", results / name, "--format", "json")
                assert err == ""
                shown = json.loads(out)
                assert shown.get("metrics_skipped", []) == []
                done = [event["epoch"] for event in shown["epochs"]]
                assert done == list(range(1, len(done) + 1))
            code, _, err = optrun("compare", results, "--format", "json")
            assert "Traceback" not in err
    assert looks > 5
    assert len(seen) == 4
    order = ["damaged", "starting", "running", "completed"]
    for views in seen.values():
        states = [order.index(state) for state, _ in views]
        assert states == sorted(states)
        assert all(first[1] <= second[1] for first, second in pairwise(views))
    assert any(state == "running" for views in seen.values() for state, _ in views)


def test_a_line_that_is_being_written_is_no_torn_line(tmp_path: Path) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        folder.append_event({"event": "epoch", "epoch": 1})
        with (folder.path / "metrics.jsonl").open("ab") as metrics:
            metrics.write(b'{"event": "ep')
        assert read_events(folder.path).skipped == ()
    read = read_events(folder.path)
    assert read.skipped == ("line 2: torn",)
    assert len(read.events) == 1


def test_readers_in_a_tight_loop_keep_nobody_from_starting(tmp_path: Path) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        path = folder.path
    waits = []
    with started(READERS, str(path), "2.5") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            began = time.monotonic()
            with reopen(path, "aaaaaa"):
                waits.append(time.monotonic() - began)
                assert is_held(path / LOCK_NAME)
    assert len(waits) > 3
    assert not is_held(path / LOCK_NAME)


def test_readers_keep_nobody_from_starting(tmp_path: Path) -> None:
    lock = tmp_path / LOCK_NAME
    descriptor = acquire(lock)
    assert is_held(lock)
    with pytest.raises(RunHeldError):
        acquire(lock, patience_s=0.05)
    os.close(descriptor)
    assert not is_held(lock)
    reader = os.open(lock, os.O_RDONLY)
    fcntl.flock(reader, fcntl.LOCK_SH)
    pid = os.fork()
    if pid == 0:  # a reader that is slow to let go
        time.sleep(0.3)
        os._exit(0)
    os.close(reader)
    os.close(acquire(lock, patience_s=30.0))  # on a busy machine the reader takes its time
    os.waitpid(pid, 0)


def test_a_lock_names_its_holder(tmp_path: Path) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        holder = holder_of(folder.path / LOCK_NAME)
        assert holder is not None
        assert (holder.pid, holder.host) == (os.getpid(), os.uname().nodename)
        with pytest.raises(RunHeldError) as caught:
            reopen(folder.path, folder.id)
    assert str(caught.value) == (
        f"The run {folder.path} is being written by process {os.getpid()} on "
        f"{os.uname().nodename}, since {holder.since:%Y-%m-%d %H:%M} UTC. "
        "Wait until it ends, or stop it first."
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe garbage",
        b"{}",
        b'{"pid": true, "host": "h", "since": "2026-01-01"}',
        b'{"pid": 1e999, "host": "h", "since": "2026-01-01"}',
        b'{"pid": 12, "host": "h", "since": "yesterday"}',
        b'{"pid": 12, "host": "h", "since": "0001-01-01T00:00:00+23:59"}',
        b'{"pid": 12, "host": "h", "since": "2026-01-01"}' + b" " * 2**20,
        b"[" * 100_000,
    ],
    ids=range(9),
)
def test_a_lock_file_that_says_nothing_sensible_is_still_a_lock(
    tmp_path: Path, content: bytes
) -> None:
    lock = tmp_path / LOCK_NAME
    lock.write_bytes(content)
    assert holder_of(lock) is None
    descriptor = os.open(lock, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(RunHeldError, match="being written by another process"):
        acquire(lock, patience_s=0)
    os.close(descriptor)
    os.close(acquire(lock))
    assert holder_of(lock) is not None


def test_what_a_lock_file_says_is_made_printable(tmp_path: Path) -> None:
    lock = tmp_path / LOCK_NAME
    said = {"pid": 12, "host": "\x1b[2J\u202e" + "x" * 500, "since": "2026-01-01T00:00:00"}
    lock.write_text(json.dumps(said))
    told = str(holder_of(lock))
    assert told.isprintable()
    assert len(told) < 200
    assert told.startswith("process 12 on \\x1b[2J\\u202exxx")
    assert told.endswith(", since 2026-01-01 00:00 UTC")


def test_a_lock_file_that_leads_elsewhere_is_not_written_through(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for number, link in enumerate((Path.symlink_to, Path.hardlink_to)):
        folder = tmp_path / str(number)
        folder.mkdir()
        link(folder / LOCK_NAME, precious)
        with suppress(OSError):  # a link is refused
            os.close(acquire(folder / LOCK_NAME))
        assert precious.read_text() == "precious"
    os.mkfifo(tmp_path / LOCK_NAME)
    assert holder_of(tmp_path / LOCK_NAME) is None
    assert not is_held(tmp_path / LOCK_NAME)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_refused_before_anything_is_made(
    tmp_path: Path, optrun: Optrun, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", unknown)
    monkeypatch.setattr(fcntl, "fcntl", unknown)
    results = tmp_path / "deep" / "results"
    code, _, err = optrun("train", CONFIGS / "sgd_vgg19.yaml", "--sample", "--results", results)
    assert code == 2
    assert f"file system of {tmp_path} knows no file locks" in err
    assert "--results DIR" in err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="knows no file locks"):
        check_writable(results)
    with pytest.raises(UserError, match="knows no file locks"):
        acquire(tmp_path / LOCK_NAME)
    assert not is_held(tmp_path / LOCK_NAME)


def test_a_run_that_is_just_being_made_is_no_damaged_one(tmp_path: Path) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        standing = Standing(folder.path)
        assert isinstance(standing.run, Unreadable)
        assert standing.held
        assert "just starting" in standing.run.reason


@pytest.fixture
def interrupted_run(tmp_path: Path, optrun: Optrun, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was stopped before its first checkpoint."""
    from optrun.runner.plan import run as single_run

    def train(*_: object, **__: object) -> None:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(single_run, "train", train)
    code, *_ = optrun(
        "train", CONFIGS / "sgd_vgg19.yaml", "--sample", *TINY, "--results", tmp_path / "results"
    )
    assert code == 143
    (run,) = (tmp_path / "results").iterdir()
    return run


def test_of_four_processes_that_resume_one_run_one_does(
    interrupted_run: Path, photo_cache: Path
) -> None:
    command = [str(Path(sys.executable).with_name("optrun")), "resume", str(interrupted_run)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = {process.pid: process.communicate(timeout=240) for process in processes}
    codes = {process.pid: process.returncode for process in processes}
    assert sorted(codes.values()) == [0, 5, 5, 5]
    (winner,) = (pid for pid, code in codes.items() if code == 0)
    for pid, (out, err) in answers.items():
        if pid != winner:
            assert out == ""
            assert f"is being written by process {winner} on {os.uname().nodename}, since " in err
    content = json.loads((interrupted_run / "run.json").read_text())
    assert (content["state"], content["pid"]) == ("completed", winner)
    assert [one["steps_done"] for one in content["resumed"]] == [0]
    events = read_events(interrupted_run)
    assert events.skipped == ()
    assert [one["epoch"] for one in events.events if one["event"] == "epoch"] == [1]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_sixteen_trainings_started_at_once_are_sixteen_whole_runs(
    tmp_path: Path, photo_cache: Path
) -> None:
    command = [
        str(Path(sys.executable).with_name("optrun")), "train", str(CONFIGS / "sgd_vgg19.yaml"),
        "--sample", *TINY, "--quiet",
        "--results", str(tmp_path / "results"),
    ]  # fmt: skip
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(16)
    ]
    folders = set()
    for process in processes:
        out, err = process.communicate(timeout=1000)
        assert (process.returncode, err) == (0, "")
        folders.add(Path(out.strip()))
    found, unreadable = runs.read_all([tmp_path / "results"])
    assert unreadable == []
    assert {run.folder for run in found} == folders
    assert len(folders) == 16
    assert {run.status for run in found} == {"completed"}
    # All had the same seed, so all found the same.
    results = {
        json.dumps(
            {key: value for key, value in (run.record.result or {}).items() if "second" not in key}
        )
        for run in found
        if isinstance(run, Run)
    }
    assert len(results) == 1
