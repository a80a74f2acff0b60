"""The faults of published comparisons, each found; and none in what is shipped."""

import importlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from optrun.optimizers.registry import ENTRIES
from optrun.optimizers.specification import parse
from optrun.runner.compare.budgets import within_budget
from optrun.runner.compare.comparison import compare
from optrun.runner.compare.judgement import verdict
from optrun.runner.compare.notes import notes as notes_beneath
from optrun.runner.config.load import load
from optrun.runner.runs.reader import read_all
from optrun.runner.verdict.fairness import _DEFAULT_RATE, _DEFAULT_RATES, Setup, beside, notes
from optrun.runner.verdict.metrics import BY_KEY

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHIPPED = sorted(CONFIGS.glob("*_vgg19.yaml"))
COSINE = {"schedule": "cosine", "initial_learning_rate": 0.1}
MakeRun = Callable[..., Path]
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]


def rule(name: str, inside: Mapping[str, object] | None = None, **settings: object) -> Any:
    """A specification as a run records it, with every argument."""
    stated = {"name": name, **settings} | ({} if inside is None else {"inner_optimizer": inside})
    if inside is None:
        stated.setdefault("learning_rate", 0.1)
    return parse(stated).as_mapping()


def found(baseline: Setup, *others: Setup) -> list[str]:
    return list(notes([baseline, *others], baseline.label))


