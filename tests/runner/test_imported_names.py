"""`data.source: NAME`: a name stays a name in a config, and means the photos wherever they lie."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from optrun.data.sources import library
from optrun.runner.config.identity import experiment_hash
from optrun.runner.config.load import load
from optrun.runner.config.problems import ConfigurationError
from optrun.runner.config.schema import as_yaml

CONFIG = "training: {epochs: 1}\noptimizer: {name: sgd, learning_rate: 0.01}\n"
Optrun = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path,
    photo_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_archive: Callable[[Path, Sequence[str]], Path],
) -> Path:
    monkeypatch.setenv("OPTRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    names = [f"{kind}.{i}.jpg" for i in range(40) for kind in ("cat", "dog")]
    library.register("pets", make_archive(tmp_path / "archive.zip", names), "ab" * 32)
    (tmp_path / "x.yaml").write_text(CONFIG + "data: {source: pets}\n")
    return tmp_path


def test_a_name_in_a_file_and_after_set_stays_a_name(folder: Path) -> None:
    assert load("x.yaml").experiment.data.source == "pets"
    (folder / "y.yaml").write_text(CONFIG)
    experiment = load("y.yaml", ["data.source=pets"]).experiment
    assert experiment.data.source == "pets"
    (folder / "again.yaml").write_text(as_yaml(experiment))
    assert load("again.yaml").experiment == experiment


def test_a_path_of_the_same_word_is_the_path(folder: Path) -> None:
    experiment = load("x.yaml", ["data.source=./pets"]).experiment
    assert experiment.data.source == str(folder / "pets")


def test_a_word_that_nobody_imported_is_a_path_as_before(folder: Path) -> None:
    (folder / "photos").mkdir()
    assert load("x.yaml", ["data.source=photos"]).experiment.data.source == str(folder / "photos")


def test_a_name_and_a_path_are_one_experiment(folder: Path) -> None:
    by_name = load("x.yaml").experiment
    by_path = load("x.yaml", [f"data.source={folder}/archive.zip"]).experiment
    public = load("x.yaml", ["data.source=cats_vs_dogs"]).experiment
    assert experiment_hash(by_name) == experiment_hash(by_path) != experiment_hash(public)


@pytest.mark.parametrize("override", [(), ("data.source=pest",)])
def test_a_misspelt_name_is_told_before_anything_runs(
    override: tuple[str, ...], folder: Path
) -> None:
    (folder / "x.yaml").write_text(CONFIG + "data: {source: pest}\n")
    with pytest.raises(ConfigurationError, match=r'received "pest"; did you mean pets\?'):
        load("x.yaml", override)


def test_a_path_that_only_ends_like_a_name_is_no_misspelt_name(folder: Path) -> None:
    source = load("x.yaml", ["data.source=/mnt/disk/pest"]).experiment.data.source
    assert source == "/mnt/disk/pest"


def test_config_and_dry_run_say_the_name(optrun: Optrun) -> None:
    code, out, _ = optrun("config", "show", "x.yaml")
    assert code == 0
    assert any(line.split() == ["source:", "pets", "#", "x.yaml:3"] for line in out.splitlines())
    code, out, _ = optrun("config", "check", "x.yaml")
    assert code == 0
    assert "; pets at 224 px; " in out
    code, out, err = optrun("train", "x.yaml", "--set", "model.weights=random", "--dry-run")
    assert code == 0, err
    assert "about 80 of 224 x 224 px" in out


def test_a_run_whose_photos_are_gone_says_where_they_were(optrun: Optrun, folder: Path) -> None:
    (folder / "archive.zip").unlink()
    code, _, err = optrun("train", "x.yaml", "--set", "model.weights=random", "--dry-run")
    assert code == 2
    assert f"The photos named pets lay at {folder}/archive.zip, where nothing is now." in err
