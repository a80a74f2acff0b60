"""What a person reads who got a configuration wrong; the texts themselves are under test."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optrun.runner.config.load import load
from optrun.runner.config.problems import ConfigurationError
from optrun.runner.config.schema import as_yaml
from optrun.runner.config.strict_yaml import MAX_BYTES
from optrun.runner.errors import UserError

RIGHT = """\
data: {image_size: 64}
model: {weights: random}
optimizer:
  name: lookahead
  sync_period: 5
  inner_optimizer: {name: sgd, learning_rate: 1e-4, momentum: 0.9}
training:
  epochs: 3
"""

Refused = Callable[..., list[str]]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    monkeypatch.chdir(tmp_path)

    def messages(text: str | bytes, *overrides: str, sample: bool = False) -> list[str]:
        content = text.encode() if isinstance(text, str) else text
        Path("x.yaml").write_bytes(content)
        with pytest.raises(ConfigurationError) as caught:
            load("x.yaml", overrides, sample=sample)
        assert isinstance(caught.value, UserError)
        assert caught.value.exit_code == 2
        return str(caught.value).split("\n")

    return messages


def replaced(old: str, new: str) -> str:
    assert old in RIGHT
    return RIGHT.replace(old, new)


def test_the_configuration_that_the_others_break_is_right(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(RIGHT)
    assert load(tmp_path / "x.yaml").experiment.training.epochs == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            replaced("epochs: 3", "epochs: many"),
            'x.yaml:8:11: training.epochs must be a whole number of at least 1, received "many"',
        ),
        (
            replaced("epochs: 3", "epochs: 0"),
            "x.yaml:8:11: training.epochs must be a whole number of at least 1, received 0",
        ),
        (
            replaced("epochs: 3", "epochs: 3.0"),
            "x.yaml:8:11: training.epochs must be a whole number of at least 1, received 3.0",
        ),
        (
            replaced("epochs: 3", "epochs: true"),
            "x.yaml:8:11: training.epochs must be a whole number of at least 1, received true",
        ),
        (
            replaced("epochs: 3", "epochs: 99999999999"),
            "x.yaml:8:11: training.epochs must be a whole number of at least 1, below 2^31, "
            "received 99999999999",
        ),
        (
            replaced("epochs: 3", "epoch: 3"),
            "x.yaml:8:3: training.epoch is not a known key; did you mean training.epochs?",
        ),
        (
            replaced("  epochs: 3", "  epochs: 3\nbatch_size: 4"),
            "x.yaml:9:1: batch_size is not a known key; did you mean training.batch_size?",
        ),
        (
            replaced("  epochs: 3", "  epochs: 3\nlr: 4"),
            "x.yaml:9:1: lr is not a known key; did you mean optimizer.learning_rate?",
        ),
        (
            replaced("  epochs: 3", "  epochs: 3\n  zzz: 4"),
            "x.yaml:9:3: training.zzz is not a known key; training takes epochs, batch_size, seed, "
            "precision, jit_compile, early_stopping_patience, checkpoint_minutes, "
            "keep_last_checkpoint, deterministic, record_every, tensorboard",
        ),
        (
            replaced("  epochs: 3", "  epochs: [3, 4]"),
            "x.yaml:8:11: training.epochs must be a whole number of at least 1, received [3, 4]; "
            "to try several, optrun train takes --grid training.epochs=3,4",
        ),
        (
            replaced("  epochs: 3", "  epochs: 3\n  deterministic: yes"),
            'x.yaml:9:18: training.deterministic must be true or false, received "yes"',
        ),
        (
            replaced("  epochs: 3", "  epochs: 3\n  precision: float23"),
            "x.yaml:9:14: training.precision must be auto, float32, mixed_bfloat16 or "
            'mixed_float16, received "float23"; did you mean float32?',
        ),
        (
            replaced("  epochs: 3", "  epochs: 3\n  jit_compile: 1"),
            "x.yaml:9:16: training.jit_compile must be auto, true or false, received 1",
        ),
        (
            replaced("  epochs: 3", "  epochs: 3\n  seed: -1"),
            "x.yaml:9:9: training.seed must be a whole number of at least 0, received -1",
        ),
        (
            replaced("image_size: 64", "image_size: 31"),
            "x.yaml:1:20: data.image_size must be a whole number of at least 32, received 31",
        ),
        (
            replaced("image_size: 64", "source: 5"),
            "x.yaml:1:16: data.source must be cats_vs_dogs, sample, an imported name, or the "
            "path of an archive or folder, received 5; put it in quotes",
        ),
        (
            replaced("image_size: 64", "source: cat_vs_dog"),
            "x.yaml:1:16: data.source must be cats_vs_dogs, sample, an imported name, or the "
            'path of an archive or folder, received "cat_vs_dog"; did you mean cats_vs_dogs?',
        ),
        (
            replaced("weights: random", "weights: imagnet"),
            "x.yaml:2:18: model.weights must be imagenet, random, or the path of an .h5 file, "
            'received "imagnet"; did you mean imagenet?',
        ),
        (
            replaced("weights: random", "width: .inf"),
            "x.yaml:2:16: model.width must be a number above 0 and at most 4, received .inf",
        ),
        (
            replaced("weights: random", "width: 0.5"),
            "x.yaml:2:16: model.width must be 1 where model.weights is imagenet, received 0.5; set "
            "model.weights to random, or leave the width",
        ),
        (
            replaced("weights: random", "head: {hidden_units: 64}"),
            "x.yaml:2:30: model.head.hidden_units must be a list of whole numbers of at least 1, "
            "received 64",
        ),
        (
            replaced("weights: random", "head: null"),
            "x.yaml:2:15: model.head must be a mapping of keys, received null; leave the key out "
            "for its defaults",
        ),
        (
            replaced("image_size: 64", "validation_share: 0.5, test_share: 0.5"),
            "x.yaml:1:26: data.validation_share must leave photos for training: with "
            "data.test_share it must be below 1, received 0.5 and 0.5",
        ),
        (
            replaced("image_size: 64", "test_share: 0.95"),
            "x.yaml:1:20: data.validation_share must leave photos for training: with "
            "data.test_share it must be below 1, received 0.1 and 0.95",
        ),
        (
            replaced("weights: random", "width: 0.5, wdth: 1"),
            "x.yaml:2:16: model.width must be 1 where model.weights is imagenet, received 0.5; set "
            "model.weights to random, or leave the width\n"
            "x.yaml:2:21: model.wdth is not a known key; did you mean model.width?",
        ),
        (
            RIGHT + "sample: {data: {test_share: 0.95}}\n",
            "x.yaml:9:29: sample.data.validation_share must leave photos for training: with "
            "data.test_share it must be below 1, received 0.1 and 0.95",
        ),
        (
            replaced("training:\n  epochs: 3\n", ""),
            "x.yaml:1:1: training must be stated: a mapping of keys",
        ),
        (
            replaced("training:\n  epochs: 3", "training: {seed: 3}"),
            "x.yaml:7:1: training.epochs must be stated: a whole number of at least 1",
        ),
        (
            RIGHT + "name: a/b\n",
            "x.yaml:9:7: name must be 1 to 60 letters, digits, '_', '-' or '.', received \"a/b\"",
        ),
        (
            RIGHT + "name: ../escape\n",
            "x.yaml:9:7: name must be 1 to 60 letters, digits, '_', '-' or '.', received "
            '"../escape"',
        ),
        (RIGHT + "notes: [a]\n", 'x.yaml:9:8: notes must be text, received ["a"]'),
        (
            RIGHT + "sample: {trainin: {epochs: 1}}\n",
            "x.yaml:9:10: sample.trainin is no key here; did you mean sample.training?",
        ),
        (
            RIGHT + "sample: {training: {epochs: 0}}\n",
            "x.yaml:9:29: sample.training.epochs must be a whole number of at least 1, received 0",
        ),
        (
            RIGHT + "sample: {training: {epoch: 1}}\n",
            "x.yaml:9:21: sample.training.epoch is not a known key; did you mean training.epochs?",
        ),
        (
            RIGHT + "sample: {data: {source: a.zip}}\n",
            "x.yaml:9:17: sample.data.source is no key here: the photos are those of the sample",
        ),
        (RIGHT + "sample: 3\n", "x.yaml:9:9: sample must be a mapping of keys, received 3"),
        ("", "x.yaml:1:1: must be a mapping of keys, received an empty file"),
        ("# nothing\n", "x.yaml:2:1: must be a mapping of keys, received an empty file"),
        ("- a\n", 'x.yaml:1:1: must be a mapping of keys, received ["a"]'),
        ("just text", 'x.yaml:1:1: must be a mapping of keys, received "just text"'),
        (
            b"\x89PNG\r\n\x1a\n",
            "x.yaml:1:1: must be UTF-8 text, received the byte 0x89",
        ),
        (
            b"name: caf\xe9\n",
            "x.yaml:1:10: must be UTF-8 text, received the byte 0xE9",
        ),
        (
            b" " * (MAX_BYTES + 1),
            "x.yaml: must be at most 50,000 bytes; this is no configuration file",
        ),
        (
            RIGHT + "extends: x.yaml\n",
            "x.yaml:9:10: extends x.yaml: must not lead in a circle, received x.yaml -> x.yaml",
        ),
        (
            RIGHT + "extends: [a]\n",
            'x.yaml:9:10: extends must be the path of a file, received ["a"]',
        ),
        (
            RIGHT + "extends: y.yaml\n",
            "x.yaml:9:10: extends y.yaml: there is no such file; did you mean x.yaml?",
        ),
        (
            RIGHT + "training: {}\n",
            "x.yaml:9:1: training is stated twice, first on line 7; remove one",
        ),
    ],
)
def test_each_mistake_is_one_line(refused: Refused, text: str, message: str) -> None:
    assert refused(text) == message.split("\n")


@pytest.mark.parametrize(
    ("old", "new", "beginning"),
    [
        ("1e-4", "fast", "x.yaml:6:47: optimizer.inner_optimizer.learning_rate must be"),
        ("1e-4", "-1", "x.yaml:6:47: optimizer.inner_optimizer.learning_rate must be"),
        ("1e-4", ".nan", "x.yaml:6:47: optimizer.inner_optimizer.learning_rate must be"),
        ("learning_rate: 1e-4, ", "", "x.yaml:6:3: optimizer.inner_optimizer.learning_rate must"),
        ("sync_period: 5", "sync_period: 0", "x.yaml:5:16: optimizer.sync_period must be"),
        ("sync_period: 5", "slow_step_size: 2", "x.yaml:5:19: optimizer.slow_step_size must be"),
        ("sync_period: 5", "k: 5", "x.yaml:5:3: optimizer.k: "),
        ("name: lookahead", "name: lokahead", "x.yaml:4:9: optimizer.name: "),
        ("momentum: 0.9", "momentun: 0.9", "x.yaml:6:53: optimizer.inner_optimizer.momentun: "),
    ],
)
def test_a_mistake_inside_the_optimizer_has_its_place(
    refused: Refused, old: str, new: str, beginning: str
) -> None:
    (message,) = refused(replaced(old, new))
    assert message.startswith(beginning)


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("sync_period: 5", "k: 5", "sync_period"),
        ("sync_period: 5", "alpha: 0.5", "slow_step_size"),
        ("name: lookahead", "name: lokahead", "lookahead"),
        ("momentum: 0.9", "momentun: 0.9", "momentum"),
    ],
)
def test_a_wrong_word_inside_the_optimizer_is_answered_with_the_right_one(
    refused: Refused, old: str, new: str, hint: str
) -> None:
    (message,) = refused(replaced(old, new))
    assert hint in message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.epochs",
            '--set: must be KEY=VALUE, such as training.epochs=3, received "training.epochs"',
        ),
        ("=3", '--set: must be KEY=VALUE, such as training.epochs=3, received "=3"'),
        ("a..b=3", '--set: must be KEY=VALUE, such as training.epochs=3, received "a..b=3"'),
        (
            "training.epochs=1.5",
            "--set: training.epochs must be a whole number of at least 1, received 1.5",
        ),
        (
            "training.epoch=1",
            "--set: training.epoch is not a known key; did you mean training.epochs?",
        ),
        ("epochs=1", "--set: epochs is not a known key; did you mean training.epochs?"),
        ("data.validation_share=0.95", "--set: data.validation_share must leave photos"),
        ("notes=[", "--set: notes: must be YAML: expected the node content, but found"),
        ("notes=*a", "--set: notes: must not use an alias (*a); write the value out"),
        ("extends=x.yaml", "--set: extends can be stated in a file only"),
        (".".join("a" * 50) + "=1", "is nested too deep"),
    ],
)
def test_a_wrong_override_is_one_line(refused: Refused, override: str, message: str) -> None:
    (line,) = refused(RIGHT, override)
    assert message in line


def test_photos_by_name_contradict_the_sample(refused: Refused) -> None:
    assert refused(RIGHT, "data.source=a.zip", sample=True) == [
        "--set: data.source names photos, and --sample asks for the built-in sample; leave out one"
    ]


def test_all_problems_come_at_once_in_the_order_of_the_files(
    refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "base.yaml").write_text("data: {image_size: 8}\nmodel: {wdth: 1}\n")
    text = """\
