"""A trained network, opened again from its run's folder: photos in, logits out.

Nothing of the folder is executed or unpickled: the network is built from config.yaml by this
program's own code, and the numbers of checkpoint/best are put in. A person's own optimizer is not
imported, since nothing here trains. The file of the weights that training started from is not
needed either.

Importing this module imports TensorFlow and Keras.
"""

import zipfile
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
from optrun.runner.engine import checkpoint
from optrun.runner.engine import hardware as machines
from optrun.runner.engine.checkpoint import CheckpointError
from optrun.runner.engine.hardware import Machine
from optrun.runner.engine.network import build_classifier
from optrun.runner.errors import UserError
from optrun.runner.models.keras_state import fresh_keras
from optrun.runner.models.networks import weight_count
from optrun.runner.plan.resources import open_photos
from optrun.runner.runs import checkpoint_places
from optrun.runner.runs import reader as runs
from optrun.runner.runs.checkpoint_places import ARRAYS, MANIFEST
from optrun.runner.runs.reader import Run
from optrun.runner.runs.record import RunStatus, flatten
from optrun.runner.runs.run_folder import plain
from optrun.runner.runs.select import find_run
from optrun.runner.ui.console import Display
from optrun.runner.untrusted import DamageError, content_of, json_object, mapping, printable
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

    def logits(
        self, photos: npt.NDArray[np.uint8] | Iterable[Any], *, flip: bool = False
    ) -> Logits:
        """The logits of photos, float32 [n]; positive for the class of label 1.

        Args:
            photos: uint8 [n, size, size, 3], RGB, perhaps mapped from disk; or batches of such, as
                they are or as pairs with labels (`optrun.data.feed.batches.evaluation_batches`).
            flip: Whether to average the logit of each photo with that of its mirror image.
        """
        batches = _pieces(photos) if isinstance(photos, np.ndarray) else photos
        forward = self._forward_flipped if flip else self._forward
        found = [
            np.asarray(forward(batch[0] if isinstance(batch, tuple) else batch))
            for batch in batches
        ]
        return np.concatenate(found) if found else np.zeros(0, np.float32)

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
        photos, parts = open_photos(
            self.experiment, display or Display(Console(stderr=True), quiet=False)
        )
        for what, key, received in (
            ("photos", "photos", photos.fingerprint),
            ("division of the photos", "split", parts.fingerprint),
        ):
            recorded = self.run.record.flat_comparable.get(key)
            if recorded != received:
                raise UserError(
                    f"The {what} must be as when {self.run.label} was trained (fingerprint "
                    f"{printable(str(recorded))[:12]}), received: {received[:12]}, from "
                    f"{printable(photos.source)}. Training photos of the run could be among those "
                    "it would be measured on; put its photos back, or train again."
                )
        return photos, parts


def open_trained(run: str | Path, *, device: Device = "auto") -> Trained:
    """Opens the run in a folder, or the one that part of its name says (`select.find_run`).

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
        stored = read_weights(checkpoint_places.best(folder), owner=record.record.id)
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


@dataclass(frozen=True)
class StoredWeights:
    """A checkpoint's arrays in the model's order, and the epoch they are of where it is known."""

    arrays: tuple[npt.NDArray[np.generic], ...]
    epoch: int | None


def _usable(folder: Path) -> tuple[Run, tuple[str, ...]]:
    """The run, and what to say where it did not end as it should have."""
    record = runs.read(folder)
    if isinstance(record, runs.Unreadable):
        raise _unusable(record.label, f"its run.json cannot be read: {record.reason}")
    if record.status == RunStatus.DIVERGED:
        raise _unusable(record.label, f"it diverged: {record.record.why}")
    if record.status == RunStatus.COMPLETED:
        return record, ()
    if not (folder / "checkpoint").is_dir():
        wait = (
            "wait for its first epoch" if record.status == RunStatus.RUNNING else "train it again"
        )
        raise UserError(
            f"The run {record.label} is {record.status} and has no weights yet: {wait}, or name "
            "another run."
        )
    return record, (
        f"{record.label} is {record.status}, not completed: these are the best weights so far",
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
    comparable = record.record.flat_comparable
    network = flatten(plain(experiment.model.model_dump(exclude={"weights", "width"})))
    for key, configured, recorded in (
        ("data.image_size", experiment.data.image_size, comparable.get("image_size")),
        ("data.resize", experiment.data.resize, comparable.get("resize", "squash")),
        ("data.antialias", experiment.data.antialias, comparable.get("antialias", False)),
        ("model.width", experiment.model.width, comparable.get("model.width")),
        (
            "model.weights",
            "random" if from_random else "pretrained",
            "random" if comparable.get("model.weights") == "random" else "pretrained",
        ),
        # How the network ends (pooling, say) is not always seen from the shapes of its weights.
        *(
            (f"model.{key}", value, comparable[f"model.{key}"])
            for key, value in network.items()
            if f"model.{key}" in comparable
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
    trained_in = record.record.flat_comparable.get("precision")
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


def read_weights(folder: Path, *, owner: str | None = None) -> StoredWeights:
    """Reads a checkpoint, with the care due to what others wrote.

    What it takes to read is bounded by the size of the file on disk: arrays are stored as they are,
    so an archive that would unpack to more than it holds is no checkpoint.

    Args:
        folder: `checkpoint/best` of a run.
        owner: Id of the run that it must be of; None: of whichever.

    Raises:
        DamageError: It is missing, damaged, or not what a run writes.
    """
    try:
        place = checkpoint_places.in_place(folder)
        if not place.exists():
            raise DamageError("no checkpoint/best")
    except OSError as error:
        raise DamageError(f"checkpoint/best: {error.strerror}") from error
    facts = mapping(json_object(content_of(place / MANIFEST)).get("facts"))
    _check_not_compressed(place / ARRAYS)
    try:
        arrays = checkpoint.load(place, owner=owner)
    except CheckpointError as error:
        raise DamageError(str(error)) from error
    if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in arrays):
        raise DamageError(f"{ARRAYS} holds values that are no finite numbers")
    epoch = facts.get("epoch")
    return StoredWeights(tuple(arrays), epoch if type(epoch) is int else None)


def _check_not_compressed(path: Path) -> None:
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise DamageError(f"no {ARRAYS}")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except checkpoint.DAMAGE as error:
        raise DamageError(f"{ARRAYS} is damaged") from error
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise DamageError(f"{ARRAYS} is compressed, which no run writes")
