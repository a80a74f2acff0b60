"""Figures against numbers worked out by hand, and as pictures: what the data say is drawn."""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from optrun.runner.compare.comparison import Group, compare
from optrun.runner.compare.judgement import verdict
from optrun.runner.report import costs, curves, over_seeds, style, tuned
from optrun.runner.report.figure import Figure
from optrun.runner.runs.event_log import read_steps
from optrun.runner.runs.reader import read_all
from optrun.runner.verdict.metrics import BY_KEY
from PIL import Image

MakeRun = Callable[..., Path]
MakeCurves = Callable[..., None]


@pytest.fixture
def make_curves(make_run: MakeRun) -> MakeCurves:
    """Runs of an experiment, seeds from 1, of each its validation losses by epoch."""

    def make(
        name: str,
        *losses: Sequence[float],
        states: Mapping[int, str] | None = None,
        fast: float | None = None,
        steps: Sequence[float] = (),
        tried: Sequence[tuple[str, float | None]] = (),
        cost: int = 10,
    ) -> None:
        for seed, of_seed in enumerate(losses, 1):
            tuning = {
                "chosen": {"learning_rate": tried[0][0] if tried else None},
                "tried": [
                    {"settings": {"learning_rate": rate}, "best_validation_loss": loss}
                    for rate, loss in tried
                ],
            }
            run = make_run(
                name=name,
                seed=seed,
                state=(states or {}).get(seed, "completed"),
                steps_per_epoch=10,
                optimizer={"description": name.title(), "specification": {"name": name}},
                provenance={"initial_weights": f"w{seed}", "first_batches": f"b{seed}"}
                | ({"tuning": tuning} if tried else {}),
                result={
                    "test_accuracy": 1 - of_seed[-1],
                    "gradient_evaluations": cost * len(of_seed),
                },
            )
            events: list[dict[str, Any]] = [
                {"event": "step", "step": 5 * number, "updates": 5 * number, "loss": loss}
                for number, loss in enumerate(steps, 1)
            ]
            events += [
                {
                    "event": "epoch",
                    "epoch": epoch,
                    "updates": 10 * epoch,
                    "training_seconds": 2.0 * epoch + seed,
                    "validation_loss": loss,
                    "validation_accuracy": 1 - loss,
                    "training_loss": loss / 2,
                    "training_subset_loss": loss - 0.1 * epoch,
                    "training_subset_accuracy": 1 - loss + 0.01 * seed,
                    "slow_validation_loss": None if fast is None else loss,
                    "fast_validation_loss": None if fast is None else loss + fast,
                }
                for epoch, loss in enumerate(of_seed, 1)
            ]
            (run / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))

    return make


@pytest.fixture
def table(tmp_path: Path) -> Callable[[], Group]:
    """The one table of tmp_path/results."""

    def read() -> Group:
        runs, _ = read_all([tmp_path / "results"])
        [group] = compare(runs).groups
        return group

    return read


def drawn(figure: Figure | None) -> Axes:
    assert figure is not None
    axes = Picture().add_subplot()
    figure.draw(axes)
    return axes