SGD = rule("sgd", momentum=0.9, weight_decay=5e-4)
FAULTS = {
    # Connah-rs/lookahead, whose table has Lookahead at 93.23 and SGD at 95.29.
    "a wrapper around less than the baseline has": (
        [Setup("sgd", SGD), Setup("lookahead", rule("lookahead", rule("sgd")))],
        "The SGD inside lookahead has momentum 0, weight decay none; sgd has 0.9, 0.0005. A "
        "difference may come from that, and not from what is around it.",
    ),
    # "No Train No Gain", arXiv 2307.06440: gains vanish against a baseline that is fully decayed.
    "a wrapper around a rate that does not fall": (
        [
            Setup("sgd", rule("sgd", learning_rate=COSINE, global_clipnorm=1.0)),
            Setup("soft", rule("soft_batch", rule("sgd"), batches_per_update=4)),
        ],
        "The SGD inside soft has global clipnorm none, schedule none; sgd has 1, cosine. A "
        "difference may come from that, and not from what is around it.",
    ),
    "a wrapper around less than the plain optimizer of its kind": (
        [
            Setup("sgd", rule("sgd")),
            Setup("adam", rule("adam", beta_1=0.8)),
            Setup("lookahead", rule("lookahead", rule("adam", beta_1=0.9))),
        ],
        "The Adam inside lookahead has beta 1 0.9; adam has 0.8. A difference may come from "
        "that, and not from what is around it.",
    ),
    # Adabelief-Optimizer#6.
    "weight decay that differs": (
        [
            Setup("sgd", rule("sgd", weight_decay=1e-4)),
            Setup("adam", rule("adam", weight_decay=1e-4)),
            Setup("adabelief", rule("nadam", weight_decay=1e-2)),
            Setup("heun", rule("heun")),
        ],
        "Weight decay is not the same: 0.0001 in sgd; 0.01 in adabelief; none in heun.",
    ),
    "a schedule that differs": (
        [
            Setup("sgd", rule("sgd", learning_rate=COSINE)),
            Setup("adam", rule("adam")),
            Setup("warm", rule("lion", learning_rate=COSINE | {"warmup_updates": 9})),
        ],
        "The learning rate's schedule is not the same: cosine in sgd; none in adam; cosine with "
        "warm-up in warm.",
    ),
    # DeepOBS#42.
    "a choice by one seed": (
        [
            Setup("sgd", SGD, chosen={"learning_rate": "0.1"}, tuning_seeds=1),
            Setup("adam", rule("adam", weight_decay=5e-4), chosen={}, tuning_seeds=1),
        ],
        "Chosen by a single seed, so that luck may have chosen: sgd (`--tune-seeds`).",
    ),
    "twice the gradients at equal epochs": (
        [
            Setup("sgd", rule("sgd"), photo_gradients=3_000),
            Setup("large", rule("sgd"), photo_gradients=3_010),  # a last batch that was filled up
            Setup("rk45", rule("rk45"), photo_gradients=18_000),
            Setup("heun", rule("heun"), photo_gradients=6_000),
        ],
        "Unequal budgets: a run computes the gradients of 3,000 photos in sgd; 6,000 in heun; "
        "18,000 in rk45. `optrun compare --by gradient-evaluations` sets them side by side at "
        "equal cost.",
    ),
    # keras#19990: accumulation that was not the batch it stood for.
    "a neutral wrapper that is not neutral": (
        [
            Setup("sgd", rule("sgd"), losses={1: 0.25, 2: 0.5}),
            Setup(
                "soft",
                rule("soft_batch", rule("sgd"), batches_per_update=1),
                losses={1: 0.25, 2: 0.5000000000000001, 3: 0.1},
            ),
        ],
        "soft is set to change nothing, and its runs are not those of sgd to the last bit: a loss "
        "of 0.5000000000000001 where that has 0.5. One of the two does not compute what it says.",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_published_fault_is_found_with_both_values(fault: str) -> None:
    setups, note = FAULTS[fault]
    assert found(*setups) == [note]


def tuned(label: str, value: str, *tried: str, key: str = "learning_rate", **more: Any) -> Setup:
    return Setup(
        label,
        more.pop("rule", rule("sgd", learning_rate=0.5)),
        tried=[{key: one} for one in tried],
        chosen={key: value},
        **more,
    )


def test_what_was_tried_is_told_and_what_was_tried_unequally() -> None:
    told = found(
        tuned("sgd", "0.1", "0.01", "0.1", "1"),
        tuned("adam", "0", "0", "0.9", key="momentum"),
        tuned("lion", "maintain", "maintain", "reset", key="inner_state"),
        Setup("heun", rule("heun")),
    )
    assert told[:5] == [
        "sgd: learning_rate 0.1 chosen of 3 settings tried, from 0.01 to 1.",
        "adam: momentum 0 chosen of 2 settings tried, from 0 to 0.9, at the edge of the range: "
        "extend it.",
        "lion: inner_state maintain chosen of 2 settings tried.",
        "Untuned, beside others that are: heun.",
        "Unequal numbers of settings were tried: sgd 3, adam 2, lion 2.",
    ]


@pytest.mark.parametrize(
    "key", ["learning_rate", "optimizer.learning_rate.initial_learning_rate"], ids=["own", "dotted"]
)
def test_a_default_beside_what_was_tuned_is_told_with_both_values(key: str) -> None:
    setups = [
        tuned("sgd", "3e-4", "1e-4", "3e-4", "1e-3", key=key),
        Setup("adam", rule("adam", learning_rate=0.001)),
        Setup("lookahead", rule("lookahead", rule("sgd", learning_rate=0.01))),
        Setup("fell", rule("adamw", learning_rate=COSINE | {"initial_learning_rate": 0.001})),
        Setup("stated", rule("adam", learning_rate=0.002)),
        Setup("own", rule("mine.py:Mine", learning_rate=0.001)),
    ]
    expected = (
        "At its library's default learning rate: adam (0.001), lookahead (0.01), fell (0.001), "
        "where that of sgd, 3e-4, was chosen of 3 settings."
    )
    assert [one for one in found(*setups) if "default" in one] == [expected]
    assert not any("default" in one for one in found(*setups[1:]))


def test_the_defaults_are_those_of_the_classes() -> None:
    for name, entry in ENTRIES.items():
        own = getattr(importlib.import_module(entry.module), entry.class_name)
        if (rate := inspect.signature(own).parameters.get("learning_rate")) is not None:
            assert rate.default == _DEFAULT_RATES.get(name, _DEFAULT_RATE), name


LOOKAHEAD = rule("lookahead", rule("sgd"), sync_period=5, slow_step_size=1)


@pytest.mark.parametrize(
    ("wrapper", "steps", "is_neutral"),
    [
        (rule("lookahead", rule("sgd"), sync_period=1, slow_step_size=1), 7, True),
        (LOOKAHEAD, 10, True),
        (LOOKAHEAD, 12, False),  # measured two updates before the epoch's end
        (LOOKAHEAD | {"inner_state": "reset"}, 10, False),
        (rule("lookahead", rule("sgd"), sync_period=1, slow_step_size=0.5), 10, False),
        (rule("lookahead", rule("sgd", momentum=0.5), sync_period=1, slow_step_size=1), 10, False),
        (rule("soft_batch", rule("sgd"), batches_per_update=2), 10, False),
        (rule("soft_batch", rule("sgd"), batches_per_update=1), 10, True),
    ],
    ids=["k1", "synced", "unsynced", "reset", "half", "other core", "two batches", "one batch"],
)
def test_only_a_neutral_wrapper_must_equal_what_it_is_around(
    wrapper: Any, steps: int, is_neutral: bool
) -> None:
    around = Setup("around", wrapper, steps, losses={1: 0.3})
    core = Setup("core", rule("sgd"), steps, losses={1: 0.2})
    assert any("to the last bit" in one for one in found(core, around)) == is_neutral
    assert found(Setup("core", rule("sgd"), losses={1: 0.3, 2: 1}), around)[1:] == []
    assert found(Setup("core", rule("sgd", learning_rate=0.2), losses={1: 0.4}), around)[1:] == []


def test_nothing_is_said_of_what_was_tuned_or_is_not_known() -> None:
    chosen = {"weight_decay": "1e-3", "momentum": "0.9"}
    inside = rule("lookahead", rule("sgd", weight_decay=1e-4))
    assert found(Setup("sgd", SGD, chosen=chosen), Setup("l", inside, chosen=chosen)) == []
    assert found(Setup("sgd", {"name": "sgd"}), Setup("adam", {"name": "adam"})) == []
    own = Setup("own", rule("mine.py:Mine", learning_rate=0.1))
    assert found(Setup("sgd", rule("sgd", learning_rate=COSINE)), own) == []


@pytest.mark.parametrize(
    "specification",
    [
        {},
        {"name": ["sgd"], "inner_optimizer": {"name": {}}},
        {"name": "lookahead", "inner_optimizer": {}},
        {"name": "lookahead", "inner_optimizer": 3, "sync_period": 0, "slow_step_size": 1},
        {"name": "sgd", "learning_rate": {"schedule": None}, "momentum": {"a": []}},
        {"name": "soft_batch", "batches_per_update": 1, "inner_optimizer": {"learning_rate": []}},
    ],
)
def test_no_specification_on_the_disk_stops_it(specification: Any) -> None:
    odd = Setup("odd", specification, losses={1: 1.0}, tried=[{}], chosen={"momentum": "x"})
    assert isinstance(found(Setup("sgd", SGD), odd), list)
    assert isinstance(found(odd, Setup("sgd", SGD)), list)


def test_many_rows_with_one_fault_take_one_line() -> None:
    rows = [Setup(f"l{n}", rule("lookahead", rule("sgd"), sync_period=n + 1)) for n in range(30)]
    assert [one.partition(" has ")[0] for one in found(Setup("sgd", SGD), *rows)] == [
        "The SGD inside l0, l1, l2 and 27 more"
    ]
    rows = [Setup(f"a{n}", rule("adam", weight_decay=10.0**-n)) for n in range(9)]
    [note] = found(Setup("sgd", rule("sgd")), *rows)
    assert note.endswith("; 0.001 in a3; and 5 other values.")
    told = found(*(tuned(f"t{n}", "2", "1", "2", "3") for n in range(30)))
    assert (len(told), told[-1]) == (9, "22 more settings were chosen of several.")


@pytest.mark.parametrize("sample", [False, True], ids=["real", "sample"])
@pytest.mark.parametrize("baseline", ["sgd_vgg19", "adam_vgg19", "lookahead_vgg19"])
def test_the_shipped_experiments_differ_in_cost_alone(baseline: str, sample: bool) -> None:
    setups = []
    for file in SHIPPED:
        experiment = load(file, sample=sample).experiment
        cost = experiment.optimizer.gradient_evaluations * experiment.training.epochs * 1000
        specification = experiment.optimizer.as_mapping()
        setups.append(Setup(file.stem, specification, 63, photo_gradients=cost))
    epochs = 4 if sample else 3
    assert list(notes(setups, baseline)) == [
        f"Unequal budgets: a run computes the gradients of {epochs},000 photos in {baseline}; "
        f"{2 * epochs},000 in heun_vgg19; {3 * epochs},000 in rk23_vgg19; {6 * epochs},000 in "
        "rk45_vgg19. `optrun compare --by gradient-evaluations` sets them side by side at equal "
        "cost."
    ]


def test_a_wrapper_differs_from_the_plain_optimizer_in_what_it_adds() -> None:
    plain, around = rule("sgd", momentum=0.9), rule("lookahead", rule("sgd", momentum=0.9))
    of_plain, of_wrapper = beside(plain), beside(around)
    assert {key for key in of_wrapper if of_wrapper[key] != of_plain.get(key)} == {
        "name", "sync_period", "slow_step_size", "inner_state",
    }  # fmt: skip
    assert beside(rule("soft_batch", around, batches_per_update=2))["name"] == (
        "soft_batch(lookahead(sgd))"
    )
    own = rule("mine.py:Mine", {"name": "sgd", "learning_rate": 0.1}, learning_rate=3)
    assert beside(own) == own


def block(out: str) -> list[str]:
    """The lines of what differs."""
    lines = out.split("What differs between them:\n")[1].splitlines()
    return [line.strip() for line in lines[: lines.index("")]]


def test_a_dry_run_sets_inner_settings_beside_the_plain_ones(
    tmp_path: Path, optrun: Optrun
) -> None:
    files = [CONFIGS / f"{name}_vgg19.yaml" for name in ("sgd", "lookahead", "heun")]
    train = ("train", *files, "--sample", "--dry-run", "--results", tmp_path / "r")
    code, out, err = optrun(*train)
    assert (code, err) == (0, "")
    assert block(out) == [
        "optimizer.name: sgd | lookahead(sgd) | heun",
        "optimizer.learning_rate.initial_learning_rate: 0.02 | 0.04 | 0.2",
        "optimizer.momentum: 0.9 | 0.9 | -",
        "optimizer.sync_period: - | 5 | -",
        "optimizer.slow_step_size: - | 0.5 | -",
    ]
    [noted] = [line for line in out.splitlines() if line.startswith("note: ")]
    said = re.search(r"gradients of (\S+) photos in sample-sgd_vgg19; (\S+) in sample-heun", noted)
    assert said is not None
    once, twice = (int(count.replace(",", "")) for count in said.groups())
    assert (once > 12_000, twice) == (True, 2 * once)
    train = ("train", *files[:2], "--sample", "--dry-run", "--results", tmp_path / "r")
    code, out, _ = optrun(*train, "--grid", "learning_rate=0.01,0.1", "--tune-seeds", "7-7")
    assert "note: Chosen by a single seed, so that luck may have chosen: sample-sgd_vgg19, s" in out
    assert "Unequal" not in out


def test_a_default_shows_where_another_has_another_value(tmp_path: Path, optrun: Optrun) -> None:
    files = [CONFIGS / f"{name}_vgg19.yaml" for name in ("sgd", "nesterov", "sgd_batch64")]
    _, out, _ = optrun("train", *files, "--sample", "--dry-run", "--results", tmp_path / "r")
    assert "optimizer.nesterov: False | True | False" in block(out)
    assert "training.batch_size: 16 | 16 | 64" in block(out)


PARTS = {"photos_by_part": {"train": 100, "validation": 20, "test": 20}}
ALIKE = {"initial_weights": "w", "first_batches": "b"}


def run_of(name: str, specification: Mapping[str, object], seed: int = 1, **more: Any) -> Any:
    return {
        "name": name,
        "seed": seed,
        "optimizer": {"description": name.title(), "specification": specification},
        "steps_per_epoch": 10,
        "comparable": {"device": more.pop("device", "cpu")},
        "provenance": PARTS | ALIKE | more.pop("provenance", {}),
    } | more


def compared(results: Path, **options: Any) -> tuple[str, ...]:
    [group] = compare(*read_all([results])).groups
    found = verdict(group, BY_KEY["test_accuracy"], **options)
    return tuple(notes_beneath(group, found))


def test_compare_tells_what_is_unfair_in_the_table_and_in_json(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    make_run(**run_of("sgd", SGD))
    heun = rule("heun", weight_decay=5e-4)
    make_run(**run_of("heun", heun, result={"gradient_evaluations": 200}))
    make_run(**run_of("lookahead", rule("lookahead", rule("sgd"))))
    expected = [
        "The SGD inside lookahead has momentum 0, weight decay none; sgd has 0.9, 0.0005.",
        # 100 evaluations are 10 epochs of 100 photos.
        "Unequal budgets: a run computes the gradients of 1,000 photos in sgd; 2,000 in heun.",
    ]
    out = " ".join(optrun("compare", tmp_path / "results")[1].split())
    [table] = json.loads(optrun("compare", tmp_path / "results", "--format", "json")[1])["tables"]
    for one in expected:
        assert one in out
        assert any(note.startswith(one) for note in table["notes"])
    [group] = compare(*read_all([tmp_path / "results"])).groups
    curve = {"curve_of": lambda run: [(1.0, 0.9)], "baseline": "sgd"}
    at_cost = within_budget(group, "gradient-evaluations", BY_KEY["test_accuracy"], **curve)
    found = list(notes_beneath(group, at_cost, by_cost=False))
    assert any(note.startswith(expected[0]) for note in found)
    assert not any("Unequal budgets" in note for note in found)


def test_a_larger_batch_costs_no_less_for_having_fewer_gradients(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run(**run_of("sgd", rule("sgd")))
    large = {"batch_size": 64, "steps_per_epoch": 2, "result": {"gradient_evaluations": 20}}
    make_run(**run_of("large", rule("sgd")) | large)
    assert not any("Unequal budgets" in note for note in compared(tmp_path / "results"))


@pytest.mark.parametrize(
    ("change", "is_told"),
    [
        ({}, True),
        ({"device": "gpu"}, False),
        ({"provenance": {"initial_weights": "others"}}, False),
        ({"provenance": {"packages": {"numpy": "another"}}}, False),
        ({"seed": 2}, False),
    ],
    ids=["same", "gpu", "weights", "versions", "seed"],
)
def test_runs_must_be_equal_only_where_all_that_they_began_from_is(
    make_run: MakeRun, tmp_path: Path, change: dict[str, Any], is_told: bool
) -> None:
    device = {"device": change["device"]} if "device" in change else {}
    make_run(**run_of("sgd", rule("sgd"), **device))
    wrapper = rule("lookahead", rule("sgd"), sync_period=1, slow_step_size=1)
    result = {"best_validation_loss": 0.24999}
    make_run(**run_of("lookahead", wrapper, **change, result=result))
    told = [one for one in compared(tmp_path / "results", baseline="sgd") if "last bit" in one]
    assert [("0.24999" in one, "0.25." in one) for one in told] == [(True, True)] * is_told


def test_a_seed_set_once_for_all_trials_leaves_no_pairs(make_run: MakeRun, tmp_path: Path) -> None:
    # Connah-rs/lookahead: the trials of one optimizer go on where those before it left off.
    for number in range(1, 7):
        for name in ("sgd", "adam"):
            start = {"initial_weights": f"{name} {number}"}
            result = {"test_accuracy": 0.9 + number * 1e-3}
            run = run_of(name, rule(name), number, provenance=start, result=result)
            make_run(**run, experiment=name)
    told = compared(tmp_path / "results")
    assert any(note.startswith("Not paired with the baseline: adam.") for note in told)
