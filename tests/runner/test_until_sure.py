"""Seeds until sure: a plan that is written before its runs, kept to, and used by `compare`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optrun.runner.errors import UserError
from optrun.runner.plan import executor, until_sure
from optrun.runner.plan import plan as plans
from optrun.runner.runs import reader
from optrun.runner.runs.sequential_plan import SequentialPlan, read_plans, write
from optrun.runner.verdict.conclusions import Conclusion

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MakeRun = Callable[..., Path]
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]

PLAN = SequentialPlan(
    {"sgd": "hash of sgd", "adam": "hash of adam"},
    baseline="sgd",
    metric="test_accuracy",
    looks=(8, 12, 16, 24, 32),
    sample=False,
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def make_pairs(make_run: MakeRun) -> Callable[..., None]:
    """Runs of a plan: SGD at 0.9 with some noise, and the others beside it."""

    def make(plan: SequentialPlan, count: int, shift: float, name: str = "adam") -> None:
        noise = np.random.default_rng(5).normal(0, 0.01, (count, 2))
        for seed in range(1, count + 1):
            base = 0.9 + noise[seed - 1, 0]
            made = {"sgd": base, name: base + shift + noise[seed - 1, 1] / 2}
            for one, accuracy in made.items():
                make_run(**planned(plan, one, seed, accuracy))

    return make


def planned(plan: SequentialPlan, name: str, seed: int, accuracy: float) -> dict[str, Any]:
    return {
        "name": name,
        "seed": seed,
        "result": {"test_accuracy": accuracy},
        "provenance": {"until_sure": plan.hash, "initial_weights": f"w{seed}"},
    }


def now(plan: SequentialPlan, results: Path) -> until_sure.Standing:
    return until_sure.standing(plan, results)


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_plan_reads_back_as_it_was_written(results: Path) -> None:
    plan = replace(PLAN, margin=0.003)
    write(plan, results)
    found = read_plans([results])
    assert (found.intact, found.broken) == ((plan,), {})
    assert found.intact[0].hash == plan.hash
    run = results / "adam-s1-aaaaaa"
    run.mkdir()
    assert read_plans([run]).intact == (plan,)  # that of its folder


@pytest.mark.parametrize(
    "changes",
    [
        {"margin": 0.01}, {"metric": "test_log_loss"}, {"alpha": 0.2}, {"looks": [8, 9, 32]},
        {"looks": []}, {"looks": "all"}, {"baseline": "nobody"}, {"comparisons": 0}, {"more": 1},
        {"experiments": {"sgd": "a", "adam": "b"}}, {"sample": True}, {"metric": "beauty"},
    ],
    ids=str,
)  # fmt: skip
def test_a_plan_that_was_changed_counts_for_nothing(
    results: Path, changes: Mapping[str, object]
) -> None:
    write(PLAN, results)
    path = results / PLAN.file_name
    content = json.loads(path.read_text())
    content["plan"] |= changes
    path.write_text(json.dumps(content))
    found = read_plans([results])
    assert (found.intact, list(found.broken)) == ((), [PLAN.file_name])


def test_the_first_look_waits_for_its_seeds(
    results: Path, make_pairs: Callable[..., None], make_run: MakeRun
) -> None:
    results.mkdir()
    assert now(PLAN, results).seeds == range(1, 9)
    make_pairs(PLAN, 7, 0.05)
    assert now(PLAN, results).judged == []
    make_run(**planned(PLAN, "sgd", 8, 0.9))
    assert now(PLAN, results).looks_made == 0  # its pair is not over
    make_run(**planned(PLAN, "adam", 8, 0.95))
    [found] = now(PLAN, results).judged
    assert found.conclusion is Conclusion.BETTER
    assert now(PLAN, results).seeds == ()


def test_what_is_not_sure_goes_on_to_the_next_look_and_ends_at_the_last(
    results: Path, make_pairs: Callable[..., None]
) -> None:
    make_pairs(PLAN, 32, 0.0)
    found = now(PLAN, results)
    assert (found.looks_made, found.seeds, list(found.open_ones)) == (5, (), ["adam"])
    assert found.judged[0].conclusion is Conclusion.NONE
    text = words("\n".join(until_sure.told(PLAN, found)))
    assert text.startswith("After 32 seeds each (look 5 of 5): No conclusion about adam and sgd")
    assert text.endswith("The 32 seeds of the plan are used up.")


def test_runs_outside_the_plan_are_not_counted_in(
    results: Path, make_pairs: Callable[..., None]
) -> None:
    other = replace(PLAN, margin=0.5)
    make_pairs(other, 8, 0.05)
    assert now(PLAN, results).looks_made == 0
    assert now(other, results).looks_made == 1


def test_a_seed_that_diverged_is_over_and_counts_as_no_difference(
    results: Path, make_pairs: Callable[..., None], make_run: MakeRun
) -> None:
    make_pairs(PLAN, 7, 0.05)
    make_run(**planned(PLAN, "sgd", 8, 0.9))
    make_run(**planned(PLAN, "adam", 8, 0.9) | {"state": "diverged"})
    [found] = now(PLAN, results).judged
    assert found.seeds == (1, 2, 3, 4, 5, 6, 7)


def test_what_only_diverges_is_not_gone_on_with(results: Path, make_run: MakeRun) -> None:
    for seed in range(1, 9):
        make_run(**planned(PLAN, "sgd", seed, 0.9))
        make_run(**planned(PLAN, "adam", seed, 0.9) | {"state": "diverged"})
    found = now(PLAN, results)
    assert (found.judged, found.seeds) == ([], ())
    assert "no pair of runs has a test_accuracy" in "\n".join(until_sure.told(PLAN, found))


def test_compare_judges_by_the_plan(
    results: Path, make_pairs: Callable[..., None], make_run: MakeRun, optrun: Optrun
) -> None:
    write(PLAN, results)
    make_pairs(PLAN, 8, 0.05)
    # A worse run of seed 3 made later, and seeds that the plan did not ask for.
    late = {"provenance": {"initial_weights": "w3"}, "started": "2026-11-25T00:00:00+00:00"}
    make_run(**planned(PLAN, "adam", 3, 0.1) | late)
    for seed in (9, 10):
        make_run(**planned(PLAN, "adam", seed, 0.1) | late)
        make_run(**planned(PLAN, "sgd", seed, 0.9) | late)
    make_run(name="lion", seed=1, provenance={})
    code, out, err = optrun("compare", results)
    text = words(out)
    assert (code, err) == (0, "")
    assert "adam is better than sgd: +4.92 points" in text
    assert "better in 8 of 8 seeds" in text
    assert "(5 looks)." in text
    assert f"Seeds were added until sure, by {PLAN.file_name}" in text
    assert "4 runs outside the plan: not counted in." in text
    assert "Not judged, since they are no part of the plan: lion." in text

    [table] = json.loads(optrun("compare", results, "--format", "json")[1])["tables"]
    [comparison] = table["comparisons"]
    assert (comparison["conclusion"], comparison["seeds"]) == ("better", list(range(1, 9)))


@pytest.mark.parametrize(
    ("shift", "required", "code"),
    [
        (0.05, "adam>=sgd", 0), (0.05, "sgd>=adam", 4), (-0.05, "adam>=sgd", 4),
        (-0.05, "sgd>=adam", 0), (0.0, "adam>=sgd", 0), (0.0, "sgd>=adam", 0),
    ],
)  # fmt: skip
def test_what_is_required_is_judged_by_the_plan_too(
    results: Path, make_pairs: Callable[..., None], optrun: Optrun,
    shift: float, required: str, code: int,
) -> None:  # fmt: skip
    plan = replace(PLAN, experiments={**PLAN.experiments, "lion": "hash of lion"})
    write(plan, results)
    make_pairs(plan, 8, shift)
    make_pairs(plan, 8, 0.0, "lion")
    found, _, err = optrun("compare", results, "--require", required)
    assert found == code
    assert ("(5 looks, 2 comparisons)" in words(err)) is (code == 4)


def test_compare_says_where_it_is_not_the_plan_that_judges(
    results: Path, make_pairs: Callable[..., None], optrun: Optrun
) -> None:
    make_pairs(PLAN, 8, 0.05)
    lost = words(optrun("compare", results)[1])
    assert "by a plan that is not here. What follows knows nothing of the looks" in lost
    write(PLAN, results)
    hint = words(optrun("compare", results, "--metric", "test_log_loss")[1])
    assert "it asks otherwise than --metric" in hint
    path = results / PLAN.file_name
    path.write_text(path.read_text().replace("0.05", "0.5"))
    changed = words(optrun("compare", results)[1])
    assert f"{PLAN.file_name}: it was changed after it was written" in changed


SMALL = ("data.image_size=32", "data.limit=60", "model.trainable=head", "training.epochs=1")


@pytest.fixture
def train(results: Path, optrun: Optrun) -> Callable[..., Answer]:
    sets = [part for one in SMALL for part in ("--set", one)]
    configs = [CONFIGS / "sgd_vgg19.yaml", CONFIGS / "adam_vgg19.yaml"]

    def call(*more: object) -> Answer:
        asked = ("--metric", "best_validation_loss", "--max-seeds", 6, *more)
        return optrun(
            "train", *configs, "--sample", *sets, "--results", results, "--until-sure", *asked
        )

    return call


@pytest.fixture
def recorded_at_once(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a plan are written down, and not trained: of Adam's the loss is the lower one."""

    def carry_out(request: executor.Request, *_: object, **__: object) -> int:
        for run in plans.make(request.entries, seeds=request.seeds, sample=True).runs:
            is_adam = run.experiment.optimizer.name == "adam"
            make_run(
                name=run.name,
                seed=run.seed,
                sample=True,
                experiment=run.identity,
                provenance=dict(run.provenance),
                result={"best_validation_loss": 0.5 - 0.1 * is_adam + run.seed * 1e-3},
            )
        return 0

    monkeypatch.setattr(executor, "_carry_out_plan", carry_out)


