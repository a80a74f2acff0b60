"""`optrun train` as a person meets it: the whole way on a tiny sample, every mistake answered."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import yaml
from optrun.runner.plan import plan as plans
from optrun.runner.plan.executor import Request, _next
from optrun.runner.plan.plan import Entry

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
FIVE = ("sgd", "adam", "lookahead", "soft_batch", "heun")

TINY = (
    "--set", "data.image_size=32",
    "--set", "data.limit=120",
    "--set", "model.width=0.125",
    "--set", "training.epochs=2",
)  # fmt: skip

Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]
MakeArchive = Callable[[Path, list[str]], Path]


def runs_in(results: Path) -> dict[str, dict]:
    files = sorted(results.glob("*/run.json"))
    return {path.parent.name: json.loads(path.read_text()) for path in files}


def config(name: str) -> Path:
    return CONFIGS / f"{name}_vgg19.yaml"


def own_config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: {CONFIGS / 'sgd_vgg19.yaml'}\n" + text)
    return path


CATS = [f"train/cat.{i}.jpg" for i in range(30)]
DOGS = [f"train/dog.{i}.jpg" for i in range(30)]
RANDOM = ("--set", "model.weights=random", "--set", "data.image_size=32")


@pytest.fixture(scope="module")
def five_runs(
    tmp_path_factory: pytest.TempPathFactory,
    optrun_for_many: Optrun,
    shallow: Callable[[], AbstractContextManager[None]],
) -> tuple[Path, Answer]:
    """One plan with all five optimizers, one seed, in float32 on changed photos, and its words."""
    results = tmp_path_factory.mktemp("five") / "results"
    configs = [config(name) for name in FIVE]
    changed = "data.augmentation={flip: true, shift: 0.1, rotation: 15, contrast: 0.3}"
    settings = (*TINY, "--set", "training.precision=float32", "--set", changed)
    with shallow():
        answer = optrun_for_many("train", *configs, "--sample", *settings, "--results", results)
    return results, answer


@pytest.fixture(scope="module")
def repeated(
    five_runs: tuple[Path, Answer],
    tmp_path_factory: pytest.TempPathFactory,
    optrun_for_many: Optrun,
    shallow: Callable[[], AbstractContextManager[None]],
) -> tuple[Path, Path, Answer]:
    """The run of Lookahead, and its repetition from its own config, quietly."""
    results = tmp_path_factory.mktemp("again")
    first = next(five_runs[0].glob("sample-lookahead*"))
    with shallow():
        answer = optrun_for_many(
            "train", first / "config.yaml", "--results", results, "--device", "cpu", "--quiet"
        )
    (second,) = results.iterdir()
    return first, second, answer


@pytest.fixture(scope="module")
def standing_still(
    tmp_path_factory: pytest.TempPathFactory,
    optrun_for_many: Optrun,
    make_archive: MakeArchive,
    shallow: Callable[[], AbstractContextManager[None]],
) -> tuple[Path, Answer]:
    """The folder of a run on a person's own photos, at a rate too small to change anything.

    The seed is one whose initial weights answer near chance.
    """
    folder = tmp_path_factory.mktemp("own")
    make_archive(folder / "photos.zip", CATS + DOGS)
    mine = own_config(
        folder,
        "data: {source: photos.zip, image_size: 32, validation_share: 0.3, test_share: 0.3}\n"
        "model: {weights: random, width: 0.125, head: {dropout: 0}}\n"
        "optimizer: {learning_rate: 1.0e-30}\n"
        "training: {epochs: 9, early_stopping_patience: 1, batch_size: 4, seed: 6}\n",
    )
    with shallow():
        answer = optrun_for_many("train", mine, "--real", "--results", folder / "results")
    return folder, answer


def test_each_of_the_five_optimizers_trains_to_the_end(five_runs: tuple[Path, Answer]) -> None:
    results, (code, _, err) = five_runs
    assert (code, err) == (0, "")
    runs = runs_in(results)
    assert {run["name"] for run in runs.values()} == {f"sample-{name}_vgg19" for name in FIVE}
    assert {run["state"] for run in runs.values()} == {"completed"}
    for run in runs.values():
        assert 0 <= run["result"]["test_accuracy"] <= 1
        assert run["result"]["epochs"] == 2


@pytest.mark.usefixtures("shallow_network")
def test_each_of_the_five_optimizers_trains_in_bfloat16(tmp_path: Path, optrun: Optrun) -> None:
    configs = [config(name) for name in FIVE]
    bfloat16 = ("--set", "training.precision=mixed_bfloat16", "--set", "training.epochs=1")
    few = ("--set", "data.limit=60", "--set", "model.trainable=block5")
    answer = optrun("train", *configs, "--sample", *TINY, *bfloat16, *few, "--results", tmp_path)
    assert answer[::2] == (0, "")
    runs = runs_in(tmp_path).values()
    assert len(runs) == len(FIVE)
    assert {(run["state"], run["comparable"]["precision"]) for run in runs} == {
        ("completed", "mixed_bfloat16")
    }


@pytest.mark.slow
def test_each_of_the_five_optimizers_trains_vgg19_itself(tmp_path: Path, optrun: Optrun) -> None:
    configs = [config(name) for name in FIVE]
    assert optrun("train", *configs, "--sample", *TINY, "--results", tmp_path)[::2] == (0, "")
    runs = runs_in(tmp_path).values()
    assert len(runs) == len(FIVE)
    assert {run["state"] for run in runs} == {"completed"}


def test_the_same_seed_starts_every_optimizer_from_the_same_weights_and_batches(
    five_runs: tuple[Path, Answer],
) -> None:
    runs = runs_in(five_runs[0]).values()
    assert len({run["provenance"]["initial_weights"] for run in runs}) == 1
    assert len({run["provenance"]["first_batches"] for run in runs}) == 1
    assert len({json.dumps(run["comparable"], sort_keys=True) for run in runs}) == 1
    assert {run["comparable"]["augmentation"]["contrast"] for run in runs} == {0.3}
    assert len({run["experiment"] for run in runs}) == len(FIVE)


def test_steps_and_gradient_evaluations_are_what_each_optimizer_costs(
    five_runs: tuple[Path, Answer],
) -> None:
    runs = {run["name"].removeprefix("sample-"): run for run in runs_in(five_runs[0]).values()}
    images = runs["sgd_vgg19"]["result"]["images"]
    steps = 2 * -(-(images // 2) // 16)
    assert {name: run["result"]["gradient_evaluations"] for name, run in runs.items()} == {
        "sgd_vgg19": steps,
        "adam_vgg19": steps,
        "lookahead_vgg19": steps,
        "soft_batch_vgg19": steps,
        "heun_vgg19": 2 * steps,
    }
    assert runs["heun_vgg19"]["result"]["updates"] == steps
    assert runs["soft_batch_vgg19"]["result"]["updates"] == 2 * -(-(steps // 2) // 4)


def test_a_run_folder_holds_what_its_readme_says(five_runs: tuple[Path, Answer]) -> None:
    for folder in five_runs[0].iterdir():
        assert {"config.yaml", "run.json", "metrics.jsonl", "predictions.npz", "log.txt"} <= {
            path.name for path in folder.iterdir()
        }
        assert (folder / "checkpoint" / "best" / "manifest.json").is_file()
        events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        kinds = [event["event"] for event in events if event["event"] != "notice"]
        assert kinds == ["started", "epoch", "epoch", "ended"]


def test_predictions_reproduce_the_scores_of_the_run(five_runs: tuple[Path, Answer]) -> None:
    for folder in five_runs[0].iterdir():
        result = json.loads((folder / "run.json").read_text())["result"]
        with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
            for part, accuracy in (("validation", "best_validation"), ("test", "test")):
                logits, labels = arrays[f"{part}_logits"], arrays[f"{part}_labels"]
                assert len(set(arrays[f"{part}_ids"])) == len(labels)
                assert result[f"{accuracy}_accuracy"] == np.mean((logits > 0) == (labels == 1))
            z = logits.astype(np.float64)
            probability = 1 / (1 + np.exp(-z))
            loss = -np.mean(np.where(labels == 1, np.log(probability), np.log1p(-probability)))
            assert result["test_log_loss"] == pytest.approx(loss, rel=1e-9)


def test_training_from_a_runs_own_config_repeats_it_to_the_last_bit(
    repeated: tuple[Path, Path, Answer],
) -> None:
    first, second, _ = repeated
    with np.load(first / "predictions.npz") as one, np.load(second / "predictions.npz") as two:
        for name in one.files:
            assert one[name].tobytes() == two[name].tobytes()
    assert (
        json.loads((first / "run.json").read_text())["experiment"]
        == json.loads((second / "run.json").read_text())["experiment"]
    )


def test_quiet_prints_the_folder_alone(repeated: tuple[Path, Path, Answer]) -> None:
    _, folder, answer = repeated
    assert answer == (0, f"{folder}\n", "")


def test_compare_reads_what_train_wrote(five_runs: tuple[Path, Answer], optrun: Optrun) -> None:
    code, out, _ = optrun("compare", five_runs[0], "--format", "json")
    assert code == 0
    for name in FIVE:
        assert f"sample-{name}_vgg19" in out


def test_sample_runs_say_so_first_and_last(five_runs: tuple[Path, Answer]) -> None:
    _, (_, out, _) = five_runs
    lines = out.strip().splitlines()
    assert "sample" in lines[0]
    assert "sample" in lines[-1]
    assert any("optrun compare" in line for line in lines)
    for epoch in ("1/2", "2/2"):
        assert sum(line.split()[:1] == [epoch] for line in lines) == len(FIVE)


@pytest.mark.usefixtures("shallow_network")
def test_a_loss_that_is_not_finite_is_recorded_as_diverged_with_its_step(
    tmp_path: Path, optrun: Optrun
) -> None:
    code, out, _ = optrun(
        "train", config("sgd"), "--sample", *TINY, "--results", tmp_path,
        "--set", "optimizer.learning_rate=1e30", "--set", "optimizer.global_clipnorm=null",
    )  # fmt: skip
    (run,) = runs_in(tmp_path).values()
    assert (code, run["state"], run["result"]) == (3, "diverged", None)
    assert "not finite at step" in run["why"]
    assert "diverged" in out


def test_a_network_stuck_at_chance_is_said(standing_still: tuple[Path, Answer]) -> None:
    folder, (_, out, _) = standing_still
    (file,) = folder.glob("results/*/metrics.jsonl")
    events = [json.loads(line) for line in file.read_text().splitlines()]
    losses = [event["training_loss"] for event in events if event["event"] == "epoch"]
    assert losses == pytest.approx([np.log(2)] * 2, rel=0.01)
    assert sum(event["event"] == "notice" for event in events) == 1
    assert "does not learn" in out


@pytest.mark.usefixtures("shallow_network")
def test_a_run_that_fails_does_not_stop_the_rest(
    tmp_path: Path, optrun: Optrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optrun.runner.plan import run as single_run

    real_train, calls = single_run.train, []

    def failing_first(*args: object, **keywords: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("planted")
        return real_train(*args, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(single_run, "train", failing_first)
    code, _, err = optrun(
        "train", config("sgd"), "--sample", *TINY, "--set", "training.epochs=1", "--seeds", "2",
        "--results", tmp_path,
    )  # fmt: skip
    states = {run["seed"]: (run["state"], run["why"]) for run in runs_in(tmp_path).values()}
    assert code == 1
    assert states[1] == ("failed", "ZeroDivisionError: planted")
    assert states[2][0] == "completed"
    assert "Traceback" in err
    (failed,) = tmp_path.glob("*-s1-*")
    assert "ZeroDivisionError" in (failed / "log.txt").read_text()


def test_early_stopping_ends_when_nothing_gets_better(
    standing_still: tuple[Path, Answer],
) -> None:
    (run,) = runs_in(standing_still[0] / "results").values()
    assert standing_still[1][0] == 0
    assert (run["result"]["best_epoch"], run["result"]["epochs"]) == (1, 2)


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
ENDLESS = (
    "train", config("sgd"), "--sample", *TINY,
    "--set", "training.epochs=500", "--set", "model.trainable=head", "--seeds", "2",
)  # fmt: skip


def epoch_in(results: Path) -> bool:
    return any('"epoch"' in file.read_text() for file in results.glob("*/metrics.jsonl"))


@pytest.mark.parametrize(
    ("signal_number", "code"), [SIGNALS[0], pytest.param(*SIGNALS[1], marks=pytest.mark.slow)]
)
def test_a_signal_leaves_a_readable_run_and_ends_the_plan(
    tmp_path: Path, photo_cache: Path, signal_number: signal.Signals, code: int
) -> None:
    command = [Path(sys.executable).with_name("optrun"), *ENDLESS, "--results", tmp_path]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        while not epoch_in(tmp_path):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal_number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert err == "optrun: interrupted\n"  # and none of TensorFlow's start-up lines
    assert "Traceback" not in out
    (run,) = runs_in(tmp_path).values()
    assert run["state"] == "interrupted"


@pytest.mark.usefixtures("shallow_network")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_other_signals_end_the_plan_as_ctrl_c_does(
    tmp_path: Path, optrun: Optrun, number: signal.Signals
) -> None:
    over = threading.Event()

    def end_after_an_epoch() -> None:
        while not epoch_in(tmp_path) and not over.wait(0.1):
            pass
        if signal.getsignal(number) != signal.SIG_DFL:  # it would end the tests
            os.kill(os.getpid(), number)

    ending = threading.Thread(target=end_after_an_epoch)
    ending.start()
    try:
        code, out, err = optrun(*ENDLESS, "--results", tmp_path)
    finally:
        over.set()
        ending.join()
    assert (code, err) == (128 + number, "optrun: interrupted\n")
    assert "Traceback" not in out
    (run,) = runs_in(tmp_path).values()
    assert run["state"] == "interrupted"


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, optrun: Optrun) -> None:
    code, out, err = optrun(
        "train", *[config(name) for name in FIVE], "--sample", "--seeds", "4-6", "--dry-run",
        "--results", tmp_path / "results",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "15 runs" in out
    assert "seeds 4, 5, 6" in out
    for word in ("optimizer steps", "gradient evaluations", "Disk in all", "optimizer.name: sgd"):
        assert word in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("configs", "seeds", "said"),
    [
        (
            ["sgd", "adam"],
            "3",
            "3 seeds each can never give p < 0.05; 6 seeds each can",
        ),
        (["sgd", "adam"], "8", "8 seeds each can show a difference; 6 are the fewest"),
        (
            ["sgd", "adam", "heun"],
            "6",
            "in 2 comparisons; 7 seeds each can",
        ),
        (["sgd"], "1", None),
    ],
)
def test_dry_run_says_whether_so_many_seeds_can_conclude(
    tmp_path: Path, optrun: Optrun, configs: list[str], seeds: str, said: str | None
) -> None:
    files = [config(name) for name in configs]
    _, out, _ = optrun("train", *files, "--sample", "--dry-run", "--seeds", seeds)
    assert said in out if said else "conclude" not in out


def test_what_comes_next_fits_what_just_happened(tmp_path: Path) -> None:
    def told(*configs: str, results: Path = tmp_path / "none") -> str:
        entries = [Entry(config(name), []) for name in configs]
        plan = plans.make(entries, sample=True)
        return _next(plan, Request(entries, sample=True, results=results))

    other = f"{config('sgd')} {config('adam')} --sample --seeds 8 --results {tmp_path / 'none'}"
    assert told("adam") == f"optrun train {other}"
    assert f" {config('lookahead')} {config('sgd')} " in told("sgd")
    none = tmp_path / "none"
    page = f"optrun report {none} -o {none / 'report.html'}"
    assert told("adam", "sgd") == f"optrun compare {none}; as a page: {page}"


WARMED_UP = """
optimizer:
  name: lookahead
  sync_period: 1000
  inner_optimizer:
    name: sgd
    learning_rate: {schedule: constant, initial_learning_rate: 0.1, warmup_updates: WARMUP}
