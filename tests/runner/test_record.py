"""The record of a run is written and read by one type, whatever has happened to it since."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from optrun.runner.events import EpochRecord, RunEnded, StepRecord
from optrun.runner.runs.event_log import EventKind, last_epoch, read_events
from optrun.runner.runs.record import RunRecord, RunStatus, status_of
from optrun.runner.runs.run_folder import Recorder, RunFolder, create

Record = Callable[..., RunRecord]
NOW = datetime(2026, 11, 21, 8, 0, 0, 5, UTC)


def again(record: RunRecord) -> RunRecord:
    return RunRecord.parse(json.dumps(record.as_json()).encode())


def test_what_is_written_is_read_back_through_every_change(run_record: Record) -> None:
    record = run_record(state="running", ended=None, result=None, steps_per_epoch=10)
    assert again(record) == record
    record = record.with_network({"parameters": 7})
    assert again(record).provenance.get("parameters") == 7
    record = record.at_end(RunEnded("interrupted", "stopped"), NOW)
    assert (again(record), record.why, record.ended) == (record, "stopped", NOW)
    record = record.gone_on_with(NOW, steps_done=4, changes=["python was 3.11, now 3.12"])
    assert again(record) == record
    assert (record.written_status, record.why, record.ended) == ("running", "", None)
    record = record.at_end(RunEnded("completed", result={"epochs": 2}), NOW)
    assert (again(record), record.result) == (record, {"epochs": 2})


def test_a_record_keeps_what_other_versions_wrote_into_its_mappings(run_record: Record) -> None:
    record = run_record(comparable={"new": {"deep": 1}}, provenance={"later": [1, 2]})
    assert again(record).flat_comparable["new.deep"] == 1
    assert again(record).as_json()["provenance"] == {"later": [1, 2]}


@pytest.mark.parametrize("status", ["killed", "starting", "damaged"])
def test_a_status_that_is_only_derived_is_not_read(run_record: Record, status: str) -> None:
    content = json.dumps(run_record().as_json() | {"state": status}).encode()
    with pytest.raises(Exception, match=f"unknown state: {status}"):
        RunRecord.parse(content)


def test_the_status_is_what_run_json_and_the_lock_say_together(
    tmp_path: Path, run_record: Record
) -> None:
    running = run_record(state="running", result=None)
    folder = create(tmp_path, "sgd", 1)
    held = [status_of(one, folder.path) for one in (running, run_record(), None)]
    folder.close()
    free = [status_of(one, folder.path) for one in (running, run_record(), None)]
    assert held == [RunStatus.RUNNING, RunStatus.COMPLETED, RunStatus.STARTING]
    assert free == [RunStatus.KILLED, RunStatus.COMPLETED, RunStatus.DAMAGED]


def recorded_with_steps(folder: RunFolder, record: RunRecord, epochs: int, steps: int) -> list[int]:
    """Lengths of metrics.jsonl after each epoch."""
    recorder = Recorder.of_new_run(folder, replace(record, id=folder.id))
    lengths = []
    for epoch in range(1, epochs + 1):
        for step in range(1, steps + 1):
            recorder(StepRecord(step, epoch, step, step, 16 * step, 0.5, 0.75, 1e-4, 1.0, 0.0))
        values: list[Any] = [0.5] * 12
        recorder(
            EpochRecord(epoch, *values, epoch * steps, epoch * steps, 16 * steps, 1.0, 2.0, 3.0)
        )
        lengths.append(folder.metrics_bytes())
    return lengths


def test_epochs_are_read_right_among_a_hundred_times_as_many_steps(
    tmp_path: Path, run_record: Record
) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        recorded_with_steps(folder, run_record(), epochs=3, steps=700)
        found = read_events(folder.path)
        assert [one["epoch"] for one in found.of(EventKind.EPOCH)] == [1, 2, 3]
        assert found.skipped == ()
        # The epoch lies far before the end that is looked at first.
        with folder.metrics_path.open("ab") as file:
            step = (folder.metrics_path.read_bytes().splitlines(keepends=True))[1]
            file.write(step * 2000)
        assert last_epoch(folder.path)["epoch"] == 3


def test_more_steps_than_lines_are_read_of_anything_else_hide_no_epoch(tmp_path: Path) -> None:
    step, epoch = b'{"event": "step", "loss": 1}\n', b'{"event": "epoch", "epoch": 1}\n'
    (tmp_path / "metrics.jsonl").write_bytes(step * 60_000 + epoch + step * 60_000 + epoch)
    found = read_events(tmp_path)
    assert (len(found.events), found.skipped) == (2, ())


def test_what_is_resumed_keeps_the_steps_up_to_its_checkpoint(
    tmp_path: Path, run_record: Record
) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        first, _ = recorded_with_steps(folder, run_record(), epochs=2, steps=3)
        before = folder.metrics_path.read_bytes()[:first]
        (epoch,) = ({**one} for one in read_events(folder.path).of(EventKind.EPOCH)[:1])
        wanted = {key: value for key, value in epoch.items() if key not in ("event", "time")}
        assert folder.cut_metrics(first, [wanted])
        assert folder.metrics_path.read_bytes() == before
        assert not folder.cut_metrics(first - 1, [wanted])
        assert [one["event"] for one in read_events(folder.path).events] == ["epoch"]


def test_a_record_is_read_without_tensorflow_scipy_and_numpy() -> None:
    program = (
        "import sys, optrun.runner.runs.record, optrun.runner.runs.run_folder;"
        "sys.exit(bool({'tensorflow', 'scipy', 'numpy', 'rich.table'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
