"""What is printed is no part of the experiment: closed, full and deserted streams, places gone."""

import io
import json
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from optrun.data.exceptions import PhotoError
from optrun.data.places import cache_root
from optrun.data.sources import cats_vs_dogs
from optrun.runner.engine.signals import signals_heard
from optrun.runner.models.networks import NETWORKS
from optrun.runner.models.weights import cached_file
from optrun.runner.ui.console import Display
from optrun.runner.ui.streams import left_alone
from rich.console import Console

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
Answer = tuple[int, str, str]
MakeRun = Callable[..., Path]
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


def shell(line: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`optrun` in a shell's line, where it is called "$@"."""
    program = [sys.executable, "-c", "from optrun.runner import cli; cli.main()"]
    command = ["bash", "-c", f"set -o pipefail; {line}", "bash", *program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        pytest.param('"$@" > /dev/full', 1, "No space left on device", marks=needs_full),
        ('"$@" >&-', 0, ""),
        ('"$@" 2>&-', 0, ""),
        ('"$@" <&- >&- 2>&-', 0, ""),
        ('"$@" | true', 1, ""),
    ],
)
def test_no_state_of_the_streams_is_a_traceback(
    line: str, code: int, said: str, make_run: MakeRun
) -> None:
    for command in ("runs", "compare"):
        done = shell(line, command, make_run().parent)
        assert "Traceback" not in done.stderr
        assert said in done.stderr
        assert bool(said) == bool(done.stderr)
        assert done.returncode == code


def test_characters_that_the_output_lacks_end_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, "ascii"))
    with left_alone(tells_of_pipes=True):
        Display(Console()).say(f"photos of {'猫'} in {tmp_path.name}/ü")
    assert rb"photos of \u732b in " in content.getvalue()


def test_a_working_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    done = shell(f'mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir ../gone; "$@"', "runs")
    assert done.returncode == 2
    assert "The working directory is gone" in done.stderr
    assert "Traceback" not in done.stderr


@needs_full
@pytest.mark.usefixtures("shallow_network", "photo_cache")
def test_a_training_goes_on_without_its_output_and_its_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optrun.runner import cli

    small = ("data.image_size=32", "data.limit=60", "model.width=0.0625", "training.epochs=1")
    sets = [part for one in small for part in ("--set", one)]
    train = ["train", str(CONFIGS / "sgd_vgg19.yaml"), "--sample", *sets]
    monkeypatch.setattr(sys, "argv", ["optrun", *train, "--results", str(tmp_path)])
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        cli.main()
    (run,) = tmp_path.iterdir()
    assert json.loads((run / "run.json").read_text())["state"] == "completed"
    said = (run / "log.txt").read_text()
    assert said.count("the output can't be written (No space left on device)") == 1


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        with signals_heard() as stops:
            signal.raise_signal(signal.SIGHUP)
            assert stops.requested is None
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home, as in a container whose user has no entry."""

    def no_entry(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    for name in ("KERAS_HOME", "TFDS_DATA_DIR", "XDG_CACHE_HOME", "OPTRUN_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_names_a_folder_for_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optrun: Callable[..., Answer]
) -> None:
    with pytest.raises(PhotoError, match="OPTRUN_CACHE"):
        cache_root()
    code, _, err = optrun("data", "list")
    assert code == 2
    assert "Set HOME, or OPTRUN_CACHE" in err
    monkeypatch.setenv("OPTRUN_CACHE", str(tmp_path))
    assert not cats_vs_dogs.obtained()
    published = NETWORKS["vgg19"].published
    assert published is not None
    assert cached_file(published).is_absolute()
    assert optrun("data", "list")[0] == 0
    assert not (Path.cwd() / "~").exists()
