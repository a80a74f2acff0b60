"""Where a training's end may not be the last word: still improving, or at an undecayed rate."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optrun.optimizers.schedules import build_schedule
from optrun.optimizers.specification import parse
from optrun.runner.compare import endings
from optrun.runner.compare.endings import share_at_end

MakeRun = Callable[..., Path]
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]


@pytest.fixture
def ended(make_run: MakeRun) -> Callable[..., None]:
    """Runs of an experiment, seeds from 1, each with its validation losses by epoch."""

    def make(name: str, *losses: list[float], rate: object = None, **result: object) -> None:
        rule: dict[str, Any] = {"name": name, **({} if rate is None else {"learning_rate": rate})}
        for seed, of_seed in enumerate(losses, 1):
            epochs = {
                "epochs": len(of_seed),
                "best_epoch": of_seed.index(min(of_seed)) + 1,
                "best_validation_loss": min(of_seed),
            }
            run = make_run(
                name=name,
                seed=seed,
                optimizer={"description": name.title(), "specification": rule},
                result={**epochs, **result},
            )
            events = [
                {"event": "epoch", "epoch": epoch, "validation_loss": loss}
                for epoch, loss in enumerate(of_seed, 1)
            ]
            (run / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))

    return make


@pytest.fixture
def words(optrun: Optrun, tmp_path: Path) -> Callable[..., str]:
    return lambda *options: " ".join(optrun("compare", tmp_path / "results", *options)[1].split())


def test_what_still_falls_at_the_last_epoch_is_named_with_its_seeds(
    ended: Callable[..., None], words: Callable[..., str]
) -> None:
    # Falls of the last epoch 0.08, 0.12 and -0.02: mean 0.06, standard error 0.042; of 0.30, 0.34
    # and 0.22 in all.
    ended("turning", [0.70, 0.48, 0.40], [0.70, 0.48, 0.36], [0.70, 0.46, 0.48])
    assert "Still improving" not in words()
    # 0.08, 0.12 and 0.10 of 0.30, 0.34 and 0.32 in all.
    ended("falling", [0.70, 0.48, 0.40], [0.70, 0.48, 0.36], [0.70, 0.48, 0.38])
    assert (
        "Still improving at the last epoch: falling (3 of 3 seeds, 31 % of its fall in validation "
        "loss). More epochs may change the ranking."
    ) in words()


def test_of_one_experiment_there_is_no_ranking_to_change(
    ended: Callable[..., None], words: Callable[..., str]
) -> None:
    ended("sgd", [0.7, 0.5], [0.7, 0.6])
    said = "Still improving at the last epoch: sgd (2 of 2 seeds, 100 % of its fall in validation"
    assert f"{said} loss)." in words()
    assert "ranking" not in words()


@pytest.mark.parametrize(
    "losses",
    [
        [[0.7, 0.4, 0.399], [0.7, 0.4, 0.398], [0.7, 0.4, 0.397]],  # as with a rate that fell to 0
        [[0.7, 0.4, 0.3]],  # one seed says nothing of noise
        [[0.7, 0.5, 0.45, 0.4]] * 2 + [[0.7, 0.3, 0.45, 0.4]] * 2,  # not in most seeds
        [[0.7, 0.3, 0.4], [0.7, 0.3, 0.5]],
        [[0.3], [0.3]],
        [[0.7, 0.40, 0.39], [0.7, 0.40, 0.30], [0.7, 0.40, 0.39]],  # standard error 0.03 of 0.04
    ],
    ids=["below-1-percent", "one-seed", "half", "rising", "one-epoch", "noise"],
)
def test_what_does_not_really_fall_any_more_is_not_named(
    ended: Callable[..., None], words: Callable[..., str], losses: list[list[float]]
) -> None:
    ended("sgd", *losses)
    assert "Still improving" not in words()


def test_few_files_are_read_and_none_for_csv(
    ended: Callable[..., None],
    words: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a", "b"):
        ended(name, *([0.7, 0.5, 0.4 + seed / 100] for seed in range(6)))
    ended("rising", *([0.5, 0.6, 0.7] for _ in range(6)))
    read: list[str] = []
    curve = endings.curve

    def counted(run: Any, *options: Any) -> Any:
        read.append(run.label)
        return curve(run, *options)

    monkeypatch.setattr(endings, "curve", counted)
    words("--format", "csv")
    assert read == []
    assert "a (6 of 6 seeds, " in words()
    assert len(read) == 12  # whose last epoch is the best one
    read.clear()
    monkeypatch.setattr(endings, "MOST_FILES", 5)
    assert "b (6 of 6 seeds, " in words()
    assert len(read) == 4  # as many of each


COSINE = {"schedule": "cosine", "initial_learning_rate": 0.2}
STEP = {"schedule": "step", "initial_learning_rate": 0.2, "decay_rate": 0.1}


@pytest.mark.parametrize(
    "rate",
    [
        {"schedule": "constant", "initial_learning_rate": 0.2},
        COSINE,
        {**COSINE, "final_learning_rate": 0.05, "warmup_updates": 7},
        {**COSINE, "decay_updates": 250},
        {**COSINE, "decay_updates": 40},
        {"schedule": "exponential", "initial_learning_rate": 0.2, "decay_rate": 0.03},
        {"schedule": "inverse_time", "initial_learning_rate": 0.2, "decay_rate": 9.0},
        {**STEP, "decay_updates": 100},
        {**STEP, "decay_updates": 30, "warmup_updates": 20},
    ],
    ids=["constant", "cosine", "to-a-quarter", "cut-off", "early", "exponential", "inverse-time",
         "step-never", "step"],
)  # fmt: skip
@pytest.mark.parametrize("updates", [60, 100])
def test_the_rate_at_the_end_is_that_of_the_schedule(rate: dict[str, Any], updates: int) -> None:
    stated = parse({"name": "sgd", "learning_rate": rate}).as_mapping()["learning_rate"]
    schedule = build_schedule(stated, total_updates=100)
    found = share_at_end(stated, updates=updates, planned=100)
    assert found == pytest.approx(float(schedule(updates - 1)) / 0.2, abs=1e-5)


def test_a_rate_that_is_not_told_is_not_guessed() -> None:
    for rate in (None, "fast", {}, {"schedule": "mine", "initial_learning_rate": 0.1}):
        assert share_at_end(rate, updates=100, planned=100) is None
    assert share_at_end(COSINE, updates=None, planned=None) is None
    broken: list[dict[str, object]] = [
        {**STEP, "decay_rate": 1e99, "decay_updates": 1},
        {**STEP, "decay_rate": -1, "decay_updates": 1},
        {**COSINE, "initial_learning_rate": 0},
        {**COSINE, "warmup_updates": 10**9},
    ]
    for one in broken:
        assert share_at_end(one, updates=100, planned=100) is None


def test_rates_that_end_high_are_told_in_one_sentence(
    ended: Callable[..., None], words: Callable[..., str]
) -> None:
    losses = [0.5, 0.5]
    ended("sgd", losses, rate=0.1)
    assert "earning rate" not in words()  # there is no ranking
    ended("adam", losses, rate={"schedule": "constant", "initial_learning_rate": 0.1})
    source = "(Wen et al. 2025, arXiv 2509.02046)."
    assert (
        f"No learning rate decays to its end: rankings can turn where it does {source}" in words()
    )
    ended("heun", losses, rate=COSINE, updates=100)
    ended("nadam", losses, rate={**COSINE, "final_learning_rate": 0.08}, updates=100)
    told = words()
    [sentence] = [one for one in told.split(". ") if one.startswith("Learning rate not decayed")]
    assert sentence == (
        "Learning rate not decayed at the end: adam, sgd (constant), nadam (at 40 %)"
    )
    assert f"Rankings can turn when it decays {source}" in told


def test_a_wrappers_rate_is_the_inner_optimizers(
    ended: Callable[..., None], make_run: MakeRun, words: Callable[..., str]
) -> None:
    for name, rate in (("lookahead", COSINE), ("soft", 0.1)):
        inner = {"name": "sgd", "learning_rate": rate}
        specification = {"name": name, "inner_optimizer": inner}
        make_run(name=name, optimizer={"description": name, "specification": specification})
    assert "Learning rate not decayed at the end: soft (constant)." in words()
