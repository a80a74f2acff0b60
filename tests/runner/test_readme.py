"""Every command the README and docs/ show is run, with tiny settings put in."""

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from optrun.runner.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
OPTRUN = Path(sys.executable).with_name("optrun")
TINY = shlex.split(
    "--set data.image_size=32 --set data.limit=100 --set model.width=0.125 --set training.epochs=1"
)

Optrun = Callable[..., tuple[int, str, str]]


def commands(page: Path) -> list[str]:
    """Lines that begin with one of `optrun`'s commands in code blocks, without their comments."""
    return [
        re.sub(r"\s+#.*", "", line.strip())
        for line in page.read_text().splitlines()
        if re.match(rf"\s*optrun ({'|'.join(COMMANDS)})\b", line)
    ]


def yaml_of_the_readme() -> str:
    match = re.search(r"```yaml\n# my_adam.yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert match is not None
    return match.group(1)


@pytest.fixture(scope="module")
def make_clone(
    tmp_path_factory: pytest.TempPathFactory,
    make_archive: Callable[[Path, Sequence[str]], Path],
    trained_run: Path,
) -> Callable[[], Path]:
    """Makes a folder with the configs, a run, and what the README tells a person to have."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("clone")
        shutil.copytree(trained_run, folder / "results" / trained_run.name)
        shutil.copytree(ROOT / "configs", folder / "configs")
        (folder / "my_adam.yaml").write_text(yaml_of_the_readme())
        (folder / "PATH/TO").mkdir(parents=True)
        train = [f"train/{kind}.{index}.jpg" for index in range(50) for kind in ("cat", "dog")]
        published = ROOT / "tests" / "runner" / "published" / "deepobs_cifar10_3c3d.csv"
        shutil.copy(published, folder / "PATH/TO/measurements.csv")
        test = [f"test1/{number}.jpg" for number in range(1, 4)]
        archive = make_archive(folder / "PATH/TO/dogs-vs-cats.zip", [*train, *test])
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder / "PATH/TO/photos", members=test)
        return folder

    return make


@pytest.fixture(scope="module")
def clone(make_clone: Callable[[], Path]) -> Path:
    return make_clone()


@pytest.fixture(scope="module")
def clone_for_processes(make_clone: Callable[[], Path]) -> Path:
    return make_clone()


def with_tiny_settings(command: str, run: Path) -> list[str]:
    words = shlex.split(command)
    if "--figures" in words:  # a hundred files: tests/runner/test_report_command.py sees them
        at = words.index("--figures")
        words[at : at + 2] = []
    if words[1] != "train":
        return [str(run) if word == "RUN" else word for word in words[1:]]
    # Full-size weights do not fit a narrow network, and eight seeds teach no more than one here.
    words = ["model.weights=random" if w.startswith("model.weights=") else w for w in words]
    if "--seeds" in words:
        words[words.index("--seeds") + 1] = "1"
    if "--until-sure" in words:  # a dozen trainings or more: tests/runner/test_until_sure.py
        words.append("--dry-run")
    own_photos = any(word.startswith("data.source=") for word in words)
    if own_photos:
        words += ["--set", "model.weights=random"]
    elif "--sample" not in words:
        words.append("--sample")
    return [*words[1:], *TINY]


def test_the_readme_shows_commands_of_every_kind() -> None:
    kinds = {command.split()[1] for command in commands(ROOT / "README.md")}
    assert kinds == COMMANDS.keys()


def named_photos(command: str) -> list[list[str]]:
    """The command that gave the photos the name that this command calls them by."""
    if not command.endswith(" dogs-vs-cats"):
        return []
    return [["data", "import", "PATH/TO/dogs-vs-cats.zip"]]


def check(command: str, code: int, stderr: str) -> None:
    assert code == 0, stderr
    # What `predict` tells of itself goes to stderr, so that its answers can go into a pipe.
    assert stderr == "" or command.startswith("optrun predict ")


# Two trainings, three kills and as many starts anew: tests/runner/test_verify_command.py sees them
# on a smaller network.
HERE = [
    pytest.param(command, marks=pytest.mark.slow if command == "optrun verify" else ())
    for command in commands(ROOT / "README.md")
]


@pytest.mark.parametrize("command", HERE)
def test_every_command_of_the_readme_runs(
    command: str,
    clone: Path,
    trained_run: Path,
    optrun: Optrun,
    shallow: Callable[[], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(clone)
    for arguments in named_photos(command):
        optrun(*arguments)
    with shallow() if command.startswith("optrun train ") else nullcontext():
        code, _, stderr = optrun(*with_tiny_settings(command, trained_run))
    check(command, code, stderr)


# Importing TensorFlow is most of a command's time: of those that do, the default tests start
# `train`, where a signal ends it, and `resume`, where four processes want one run.
IN_PROCESSES = [
    pytest.param(command, marks=() if command == "optrun compare results/" else pytest.mark.slow)
    for command in commands(ROOT / "README.md")
]


def test_a_command_runs_in_a_process_of_its_own_by_default() -> None:
    assert sum(not one.marks for one in IN_PROCESSES) == 1


@pytest.mark.parametrize("command", IN_PROCESSES)
def test_every_command_of_the_readme_runs_in_a_process_of_its_own(
    command: str, clone_for_processes: Path, photo_cache: Path, trained_run: Path
) -> None:
    def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [OPTRUN, *arguments], cwd=clone_for_processes, capture_output=True, text=True
        )

    for arguments in named_photos(command):
        assert run(arguments).returncode == 0
    result = run(with_tiny_settings(command, trained_run))
    check(command, result.returncode, result.stderr)


def test_make_train_and_test_are_the_commands_the_readme_promises() -> None:
    def planned(target: str) -> str:
        command = ["make", "--dry-run", "--no-print-directory", target]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "optrun train configs/lookahead_vgg19.yaml --sample" in planned("train")
    assert "pytest" in planned("test")
    assert "rm -rf" in planned("clean")
    assert not re.search(r"rm -rf [^\n]*results", planned("clean"))
    for target in ("train", "test", "check", "compare", "demo", "clean"):
        assert re.search(
            rf"make {target}\b", subprocess.check_output(["make"], cwd=ROOT, text=True)
        )


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "results/README.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
