"""Small committed runs of every kind: what `optrun compare` makes of them, in each format.

After a deliberate change of an output, or of the records, make them anew and read the difference:

    python tests/runner/records/make.py && git diff tests/runner/records
"""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

RECORDS = Path(__file__).parent / "records"
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]
PHOTO = 1 / 512  # by which an accuracy differs


@pytest.fixture(scope="module")
def make() -> ModuleType:
    specification = importlib.util.spec_from_file_location("make", RECORDS / "make.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def compared(
    make: ModuleType, optrun: Optrun, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """The output of the comparison of all records, as a person at 80 columns gets it."""
    monkeypatch.chdir(RECORDS)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*more: str) -> str:
        code, out, err = optrun(*make.ARGUMENTS, *more)
        assert (code, err) == (0, "")
        return out

    return call


@pytest.fixture
def tables(compared: Callable[..., str]) -> list[dict[str, Any]]:
    return json.loads(compared("--format", "json"))["tables"]


def test_the_records_are_those_that_their_script_makes(make: ModuleType) -> None:
    there = {path.parent.name: path.read_text() for path in make.RUNS.glob("*/*")}
    assert there == dict(make.folders())


@pytest.mark.parametrize(("layout", "ending"), [("table", "txt"), ("markdown", "md"), ("csv",) * 2])
def test_the_output_is_the_committed_one(
    compared: Callable[..., str], layout: str, ending: str
) -> None:
    assert compared("--format", layout) == (RECORDS / f"expected.{ending}").read_text("utf-8")


def test_json_is_the_committed_one(compared: Callable[..., str]) -> None:
    def read(text: str) -> Any:
        # The last digits of a correlation are a processor's own.
        return json.loads(text, parse_float=lambda number: round(float(number), 9))

    expected = (RECORDS / "expected.json").read_text("utf-8")
    assert read(compared("--format", "json")) == read(expected)


@pytest.mark.parametrize(
    ("epochs", "candidate", "conclusion", "photos", "p_value"),
    [
        # All seven differences have one sign: 2 of 2^7 choices of signs.
        (3, "lookahead", "better", 11, 2 / 2**7),
        (3, "adam", "worse", -17, 2 / 2**7),
        # They cancel out, so that every choice is as far from 0 as what was seen.
        (3, "heun", "no conclusion", 0, 1),
        (3, "radam", "no difference beyond margin", 0, 1),
        # The one seed in common, 3: 458 photos against 452.
        (1, "nadam", "no conclusion", 6, 1),
        (1, "soft_batch", "no conclusion", 8, 1),
    ],
)
def test_what_is_concluded_is_what_one_computes_by_hand(
    tables: list[dict[str, Any]],
    epochs: int,
    candidate: str,
    conclusion: str,
    photos: int,
    p_value: float,
) -> None:
    [one] = [
        one
        for table in tables
        if table["photos"] == "real" and table["comparable"]["epochs"] == epochs
        for one in table["comparisons"]
        if one["candidate"] == candidate
    ]
    assert one["conclusion"] == conclusion
    assert one["difference"] == pytest.approx(photos * PHOTO, abs=1e-12)
    assert one["p_value"] == pytest.approx(p_value)
    assert one["paired"]


def test_values_that_are_no_pairs_are_dealt_out_anew(tables: list[dict[str, Any]]) -> None:
    [one] = [one for table in tables if table["photos"] == "sample" for one in table["comparisons"]]
    # All four of one are above all four of the other: 2 of the 70 ways to choose four of eight.
    assert (one["paired"], one["seeds"]) == (False, [4, 4])
    assert one["p_value"] == pytest.approx(2 / 70)
    assert one["difference"] == pytest.approx((421.5 - 403) * PHOTO)


@pytest.mark.parametrize(
    ("baseline", "judged", "not_judged"),
    [
        ("sgd", "soft_batch", "sgd_batch64"),
        ("sgd_batch64", "soft_batch", "sgd"),
        ("soft_batch", "sgd", None),
        ("soft_batch", "sgd_batch64", None),
    ],
)
def test_soft_batch_is_set_against_both_batch_sizes(
    compared: Callable[..., str], baseline: str, judged: str, not_judged: str | None
) -> None:
    tables = json.loads(compared("--baseline", baseline, "--format", "json"))["tables"]
    [table] = [table for table in tables if table["comparable"]["epochs"] == 1]
    candidates = {one["candidate"] for one in table["comparisons"]}
    assert judged in candidates
    assert not_judged not in candidates


def test_the_verdict_of_the_study_is_what_compare_says_of_its_records(
    optrun: Optrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).resolve().parents[2]
    monkeypatch.chdir(root)
    study = Path("docs", "study")
    code, out, _ = optrun("compare", study / "records", "--format", "markdown")
    assert code == 0
    assert out == (study / "verdict.md").read_text()
    comparisons = json.loads(optrun("compare", study / "records", "--format", "json")[1])
    concluded = [
        one["candidate"]
        for one in comparisons["tables"][0]["comparisons"]
        if one["conclusion"] != "no conclusion"
    ]
    assert concluded == ["sample-adagrad_vgg19"]
