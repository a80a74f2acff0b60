"""Loading an experiment: files over files, the sample section, overrides, origins."""

import functools
import operator
from collections.abc import Callable
from pathlib import Path

import pytest
from optrun.runner.config.identity import ADDED_KEYS, experiment_hash
from optrun.runner.config.load import load
from optrun.runner.config.schema import Experiment, as_mapping, as_yaml
from pydantic import ValidationError

Write = Callable[..., Path]

BASE = """
data: {image_size: 64}
training: {epochs: 3, batch_size: 8}
"""
SGD = """
extends: base.yaml
optimizer: {name: sgd, learning_rate: 1e-4, momentum: 0.9}
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def writes(**texts: str) -> Path:
        for name, text in texts.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return tmp_path / f"{name}.yaml"

    return writes


def test_a_file_lies_over_the_file_it_extends(write: Write) -> None:
    file = write(base=BASE, sgd=SGD + "training: {batch_size: 32}\n")
    experiment = load(file).experiment
    assert (experiment.training.epochs, experiment.training.batch_size) == (3, 32)
    assert experiment.data.image_size == 64


def test_bases_chain_each_relative_to_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "root.yaml").write_text("training: {epochs: 7}\n")
    (tmp_path / "shared" / "middle.yaml").write_text("extends: root.yaml\ndata: {limit: 9}\n")
    (tmp_path / "own.yaml").write_text(
        "extends: shared/middle.yaml\noptimizer: {name: sgd, learning_rate: 1}\n"
    )
    experiment = load(tmp_path / "own.yaml").experiment
    assert (experiment.training.epochs, experiment.data.limit) == (7, 9)


def test_the_name_is_that_of_the_file_and_never_a_base_s(write: Write) -> None:
    assert load(write(base=BASE + "name: shared\n", sgd=SGD)).experiment.name == "sgd"
    assert load(write(mine=SGD + "name: other\n")).experiment.name == "other"


def test_a_file_name_becomes_a_name_for_folders(tmp_path: Path) -> None:
    file = tmp_path / "my first (really).v2.yaml"
    file.write_text("training: {epochs: 1}\noptimizer: {name: sgd, learning_rate: 1}\n")
    assert load(file).experiment.name == "my-first-really-.v2"


def test_another_optimizer_does_not_inherit_the_first_one_s_settings(write: Write) -> None:
    file = write(
        base=BASE, sgd=SGD, adam="extends: sgd.yaml\noptimizer: {name: adam, learning_rate: 1e-5}\n"
    )
    assert "momentum" not in load(file).experiment.optimizer


def test_another_schedule_replaces_the_first(write: Write) -> None:
    exponential = (
        "{schedule: exponential, initial_learning_rate: 0.1, decay_updates: 10, decay_rate: 0.5}"
    )
    file = write(
        base=BASE + f"optimizer: {{name: sgd, learning_rate: {exponential}}}\n",
        cosine="extends: base.yaml\n"
        "optimizer: {learning_rate: {schedule: cosine, initial_learning_rate: 0.2}}\n",
    )
    rate = load(file).experiment.optimizer["learning_rate"]
    assert (rate["schedule"], rate["initial_learning_rate"]) == ("cosine", 0.2)
    assert "decay_rate" not in rate


def test_overrides_reach_any_key_and_the_later_wins(write: Write) -> None:
    file = write(base=BASE, sgd=SGD)
    experiment = load(
        file,
        [
            "training.epochs=5",
            "training.epochs=6",
            "model.head.hidden_units=[64, 32]",
            "optimizer.learning_rate=1e-2",
            "notes='twice: as fast'",
        ],
    ).experiment
    assert experiment.training.epochs == 6
    assert experiment.model.head.hidden_units == (64, 32)
    assert experiment.optimizer["learning_rate"] == 0.01
    assert experiment.optimizer["momentum"] == 0.9
    assert experiment.notes == "twice: as fast"


@pytest.mark.parametrize("order", [1, -1])
def test_an_overridden_optimizer_starts_anew_in_any_order(write: Write, order: int) -> None:
    file = write(base=BASE, sgd=SGD)
    overrides = ["optimizer.name=adam", "optimizer.learning_rate=1e-3"][::order]
    optimizer = load(file, overrides).experiment.optimizer
    assert (optimizer["name"], optimizer["learning_rate"]) == ("adam", 0.001)
    assert "momentum" not in optimizer


def test_quoted_numbers_count_as_numbers(write: Write) -> None:
    file = write(
        a='training: {epochs: 1}\nmodel: {head: {dropout: "0.25"}}\n'
        'optimizer: {name: sgd, learning_rate: "1e-3"}\n'
    )
    experiment = load(file).experiment
    assert experiment.model.head.dropout == 0.25
    assert experiment.optimizer["learning_rate"] == 0.001


SAMPLED = (
    SGD
    + """
