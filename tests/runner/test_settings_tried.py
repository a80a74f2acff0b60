"""What each setting gave, and the best to be expected of fewer of them."""

import json
import math
import statistics
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from optrun.runner.compare.settings_tried import GUESS, expected_best, ranking_changes

MakeRun = Callable[..., Path]
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]


@pytest.mark.parametrize(
    "losses",
    [
        [0.4],
        [0.4, 0.1],
        [0.3, 0.3, 0.3],
        [0.5, 0.125, 0.6, 0.25, 0.125, 0.55, 0.0],
        [0.001 * (17 * place % 11) for place in range(10)],
    ],
    ids=["one", "two", "equal", "with-ties", "ten"],
)
def test_the_expected_best_is_the_mean_over_all_choices(losses: list[float]) -> None:
    exact = [Fraction(loss) for loss in losses]
    for count, found in enumerate(expected_best(losses), 1):
        lowest = [min(chosen) for chosen in combinations(exact, count)]
        assert found == pytest.approx(float(sum(lowest, Fraction()) / len(lowest)), rel=1e-12)
    assert len(expected_best(losses)) == len(losses)


def test_of_one_setting_it_is_the_mean_and_of_all_the_lowest_also_of_very_many() -> None:
    losses = [0.1 + 0.5 * (place * 389 % 1000) / 1000 for place in range(1000)]
    found = expected_best(losses)
    assert (found[0], found[-1]) == pytest.approx((statistics.fmean(losses), min(losses)))
    assert all(one >= following for one, following in pairwise(found))


def test_what_diverged_or_does_worse_counts_as_a_guess() -> None:
    assert pytest.approx(math.log(2)) == GUESS
    assert expected_best([0.2, None, 3.0]) == pytest.approx(
        [(0.2 + 2 * math.log(2)) / 3, (2 * 0.2 + math.log(2)) / 3, 0.2]
    )
    assert expected_best([None, None]) == pytest.approx([math.log(2)] * 2)
    assert expected_best([]) == []


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        ({"sgd": [5, 4, 1], "adam": [4, 3, 2]}, [(1, ["adam", "sgd"]), (3, ["sgd", "adam"])]),
        ({"sgd": [1, 1], "adam": [2, 2]}, [(1, ["sgd", "adam"])]),
        # Equals keep the ranking that they had, and only what all have is compared.
        ({"a": [2, 2, 0], "b": [1, 2]}, [(1, ["b", "a"])]),
        (
            {"a": [1, 1, 1], "b": [2, 3, 2], "c": [3, 2, 3]},
            [(1, ["a", "b", "c"]), (2, ["a", "c", "b"]), (3, ["a", "b", "c"])],
        ),
    ],
    ids=["leader", "never", "ties-and-lengths", "below"],
)
def test_the_ranking_changes_where_a_curve_crosses_another(
    curves: dict[str, list[float]], expected: list[tuple[int, list[str]]]
) -> None:
    assert ranking_changes(curves) == expected


@pytest.fixture
def tuned(make_run: MakeRun) -> Callable[..., None]:
    """A run whose setting was chosen, of those with losses by learning rate."""

    def make(name: str, losses: dict[str, float | None], **more: object) -> None:
        best = min(losses, key=lambda one: math.inf if (it := losses[one]) is None else it)
        tried = [
            {"settings": {"learning_rate": rate}, "best_validation_loss": loss}
            for rate, loss in losses.items()
        ]
        facts = {"tried": tried, "chosen": {"learning_rate": best}, "seeds": [1001]}
        make_run(name=name, provenance={"tuning": facts}, **more)

    return make


# Sorted by value, not as text nor as they were typed.
SGD = {"3e-2": None, "1e-4": 0.412, "3e-4": 0.391, "1e-3": 0.402}
ADAM = {"1e-4": 0.38, "3e-4": 0.42, "1e-3": 0.40, "3e-2": 0.43}


