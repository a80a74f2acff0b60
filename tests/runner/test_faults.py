"""Whatever write fails, a run says so, loses nothing that was whole, and can be gone on with."""

import builtins
import errno
import functools
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optrun.data.files import write_atomically
from optrun.runner.engine import checkpoint
from optrun.runner.errors import UserError
from optrun.runner.events import NetworkBuilt, Notice, RunEnded
from optrun.runner.runs.disk import RESERVE_BYTES, RESERVE_NAME
from optrun.runner.runs.record import RunRecord, RunStatus
from optrun.runner.runs.run_folder import RunFolder, create, reopen

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]
Differences = Callable[[Path, Path], list[str]]

RECORD = RunRecord(
    *("k3f9ab", "sgd", 1, True, "SGD", {}, "hash", {}, {}),
    started=datetime(2026, 11, 20, tzinfo=UTC),
)
_WRITING = os.O_WRONLY | os.O_RDWR
# What takes room on a disk; the rest a full disk still does.
_TAKES_ROOM = ("create", "write", "allocate", "mkdir")


class Disk:
    """The system's calls that change files below a folder, one of which fails.

    Sits below Python's files: what they buffer and try again is theirs to do.

    Attributes:
        calls: Those that were made, in order: what and on which name.
    """

    def __init__(self, root: Path) -> None:
        self.calls: list[tuple[str, str]] = []
        self._root = str(root)
        self._fault = ""
        self._failing_call = -1
        self._left_bytes: int | None = None
        self._paths: dict[int, str] = {}

    def fail(self, fault: str, call: int) -> None:
        """Have a call fail, counted from 0.

        Args:
            fault: `EIO` or `ENOSPC`, at that call alone; `short`, a write does half of its work
                and then there is no room once; `full`, from then on there is only the room that
                deleting the reserve gives back; `dead`, from then on every call is an EIO.
            call: Which.
        """
        self.calls, self._fault, self._failing_call, self._left_bytes = [], fault, call, None

    def mend(self) -> None:
        """From now on nothing fails."""
        self.fail("", -1)

    def call(self, what: str, path: str | None, wanted: int = 0) -> int:
        """How many of the wanted bytes are done; raises where the call fails."""
        if path is None or not path.startswith(self._root):
            return wanted
        number = len(self.calls)
        self.calls.append((what, Path(path).name))
        past = 0 <= self._failing_call <= number
        at = self._failing_call == number
        if (at and self._fault == "EIO") or (past and self._fault == "dead"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        if at and self._fault == "ENOSPC":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if at and self._fault == "short":
            if what == "write" and wanted > 1:
                self._failing_call += 1
                return wanted // 2
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if past and self._fault == "full":
            return self._of_what_is_left(what, path, wanted)
        return wanted

    def _of_what_is_left(self, what: str, path: str, wanted: int) -> int:
        if what == "delete" and path.endswith(RESERVE_NAME):
            self._left_bytes = RESERVE_BYTES
        if what not in _TAKES_ROOM:
            return wanted
        left = self._left_bytes or 0
        done = min(left, wanted or 4096)
        if done == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        self._left_bytes = left - done
        return min(done, wanted)

    def place(self, path: Any, dir_fd: int | None = None) -> str | None:
        """The absolute path of a file that is named, or open."""
        if isinstance(path, int):
            return self._paths.get(path)
        name = os.fsdecode(path)
        if dir_fd is not None:
            above = self._paths.get(dir_fd)
            return None if above is None else f"{above}/{name}"
        return os.path.abspath(name)  # noqa: PTH100 (`resolve` would follow links)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the system's calls."""
        real_open, real_close = os.open, os.close

        def open_descriptor(
            path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
        ) -> int:
            place = self.place(path, dir_fd)
            if flags & os.O_CREAT:
                self.call("create", place)
            descriptor = real_open(path, flags, mode, dir_fd=dir_fd)
            if place is not None:
                self._paths[descriptor] = place
            return descriptor

        def close(descriptor: int) -> None:
            self._paths.pop(descriptor, None)
            real_close(descriptor)

        real_write = os.write

        def write(descriptor: int, content: Any) -> int:
            content = bytes(content)
            done = self.call("write", self.place(descriptor), len(content))
            return real_write(descriptor, content[:done])

        monkeypatch.setattr(os, "open", open_descriptor)
        monkeypatch.setattr(os, "close", close)
        monkeypatch.setattr(os, "write", write)
        self._replace(monkeypatch, "fsync", "sync")
        self._replace(monkeypatch, "ftruncate", "cut")
        self._replace(monkeypatch, "posix_fallocate", "allocate")
        self._replace(monkeypatch, "rename", "rename")
        self._replace(monkeypatch, "replace", "rename")
        self._replace(monkeypatch, "mkdir", "mkdir")
        self._replace(monkeypatch, "unlink", "delete")
        self._replace(monkeypatch, "rmdir", "delete")
        self._replace_files(monkeypatch)

    def _replace(self, monkeypatch: pytest.MonkeyPatch, name: str, what: str) -> None:
        real = getattr(os, name, None)
        if real is None:
            return

        def function(path: Any, *arguments: Any, **named: Any) -> Any:
            self.call(what, self.place(path, named.get("dir_fd")))
            return real(path, *arguments, **named)

        monkeypatch.setattr(os, name, function)

    def _replace_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = io.open
        disk = self

        class File(io.FileIO):
            def write(self, content: Any) -> int:
                content = bytes(content)
                done = disk.call("write", disk.place(self.fileno()), len(content))
                return super().write(content[:done])

            def truncate(self, size: int | None = None) -> int:
                disk.call("cut", disk.place(self.fileno()))
                return super().truncate(size)

            def close(self) -> None:
                if not self.closed:
                    disk._paths.pop(self.fileno(), None)
                super().close()

        def open_file(
            file: Any, mode: str = "r", buffering: int = -1, *arguments: Any, **named: Any
        ) -> Any:
            place = None if isinstance(file, int) else self.place(file)
            changes = set(mode) & set("wax+")
            is_ours = place is not None and place.startswith(self._root)
            if not changes or place is None or not is_ours or "opener" in named:
                return real(file, mode, buffering, *arguments, **named)
            self.call("create", place)
            raw = File(file, mode.replace("b", "").replace("t", ""))
            self._paths[raw.fileno()] = place
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *arguments, **named)

        monkeypatch.setattr(io, "open", open_file)
        monkeypatch.setattr(builtins, "open", open_file)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Of everything below tmp_path/results."""
    disk = Disk(tmp_path / "results")
    disk.install(monkeypatch)
    return disk


FAULTS = ("EIO", "ENOSPC", "short", "full", "dead")
OLD = {"weights": np.arange(2000, dtype=np.float32)}
NEW = {"weights": -np.arange(2000, dtype=np.float32)}


def _each_fault(disk: Disk, work: Callable[[], None]) -> Iterator[tuple[str, int]]:
    """Every fault at every call that `work` makes; the caller sets up, works, and looks."""
    disk.mend()
    work()
    count = len(disk.calls)
    assert count > 0
    for fault in FAULTS:
        for number in range(count):
            yield fault, number


def _fails(work: Callable[[], None]) -> bool:
    try:
        work()
    except OSError:
        return True
    return False


def _folder(results: Path) -> RunFolder:
    shutil.rmtree(results, ignore_errors=True)
    return create(results, "sgd", 1)


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("keep_previous", [True, False])
def test_no_fault_while_a_checkpoint_is_saved_costs_the_one_before(
    disk: Disk, tmp_path: Path, before: int, keep_previous: bool
) -> None:
    run = tmp_path / "results" / "run"
    last = run / "checkpoint" / "last"

    def save(arrays: dict[str, Any], step: int) -> None:
        checkpoint.save(last, arrays, {"step": step}, owner="a", keep_previous=keep_previous)

    def set_up() -> None:
        disk.mend()
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        for step in range(before):
            save(OLD, step)

    def work() -> None:
        set_up()
        disk.mend()
        save(NEW, before)

    for fault, number in _each_fault(disk, work):
        set_up()
        disk.fail(fault, number)
        failed = _fails(lambda: save(NEW, before))
        where = (fault, number, disk.calls[-3:])
        disk.mend()
        if not failed or before:
            found, problems = checkpoint.read_newest(last, owner="a")
            assert found.facts["step"] in ((before - 1, before) if failed else (before,)), where
            wanted = NEW if found.facts["step"] == before else OLD
            assert found.arrays["weights"].tobytes() == wanted["weights"].tobytes(), where
            assert problems == [], where
        # The next one does not stumble over what is left, and clears it away.
        save(NEW, before + 1)
        assert checkpoint.read(last, owner="a").facts["step"] == before + 1, where
        left = {path.name for path in last.parent.iterdir()}
        assert left <= {"last", "last.previous"}, (where, left)
        if keep_previous and before:
            assert checkpoint.read(last.with_name("last.previous")).facts["step"] >= before - 1


def test_a_file_that_is_replaced_is_the_old_one_or_the_new_one(disk: Disk, tmp_path: Path) -> None:
    path = tmp_path / "results" / "run.json"
    path.parent.mkdir()

    def set_up() -> None:
        disk.mend()
        for left in path.parent.iterdir():
            left.unlink()
        write_atomically(path, b"old" * 10_000)

    def work() -> None:
        set_up()
        disk.mend()
        write_atomically(path, b"new" * 10_000)

    for fault, number in _each_fault(disk, work):
        set_up()
        disk.fail(fault, number)
        failed = _fails(lambda: write_atomically(path, b"new" * 10_000))
        renamed = any(what == "rename" for what, _ in disk.calls[:number])
        disk.mend()
        assert path.read_bytes() == (b"new" if renamed or not failed else b"old") * 10_000
        if fault != "dead":  # which does not even let a file be deleted
            assert [one.name for one in path.parent.iterdir()] == ["run.json"]


def test_an_event_is_written_whole_or_not_at_all(disk: Disk, tmp_path: Path) -> None:
    results = tmp_path / "results"
    event = {"event": "notice", "message": "x" * 1000}

    def work() -> None:
        with _folder(results) as folder:
            disk.mend()
            folder.append_event(event)
            folder.append_log("a line")
        disk.calls = [call for call in disk.calls if call[0] != "delete"]

    for fault, number in _each_fault(disk, work):
        disk.mend()
        folder = _folder(results)
        folder.append_event({"event": "started"})
        disk.fail(fault, number)
        _fails(functools.partial(folder.append_event, event))
        _fails(functools.partial(folder.append_log, "a line"))
        folder.close()  # raises nothing more
        disk.mend()
        with reopen(folder.path, folder.id) as again:
            again.append_event({"event": "ended"})
            again.append_log("the last line")
        names = [json.loads(one)["event"] for one in _lines(folder.path / "metrics.jsonl")]
        # Where a part can't even be cut off, it is dropped when the run goes on.
        if fault != "dead":
            assert names in (["started", "ended"], ["started", "notice", "ended"])
            assert _lines(folder.path / "log.txt")[-1] == "the last line"
            assert set(_lines(folder.path / "log.txt")) <= {"a line", "the last line"}


def _lines(path: Path) -> list[str]:
    text = path.read_text()
    assert text.endswith("\n")
    return text.splitlines()


def test_predictions_are_those_before_or_the_new_ones(disk: Disk, tmp_path: Path) -> None:
    results = tmp_path / "results"

    def work() -> None:
        with _folder(results) as folder:
            folder.save_arrays("predictions.npz", OLD)
            disk.mend()
            folder.save_arrays("predictions.npz", NEW)
        disk.calls = [call for call in disk.calls if call[0] != "delete"]

    for fault, number in _each_fault(disk, work):
        disk.mend()
        with _folder(results) as folder:
            folder.save_arrays("predictions.npz", OLD)
            disk.fail(fault, number)
            failed = _fails(lambda: folder.save_arrays("predictions.npz", NEW))
            disk.mend()
            with np.load(folder.path / "predictions.npz") as found:
                kept = found["weights"].tobytes()
            assert kept == NEW["weights"].tobytes() or (failed and kept == OLD["weights"].tobytes())


def _reopen(path: Path, run_id: str) -> None:
    reopen(path, run_id).close()


def _refusal(work: Callable[[], None]) -> str | None:
    try:
        work()
    except UserError as error:
        return str(error)
    return None


def test_a_run_that_cannot_begin_says_so_and_leaves_nothing(disk: Disk, tmp_path: Path) -> None:
    results = tmp_path / "results"

    def work() -> None:
        disk.mend()
        _folder(results).close()
        disk.calls = [call for call in disk.calls if call[0] != "delete"]

    for fault, number in _each_fault(disk, work):
        disk.mend()
        shutil.rmtree(results, ignore_errors=True)
        disk.fail(fault, number)
        refused = _refusal(lambda: create(results, "sgd", 1).close())
        disk.mend()
        assert refused is None or str(results) in refused
        if refused is not None and fault != "dead":
            assert not results.exists() or list(results.iterdir()) == []


def test_a_run_is_opened_again_or_told_why_not_and_is_as_it_was(disk: Disk, tmp_path: Path) -> None:
    results = tmp_path / "results"

    def set_up() -> tuple[Path, str]:
        disk.mend()
        with _folder(results) as folder:
            folder.write_record(replace(RECORD, written_status=RunStatus.FAILED))
            folder.append_event({"event": "started"})
            return folder.path, folder.id

    def work() -> None:
        path, run_id = set_up()
        disk.mend()
        reopen(path, run_id).close()

    for fault, number in _each_fault(disk, work):
        path, run_id = set_up()
        before = {name: (path / name).read_bytes() for name in ("run.json", "metrics.jsonl")}
        disk.fail(fault, number)
        refused = _refusal(functools.partial(_reopen, path, run_id))
        disk.mend()
        assert refused is None or path.name in refused
        for name, content in before.items():
            assert (path / name).read_bytes() == content
        with reopen(path, run_id):
            assert (path / RESERVE_NAME).stat().st_size == RESERVE_BYTES
        assert not (path / RESERVE_NAME).exists()


def test_on_a_disk_that_stays_full_the_end_is_written_in_the_reserve(
    disk: Disk, tmp_path: Path
) -> None:
    recorder = _recorder(_folder(tmp_path / "results"))
    disk.fail("full", 0)
    with pytest.raises(OSError, match="No space left"):
        recorder(Notice("a note"))
    recorder(RunEnded("failed", "the disk is full"))
    disk.mend()
    run = recorder.folder.path
    assert not (run / RESERVE_NAME).exists()
    recorded = json.loads((run / "run.json").read_text())
    assert (recorded["state"], recorded["why"]) == ("failed", "the disk is full")
    assert [json.loads(one)["event"] for one in _lines(run / "metrics.jsonl")] == [
        "started",
        "ended",
    ]
    assert _lines(run / "log.txt")[-1].endswith("failed: the disk is full")
    recorder.folder.close()


def test_the_reserve_takes_room(tmp_path: Path) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        status = (folder.path / RESERVE_NAME).stat()
        assert status.st_blocks * 512 >= RESERVE_BYTES


def _recorder(folder: RunFolder) -> Any:
    from optrun.runner.runs.run_folder import Recorder

    return Recorder.of_new_run(folder, RECORD)


@pytest.mark.parametrize("state", ["completed", "failed"])
def test_however_its_end_is_recorded_a_run_is_never_completed_in_part(
    disk: Disk, tmp_path: Path, state: str
) -> None:
    results = tmp_path / "results"
    result = {"epochs": 1} if state == "completed" else None
    end = RunEnded(state, result=result or {})

    def work() -> None:
        recorder = _recorder(_folder(results))
        disk.mend()
        recorder(end)
        recorder.folder.close()

    for fault, number in _each_fault(disk, work):
        disk.mend()
        recorder = _recorder(_folder(results))
        disk.fail(fault, number)
        failed = _fails(functools.partial(recorder, end))
        recorder.folder.close()
        disk.mend()
        recorded = json.loads((recorder.folder.path / "run.json").read_text())
        assert recorded["state"] in ("running", state)
        if recorded["state"] == "completed":
            assert recorded["result"] == result
            lines = _lines(recorder.folder.path / "metrics.jsonl")
            assert json.loads(lines[-1])["state"] == "completed"
        if not failed:
            assert recorded["state"] == state


@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
def test_a_folder_that_is_taken_away_is_noticed_and_not_made_again(
    tmp_path: Path, how: str
) -> None:
    recorder = _recorder(create(tmp_path / "results", "sgd", 1))
    path = recorder.folder.path
    if how == "removed":
        shutil.rmtree(path)
    else:
        path.rename(tmp_path / "elsewhere")
    if how == "replaced":
        path.mkdir()
    for write in (
        lambda: recorder(Notice("a note")),
        lambda: recorder.log("a line"),
        lambda: recorder(NetworkBuilt({})),
        lambda: recorder(RunEnded("failed", "gone")),
        lambda: recorder.folder.save_arrays("predictions.npz", OLD),
    ):
        with pytest.raises(OSError, match=r"moved away|No such file"):
            write()
    if how != "replaced":
        with pytest.raises(FileNotFoundError):
            checkpoint.save(path / "checkpoint" / "last", OLD, {})
        assert not path.exists()
    else:
        assert list(path.iterdir()) == []
    recorder.folder.close()


SETTINGS = (
    *("data.image_size=32", "data.limit=160", "model.width=0.0625", "model.head.hidden_units=[4]"),
    *("training.epochs=2", "training.keep_last_checkpoint=true", "training.batch_size=32"),
)
# Where a default test lets a run fail: the fault, and the last call of its kind on that name.
MOMENTS = (("full", "rename", ".last.new"), ("EIO", "create", "log.txt"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("shallow_network")
@pytest.mark.parametrize("fault", FAULTS)
def test_wherever_a_run_fails_it_is_resumed_to_the_one_that_did_not(
    disk: Disk, optrun: Optrun, differences: Differences, tmp_path: Path, fault: str
) -> None:
    twin = _train(disk, optrun, tmp_path / "results" / "twin")
    resumed = [
        _survives(disk, optrun, differences, tmp_path / "results" / "run", fault, number, twin)
        for number in _moments(disk.calls, fault)
    ]
    assert resumed.count(True) > len(resumed) / 2


@pytest.mark.usefixtures("shallow_network")
def test_a_run_that_fails_is_resumed_to_the_one_that_did_not(
    disk: Disk, optrun: Optrun, differences: Differences, tmp_path: Path
) -> None:
    twin = _train(disk, optrun, tmp_path / "results" / "twin")
    calls = disk.calls
    for fault, what, name in MOMENTS:
        number = max(index for index, call in enumerate(calls) if call == (what, name))
        assert _survives(
            disk, optrun, differences, tmp_path / "results" / "run", fault, number, twin
        )


def _moments(calls: list[tuple[str, str]], fault: str) -> list[int]:
    """One call of each kind on each name in a row; of many writes one after another, the middle."""
    moments = []
    for (what, _), group in itertools.groupby(range(len(calls)), key=lambda index: calls[index]):
        indices = list(group)
        if fault != "short" or what == "write":
            moments.append(indices[len(indices) // 2])
    return moments


def _train(disk: Disk, optrun: Optrun, results: Path) -> Path:
    disk.mend()
    code, _, err = _answer(optrun, results)
    assert (code, err) == (0, "")
    (run,) = results.iterdir()
    return run


def _answer(optrun: Optrun, results: Path) -> Answer:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    config = CONFIGS / "sgd_vgg19.yaml"
    return optrun("train", config, "--sample", *settings, "--results", results)


def _survives(
    disk: Disk,
    optrun: Optrun,
    differences: Differences,
    results: Path,
    fault: str,
    number: int,
    twin: Path,
) -> bool:
    """Whether a run began that the fault ended, and was resumed to its twin; or none began."""
    disk.mend()
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    disk.fail(fault, number)
    code, out, err = _answer(optrun, results)
    at = disk.calls[number] if number < len(disk.calls) else None
    where = f"{fault} at call {number}, {at}: exit code {code}\n{out}{err}"
    disk.mend()
    assert code in (0, 1, 2), where
    assert "Traceback" not in out + err, where
    runs = list(results.iterdir())
    if not runs:
        assert code == 2, where
        assert err.startswith("optrun: "), where
        return False
    (run,) = runs
    if code == 1 and fault in ("full", "short", "ENOSPC"):
        recorded = json.loads((run / "run.json").read_text())
        assert recorded["state"] == "failed", where
        assert recorded["why"].startswith("the disk is full"), where
        assert "failed: the disk is full" in out, where
        assert not (run / RESERVE_NAME).exists(), where
    if code == 2 and fault == "dead":  # what could not even be taken away again
        return False
    assert optrun("runs", results)[0] == 0
    code, out, err = optrun("resume", run)
    assert (code, err) == (0, ""), f"{where}\nresumed: {out}{err}"
    assert differences(run, twin) == [], where
    return True


@pytest.mark.slow
def test_a_file_that_the_kernel_cuts_short_ends_the_run_and_not_its_last_checkpoint(
    disk: Disk, optrun: Optrun, differences: Differences, tmp_path: Path
) -> None:
    twin = _train(disk, optrun, tmp_path / "results" / "twin")
    # More than any other file of the run takes, and less than its checkpoint `last`.
    limit = (twin / "checkpoint" / "last" / "weights.npz").stat().st_size - 1000
    results = tmp_path / "results" / "run"
    arguments = ["train", str(CONFIGS / "sgd_vgg19.yaml"), "--sample", "--results", str(results)]
    arguments += [part for setting in SETTINGS for part in ("--set", setting)]
    program = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from optrun.runner import cli\n"
        f"sys.argv = ['optrun', *{arguments!r}]\n"
        "cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said
    assert "would be larger than the system allows" in said
    (run,) = results.iterdir()
    assert json.loads((run / "run.json").read_text())["state"] == "failed"
    assert not (run / "checkpoint" / "last").exists()
    code, _, err = optrun("resume", run)
    assert (code, err) == (0, "")
    assert differences(run, twin) == []


@pytest.mark.parametrize("how", [pytest.param("moved", marks=pytest.mark.slow), "removed"])
def test_a_run_whose_folder_is_taken_away_ends_and_says_so(
    disk: Disk,
    optrun: Optrun,
    differences: Differences,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    from optrun.runner.ui.console import Display

    results, elsewhere = tmp_path / "results" / "run", tmp_path / "elsewhere"
    show, seen = Display._step_done, 0

    def shown(self: Display, *arguments: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == 6:
            (run,) = results.iterdir()
            if how == "moved":
                run.rename(elsewhere)
            else:
                shutil.rmtree(run)
        show(self, *arguments)

    monkeypatch.setattr(Display, "_step_done", shown)
    code, out, err = _answer(optrun, results)
    assert code == 1, out + err
    assert "Traceback" not in out + err
    assert f"failed: the folder {results}" in out
    assert "is gone: it was removed, or moved away" in out
    assert list(results.iterdir()) == []
    if how == "moved":
        code, _, err = optrun("resume", elsewhere)
        assert (code, err) == (0, "")
        twin = _train(disk, optrun, tmp_path / "results" / "twin")
        assert differences(elsewhere, twin) == []