extends: base.yaml
training: {epochs: 0, epochs: 2, batch_size: none}
optimizer: {name: sgd, learning_rate: fast, momentun: 1}
model: {weights: &w random}
sample: {model: {width: 9}}
"""
    beginnings = [
        "x.yaml:2:20: training.epochs must",
        "x.yaml:2:23: training.epochs is stated twice",
        "x.yaml:2:46: training.batch_size must",
        "x.yaml:3:39: optimizer.learning_rate must",
        "x.yaml:3:45: optimizer.momentun",
        "x.yaml:4:18: must not use an anchor",
        "x.yaml:5:25: sample.model.width must",
        "base.yaml:1:20: data.image_size must",
        "base.yaml:2:9: model.wdth is not a known key; did you mean model.width?",
        "--set: data.limit must",
    ]
    lines = refused(text, "data.limit=1")
    assert [line[: len(start)] for line, start in zip(lines, beginnings, strict=True)] == beginnings


def test_very_many_problems_are_cut_short(refused: Refused) -> None:
    lines = refused(RIGHT + "".join(f"k{i}: 1\n" for i in range(200)))
    assert len(lines) == 51
    assert lines[-1] == "and 150 more problems"


def test_a_circle_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, base in (("a", "b"), ("b", "c"), ("c", "a")):
        Path(f"{name}.yaml").write_text(f"extends: {base}.yaml\n")
    with pytest.raises(ConfigurationError) as caught:
        load("a.yaml")
    assert str(caught.value) == (
        "c.yaml:1:10: extends a.yaml: must not lead in a circle, received "
        "a.yaml -> b.yaml -> c.yaml -> a.yaml"
    )


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (
            "lookahed_vgg19.yaml",
            "lookahed_vgg19.yaml: there is no such file; did you mean lookahead_vgg19.yaml?",
        ),
        (
            "lookahead_vgg19",
            "lookahead_vgg19: there is no such file; did you mean lookahead_vgg19.yaml?",
        ),
        ("qqq.yaml", "qqq.yaml: there is no such file"),
        ("no/x.yaml", "no/x.yaml: there is no such file, and no folder no"),
        (".", ".: must be a file, received a folder"),
        (
            "lookahead_vgg19.yaml/x",
            "lookahead_vgg19.yaml/x: there is no such file, and no folder lookahead_vgg19.yaml",
        ),
        ("\0", "\\x00: cannot be read: embedded null byte"),
        ("loop.yaml", "loop.yaml: cannot be read: Too many levels of symbolic links"),
    ],
)
def test_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lookahead_vgg19.yaml").write_text(RIGHT)
    Path("loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(ConfigurationError) as caught:
        load(named)
    assert str(caught.value) == message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_make_it_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigurationError, match="must be a file, received something else"):
        load(tmp_path / "pipe.yaml")


WORDS = [
    "1e-3", ".nan", "-.inf", "0", "-1", "99999999999999999999", "true", "null", "~", '"3"', "fast",
    "[1, 2]", "[]", "{}", "{a: b}", "{name: adam}", "{schedule: cosine}", "*a", "&a 1", "!!int 3",
    "name", "optimizer", "extends", "sample", "training", "x.yaml", "1" * 400, "1e400", "é", "<<",
]  # fmt: skip


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 4), sample=st.booleans())
def test_a_damaged_configuration_is_refused_or_right(
    tmp_path: Path, seed: int, count: int, sample: bool
) -> None:
    """Whatever happens to a file: a ConfigurationError, or an experiment that can be saved."""
    damage = random.Random(seed)
    text = RIGHT + "sample: {optimizer: {inner_optimizer: {clipnorm: 1}}, training: {epochs: 1}}\n"
    for _ in range(count):
        at, length = damage.randrange(len(text)), damage.randrange(12)
        tokens = [m for m in text.replace("{", " ").replace("}", " ").split() if m in text]
        kind = damage.randrange(4)
        if kind == 0:
            text = text[:at] + text[at + length :]
        elif kind == 1:
            text = text[:at] + damage.choice(WORDS) + text[at:]
        elif kind == 2:
            text = text.replace(damage.choice(tokens), damage.choice(WORDS), 1)
        else:
            text = text[:at] + text[at : at + length] * 2 + text[at + length :]
    file = tmp_path / "x.yaml"
    file.write_text(text, encoding="utf-8")
    loaded, refusal = None, ""
    try:
        loaded = load(file, sample=sample)
    except ConfigurationError as error:
        refusal = str(error)
    assert (loaded is None) == bool(refusal)
    if loaded is not None:
        file.write_text(as_yaml(loaded.experiment), encoding="utf-8")
        assert load(file).experiment == loaded.experiment
