"""`optrun evaluate` as a person meets it, on a tiny run trained on photos of noise."""

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.metrics import roc_auc_score

Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]
MakeArchive = Callable[[Path, list[str]], Path]


def content_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def measured(optrun: Optrun, *arguments: object) -> dict:
    code, out, err = optrun("evaluate", *arguments, "--format", "json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_runs_own_photos_are_measured_as_when_it_was_trained(
    optrun: Optrun, trained_run: Path, tmp_path: Path
) -> None:
    before = content_of(trained_run)
    found = measured(optrun, trained_run)
    recorded = json.loads((trained_run / "run.json").read_text())["result"]
    parts = found["parts"]
    assert list(parts) == ["validation", "test"]
    for part, accuracy in (("validation", "best_validation_accuracy"), ("test", "test_accuracy")):
        assert parts[part]["accuracy"]["value"] == pytest.approx(recorded[accuracy])
    assert parts["validation"]["log_loss"]["value"] == pytest.approx(
        recorded["best_validation_loss"], abs=1e-6
    )
    assert parts["test"]["roc_auc"]["value"] == pytest.approx(recorded["test_roc_auc"])
    with np.load(trained_run / "predictions.npz") as kept:
        assert parts["test"]["roc_auc"]["value"] == pytest.approx(
            roc_auc_score(kept["test_labels"], kept["test_logits"])
        )
        assert parts["test"]["photos"] == len(kept["test_ids"])
        assert {one["photo"] for one in found["most_wrong"]} <= {
            *kept["test_ids"],
            *kept["validation_ids"],
        }
    assert content_of(trained_run) == before
    sheet = tmp_path / f"most-wrong-{trained_run.name}.png"
    with Image.open(sheet) as image:
        assert image.format == "PNG"
    assert [path.name for path in tmp_path.iterdir()] == [sheet.name]


def test_the_table_says_what_it_measured_and_fits_80_columns(
    optrun: Optrun, trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = optrun("evaluate", trained_run)
    assert code == 0
    lines = out.splitlines()
    for label in ("accuracy", "log loss", "ROC AUC", "Brier score", "calibration error", "cats"):
        assert any(line.startswith(label) for line in lines), label
    assert "95% intervals" in out
    assert "sample" not in out
    path = json.loads((trained_run / "run.json").read_text())["provenance"]["photos_source"]
    sheet = f"most-wrong-{trained_run.name}.png"
    assert max(len(line) for line in lines if path not in line and sheet not in line) <= 80


def test_csv_has_a_line_for_each_part(optrun: Optrun, trained_run: Path, tmp_path: Path) -> None:
    code, out, err = optrun("evaluate", trained_run, "--format", "csv", "--no-sheet")
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["part"] for row in rows] == ["validation", "test"]
    for row in rows:
        assert float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"])
        counts = [
            int(row[f"{truth}s_said_{said}"]) for truth in ("cat", "dog") for said in ("cat", "dog")
        ]
        assert sum(counts) == int(row["photos"])
    assert not list(tmp_path.iterdir())


def test_photos_that_it_was_trained_on_are_left_out_of_other_photos(
    optrun: Optrun,
    trained_run: Path,
    kaggle_archive: Path,
    tmp_path: Path,
    make_archive: MakeArchive,
) -> None:
    own = measured(optrun, trained_run, "--no-sheet")["parts"]
    others = tmp_path / "others.zip"
    # New noise, named so that its order is another, beside all photos of the run's own.
    with zipfile.ZipFile(others, "w") as archive, zipfile.ZipFile(kaggle_archive) as kept:
        for name in kept.namelist():
            archive.writestr(
                name.replace("train/", "photos/").replace(".", "/0", 1), kept.read(name)
            )
        names = [f"{kind}/{index}.jpg" for index in range(60, 70) for kind in ("cat", "dog")]
        fresh = make_archive(tmp_path / "fresh.zip", [f"{i}" for i in range(150)])
        with zipfile.ZipFile(fresh) as noise:
            for index, name in enumerate(names):
                archive.writestr(f"photos/{name}", noise.read(str(120 + index)))
    found = measured(optrun, trained_run, "--data", others, "--no-sheet")
    kept_count = own["validation"]["photos"] + own["test"]["photos"]
    assert list(found["parts"]) == ["photos"]
    assert found["parts"]["photos"]["photos"] == kept_count + 20
    assert found["photos"]["training_photos_left_out"] == 100 - kept_count
    assert any(f"{100 - kept_count} photos that it was trained on" in n for n in found["notes"])
    assert any("chose its best epoch" in note for note in found["notes"])