def test_each_settings_loss_stands_below_it_and_what_diverged_is_marked(
    tuned: Callable[..., None], optrun: Optrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned("sgd", SGD)
    tuned("adam", {rate: ADAM[rate] for rate in SGD})
    monkeypatch.setenv("COLUMNS", "80")
    lines = optrun("compare", tmp_path / "results")[1].splitlines()
    at = lines.index("Validation loss of the settings tried (* chosen)")
    cells = [line.split() for line in lines[at + 1 :]]
    assert cells[:3] == [
        ["learning_rate", "1e-4", "3e-4", "1e-3", "3e-2"],
        ["adam", "0.380*", "0.420", "0.400", "0.430"],
        ["sgd", "0.412", "0.391*", "0.402", "diverged"],
    ]
    expected = cells.index(["settings", "1", "2", "3", "4"])
    assert cells[expected + 1 : expected + 3] == [
        # Of 0.38, 0.40, 0.42 and 0.43: the mean, then 3, 2 and 1 sixths, then 3 and 1 fourths.
        ["adam", "0.407", "0.393", "0.385", "0.380"],
        # Likewise with 0.391, 0.402, 0.412 and, for what diverged, ln 2.
        ["sgd", "0.475", "0.398", "0.394", "0.391"],
    ]
    assert "(none counts for more than a guess, 0.693)" in " ".join(lines)
    # But for commands, which are whole.
    assert max(len(line) for line in lines if not line.startswith("    optrun ")) <= 80


def test_who_is_ahead_after_how_many_settings_is_said(
    tuned: Callable[..., None], optrun: Optrun, tmp_path: Path
) -> None:
    tuned("adam", {"1e-4": 0.30, "1e-3": 0.30, "1e-2": 0.30})
    tuned("sgd", {"1e-4": 0.10, "1e-3": 0.45, "1e-2": 0.48})
    words = " ".join(optrun("compare", tmp_path / "results")[1].split())
    # sgd: (0.10 + 0.45 + 0.48) / 3 = 0.343, then (2 * 0.10 + 0.45) / 3 = 0.217.
    assert "after 1 of 3 settings adam is ahead, from 2 on sgd." in words
    tuned("heun", {"1e-4": 0.9, "1e-3": 0.9, "1e-2": 0.31})
    tuned("rk23", {"1e-4": 0.5, "1e-3": 0.5, "1e-2": 0.5})
    words = " ".join(optrun("compare", tmp_path / "results")[1].split())
    # heun: (0.31 + 2 ln 2) / 3 = 0.565, then (2 * 0.31 + ln 2) / 3 = 0.438, below rk23's 0.5.
    assert "after 1 of 3 settings adam is ahead, from 2 on sgd." in words
    tuned("nadam", {"1e-4": 0.05, "1e-3": 0.05, "1e-2": 0.05})
    words = " ".join(optrun("compare", tmp_path / "results")[1].split())
    assert (
        "after 1 of 3 settings nadam is ahead, as after all 3; below it the order changes at 2."
    ) in words


def test_json_and_markdown_have_them_too_and_csv_is_as_before(
    tuned: Callable[..., None], make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    tuned("sgd", SGD)
    make_run(name="heun", provenance={})
    compare = ("compare", tmp_path / "results", "--format")
    [table] = json.loads(optrun(*compare, "json")[1])["tables"]
    rows = {row["name"]: row for row in table["rows"]}
    assert rows["heun"]["tried"] == rows["heun"]["expected_best"] == []
    assert [tuple(one.values()) for one in rows["sgd"]["tried"]] == [
        ({"learning_rate": "1e-4"}, 0.412, False),
        ({"learning_rate": "3e-4"}, 0.391, True),
        ({"learning_rate": "1e-3"}, 0.402, False),
        ({"learning_rate": "3e-2"}, None, False),
    ]
    assert rows["sgd"]["expected_best"] == pytest.approx([0.47454, 0.39817, 0.39375, 0.391], 1e-4)
    lines = optrun(*compare, "markdown")[1].splitlines()
    at = lines.index("| learning_rate | 1e-4 | 3e-4 | 1e-3 | 3e-2 |")
    assert lines[at + 1 : at + 3] == [
        "|---|---:|---:|---:|---:|",
        r"| sgd | 0.412 | 0.391\* | 0.402 | diverged |",
    ]
    assert "tried" not in optrun(*compare, "csv")[1]


def test_rows_of_other_settings_stand_apart_and_each_key_has_a_line(
    make_run: MakeRun, tuned: Callable[..., None], optrun: Optrun, tmp_path: Path
) -> None:
    tuned("sgd", SGD)
    tried = [
        {"settings": {"learning_rate": rate, "momentum": momentum}, "best_validation_loss": 0.5}
        for rate, momentum in (("0.1", "0.9"), ("0.1", "0"), ("0.01", "0"))
    ]
    facts = {"tried": tried, "chosen": {"learning_rate": "0.1", "momentum": "0"}}
    make_run(name="adam", provenance={"tuning": facts})
    lines = optrun("compare", tmp_path / "results")[1].splitlines()
    [at] = [place for place, line in enumerate(lines) if line.startswith("momentum ")]
    assert [line.split() for line in lines[at - 1 : at + 2]] == [
        ["learning_rate", "0.01", "0.1", "0.1"],
        ["momentum", "0", "0", "0.9"],
        ["adam", "0.500", "0.500*", "0.500"],
    ]
    [at] = [place for place, line in enumerate(lines) if line.split()[-1:] == ["3e-2"]]
    assert lines[at + 1].split() == ["sgd", "0.412", "0.391*", "0.402", "diverged"]
    assert sum(line.startswith("Validation loss of the settings tried") for line in lines) == 1


def test_of_many_settings_the_chosen_and_some_are_shown_and_json_has_all(
    tuned: Callable[..., None], optrun: Optrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {f"{rate}e-3": 0.2 + abs(rate - 40) / 1000 for rate in range(1, 101)}
    tuned("sgd", losses)
    monkeypatch.setenv("COLUMNS", "80")
    out = optrun("compare", tmp_path / "results")[1]
    assert "(* chosen), 13 of 100; --format json has all" in " ".join(out.split())
    assert "0.200*" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "settings      1      2      5     10     20     50    100" in out
    [table] = json.loads(optrun("compare", tmp_path / "results", "--format", "json")[1])["tables"]
    assert len(table["rows"][0]["tried"]) == len(table["rows"][0]["expected_best"]) == 100


@pytest.mark.parametrize(
    "facts",
    [
        {"tried": 3},
        {"tried": [1, None, {"settings": 5}, {}]},
        {"tried": [{"settings": {"a": {"b": 1}}, "best_validation_loss": "nan"}] * 2, "chosen": 1},
        {"tried": [{"settings": {"x" * 90: "y" * 90}, "best_validation_loss": 1e99}] * 3},
    ],
    ids=["number", "no-mappings", "no-loss", "long"],
)
def test_what_others_wrote_there_breaks_nothing(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path, facts: dict[str, object]
) -> None:
    make_run(name="sgd", provenance={"tuning": facts})
    make_run(name="adam", provenance={"tuning": facts})
    for layout in ("table", "markdown", "json", "csv"):
        code, _, err = optrun("compare", tmp_path / "results", "--format", layout)
        assert (code, err) == (0, "")
