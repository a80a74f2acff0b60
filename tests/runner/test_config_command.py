"""`optrun config show` and `optrun config check`, as a person calls them."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from optrun.runner.commands.config import config
from optrun.runner.config.load import load

RIGHT = """\
training: {epochs: 2}
optimizer: {name: sgd, learning_rate: 0.01}
sample: {training: {epochs: 1}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "right.yaml").write_text(RIGHT)
    (tmp_path / "wrong.yaml").write_text("training: {epochs: 0}\noptimizer: {name: sdg}\n")
    return tmp_path


def optrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from optrun.runner.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_show_prints_every_value_and_its_origin_aligned() -> None:
    result = CliRunner().invoke(config, ["show", "right.yaml", "--set", "training.seed=7"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert {
        "name: right # file name",
        "epochs: 2 # right.yaml:1",
        "seed: 7 # --set",
        "batch_size: 16 # default",
    } <= {" ".join(line.split()) for line in lines}
    assert len({line.index("#") for line in lines if "#" in line}) == 1


def test_what_show_prints_is_a_configuration_itself(folder: Path) -> None:
    overrides = ["notes='two # lines\n\nof: text'", "data.source=photos.zip"]
    arguments = [part for override in overrides for part in ("--set", override)]
    result = CliRunner().invoke(config, ["show", "right.yaml", *arguments])
    (folder / "again.yaml").write_text(result.stdout)
    assert load("again.yaml").experiment == load("right.yaml", overrides).experiment
    assert yaml.safe_load(result.stdout)["training"]["epochs"] == 2


def test_show_of_the_sample_shows_what_counts_there() -> None:
    result = CliRunner().invoke(config, ["show", "right.yaml", "--sample"])
    lines = {" ".join(line.split()) for line in result.stdout.splitlines()}
    assert {"source: sample # --sample", "epochs: 1 # right.yaml:3"} <= lines


def test_check_says_ok_with_a_summary() -> None:
    result = CliRunner().invoke(config, ["check", "right.yaml"])
    assert result.exit_code == 0
    assert result.stdout.startswith("right.yaml: ok: SGD 0.01; VGG19 from imagenet; ")
    assert result.stderr == ""


def test_check_goes_on_after_a_wrong_file_and_exits_with_2() -> None:
    result = CliRunner().invoke(config, ["check", "wrong.yaml", "missing.yaml", "right.yaml"])
    assert result.exit_code == 2
    assert result.stdout.startswith("right.yaml: ok")
    assert [line.split(" ")[0] for line in result.stderr.splitlines()] == [
        "wrong.yaml:1:20:",
        "wrong.yaml:2:19:",
        "missing.yaml:",
    ]


def test_a_mistake_is_told_without_a_traceback() -> None:
    result = optrun("config", "show", "wrong.yaml")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "training.epochs must be a whole number of at least 1, received 0" in result.stderr


@pytest.mark.parametrize("command", ["show", "check"])
def test_neither_command_imports_what_trains(command: str) -> None:
    code = (
        "import sys; from optrun.runner.commands.config import config;"
        f"config.main(['{command}', 'right.yaml'], standalone_mode=False);"
        "print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr.strip() == "[]"


def test_neither_is_pydantic_imported_for_the_help() -> None:
    code = (
        "import sys; from optrun.runner.commands.config import config;"
        "config.main(['--help'], standalone_mode=False); print('pydantic' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.splitlines()[-1] == "False"


def test_a_check_takes_well_under_a_second_of_work() -> None:
    code = (
        "from optrun.runner.cli import main\nimport time, sys\n"
        "try: main()\nfinally: print(time.process_time(), file=sys.stderr)"
    )
    started = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", code, "config", "check", "right.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert time.perf_counter() - started < 10  # beside whatever else the machine does
    assert float(result.stderr) < 0.9
