"""A run that was interrupted and resumed is, bit for bit, the run that was not."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizers import registry

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
Answer = tuple[int, str, str]

# Ten steps an epoch, dropout, a hidden layer, changed photos.
SETTINGS = (
    *("data.augmentation.flip=true", "data.augmentation.rotation=10"),
    *("data.image_size=32", "data.limit=160", "model.width=0.0625", "model.head.hidden_units=[4]"),
    *("training.epochs=3", "training.batch_size=13"),
)
RATE = {"schedule": "cosine", "initial_learning_rate": 0.01}
SGD = {"name": "sgd", "learning_rate": RATE, "momentum": 0.9}
CYCLES: dict[str, dict[str, Any]] = {
    "lookahead": {"name": "lookahead", "sync_period": 5, "inner_optimizer": SGD},
    "soft_batch": {
        "name": "soft_batch",
        "batches_per_update": 3,
        "tail": "carry",
        "inner_optimizer": {"name": "lookahead", "sync_period": 2, "inner_optimizer": SGD},
    },
    "heun": {"name": "heun", "learning_rate": 0.01},
}


def _others() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, entry in registry.ENTRIES.items():
        if name not in CYCLES:
            stated: dict[str, Any] = {"name": name}
            if any(argument.name == "learning_rate" for argument in entry.arguments):
                stated["learning_rate"] = 0.001
            yield name, stated


def _cases() -> list[Any]:
    return [
        pytest.param(CYCLES["lookahead"], id="lookahead"),
        *(
            pytest.param(stated, id=name, marks=pytest.mark.slow)
            for name, stated in (*CYCLES.items(), *_others())
            if name != "lookahead"
        ),
    ]


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has the system ask the program to stop during a step, counted from 1 in this process."""
    from runner.display import Display

    show = Display.step

    def arrange(step: int) -> None:
        seen = 0

        def shown(self: Display, *arguments: Any) -> None:
            nonlocal seen
            seen += 1
            if seen == step:
                signal.raise_signal(signal.SIGTERM)
            show(self, *arguments)

        monkeypatch.setattr(Display, "step", shown)

    return arrange


def _epochs(run: Path) -> list[dict[str, Any]]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [
        {key: row[key] for key in row if "second" not in key and key != "time"}
        for row in rows
        if row["event"] == "epoch"
    ]


def _differences(one: Path, other: Path) -> list[str]:
    with np.load(one) as left, np.load(other) as right:
        if left.files != right.files:
            return ["names"]
        return [
            name
            for name in left.files
            if left[name].dtype != right[name].dtype
            or left[name].tobytes() != right[name].tobytes()
        ]


def _require_same(run: Path, twin: Path) -> None:
    assert _epochs(run) == _epochs(twin)
    for file in ("checkpoint/last/weights.npz", "checkpoint/best/weights.npz", "predictions.npz"):
        assert _differences(run / file, twin / file) == []
    results = [json.loads((one / "run.json").read_text())["result"] for one in (run, twin)]
    clocks = [key for key in results[0] if "second" in key]
    for result in results:
        for key in clocks:
            del result[key]
    assert results[0] == results[1]


@pytest.mark.parametrize("optimizer", _cases())
def test_a_resumed_run_is_the_uninterrupted_one(
    optimizer: dict[str, Any],
    optrun: Callable[..., Answer],
    stop_at: Callable[[int], None],
    tmp_path: Path,
) -> None:
    config = tmp_path / "one.yaml"
    extended = {"extends": str(CONFIGS / "vgg19.yaml"), "optimizer": optimizer}
    config.write_text(json.dumps(extended))
    settings = [part for setting in SETTINGS for part in ("--set", setting)]

    def train(results: str) -> tuple[int, Path]:
        code, *_ = optrun("train", config, "--sample", *settings, "--results", tmp_path / results)
        (run,) = (tmp_path / results).iterdir()
        return code, run

    code, twin = train("twin")
    assert code == 0
    # In the second epoch, off every multiple of the cycles and windows.
    stop_at(12)
    code, run = train("run")
    assert code == 143
    assert json.loads((run / "run.json").read_text())["state"] == "interrupted"
    stop_at(5)
    assert optrun("resume", run)[0] == 143
    stop_at(10_000)
    assert optrun("resume", run)[0] == 0
    assert json.loads((run / "run.json").read_text())["resumed"][1]["steps_done"] == 17
    _require_same(run, twin)
    shutil.rmtree(tmp_path / "twin")
