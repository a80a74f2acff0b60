"""Reading runs never raises, never writes, and never lets text from disk reach a terminal raw."""

import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optrun.runner.errors import UserError
from optrun.runner.runs import reader as runs
from optrun.runner.runs.event_log import Events, read_events
from optrun.runner.runs.reader import Run, Unreadable
from optrun.runner.runs.record import RunRecord
from optrun.runner.runs.run_folder import create
from optrun.runner.untrusted import number, printable

MakeRun = Callable[..., Path]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON_VALUES = SCALARS | st.lists(SCALARS) | st.dictionaries(st.text(), SCALARS | st.lists(SCALARS))
Content = Callable[..., dict[str, Any]]
Record = Callable[..., RunRecord]


def reason(folder: Path) -> str:
    found = runs.read(folder)
    assert isinstance(found, Unreadable)
    return found.reason


def test_a_whole_run_is_read_as_it_was_written(make_run: MakeRun) -> None:
    run = runs.read(make_run(name="adam", seed=3, result={"test_accuracy": 0.75}))
    assert isinstance(run, Run)
    record = run.record
    assert (record.name, record.seed, run.status, record.sample) == ("adam", 3, "completed", False)
    assert record.started == datetime(2026, 11, 20, 15, 30, 0, 123456, UTC)
    assert record.flat_comparable["model.width"] == 1.0
    assert record.circumstances == {"packages.tensorflow": "2.21.0", "hardware.host": "one"}
    assert (record.batch_size, record.images_per_update) == (16, 16)
    assert record.measure("test_accuracy") == 0.75
    assert record.initial_weights == "bb" * 32


def test_what_the_writer_wrote_the_reader_reads(tmp_path: Path, run_record: Record) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        folder.write_record(run_record(result={"gap_loss": float("inf")}))
        folder.append_event({"epoch": 1, "loss": float("nan")})
    [found], unreadable = runs.read_all([tmp_path])
    assert (found.status, found.record.measure("gap_loss")) == ("completed", None)
    assert unreadable == []
    assert read_events(folder.path) == Events(({"epoch": 1, "loss": "NaN"},), ())


def test_a_running_run_is_killed_when_nobody_holds_its_lock(
    tmp_path: Path, run_record: Record
) -> None:
    folder = create(tmp_path, "sgd", 1)
    folder.write_record(run_record(state="running", result=None))
    alive = runs.read(folder.path)
    folder.close()
    dead = runs.read(folder.path)
    assert isinstance(alive, Run)
    assert isinstance(dead, Run)
    assert (alive.status, dead.status) == ("running", "killed")


def test_a_run_without_run_json_whose_writer_lives_is_just_starting(tmp_path: Path) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        assert reason(folder.path) == "just starting, no run.json yet"
    assert reason(folder.path) == "no run.json"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not JSON"),
        (b'{"format": 1, "sta', "not JSON"),
        (b"\xff\xfe\x00garbage", "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b"[" * 50_000, "not JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not JSON"),
        (b"{}", "format must be 1, received: None (another version?)"),
        (b'{"format": 2}', "format must be 1, received: 2 (another version?)"),
    ],
)
def test_a_damaged_run_json_is_named_with_its_reason(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "run.json").write_bytes(content)
    assert reason(tmp_path) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"state": "fine"}, "unknown state: fine"),
        ({"state": None}, "state must be text"),
        ({"name": 3}, "name must be text"),
        ({"seed": True}, "seed must be a whole number from 0"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"seed": 10**4000}, "seed must be a whole number from 0"),
        ({"sample": "no"}, "sample must be true or false"),
        ({"optimizer": []}, "optimizer must be an object"),
        ({"optimizer": {}}, "description must be text"),
        ({"experiment": None}, "experiment must be text"),
        ({"comparable": None}, "comparable must be an object"),
        ({"started": "yesterday"}, "started must be a time"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(
    make_run: MakeRun, changes: dict[str, object], expected: str
) -> None:
    assert reason(make_run("wrong", **changes)) == expected


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each writes its own
)
@given(data=st.data())
def test_no_value_anywhere_makes_the_reader_raise(
    data: st.DataObject, tmp_path: Path, run_content: Content
) -> None:
    content = run_content()
    key = data.draw(st.sampled_from(sorted(content)))
    content[key] = data.draw(JSON_VALUES)
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert isinstance(runs.read(tmp_path), (Run, Unreadable))


def test_a_completed_run_without_a_result_is_unreadable(make_run: MakeRun) -> None:
    folder = make_run()
    content = json.loads((folder / "run.json").read_text()) | {"result": None}
    (folder / "run.json").write_text(json.dumps(content))
    assert reason(folder) == "completed, but without a result"


def test_missing_provenance_is_no_damage(make_run: MakeRun) -> None:
    run = runs.read(make_run(provenance=None, batch_size=None, why=7, id=None))
    assert isinstance(run, Run)
    record = run.record
    assert (record.batch_size, record.initial_weights, record.circumstances) == (None, None, {})


def test_numbers_that_are_none_are_none() -> None:
    for value in ("NaN", None, True, float("nan"), float("inf"), 1e308, -(10**400), [1], "1"):
        assert number(value) is None
    assert number(3) == 3.0


