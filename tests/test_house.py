"""The rules of the house: who may import whom, and what a light command must not load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("optimizers", "data", "runner")
MAY_IMPORT = {"optimizers": {"optimizers"}, "data": {"data"}, "runner": set(ROOMS)}
HEAVY = {"tensorflow", "keras", "tensorflow_datasets", "sklearn", "matplotlib", "h5py"}
LONGEST_MODULE = 400

MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imported_rooms(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    own = (name.split(".") for name in names if name.startswith("optrun."))
    return {parts[1] for parts in own}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_the_house_allows(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    assert imported_rooms(path) <= MAY_IMPORT[room]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_holds_one_topic(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE
    assert ast.get_docstring(ast.parse(path.read_text())), "say in a sentence what it is for"


def loaded_by(code: str) -> set[str]:
    """Top-level packages in sys.modules after running the code in a new interpreter."""
    script = f"{code}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import runner, optimizers, data",
        "import optrun.runner.cli",
        "from optrun.runner.commands import compare, config, train",
        "from optrun.runner.optimizer_cards import show",
        "import optrun.optimizers.cards.finding, optrun.optimizers.cards.wording",
        "import optrun.runner.plan.executor",
        "import optrun.runner.plan.resume, optrun.runner.plan.progress",
        "import optrun.runner.verification.verify",
        "import optrun.runner.config.load",
        "from optrun.runner.compare.compare import compare",
        "from optrun.runner.datasets import inventory, preview",
    ],
)
def test_what_answers_at_once_loads_no_tensorflow(code: str) -> None:
    assert not loaded_by(code) & HEAVY


def test_help_loads_click_and_nothing_else_of_weight() -> None:
    loaded = loaded_by(
        "import optrun.runner.cli, optrun.runner.commands.compare, optrun.runner.commands.train"
    )
    assert not loaded & (HEAVY | {"numpy", "rich", "yaml", "pydantic", "scipy"})


def test_nothing_puts_the_working_directory_on_the_path(tmp_path: Path) -> None:
    for room in (*ROOMS, "optrun"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise RuntimeError('imported from here')")
    optrun = Path(sys.executable).with_name("optrun")
    config = ROOT / "configs" / "lookahead_vgg19.yaml"
    for arguments in (["--version"], ["train", config, "--sample", "--dry-run"], ["compare"]):
        result = subprocess.run([optrun, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
