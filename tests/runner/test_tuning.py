"""Settings tried, equally many for each experiment, and the best chosen by validation alone."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from optrun.optimizers.specification import parse
from optrun.runner.errors import UserError
from optrun.runner.plan import tuning
from optrun.runner.verdict.metrics import TUNED_BY

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MakeRun = Callable[..., Path]
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]


def test_a_grid_is_all_combinations() -> None:
    found = tuning.grid(["learning_rate=1e-4, 3e-4", "model.width=0.5,1"])
    assert [tuple(one.values()) for one in found] == [
        ("1e-4", "0.5"), ("1e-4", "1"), ("3e-4", "0.5"), ("3e-4", "1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([""], "must be like learning_rate=1e-4,3e-4,1e-3, received: nothing"),
        (["learning_rate="], "must be like learning_rate=1e-4"),
        (["learning_rate=1,,2"], "must be like learning_rate=1e-4"),
        (["a=1,2", "a=3"], "states a twice"),
        (["a=1,1"], "has a value twice"),
        ([f"{key}=1,2,3,4,5,6,7,8,9,10" for key in "abcd"], "at most 1,000 settings"),
    ],
)
def test_a_grid_that_is_none_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        tuning.grid(texts)


@pytest.mark.parametrize("text", ["a", "a=1", "a=1..", "a=2..1", "a=0..1", "a=x..y", "a=1..1"])
def test_a_range_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"must be like learning_rate=1e-5\.\.1e-2"):
        tuning.sampled([text], 3)


@pytest.mark.parametrize("count", [2, 9, 64])
@pytest.mark.filterwarnings("error")
def test_a_range_is_filled_evenly_on_a_logarithmic_scale_and_always_alike(count: int) -> None:
    found = tuning.sampled(["learning_rate=1e-5..1e-1"], count)
    assert found == tuning.sampled(["learning_rate=1e-5..1e-1"], count)
    values = np.sort([np.log10(float(one["learning_rate"])) for one in found])
    assert len(values) == count
    assert -5 <= values[0] < values[-1] <= -1
    assert np.diff([-5, *values, -1]).max() < 4 * 4 / count


@pytest.mark.parametrize(
    ("optimizer", "key", "path"),
    [
        ({"name": "sgd", "learning_rate": 0.1}, "learning_rate", "optimizer.learning_rate"),
        (
            {"name": "sgd", "learning_rate": {"schedule": "cosine", "initial_learning_rate": 0.1}},
            "learning_rate",
            "optimizer.learning_rate.initial_learning_rate",
        ),
        (
            {"name": "lookahead", "inner_optimizer": {"name": "adam", "learning_rate": 0.1}},
            "learning_rate",
            "optimizer.inner_optimizer.learning_rate",
        ),
        (
            {"name": "lookahead", "inner_optimizer": {"name": "adam", "learning_rate": 0.1}},
            "sync_period",
            "optimizer.sync_period",
        ),
        ({"name": "sgd", "learning_rate": 0.1}, "model.width", "model.width"),
    ],
)
def test_a_key_is_the_optimizers_own_wherever_it_lies(optimizer: dict, key: str, path: str) -> None:
    assert ".".join(tuning._path(key, parse(optimizer).as_mapping())) == path


def test_a_multiple_is_of_each_optimizers_own_value() -> None:
    own = parse({"name": "lookahead", "inner_optimizer": {"name": "adam", "learning_rate": 2e-3}})
    trials = tuning.grid(["learning_rate=x0.25,x1,x3"])
    found = [one["learning_rate"] for one in tuning._resolved(trials, own.as_mapping())]
    assert found == ["0.0005", "0.002", "0.006"]


@pytest.mark.parametrize("text", ["name=x2", "nesterov=x2", "learning_rate=x0", "model.width=x2"])
def test_a_multiple_of_what_is_no_number_is_refused(text: str) -> None:
    own = parse({"name": "sgd", "learning_rate": 0.1, "nesterov": False}).as_mapping()
    with pytest.raises(UserError, match=r"must be a multiple, such as x0\.3 or x3"):
        tuning._resolved(tuning.grid([text]), own)


SMALL = ("data.image_size=32", "data.limit=60", "model.trainable=head", "training.epochs=1")


@pytest.mark.usefixtures("shallow_network")
def test_the_best_by_validation_trains_with_the_seeds_of_the_verdict(
    tmp_path: Path, optrun: Optrun
) -> None:
    sets = [part for one in SMALL for part in ("--set", one)]
    train = (
        "train", CONFIGS / "sgd_vgg19.yaml", "--sample", *sets, "--results", tmp_path,
        "--grid", "learning_rate=1e-9,0.5", "--tune-seeds", "7-7", "--seeds", "1",
    )  # fmt: skip
    code, out, _ = optrun(*train, "--dry-run")
    assert (code, list(tmp_path.iterdir())) == (0, [])
    assert "Then the best of each, by its validation loss, with 1 seed: 1 run more." in out
    assert "can never give" not in out

    code, out, err = optrun(*train)
    assert (code, err) == (0, "")
    records = [json.loads((run / "run.json").read_text()) for run in tmp_path.iterdir()]
    trials = [one for one in records if one["seed"] == 7]
    [final] = [one for one in records if one["seed"] == 1]
    losses = {
        one["provenance"]["tuning"]["settings"]["learning_rate"]: one["result"][TUNED_BY]
        for one in trials
    }
    best = min(losses, key=losses.__getitem__)
    assert final["provenance"]["tuning"]["chosen"] == {"learning_rate": best}
    stated = final["optimizer"]["specification"]["learning_rate"]["initial_learning_rate"]
    assert stated == float(best)
    assert f"learning_rate {best}, of 2 settings (validation loss {losses[best]:.4f})" in out

    code, out, _ = optrun(*train, "--resume")
    assert (code, len(list(tmp_path.iterdir()))) == (0, 3)
    words = " ".join(optrun("compare", tmp_path)[1].split())
    assert "2 made to choose a setting, with seeds that stay out of the verdict" in words
    assert f"learning_rate {best} chosen of 2 settings tried, from 1e-09 to 0.5, at the" in words


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--grid", "learning_rate=1,2", "--trials", "3"], "contradict each other"),
        (["--trials", "3"], "--trials and --range need each other"),
        (["--range", "learning_rate=1..2"], "--trials and --range need each other"),
        (["--grid", "learning_rate=1,2", "--tune-seeds", "1-2"], "must not be seeds of the verd"),
        (["--grid", "learning_rat=1,2"], "learning_rat"),
        (["--grid", "learning_rate=1,fast"], "learning_rate"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    tmp_path: Path, optrun: Optrun, arguments: list[str], said: str
) -> None:
    config = CONFIGS / "sgd_vgg19.yaml"
    code, _, err = optrun("train", config, "--sample", "--results", tmp_path / "r", *arguments)
    assert (code, said in err, "Traceback" in err) == (2, True, False), err
    assert not (tmp_path / "r").exists()


def test_what_was_tried_unequally_or_not_at_all_is_told(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    def tried(count: int) -> dict:
        settings = [{"settings": {"learning_rate": f"1e-{one}"}} for one in range(1, count + 1)]
        return {"tuning": {"tried": settings, "chosen": {"learning_rate": "1e-2"}}}

    make_run(name="sgd", provenance=tried(3))
    make_run(name="adam", provenance=tried(4))
    words = " ".join(optrun("compare", tmp_path / "results")[1].split())
    assert "sgd: learning_rate 1e-2 chosen of 3 settings tried, from 0.001 to 0.1." in words
    assert "Unequal numbers of settings were tried: " in words
    make_run(name="heun", provenance={})
    words = " ".join(optrun("compare", tmp_path / "results")[1].split())
    assert "Untuned, beside others that are: heun." in words