@pytest.mark.parametrize(
    "train_and_look",
    ["recorded_at_once", pytest.param("shallow_network", marks=pytest.mark.slow)],
)
def test_seeds_are_added_until_it_is_sure_and_compare_says_the_same(
    results: Path,
    train: Callable[..., Answer],
    optrun: Optrun,
    train_and_look: str,
    request: pytest.FixtureRequest,
) -> None:
    request.getfixturevalue(train_and_look)
    code, out, err = train()
    assert (code, err) == (0, "")
    [plan] = read_plans([results]).intact
    records = [one.record for one in reader.read_all([results])[0]]
    assert len(records) == 12
    assert {one.plan for one in records} == {plan.hash}
    assert "After 6 seeds each (look 1 of 1):" in out
    [judged] = now(plan, results).judged
    assert len(judged.seeds) == 6
    compared = words(optrun("compare", results)[1])
    told = words(out).partition("(look 1 of 1): ")[2].partition(" Next:")[0]
    assert told.partition(" The 6 seeds")[0] in compared

    code, _, err = train()
    assert code == 2
    assert "This plan is there already" in err
    assert train("--resume")[0] == 0
    assert len(reader.read_all([results])[0]) == 12  # nothing was left to do
    code, _, err = train("--margin", 0.5)
    assert code == 2
    assert "cannot be changed once it is made: margin is None there, 0.5 here" in words(err)


