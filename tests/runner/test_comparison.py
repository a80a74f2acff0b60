"""Which runs count, which are ranked together, and what their numbers come to."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optrun.runner.compare.comparison import Comparison, compare
from optrun.runner.runs.reader import read_all
from optrun.runner.verdict.metrics import MEASURES
from optrun.runner.verdict.summary import summarise

MakeRun = Callable[..., Path]


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., Comparison]:
    """The comparison of everything in tmp_path/results."""

    def call(**options: Any) -> Comparison:
        return compare(*read_all([tmp_path / "results"]), **options)

    return call


Compared = Callable[..., Comparison]


@given(
    st.lists(
        st.floats(min_value=-1e6, max_value=1e6, allow_subnormal=False), min_size=2, max_size=9
    )
)
def test_mean_and_spread_are_those_of_numpy(values: list[float]) -> None:
    summary = summarise(values)
    assert summary.mean == pytest.approx(np.mean(values), rel=1e-12, abs=1e-9)
    assert summary.spread == pytest.approx(np.std(values, ddof=1), rel=1e-6, abs=1e-6)


def test_the_largest_numbers_the_reader_lets_through_have_finite_means_and_spreads() -> None:
    summary = summarise([9.9e99, -9.9e99, 9.9e99])
    assert summary.mean is not None
    assert summary.spread is not None
    assert math.isfinite(summary.mean)
    assert math.isfinite(summary.spread)


def test_one_row_is_one_experiment_over_its_seeds(make_run: MakeRun, compared: Compared) -> None:
    for seed, accuracy in ((2, 0.9), (1, 0.8), (3, 1.0)):
        make_run(seed=seed, result={"test_accuracy": accuracy})
    [group] = compared().groups
    [row] = group.rows
    assert row.seeds == (1, 2, 3)
    summary = row.summaries["test_accuracy"]
    assert summary.values == (0.8, 0.9, 1.0)
    assert summary.mean == pytest.approx(0.9)
    assert summary.spread == pytest.approx(0.1)


def test_a_single_seed_has_no_spread(make_run: MakeRun, compared: Compared) -> None:
    make_run()
    [row] = compared().groups[0].rows
    assert all(summary.spread is None for summary in row.summaries.values())
    assert all(summary.mean is not None for summary in row.summaries.values())


def test_of_one_seed_the_newest_completed_run_counts_and_the_others_are_named(
    make_run: MakeRun, compared: Compared
) -> None:
    make_run("old", started="2026-01-01T00:00:00+00:00", result={"test_accuracy": 0.1})
    # Later on the clock, earlier in truth: only the offset tells.
    make_run("mid", started="2026-01-02T02:00:00+09:00", result={"test_accuracy": 0.2})
    make_run("new", started="2026-01-02T01:00:00+00:00", result={"test_accuracy": 0.3})
    make_run("last", started="2026-01-09T01:00:00+00:00", state="interrupted")
    comparison = compared()
    [row] = comparison.groups[0].rows
    assert row.summaries["test_accuracy"].values == (0.3,)
    assert [(item.kind, item.label, item.why) for item in comparison.left_out] == [
        ("superseded", "mid", "by new"),
        ("superseded", "old", "by new"),
        ("interrupted", "last", ""),
    ]


def test_a_diverged_seed_is_counted_and_no_part_of_the_mean(
    make_run: MakeRun, compared: Compared
) -> None:
    for seed in (1, 2):
        make_run(seed=seed, result={"test_accuracy": 0.9})
    make_run("boom", seed=3, state="diverged", result={"test_accuracy": 0.0})
    comparison = compared()
    [row] = comparison.groups[0].rows
    assert [run.record.seed for run in row.diverged] == [3]
    assert row.summaries["test_accuracy"].values == (0.9, 0.9)
    assert comparison.left_out == ()


def test_a_run_that_diverged_before_another_completed_is_not_hidden(
    make_run: MakeRun, compared: Compared
) -> None:
    make_run("boom", state="diverged", started="2026-12-01T00:00:00+00:00")
    make_run("fine")
    comparison = compared()
    assert comparison.groups[0].rows[0].diverged == ()
    [item] = comparison.left_out
    assert (item.kind, item.label, item.why) == ("diverged", "boom", "though fine completed")


def test_an_experiment_that_only_diverged_is_a_row_without_numbers_and_last(
    make_run: MakeRun, compared: Compared
) -> None:
    make_run(name="a_boom", state="diverged")
    make_run(name="b_fine")
    rows = compared().groups[0].rows
    assert [row.name for row in rows] == ["b_fine", "a_boom"]
    assert all(summary.mean is None for summary in rows[1].summaries.values())


@pytest.mark.parametrize("state", ["interrupted", "failed", "running"])
def test_runs_that_did_not_end_are_named_and_never_a_row(
    make_run: MakeRun, compared: Compared, state: str
) -> None:
    make_run("this", state=state, why="disk full")
    comparison = compared()
    assert comparison.groups == ()
    [item] = comparison.left_out
    assert (item.kind, item.why) == ("killed" if state == "running" else state, "disk full")


def test_a_missing_value_leaves_no_mean_over_the_others(
    make_run: MakeRun, compared: Compared
) -> None:
    make_run(seed=1, result={"test_roc_auc": None})
    make_run(seed=2, result={"test_roc_auc": 0.9, "gap_loss": "Infinity"})
    [row] = compared().groups[0].rows
    assert row.summaries["test_roc_auc"].values == (None, 0.9)
    assert row.summaries["test_roc_auc"].mean is None
    assert row.summaries["gap_loss"].mean is None
    assert row.summaries["test_accuracy"].mean is not None


def test_sample_and_real_runs_are_never_in_one_group(make_run: MakeRun, compared: Compared) -> None:
    make_run(name="drawn", sample=True)
    make_run(name="photographed")
    assert [(g.sample, [r.name for r in g.rows]) for g in compared().groups] == [
        (False, ["photographed"]),
        (True, ["drawn"]),
    ]


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [
        ("photos", "aa", "bb"),
        ("split", "aa", "bb"),
        ("image_size", 64, 128),
        ("model", {"width": 1.0}, {"width": 0.5}),
        ("precision", "float32", "mixed_bfloat16"),
        ("epochs", 1, 2),
        ("device", "cpu", "gpu"),
    ],
)
def test_what_must_be_equal_separates_and_is_named(
    make_run: MakeRun, compared: Compared, field: str, one: object, other: object
) -> None:
    common = {"photos": "aa", "image_size": 64, "epochs": 1}
    make_run(comparable=common | {field: one})
    make_run(comparable=common | {field: other})
    groups = compared().groups
    assert len(groups) == 2
    name = "model.width" if field == "model" else field
    expected = {str(one), str(other)} if field != "model" else {"1.0", "0.5"}
    assert {value for group in groups for key, value in group.setting if key == name} == expected
    assert all(len(group.setting) == 1 for group in groups)


def test_a_field_only_some_recorded_separates_too(make_run: MakeRun, compared: Compared) -> None:
    make_run(comparable={"photos": "aa", "device": "cpu"})
    make_run(comparable={"photos": "aa"})
    settings = {group.setting for group in compared().groups}
    assert settings == {(("device", "cpu"),), (("device", "not recorded"),)}


def test_versions_and_hardware_that_differ_are_noted_and_still_ranked(
    make_run: MakeRun, compared: Compared
) -> None:
    make_run(name="a", provenance={"packages": {"numpy": "2.4.5"}, "threads": 2})
    make_run(name="b", provenance={"packages": {"numpy": "2.4.6"}, "threads": 2})
    make_run(name="b", seed=2, provenance={"packages": {"numpy": "2.4.6"}, "threads": 2})
    [group] = compared().groups
    [difference] = group.differences
    assert difference.field == "packages.numpy"
    assert difference.values == (("2.4.5", 1), ("2.4.6", 2))


@pytest.mark.parametrize("package", ["tensorflow", "keras"])
@pytest.mark.parametrize(
    ("one", "other", "values"),
    [
        ("2.20.0", "2.21.0", {"2.20.0", "2.21.0"}),
        ("2.20.0", None, {"2.20.0", "not recorded"}),
        (None, None, None),
    ],
    ids=["two versions", "one is not recorded", "neither is recorded"],
)
def test_versions_that_decide_numbers_separate_unless_allowed(
    make_run: MakeRun,
    compared: Compared,
    package: str,
    one: str | None,
    other: str | None,
    values: set[str] | None,
) -> None:
    for name, version in (("a", one), ("b", other)):
        make_run(name=name, provenance={"packages": {package: version} if version else {}})
    groups = compared().groups
    assert len(groups) == (1 if values is None else 2)
    if values is None:
        return
    assert {group.setting for group in groups} == {((package, value),) for value in values}
    [group] = compared(allow=[package]).groups
    assert [(item.field, {value for value, _ in item.values}) for item in group.allowed] == [
        (package, values)
    ]
    assert group.differences == ()  # said once


def test_runs_of_before_engines_were_recorded_are_of_tensorflow(
    make_run: MakeRun, compared: Compared
) -> None:
    make_run(name="old", comparable={"epochs": 1})
    make_run(name="new", comparable={"epochs": 1, "engine": "tensorflow"})
    assert len(compared().groups) == 1
    make_run(name="other", comparable={"epochs": 1, "engine": "jax"})
    assert {group.setting for group in compared().groups} == {
        (("engine", "tensorflow"),),
        (("engine", "jax"),),
    }


def test_a_record_of_another_format_is_in_no_table_and_both_formats_are_named(
    make_run: MakeRun, compared: Compared
) -> None:
    make_run(name="a")
    make_run("other", name="b", format=2)
    comparison = compared()
    assert [row.name for group in comparison.groups for row in group.rows] == ["a"]
    [item] = comparison.left_out
    assert item.label == "other"
    assert item.why.startswith("format must be 1, received: 2")


@pytest.mark.parametrize("other", ["random", "ee" * 32], ids=["random", "another file"])
def test_networks_that_start_from_another_source_are_in_another_table(
    make_run: MakeRun, compared: Compared, other: str
) -> None:
    make_run(name="a", comparable={"model": {"weights": "dd" * 32}})
    make_run(name="b", comparable={"model": {"weights": other}})
    assert {group.setting for group in compared().groups} == {
        (("model.weights", "dd" * 32),),
        (("model.weights", other),),
    }


def test_images_per_update_that_differ_are_noted(make_run: MakeRun, compared: Compared) -> None:
    make_run(name="a")
    make_run(name="b", images_per_update=64)
    [difference] = compared().groups[0].differences
    assert difference.field == "images per update"


SGD = {"description": "SGD 1e-4", "specification": {"name": "sgd", "learning_rate": 1e-4}}


def test_the_unusual_batch_size_is_said(make_run: MakeRun, compared: Compared) -> None:
    make_run(name="sgd", optimizer=SGD)
    make_run(name="sgd_batch64", optimizer=SGD, batch_size=64)
    make_run(name="adam")
    assert {row.name: row.distinctions for row in compared().groups[0].rows} == {
        "sgd": (),
        "sgd_batch64": ("batch 64",),
        "adam": (),
    }


def test_two_batch_sizes_as_common_are_both_said(make_run: MakeRun, compared: Compared) -> None:
    make_run(name="a", optimizer=SGD)
    make_run(name="b", optimizer=SGD, batch_size=64)
    distinctions = {row.distinctions for row in compared().groups[0].rows}
    assert distinctions == {("batch 16",), ("batch 64",)}


def test_rows_of_one_description_say_what_their_configurations_differ_in(
    make_run: MakeRun, compared: Compared
) -> None:
    for number, patience in enumerate(("null", "3")):
        folder = make_run(name=f"run{number}", optimizer=SGD)
        text = f"name: run{number}\ntraining: {{early_stopping_patience: {patience}, seed: 1}}\n"
        (folder / "config.yaml").write_text(text)
    assert {row.name: row.distinctions for row in compared().groups[0].rows} == {
        "run0": ("early_stopping_patience null",),
        "run1": ("early_stopping_patience 3",),
    }


def test_rows_of_one_description_say_what_their_optimizers_differ_in(
    make_run: MakeRun, compared: Compared
) -> None:
    for rate in (1.0e-4, 1.00001e-4):
        specification = {"name": "sgd", "learning_rate": rate}
        make_run(name=f"{rate}", optimizer={"description": "SGD", "specification": specification})
    distinctions = {row.distinctions for row in compared().groups[0].rows}
    assert distinctions == {("learning_rate 0.0001",), ("learning_rate 0.000100001",)}


def test_rows_that_nothing_on_disk_tells_apart_show_their_hash(
    make_run: MakeRun, compared: Compared
) -> None:
    make_run(name="a", optimizer=SGD, experiment="1234567890")
    make_run(name="b", optimizer=SGD, experiment="abcdefghij")
    distinctions = {row.distinctions for row in compared().groups[0].rows}
    assert distinctions == {("experiment 12345678",), ("experiment abcdefgh",)}


def test_a_renamed_experiment_stays_one_row(make_run: MakeRun, compared: Compared) -> None:
    make_run(name="old", experiment="same", seed=1, started="2026-01-01T00:00:00+00:00")
    make_run(name="new", experiment="same", seed=2, started="2026-01-02T00:00:00+00:00")
    [row] = compared().groups[0].rows
    assert (row.name, row.other_names, row.seeds) == ("new", ("old",), (1, 2))


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.key)
def test_sorting_puts_the_better_mean_first(
    make_run: MakeRun, compared: Compared, measure: object
) -> None:
    key, better = measure.key, measure.better  # type: ignore[attr-defined]
    make_run(name="small", result={key: 0.1})
    make_run(name="large", result={key: 0.2})
    make_run(name="a_none", result={key: None})
    expected = ["large", "small"] if better == "higher" else ["small", "large"]
    assert [row.name for row in compared(sort=key).groups[0].rows] == [*expected, "a_none"]


def test_rows_sort_by_name_optimizer_and_number_of_seeds(
    make_run: MakeRun, compared: Compared
) -> None:
    make_run(name="b", optimizer={"description": "alpha"})
    make_run(name="a", optimizer={"description": "Beta"})
    make_run(name="c", optimizer={"description": "gamma"})
    make_run(name="c", seed=2, optimizer={"description": "gamma"})
    orders = {
        sort: "".join(row.name for row in compared(sort=sort).groups[0].rows)
        for sort in ("name", "optimizer", "seeds")
    }
    assert orders == {"name": "abc", "optimizer": "bac", "seeds": "cab"}


def test_the_order_of_reading_changes_nothing(make_run: MakeRun, tmp_path: Path) -> None:
    for name, seed in itertools.product("ab", (1, 2)):
        make_run(f"{name}{seed}", name=name, seed=seed, comparable={"epochs": seed})
        make_run(f"{name}{seed}again", name=name, seed=seed, comparable={"epochs": seed})
    runs, _ = read_all([tmp_path / "results"])
    assert compare(runs) == compare(reversed(runs))