def test_a_photo_saved_anew_without_loss_is_known_by_its_pixels(
    optrun: Optrun, trained_run: Path, kaggle_archive: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    with zipfile.ZipFile(kaggle_archive) as kept:
        for name in kept.namelist():
            pixels = tf.io.decode_jpeg(kept.read(name), dct_method="INTEGER_FAST").numpy()
            kind = name.split("/")[1].split(".")[0]
            target = tmp_path / "png" / kind / f"{name.split('.')[1]}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(target)
    own = measured(optrun, trained_run, "--no-sheet")["parts"]
    found = measured(optrun, trained_run, "--data", tmp_path / "png", "--no-sheet")
    kept_count = own["validation"]["photos"] + own["test"]["photos"]
    assert found["parts"]["photos"]["photos"] == kept_count


def test_training_photos_alone_are_refused(
    optrun: Optrun, trained_run: Path, kaggle_archive: Path, tmp_path: Path
) -> None:
    with np.load(trained_run / "predictions.npz") as kept:
        unseen = {*kept["validation_ids"].tolist(), *kept["test_ids"].tolist()}
    with zipfile.ZipFile(kaggle_archive) as source:
        trained_on = [n for n in source.namelist() if Path(n).name not in unseen]
        with zipfile.ZipFile(tmp_path / "seen.zip", "w") as archive:
            for name in trained_on:
                archive.writestr(name, source.read(name))
    code, _, err = optrun("evaluate", trained_run, "--data", tmp_path / "seen.zip")
    assert code == 2
    assert "not trained on" in err


def test_photos_of_one_class_have_no_auc(
    optrun: Optrun, trained_run: Path, kaggle_archive: Path, tmp_path: Path
) -> None:
    """All dogs are training photos, so that cats alone are left."""
    with np.load(trained_run / "predictions.npz") as kept:
        unseen = {*kept["validation_ids"].tolist(), *kept["test_ids"].tolist()}
    with zipfile.ZipFile(kaggle_archive) as source:
        names = [n for n in source.namelist() if ("cat" in n) == (Path(n).name in unseen)]
        with zipfile.ZipFile(tmp_path / "cats.zip", "w") as archive:
            for name in names:
                archive.writestr(name, source.read(name))
    found = measured(optrun, trained_run, "--data", tmp_path / "cats.zip", "--no-sheet")
    assert found["parts"]["photos"]["roc_auc"] is None
    assert any("ROC AUC is not defined" in note for note in found["notes"])
    code, out, _ = optrun("evaluate", trained_run, "--data", tmp_path / "cats.zip", "--no-sheet")
    assert code == 0
    assert "not defined" in out


def test_the_mirror_image_counts_half(optrun: Optrun, trained_run: Path) -> None:
    from optrun.runner.inference.classifier import open_trained

    found = measured(optrun, trained_run, "--no-sheet", "--flip")
    trained = open_trained(trained_run, device="cpu")
    photos, split, _ = trained.evaluated_photos()
    pixels, dogs = photos.pixels[split["test"]], photos.labels[split["test"]] == 1
    both = [trained.model.predict_on_batch(one)[:, 0] for one in (pixels, pixels[:, :, ::-1])]
    logits = np.mean(both, axis=0, dtype=np.float64)
    losses = np.log1p(np.exp(np.where(dogs, -logits, logits)))
    assert found["flip"] is True
    assert found["parts"]["test"]["log_loss"]["value"] == pytest.approx(losses.mean(), abs=1e-6)


@pytest.fixture
def changed(trained_run: Path, kaggle_archive: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the run whose source is a folder, and that folder; both may be changed."""
    run, source = tmp_path / "copies" / "changed-s1-abcdef", tmp_path / "own"
    shutil.copytree(trained_run, run)
    with zipfile.ZipFile(kaggle_archive) as archive:
        archive.extractall(source)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["source"] = str(source)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run, source


def test_a_source_that_changed_is_measured_as_far_as_its_photos_are_there(
    optrun: Optrun, trained_run: Path, changed: tuple[Path, Path], make_archive: MakeArchive
) -> None:
    run, source = changed
    whole = measured(optrun, trained_run, "--no-sheet")["parts"]
    fresh = make_archive(source.parent / "fresh.zip", [f"{i}" for i in range(150)])
    with zipfile.ZipFile(fresh) as noise, np.load(run / "predictions.npz") as kept:
        for index in range(100, 110):  # photos that came later are none of the run's
            (source / "train" / f"cat.{index}.jpg").write_bytes(noise.read(str(index)))
        gone, copy = kept["test_ids"][:2]
    shutil.copy(source / "train" / copy, source / "train" / f"{copy[:3]}.500.jpg")
    (source / "train" / gone).unlink()
    found = measured(optrun, run, "--no-sheet")
    assert found["parts"]["validation"] == whole["validation"]
    count = whole["test"]["photos"]
    assert found["parts"]["test"]["photos"] == count - 1
    assert any(f"has 1 of its {count} test photos no more" in note for note in found["notes"])
    shutil.rmtree(source / "train")
    (source / "train").mkdir()
    with zipfile.ZipFile(fresh) as noise:
        for index in range(120, 140):
            name = f"{('cat', 'dog')[index % 2]}.{index}.jpg"
            (source / "train" / name).write_bytes(noise.read(str(index)))
    code, _, err = optrun("evaluate", run, "--no-sheet")
    assert code == 2
    assert "None of the validation and test photos" in err


def test_photos_added_where_it_was_trained_bring_no_training_photo_into_the_measure(
    optrun: Optrun, changed: tuple[Path, Path], make_archive: MakeArchive
) -> None:
    run, source = changed
    fresh = make_archive(source.parent / "fresh.zip", [f"{i}" for i in range(150)])
    with zipfile.ZipFile(fresh) as noise:
        for index in range(100, 108):
            (source / "train" / f"cat.{index}.jpg").write_bytes(noise.read(str(index)))
    with np.load(run / "photos.npz") as kept:
        trained_on = int(np.sum(kept["parts"] == 1))
        count = len(kept["parts"])
    arguments = (run, "--data", source, "--no-sheet")
    found = measured(optrun, *arguments)
    assert found["photos"]["training_photos_left_out"] == trained_on
    assert found["photos_trained_on"] == 0
    assert found["parts"]["photos"]["photos"] == count - trained_on + 8
    everything = (*arguments, "--include-training-photos")
    said = f"MEASURED ON TRAINING PHOTOS: {trained_on} of {count + 8} are such"
    assert optrun("evaluate", *everything)[1].splitlines()[0] == said
    code, out, err = optrun("evaluate", *everything, "--format", "csv")
    assert (code, err.splitlines()[-1]) == (0, said)
    assert out.splitlines()[0].startswith("trained_on,part,")
    code, out, _ = optrun("evaluate", *everything, "--format", "json")
    assert out.splitlines()[1] == f' "photos_trained_on": {trained_on},'
    # A run of before photos were kept, whose source has changed, cannot tell.
    (run / "photos.npz").unlink()
    code, out, err = optrun("evaluate", *arguments)
    assert (code, out) == (2, "")
    assert "give --include-training-photos" in err
    code, out, _ = optrun("evaluate", *everything)
    assert out.startswith(f"PERHAPS MEASURED ON TRAINING PHOTOS: any of {count + 8} may be one")


def test_labels_that_are_swapped_are_told(
    optrun: Optrun, changed: tuple[Path, Path], tmp_path: Path
) -> None:
    run, source = changed
    for path in (source / "train").iterdir():
        kind, number, _ = path.name.split(".")
        other = tmp_path / "swapped" / {"cat": "dogs", "dog": "cats"}[kind] / f"{number}.jpg"
        other.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, other)
    found = measured(optrun, run, "--data", tmp_path / "swapped", "--no-sheet")
    told = "Of 100 photos of the run's own, 100 are labelled the opposite in "
    assert any(one.startswith(told) and "swapped there?" in one for one in found["notes"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sheet", "mistakes.jpg"], "must be the name of a .png file"),
        (["--sheet", "nowhere/mistakes.png"], "--sheet must name a file in a folder that exists"),
        (["--sheet", "a.png", "--no-sheet"], "contradict"),
        (["--data", "nowhere.zip", "--no-sheet"], "nowhere.zip"),
        (["--include-training-photos", "--no-sheet"], "of photos that --data names"),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    optrun: Optrun, trained_run: Path, arguments: list[str], words: str
) -> None:
    code, out, err = optrun("evaluate", trained_run, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_the_sheet_never_goes_into_the_runs_folder(
    optrun: Optrun, trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content_of(trained_run)
    monkeypatch.chdir(trained_run)
    for arguments in ([], ["--sheet", "checkpoint/mistakes.png"]):
        code, _, err = optrun("evaluate", ".", *arguments)
        assert code == 2
        assert "outside of the run's folder" in err
    assert content_of(trained_run) == before


def test_the_sheet_can_be_named(optrun: Optrun, trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mistakes.png").write_bytes(b"an older one")
    code, out, _ = optrun("evaluate", trained_run, "--sheet", "mistakes.png")
    assert code == 0
    assert "mistakes.png" in out
    with Image.open(tmp_path / "mistakes.png") as image:
        assert image.format == "PNG"


def test_a_run_on_the_sample_says_so(trained_run: Path, tmp_path: Path, optrun: Optrun) -> None:
    copy = tmp_path / "copies" / "sample-s1-abcdef"
    shutil.copytree(trained_run, copy)
    content = json.loads((copy / "run.json").read_text())
    content["sample"] = True
    (copy / "run.json").write_text(json.dumps(content))
    assert "numbers say nothing about real photos" in optrun("evaluate", copy)[1]
