"""A person's own optimizer, from the config to the run folder; the page's examples as printed."""

import hashlib
import importlib.util
import json
import re
import runpy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "your-own-optimizer.md"
TINY = (
    "--set", "data.image_size=32",
    "--set", "data.limit=60",
    "--set", "model.width=0.125",
    "--set", "training.epochs=1",
)  # fmt: skip

Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]


def blocks() -> Iterator[tuple[str, str]]:
    """The files that the page prints, by the name in their first line."""
    yield from re.findall(r"```\w+\n# ([\w.]+)\n(.*?)```", PAGE.read_text(), re.S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the page's files and the shipped configs."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for name, text in blocks():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def the_run(results: Path) -> dict:
    [file] = results.glob("*/run.json")
    return json.loads(file.read_text()) | {"folder": file.parent}


def losses(folder: Path) -> list[float]:
    """What one epoch measured, without the clocks."""
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [event["validation_loss"] for event in events if "validation_loss" in event]


def test_the_page_prints_three_examples_and_their_configs() -> None:
    names = [name for name, _ in blocks()]
    assert names == ["sign_descent.py", "sign.yaml", "sam.py", "sam.yaml", "word_vectors.py"]


@pytest.mark.usefixtures("shallow_network")
def test_the_ordinary_example_trains_as_printed_and_again_from_its_run(
    folder: Path, optrun: Optrun
) -> None:
    code, out, err = optrun("config", "check", "sign.yaml")
    assert (code, err) == (0, "")
    assert "ok: SignDescent 1e-5, momentum 0.9, weight decay 0.01; VGG19 from imagenet" in out
    code, out, err = optrun("train", "sign.yaml", "--sample", *TINY)
    assert (code, err) == (0, "")
    run = the_run(folder / "results")
    assert run["optimizer"]["description"] == ("SignDescent 0.001, momentum 0.9, weight decay 0.01")
    content = (folder / "sign_descent.py").read_bytes()
    [fact] = run["provenance"]["own_code"]
    assert fact["sha256"] == hashlib.sha256(content).hexdigest()
    assert fact["file"] == str(folder / "sign_descent.py")
    assert (run["folder"] / "optimizer.py").read_bytes() == content
    saved = yaml.safe_load((run["folder"] / "config.yaml").read_text())
    assert saved["optimizer"]["name"] == "optimizer.py:SignDescent"

    (folder / "sign_descent.py").unlink()
    code, out, err = optrun("train", run["folder"] / "config.yaml", "--results", "again")
    assert (code, err) == (0, "")
    again = the_run(folder / "again")
    assert again["experiment"] == run["experiment"]
    assert losses(again["folder"]) == losses(run["folder"]) != []
    assert yaml.safe_load((again["folder"] / "config.yaml").read_text()) == saved


@pytest.mark.usefixtures("shallow_network")
def test_the_example_of_several_gradients_trains_as_printed(folder: Path, optrun: Optrun) -> None:
    code, out, _ = optrun("train", "sam.yaml", "--sample", *TINY, "--dry-run")
    assert code == 0
    assert "optimizer             SAM 0.02, radius 0.05" in out
    steps = int(re.search(r"optimizer steps +(?:about )?(\d+)", out)[1])
    assert re.search(rf"gradient evaluations +(about )?{2 * steps},", out)
    code, _, err = optrun("train", "sam.yaml", "--sample", *TINY)
    assert (code, err) == (0, "")
    result = the_run(folder / "results")["result"]
    assert result["gradient_evaluations"] == 2 * result["updates"]


def loaded(file: Path):
    spec = importlib.util.spec_from_file_location(f"{file.stem}_of_the_page", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_of_several_gradients_is_sharpness_aware(folder: Path) -> None:
    # On a/2 |w|², the gradient a (w + ρ w / |w|) is that of the paper's equation 2, in closed form.
    optimizer = loaded(folder / "sam.py").SAM(0.1, radius=0.5)
    weights = [keras.Variable([3.0]), keras.Variable([4.0])]
    combined = optimizer.step(
        lambda points: [2 * ops_of(one) for one in (weights if points is None else points)], weights
    )
    np.testing.assert_allclose(np.ravel(combined), [2 * 3.3, 2 * 4.4], rtol=1e-6)


def ops_of(value: object) -> object:
    return keras.ops.convert_to_tensor(value)


def test_the_example_in_closed_form_runs_as_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(folder / "word_vectors.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    found = [
        re.fullmatch(
            r"(\w+): loss ([\d.]+) in the first epoch, ([\d.]+) in the fifth", line
        ).groups()
        for line in lines
    ]
    assert [name for name, _, _ in found] == ["Lookahead", "Heun"]
    for _, first, last in found:
        assert 0 < float(last) < float(first) < 0.8


def test_the_gradient_in_closed_form_is_that_of_automatic_differentiation(folder: Path) -> None:
    example = loaded(folder / "word_vectors.py")
    pairs, labels = example.pairs_of_words(64, words=10)
    model = example.WordVectors(words=10, size=3)
    with tf.GradientTape() as tape:
        logits = model(pairs)
        loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))
    weights = [one.value for one in model.trainable_variables]
    automatic = [tf.convert_to_tensor(one) for one in tape.gradient(loss, weights)]
    by_hand = model.gradient(pairs, labels, *model.trainable_variables)
    for one, other in zip(by_hand, automatic, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


MARKING = """
import pathlib
pathlib.Path(__file__).with_name("imported").touch()
from keras.optimizers import SGD as Mine
"""
CONFIG = """\
training: {epochs: 1}
data: {source: sample}
model: {weights: random}
optimizer:
  name: code/mine.py:Mine
  learning_rate: 0.1
"""


@pytest.fixture
def marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an own optimizer leaves behind when it is imported; its config is mine.yaml."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").write_text(MARKING)
    (tmp_path / "mine.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "code" / "imported"


@pytest.mark.parametrize("command", ["check", "train"])
def test_what_checks_and_what_trains_imports_a_persons_code(
    command: str, marked: Path, optrun: Optrun
) -> None:
    arguments = ["config", "check"] if command == "check" else ["train", "--dry-run"]
    code, _, err = optrun(*arguments, "mine.yaml")
    assert (code, err) == (0, "")
    assert marked.exists()


def test_what_reads_never_imports_a_persons_code(
    marked: Path, optrun: Optrun, make_run: Callable[..., Path]
) -> None:
    name = f"{marked.with_name('mine.py')}:Mine"
    run = make_run(
        name="mine",
        optimizer={
            "description": "Mine 0.1",
            "specification": {"name": name, "learning_rate": 0.1},
        },
    )
    shutil.copy(marked.with_name("mine.py"), run / "optimizer.py")
    (run / "config.yaml").write_text(CONFIG.replace("code/mine.py", "optimizer.py"))
    code, out, err = optrun("config", "show", "mine.yaml")
    assert (code, err) == (0, "")
    assert name in out
    for arguments in (["compare"], ["optimizers"], ["config", "schema"]):
        code, _, err = optrun(*arguments)
        assert (code, err) == (0, "")
    assert not marked.exists()
    assert not (run / "imported").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("name: code/mien.py:Mine", "mine.yaml:5:9: optimizer.name: there is no file "),
        ("name: code/mine.py:Nine", "mine.yaml:5:9: optimizer.name: "),
        ("name: no_such_module_here:Mine", "mine.yaml:5:9: optimizer.name: there is no installed"),
        ("name: code/mine:Mine", "mine.yaml:5:9: optimizer.name must be my_module:MyOptimizer or"),
        ("name: code/failing.py:Mine", "mine.yaml:5:9: optimizer.name cannot be imported: "),
        ("momentun: 0.9", "mine.yaml:5:3: optimizer.momentun: SGD takes no 'momentun'; did you "),
        ("momentum: fast", "mine.yaml:5:13: optimizer.momentum must be a number 0 or more and at"),
        ("name: code/refusing.py:Mine", "mine.yaml:5: optimizer.name cannot be made with these ar"),
    ],
)
def test_a_mistake_is_told_with_its_place_by_check_and_train(
    override: str, message: str, marked: Path, optrun: Optrun
) -> None:
    named = override if override.startswith("name") else f"{override}\n  name: code/mine.py:Mine"
    Path("mine.yaml").write_text(CONFIG.replace("name: code/mine.py:Mine", named))
    Path("code/failing.py").write_text("import keras\n\n1 / 0\n")
    Path("code/refusing.py").write_text(
        "import keras\n\n"
        "class Mine(keras.optimizers.SGD):\n"
        "    def __init__(self, learning_rate):\n"
        "        raise ValueError('not today')\n"
    )
    for arguments in (["config", "check"], ["train", "--dry-run"], ["train"]):
        code, out, err = optrun(*arguments, "mine.yaml", *TINY)
        assert code == 2
        assert err.removeprefix("optrun: ").startswith(message)
        assert "Traceback" not in err + out
        if "failing" in override:
            assert f"{Path.cwd()}/code/failing.py:3: ZeroDivisionError: division by zero" in err
        if "refusing" in override:
            assert f"{Path.cwd()}/code/refusing.py:5: ValueError: not today" in err
    assert not Path("results").exists()


