"""The verdict within a budget, and what it took to reach a target, from the runs' own events."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

MakeRun = Callable[..., Path]
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]


@pytest.fixture
def curves(make_run: MakeRun) -> Callable[..., None]:
    """Runs of an experiment, seeds from 1, each with a curve of validation accuracies."""

    def make(name: str, *accuracies: list[float], updates: int = 10, seconds: float = 5.0) -> None:
        for seed, of_seed in enumerate(accuracies, 1):
            run = make_run(
                name=name,
                seed=seed,
                optimizer={"description": name.title(), "specification": {"name": name}},
                provenance={"initial_weights": f"w{seed}", "first_batches": f"b{seed}"},
            )
            events = [
                {
                    "event": "epoch",
                    "epoch": epoch,
                    "updates": epoch * updates,
                    "training_seconds": epoch * seconds,
                    "validation_accuracy": accuracy,
                    "validation_loss": 1 - accuracy,
                }
                for epoch, accuracy in enumerate(of_seed, 1)
            ]
            text = "".join(json.dumps(one) + "\n" for one in events)
            (run / "metrics.jsonl").write_text(text + '{"event": "epo')

    return make


def test_runs_trained_beside_others_have_no_seconds_to_compare(
    curves: Callable[..., None], optrun: Optrun, tmp_path: Path
) -> None:
    curves("sgd", *([0.5, 0.6] for _ in range(7)))
    curves("adam", *([0.7, 0.8 + seed / 1e3] for seed in range(7)))
    for number, run in enumerate(sorted((tmp_path / "results").iterdir())):
        record = json.loads((run / "run.json").read_text())
        minute = 2 * (number - (record["seed"] == 7))  # that of seed 7 with the one before it
        record["started"] = f"2026-11-20T15:{minute:02}:00+00:00"
        record["ended"] = f"2026-11-20T15:{minute + 1:02}:00+00:00"
        record["provenance"]["hardware"] = {"host": "one"}
        (run / "run.json").write_text(json.dumps(record))
    compare = ("compare", tmp_path / "results", "--by")
    out = words(optrun(*compare, "training-seconds"))
    assert "Not counted, 4 runs: runs that were trained at the same time on one machine" in out
    assert "5 paired seeds can never give p < 0.05" in out
    assert "at the same time" not in words(optrun(*compare, "updates"))
    assert "better in 7 of 7 seeds" in words(optrun(*compare, "updates"))


def test_a_row_that_is_not_judged_has_no_say_in_the_budget(
    curves: Callable[..., None], optrun: Optrun, tmp_path: Path
) -> None:
    curves("sgd", *([0.5, 0.6] for _ in range(7)))
    curves("adam", *([0.7, 0.8 + seed / 1e3] for seed in range(7)))
    curves("large", [0.7, 0.8], updates=1)
    [path] = [run for run in (tmp_path / "results").iterdir() if run.name.startswith("large")]
    record = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(record | {"batch_size": 64, "images_per_update": 64}))
    compare = ("compare", tmp_path / "results", "--by", "updates")
    assert "Within 20 updates: adam is better than sgd" in words(optrun(*compare))
    assert "Within 2 updates: " in words(optrun(*compare, "--allow", "batch_size"))


def words(answer: Answer) -> str:
    return " ".join(answer[1].split())


def test_each_run_counts_with_the_best_that_it_had_within_what_all_spent(
    curves: Callable[..., None], optrun: Optrun, tmp_path: Path
) -> None:
    # In epochs sgd is ahead at last; within 30 updates, which adam has in all, it is behind.
    curves("sgd", *([0.6, 0.7, 0.99 + seed / 1e3] for seed in range(6)), updates=20)
    curves("adam", *([0.7, 0.9 + seed / 1e3, 0.85] for seed in range(6)))
    compare = ("compare", tmp_path / "results", "--by")
    out = words(optrun(*compare, "updates"))
    assert "Within 30 updates: adam is better than sgd: +30.2" in out
    assert "points of validation accuracy [" in out
    out = words(optrun(*compare, "updates", "--per-seed"))
    assert "sgd by seed: 1: 60.00, 2: 60.00" in out
    assert "adam by seed: 1: 90.00 (+30.00), 2: 90.10 (+30.10)" in out
    out = words(optrun(*compare, "epochs", "--metric", "validation-loss"))
    assert "Within 3 epochs: adam is worse than sgd: +0.09" in out


def test_what_a_target_cost_is_a_median_in_which_a_miss_is_infinite(
    curves: Callable[..., None], optrun: Optrun, tmp_path: Path
) -> None:
    curves("sgd", [0.5, 0.8], [0.5, 0.8], [0.8, 0.8])
    curves("adam", [0.9, 0.9], [0.1, 0.9], [0.1, 0.1])
    curves("heun", [0.1, 0.1], [0.1, 0.1], [0.9, 0.9])
    compare = ("compare", tmp_path / "results", "--by")
    out = words(optrun(*compare, "updates"))  # the baseline's median at the end is 80 %
    assert "validation accuracy of 80 % took: " in out
    for told in ("sgd 20 updates", "adam 20 updates (1 of 3 never)", "heun never (2 of 3 never)"):
        assert told in out
    out = words(optrun(*compare, "training-seconds", "--target", "50"))
    assert "validation accuracy of 50 % took: " in out
    assert "sgd 5 s of training" in out


def test_runs_without_epochs_that_can_be_read_have_no_verdict(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    make_run(name="sgd")
    make_run(name="adam")
    out = words(optrun("compare", tmp_path / "results", "--by", "images"))
    assert "No verdict: no run has epochs that can be read." in out
    assert optrun("compare", tmp_path / "results", "--target", "50")[0] == 2
    assert optrun("compare", tmp_path / "results", "--by", "images", "--metric", "test_x")[0] == 2
