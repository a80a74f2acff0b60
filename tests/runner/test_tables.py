"""What a comparison looks like: on terminals of any width, in Markdown, CSV and JSON."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from optrun.runner.compare import exports, render
from optrun.runner.compare import footnotes as captions
from optrun.runner.compare.comparison import Comparison, compare
from optrun.runner.compare.judgement import Verdict, verdict
from optrun.runner.runs.reader import read_all
from optrun.runner.verdict.metrics import BY_KEY, DEFAULT_METRIC, MEASURES

MakeRun = Callable[..., Path]
Compared = Callable[[], Comparison]

EVIL = "evil\x1b[2J|<script>`*_[link](x)[red]\u202e"


def verdicts(comparison: Comparison) -> list[Verdict]:
    return [verdict(group, BY_KEY[DEFAULT_METRIC]) for group in comparison.groups]


def shown(comparison: Comparison, *, width: int, styled: bool = False) -> str:
    return render.render(comparison, verdicts(comparison), width=width, styled=styled)


def in_markdown(comparison: Comparison) -> str:
    return render.markdown(comparison, verdicts(comparison))


def as_json(comparison: Comparison) -> str:
    return exports.json_text(comparison, verdicts(comparison))


@pytest.fixture
def compared(tmp_path: Path) -> Compared:
    return lambda: compare(*read_all([tmp_path / "results"]))


@pytest.fixture
def several(make_run: MakeRun, compared: Compared) -> Comparison:
    """Three experiments of two seeds, one of which diverged once."""
    for name, accuracy in (("sgd", 0.9), ("adam", 0.91234), ("lookahead_vgg19_wide", 0.95)):
        for seed, sign in ((1, -1), (2, 1)):
            shift = sign * 0.01
            make_run(
                name=name,
                seed=seed,
                optimizer={"description": f"{name.title()}, momentum 0.9, lr 1e-4"},
                result={"test_accuracy": accuracy + shift, "training_seconds": 6000 + 60 * sign},
            )
    make_run(name="sgd", seed=3, optimizer={"description": "Sgd"}, state="diverged")
    return compared()


@pytest.mark.parametrize("width", [48, 60, 80, 100, 120, 140, 160, 200, 300])
def test_at_every_width_all_numbers_are_whole_and_no_line_is_too_long(
    several: Comparison, width: int
) -> None:
    text = shown(several, width=width)
    assert max(map(len, but_commands(text))) <= width
    for number in ("90.0", "91.2", "95.0", "0.250", "0.9500", "100", "40.0", "100.0"):
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", text), number
    for title in {word for measure in MEASURES for word in " ".join(measure.title).split()}:
        assert title in text
    assert "…" not in text


def but_commands(text: str) -> list[str]:
    """The lines; a command has one of its own, whole, so that it can be copied."""
    return [line for line in text.splitlines() if not line.startswith("    optrun ")]


def test_a_command_is_never_cut(several: Comparison) -> None:
    text = shown(several, width=60)
    commands = [line for line in text.splitlines() if line.startswith("    optrun train ")]
    assert commands
    assert all(re.search(r" --seeds \d+-\d+( --results \S+)?$", line) for line in commands)


def test_at_160_columns_everything_stands_in_one_table(several: Comparison) -> None:
    text = shown(several, width=160)
    assert len(re.findall("^experiment", text, re.MULTILINE)) == 1


def test_the_rows_keep_their_order_and_names_in_every_part(several: Comparison) -> None:
    text = shown(several, width=80)
    names = re.findall(r"^(sgd|adam|lookahead_vgg19_wide)(?: {2}|$)", text, re.MULTILINE)
    parts = len(re.findall("^experiment", text, re.MULTILINE))
    assert parts > 1
    assert names == [row.name for row in several.groups[0].rows] * parts


def test_rows_of_one_name_are_told_apart_in_every_part_of_a_folded_table(
    make_run: MakeRun, compared: Compared
) -> None:
    for rate in ("1e-4", "3e-4", "1e-3", "3e-3"):
        make_run(name="sgd", experiment=rate, optimizer={"description": f"SGD {rate}"})
    make_run(name="adam", optimizer={"description": "Adam 1e-5"})
    text = shown(compared(), width=80)
    parts = len(re.findall("^experiment", text, re.MULTILINE))
    assert parts > 1
    for rate in ("1e-4", "3e-4", "1e-3", "3e-3"):
        assert len(re.findall(rf"^SGD {rate}\b", text, re.MULTILINE)) == parts
    assert len(re.findall("^Adam 1e-5", text, re.MULTILINE)) == 1  # its name tells it already


def test_what_is_missing_of_rows_of_one_name_is_said_of_each(
    make_run: MakeRun, compared: Compared
) -> None:
    for rate, area in (("1e-4", None), ("3e-4", 0.9)):
        make_run(
            name="sgd",
            experiment=rate,
            optimizer={"description": f"SGD {rate}"},
            result={"test_roc_auc": area},
        )
    [group] = compared().groups
    missing = [note for note in captions.notes(group, sort="name") if "missing" in note]
    assert len(missing) == 1
    assert missing[0].startswith("sgd (SGD 1e-4): test roc auc is missing")


def test_colours_are_used_only_where_asked_for(several: Comparison) -> None:
    plain = shown(several, width=100)
    styled = shown(several, width=100, styled=True)
    assert "\x1b" not in plain
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", styled)
    assert [line.rstrip() for line in stripped.splitlines()] == plain.splitlines()


def test_how_many_photos_an_accuracy_is_of_is_told(make_run: MakeRun, compared: Compared) -> None:
    photos = {"photos_by_part": {"test": 39}}
    make_run(name="adam", result={"test_accuracy": 25 / 39}, provenance=photos)
    make_run(name="sgd", result={"test_accuracy": 28 / 39}, provenance=photos)
    make_run(name="ranger", result={"test_accuracy": 28 / 39}, provenance=photos)
    text = shown(compared(), width=300)
    # One of 39 is 2.56 points. 28 of 39 by Clopper and Pearson, as R's binom.test gives it.
    said = (
        "Test accuracy is of 39 photos: one photo is 2.6 points, and a single run's 71.8 % may be "
    )
    assert f"{said}any from 55.1 to 85.0 % (95 % interval over photos)." in text
    assert f"- {said}" in in_markdown(compared())
    [table] = json.loads(as_json(compared()))["tables"]
    assert [run["test_photos"] for row in table["rows"] for run in row["runs"]] == [39] * 3


def test_where_photos_were_not_counted_nothing_is_said_of_them(several: Comparison) -> None:
    assert "Test accuracy is of" not in shown(several, width=300)


def test_a_best_epoch_whose_accuracy_is_below_the_last_ones_is_explained(
    make_run: MakeRun, compared: Compared
) -> None:
    said = "Best epoch: the one of the lowest validation loss, whose weights are kept and tested"
    make_run(name="sgd", result={"final_validation_accuracy": 0.875})
    assert said not in shown(compared(), width=300)
    make_run(name="adam", result={"final_validation_accuracy": 0.95})
    make_run(name="ranger", result={"final_validation_accuracy": 0.95})
    assert shown(compared(), width=300).count(said) == 1


def test_divergence_is_said_in_the_row(several: Comparison) -> None:
    assert "1 of 3 diverged (seed 3)" in shown(several, width=160)
    assert "1 of 3 diverged (seed 3)" in in_markdown(several)


def test_spreads_are_shown_and_explained_only_where_there_are_any(
    several: Comparison, make_run: MakeRun, tmp_path: Path
) -> None:
    text = shown(several, width=160)
    assert "90.0" in text
    assert "± 1.4" in text  # sqrt(2) of a percent
    assert "sample standard deviation" in text
    single = compare(read_all([make_run(name="one", seed=1)])[0])
    alone = shown(single, width=160)
    assert "±" not in alone


def test_a_small_spread_is_never_shown_as_zero(make_run: MakeRun, compared: Compared) -> None:
    for seed, accuracy in ((1, 0.9), (2, 0.9001)):
        make_run(seed=seed, result={"test_accuracy": accuracy})
    assert re.search(r"90\.0[01] ± 0\.01", in_markdown(compared()))


def test_no_number_is_a_dash_and_the_reason_is_given(make_run: MakeRun, compared: Compared) -> None:
    make_run(seed=1, result={"test_roc_auc": None})
    make_run(seed=2)
    text = in_markdown(compared())
    assert "| – |" in text
    assert "sgd: test roc auc is missing or impossible for seed 1" in text


def test_absurd_numbers_keep_the_table_whole(make_run: MakeRun, compared: Compared) -> None:
    make_run(result={"training_seconds": 1e99, "gap_loss": -1e50, "best_validation_loss": 1e12})
    text = shown(compared(), width=80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "1.00e+12" in text


def test_separate_tables_name_what_separates_them(make_run: MakeRun, compared: Compared) -> None:
    make_run(name="a", comparable={"image_size": 64, "epochs": 1})
    make_run(name="b", comparable={"image_size": 128, "epochs": 1})
    make_run(name="c", sample=True, comparable={"image_size": 64, "epochs": 9})
    text = shown(compared(), width=100)
    assert "3 tables, since the runs differ in the photos, image size" in text
    assert "Real photos · image size 64" in text
    assert "Real photos · image size 128" in text
    assert "Drawn sample, no real photos\n" in text


def test_runs_that_do_not_count_are_named_up_to_a_few(
    make_run: MakeRun, compared: Compared
) -> None:
    make_run()
    for number in range(6):
        make_run(f"stopped{number}", name="x", seed=number, state="interrupted")
    make_run("broken", state="failed", why="disk full")
    make_run("other", format=9)
    lines = captions.left_out(compared())
    assert lines == [
        "6 interrupted: stopped0, stopped1, stopped2 and 3 more",
        "1 failed: broken (disk full)",
        "1 unreadable: other (format must be 1, received: 9 (another version?))",
    ]


def test_seeds_are_written_as_ranges() -> None:
    assert captions.seeds_text([3, 1, 2, 7, 9, 10]) == "1-3, 7, 9-10"
    assert captions.seeds_text([0]) == "0"


@pytest.fixture
def hostile(make_run: MakeRun, compared: Compared) -> Comparison:
    for name in (EVIL, "=1+1", "x" * 5000):
        make_run(
            f"run{len(name)}",
            name=name,
            optimizer={"description": name},
            provenance={"packages": {name: name}},
            comparable={"image_size": 1},
        )
    make_run("two\nlines\x1b[31m", name=EVIL, comparable={EVIL: EVIL}, state="diverged")
    make_run("three", name=EVIL, state="failed", why=EVIL)
    return compared()


@pytest.mark.parametrize("width", [80, 160])
def test_hostile_names_reach_the_terminal_as_visible_text(hostile: Comparison, width: int) -> None:
    text = shown(hostile, width=width)
    assert text.replace("\n", "").isprintable()
    assert max(map(len, but_commands(text))) <= width
    assert "[red]" in "".join(text.split())


def test_hostile_names_stay_in_their_markdown_cell(hostile: Comparison) -> None:
    text = in_markdown(hostile)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert "<script" not in text
    assert "[link](" not in text.replace("\\[", "").replace("\\]", "")
    assert text.replace("\n", "").isprintable()


def test_csv_holds_full_precision_in_the_recorded_units(several: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(exports.csv_text(several, verdicts(several)))))
    assert [row["name"] for row in rows] == [row.name for row in several.groups[0].rows]
    adam = next(row for row in rows if row["name"] == "adam")
    assert float(adam["test_accuracy_fraction_mean"]) == pytest.approx(0.91234, rel=1e-15)
    assert float(adam["test_accuracy_fraction_spread"]) == pytest.approx(0.02 / 2**0.5)
    assert float(adam["training_seconds_mean"]) == 6000.0
    assert (adam["seeds_count"], adam["seeds"], adam["diverged_seeds"]) == ("2", "1 2", "")
    sgd = next(row for row in rows if row["name"] == "sgd")
    assert sgd["diverged_seeds"] == "3"


def test_csv_ends_with_the_verdict_on_each_row_and_of_the_baseline_none(
    make_run: MakeRun, compared: Compared
) -> None:
    for name, accuracy in (("sgd", 0.5), ("adam", 0.75), ("heun", 0.5)):
        for seed in range(1, 9 if name != "heun" else 3):
            make_run(name=name, seed=seed, result={"test_accuracy": accuracy})
    found = compared()
    rows = {
        row["name"]: row
        for row in csv.DictReader(io.StringIO(exports.csv_text(found, verdicts(found))))
    }
    names = ["metric", "baseline", "conclusion", "difference", "low", "high", "p_value"]
    names.append("p_adjusted")
    assert list(rows["sgd"])[-8:] == names
    # Eight differences of one sign: 2 of 256 choices of signs, and Holm's rule doubles it.
    assert [rows["adam"][name] for name in names] == [
        "test_accuracy", "sgd", "better", "0.25", "0.25", "0.25", "0.0078125", "0.015625",
    ]  # fmt: skip
    assert [rows["heun"][name] for name in names] == [
        "test_accuracy", "sgd", "no conclusion", "0.0", "", "", "1.0", "1.0",
    ]  # fmt: skip
    assert [rows["sgd"][name] for name in names] == ["test_accuracy", "sgd", *6 * [""]]


def test_csv_names_the_unit_of_every_measure() -> None:
    assert {measure.name_with_unit for measure in MEASURES} == {
        "best_validation_loss_nats",
        "best_validation_accuracy_fraction",
        "final_validation_accuracy_fraction",
        "test_accuracy_fraction",
        "test_log_loss_nats",
        "test_roc_auc",
        "gap_loss_nats",
        "gap_accuracy_fraction",
        "images_per_second",
        "gradient_evaluations",
        "training_seconds",
    }


def test_csv_text_is_no_formula(hostile: Comparison) -> None:
    for row in csv.DictReader(io.StringIO(exports.csv_text(hostile, verdicts(hostile)))):
        assert all(not (value or "").startswith(("=", "+", "-", "@")) for value in row.values())


def test_json_holds_everything_with_the_values_by_seed(several: Comparison) -> None:
    content = json.loads(as_json(several), parse_constant=pytest.fail)
    [table] = content["tables"]
    sgd = next(row for row in table["rows"] if row["name"] == "sgd")
    assert sgd["seeds"] == [1, 2]
    assert sgd["diverged_seeds"] == [3]
    assert sgd["measures"]["test_accuracy"]["values"] == [0.89, 0.91]
    assert [run["state"] for run in sgd["runs"]] == ["completed", "completed", "diverged"]
    assert {measure["key"] for measure in content["measures"]} == set(sgd["measures"])


def test_json_is_strict_whatever_lay_on_disk(make_run: MakeRun, compared: Compared) -> None:
    folder = make_run(comparable={"a": float("nan")}, optimizer={"description": EVIL})
    content = (folder / "run.json").read_text()
    (folder / "run.json").write_text(content.replace('"batch_size": 16', '"batch_size": 1e999'))
    json.loads(as_json(compared()), parse_constant=pytest.fail)
