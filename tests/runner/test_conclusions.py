"""What may be said of candidates against a baseline: Holm, margins, pairs, published seeds."""

import csv
from pathlib import Path

import numpy as np
import pytest
from optrun.runner.verdict.conclusions import Conclusion, Judged, judge
from optrun.runner.verdict.metrics import Metric
from optrun.runner.verdict.sentences import Unit, notes, sentence

PUBLISHED = Path(__file__).parent / "published"
ACCURACY = Metric("accuracy", higher_is_better=True)
LOSS = Metric("loss", higher_is_better=False)
Values = dict[str, dict[int, float]]


def published(name: str) -> Values:
    with (PUBLISHED / f"deepobs_{name}.csv").open() as file:
        lines = list(csv.reader(file))[1:]
    values: Values = {}
    for experiment, seed, value in lines:
        values.setdefault(experiment, {})[int(seed)] = float(value)
    return values


@pytest.mark.parametrize(
    ("problem", "candidate", "baseline", "difference", "p", "correlation"),
    [
        ("cifar10_3c3d", "adam", "sgd", 0.01049, 0.0215, -0.28),
        ("cifar10_3c3d", "adam", "momentum", 0.00345, 0.0488, 0.67),
        ("cifar10_3c3d", "sgd", "momentum", -0.00704, 0.1855, -0.31),
        ("fmnist_2c2d", "adam", "sgd", 0.00069, 0.5508, 0.14),
        ("fmnist_2c2d", "adam", "momentum", 0.00197, 0.0527, 0.48),
        ("fmnist_2c2d", "sgd", "momentum", 0.00128, 0.1133, 0.36),
        ("quadratic_deep", "adam", "sgd", -0.28559, 0.0020, 0.06),
        ("quadratic_deep", "adam", "momentum", 0.06684, 0.0020, -0.17),
        ("quadratic_deep", "sgd", "momentum", 0.35243, 0.0020, 0.43),
    ],
)
def test_published_seeds_have_the_p_values_computed_elsewhere(
    problem: str, candidate: str, baseline: str, difference: float, p: float, correlation: float
) -> None:
    """DeepOBS's baselines, ten seeds each, by exact sign flips over the pairs."""
    values = published(problem)
    [found] = judge({name: values[name] for name in (candidate, baseline)}, baseline, ACCURACY)
    assert found.difference == pytest.approx(difference, abs=6e-6)
    assert found.p_value == pytest.approx(p, abs=6e-5)
    assert found.correlation == pytest.approx(correlation, abs=6e-3)
    assert len(found.seeds) == 10


def study(count: int, *shifts: float, seed: int = 0, spread: float = 0.01) -> Values:
    """A baseline and candidates that differ from it by these, over so many seeds."""
    generator = np.random.default_rng(seed)
    base = generator.normal(0.9, 0.01, count)
    values = {"base": dict(enumerate(base))}
    for number, shift in enumerate(shifts):
        noise = generator.normal(shift, spread, count)
        values[f"c{number}"] = dict(enumerate(base + noise))
    return values


def test_interval_and_verdict_never_disagree() -> None:
    concluded = set()
    for number in range(60):
        values = study(8, 0.0, 0.006, 0.012, -0.02, seed=number)
        for one in judge(values, "base", ACCURACY):
            assert one.interval is not None
            holds_0 = one.interval[0] <= 0 <= one.interval[1]
            assert holds_0 == (one.conclusion is Conclusion.NONE) == (one.p_adjusted > 0.05)
            concluded.add(one.conclusion)
    assert concluded == {Conclusion.BETTER, Conclusion.WORSE, Conclusion.NONE}


def test_of_several_comparisons_each_stricter_level_must_be_met_in_turn() -> None:
    values = study(8, 0.03, 0.03, 0.03, 0.03, spread=0.001)
    assert {one.p_adjusted for one in judge(values, "base", ACCURACY)} == {4 * 2 / 2**8}
    # With seven pairs the first of four can't be met, so that nothing is.
    fewer = {name: {s: v for s, v in one.items() if s < 7} for name, one in values.items()}
    for one in judge(fewer, "base", ACCURACY):
        assert (one.conclusion, one.needs_seeds) == (Conclusion.NONE, 8)