sample:
  data: {image_size: 32}
  training: {epochs: 9}
  optimizer: {learning_rate: 0.01}
"""
)


def test_the_sample_section_counts_only_on_the_sample(write: Write) -> None:
    file = write(base=BASE + "sample: {model: {weights: random, width: 0.25}}\n", sgd=SAMPLED)
    real, drawn = load(file).experiment, load(file, sample=True).experiment
    assert (real.data.source, real.data.image_size, real.training.epochs) == ("cats_vs_dogs", 64, 3)
    assert real.optimizer["learning_rate"] == 1e-4
    assert (drawn.data.source, drawn.data.image_size, drawn.training.epochs) == ("sample", 32, 9)
    assert (drawn.model.weights, drawn.model.width) == ("random", 0.25)
    assert (drawn.optimizer["learning_rate"], drawn.optimizer["momentum"]) == (0.01, 0.9)
    assert drawn.sample == {}


def test_the_sample_section_counts_where_the_source_is_the_sample(write: Write) -> None:
    file = write(base=BASE, sgd=SAMPLED)
    assert load(file, ["data.source=sample"]).experiment.training.epochs == 9


def test_an_override_outranks_the_sample_section(write: Write) -> None:
    file = write(base=BASE, sgd=SAMPLED)
    assert load(file, ["training.epochs=2"], sample=True).experiment.training.epochs == 2
    assert load(file, ["sample.training.epochs=4"], sample=True).experiment.training.epochs == 4


def test_sample_settings_of_a_replaced_optimizer_go_with_it(write: Write) -> None:
    sgd = SGD + "sample: {training: {epochs: 1}, optimizer: {momentum: 0.5}}\n"
    file = write(
        base=BASE,
        sgd=sgd,
        adam="extends: sgd.yaml\noptimizer: {name: adam, learning_rate: 1e-5}\n",
    )
    assert load(file).experiment.sample == {"training": {"epochs": 1}}
    assert load(file, sample=True).experiment.optimizer["learning_rate"] == 1e-5
    overridden = load(file.with_name("sgd.yaml"), ["optimizer={name: adam, learning_rate: 1}"])
    assert overridden.experiment.sample == {"training": {"epochs": 1}}


def test_paths_are_relative_to_the_file_or_for_an_override_to_the_working_directory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    file = write(base=BASE, sgd=SGD + "data: {source: photos/a.zip}\nmodel: {weights: ../w.h5}\n")
    experiment = load(file).experiment
    assert experiment.data.source == str(tmp_path / "photos" / "a.zip")
    assert experiment.model.weights == str(tmp_path.parent.resolve() / "w.h5")
    experiment = load(file, ["data.source=b.zip"]).experiment
    assert experiment.data.source == str(tmp_path / "elsewhere" / "b.zip")


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("data.source", "sample"),
        ("data.source", "cats_vs_dogs"),
        ("model.weights", "imagenet"),
        ("model.weights", "random"),
    ],
)
def test_words_are_no_paths(write: Write, key: str, word: str) -> None:
    loaded = load(write(base=BASE, sgd=SGD), [f"{key}={word}"])
    section, name = key.split(".")
    assert loaded.resolved[section][name] == word


def test_each_value_knows_where_it_comes_from(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(base=BASE, sgd=SAMPLED)
    monkeypatch.chdir(tmp_path)
    loaded = load("sgd.yaml", ["training.batch_size=4"], sample=True)
    assert {
        path: loaded.origins[path]
        for path in [
            ("name",),
            ("data", "source"),
            ("data", "image_size"),
            ("data", "limit"),
            ("optimizer", "momentum"),
            ("optimizer", "nesterov"),
            ("optimizer", "learning_rate"),
            ("training", "batch_size"),
        ]
    } == {
        ("name",): "file name",
        ("data", "source"): "--sample",
        ("data", "image_size"): "sgd.yaml:6",
        ("data", "limit"): "default",
        ("optimizer", "momentum"): "sgd.yaml:3",
        ("optimizer", "nesterov"): "default",
        ("optimizer", "learning_rate"): "sgd.yaml:8",
        ("training", "batch_size"): "--set",
    }
    assert load("sgd.yaml").origins["training", "epochs"] == "base.yaml:3"


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["name='1e5'", "notes='no\n # yes'"],
        ["data.source=photos.zip", "model.trainable=block3", "training.jit_compile=true"],
        ["optimizer={name: adam, learning_rate: {schedule: cosine, initial_learning_rate: 1}}"],
        # Makes no sense together with the sample section's momentum.
        ["optimizer.nesterov=true"],
    ],
)
def test_a_resolved_configuration_is_a_configuration_for_the_same_experiment(
    write: Write, tmp_path: Path, overrides: list[str], sample: bool
) -> None:
    file = write(base=BASE, sgd=SGD + "sample: {optimizer: {clipnorm: 1}, training: {epochs: 1}}\n")
    if sample:
        overrides = [override for override in overrides if not override.startswith("data.source")]
    loaded = load(file, overrides, sample=sample)
    (tmp_path / "config.yaml").write_text(as_yaml(loaded.experiment), encoding="utf-8")
    again = load(tmp_path / "config.yaml")
    assert again.experiment == loaded.experiment
    assert again.resolved == loaded.resolved


def test_a_sample_section_that_an_override_leaves_without_sense_is_not_saved(
    write: Write, tmp_path: Path
) -> None:
    file = write(base=BASE, sgd=SGD + "sample: {optimizer: {momentum: 0}}\n")
    loaded = load(file, ["optimizer.nesterov=true"])
    assert loaded.experiment.sample == {}
    (tmp_path / "config.yaml").write_text(as_yaml(loaded.experiment))
    assert load(tmp_path / "config.yaml").experiment == loaded.experiment


def test_an_experiment_is_frozen(write: Write) -> None:
    experiment = load(write(base=BASE, sgd=SGD)).experiment
    with pytest.raises(ValidationError, match="frozen"):
        experiment.training.epochs = 4


def test_an_experiment_made_in_python_keeps_the_same_rules() -> None:
    stated = {
        "name": "x",
        "training": {"epochs": 1},
        "optimizer": {"name": "sgd", "learning_rate": 1},
    }
    with pytest.raises(ValidationError, match=r"model\.width\s+must be 1"):
        Experiment.model_validate(stated | {"model": {"width": 0.5}})
    with pytest.raises(ValidationError, match="momentun"):
        Experiment.model_validate(
            stated | {"optimizer": {"name": "sgd", "learning_rate": 1, "momentun": 0}}
        )


def test_experiments_that_differ_only_in_name_seed_and_place_have_one_hash(write: Write) -> None:
    file = write(base=BASE, sgd=SGD)
    first = experiment_hash(load(file, ["data.source=a.zip", "model.weights=w.h5"]).experiment)
    second = load(
        file,
        [
            "name=other",
            "notes=later",
            "training.seed=5",
            "training.tensorboard=true",
            "data.when_unavailable=sample",
            "data.source=elsewhere/b.zip",
            "model.weights=elsewhere/v.h5",
            "sample.training.epochs=1",
        ],
    ).experiment
    assert experiment_hash(second) == first


@pytest.mark.parametrize(
    "override",
    ["optimizer.momentum=0.8", "training.batch_size=4", "data.source=sample", "model.width=0.5"],
)
def test_experiments_that_differ_in_substance_have_different_hashes(
    write: Write, override: str
) -> None:
    file = write(base=BASE, sgd=SGD)
    common = ["model.weights=random"]
    assert experiment_hash(load(file, common).experiment) != experiment_hash(
        load(file, [*common, override]).experiment
    )


def test_keys_that_came_later_count_only_where_they_change_something(write: Write) -> None:
    # So that runs from before those keys belong to the same experiment.
    file = write(base=BASE, sgd=SGD)
    plain = load(file, ["data.source=sample", "model.weights=random"]).experiment
    shortened = as_mapping(plain)
    for *sections, key in ADDED_KEYS:
        del functools.reduce(operator.getitem, sections, shortened)[key]
    assert experiment_hash(Experiment.model_validate(shortened)) == experiment_hash(plain)
    for stated in (
        "data.resize=crop",
        "data.antialias=true",
        "data.augmentation.brightness=0.1",
        "data.augmentation.contrast=0.1",
    ):
        other = load(file, ["data.source=sample", "model.weights=random", stated]).experiment
        assert experiment_hash(other) != experiment_hash(plain)


def test_the_hash_of_an_experiment_never_changes(write: Write) -> None:
    # Computed before the keys that came later were there.
    stated = {
        "name": "x",
        "data": {"source": "sample"},
        "model": {"weights": "random"},
        "training": {"epochs": 1},
        "optimizer": {"name": "sgd", "learning_rate": 1},
    }
    assert experiment_hash(Experiment.model_validate(stated)).startswith("b924207ff762c46e")


def test_a_whole_number_where_a_fraction_is_meant_is_the_same_experiment(write: Write) -> None:
    file = write(base=BASE, sgd=SGD)
    hashes = {
        experiment_hash(load(file, [f"optimizer.clipnorm={one}"]).experiment)
        for one in ("1", "1.0", "'1'", "1e0")
    }
    assert len(hashes) == 1
