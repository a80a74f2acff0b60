"""What `optrun export` does: write a run's classifier for use without optrun, and try it.

That is stock layers in float32, raw RGB bytes in, a probability out: a `.keras` file where the
place is so called, else a folder of TensorFlow's SavedModel.
"""

import os
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
import numpy as np
from optrun.data.files import sync
from optrun.data.labels import CLASS_NAMES, PLURAL_NAMES
from optrun.runner.errors import UserError
from optrun.runner.inference.prediction import PROBABILITY, check_writable, not_writable
from optrun.runner.runs.reader import find_run
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.untrusted import printable

if TYPE_CHECKING:
    import keras
    from optrun.runner.inference.classifier import Trained

_README = "README.md"
_RESIZED = {
    "squash": "squashed to a square",
    "crop": "cropped to the square in their middle and resized",
    "pad": "resized so that the longer side fits and padded with black to a square",
}
_CHECKED_ON = 16  # drawings of the built-in sample, which every machine has
# float32 sums in another order differ by a few units in the last place, of 1.2e-7 each.
_EQUAL = 1e-5


def export(run: str, output: str, *, force: bool = False) -> None:
    """Writes the model, opens it again and compares its answers; as `optrun export`."""
    folder, path = find_run(run), _place(output, force=force)
    with native_stderr_captured():
        from optrun.runner.inference.classifier import open_trained

        trained = open_trained(folder, device="cpu")
        readme = _readme(trained, path)
        difference = _write(trained, path, readme)
    megabytes = sum(file.stat().st_size for file in _files(path)) / 1e6
    click.echo(f"{readme}\nWrote {printable(str(path))}, {megabytes:,.0f} MB.")
    click.echo(
        "Opened again, its probabilities differ from those of optrun predict by at most "
        f"{difference:.0e}."
    )
    if (precision := trained.run.record.flat_comparable["precision"]) != "float32":
        click.echo(
            f"note: trained in {precision}, exported in float32, whose answers differ slightly."
        )
    if trained.run.record.sample:
        click.echo("note: trained on the built-in sample: it knows drawings alone.")


def _is_file(path: Path) -> bool:
    return path.suffix == ".keras"


def _place(output: str, *, force: bool) -> Path:
    """Where to write, once its ending is known to mean one of the two, and it to be free."""
    path = Path(output)
    if _is_file(path):
        check_writable(path, force=force)
        return path.resolve()
    if path.suffix.lower() == ".keras":
        right = printable(str(path.with_suffix(".keras")))
        raise UserError(f"Keras opens no file that ends in {path.suffix}. Write it as -o {right}")
    if path.suffix and not output.endswith(("/", os.sep)):
        raise UserError(
            f"-o must end in .keras, or name a folder for a SavedModel, received: "
            f"{printable(output)}. A folder of that name is {printable(str(path))}/."
        )
    try:
        taken = any(path.iterdir()) if path.is_dir() else path.exists()
        is_model = (path / "saved_model.pb").is_file()
    except OSError as error:
        raise not_writable(path, error, kind="folder") from error
    if taken and not is_model:
        raise UserError(
            f"-o must name a new folder, received: {printable(output)}, which exists and is no "
            "SavedModel: it is not replaced, also not with --force. Give another name."
        )
    check_writable(path, force=force or not taken, kind="folder")
    return path.resolve()


def _readme(trained: "Trained", path: Path) -> str:
    """What goes in and what comes out, with the lines that open it."""
    negative, positive = CLASS_NAMES
    data, size = trained.experiment.data, trained.experiment.data.image_size
    epoch = f"epoch {trained.best_epoch}" if trained.best_epoch else "the best epoch"
    name = path.name if path.name.isprintable() else f"model{'.keras' if _is_file(path) else ''}"
    name = name.replace("\\", "\\\\").replace('"', '\\"')
    imported, opened, called = "import keras", f'keras.models.load_model("{name}")', "model(photos)"
    if not _is_file(path):
        imported, opened = "import tensorflow as tf", f'tf.saved_model.load("{name}")'
        called = "model.serve(photos)"
    return f"""\
{" and ".join(PLURAL_NAMES).capitalize()}: the network of {trained.run.label}, {epoch}

in   photos, uint8 [n, {size}, {size}, 3]: RGB, values 0 to 255 as decoded. Trained on photos
     {_RESIZED[data.resize]}, bilinear, {"with" if data.antialias else "without"} antialiasing.
     Do not scale or centre them: the network does.
out  float32 [n, 1]: probability of a {positive}; 1 minus it is that of a {negative}.

    {imported}
    model = {opened}
    p = {called}
"""


