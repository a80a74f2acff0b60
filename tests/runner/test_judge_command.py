"""`optrun judge`: the verdict on anyone's numbers, and what is told of numbers that are none."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

PUBLISHED = Path(__file__).parent / "published"
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]

SIX = "".join(f"adam,{seed},0.950{seed}\nsgd,{seed},0.9\n" for seed in range(1, 7))


def written(folder: Path, lines: str, header: str = "experiment,seed,test_accuracy\n") -> Path:
    path = folder / "numbers.csv"
    path.write_text(header + lines, encoding="utf-8")
    return path


def test_the_verdict_comes_first_in_words(optrun: Optrun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    file = PUBLISHED / "deepobs_quadratic_deep.csv"
    code, out, err = optrun("judge", file, "--baseline", "momentum")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("adam is worse than momentum: +0.07 test_loss [+0.03, +0.10], ")
    assert "worse in 10 of 10 seeds, p = 0.0039 (Holm, 2 comparisons)." in " ".join(lines)
    assert "momentum (baseline)     10   87.045 ± 0.025" in lines
    assert max(map(len, lines)) <= 80


def test_json_and_csv_hold_the_same(optrun: Optrun) -> None:
    file = PUBLISHED / "deepobs_cifar10_3c3d.csv"
    code, out, err = optrun("judge", file, "--format", "json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["metric"], found["better"], found["baseline"]) == (
        "test_accuracy", "higher", "sgd",
    )  # fmt: skip
    adam = next(one for one in found["comparisons"] if one["candidate"] == "adam")
    assert set(adam) >= {
        *("candidate", "baseline", "metric", "better", "seeds", "paired", "difference"),
        *("interval", "level", "p_value", "p_adjusted", "correlation", "conclusion", "needs_seeds"),
    }
    assert adam["p_value"] == pytest.approx(0.0215, abs=6e-5)
    assert adam["p_adjusted"] == 2 * adam["p_value"]
    assert adam["conclusion"] == "better"
    assert adam["interval"][0] > 0
    assert adam["level"] == 0.975
    rows = list(csv.DictReader(io.StringIO(optrun("judge", file, "--format", "csv")[1])))
    assert float(rows[0]["p_value"]) == adam["p_value"]
    assert (float(rows[0]["low"]), float(rows[0]["high"])) == tuple(adam["interval"])
    markdown = optrun("judge", file, "--format", "markdown")[1]
    assert markdown.startswith("**adam is better than sgd: ")


@pytest.mark.parametrize(
    ("header", "lines"),
    [
        ("\ufeffexperiment,seed,test_accuracy\r\n", SIX.replace("\n", "\r\n")),
        ("experiment;seed;test_accuracy\n", SIX.replace(",", ";").replace(".", ",")),
        ("experiment\tseed\ttest_accuracy\n", "\n" + SIX.replace(",", "\t") + "\n\n"),
        ("test_accuracy,seed,notes,experiment\n", "".join(
            f"{value},{seed},x,{name}\n"
            for name, seed, value in (line.split(",") for line in SIX.split())
        )),
    ],
    ids=["byte order mark", "decimal comma", "tabs", "other columns"],
)  # fmt: skip
def test_usual_ways_to_write_such_a_file_are_read(
    optrun: Optrun, tmp_path: Path, header: str, lines: str
) -> None:
    file = written(tmp_path, lines, header)
    code, out, err = optrun("judge", file, "--metric", "test_accuracy")
    assert (code, err) == (0, "")
    assert out.startswith("adam is better than sgd: +0.050 test_accuracy [")


@pytest.mark.parametrize(
    ("lines", "arguments", "said"),
    [
        ("", [], "there must be two experiments with numbers to compare, received: none"),
        ("sgd,1,0.5\n", [], "two experiments with numbers to compare, received: sgd"),
        ("sgd,1,0.5\nadam,1\n", [], "numbers.csv:3: must have 3 cells as the first line has, rec"),
        ("sgd,1,0.5\nadam,1,good\n", [], "numbers.csv:3: test_accuracy must be a number, received"),
        ("sgd,1,0.5\nadam,,0.5\n", [], "numbers.csv:3: must name a seed, received an empty cell"),
        (
            "sgd,1,0.5\nadam,2,0.6\nadam,2,0.7\n",
            [],
            "seed 2 of adam stands twice, in lines 3 and 4. A seed run again is not another seed",
        ),
        (SIX, ["--metric", "accuracy"], "received: test_accuracy. Did you mean test_accuracy?"),
        (SIX, ["--baseline", "sdg"], "--baseline must name one of the experiments, adam, sgd; rec"),
        (SIX.replace("sgd", "plain"), [], "--baseline must name one of the experiments, adam, pla"),
        (SIX, ["--seed-column", "run"], "must have a column run (--seed-column names another)"),
        (SIX, ["--margin", "0"], "Invalid value for '--margin'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_what_to_do(
    optrun: Optrun, tmp_path: Path, lines: str, arguments: list[str], said: str
) -> None:
    code, out, err = optrun("judge", written(tmp_path, lines), *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_what_is_no_file_of_text_is_told(optrun: Optrun, tmp_path: Path) -> None:
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xff")
    for name, said in (
        ("image.csv", "must be CSV in UTF-8"),
        (".", "must hold TensorBoard's event files, a folder for each run, called like adam-s3"),
        ("no.csv", "no no.csv"),
    ):
        code, _, err = optrun("judge", tmp_path / name)
        assert (code, said in err) == (2, True), err


def test_a_metric_whose_name_says_nothing_needs_a_direction(optrun: Optrun, tmp_path: Path) -> None:
    file = written(tmp_path, SIX, "experiment,seed,x\n")
    code, _, err = optrun("judge", file)
    assert code == 2
    assert "--better must say whether higher or lower values of x are better" in err
    assert "adam is worse than sgd" in optrun("judge", file, "--better", "lower")[1]


def test_values_that_are_not_finite_are_told_and_part_of_no_mean(
    optrun: Optrun, tmp_path: Path
) -> None:
    lines = SIX.replace("adam,3,0.9503", "adam,3,nan").replace("sgd,5,0.9", "sgd,5,")
    code, out, _ = optrun("judge", written(tmp_path, lines))
    assert code == 0
    assert "better in 4 of 4 seeds" in " ".join(out.split())
    assert "2 lines have no finite test_accuracy and have no part in any mean: adam, seed 3" in out
    assert "4 paired seeds can never give p < 0.05; 6 seeds each can" in " ".join(out.split())


def test_seeds_that_only_one_of_two_has_are_said_to_have_no_part(
    optrun: Optrun, tmp_path: Path
) -> None:
    file = written(tmp_path, SIX + "adam,7,0.96\nadam,8,0.96\n")
    notes = json.loads(optrun("judge", file, "--baseline", "sgd", "--format", "json")[1])["notes"]
    said = "adam and sgd: 8 and 6 seeds, 6 in common; the others are no part of the verdict."
    assert said in notes
