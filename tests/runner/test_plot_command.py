"""`optrun plot`: what it writes, what it says, and what a person's mistakes get."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from optrun.runner.report.plot import groups_to_draw
from optrun.runner.runs.reader import read_all
from optrun.runner.ui import sparkline as sparklines
from optrun.runner.ui.sparkline import sparkline
from PIL import Image

MakeRun = Callable[..., Path]
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]


def record_epochs(run: Path, losses: Sequence[float], end: str = "") -> Path:
    events = [
        {"event": "epoch", "epoch": epoch, "updates": 10 * epoch, "validation_loss": loss}
        | {"validation_accuracy": 1 - loss, "training_loss": loss, "training_seconds": epoch}
        for epoch, loss in enumerate(losses, 1)
    ]
    text = "".join(json.dumps(one) + "\n" for one in events)
    (run / "metrics.jsonl").write_text(text + end)
    return run


def words(answer: Answer) -> str:
    return " ".join(answer[1].split())


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_runs_become_one_picture_and_sentences(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2, 3):
        record_epochs(make_run(name="sgd", seed=seed), [0.6, 0.5])
        record_epochs(make_run(name="adam", seed=seed), [0.6, 0.4])
    code, out, err = optrun("plot")  # results/ here
    assert (code, err) == (0, "")
    assert out.startswith("Wrote curves.png: 2 experiments, 6 runs\n")
    lowest = "validation loss is lowest with adam 0.400 (mean of 3 seeds), then sgd 0.500"
    assert lowest in " ".join(out.split())
    assert "accuracy" in out
    code, out, _ = optrun("plot", "results", "--metric", "validation_loss", "-o", "one.png")
    assert code == 0
    assert "accuracy" not in out
    one, whole = ((tmp_path / name).read_bytes() for name in ("one.png", "curves.png"))
    assert one != whole


@pytest.mark.parametrize(
    ("ending", "begins"), [(".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")]
)
def test_the_ending_is_the_format(
    ending: str, begins: bytes, make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    run = record_epochs(make_run(), [0.6, 0.5])
    path = tmp_path / f"curves{ending}"
    code, out, _ = optrun("plot", run, "--by", "updates", "-o", path)
    assert code == 0
    assert path.read_bytes().startswith(begins)
    assert "sgd: validation loss 0.600 after 10 updates, 0.500 after 20 updates, its best." in out


def test_a_run_that_is_not_over_is_drawn_as_far_as_it_goes(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    run = make_run(state="running", result=None, ended=None)
    record_epochs(run, [0.6, 0.5], end='{"event": "epo')
    code, out, _ = optrun("plot", run, "-o", tmp_path / "curves.png")
    assert code == 0
    assert "0.500 after 2 epochs" in out


def test_an_unfinished_run_takes_no_completed_ones_place(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    record_epochs(make_run(), [0.6, 0.5])
    later = make_run(state="interrupted", started="2026-11-21T15:30:00+00:00")
    record_epochs(later, [0.9])
    out = words(optrun("plot", tmp_path / "results", "-o", tmp_path / "curves.png"))
    assert "0.500 after 2 epochs" in out
    assert "1 run " in out


def test_a_run_that_is_at_work_does_not_put_its_experiment_last(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run(name="sgd", result={"best_validation_loss": 0.2})
    make_run(name="adam", result={"best_validation_loss": 0.3})
    make_run(name="sgd", seed=2, state="interrupted", result=None)
    [group] = groups_to_draw(read_all([tmp_path / "results"])[0])
    assert [(row.name, len(row.runs)) for row in group.rows] == [("sgd", 2), ("adam", 1)]


def test_tables_that_are_not_comparable_are_rows_of_their_own(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    record_epochs(make_run(), [0.6, 0.5])
    optrun("plot", tmp_path / "results", "-o", tmp_path / "one.png")
    record_epochs(make_run(sample=True), [0.7, 0.6])
    code, out, _ = optrun("plot", tmp_path / "results", "-o", tmp_path / "two.png")
    assert code == 0
    assert out.index("Real photos") < out.index("Drawn sample, no real photos")
    (width, height), (wide, high) = (size_of(tmp_path / name) for name in ("one.png", "two.png"))
    assert width == wide
    assert 1.9 * height < high < 2.2 * height


def test_trials_are_drawn_where_there_is_nothing_else(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    trial = make_run(seed=1001, provenance={"tuning": {"purpose": "tuning"}})
    record_epochs(trial, [0.6, 0.5])
    picture = tmp_path / "curves.png"
    assert "1 experiment, 1 run " in words(optrun("plot", tmp_path / "results", "-o", picture))
    record_epochs(make_run(), [0.6, 0.4])
    out = words(optrun("plot", tmp_path / "results", "-o", picture))
    assert "1 experiment, 1 run " in out
    assert "0.400 after 2 epochs" in out


def test_runs_side_by_side_have_no_seconds_to_draw(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    for seed in (1, 2):
        record_epochs(make_run(seed=seed), [0.6, 0.5])
    arguments = ("plot", tmp_path / "results", "-o", tmp_path / "curves.png", "--by")
    code, out, err = optrun(*arguments, "training-seconds")
    assert (code, out) == (2, "")
    assert "runs side by side have none" in err
    assert optrun(*arguments, "updates")[0] == 0


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("curves.jpg", "--output must end in .png, .svg or .pdf, received: "),
        ("curves", "--output must end in .png, .svg or .pdf, received: "),
        ("missing/curves.png", "--output must be a file that can be written, received: "),
        ("results/curves.png", "is a directory"),
    ],
)
def test_an_output_that_cannot_be_written_leaves_nothing(
    output: str, said: str, make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    record_epochs(make_run(), [0.6, 0.5])
    if output.startswith("results"):
        (tmp_path / output).mkdir()
    before = sorted(tmp_path.rglob("*"))
    code, out, err = optrun("plot", tmp_path / "results", "-o", tmp_path / output)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.name == "nt", reason="/dev/full is Linux's")
def test_a_full_disk_is_said(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    run = record_epochs(make_run(), [0.6, 0.5])
    monkeypatch.setattr("optrun.data.files.os.fsync", full)
    code, _, err = optrun("plot", run, "-o", tmp_path / "curves.png")
    assert code == 2
    assert "(No space left on device)" in err
    assert [one.name for one in tmp_path.iterdir()] == ["results"]


def test_nothing_to_draw_is_said(make_run: MakeRun, optrun: Optrun, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    picture = tmp_path / "curves.png"
    code, _, err = optrun("plot", tmp_path / "results", "-o", picture)
    assert code == 2
    assert "There is no run in" in err
    make_run(state="running", result=None)
    code, _, err = optrun("plot", tmp_path / "results", "-o", picture)
    assert code == 2
    assert "None of 1 run in" in err
    assert "has the end of an epoch yet to draw" in err
    assert optrun("plot", tmp_path / "nowhere", "-o", picture)[0] == 2
    assert not picture.exists()


def test_a_runs_loss_is_a_line_of_letters(
    make_run: MakeRun, optrun: Optrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record_epochs(make_run(), [0.7, 0.5, 0.35])
    told = "validation loss from 0.7000 to 0.3500, the lowest 0.3500"
    assert f"curve       █▄▁  {told}" in optrun("runs", "show", run)[1]
    monkeypatch.setattr(sparklines, "_can_show", lambda text: False)
    assert f"curve       #-_  {told}" in optrun("runs", "show", run)[1]
    record_epochs(run, [0.7])
    assert "curve " not in optrun("runs", "show", run)[1]


def test_a_line_of_letters_is_as_long_as_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparklines, "_can_show", lambda text: True)
    assert sparkline([float(one) for one in range(16)], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([0.5, 0.5], 8) == "▁▁"
    assert sparkline([None, None], 8) == ""
