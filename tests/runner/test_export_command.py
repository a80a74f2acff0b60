"""`optrun export`: what it writes opens without optrun, in safe mode, with the same numbers."""

import json
import os
import shutil
import site
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]

OPENED_BY_ANYBODY = """
import sys
import numpy as np
try:
    import optimizers, runner
except ImportError:
    pass
else:
    sys.exit("optrun is importable here")
import keras, tensorflow as tf
photos = np.load("photos.npy")
model = keras.models.load_model(sys.argv[1], safe_mode=True)
np.save("keras.npy", model.predict(photos, verbose=0))
model = tf.saved_model.load(sys.argv[2])
np.save("savedmodel.npy", model.serve(photos).numpy())
(served,) = model.signatures["serving_default"](tf.constant(photos)).values()
assert np.array_equal(served.numpy(), model.serve(photos).numpy())
assert not {name.split(".")[0] for name in sys.modules} & {"optrun", "runner", "optimizers"}
"""


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def own_probabilities(trained_run: Path, photos: np.ndarray) -> np.ndarray:
    """What `optrun predict` says of the same pixels."""
    from optrun.runner.inference.classifier import open_trained
    from optrun.runner.inference.prediction import Prediction

    found = open_trained(trained_run, device="cpu").logits(photos)
    return np.array([Prediction("", float(one)).positive_probability for one in found])


