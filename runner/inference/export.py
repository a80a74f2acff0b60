"""What `optrun export` does: write a run's classifier for use without optrun, and try it.

What is written is the classifier by itself: stock layers, float32, raw RGB bytes in, a probability
out.
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
from typing import TYPE_CHECKING, Literal

import click
import numpy as np
import numpy.typing as npt
from optrun.data.labels import CLASS_NAMES, PLURAL_NAMES
from optrun.runner.errors import UserError
from optrun.runner.inference.output import check_writable
from optrun.runner.runs.select import find_run
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.untrusted import printable

if TYPE_CHECKING:
    import keras
    from optrun.runner.inference.classifier import Trained

Kind = Literal["keras", "savedmodel"]

README = "README.md"
_RESIZED = {
    "squash": "squashed to a square",
    "crop": "cropped to the square in their middle and resized",
    "pad": "resized so that the longer side fits and padded with black to a square",
}
_CHECKED_ON = 16  # drawings of the built-in sample
# float32 sums in another order differ by a few units in the last place, of 1.2e-7 each.
_EQUAL = 1e-5


def export(run: str, output: str, *, force: bool = False) -> None:
    """Writes the model, opens it again and compares its answers.

    Args:
        run: The run's folder, or part of its name.
        output: A file that ends in .keras, or a folder.
        force: Whether to replace what is there.

    Raises:
        UserError: There is no such run, or the place can't be written or is taken.
    """
    folder = find_run(run)
    path, kind = _place(output, force=force)
    with native_stderr_captured():
        from optrun.runner.inference.classifier import open_trained

        trained = open_trained(folder, device="cpu")
        readme = _readme(trained, path, kind)
        difference = write(trained, path, kind, readme)
    trained_in = str(trained.run.record.flat_comparable["precision"])
    click.echo(readme, nl=False)
    click.echo()
    click.echo(f"Wrote {printable(str(path))}, {_megabytes(path):,.0f} MB.")
    click.echo(
        f"Opened again, its probabilities differ from those of optrun predict by at most "
        f"{difference:.0e}."
    )
    if trained_in != "float32":
        click.echo(
            f"note: trained in {trained_in}, exported in float32, whose answers differ slightly."
        )
    if trained.run.record.sample:
        click.echo("note: trained on the built-in sample: it knows drawings alone.")


def _place(output: str, *, force: bool) -> tuple[Path, Kind]:
    """Where to write and what, by the name's ending.

    Raises:
        UserError: The ending means neither, or the place is taken or can't be written.
    """
    path, shown = Path(output), printable(output)
    if path.suffix.lower() == ".keras":
        check_writable(path, force=force)
        return path.resolve(), "keras"
    is_folder = output.endswith(("/", os.sep))
    if path.suffix and not is_folder:
        raise UserError(
            f"-o must end in .keras, or name a folder for a SavedModel, received: {shown}. "
            f"A folder of that name is {printable(str(path))}/."
        )
    try:
        path = path.resolve()
        taken = path.exists()
        is_model = (path / "saved_model.pb").is_file()
        is_empty = path.is_dir() and not any(path.iterdir())
        if not path.parent.is_dir():
            raise UserError(
                f"-o must name a folder within one that exists, received: {shown}; "
                f"there is no {printable(str(path.parent))}."
            )
    except (OSError, ValueError) as error:
        raise UserError(f"-o cannot be looked at: {shown} ({error}).") from error
    if taken and not is_empty and not is_model:
        raise UserError(
            f"-o must name a new folder, received: {shown}, which exists and is no SavedModel: it "
            "is not replaced, also not with --force. Give another name."
        )
    if taken and is_model and not force:
        raise UserError(
            f"-o must name a new folder, received: {shown}, which exists. Replace it with --force, "
            "or give another name."
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(
            f"-o must be a place that can be written, received: {shown} (no permission to write in "
            f"{printable(str(path.parent))})."
        )
    return path, "savedmodel"


def _readme(trained: "Trained", path: Path, kind: Kind) -> str:
    """What goes in and what comes out, with the lines that open it."""
    negative, positive = CLASS_NAMES
    data, size = trained.experiment.data, trained.image_size
    antialias = "with" if data.antialias else "without"
    epoch = f"epoch {trained.best_epoch}" if trained.best_epoch else "the best epoch"
    name = path.name.replace("\\", "\\\\").replace('"', '\\"')
    if not name.isprintable():
        name = "model.keras" if kind == "keras" else "model"
    opened = (
        f'model = keras.models.load_model("{name}")\n    p = model(photos)'
        if kind == "keras"
        else f'model = tf.saved_model.load("{name}")\n    p = model.serve(photos)'
    )
    imported = "import keras" if kind == "keras" else "import tensorflow as tf"
    return f"""\
{" and ".join(PLURAL_NAMES).capitalize()}: the network of {trained.run.label}, {epoch}

in   photos, uint8 [n, {size}, {size}, 3]: RGB, values 0 to 255 as decoded. Trained on photos
     {_RESIZED[data.resize]}, bilinear, {antialias} antialiasing.
     Do not scale or centre them: the network does.
out  float32 [n, 1]: probability of a {positive}; 1 minus it is that of a {negative}.

    {imported}
    {opened}
"""


def _megabytes(path: Path) -> float:
    """Megabytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def classifier(trained: "Trained") -> "keras.Model":
    """The network with a sigmoid on top, computed in float32 whatever it was trained in.

    Returns:
        A stock `keras.Model`, not compiled, from uint8 [batch, size, size, 3], RGB, to float32
        [batch, 1], the probability of label 1.
    """
    import keras
    from optrun.runner.config.schema import architecture_of
    from optrun.runner.engine.network import build_classifier

    network = build_classifier(
        architecture_of(trained.experiment), seed=trained.experiment.training.seed
    )
    name = f"{CLASS_NAMES[1]}_probability"
    sigmoid = keras.layers.Activation("sigmoid", dtype="float32", name=name)
    # Of the class that a person has without optrun.
    model = keras.Model(network.input, sigmoid(network.output), name="_and_".join(PLURAL_NAMES))
    model.dtype_policy = "float32"
    model.set_weights(trained.model.get_weights())
    return model


def write(trained: "Trained", path: Path, kind: Kind, readme: str) -> float:
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
    import tensorflow as tf
    from optrun.runner.models.keras_state import fresh_keras

    try:
        with fresh_keras(), _beside(path) as workplace:
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


def _write(model: "keras.Model", path: Path, kind: Kind, readme: str) -> None:
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
        float32 [n], probabilities of label 1.
    """
    import keras
    import tensorflow as tf

    if kind == "keras":
        model = keras.models.load_model(path, safe_mode=True, compile=False)
        return np.asarray(model.predict_on_batch(photos), np.float32)[:, 0]
    opened = tf.saved_model.load(str(path))  # its variables live no longer than this name
    return np.asarray(opened.serve(photos), np.float32)[:, 0]


def _largest_difference(trained: "Trained", path: Path, kind: Kind) -> float:
    """By how much the probabilities of the model at `path` differ from the run's own, at most.

    Tried on the first drawings of the built-in sample, which every machine has.
    """
    import tensorflow as tf
    from optrun.data.images.decode import as_resized
    from optrun.data.sample import SAMPLE_SEED, draw

    size = trained.image_size
    photos = np.stack(
        [as_resized(draw(SAMPLE_SEED, i), size, "squash", False) for i in range(_CHECKED_ON)]
    )
    own = tf.math.sigmoid(trained.logits(photos)).numpy()
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