def labelled(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """The points of the lines that a legend names."""
    return {
        str(line.get_label()): [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]
        for line in axes.lines
        if not str(line.get_label()).startswith("_")
    }


def test_mean_and_band_are_those_of_the_completed_seeds(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    make_curves("sgd", [0.9, 0.5], [0.7, 0.4], [0.8, 0.6], [0.2, 9.0], states={4: "diverged"})
    figure = curves.learning_curves(table(), "updates", "validation_loss")
    axes = drawn(figure)
    [(name, points)] = labelled(axes).items()
    assert name == "sgd, 3 seeds, 1 diverged"
    assert points == [(10, pytest.approx(0.8)), (20, pytest.approx(0.5))]
    [band] = axes.collections
    edges = np.asarray(band.get_paths()[0].vertices)
    at_first = sorted({round(float(y), 9) for x, y in edges if x == 10})
    deviation = statistics.stdev([0.9, 0.7, 0.8])
    assert at_first == [pytest.approx(0.8 - deviation), pytest.approx(0.8 + deviation)]
    assert figure is not None
    means = [row[2:] for row in figure.rows if row[1] == "mean of 3"]
    assert means[0] == tuple(map(pytest.approx, (10, 0.8, 0.8 - deviation, 0.8 + deviation)))
    # A loss that ran away is not what the others are measured by.
    assert axes.get_ylim()[1] < 1.1


def test_every_seed_is_a_line_with_all_of_its_points(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    make_curves("sgd", [0.9, 0.5, 0.4], [0.7, 0.4, 0.3])
    axes = drawn(curves.learning_curves(table(), "epochs", "validation_accuracy"))
    seen = [tuple(np.asarray(line.get_ydata()).round(6)) for line in axes.lines]
    assert (10.0, 50.0, 60.0) in seen
    assert (30.0, 60.0, 70.0) in seen
    assert axes.get_xlabel() == "epochs"
    assert axes.get_ylabel() == "validation accuracy (%)"


def test_very_many_seeds_are_a_mean_and_a_band_alone(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    make_curves("sgd", *([0.9, 0.5] for _ in range(60)), [0.9, 0.5], states={61: "diverged"})
    figure = curves.learning_curves(table(), "epochs", "validation_loss")
    assert figure is not None
    assert figure.reading.startswith("Thick: the mean over seeds. Band: ")
    # The mean, the one that diverged, and its mark.
    assert len(drawn(figure).lines) == 3


def test_a_mean_goes_as_far_as_all_of_its_seeds(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    make_curves("sgd", [0.9, 0.5, 0.4], [0.7, 0.4])
    [points] = labelled(
        drawn(curves.learning_curves(table(), "epochs", "validation_loss"))
    ).values()
    assert [x for x, _ in points] == [1, 2]


def test_the_training_loss_is_that_of_the_steps_where_these_were_recorded(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    make_curves("sgd", [0.9, 0.5], steps=[0.8, 0.6, 0.5, 0.3])
    make_curves("adam", [0.9, 0.5])
    lines = labelled(drawn(curves.learning_curves(table(), "epochs", "training_loss")))
    assert lines["sgd, 1 seed"] == [(0.5, 0.8), (1.0, 0.6), (1.5, 0.5), (2.0, 0.3)]
    assert lines["adam, 1 seed"] == [(1, 0.45), (2, 0.25)]


def test_many_records_of_steps_become_means_of_several(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    losses = [1 / (1 + number) for number in range(250)]
    make_curves("sgd", [0.9], steps=losses)
    [points] = labelled(drawn(curves.learning_curves(table(), "updates", "training_loss"))).values()
    assert len(points) == 83
    assert points[0] == (15, pytest.approx(statistics.fmean(losses[:3])))


def test_of_very_many_steps_every_second_or_fourth_is_read(make_run: MakeRun) -> None:
    run = make_run()
    lines = [json.dumps({"event": "step", "step": number}) for number in range(1, 9001)]
    (run / "metrics.jsonl").write_text("\n".join(lines) + '\n{"event": "step", "st')
    steps = [one["step"] for one in read_steps(run)]
    assert steps[:2] == [4, 8]
    assert steps[-1] == 9000
    assert set(np.diff(steps)) == {4}


def test_the_finding_ranks_by_the_means_within_what_all_have(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    make_curves("sgd", [0.9, 0.5, 0.1], [0.7, 0.4, 0.1])
    make_curves("adam", [0.8, 0.3])
    figure = curves.learning_curves(table(), "epochs", "validation_loss")
    assert figure is not None
    assert figure.finding == (
        "After 2 epochs, the most that all have, validation loss is lowest with adam 0.300 "
        "(1 seed), then sgd 0.450 (mean of 2 seeds); not tested for significance."
    )


def test_slow_weights_stand_beside_the_fast_ones(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    make_curves("sgd", [0.9, 0.5])
    assert curves.slow_and_fast(table()) is None
    make_curves("lookahead", [0.8, 0.4], [0.6, 0.2], fast=0.25)
    figure = curves.slow_and_fast(table())
    means = [
        np.asarray(line.get_ydata()) for line in drawn(figure).lines if line.get_marker() != "None"
    ]
    assert [mean.tolist() for mean in means] == [
        [pytest.approx(0.7), pytest.approx(0.3)],
        [pytest.approx(0.95), pytest.approx(0.55)],
    ]
    assert figure is not None
    assert figure.finding == (
        "lookahead: the loss of the slow weights is, as a mean over seeds, 0.25 below that of the "
        "fast ones after epoch 1 (below in 2 of 2 seeds), 0.25 below that of the fast ones after "
        "epoch 2 (below in 2 of 2 seeds)."
    )


def test_pairs_of_seeds_are_joined_and_the_worse_ones_dotted(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    make_curves("sgd", *([0.5 + seed / 100] for seed in range(6)))
    make_curves("adam", *([0.4 + seed / 50] for seed in range(6)))  # seed 6 is as good
    group = table()
    figure = over_seeds.seeds(group, verdict(group, BY_KEY["test_accuracy"]))
    axes = drawn(figure)
    pairs = [line for line in axes.lines if len(line.get_xdata()) == 2]
    assert [line.get_linestyle() for line in pairs].count("-") == 6
    assert [tuple(np.asarray(line.get_xdata()).round(6)) for line in pairs[:2]] == [
        (50.0, 60.0),
        (49.0, 58.0),
    ]
    assert figure is not None
    assert figure.finding.startswith("adam is better than sgd: +7.5")
    assert figure.rows[-1][3] == pytest.approx(5.0)


def test_the_target_is_the_baselines_median_and_a_miss_is_marked(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    make_curves("sgd", [0.5, 0.2], [0.5, 0.2], [0.1, 0.3])
    make_curves("adam", [0.1, 0.1], [0.9, 0.8], [0.9, 0.1])
    figure = costs.time_to_target(table(), "updates")
    assert figure is not None
    assert {row[:2]: row[2] for row in figure.rows} == {
        ("sgd", 1): 20,
        ("sgd", 2): 20,
        ("sgd", 3): 10,
        ("adam", 1): 10,
        ("adam", 2): "never",
        ("adam", 3): 20,
    }
    assert "adam 20 updates (1 of 3 never)" in figure.finding
    crosses = [line for line in drawn(figure).lines if line.get_marker() == "x"]
    assert sum(len(line.get_xdata()) for line in crosses) == 1


def test_cost_names_those_that_none_beats_on_both(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    make_curves("sgd", [0.3], [0.5])
    make_curves("heun", [0.2], cost=20)
    make_curves("slow", [0.35], cost=30)
    figure = costs.cost(table())
    assert figure is not None
    assert "sgd (60.0 % for 10), heun (80.0 % for 20); not" in figure.finding
    assert labelled(drawn(figure))["sgd, 2 seeds"] == [(10, pytest.approx(60.0))]


def test_sensitivity_marks_what_diverged_and_the_edge(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    make_curves("sgd", [0.3], tried=[("1e-2", 0.4), ("1e-3", 0.5), ("1e-1", None)])
    make_curves("adam", [0.3], tried=[("1e-3", 0.2), ("1e-4", 0.5)])
    figure = tuned.sensitivity(table())
    assert figure is not None
    assert "sgd: lowest, 0.400, at learning rate 0.01, 1 of 3 diverged" in figure.finding
    assert (
        "adam: lowest, 0.200, at learning rate 0.001, the edge of what was tried" in figure.finding
    )
    axes = drawn(figure)
    assert labelled(axes)["sgd"] == [(0.001, 0.5), (0.01, 0.4)]
    [cross] = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert np.asarray(cross.get_xdata()).tolist() == [0.1]
    best = tuned.expected_best(table())
    [*_, last] = labelled(drawn(best))["adam"]
    assert last == (2, pytest.approx(0.2))
    assert labelled(drawn(best))["adam"][0] == (1, pytest.approx(0.35))


def test_the_gap_says_whether_a_loss_rose_again(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    make_curves("sgd", [0.5, 0.4, 0.3], [0.5, 0.4, 0.302])
    figure = over_seeds.generalisation_gap(table())
    assert figure is not None
    assert "sgd +0.300 (mean of 2 seeds)" in figure.finding
    assert "None over-fitted" in figure.finding
    make_curves("adam", [0.5, 0.2, 0.3], [0.5, 0.4, 0.3])
    figure = over_seeds.generalisation_gap(table())
    assert figure is not None
    assert "over-fitted, with adam (1 of 2 seeds)." in figure.finding
    accuracy = over_seeds.generalisation_gap(table(), "accuracy")
    [*_, last] = labelled(drawn(accuracy))["sgd, 2 seeds"]
    assert last == (3, pytest.approx(1.5))


def two(make_curves: MakeCurves, table: Callable[[], Group]) -> list[Figure]:
    make_curves("_$x_{", [0.9, 0.5], [0.7, 0.4], [0.7, 0.6], fast=0.1)
    make_curves("sgd <&> 名", [0.8, 0.3])
    group = table()
    found = [
        curves.learning_curves(group, "epochs", "validation_loss"),
        curves.slow_and_fast(group),
    ]
    return [one for one in found if one is not None]


@pytest.mark.parametrize("ending", style.ENDINGS)
def test_the_same_figures_are_the_same_bytes(
    ending: str, make_curves: MakeCurves, table: Callable[[], Group], tmp_path: Path
) -> None:
    figures = two(make_curves, table)
    paths = [tmp_path / f"{name}{ending}" for name in "ab"]
    for path in paths:
        style.save([("Real photos", figures)], path, size="two-columns")
    one, other = (path.read_bytes() for path in paths)
    assert one == other
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        f"a{ending}",
        f"b{ending}",
    ]


@pytest.mark.parametrize("size", sorted(style.SIZES))
@pytest.mark.parametrize("theme", sorted(style.THEMES))
def test_a_picture_is_not_empty_and_ends_before_its_edges(
    size: str, theme: str, make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    content = style.encoded([("", two(make_curves, table))], ".png", size=size, theme=theme)
    pixels = np.asarray(Image.open(BytesIO(content)).convert("RGB")).astype(int)
    ground = [int(style.THEMES[theme].ground[at : at + 2], 16) for at in (1, 3, 5)]
    differs = np.abs(pixels - ground).sum(-1) > 30
    assert 0.01 < differs.mean() < 0.5
    for edge in (differs[:2], differs[-2:], differs[:, :2], differs[:, -2:]):
        assert not edge.any()


def test_a_legend_names_what_begins_with_an_underscore_and_is_no_formula(
    make_curves: MakeCurves, table: Callable[[], Group]
) -> None:
    svg = style.encoded([("", two(make_curves, table))], ".svg").decode()
    assert "_$x_{, 3 seeds" in svg
    assert "sgd &lt;&amp;&gt; 名" in svg


def luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", sorted(style.THEMES))
def test_lines_stand_out_from_the_ground_and_are_told_apart_without_colour(theme: str) -> None:
    found = style.THEMES[theme]
    for colour in (*found.cycle, found.text):
        lower, higher = sorted((luminance(colour), luminance(found.ground)))
        assert (higher + 0.05) / (lower + 0.05) >= 3
    looks = [style.look(place) for place in range(style.MOST_LOOKS)]
    assert len({look["marker"] for look in looks}) == style.MOST_LOOKS
    neighbours = pairwise(looks)
    assert all(str(one["linestyle"]) != str(other["linestyle"]) for one, other in neighbours)
    assert math.gcd(len(found.cycle), 4) == 1  # so that colour and dash together recur late
