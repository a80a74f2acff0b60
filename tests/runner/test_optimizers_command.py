"""`optrun optimizers` as a person calls it: the list, the cards, and names that are none."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from optrun.optimizers.registry import ENTRIES
from optrun.runner.commands.config import config
from optrun.runner.commands.optimizers import optimizers
from optrun.runner.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(optimizers, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result


def optrun(*arguments: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from optrun.runner.cli import main; main()", *arguments]
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    return subprocess.run(
        command, capture_output=True, encoding=encoding, timeout=60, check=False, env=environment
    )


def test_the_list_has_a_line_for_each_with_its_cost_ours_first() -> None:
    lines = call().stdout.splitlines()
    rows = [line for line in lines if re.match(r"  \w", line)]
    assert [row.split()[0] for row in rows][:3] == ["lookahead", "soft_batch", "heun"]
    assert {row.split()[0] for row in rows} == set(ENTRIES)
    assert "  heun                2          0  second order along the gradient flow" in lines
    assert lines.index("Not in Keras") < lines.index("Keras' own")


def test_one_line_each_at_80_columns() -> None:
    lines = call().stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(bool(re.match(r"  +\S", line)) for line in lines) == len(ENTRIES) + 1  # the heading


@pytest.mark.parametrize("name", list(ENTRIES))
def test_a_card_says_everything_in_80_columns(name: str) -> None:
    text = call(name).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r" $", text, re.M)
    joined = " ".join(text.split())
    entry = ENTRIES[name]
    for part in (entry.paper, entry.description, entry.when, *entry.equivalences, *entry.caveats):
        assert " ".join(part.split()) in joined
    for line in entry.rule.splitlines():
        assert line in text
    for argument in entry.arguments:
        assert re.search(rf"^  {argument.name}  ", text, re.M)
    for sensible in entry.sensible.values():
        assert " ".join(sensible.split()) in joined


@pytest.mark.parametrize("name", list(ENTRIES))
def test_the_config_of_a_card_is_right(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = call(name).stdout
    snippet = text[text.index("  extends:") :]
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "mine.yaml").write_text(re.sub(r"^  ", "", snippet, flags=re.M))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(config, ["check", "mine.yaml"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("mine.yaml: ok: ")


def test_a_class_name_prints_the_same_card() -> None:
    assert call("SoftBatch").stdout == call("soft_batch").stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lookahed", "did you mean 'lookahead'?"),
        ("lookahead_adam", "`optrun optimizers lookahead` and `optrun optimizers adam`"),
        ("nesterov", "is sgd with momentum: 0.9 and nesterov: true"),
    ],
)
def test_an_unknown_name_is_a_mistake_with_a_hint(name: str, message: str) -> None:
    result = optrun("optimizers", name)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"optrun: {name!r} ")
    assert message in result.stderr


def test_a_persons_own_optimizer_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="runs nobody's code; `optrun config check CONFIG` imports"):
        call("mine.py:Mine")


def test_json_holds_what_the_card_says() -> None:
    content = json.loads(call("lookahead", "--format", "json").stdout)
    assert content["class"] == "optrun.optimizers.lookahead.Lookahead"
    assert content["rule"] == ENTRIES["lookahead"].rule
    assert content["gradients_per_step"] == "as inner"
    arguments = {argument["name"]: argument for argument in content["arguments"]}
    assert arguments["sync_period"]["default"] == 5
    assert (
        arguments["slow_step_size"]["sensible"] == ENTRIES["lookahead"].sensible["slow_step_size"]
    )
    assert "default" not in arguments["inner_optimizer"]


def test_json_of_the_list_has_them_all() -> None:
    content = json.loads(call("--format", "json").stdout)
    assert {one["name"] for one in content} == set(ENTRIES)


def test_a_stream_without_the_symbols_shows_question_marks() -> None:
    result = optrun("optimizers", "adam", encoding="latin-1")
    assert result.returncode == 0
    assert "m ? m + (1 ? ??) (g ? m)" in result.stdout


def test_it_answers_at_once_and_imports_nothing_of_weight() -> None:
    code = (
        "import sys, time; from optrun.runner.commands.optimizers import optimizers\n"
        "optimizers.main(['lookahead'], standalone_mode=False)\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'pydantic', 'yaml'} & set(sys.modules)\n"
        "print(sorted(heavy), time.process_time(), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    heavy, seconds = result.stderr.rsplit(maxsplit=1)
    assert heavy == "[]"
    assert float(seconds) < 0.5
