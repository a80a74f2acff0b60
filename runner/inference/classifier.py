"""A trained network, opened again from its run's folder: photos in, logits out.

Nothing of the folder is executed or unpickled: the network is built from config.yaml by this
program's own code, and the numbers of checkpoint/best are put in. Neither a person's own optimizer
nor the file of the weights that training started from is needed. Importing this module imports
TensorFlow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from optrun.data.feed.batches import EVALUATION_BATCH
from optrun.data.images.decode import Pixels, decode
from optrun.data.labels import TEST, VALIDATION
from optrun.data.photos import Photos
from optrun.runner.config.load import load
from optrun.runner.config.problems import ConfigurationError
from optrun.runner.config.schema import Experiment, architecture_of
from optrun.runner.engine import checkpoint, hardware
from optrun.runner.engine.hardware import Machine
from optrun.runner.engine.network import build_classifier
from optrun.runner.errors import UserError
from optrun.runner.models.keras_state import fresh_keras
from optrun.runner.models.networks import weight_count
from optrun.runner.plan.resources import decoded, open_photos
from optrun.runner.runs import array_file, checkpoint_places, reader
from optrun.runner.runs.checkpoint_places import ARRAYS, MANIFEST
from optrun.runner.runs.own_photos import NAME, OwnPhotos
from optrun.runner.runs.reader import Run, Unreadable, find_run
from optrun.runner.runs.record import RunStatus, flatten
from optrun.runner.runs.run_folder import plain
from optrun.runner.ui.console import Display
from optrun.runner.ui.wording import number_of
from optrun.runner.untrusted import DamageError, content_of, json_object, mapping, printable
from rich.console import Console

Arrays = list[npt.NDArray[np.generic]]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trained:
    """A run's network with the weights of its best epoch."""

    run: Run  # what run.json says, checked
    experiment: Experiment
    model: keras.Model  # uint8 [batch, size, size, 3] RGB in, float32 [batch, 1] logits out
    machine: Machine  # where and in which precision it computes here
    best_epoch: int | None  # counted from 1; None where it is not recorded
    notes: tuple[str, ...]  # what a person should know before trusting the numbers

    @cached_property
    def _functions(self) -> tuple[Any, Any]:
        """The network as graphs of any batch size, so a short last batch traces nothing anew."""

        def forward(photos: tf.Tensor) -> tf.Tensor:
            return self.model(photos, training=False)[:, 0]

        def flipped(photos: tf.Tensor) -> tf.Tensor:
            return (forward(photos) + forward(tf.reverse(photos, axis=[2]))) / 2

        make = tf.function(
            input_signature=[tf.TensorSpec([None, *self.model.input_shape[1:]], tf.uint8)],
            jit_compile=self.machine.jit_compile,
        )
        return make(forward), make(flipped)

    def logits(
        self, photos: npt.NDArray[np.uint8] | Iterable[Any], *, flip: bool = False
    ) -> npt.NDArray[np.float32]:
        """The logits of photos, float32 [n]; with `flip`, means with those of the mirror images.

        The photos are uint8 [n, size, size, 3], RGB, perhaps mapped from disk; or batches of such,
        as they are or as pairs with labels.
        """
        batches = photos
        if isinstance(photos, np.ndarray):
            starts = range(0, len(photos), EVALUATION_BATCH)
            batches = (np.ascontiguousarray(photos[i : i + EVALUATION_BATCH]) for i in starts)
        forward = self._functions[flip]
        unlabelled = (batch[0] if isinstance(batch, tuple) else batch for batch in batches)
        found = [np.asarray(forward(batch)) for batch in unlabelled]
        return np.concatenate([np.zeros(0, np.float32), *found])

    def pixels(self, encoded: bytes) -> Pixels:
        """Decodes a photo exactly as those that the network was trained on; from any thread."""
        data = self.experiment.data
        return decode(encoded, data.image_size, data.resize, data.antialias)

    @cached_property
    def division(self) -> OwnPhotos:
        """Which photos it was trained, validated and tested on.

        As it keeps them itself. Runs of before they did that are asked for their source, which must
        be what it was.
        """
        recorded = self.run.record.flat_comparable
        if (self.run.folder / NAME).exists():
            try:
                return OwnPhotos.read(self.run.folder, fingerprint_of_split=recorded.get("split"))
            except DamageError as damage:
                raise UserError(
                    f"Which photos {self.run.label} was trained on cannot be read: {damage}."
                ) from damage
        photos, parts = open_photos(self.experiment, Display(Console(stderr=True)))
        for what, before, received in (
            ("photos", recorded.get("photos"), photos.fingerprint),
            ("division of the photos", recorded.get("split"), parts.fingerprint),
        ):
            if before != received:
                raise UserError(
                    f"The {what} must be as when {self.run.label} was trained (fingerprint "
                    f"{printable(str(before))[:12]}), received: {received[:12]}, from "
                    f"{printable(photos.source)}. Training photos of the run could be among those "
                    "it would be measured on; put its photos back, or train again."
                )
        return OwnPhotos.of(photos, parts)

    def evaluated_photos(self) -> tuple[Photos, dict[str, Positions], list[str]]:
        """The run's source, where in it its validation and test photos are, and what to know of it.

        They are prepared now where they are not yet. A source that has changed since is taken for
        what of them is still there.
        """
        data, display, notes = self.experiment.data, Display(Console(stderr=True)), list[str]()
        division = self.division
        photos = decoded(data.source, data, display, limit=data.limit)
        if photos.fingerprint != self.run.record.flat_comparable.get("photos") and data.limit:
            # Among others, those that the limit chooses are not the same.
            photos = decoded(data.source, data, display)
        found: dict[str, Positions] = {}
        for part, name in ((VALIDATION, "validation"), (TEST, "test")):
            found[name], missing = division.positions(part, photos)
            if missing:
                notes.append(
                    f"{printable(photos.source)} has {missing:,} of its "
                    f"{number_of(missing + len(found[name]), f'{name} photo')} no more"
                )
        if not any(map(len, found.values())):
            raise UserError(
                f"None of the validation and test photos of {self.run.label} is in "
                f"{printable(photos.source)} any more. Put them back, or measure it on others: "
                "--data NAME|PATH"
            )
        return photos, found, notes


