"""What a person gets who installs the wheel into a project with modules of the same names."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OWN_OPTIMIZER = '''
import keras

class Mine(keras.optimizers.SGD):
    """A person's own."""
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as an installer does it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*build, "--disable-pip-version-check", "--wheel-dir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def run(installed: Path, tmp_path: Path):
    """Runs Python in a project with a `data.py` and an `optimizers.py` of its own."""
    (tmp_path / "data.py").write_text("HERE = 'the data of a person'\n")
    (tmp_path / "runner.py").write_text("HERE = 'the runner of a person'\n")
    (tmp_path / "optimizers.py").write_text(OWN_OPTIMIZER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(tmp_path)])}

    def call(*arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, "-P", *map(str, arguments)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_the_wheel_takes_no_name_but_optrun(installed: Path) -> None:
    assert {path.name.split("-")[0] for path in installed.iterdir()} == {"optrun"}
    assert {path.name for path in (installed / "optrun").iterdir()} == {
        "__init__.py",
        "data",
        "optimizers",
        "runner",
    }
    assert (installed / "optrun" / "optimizers" / "py.typed").exists()


def test_modules_of_a_persons_own_and_ours_work_side_by_side(
    run, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "data: {source: sample}\nmodel: {weights: random}\ntraining: {epochs: 1}\n"
        "optimizer: {name: 'optimizers:Mine', learning_rate: 0.1}\n"
    )
    out = run(
        "-c",
        "import data, optimizers, runner\n"
        "from optrun.optimizers import Lookahead\n"
        "import optrun.data\n"
        "from optrun.runner import cli\n"
        "print(data.HERE, runner.HERE, optimizers.Mine.__name__, sep='|')\n"
        "print(optrun.data.__file__)\n"
        "print(Lookahead(optimizers.Mine(0.1)).get_config()['sync_period'])\n"
        "cli.main()\n",
        *("train", "mine.yaml", "--dry-run"),
    )
    own, place, sync_period, planned = out.split("\n", maxsplit=3)
    assert own == "the data of a person|the runner of a person|Mine"
    assert Path(place).is_relative_to(installed)
    assert sync_period == "5"
    assert re.search(r"optimizer +Mine 0\.1", planned)
