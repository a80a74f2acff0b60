"""What other test photos might have said, against the closed form of a mean's spread."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

MakeRun = Callable[..., Path]
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]
PHOTOS = 400


@pytest.fixture
def make_tested(make_run: MakeRun) -> Callable[..., Path]:
    """A run whose predictions lie beside it, told right by so large a share."""

    def make(name: str, seed: int, share: float, *, accuracy: float | None = None) -> Path:
        generator = np.random.default_rng([seed, len(name)])
        labels = np.arange(PHOTOS) % 2
        is_right = generator.random(PHOTOS) < share
        logits = np.where(is_right == (labels == 1), 1.0, -1.0).astype(np.float32)
        z = logits.astype(np.float64)
        loss = float(np.logaddexp(0, np.where(labels == 1, -z, z)).mean())
        stated = float(is_right.mean()) if accuracy is None else accuracy
        result = {"test_accuracy": stated, "test_log_loss": loss}
        run = make_run(name=name, seed=seed, result=result)
        np.savez(run / "predictions.npz", test_logits=logits, test_labels=labels.astype(np.uint8))
        return run

    return make


def compared(optrun: Optrun, results: Path, *more: object) -> tuple[dict, str]:
    [table] = json.loads(optrun("compare", results, "--format", "json", *more)[1])["tables"]
    [comparison] = table["comparisons"]
    return comparison, " ".join(table["notes"])


@pytest.mark.parametrize("metric", ["test_accuracy", "test_log_loss"])
def test_it_spreads_as_a_mean_over_photos_does(
    tmp_path: Path, make_tested: Callable[..., Path], optrun: Optrun, metric: str
) -> None:
    scores: dict[str, list[np.ndarray]] = {"sgd": [], "lookahead": []}
    for seed in range(1, 7):
        for name, share in (("sgd", 0.8), ("lookahead", 0.9)):
            run = make_tested(name, seed, share)
            found = np.load(run / "predictions.npz")
            right = (found["test_logits"] > 0) == (found["test_labels"] == 1)
            loss = np.where(right, np.log1p(np.exp(-1)), np.log1p(np.exp(1)))
            scores[name].append(right if metric == "test_accuracy" else loss)
    by_photo = np.mean(scores["lookahead"], axis=0) - np.mean(scores["sgd"], axis=0)
    half = 1.96 * by_photo.std() / np.sqrt(PHOTOS)
    comparison, notes = compared(optrun, tmp_path / "results", "--metric", metric)
    low, high = comparison["over_photos"]
    assert comparison["difference"] == pytest.approx(by_photo.mean())
    assert (low, high) == pytest.approx((by_photo.mean() - half, by_photo.mean() + half), rel=0.05)
    assert "With other test photos of this kind the same runs might differ from sgd by" in notes
    scale, decimals = (100, 2) if metric == "test_accuracy" else (1, 2)
    told = [f"{end * scale:+.{decimals}f}".replace("-", "−") for end in (low, high)]
    assert f"lookahead {told[0]} to {told[1]}" in notes


def test_of_a_measure_that_is_no_mean_over_photos_nothing_is_said(
    tmp_path: Path, make_tested: Callable[..., Path], optrun: Optrun
) -> None:
    for name in ("sgd", "lookahead"):
        make_tested(name, 1, 0.8)
    comparison, notes = compared(optrun, tmp_path / "results", "--metric", "test_roc_auc")
    assert comparison["over_photos"] is None
    assert "other test photos" not in notes


def test_predictions_that_are_not_the_runs_own_count_for_nothing(
    tmp_path: Path, make_tested: Callable[..., Path], optrun: Optrun
) -> None:
    make_tested("sgd", 1, 0.8)
    make_tested("lookahead", 1, 0.9, accuracy=0.5)
    assert compared(optrun, tmp_path / "results")[0]["over_photos"] is None


@pytest.mark.parametrize("content", [b"", b"garbage", None], ids=["empty", "garbage", "missing"])
def test_predictions_that_cannot_be_read_take_nothing_from_the_verdict(
    tmp_path: Path, make_tested: Callable[..., Path], optrun: Optrun, content: bytes | None
) -> None:
    make_tested("sgd", 1, 0.8)
    path = make_tested("lookahead", 1, 0.9) / "predictions.npz"
    path.unlink() if content is None else path.write_bytes(content)
    assert compared(optrun, tmp_path / "results")[0]["over_photos"] is None