@pytest.fixture(scope="module")
def exported(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.keras and, as a SavedModel, model/."""
    from optrun.runner.inference.export import export

    folder = tmp_path_factory.mktemp("exported")
    before = {path: path.stat().st_mtime_ns for path in trained_run.rglob("*")}
    for name in ("model.keras", "model"):
        export(str(trained_run), str(folder / name))
    assert {path.name for path in folder.iterdir()} == {"model.keras", "model"}
    assert {path: path.stat().st_mtime_ns for path in trained_run.rglob("*")} == before
    return folder


def test_it_opens_without_optrun_and_gives_the_numbers_of_predict(
    exported: Path, photos: np.ndarray, own_probabilities: np.ndarray, tmp_path: Path
) -> None:
    """In a fresh process that has Keras and TensorFlow, and not optrun."""
    np.save(tmp_path / "photos.npy", photos)
    # The packages alone: what an installation in place adds to the path stands in a .pth file,
    # which is not read without the module site (-S).
    packages = next(place for place in site.getsitepackages() if Path(place, "keras").is_dir())
    done = subprocess.run(
        [
            *(sys.executable, "-I", "-S", "-c"),
            f"import sys; sys.path.append({packages!r})\n{OPENED_BY_ANYBODY}",
            *(str(exported / "model.keras"), str(exported / "model")),
        ],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for kind in ("keras", "savedmodel"):
        found = np.load(tmp_path / f"{kind}.npy")
        assert (found.shape, found.dtype) == ((7, 1), np.float32)
        assert np.allclose(found[:, 0], own_probabilities, rtol=0, atol=1e-6)


def test_it_consists_of_stock_layers_in_float32_without_an_optimizer(exported: Path) -> None:
    model = keras.models.load_model(exported / "model.keras")
    assert type(model).__module__.startswith("keras.")
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    assert {layer.dtype_policy.name for layer in model.layers[1:]} == {"float32"}
    assert not model.compiled
    with zipfile.ZipFile(exported / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    assert config["module"].startswith("keras")
    assert "optimizers" not in json.dumps(config)


def test_it_has_the_weights_of_the_checkpoint(exported: Path, trained_run: Path) -> None:
    with np.load(trained_run / "checkpoint" / "best" / "weights.npz") as kept:
        weights = [kept[name] for name in sorted(kept.files)]
    found = keras.models.load_model(exported / "model.keras").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(found, weights, strict=True))


def test_it_says_within_what_goes_in_and_what_comes_out(exported: Path, trained_run: Path) -> None:
    with zipfile.ZipFile(exported / "model.keras") as archive:
        within = archive.read("README.md").decode()
    beside = (exported / "model" / "README.md").read_text()
    for text, line in (
        (within, 'load_model("model.keras")'),
        (beside, 'saved_model.load("model")'),
    ):
        assert trained_run.name in text
        assert "uint8 [n, 32, 32, 3]: RGB" in text
        assert "squashed to a square, bilinear, without antialiasing" in text
        assert "probability of a dog" in text
        assert line in text


def test_a_run_in_mixed_precision_is_exported_in_float32(
    optrun: Optrun,
    trained_run: Path,
    photos: np.ndarray,
    own_probabilities: np.ndarray,
    tmp_path: Path,
) -> None:
    copy = tmp_path / "copies" / "mixed-s1-abcdef"
    shutil.copytree(trained_run, copy)
    content = json.loads((copy / "run.json").read_text())
    content["comparable"]["precision"] = "mixed_bfloat16"
    (copy / "run.json").write_text(json.dumps(content))
    code, out, _ = optrun("export", copy, "-o", tmp_path / "mixed.keras")
    assert code == 0
    assert "trained in mixed_bfloat16, exported in float32" in out
    model = keras.models.load_model(tmp_path / "mixed.keras")
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}
    found = model.predict_on_batch(photos)[:, 0]
    assert np.allclose(found, own_probabilities, rtol=0, atol=1e-6)


def test_a_saved_model_holds_every_weight_once(exported: Path) -> None:
    model = keras.models.load_model(exported / "model.keras")
    weights_bytes = sum(np.asarray(one).nbytes for one in model.weights)
    (stored,) = (exported / "model" / "variables").glob("*.data-*")
    assert weights_bytes <= stored.stat().st_size < 1.2 * weights_bytes


def test_what_exists_is_replaced_with_force_alone(
    optrun: Optrun, trained_run: Path, tmp_path: Path
) -> None:
    file, folder = tmp_path / "model.keras", tmp_path / "model"
    file.write_bytes(b"precious")
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"precious")
    for path in (file, folder):
        code, _, err = optrun("export", trained_run, "-o", path)
        assert code == 2
        assert "--force" in err
    assert file.read_bytes() == (folder / "saved_model.pb").read_bytes() == b"precious"
    for path in (file, folder):
        assert optrun("export", trained_run, "-o", path, "--force")[0] == 0
    assert zipfile.is_zipfile(file)
    assert (folder / "saved_model.pb").stat().st_size > 1000
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "model"}


def test_a_folder_of_somebodys_own_is_never_replaced(
    optrun: Optrun, trained_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("dear")
    code, _, err = optrun("export", trained_run, "-o", tmp_path / "letters", "--force")
    assert code == 2
    assert "is no SavedModel" in err
    assert (tmp_path / "letters" / "mine.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MODEL.KERAS", "Keras opens no file that ends in .KERAS. Write it as -o "),
        ("model.h5", "must end in .keras, or name a folder"),
        ("nowhere/model.keras", "in a folder that exists"),
        ("nowhere/model", "within one that exists"),
        ("file.txt/model", "within one that exists"),
    ],
)
def test_places_that_cannot_be_are_told_before_anything_is_computed(
    optrun: Optrun, trained_run: Path, tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "file.txt").write_text("")
    code, out, err = optrun("export", trained_run, "-o", tmp_path / name)
    assert (code, out) == (2, "")
    assert words in err
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_failure_leaves_the_old_model_and_nothing_else(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optrun.runner.errors import UserError
    from optrun.runner.inference import export as exporting

    def full_disk(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "sync", full_disk)
    for name in ("model.keras", "model"):
        path = tmp_path / name
        old = path if path.suffix else path / "saved_model.pb"
        old.parent.mkdir(exist_ok=True)
        old.write_bytes(b"precious")
        with pytest.raises(UserError, match="No space left on device"):
            exporting.export(str(trained_run), str(path), force=True)
        assert old.read_bytes() == b"precious"
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "model"}
