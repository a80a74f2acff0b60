"""`optrun compare` as a person meets it: fast, without TensorFlow, and clear about mistakes."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from optrun.runner.commands.compare import compare
from optrun.runner.errors import UserError

MakeRun = Callable[..., Path]


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(compare, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def python(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )


COMMAND = (
    "from optrun.runner.commands.compare import compare; import sys; compare(standalone_mode=False)"
)
HEAVY = ["tensorflow", "keras", "sklearn", "h5py", "pydantic", "PIL"]
AFTERWARDS = (
    f"; print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    "; import time; print(time.process_time(), file=sys.stderr)"
)


@pytest.fixture
def thousand(tmp_path: Path, run_content: Callable[..., dict[str, Any]]) -> Path:
    """1,000 runs: 125 experiments of eight seeds, as large as real ones, some cut off."""
    for number in range(1000):
        experiment, seed = divmod(number, 8)
        content = run_content(
            name=f"experiment{experiment}",
            seed=seed,
            state="diverged" if number % 50 == 7 else "completed",
            experiment=hashlib.sha256(str(experiment).encode()).hexdigest(),
            optimizer={
                "description": f"SGD lr {experiment}e-6",
                "specification": {f"argument_{i}": i for i in range(20)},
            },
            comparable={f"field_{i}": "f" * 64 for i in range(20)},
            result={"test_accuracy": 0.9 + number * 1e-5},
        )
        folder = tmp_path / "results" / f"run{number}"
        folder.mkdir(parents=True)
        text = json.dumps(content, indent=1)
        (folder / "run.json").write_text(text[: 500 if number % 100 == 3 else None])
    return tmp_path / "results"


def test_a_thousand_runs_take_under_two_seconds_and_no_tensorflow(thousand: Path) -> None:
    done = python(COMMAND + AFTERWARDS, thousand)
    heavy, seconds = done.stderr.splitlines()
    assert "10 unreadable" in done.stdout
    assert done.stdout.count("of 8 diverged") + done.stdout.count("of 7 diverged") == 20
    assert heavy == "[]"
    assert float(seconds) < 2.0  # of the processor: other tests run at the same time


def test_help_answers_at_once_and_imports_nothing_it_does_not_need() -> None:
    program = (
        "import sys; from click.testing import CliRunner\n"
        "from optrun.runner.commands.compare import compare\n"
        "print(CliRunner().invoke(compare, ['--help']).output)\n"
        f"print([n for n in {[*HEAVY, 'rich', 'yaml', 'statistics']} if n in sys.modules])"
    )
    done = python(program)
    assert "mean and spread over seeds" in " ".join(done.stdout.split())
    assert done.stdout.strip().endswith("[]")


def test_help_explains_every_measure() -> None:
    from optrun.runner.compare.metrics import MEASURES

    text = " ".join(call("--help").stdout.split())
    assert all(f"{measure.key} {measure.description}" in text for measure in MEASURES)


def test_without_a_run_it_says_what_to_run_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for arguments in ([], ["results"], ["results/"], ["empty"]):
        result = call(*arguments)
        assert result.exit_code == 0
        assert "    make train\n" in result.stdout
        assert "    optrun train configs/lookahead_vgg19.yaml --sample\n" in result.stdout


def test_without_a_run_csv_and_json_stay_readable(tmp_path: Path) -> None:
    table = call(tmp_path, "--format", "csv")
    assert table.stdout.count("\n") == 1
    assert "make train" in table.stderr
    assert json.loads(call(tmp_path, "--format", "json").stdout)["tables"] == []


def test_unfinished_runs_alone_are_named_and_then_what_to_run(make_run: MakeRun) -> None:
    folder = make_run("stopped", state="interrupted")
    output = call(folder.parent).stdout
    assert "1 interrupted: stopped" in output
    assert "make train" in output


def test_a_missing_path_is_the_persons_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"received: .*missing, where there is no folder") as caught:
        call(tmp_path / "missing")
    assert caught.value.exit_code == 2


def test_a_wrong_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"received: test_acuracy\. Did you mean test_accuracy\?"):
        call(tmp_path, "--sort", "test_acuracy")


def test_a_column_may_be_written_with_dashes(make_run: MakeRun) -> None:
    results = make_run(name="sgd", result={"test_accuracy": 0.5}).parent
    make_run(name="adam", result={"test_accuracy": 0.7})
    output = call(results, "--sort", "Test-Accuracy").stdout
    assert output.index("\nadam") < output.index("\nsgd")
    assert "Sorted by test accuracy, highest mean first" in output


def test_the_default_order_is_said(make_run: MakeRun) -> None:
    output = call(make_run().parent).stdout
    assert "Sorted by best validation loss, lowest mean first" in output


def test_a_wrong_format_is_refused(tmp_path: Path) -> None:
    assert call(tmp_path, "--format", "html").exit_code == 2


def test_results_folders_and_single_runs_can_be_mixed(make_run: MakeRun, tmp_path: Path) -> None:
    one = make_run(name="one")
    other = tmp_path / "elsewhere" / "two"
    other.parent.mkdir()
    make_run(name="two").rename(other)
    content = json.loads(call(one, other.parent, "--format", "json").stdout)
    assert [row["name"] for row in content["tables"][0]["rows"]] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "start"),
    [("t.csv", "table,photos"), ("t.json", "{\n"), ("t.md", "**Real photos**"), ("t.txt", "Real")],
)
def test_a_file_takes_the_format_of_its_ending_and_is_reported(
    make_run: MakeRun, tmp_path: Path, name: str, start: str
) -> None:
    result = call(make_run().parent, "--output", tmp_path / name)
    assert (tmp_path / name).read_text().startswith(start)
    assert result.stdout == ""
    assert "Wrote 1 row (" in result.stderr
    assert str(tmp_path / name) in result.stderr


def test_a_file_is_replaced_whole_or_not_at_all(make_run: MakeRun, tmp_path: Path) -> None:
    results = make_run().parent
    with pytest.raises(UserError, match="--output must be a file that can be written"):
        call(results, "--output", tmp_path / "missing" / "t.csv")
    (tmp_path / "t.csv").write_text("old")
    call(results, "--output", tmp_path / "t.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "t.csv"]


def test_a_stream_without_the_characters_shows_the_numbers_all_the_same(make_run: MakeRun) -> None:
    make_run(seed=1, result={"test_accuracy": 0.8})
    results = make_run(seed=2).parent
    program = f"import sys; sys.stdout.reconfigure(encoding='ascii'); {COMMAND}"
    assert "84.0" in python(program, results).stdout


def test_a_file_whose_ending_promises_something_else_is_refused(
    optrun: Callable[..., tuple[int, str, str]], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    results = make_run().parent
    code, out, err = optrun("compare", results, "--output", tmp_path / "table.html")
    assert (code, out) == (2, "")
    assert "--output must end in one of .md, .csv, .json or .txt, or --format be given" in err
    assert not (tmp_path / "table.html").exists()
    code, _, _ = optrun("compare", results, "--output", tmp_path / "t.html", "--format", "markdown")
    assert code == 0


def test_a_share_that_no_run_can_have_is_not_shown(
    optrun: Callable[..., tuple[int, str, str]], make_run: Callable[..., Path]
) -> None:
    results = make_run(result={"test_accuracy": 99.0}).parent
    code, out, _ = optrun("compare", results)
    assert code == 0
    assert "900" not in out
    assert "test accuracy is missing or impossible for seed 1" in " ".join(out.split())
