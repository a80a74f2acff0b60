"""A run that was interrupted and resumed is, bit for bit, the run that was not."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from optrun.optimizers import registry

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
Answer = tuple[int, str, str]

# Ten steps an epoch, dropout, a hidden layer, changed photos.
SETTINGS = (
    *("data.augmentation.flip=true", "data.augmentation.rotation=10"),
    *("data.image_size=32", "data.limit=160", "model.width=0.0625", "model.head.hidden_units=[4]"),
    *("training.epochs=3", "training.keep_last_checkpoint=true", "training.batch_size=13"),
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


# What else decides how a training goes on, each with an optimizer that has most of a state.
VARIANTS: dict[str, tuple[str, ...]] = {
    "early_stopping": ("training.early_stopping_patience=1", "training.epochs=4"),
    "bfloat16": ("training.precision=mixed_bfloat16",),
    "float16": ("training.precision=mixed_float16",),
    "deterministic": ("training.deterministic=true",),
    "xla": ("training.jit_compile=true",),
}


def _cases() -> list[Any]:
    return [
        pytest.param(CYCLES["lookahead"], (), id="lookahead"),
        *(
            pytest.param(stated, (), id=name, marks=pytest.mark.slow)
            for name, stated in (*CYCLES.items(), *_others())
            if name != "lookahead"
        ),
        *(
            pytest.param(CYCLES["soft_batch"], settings, id=name, marks=pytest.mark.slow)
            for name, settings in VARIANTS.items()
        ),
    ]


@pytest.fixture(autouse=True)
def _nothing_stays_deterministic() -> Iterator[None]:
    """TensorFlow has no public way back, and Keras then refuses XLA to all tests that follow."""
    yield
    from tensorflow.python.framework.config import disable_op_determinism

    disable_op_determinism()


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Has the system ask the program to stop at the n-th moment of a kind from now on.

    The kinds: a `step`, the prediction of a `batch` in an evaluation, the record of an `epoch`.
    """
    from optrun.runner.engine.engine import TensorFlowEngine
    from optrun.runner.ui.console import Display

    places: dict[str, tuple[Any, str]] = {
        "step": (Display, "_step_done"),
        "batch": (TensorFlowEngine, "predict"),
        "epoch": (Display, "_epoch_ended"),
    }
    originals = {kind: getattr(*place) for kind, place in places.items()}

    def arrange(kind: str, number: int) -> None:
        seen = 0

        def happens(*arguments: Any, **more: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == number:
                signal.raise_signal(signal.SIGTERM)
            return originals[kind](*arguments, **more)

        for one, place in places.items():
            monkeypatch.setattr(*place, happens if one == kind else originals[one])

    return arrange


# Off every multiple of the cycles and windows; in an epoch's last step; in its evaluation; when it
# is recorded; and where the batches of an epoch have been cut before.
STOPS = (("step", 12), ("step", 8), ("batch", 2), ("epoch", 1), ("step", 3))
STEPS_DONE = [12, 20, 20, 20, 23]


@pytest.mark.usefixtures("shallow_network")
@pytest.mark.parametrize(("optimizer", "settings"), _cases())
def test_a_resumed_run_is_the_uninterrupted_one(
    optimizer: dict[str, Any],
    settings: Sequence[str],
    optrun: Callable[..., Answer],
    stop_at: Callable[[str, int], None],
    differences: Callable[[Path, Path], list[str]],
    tmp_path: Path,
) -> None:
    config = tmp_path / "one.yaml"
    extended = {"extends": str(CONFIGS / "vgg19.yaml"), "optimizer": optimizer}
    config.write_text(json.dumps(extended))
    sets = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]

    def train(results: str) -> tuple[int, Path]:
        code, *_ = optrun("train", config, "--sample", *sets, "--results", tmp_path / results)
        (run,) = (tmp_path / results).iterdir()
        return code, run

    code, twin = train("twin")
    assert code == 0, (twin / "log.txt").read_text()
    stop_at(*STOPS[0])
    code, run = train("run")
    assert code == 143
    assert json.loads((run / "run.json").read_text())["state"] == "interrupted"
    # Early stopping may have ended it before the last of them.
    in_all = 10 * json.loads((twin / "run.json").read_text())["result"]["epochs"]
    stops = [stop for stop, done in zip(STOPS, STEPS_DONE, strict=True) if done <= in_all]
    for stop in stops[1:]:
        stop_at(*stop)
        assert optrun("resume", run)[0] == 143
    stop_at("step", 10_000)
    assert optrun("resume", run)[0] == 0
    resumptions = json.loads((run / "run.json").read_text())["resumed"]
    assert [one["steps_done"] for one in resumptions] == STEPS_DONE[: len(stops)]
    assert differences(run, twin) == []
    assert sorted(path.name for path in (run / "checkpoint").iterdir()) == ["best", "last"]
    shutil.rmtree(tmp_path / "twin")