"""


def test_a_warm_up_as_long_as_the_training_is_refused_before_any_run(
    tmp_path: Path, optrun: Optrun
) -> None:
    warmed_up = own_config(tmp_path, WARMED_UP.replace("WARMUP", "14"))
    few = ("--set", "data.limit=60", "--set", "model.trainable=head")
    train = ("train", config("sgd"), warmed_up, "--sample", *TINY, *few, "--results", tmp_path)
    said = (
        f"{warmed_up}:8: optimizer.inner_optimizer.learning_rate.warmup_updates must be less than "
        "the 8 updates of the training, or its rate is never reached; received 14"
    )
    code, out, err = optrun(*train)
    assert (code, err.removeprefix("optrun: ").strip()) == (2, said)
    code, out, _ = optrun(*train, "--dry-run")
    assert code == 0
    assert f"It would not be started: {said}" in out
    code, _, err = optrun("config", "check", warmed_up, "--sample", *TINY, *few)
    assert (code, err.strip()) == (2, said)
    assert list(tmp_path.iterdir()) == [warmed_up]


@pytest.mark.usefixtures("shallow_network")
def test_slow_weights_that_are_never_synced_are_told(tmp_path: Path, optrun: Optrun) -> None:
    warmed_up = own_config(tmp_path, WARMED_UP.replace("WARMUP", "2"))
    few = ("--set", "data.limit=60", "--set", "model.trainable=head")
    code, out, _ = optrun("train", warmed_up, "--sample", *TINY, *few, "--results", tmp_path / "r")
    assert code == 0
    said = "8 updates and syncs after every 1,000: the weights that are evaluated stay the initial"
    assert said in " ".join(out.split())
    code, out, _ = optrun("config", "check", warmed_up, "--sample", *TINY, *few)
    assert (code, said in out) == (0, True)
    seldom = ("--set", "optimizer.sync_period=7", "--set", "training.epochs=2")
    code, out, _ = optrun("config", "check", warmed_up, "--sample", *TINY, *few, *seldom)
    assert "an epoch of mine has 4 updates, and it syncs after every 7: until then the" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.yaml"], "missing.yaml"),
        ([CONFIGS], "configs"),
        ([config("sgd"), "--sample", "--device", "gpu"], "--device gpu needs a GPU"),
        ([config("sgd"), "--sample", "--real"], "contradict"),
        ([config("sgd"), "--seed", "1", "--seeds", "2"], "--seeds"),
        ([config("sgd"), "--seeds", "0"], "at least one seed"),
        ([config("sgd"), "--seeds", "2147483646-2147483648"], "must end at 2147483647 or below"),
        ([config("sgd"), "--results", ""], "must not be empty; the working directory is ."),
        ([config("sgd"), "--seeds", "many"], "a count (8) or a range (4-6)"),
        ([config("sgd"), config("sgd"), "--sample"], "given twice"),
        (
            [config("sgd"), "--sample", *TINY, "--set", "training.batch_size=100000"],
            "batch_size must be",
        ),
        ([config("sgd"), "--sample", "--set", "training.batchsize=4"], "batch_size"),
        ([config("sgd"), "--sample", "--set", "data.image_size=31"], "at least 32"),
        ([config("sgd"), "--sample", *TINY, "--results", "/proc/optrun"], "results folder must be"),
        (
            [
                config("sgd"),
                "--real",
                "--set",
                "data.source=no/such.zip",
                "--set",
                "model.weights=random",
            ],
            "no/such.zip",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_a_mistake_is_answered_with_a_message_and_changes_nothing(
    arguments: list[object],
    message: str,
    tmp_path: Path,
    optrun: Optrun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = optrun("train", *arguments)
    assert code == 2, err
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "message"),
    [(CATS, "dog"), (DOGS, "cat"), ([], "cat")],
    ids=["no dogs", "no cats", "empty"],
)
def test_an_archive_without_one_of_the_classes_is_refused(
    names: list[str], message: str, tmp_path: Path, optrun: Optrun, make_archive: MakeArchive
) -> None:
    archive = make_archive(tmp_path / "photos.zip", names)
    code, _, err = optrun(
        "train", config("sgd"), "--real", "--set", f"data.source={archive}", *RANDOM,
        "--results", tmp_path / "results",
    )  # fmt: skip
    assert code == 2, err
    assert message in err.lower()
    assert "Traceback" not in err
    assert not (tmp_path / "results").exists()


def test_a_truncated_archive_is_refused(
    tmp_path: Path, optrun: Optrun, make_archive: MakeArchive
) -> None:
    archive = make_archive(tmp_path / "photos.zip", CATS + DOGS)
    archive.write_bytes(archive.read_bytes()[:5000])
    code, _, err = optrun(
        "train", config("sgd"), "--real", "--set", f"data.source={archive}", *RANDOM,
        "--results", tmp_path / "results",
    )  # fmt: skip
    assert code == 2
    assert "photos.zip" in err
    assert "Traceback" not in err
    assert not (tmp_path / "results").exists()


def test_a_weights_file_of_the_wrong_shape_is_refused_before_any_run(
    tmp_path: Path, optrun: Optrun, make_archive: MakeArchive
) -> None:
    import h5py

    file = tmp_path / "weights.h5"
    with h5py.File(file, "w") as h5:
        h5["block1_conv1/block1_conv1/kernel:0"] = np.zeros((3, 3, 3, 7), np.float32)
        h5["block1_conv1/block1_conv1/bias:0"] = np.zeros(7, np.float32)
    archive = make_archive(tmp_path / "photos.zip", CATS + DOGS)
    code, _, err = optrun(
        "train", config("sgd"), "--real", "--set", f"data.source={archive}",
        "--set", f"model.weights={file}", "--results", tmp_path / "results",
    )  # fmt: skip
    assert code == 2
    assert "block1_conv1" in err
    assert "(3, 3, 3, 7)" in err
    assert not (tmp_path / "results").exists()


def test_photos_of_a_persons_own_are_trained_on(standing_still: tuple[Path, Answer]) -> None:
    folder, (code, out, err) = standing_still
    assert code == 0, err
    (run,) = runs_in(folder / "results").values()
    assert run["sample"] is False
    assert run["name"] == "mine"
    (file,) = folder.glob("results/*/config.yaml")
    assert str(folder / "photos.zip") in yaml.safe_load(file.read_text())["data"]["source"]
    assert "sample" not in out


class TestPhotosThatCannotBeHad:
    """What happens where the public photos were never obtained and no host answers."""

    @pytest.fixture(autouse=True)
    def _offline(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from optrun.data.sources import cats_vs_dogs
        from optrun.runner.models import weights

        monkeypatch.setattr(cats_vs_dogs, "obtained", lambda: False)
        monkeypatch.setattr(cats_vs_dogs, "host_reachable", lambda *a, **k: False)
        monkeypatch.setattr(weights, "host_reachable", lambda *a, **k: False)
        monkeypatch.setattr(weights, "cached_file", lambda _: tmp_path / "none.h5")

    @pytest.mark.usefixtures("shallow_network")
    def test_the_sample_stands_in_loudly(self, tmp_path: Path, optrun: Optrun) -> None:
        code, out, err = optrun(
            "train", config("sgd"), "--set", "data.image_size=32", "--set", "data.limit=160",
            "--set", "training.epochs=1",
            "--results", tmp_path / "results",
        )  # fmt: skip
        assert code == 0, err
        assert "SAMPLE STANDS IN" in err
        assert "sample" in out.strip().splitlines()[-1]
        (run,) = runs_in(tmp_path / "results").values()
        assert run["name"] == "sample-sgd_vgg19"
        assert run["sample"] is True

    def test_real_forbids_it(self, tmp_path: Path, optrun: Optrun) -> None:
        code, _, err = optrun("train", config("sgd"), "--real", "--results", tmp_path / "results")
        assert code == 2
        assert "--real forbids the built-in sample" in err
        assert not (tmp_path / "results").exists()

    def test_a_config_may_forbid_it(self, tmp_path: Path, optrun: Optrun) -> None:
        code, _, err = optrun(
            "train", config("sgd"), "--set", "data.when_unavailable=error",
            "--results", tmp_path / "results",
        )  # fmt: skip
        assert code == 2
        assert "when_unavailable is 'error'" in err

    def test_missing_weights_for_a_persons_own_photos_are_an_error_with_the_ways_out(
        self, tmp_path: Path, optrun: Optrun, make_archive: MakeArchive
    ) -> None:
        archive = make_archive(tmp_path / "photos.zip", CATS + DOGS)
        code, _, err = optrun(
            "train", config("sgd"), "--set", f"data.source={archive}",
            "--results", tmp_path / "results",
        )  # fmt: skip
        assert code == 2
        assert "model.weights=" in err
        assert "--sample" in err