def test_a_path_is_relative_to_the_file_that_says_it_or_to_where_set_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optrun.runner.config.load import load

    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "base.yaml").write_text(
        CONFIG + "sample: {optimizer: {name: there.py:There, learning_rate: 1}}\n"
    )
    config = tmp_path / "mine.yaml"
    config.write_text("extends: below/base.yaml\noptimizer: {momentum: 0.5}\n")
    monkeypatch.chdir(tmp_path / "below")

    def name(*overrides: str, sample: bool = False) -> str:
        return load(config, overrides, sample=sample).experiment.optimizer["name"]

    config_without_sample = CONFIG.replace("source: sample", "source: x.zip")
    (tmp_path / "below" / "base.yaml").write_text(
        config_without_sample + "sample: {optimizer: {name: there.py:There, learning_rate: 1}}\n"
    )
    assert name() == f"{tmp_path}/below/code/mine.py:Mine"
    assert name(sample=True) == f"{tmp_path}/below/there.py:There"
    assert name("optimizer={name: here.py:Here}") == f"{tmp_path}/below/here.py:Here"
    inner = "optimizer={name: lookahead, inner_optimizer: {name: ../a.py:A, learning_rate: 1}}"
    loaded = load(config, [inner]).experiment.optimizer
    assert loaded["inner_optimizer"]["name"] == f"{tmp_path}/a.py:A"
    assert name("optimizer={name: module:Mine}") == "module:Mine"