def _write(trained: "Trained", path: Path, readme: str) -> float:
    """Writes the classifier, tries it before it gets its name, and returns the difference."""
    import tensorflow as tf
    from optrun.runner.models.keras_state import fresh_keras

    try:
        # On the disk of `path`, so that a rename ends the work.
        prefix = f".{path.name[:100]}."
        with (
            fresh_keras(),
            TemporaryDirectory(".tmp", prefix, path.parent, ignore_cleanup_errors=True) as place,
        ):
            new = Path(place, "model.keras" if _is_file(path) else "model")
            _save(trained, new, readme)
            difference = _largest_difference(trained, new)
            if trained.machine.precision == "float32" and not difference <= _EQUAL:
                raise RuntimeError(f"exported probabilities differ by {difference:.2g}")
            replaced = Path(place, "replaced")
            if path.is_dir():  # a folder cannot be renamed over a full one
                path.rename(replaced)
            try:
                new.replace(path)
            except OSError:
                if replaced.exists():
                    replaced.rename(path)
                raise
    except (OSError, tf.errors.OpError) as error:
        raise not_writable(path, error, kind="file" if _is_file(path) else "folder") from error
    return difference


def _save(trained: "Trained", path: Path, readme: str) -> None:
    """The network with a sigmoid on top, in float32 whatever it was trained in, not compiled."""
    import keras
    from optrun.runner.config.schema import architecture_of
    from optrun.runner.engine.network import build_classifier

    experiment = trained.experiment
    network = build_classifier(architecture_of(experiment), seed=experiment.training.seed)
    sigmoid = keras.layers.Activation("sigmoid", dtype="float32", name=PROBABILITY)
    # Of the class that a person has without optrun.
    model = keras.Model(network.input, sigmoid(network.output), name="_and_".join(PLURAL_NAMES))
    model.dtype_policy = "float32"
    model.set_weights(trained.model.get_weights())
    if _is_file(path):
        model.save(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(_README, readme)
    else:
        _save_for_tensorflow(model, path)
        (path / _README).write_text(readme, "utf-8")
    for file in _files(path):
        sync(file)


def _save_for_tensorflow(model: "keras.Model", path: Path) -> None:
    """As Keras exports it, with an endpoint `serve`, but with every weight once and not twice."""
    import tensorflow as tf

    def serve(photos: tf.Tensor) -> tf.Tensor:
        return model(photos, training=False)

    module = tf.Module()
    module.weights = [one.value for one in model.variables]
    photos = tf.TensorSpec(model.input.shape, tf.uint8)
    module.serve = tf.function(serve, input_signature=[photos], autograph=False)
    tf.saved_model.save(module, str(path), signatures=module.serve)


def _files(path: Path) -> list[Path]:
    return [file for file in (path, *path.rglob("*")) if file.is_file()]


def _largest_difference(trained: "Trained", path: Path) -> float:
    """How far the probabilities of the model, opened as anybody would, are from the run's own."""
    import keras
    import tensorflow as tf
    from optrun.data.images.decode import as_resized
    from optrun.data.sample import SAMPLE_SEED, draw

    size = trained.experiment.data.image_size
    drawn = [as_resized(draw(SAMPLE_SEED, i), size, "squash", False) for i in range(_CHECKED_ON)]
    photos = np.stack(drawn)
    own = tf.math.sigmoid(trained.logits(photos)).numpy()
    if _is_file(path):
        model = keras.models.load_model(path, safe_mode=True, compile=False)
        found = model.predict_on_batch(photos)
    else:
        model = tf.saved_model.load(str(path))
        found = model.serve(photos)
    return float(np.max(np.abs(own - np.asarray(found, np.float32)[:, 0])))
