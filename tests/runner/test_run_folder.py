"""A run folder is never shared, never half written, and plain enough for any reader."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optrun.data.files import write_atomically
from optrun.runner.errors import UserError
from optrun.runner.runs import run_folder, writer_lock
from optrun.runner.runs.record import RunRecord
from optrun.runner.runs.run_folder import check_writable, create, folder_name

Record = Callable[..., RunRecord]


def strict(text: str) -> object:
    """JSON as other languages read it: without Python's NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"not JSON: {constant}")

    return json.loads(text, parse_constant=refuse)


def test_the_folder_is_named_after_experiment_seed_and_a_short_id(tmp_path: Path) -> None:
    with create(tmp_path / "results", "lookahead_vgg19", 7) as folder:
        assert folder.path == tmp_path / "results" / f"lookahead_vgg19-s7-{folder.id}"
        assert len(folder.id) == 6
        assert folder.path.is_dir()


def _create_many(results: Path, count: int) -> list[str]:
    names = []
    for _ in range(count):
        with create(results, "same", 1) as folder:
            names.append(folder.path.name)
    return names


def test_many_processes_starting_at_once_never_share_a_folder(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from optrun.runner.runs.run_folder import create\n"
        "sys.stdin.readline()\n"
        "for _ in range(25): print(create(Path(sys.argv[1]), 'same', 1).path.name)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "results")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for process in processes:  # all wait for this line, so that they begin together
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    names = [line for process in processes for line in process.communicate()[0].split()]
    assert len(names) == 6 * 25
    assert len(set(names)) == len(names) == len(list((tmp_path / "results").iterdir()))


def test_an_id_that_is_taken_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["aaaaaa", "aaaaaa", "aaaaaa", "bbbbbb"])
    monkeypatch.setattr(run_folder, "_draw_id", lambda: next(drawn))
    with create(tmp_path, "same", 1) as first, create(tmp_path, "same", 1) as second:
        assert (first.id, second.id) == ("aaaaaa", "bbbbbb")


def test_threads_of_one_process_get_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        names = [
            n for names in pool.map(lambda _: _create_many(tmp_path, 5), range(4)) for n in names
        ]
    assert len(set(names)) == 20


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "a/b\\c",
        "-rf",
        ".hidden",
        "a\x00b",
        "x" * 500,
        "",
        "..",
        "con:",
        "\x1b[2J",
    ],
)
def test_no_name_leaves_the_results_folder_or_needs_quoting(tmp_path: Path, name: str) -> None:
    with create(tmp_path / "results", name, 0) as folder:
        assert folder.path.parent == tmp_path / "results"
        assert folder.path.name.replace("-", "").replace("_", "").replace(".", "").isalnum()
        assert folder.path.name[0] not in "-."
        assert len(folder.path.name) < 200


def test_a_safe_name_stays_as_it_is() -> None:
    assert folder_name("sample-lookahead_vgg19.v2") == "sample-lookahead_vgg19.v2"


