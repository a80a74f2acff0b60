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
    from optrun.runner.verdict.metrics import MEASURES

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


def test_two_single_runs_are_compared_and_of_one_seed_nothing_is_concluded(
    make_run: MakeRun,
) -> None:
    one = make_run(name="sgd", result={"test_accuracy": 0.875})
    other = make_run(name="adam", result={"test_accuracy": 0.9375})
    [table] = json.loads(call(other, one, "--format", "json").stdout)["tables"]
    assert [(row["name"], row["seeds"]) for row in table["rows"]] == [("adam", [1]), ("sgd", [1])]
    [judged] = table["comparisons"]
    assert (judged["candidate"], judged["baseline"]) == ("adam", "sgd")
    assert (judged["difference"], judged["seeds"], judged["interval"]) == (0.0625, [1], None)
    assert (judged["conclusion"], judged["needs_seeds"]) == ("no conclusion", 6)
    assert table["conclusions"][0].startswith(
        "No conclusion about adam and sgd: 1 paired seed can never give p < 0.05; 6 seeds each can."
    )


def test_two_folders_whose_runs_have_the_same_names_are_set_against_each_other(
    make_run: MakeRun, tmp_path: Path
) -> None:
    for place, rate in (("one", "1e-4"), ("two", "2e-4")):
        for seed in range(1, 7):
            folder = make_run(
                f"sgd-s{seed}",
                name="sgd",
                seed=seed,
                experiment=rate,
                optimizer={"description": f"SGD {rate}"},
                result={"test_accuracy": 0.5 if place == "one" else 0.75},
            )
            (tmp_path / place).mkdir(exist_ok=True)
            folder.rename(tmp_path / place / folder.name)
    [table] = json.loads(call(tmp_path / "one", tmp_path / "two", "--format", "json").stdout)[
        "tables"
    ]
    assert [len(row["runs"]) for row in table["rows"]] == [6, 6]
    assert table["conclusions"] == [
        "sgd (SGD 2e-4) is better than sgd (SGD 1e-4): +25.00 points of test accuracy "
        "[+25.00, +25.00], better in 6 of 6 seeds, p = 0.031."
    ]


def test_a_run_of_the_same_name_that_does_not_count_is_told_by_its_folder(
    make_run: MakeRun, tmp_path: Path
) -> None:
    for place, started in (("old", "2026-01-01T00:00:00Z"), ("new", "2026-01-02T00:00:00Z")):
        (tmp_path / place).mkdir()
        make_run("same", started=started).rename(tmp_path / place / "same")
    text = "".join(call(tmp_path / "old", tmp_path / "new").stdout.split())
    assert f"experimentandseed:{tmp_path}/old/same" in text


def test_a_run_that_is_given_twice_counts_once(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run("one")
    (tmp_path / "link").symlink_to(folder.parent)
    places = (
        folder,
        folder,
        folder.parent,
        tmp_path / "link" / "one",
        f"{folder.parent}/../results",
    )
    content = json.loads(call(*places, "--format", "json").stdout)
    [row] = content["tables"][0]["rows"]
    assert (row["seeds"], [run["run"] for run in row["runs"]]) == ([1], ["one"])
    assert content["left_out"] == []


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


@pytest.fixture
def places(tmp_path: Path, make_run: MakeRun) -> Path:
    """Folders of runs, of which there is little to say, each for its own reason."""

    def put(place: str, **changes: Any) -> None:
        for name in ("sgd", "adam"):
            state = changes.get("state", {}).get(name, "completed")
            folder = make_run(name=name, **{**changes, "state": state})
            (tmp_path / place).mkdir(exist_ok=True)
            folder.rename(tmp_path / place / folder.name)

    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "numbers.csv").touch()
    put("one")
    put("bare", result={"test_roc_auc": None})
    put("diverged", state={"sgd": "diverged", "adam": "diverged"})
    put("alone", state={"adam": "diverged"})
    put("stopped", state={"sgd": "interrupted", "adam": "failed"})
    return tmp_path


TRAIN = ("train", "configs/sgd_vgg19.yaml", "--sample", "--dry-run")
LIKE_A_RANGE = "must be like learning_rate=1e-5..1e-2, two numbers above 0, the lower first"
LIKE_A_GRID = "--grid must be like learning_rate=1e-4,3e-4,1e-3"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("compare empty", 0, "no run has completed there. Run something first"),
        ("compare stopped", 0, "1 interrupted: sgd-s1"),
        ("compare stopped --metric test_accuracy --baseline sgd", 0, "Run something first"),
        ("compare empty --require adam>=sgd", 4, "Run something first"),
        ("compare nowhere", 2, "a folder of runs or the folder of a run, received: nowhere, where"),
        ("compare file", 2, "received: file, which is a file."),
        ("compare numbers.csv", 2, "which is a file. `optrun judge` takes numbers of a CSV file."),
        ("compare one/../one/run.json", 2, "one/run.json, where there is no folder. Did you mean"),
        ("compare one --metric test_acuracy", 2, "Did you mean test_accuracy? There are: best_"),
        ("compare bare --metric test_roc_auc", 2, "test_roc_auc, which none of them recorded."),
        ("compare bare --metric test_roc_auc", 2, "They have: best_validation_loss, best_valid"),
        ("compare bare", 0, "No conclusion about adam and sgd: 1 paired seed can never give"),
        ("compare one", 0, "6 seeds each can."),
        ("compare one", 0, "What is missing runs by: optrun train one/"),
        ("compare one/.", 0, "--seeds 2-6 --results one"),
        ("compare diverged", 0, "No verdict: none of 2 runs completed, all diverged. A lower"),
        ("compare diverged --metric test_accuracy", 0, "1 of 1 diverged (seed 1)"),
        ("compare alone", 0, "No verdict: the others have no completed run with a test accuracy."),
        ("compare alone --baseline adam", 0, "No verdict: adam has no completed run with a test"),
        ("compare one --baseline heun", 2, "--baseline must name an experiment or an optimizer"),
        ("compare one --baseline adm", 2, "received: adm. Did you mean adam? There are: adam, sgd"),
        ("compare one --margin nan", 2, "must be a finite number, received nan"),
        ("compare one --margin inf", 2, "must be a finite number, received inf"),
        ("compare one --margin 0", 2, "0.0 is not in the range x>0"),
        ("compare one --target nan --by epochs", 2, "must be a finite number, received nan"),
        ("train --grid learning_rate=", 2, f"{LIKE_A_GRID}, received: learning_rate="),
        ("train --grid learning_rate", 2, f"{LIKE_A_GRID}, received: learning_rate"),
        ("train --trials 4 --range learning_rate=1e-2..1e-5", 2, LIKE_A_RANGE),
        ("train --trials 4 --range learning_rate=", 2, LIKE_A_RANGE),
        ("train --trials 4", 2, "--trials and --range need each other."),
        ("train --grid learning_rate=1,2 --tune-seeds 5-2", 2, "must name at least one seed"),
        ("train --seeds 8-4", 2, "must name at least one seed, received '8-4'"),
    ],
)
def test_what_is_no_use_is_said_with_what_to_do(
    optrun: Callable[..., tuple[int, str, str]],
    places: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    code: int,
    said: str,
) -> None:
    command, *more = arguments.split()
    if command == "compare":
        monkeypatch.chdir(places)
    found, out, err = optrun(*(TRAIN if command == "train" else ["compare"]), *more)
    text = " ".join(f"{out} {err}".split())
    assert (found, said in text) == (code, True), text
    assert "Traceback" not in text
    assert (out == "") == (code == 2)