def test_a_dry_run_says_what_a_plan_takes_at_most_and_writes_nothing(
    results: Path, train: Callable[..., Answer]
) -> None:
    code, out, _ = train("--dry-run")
    assert code == 0
    assert not results.exists()
    assert "looked at after 6 seeds each" in words(out)
    assert "At most, where nothing is sure before the last look: 12 runs" in words(out)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--seeds", 3), "--until-sure takes seeds from 1 on"),
        (("--max-seeds", 5), "--max-seeds must be at least 6"),
        (("--baseline", "adaam"), "Did you mean adam?"),
        (("--metric", "accuracy"), "--metric must be a measure"),
        (("--set", "training.batch_size=8"), ""),
    ],
    ids=["seeds", "too-few", "baseline", "metric", "same-for-all"],
)
def test_what_could_not_be_judged_is_refused_before_it_is_trained(
    results: Path, train: Callable[..., Answer], more: tuple[object, ...], said: str
) -> None:
    code, _, err = train(*more, "--dry-run")
    assert code == (2 if said else 0)
    assert said in words(err)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("sgd_vgg19.yaml", "needs two configs or more, received 1"),
        ("resnet50_lookahead.yaml", "all else equal: model.network is vgg19"),
    ],
)
def test_what_is_no_fair_question_is_refused(
    results: Path, optrun: Optrun, second: str, said: str
) -> None:
    configs = {CONFIGS / "sgd_vgg19.yaml": None, CONFIGS / second: None}
    code, _, err = optrun("train", *configs, "--sample", "--until-sure", "--results", results)
    assert code == 2
    assert said in words(err)


def test_options_of_a_plan_without_one_are_refused(optrun: Optrun) -> None:
    code, _, err = optrun("train", CONFIGS / "sgd_vgg19.yaml", "--sample", "--margin", 1)
    assert code == 2
    assert "--margin is what --until-sure asks about" in err


def test_other_batches_than_the_baselines_are_refused(results: Path, optrun: Optrun) -> None:
    one, other = CONFIGS / "sgd_vgg19.yaml", CONFIGS / "sgd_batch64_vgg19.yaml"
    code, _, err = optrun("train", one, other, "--sample", "--until-sure", "--results", results)
    assert code == 2
    assert "share the photos of a batch or those of an update" in words(err)


def test_a_plan_that_was_tampered_with_is_not_gone_on_with(
    results: Path, train: Callable[..., Answer]
) -> None:
    write(PLAN, results)
    path = results / PLAN.file_name
    path.write_text(path.read_text().replace("0.05", "0.5"))
    code, _, err = train("--resume")
    assert code == 2
    assert "is a plan that counts for nothing: it was changed" in words(err)


def test_one_assumes_what_is_said_before_it_begins() -> None:
    lines = list(until_sure.expectation(PLAN, 308, []))
    text = " ".join(lines)
    # sqrt(0.1 / (2 * 308)) = 1.27 points, times the root of 2 for a pair.
    assert "scatter by about 1.3 points (308 test photos, 10 % told wrong, assumed)" in text
    assert "differences of pairs by 1.8" in text
    assert "How long a seed of each takes is not known" in text


def test_refusals_are_a_persons_mistakes() -> None:
    with pytest.raises(UserError, match="two configs or more"):
        until_sure.planned([], until_sure.UntilSure(32))