def test_a_pipe_or_a_huge_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.json")
    assert reason(tmp_path) == "run.json is not a file"
    (tmp_path / "run.json").unlink()
    with (tmp_path / "run.json").open("wb") as file:
        file.truncate(2**33)
    assert reason(tmp_path) == "run.json is larger than 4 MiB"


@given(st.text())
def test_printable_text_holds_nothing_that_moves_the_cursor(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()  # no lone surrogate is left
    assert len(text) > 300 or not text.isprintable() or shown == text


def test_hostile_text_is_made_visible_wherever_it_stands(make_run: MakeRun) -> None:
    evil = "a\x1b]0;owned\x07\u202e\ud800[red]\nb"
    run = runs.read(
        make_run(
            "evil",
            name=evil,
            experiment=evil,
            optimizer={"description": evil, "specification": {evil: [evil]}},
            comparable={evil: {evil: evil}},
            provenance={"packages": {evil: evil}},
        )
    )
    assert repr(run).isprintable()
    assert isinstance(run, Run)
    assert all(
        str(part).isprintable()
        for part in (
            *(run.record.name, run.record.optimizer, run.record.specification),
            *(run.record.comparable, run.record.circumstances),
        )
    )


def test_the_folders_own_name_is_made_printable(make_run: MakeRun) -> None:
    run = runs.read(make_run("evil\n\x1b[2J"))
    assert run.label == "evil\\n\\x1b[2J"


def test_find_takes_results_folders_and_run_folders_and_counts_each_once(
    make_run: MakeRun, tmp_path: Path
) -> None:
    one, two = make_run("one"), make_run("two")
    (tmp_path / "link").symlink_to(one)
    results = tmp_path / "results"
    assert runs.find([results]) == [one, two]
    assert runs.find([one, results, tmp_path / "link"]) == [one, two]


def test_find_names_broken_runs_and_ignores_what_is_no_run(
    make_run: MakeRun, tmp_path: Path
) -> None:
    results = make_run("whole").parent
    (results / "figures").mkdir()
    (results / "README.md").write_text("")
    (results / "circle").symlink_to("circle")
    (results / "dead").symlink_to("nowhere")
    (results / "begun").mkdir()
    (results / "begun" / "writer.lock").touch()
    (found,), (broken,) = runs.read_all([results])
    assert (found.label, broken.label, broken.reason) == ("whole", "begun", "no run.json")


@pytest.mark.parametrize("name", ["missing", "file", "x" * 300])
def test_a_path_that_is_no_folder_is_the_persons_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"received: .*{name[:100]}"):
        runs.find([tmp_path / name])


def test_torn_and_garbled_lines_are_skipped_and_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"epoch":1}\n\x00\xff\n[]\n{"epoch":2}\n{"epo')
    found = read_events(tmp_path)
    assert [event["epoch"] for event in found.events] == [1, 2]
    assert found.skipped == ("line 2: not JSON", "line 3: not a JSON object", "line 5: torn")


def test_a_torn_line_that_happens_to_be_json_is_still_torn(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"epoch":1}\n{}')
    assert read_events(tmp_path).skipped == ("line 2: torn",)


def test_missing_metrics_are_no_events(tmp_path: Path) -> None:
    assert read_events(tmp_path) == Events((), ("no metrics.jsonl",))


def test_a_config_is_read_by_dotted_name(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("training: {epochs: 3}\nname: a\n")
    assert runs.read_config(tmp_path) == {"training.epochs": 3, "name": "a"}


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "!!python/object/apply:os.system [echo]",
        "- 1",
        "a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]",
        "a: " + "[" * 500 + "]" * 500,
        "\x00",
    ],
)
def test_a_config_that_is_damaged_or_a_trap_is_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert runs.read_config(tmp_path) == {}


def test_reading_changes_nothing(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(state="running", result=None)
    (folder / "writer.lock").touch()

    def everything() -> list[tuple[str, int, int]]:
        paths = sorted(tmp_path.rglob("*"))
        return [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths]

    before = everything()
    for path in tmp_path.rglob("*"):
        path.chmod(stat.S_IRUSR | (stat.S_IXUSR if path.is_dir() else 0))
    runs.read_all([tmp_path / "results"])
    read_events(folder)
    assert everything() == before
    for path in tmp_path.rglob("*"):
        path.chmod(stat.S_IRWXU)


def test_the_state_words_of_the_writer_and_the_readers_agree(make_run: MakeRun) -> None:
    for state in ("completed", "diverged", "interrupted", "failed"):
        run = runs.read(make_run(state=state))
        assert isinstance(run, Run)
        assert run.status == state


def test_a_run_from_before_there_was_a_choice_of_resizing_counts_as_the_default(
    make_run: MakeRun,
) -> None:
    old = runs.read(make_run(comparable={"image_size": 128}))
    new = runs.read(
        make_run(comparable={"image_size": 128, "resize": "squash", "antialias": False})
    )
    other = runs.read(make_run(comparable={"image_size": 128, "resize": "crop"}))

    assert isinstance(old, Run)
    assert isinstance(new, Run)
    assert isinstance(other, Run)
    assert old.record.flat_comparable == new.record.flat_comparable
    assert new.record.flat_comparable != other.record.flat_comparable
