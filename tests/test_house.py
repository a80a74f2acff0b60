"""The rules of the house: who may import whom, and what a light command must not load."""

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("optimizers", "data", "runner")
MAY_IMPORT = {"optimizers": {"optimizers"}, "data": {"data"}, "runner": set(ROOMS)}
HEAVY = {"tensorflow", "keras", "tensorflow_datasets", "sklearn", "matplotlib", "h5py"}
# Inside runner/ a room or module imports only from floors below its own, and from its own room.
FLOORS = (
    {"errors", "events", "untrusted"},
    {"environment"},
    {"ui", "provenance"},
    {"models", "verdict"},
    {"config"},
    {"user_optimizer"},
    {"runs"},
    {"datasets"},
    {"engine"},
    {"plan"},
    {"compare", "inference", "optimizer_cards", "verify"},
    {"report"},
    {"commands"},
    {"cli"},
)

MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def name_of(path: Path) -> str:
    """`runner.runs.record`; a package goes by its own name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(path) for path in MODULES}


def imports_of(path: Path) -> set[str]:
    """Our modules that a module imports, wherever in it, but not for its types alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    found = set()
    for name in names:
        own = name.removeprefix("optrun.")
        if own != name:
            found.add(own if own in NAMES else own.rpartition(".")[0])
    return found - {name_of(path)}


IMPORTS = {name_of(path): imports_of(path) for path in MODULES}


@pytest.mark.parametrize("name", sorted(IMPORTS))
def test_a_room_imports_only_what_the_house_allows(name: str) -> None:
    rooms = {imported.split(".")[0] for imported in IMPORTS[name]}
    assert rooms <= MAY_IMPORT[name.split(".")[0]]


@pytest.mark.parametrize("name", sorted(name for name in IMPORTS if name.startswith("runner.")))
def test_a_room_imports_only_from_floors_below(name: str) -> None:
    floor_of = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
    room = name.split(".")[1]
    imported = {one.split(".")[1] for one in IMPORTS[name] if one.startswith("runner.")}
    above = {one for one in imported - {room} if floor_of[one] >= floor_of[room]}
    assert not above


def test_no_module_imports_itself_by_way_of_others() -> None:
    # A package's own name stands for its __init__, which is read before every module in it.
    graphlib.TopologicalSorter(IMPORTS).prepare()


def test_no_module_name_occurs_twice() -> None:
    counted = Counter(
        path.stem
        for path in MODULES
        if path.stem != "__init__" and path.parent != ROOT / "runner" / "commands"
    )
    assert [name for name, count in counted.items() if count > 1] == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is_for(path: Path) -> None:
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
        "import optrun.optimizers.card_text, optrun.optimizers.registry",
        "import optrun.runner.plan.executor",
        "from optrun.runner.plan import forecast, progress",
        "import optrun.runner.verify",
        "import optrun.runner.config.load",
        "from optrun.runner.compare.compare import compare",
        "from optrun.runner.report import costs, over_seeds, plot, tuned",
        "from optrun.runner.report.report import report",
        "from optrun.runner.verdict.judge import judge_file",
        "from optrun.runner.datasets import inventory, preview",
    ],
)
def test_what_answers_at_once_loads_no_tensorflow(code: str) -> None:
    assert not loaded_by(code) & HEAVY


def test_help_loads_click_and_nothing_else_of_weight() -> None:
    loaded = loaded_by(
        "import optrun.runner.cli, optrun.runner.commands.train\n"
        "from optrun.runner.commands.compare import compare\n"
        "compare(['--help'], standalone_mode=False)"
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
