"""The classifier by itself: stock layers, float32, raw RGB bytes in, probability of dog out.

Importing this module imports TensorFlow and Keras.
"""

import contextlib
import io
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from optrun.data.images.resizing import as_resized
from optrun.data.sample import SAMPLE_SEED, draw
from optrun.runner.config.schema import architecture_of
from optrun.runner.errors import UserError
from optrun.runner.inference.classifier import Trained, logits
from optrun.runner.models.build import build_classifier
from optrun.runner.models.keras_state import fresh_keras
from optrun.runner.untrusted import printable

Kind = Literal["keras", "savedmodel"]

README = "README.md"
_CHECKED_ON = 16
# float32 sums in another order differ by a few units in the last place, of 1.2e-7 each.
_EQUAL = 1e-5


def classifier(trained: Trained) -> keras.Model:
    """The network with a sigmoid on top, computed in float32 whatever it was trained in.

    Returns:
        A stock `keras.Model`, not compiled, from uint8 [batch, size, size, 3], RGB, to float32
        [batch, 1], the probability of dog.
    """
    network = build_classifier(
        architecture_of(trained.experiment), seed=trained.experiment.training.seed
    )
    sigmoid = keras.layers.Activation("sigmoid", dtype="float32", name="dog_probability")
    # Of the class that a person has without optrun.
    model = keras.Model(network.input, sigmoid(network.output), name="cats_and_dogs")
    model.dtype_policy = "float32"
    model.set_weights(trained.model.get_weights())
    return model


@fresh_keras()
def write(trained: Trained, path: Path, kind: Kind, readme: str) -> float:
    """Writes the classifier, and opens it again, before it gets its name; replaces what has that.

    Args:
        trained: The network.
        path: The file, or the folder.
        kind: "keras" for a `.keras` file, "savedmodel" for a folder of TensorFlow's SavedModel.
        readme: What to know of it; lies beside the weights, in the file or the folder.

    Returns:
        By how much its probabilities differ from the run's own at most.

    Raises:
        UserError: The disk is full or may not be written.
        RuntimeError: The probabilities differ by more than float32 explains: a fault of ours.
    """
    try:
        with _beside(path) as workplace:
            new = workplace / ("model.keras" if kind == "keras" else "model")
            _write(classifier(trained), new, kind, readme)
            difference = _largest_difference(trained, new, kind)
            if trained.machine.precision == "float32" and not difference <= _EQUAL:
                raise RuntimeError(f"exported probabilities differ by {difference:.2g}")
            _put_in_place(new, path, aside=workplace / "replaced")
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
        raise UserError(
            f"-o must be a place that can be written, received: {printable(str(path))} ({reason})."
        ) from error
    return difference


def _put_in_place(new: Path, path: Path, *, aside: Path) -> None:
    """Renames `new` to `path`; what has that name goes aside, and comes back if this fails."""
    if not path.is_dir():
        new.replace(path)
        return
    # A folder cannot be renamed over a full one.
    path.rename(aside)
    try:
        new.rename(path)
    except OSError:
        aside.rename(path)
        raise


def _write(model: keras.Model, path: Path, kind: Kind, readme: str) -> None:
    if kind == "keras":
        model.save(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(README, readme)
        _flush(path)
        return
    # Keras prints what it wrote, with a name that is gone a moment later.
    with contextlib.redirect_stdout(io.StringIO()):
        model.export(path, format="tf_saved_model", verbose=False)
    (path / README).write_text(readme, "utf-8")
    for file in path.rglob("*"):
        if file.is_file():
            _flush(file)


def probabilities(path: Path, kind: Kind, photos: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What the model at `path` says of photos, opened as anybody would open it.

    Args:
        path: The file, or the folder.
        kind: What it is.
        photos: uint8 [n, size, size, 3], RGB.

    Returns:
        float32 [n], probabilities of dog.
    """
    if kind == "keras":
        model = keras.models.load_model(path, safe_mode=True, compile=False)
        return np.asarray(model.predict_on_batch(photos), np.float32)[:, 0]
    opened = tf.saved_model.load(str(path))  # its variables live no longer than this name
    return np.asarray(opened.serve(photos), np.float32)[:, 0]


def _largest_difference(trained: Trained, path: Path, kind: Kind) -> float:
    """By how much the probabilities of the model at `path` differ from the run's own, at most.

    Tried on the first drawings of the built-in sample, which every machine has.
    """
    size = trained.image_size
    photos = np.stack(
        [as_resized(draw(SAMPLE_SEED, i), size, "squash", False) for i in range(_CHECKED_ON)]
    )
    own = tf.math.sigmoid(logits(trained, photos)).numpy()
    return float(np.max(np.abs(own - probabilities(path, kind, photos))))


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder for the time being, on the disk of `path`, so that a rename ends the work."""
    folder = path.parent / f".{path.name[:100]}.{secrets.token_hex(4)}.tmp"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _flush(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