def test_two_versions_of_the_code_are_two_experiments_wherever_they_lie(tmp_path: Path) -> None:
    from optrun.runner import user_optimizer as own_code
    from optrun.runner.config.identity import experiment_hash
    from optrun.runner.config.load import load

    def hash_of(folder: str, code: str) -> str:
        (tmp_path / folder / "code").mkdir(parents=True)
        (tmp_path / folder / "code" / "mine.py").write_text(code)
        (tmp_path / folder / "mine.yaml").write_text(CONFIG)
        experiment = load(tmp_path / folder / "mine.yaml").experiment
        return experiment_hash(experiment, own_code.fingerprints(experiment))

    first = hash_of("a", MARKING)
    assert hash_of("b", MARKING) == first
    assert hash_of("c", MARKING + "# changed\n") != first


def test_the_copies_of_two_files_are_two_and_of_one_file_one(tmp_path: Path) -> None:
    from optrun.runner import user_optimizer as own_code
    from optrun.runner.config.load import load

    (tmp_path / "core.py").write_text("from keras.optimizers import SGD, Adam\n")
    (tmp_path / "outer.py").write_text("from optrun.optimizers import Lookahead\n")
    (tmp_path / "x.yaml").write_text(
        "training: {epochs: 1}\noptimizer:\n  name: outer.py:Lookahead\n"
        "  inner_optimizer: {name: core.py:SGD, learning_rate: 0.1}\n"
        "sample: {optimizer: {inner_optimizer: {name: core.py:Adam, learning_rate: 1}}}\n"
    )
    experiment = load(tmp_path / "x.yaml").experiment
    assert own_code.copies(experiment) == {
        "optimizer.py": (tmp_path / "outer.py").read_bytes(),
        "optimizer_2.py": (tmp_path / "core.py").read_bytes(),
    }
    saved = own_code.reading_copies(experiment)
    assert saved.optimizer["name"] == "optimizer.py:Lookahead"
    assert saved.optimizer["inner_optimizer"]["name"] == "optimizer_2.py:SGD"
    assert saved.sample["optimizer"]["inner_optimizer"]["name"] == "optimizer_2.py:Adam"