def open_trained(run: str | Path, *, device: str = "auto") -> Trained:
    """Opens the run in a folder, or the one that part of its name says; "auto" prefers a GPU."""
    found = reader.read(find_run(run))
    try:
        if isinstance(found, Unreadable):
            raise DamageError(f"its run.json cannot be read: {found.reason}")
        return _opened(found, device)
    except DamageError as damage:
        raise UserError(
            f"The run {found.label} cannot be used: {damage}. Name another run, or train it again."
        ) from damage


def _opened(run: Run, device: str) -> Trained:
    if run.status == RunStatus.DIVERGED:
        raise DamageError(f"it diverged: {run.record.why}")
    notes = []
    if run.status != RunStatus.COMPLETED:
        if not (run.folder / "checkpoint").is_dir():
            running = run.status == RunStatus.RUNNING
            advice = "wait for its first epoch" if running else "train it again"
            raise UserError(
                f"The run {run.label} is {run.status} and has no weights yet: {advice}, or name "
                "another run."
            )
        notes.append(
            f"{run.label} is {run.status}, not completed: these are the best weights so far"
        )
    experiment = _experiment(run)
    try:
        arrays, epoch = read_weights(checkpoint_places.best(run.folder), owner=run.record.id)
    except DamageError as damage:
        raise DamageError(f"its weights cannot be read: {damage}") from damage
    trained_in = str(run.record.flat_comparable.get("precision"))
    if trained_in not in ("float32", "mixed_bfloat16", "mixed_float16"):
        raise DamageError(f"run.json says precision {printable(trained_in)}")
    machine = hardware.prepare(
        device,
        precision="auto",
        jit_compile=experiment.training.jit_compile,
        deterministic=experiment.training.deterministic,
    )
    native = {"float32", machine.precision}
    if machine.device == "gpu" and machine.precision != "float32":
        native.add("mixed_float16")
    machine = replace(machine, precision=trained_in if trained_in in native else "float32")
    if machine.precision != trained_in:
        notes.append(
            f"{run.label} was trained in {trained_in}, which this machine does not compute "
            "natively: predicting in float32"
        )
    model = _model(experiment, arrays, machine.precision)
    return Trained(run, experiment, model, machine, epoch, tuple(notes))


def _experiment(run: Run) -> Experiment:
    try:
        experiment = load(run.folder / "config.yaml").experiment
    except ConfigurationError as error:
        raise UserError(
            f"The run {run.label} cannot be used: its config.yaml cannot be read.\n{error}"
        ) from error
    # What decides the numbers that the network sees must be what it was trained on.
    data, model, recorded = experiment.data, experiment.model, run.record.flat_comparable
    origins = [
        "random" if weights == "random" else "pretrained"
        for weights in (model.weights, recorded.get("model.weights"))
    ]
    checks: dict[str, Sequence[object]] = {
        "data.image_size": (data.image_size, recorded.get("image_size")),
        "data.resize": (data.resize, recorded.get("resize", "squash")),
        "data.antialias": (data.antialias, recorded.get("antialias", False)),
        "model.width": (model.width, recorded.get("model.width")),
        "model.weights": origins,
    }
    # How the network ends (pooling, say) is not always seen from the shapes of its weights.
    network = flatten({"model": plain(model.model_dump(exclude={"weights", "width"}))})
    checks |= {key: (value, recorded[key]) for key, value in network.items() if key in recorded}
    for key, (configured, expected) in checks.items():
        if configured != expected:
            raise DamageError(
                f"config.yaml says {key} {configured}, run.json says {printable(str(expected))}: "
                "one was changed"
            )
    return experiment


def _model(experiment: Experiment, arrays: Arrays, precision: str) -> keras.Model:
    architecture = architecture_of(experiment)
    # Counted first, so that a file cannot make this build a network of any size.
    expected, count = weight_count(architecture), sum(array.size for array in arrays)
    if count != expected:
        raise DamageError(
            f"its checkpoint holds {count:,} weights, its config.yaml describes {expected:,}"
        )
    with fresh_keras():
        model = build_classifier(architecture, seed=experiment.training.seed, precision=precision)
    if [tuple(weight.shape) for weight in model.weights] != [array.shape for array in arrays]:
        raise DamageError("its checkpoint and its config.yaml are of two networks")
    model.set_weights(arrays)
    return model


def read_weights(folder: Path, *, owner: str | None = None) -> tuple[Arrays, int | None]:
    """A checkpoint's arrays in the model's order, and the epoch they are of where it is known.

    They are read from `checkpoint/best`, of the run with the id `owner`, with care for its bytes.
    """
    try:
        place = checkpoint_places.in_place(folder)
        if not place.exists():
            raise DamageError("no checkpoint/best")
    except OSError as error:
        raise DamageError(f"checkpoint/best: {error.strerror}") from error
    epoch = mapping(json_object(content_of(place / MANIFEST)).get("facts")).get("epoch")
    array_file.require_stored(place / ARRAYS)
    try:
        arrays = checkpoint.load(place, owner=owner)
    except checkpoint.CheckpointError as error:
        raise DamageError(str(error)) from error
    if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in arrays):
        raise DamageError(f"{ARRAYS} holds values that are no finite numbers")
    return arrays, epoch if type(epoch) is int else None
