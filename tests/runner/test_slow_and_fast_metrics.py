"""What the epochs of a run with Lookahead say of its slow and of its fast weights."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SGD = {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9, "global_clipnorm": 1.0}
FIELDS = [f"{kind}_validation_{what}" for kind in ("slow", "fast") for what in ("loss", "accuracy")]

Epochs = dict[str, list[dict[str, float]]]
Weights = dict[str, list[np.ndarray]]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    photo_cache: Path,
    shallow: Callable[[], AbstractContextManager[None]],
) -> tuple[Epochs, Weights, int]:
    """Epochs and best weights of SGD, and of Lookahead around it.

    `once` syncs at the first epoch's last step, `never` does not sync, and `soft` is `once` in a
    soft batch of three, whose last window, and so the sync, is the flush at the epoch's end.
    """
    from optrun.runner.engine import checkpoint
    from optrun.runner.plan.executor import Request, execute
    from optrun.runner.plan.plan import Entry

    folder = tmp_path_factory.mktemp("metrics")

    def train(epochs: int = 1, **optimizers: dict[str, object]) -> None:
        configs = [folder / f"{name}.yaml" for name in optimizers]
        for path, optimizer in zip(configs, optimizers.values(), strict=True):
            content = {"extends": str(CONFIGS / "vgg19.yaml"), "optimizer": optimizer}
            path.write_text(json.dumps(content))
        settings = ["data.image_size=32", "data.limit=60", "model.width=0.125"]
        overrides = [*settings, f"training.epochs={epochs}"]
        entries = [Entry(config, overrides) for config in configs]
        request = Request(
            entries, sample=True, device="cpu", results=folder / "results", quiet=True
        )
        with shallow():
            assert execute(request) == 0

    def epochs_of(name: str) -> list[dict[str, float]]:
        (path,) = (folder / "results").glob(f"sample-{name}-*/metrics.jsonl")
        events = map(json.loads, path.read_text().splitlines())
        return [event for event in events if event["event"] == "epoch"]

    def weights_of(name: str) -> list[np.ndarray]:
        (path,) = (folder / "results").glob(f"sample-{name}-*/checkpoint/best")
        return checkpoint.load(path)

    train(sgd=SGD)
    steps = int(epochs_of("sgd")[0]["updates"])

    def lookahead(period: int) -> dict[str, object]:
        return {"name": "lookahead", "sync_period": period, "inner_optimizer": SGD}

    updates = -(-steps // 3)
    soft = {"name": "soft_batch", "batches_per_update": 3, "inner_optimizer": lookahead(updates)}
    soft_sgd = soft | {"inner_optimizer": SGD}
    train(once=lookahead(steps), never=lookahead(1000), soft=soft, soft_sgd=soft_sgd)
    names = ("sgd", "once", "never", "soft", "soft_sgd")
    return {n: epochs_of(n) for n in names}, {n: weights_of(n) for n in names}, steps


def test_other_optimizers_have_none(trained: tuple[Epochs, Weights, int]) -> None:
    epochs, _, steps = trained
    assert steps % 3
    for name in ("sgd", "soft_sgd"):
        assert {field: epochs[name][0][field] for field in FIELDS} == dict.fromkeys(FIELDS)


@pytest.mark.parametrize(("name", "core"), [("once", "sgd"), ("soft", "soft_sgd")])
def test_after_a_sync_at_the_epochs_end_the_fast_scores_are_the_inner_optimizers(
    name: str, core: str, trained: tuple[Epochs, Weights, int]
) -> None:
    # Up to its first sync the fast weights are those of the inner optimizer alone.
    epochs, weights, _ = trained
    (epoch,), (alone,) = epochs[name], epochs[core]
    assert epoch["fast_validation_loss"] == pytest.approx(alone["validation_loss"], rel=1e-6)
    assert epoch["fast_validation_accuracy"] == alone["validation_accuracy"]
    assert epoch["slow_validation_loss"] == epoch["validation_loss"]
    assert epoch["slow_validation_accuracy"] == epoch["validation_accuracy"]
    assert abs(epoch["slow_validation_loss"] - epoch["fast_validation_loss"]) > 1e-4
    for slow, start, fast in zip(weights[name], weights["never"], weights[core], strict=True):
        np.testing.assert_allclose(slow, (start + fast) / 2, rtol=1e-6, atol=1e-8)


def test_before_the_first_sync_the_slow_weights_are_the_initial_ones_and_fast_scores_are_null(
    trained: tuple[Epochs, Weights, int],
) -> None:
    (epoch,) = trained[0]["never"]
    assert epoch["fast_validation_loss"] is epoch["fast_validation_accuracy"] is None
    assert epoch["slow_validation_loss"] == epoch["validation_loss"]


def test_the_fast_weights_are_measured_on_the_evaluation_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import keras
    from optrun.optimizers import Lookahead
    from optrun.runner.engine import clocks
    from optrun.runner.engine.engine import Means, TensorFlowEngine
    from optrun.runner.engine.validation import EvaluationSet, Validation

    seconds = [0.0]

    def predict(self: TensorFlowEngine, photos: object) -> np.ndarray:
        seconds[0] += 10
        return self.weights[0].ravel()

    monkeypatch.setattr(clocks, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    monkeypatch.setattr(TensorFlowEngine, "predict", predict)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    lookahead = Lookahead("sgd", sync_period=1, slow_step_size=0.0, track_fast_weights=True)
    engine = TensorFlowEngine(model, lookahead, jit_compile=False)
    model.set_weights([np.array([[1.0], [-1.0]])])
    model.train_on_batch(np.array([[300.0, -300.0]]), np.zeros((1, 1)))
    photos = EvaluationSet([(None, None)], np.array([1, 0]))  # type: ignore[arg-type]
    clock = clocks.Clocks()
    validation = Validation(
        engine=engine,
        clocks=clock,
        validation=photos,
        training_subset=photos,
        averaged_over=(),  # type: ignore[arg-type]
        steps_per_epoch=1,
        check=lambda: None,
    )

    def counts() -> dict[str, object]:
        names = ("learning_rate", "updates", "gradient_evaluations", "images", "training_seconds")
        return dict.fromkeys(names, 1) | {"evaluation_seconds": clock.evaluation}

    record, _ = validation.end_epoch(1, Means(loss=1.0, accuracy=0.5), counts)
    assert record.evaluation_seconds == 30
    assert (record.slow_validation_accuracy, record.fast_validation_accuracy) == (1.0, 0.0)