def test_run_json_is_replaced_whole_and_leaves_no_temporary_file(
    tmp_path: Path, run_record: Record
) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        folder.write_record(run_record(state="running", name="größe"))
        before = (folder.path / "run.json").stat().st_ino
        folder.write_record(run_record(state="completed", name="größe"))
        content = strict((folder.path / "run.json").read_text())
        assert (content["format"], content["state"], content["name"]) == (1, "completed", "größe")
        assert (folder.path / "run.json").stat().st_ino != before
        assert sorted(path.name for path in folder.path.iterdir()) == [
            ".reserve",
            "metrics.jsonl",
            "run.json",
            "writer.lock",
        ]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_or_the_new_content_and_never_a_part(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    contents = [bytes([letter]) * 200_000 for letter in b"ab"]
    write_atomically(path, contents[0])
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(
            lambda: [write_atomically(path, contents[number % 2]) for number in range(40)]
        )
        seen = set()
        while not writing.done():
            seen.add(path.read_bytes())
    assert seen <= set(contents)


def test_events_are_one_strict_json_object_a_line_on_disk_at_once(tmp_path: Path) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        folder.append_event({"epoch": 1, "loss": float("nan"), "grad": [float("inf"), -np.inf]})
        folder.append_event({"epoch": np.int64(2), "loss": np.float32(0.5), "name": "a\nb"})
        lines = (folder.path / "metrics.jsonl").read_text().split("\n")
    assert lines.pop() == ""
    assert [strict(line) for line in lines] == [
        {"epoch": 1, "loss": "NaN", "grad": ["Infinity", "-Infinity"]},
        {"epoch": 2, "loss": 0.5, "name": "a\nb"},
    ]
    assert float("-Infinity") == -np.inf  # as the module's text promises of the strings


def test_what_json_cannot_hold_is_refused_instead_of_written_as_something_else(
    tmp_path: Path, run_record: Record
) -> None:
    record = replace(run_record(), result={"model": object()})
    with create(tmp_path, "sgd", 1) as folder, pytest.raises(TypeError, match="JSON cannot hold"):
        folder.write_record(record)


def test_text_that_is_no_unicode_is_still_written_as_json(
    tmp_path: Path, run_record: Record
) -> None:
    command = ["\udcff"]  # an argument in another encoding
    with create(tmp_path, "sgd", 1) as folder:
        folder.write_record(replace(run_record(), provenance={"command": command}))
        written = json.loads((folder.path / "run.json").read_bytes())
        assert written["provenance"]["command"] == command


def test_predictions_are_read_back_without_pickle(tmp_path: Path) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        folder.save_arrays(
            "predictions.npz",
            {"test_ids": ("cat.1", "dog.22"), "test_probabilities": np.float32([0.25, 0.75])},
        )
        with np.load(folder.path / "predictions.npz", allow_pickle=False) as arrays:
            assert arrays["test_ids"].tolist() == ["cat.1", "dog.22"]
            assert arrays["test_probabilities"].tolist() == [0.25, 0.75]


def test_predictions_that_would_need_pickle_are_refused(tmp_path: Path) -> None:
    with create(tmp_path, "sgd", 1) as folder:
        with pytest.raises(TypeError, match="numbers or text"):
            folder.save_arrays("predictions.npz", {"ids": np.array([object()])})
        assert not (folder.path / "predictions.npz").exists()


def test_the_lock_is_held_until_the_folder_is_closed(tmp_path: Path) -> None:
    folder = create(tmp_path, "sgd", 1)
    lock = folder.path / writer_lock.LOCK_NAME
    assert writer_lock.is_held(lock)
    with pytest.raises(writer_lock.RunHeldError, match=f"by process {os.getpid()} on ") as caught:
        writer_lock.acquire(lock, patience_s=0)
    assert caught.value.exit_code == 5
    folder.close()
    folder.close()
    assert not writer_lock.is_held(lock)


def test_a_killed_writer_lets_go_of_its_lock(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from optrun.runner.runs.run_folder import create\n"
        "folder = create(Path(sys.argv[1]), 'sgd', 1); print(folder.path, flush=True)\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lock = Path(process.stdout.readline().strip()) / writer_lock.LOCK_NAME
    assert writer_lock.is_held(lock)
    process.kill()
    process.communicate()
    assert not writer_lock.is_held(lock)


def test_asking_whether_a_lock_is_held_makes_no_file(tmp_path: Path) -> None:
    assert not writer_lock.is_held(tmp_path / writer_lock.LOCK_NAME)
    assert list(tmp_path.iterdir()) == []


def test_a_results_folder_that_is_a_file_is_the_persons_mistake(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    for results in (tmp_path / "results", tmp_path / "results" / "deeper"):
        with pytest.raises(UserError, match=r"must be a folder that can be written.*--results DIR"):
            check_writable(results)
        with pytest.raises(UserError, match=r"must be a folder that can be written.*--results DIR"):
            create(results, "sgd", 1)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may write anywhere"
)
def test_a_results_folder_without_permission_is_the_persons_mistake(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(UserError, match=r"can be written"):
        check_writable(tmp_path / "results")
    with pytest.raises(UserError, match=r"can be written"):
        create(tmp_path / "results", "sgd", 1)


def test_checking_changes_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "deep" / "results")
    assert list(tmp_path.iterdir()) == []
