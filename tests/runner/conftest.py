"""What these tests share: run folders as a run leaves them, and the command line."""

import io
import json
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optrun.runner.runs.record import RunRecord

ROOT = Path(__file__).resolve().parents[2]

RESULT = {
    "best_epoch": 2,
    "best_validation_loss": 0.25,
    "best_validation_accuracy": 0.9,
    "final_validation_loss": 0.3,
    "final_validation_accuracy": 0.875,
    "test_accuracy": 0.88,
    "test_log_loss": 0.31,
    "test_roc_auc": 0.95,
    "gap_loss": 0.05,
    "gap_accuracy": 0.02,
    "images_per_second": 40.0,
    "updates": 100,
    "gradient_evaluations": 100,
    "images": 1600,
    "training_seconds": 40.0,
    "evaluation_seconds": 5.0,
    "other_seconds": 1.0,
}

MakeRun = Callable[..., Path]
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]


@pytest.fixture
def run_content() -> Callable[..., dict[str, Any]]:
    """The content of a whole run.json, with changes."""

    def content(*, result: Mapping[str, object] | None = None, **changes: object) -> dict[str, Any]:
        name = changes.get("name", "sgd")
        return {
            "format": 1,
            "id": "k3f9ab",
            "name": name,
            "seed": 1,
            "sample": False,
            "state": "completed",
            "why": None,
            "started": "2026-11-20T15:30:00.123456+00:00",
            "ended": "2026-11-20T15:40:00+00:00",
            "pid": 123,
            "optimizer": {"description": f"{name} 1e-4", "specification": {"name": name}},
            "experiment": f"hash of {name}",
            "comparable": {"photos": "aa" * 32, "image_size": 128, "model": {"width": 1.0}},
            "batch_size": 16,
            "images_per_update": 16,
            "provenance": {
                "packages": {"tensorflow": "2.21.0"},
                "hardware": {"host": "one"},
                "initial_weights": "bb" * 32,
                "first_batches": "cc" * 32,
            },
            "result": {**RESULT, **(result or {})},
        } | changes

    return content


@pytest.fixture
def run_record(run_content: Callable[..., dict[str, Any]]) -> Callable[..., RunRecord]:
    """The record of a whole run, with changes of its run.json."""
    return lambda **changes: RunRecord.parse(json.dumps(run_content(**changes)).encode())


@pytest.fixture
def make_run(tmp_path: Path, run_content: Callable[..., dict[str, Any]]) -> MakeRun:
    """Writes a run folder into tmp_path/results: `make_run(name="adam", seed=2, result={...})`."""

    def make(folder: str = "", **changes: Any) -> Path:
        content = run_content(**changes)
        folder = folder or f"{content['name']}-s{content['seed']}-{secrets.token_hex(3)}"
        path = tmp_path / "results" / folder
        path.mkdir(parents=True)
        (path / "run.json").write_text(json.dumps(content))
        return path

    return make


@pytest.fixture
def optrun(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, photo_cache: Path
) -> Optrun:
    """Calls the command line in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["optrun", *map(str, arguments)])
        capfd.readouterr()
        code = _exit_code()
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="session")
def optrun_for_many(photo_cache: Path) -> Optrun:
    """`optrun` for what several tests look at; hears of stderr what Python says, and no more."""

    def call(*arguments: object) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["optrun", *map(str, arguments)])
            code = _exit_code()
        return code, out.getvalue(), err.getvalue()

    return call


def _exit_code() -> int:
    from optrun.runner import cli

    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


Differences = Callable[[Path, Path], list[str]]


@pytest.fixture(scope="session")
def differences() -> Differences:
    """In what two completed runs differ, in any bit; clocks are no part of it."""
    return _differences


def _differences(run: Path, twin: Path) -> list[str]:
    different = []
    for file in ("checkpoint/last/weights.npz", "checkpoint/best/weights.npz", "predictions.npz"):
        with np.load(run / file) as found, np.load(twin / file) as wanted:
            if found.files != wanted.files:
                different.append(f"{file}: names of arrays")
                continue
            different += [
                f"{file}: {name}"
                for name in wanted.files
                if (found[name].dtype, found[name].shape, found[name].tobytes())
                != (wanted[name].dtype, wanted[name].shape, wanted[name].tobytes())
            ]
    if _epochs(run) != _epochs(twin):
        different.append(f"epochs: {_epochs(run)} against {_epochs(twin)}")
    results = [json.loads((one / "run.json").read_text())["result"] for one in (run, twin)]
    if _without_clocks(results[0]) != _without_clocks(results[1]):
        different.append(f"result: {results[0]} against {results[1]}")
    return different


def _epochs(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [_without_clocks(row) for row in rows if row["event"] in ("step", "epoch")]


def _without_clocks(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if "second" not in key and key != "time"}


@contextmanager
def _one_convolution_per_block() -> Iterator[None]:
    from optrun.runner.models import vgg

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vgg.CONVOLUTIONS_PER_BLOCK, "vgg19", (1, 1, 1, 1, 1))
        yield


@pytest.fixture(scope="session")
def shallow() -> Callable[[], AbstractContextManager[None]]:
    """`with shallow():` networks have five convolutions of VGG19's sixteen.

    For trainings in this process whose network is not the point: most of a short training is the
    tracing of its layers.
    """
    return _one_convolution_per_block


@pytest.fixture
def shallow_network() -> Iterator[None]:
    """The test's networks are `shallow`."""
    with _one_convolution_per_block():
        yield


@pytest.fixture(scope="session")
def trained_run(
    tmp_path_factory: pytest.TempPathFactory, photo_cache: Path, kaggle_archive: Path
) -> Path:
    """The folder of a tiny run that has been trained; to be read, or copied and changed."""
    from optrun.runner.plan.executor import Request, execute
    from optrun.runner.plan.plan import Entry

    results = tmp_path_factory.mktemp("trained") / "results"
    changes = {
        "data.source": kaggle_archive,
        "data.image_size": 32,
        "data.validation_share": 0.3,
        "data.test_share": 0.2,
        "model.weights": "random",
        "model.width": 0.125,
        "training.epochs": 1,
        "training.batch_size": 8,
        "optimizer.learning_rate": 0.01,
        "training.precision": "float32",
    }
    code = execute(
        Request(
            [
                Entry(
                    ROOT / "configs" / "sgd_vgg19.yaml",
                    [f"{key}={value}" for key, value in changes.items()],
                )
            ],
            device="cpu",
            results=results,
            quiet=True,
        )
    )
    assert code == 0
    (folder,) = results.iterdir()
    return folder
