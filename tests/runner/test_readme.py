"""Every command the README and docs/ show is run, with tiny settings put in."""

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from runner.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
OPTRUN = Path(sys.executable).with_name("optrun")
TINY = shlex.split(
    "--set data.image_size=32 --set data.limit=100 --set model.width=0.125 --set training.epochs=1"
)


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
def clone(
    tmp_path_factory: pytest.TempPathFactory, make_archive: Callable[[Path, Sequence[str]], Path]
) -> Path:
    """A folder with the shipped configs and what the README tells a person to have."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "configs", folder / "configs")
    (folder / "my_adam.yaml").write_text(yaml_of_the_readme())
    (folder / "PATH/TO").mkdir(parents=True)
    train = [f"train/{kind}.{index}.jpg" for index in range(50) for kind in ("cat", "dog")]
    test = [f"test1/{number}.jpg" for number in range(1, 4)]
    archive = make_archive(folder / "PATH/TO/dogs-vs-cats.zip", [*train, *test])
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder / "PATH/TO/photos", members=test)
    return folder


def with_tiny_settings(command: str, run: Path) -> list[str]:
    words = shlex.split(command)
    if words[1] != "train":
        return [str(run) if word == "RUN" else word for word in words[1:]]
    # Full-size weights do not fit a narrow network, and eight seeds teach no more than one here.
    words = ["model.weights=random" if w.startswith("model.weights=") else w for w in words]
    if "--seeds" in words:
        words[words.index("--seeds") + 1] = "1"
    own_photos = any(word.startswith("data.source=") for word in words)
    if own_photos:
        words += ["--set", "model.weights=random"]
    elif "--sample" not in words:
        words.append("--sample")
    return [*words[1:], *TINY]


def test_the_readme_shows_commands_of_every_kind() -> None:
    kinds = {command.split()[1] for command in commands(ROOT / "README.md")}
    assert kinds == COMMANDS.keys()


@pytest.mark.parametrize("command", commands(ROOT / "README.md"))
def test_every_command_of_the_readme_runs(
    command: str, clone: Path, photo_cache: Path, trained_run: Path
) -> None:
    if command.endswith(" dogs-vs-cats"):  # a name that the command before it imports
        arguments = ["data", "import", "PATH/TO/dogs-vs-cats.zip"]
        subprocess.run([OPTRUN, *arguments], cwd=clone, capture_output=True, check=True)
    result = subprocess.run(
        [OPTRUN, *with_tiny_settings(command, trained_run)],
        cwd=clone,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    # What `predict` tells of itself goes to stderr, so that its answers can go into a pipe.
    assert result.stderr == "" or command.startswith("optrun predict ")


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
