"""A trained network, opened again from its run's folder: photos in, logits out.

Nothing of the folder is executed or unpickled: the network is built from config.yaml by this
program's own code, and the numbers of checkpoint/best are put in. A person's own optimizer is not
imported, since nothing here trains. The file of the weights that training started from is not
needed either.

Importing this module imports TensorFlow and Keras.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from optrun.data.feed.batches import EVALUATION_BATCH
from optrun.data.images.decode import Pixels, decode
from optrun.data.photos import Photos
from optrun.data.split import Split
from optrun.runner.config.load import load
from optrun.runner.config.problems import ConfigurationError
from optrun.runner.config.schema import Experiment, architecture_of
from optrun.runner.engine import hardware as machines
from optrun.runner.engine.hardware import Machine
from optrun.runner.errors import UserError
from optrun.runner.inference import stored_weights
from optrun.runner.inference.stored_weights import StoredWeights
from optrun.runner.models.build import build_classifier
from optrun.runner.models.keras_state import fresh_keras
from optrun.runner.models.registry import weight_count
from optrun.runner.plan.resources import prepare_photos
from optrun.runner.runs import checkpoint_places
from optrun.runner.runs import reader as runs
from optrun.runner.runs.reader import Run
from optrun.runner.runs.run_folder import plain
from optrun.runner.runs.select import find_run
from optrun.runner.ui.console import Display
from optrun.runner.untrusted import DamageError, printable
from rich.console import Console

Device = Literal["auto", "cpu", "gpu"]
Logits = npt.NDArray[np.float32]

_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class Trained:
    """A run's network with the weights of its best epoch.

    Attributes:
        folder: The run's folder.
        run: What run.json says, checked.
        experiment: The configuration that it was trained with.
        model: uint8 [batch, size, size, 3] RGB in, float32 [batch, 1] logits out; not compiled.
        machine: Where and in which precision it computes here.
        best_epoch: The epoch of the weights, counted from 1; None where it is not recorded.
        notes: What a person should know before trusting the numbers, a sentence each.
    """

    folder: Path
    run: Run
    experiment: Experiment
    model: keras.Model
    machine: Machine
    best_epoch: int | None
    notes: tuple[str, ...]
    _forward: Any = field(repr=False)
    _forward_flipped: Any = field(repr=False)

    @property
    def image_size(self) -> int:
        """Side of the square photos in pixels."""
        return self.experiment.data.image_size

    def pixels(self, encoded: bytes) -> Pixels:
        """Decodes a photo exactly as those that the network was trained on; from any thread.

        Raises:
            UndecodableError: The bytes are not a usable photo.
        """
        data = self.experiment.data
        return decode(encoded, data.image_size, data.resize, data.antialias)

    def photos_and_split(self, display: Display | None = None) -> tuple[Photos, Split]:
        """The run's own photos, prepared now where they are not yet, and their division.

        Args:
            display: Shows how far decoding is; None: on stderr.

        Raises:
            UserError: They cannot be had, or are not those of the run any more.
        """
        photos, parts = prepare_photos(
            self.experiment, display or Display(Console(stderr=True), quiet=False)
        )
        for what, key, received in (
            ("photos", "photos", photos.fingerprint),
            ("division of the photos", "split", parts.fingerprint),
        ):
            recorded = self.run.comparable.get(key)
            if recorded != received:
                raise UserError(
                    f"The {what} must be as when {self.run.label} was trained (fingerprint "
                    f"{printable(str(recorded))[:12]}), received: {received[:12]}, from "
                    f"{printable(photos.source)}. Training photos of the run could be among those "
                    "it would be measured on; put its photos back, or train again."
                )
        return photos, parts


def open_trained(run: str | Path, *, device: Device = "auto") -> Trained:
    """Opens the run in a folder, or the one that part of its name says (`finding.find_run`).

    Args:
        run: The folder or the name.
        device: Where to compute; auto takes a GPU where there is one.

    Raises:
        UserError: There is no such run, it has no usable weights, or its files don't fit together.
    """
    folder = find_run(run)
    record, notes = _usable(folder)
    experiment = _experiment(folder, record)
    try:
        stored = stored_weights.read(checkpoint_places.best(folder), owner=record.id)
    except DamageError as damage:
        raise _unusable(record.label, f"its weights cannot be read: {damage}") from damage
    machine, precision_note = _machine(record, experiment, device)
    model = _model(record, experiment, stored, machine.precision)
    forward, forward_flipped = _functions(model, machine)
    return Trained(
        folder=folder,
        run=record,
        experiment=experiment,
        model=model,
        machine=machine,
        best_epoch=stored.epoch,
        notes=(*notes, *precision_note),
        _forward=forward,
        _forward_flipped=forward_flipped,
    )


def logits(
    trained: Trained, photos: npt.NDArray[np.uint8] | Iterable[Any], *, flip: bool = False
) -> Logits:
    """The logits of photos, positive for dogs.

    Args:
        trained: The network.
        photos: uint8 [n, size, size, 3], RGB, perhaps mapped from disk; or batches of such, as
            they are or as pairs with labels (`optrun.data.feed.batches.evaluation_batches`).
        flip: Whether to average the logit of each photo with that of its mirror image.

    Returns:
        float32 [n].
    """
    batches = _pieces(photos) if isinstance(photos, np.ndarray) else photos
    forward = trained._forward_flipped if flip else trained._forward
    found = [
        np.asarray(forward(batch[0] if isinstance(batch, tuple) else batch)) for batch in batches
    ]
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _pieces(photos: npt.NDArray[np.uint8]) -> Iterable[npt.NDArray[np.uint8]]:
    for start in range(0, len(photos), EVALUATION_BATCH):
        yield np.ascontiguousarray(photos[start : start + EVALUATION_BATCH])


def _functions(model: keras.Model, machine: Machine) -> tuple[Any, Any]:
    """The network as graphs of any batch size, so that a short last batch traces nothing anew."""
    signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8)]

    def forward(photos: tf.Tensor) -> tf.Tensor:
        return model(photos, training=False)[:, 0]

    def forward_flipped(photos: tf.Tensor) -> tf.Tensor:
        return (forward(photos) + forward(tf.reverse(photos, axis=[2]))) / 2

    def compiled(function: Any) -> Any:
        return tf.function(function, input_signature=signature, jit_compile=machine.jit_compile)

    return compiled(forward), compiled(forward_flipped)


def _usable(folder: Path) -> tuple[Run, tuple[str, ...]]:
    """The run, and what to say where it did not end as it should have."""
    record = runs.read(folder)
    if isinstance(record, runs.Unreadable):
        raise _unusable(record.label, f"its run.json cannot be read: {record.reason}")
    if record.state == runs.DIVERGED:
        raise _unusable(record.label, f"it diverged: {record.why}")
    if record.state == runs.COMPLETED:
        return record, ()
    if not (folder / "checkpoint").is_dir():
        wait = "wait for its first epoch" if record.state == runs.RUNNING else "train it again"
        raise UserError(
            f"The run {record.label} is {record.state} and has no weights yet: {wait}, or name "
            "another run."
        )
    return record, (
        f"{record.label} is {record.state}, not completed: these are the best weights so far",
    )


def _experiment(folder: Path, record: Run) -> Experiment:
    try:
        experiment = load(folder / "config.yaml").experiment
    except ConfigurationError as error:
        raise UserError(
            f"The run {record.label} cannot be used: its config.yaml cannot be read.\n{error}"
        ) from error
    # What decides the numbers that the network sees must be what it was trained on.
    from_random = experiment.model.weights == "random"
    network = runs.flatten(plain(experiment.model.model_dump(exclude={"weights", "width"})))
    for key, configured, recorded in (
        ("data.image_size", experiment.data.image_size, record.comparable.get("image_size")),
        ("data.resize", experiment.data.resize, record.comparable.get("resize", "squash")),
        ("data.antialias", experiment.data.antialias, record.comparable.get("antialias", False)),
        ("model.width", experiment.model.width, record.comparable.get("model.width")),
        (
            "model.weights",
            "random" if from_random else "pretrained",
            "random" if record.comparable.get("model.weights") == "random" else "pretrained",
        ),
        # How the network ends (pooling, say) is not always seen from the shapes of its weights.
        *(
            (f"model.{key}", value, record.comparable[f"model.{key}"])
            for key, value in network.items()
            if f"model.{key}" in record.comparable
        ),
    ):
        if configured != recorded:
            raise _unusable(
                record.label,
                f"config.yaml says {key} {configured}, run.json says {printable(str(recorded))}: "
                "one was changed",
            )
    return experiment


def _machine(
    record: Run, experiment: Experiment, device: Device
) -> tuple[Machine, tuple[str, ...]]:
    """The machine in the run's precision; in float32 where that is not native here."""
    trained_in = record.comparable.get("precision")
    if trained_in not in _PRECISIONS:
        raise _unusable(record.label, f"run.json says precision {printable(str(trained_in))}")
    here = machines.prepare(
        device,
        precision="auto",
        jit_compile=experiment.training.jit_compile,
        deterministic=experiment.training.deterministic,
    )
    native = {"float32", here.precision}
    if here.device == "gpu" and here.precision != "float32":
        native.add("mixed_float16")
    if trained_in in native:
        return replace(here, precision=str(trained_in)), ()
    return replace(here, precision="float32"), (
        f"{record.label} was trained in {trained_in}, which this machine does not compute "
        "natively: predicting in float32",
    )


def _model(
    record: Run, experiment: Experiment, stored: StoredWeights, precision: str
) -> keras.Model:
    architecture = architecture_of(experiment)
    # Counted first, so that a file cannot make this build a network of any size.
    expected = weight_count(architecture)
    count = sum(array.size for array in stored.arrays)
    if count != expected:
        raise _unusable(
            record.label,
            f"its checkpoint holds {count:,} weights, its config.yaml describes {expected:,}",
        )
    with fresh_keras():
        model = build_classifier(architecture, seed=experiment.training.seed, precision=precision)
    shapes = [tuple(weight.shape) for weight in model.weights]
    if shapes != [array.shape for array in stored.arrays]:
        raise _unusable(record.label, "its checkpoint and its config.yaml are of two networks")
    model.set_weights(list(stored.arrays))
    return model


def _unusable(label: str, reason: str) -> UserError:
    return UserError(
        f"The run {label} cannot be used: {reason}. Name another run, or train it again."
    )