@pytest.mark.parametrize("comparisons", [1, 4, 9])
@pytest.mark.parametrize("kind", ["normal", "heavy", "coarse"])
def test_without_any_difference_one_study_in_twenty_concludes_at_most(
    kind: str, comparisons: int
) -> None:
    generator, studies, false = np.random.default_rng(comparisons), 2000 // comparisons, 0

    def draw() -> dict[int, float]:
        if kind == "coarse":
            numbers = generator.binomial(308, 0.95, 8) / 308
        else:
            numbers = generator.normal(0, 1, 8) if kind == "normal" else generator.standard_t(2, 8)
        return dict(enumerate(numbers.tolist()))

    for _ in range(studies):
        values = {f"c{n}": draw() for n in range(comparisons)} | {"base": draw()}
        found = judge(values, "base", ACCURACY)
        false += any(one.conclusion is not Conclusion.NONE for one in found)
    assert false <= 0.05 * studies + 3 * np.sqrt(0.05 * 0.95 * studies)


def test_a_lower_loss_is_better() -> None:
    [one] = judge(study(6, -0.05, spread=0.001), "base", LOSS)
    assert (one.conclusion, one.better) == (Conclusion.BETTER, 6)
    [other] = judge(study(6, -0.05, spread=0.001), "base", ACCURACY)
    assert (other.conclusion, other.better) == (Conclusion.WORSE, 0)


def test_an_interval_within_the_margin_is_no_difference_that_matters() -> None:
    values = study(10, 0.001, spread=0.0005)
    assert [one.conclusion for one in judge(values, "base", ACCURACY)] == [Conclusion.BETTER]
    [one] = judge(values, "base", ACCURACY, margin=0.005)
    assert one.conclusion is Conclusion.SAME
    [one] = judge(values, "base", ACCURACY, margin=0.0005)
    assert one.conclusion is Conclusion.BETTER


def test_seeds_that_only_one_of_two_has_are_no_part_of_a_paired_comparison() -> None:
    values = study(8, 0.05, spread=0.001)
    values["c0"] |= {99: -1000.0}
    [one] = judge(values, "base", ACCURACY)
    assert (one.seeds, one.better) == (tuple(range(8)), 8)


@pytest.mark.parametrize("reason", ["other beginnings", "no seed in common"])
def test_what_is_not_paired_is_dealt_out_anew(reason: str) -> None:
    values = study(6, 0.05, spread=0.001)
    if reason == "no seed in common":
        values["c0"] = {seed + 100: value for seed, value in values["c0"].items()}
        [one] = judge(values, "base", ACCURACY)
    else:
        [one] = judge(values, "base", ACCURACY, unpaired={"c0"})
    assert (one.paired, one.better, one.seeds, one.correlation) == (False, None, (6, 6), None)
    assert one.p_value == pytest.approx(2 / 924)  # of 12 over 6 choices
    assert one.conclusion is Conclusion.BETTER


def told(one: Judged, comparisons: int = 1) -> str:
    return sentence(one, Unit("points of accuracy", 100), comparisons)


def test_the_words_say_what_was_found_and_no_more() -> None:
    [one] = judge(study(8, -0.02, spread=0.001, seed=4), "base", ACCURACY)
    assert told(one).startswith("c0 is worse than base: −1.97 points of accuracy [−2.09, −1.86], ")
    assert told(one).endswith("worse in 8 of 8 seeds, p = 0.0078.")
    [one] = judge(study(3, 0.02, spread=0.001), "base", ACCURACY)
    assert told(one).startswith(
        "No conclusion about c0 and base: 3 paired seeds can never give p < 0.05; 6 seeds each can."
    )
    assert "better in 3 of 3 seeds" in told(one)
    assert "[" not in told(one)  # so few have no interval
    [one] = judge(study(8, 0.0, seed=1), "base", ACCURACY)
    assert told(one, 3).startswith("No conclusion about c0 and base: ")
    assert told(one, 3).endswith("(Holm, 3 comparisons).")
    [one] = judge(study(8, 0.0, spread=0.0001), "base", ACCURACY, margin=0.01)
    assert told(one).startswith("No difference that matters between c0 and base: ")
    assert next(iter(notes([one]))).startswith("c0: over seeds correlated by +1.00 with base")
