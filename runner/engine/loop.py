"""One run: build, train, evaluate, test. Knows nothing of screens, run folders or plans."""

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from optrun.data.feed.batches import (
    EVALUATION_BATCH,
    batches_per_epoch,
    evaluation_batches,
    first_batches_hash,
    training_batches,
)
from optrun.data.photos import Photos
from optrun.data.split import Split
from optrun.optimizers import specification
from optrun.runner.config.schema import Experiment
from optrun.runner.engine import checkpoint
from optrun.runner.engine.checkpoint import Array, CheckpointError
from optrun.runner.engine.checkpointer import Checkpointer, Storage
from optrun.runner.engine.clocks import Clocks
from optrun.runner.engine.compat import random_state_of
from optrun.runner.engine.divergence import Diverged
from optrun.runner.engine.engine import TensorFlowEngine
from optrun.runner.engine.hardware import Machine
from optrun.runner.engine.scores import stuck_at_chance
from optrun.runner.engine.signals import Interrupted, Stops
from optrun.runner.engine.state import Position, State
from optrun.runner.engine.tensorboard import TensorBoard
from optrun.runner.engine.validation import EvaluationSet, Validation
from optrun.runner.events import (
    EpochRecord,
    Event,
    Listener,
    NetworkBuilt,
    Notice,
    StepDone,
    StepRecord,
)
from optrun.runner.models.build import augmentation_of, by_content, compile_network, network
from optrun.runner.models.initialization import weights_hash


@dataclass(frozen=True)
class Outcome:
    """What a completed run found.

    Attributes:
        result: The numbers of run.json.
        predictions: Arrays of predictions.npz: ids, labels and logits of the best epoch's weights
            for the validation and the test split.
    """

    result: dict[str, float | int | None]
    predictions: dict[str, npt.NDArray[np.generic]]


def train(
    experiment: Experiment,
    *,
    photos: Photos,
    split: Split,
    machine: Machine,
    weights_file: Path | None,
    storage: Storage,
    listener: Listener,
    stops: Stops,
    resumed: State | None = None,
) -> Outcome:
    """Train one network with one optimizer and one seed.

    Args:
        experiment: What to do; its seed decides weights, order, augmentation and dropout.
        photos: All photos.
        split: Which of them are for what.
        machine: Where and in which precision.
        weights_file: Published weights to start from; None for random ones.
        storage: Where checkpoints and TensorBoard's events go.
        listener: Told how it goes.
        stops: Asked after every step whether to end here.
        resumed: The state to go on from; None to start.

    Raises:
        Diverged: The loss or a weight stopped being finite.
        Interrupted: It was told to stop; the checkpoint `last` is where it goes on.
        WeightsError: The file does not fit.
        CheckpointError: The state to go on from does not fit.
        DiskFull: There is no room for a checkpoint.
    """
    with random_state_of(experiment.training.seed):
        gc.collect()  # the network of the run before, which refers to itself
        training = _Training(
            experiment, photos, split, machine, weights_file, storage, listener, stops, resumed
        )
        training.run()
        return training.outcome()


class _Training:
    """A training: its parts, and where it stands. What is saved of it is what they give."""

    def __init__(
        self,
        experiment: Experiment,
        photos: Photos,
        split: Split,
        machine: Machine,
        weights_file: Path | None,
        storage: Storage,
        listener: Listener,
        stops: Stops,
        resumed: State | None,
    ) -> None:
        self.clocks = Clocks()
        if resumed is not None:
            self.clocks.load_state_dict(vars(resumed))
        self.experiment, self.settings = experiment, experiment.training
        self.photos, self.split, self.storage, self.stops = photos, split, storage, stops
        self.images = len(split.train)
        self.steps = batches_per_epoch(self.images, self.settings.batch_size)
        board = TensorBoard(storage.tensorboard) if self.settings.tensorboard else None
        self.listeners: list[Listener] = [listener, *([board] if board is not None else [])]
        model = network(
            experiment,
            photos=photos,
            split=split,
            machine=machine,
            weights_file=weights_file,
            is_new=resumed is None,
        )
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
        compile_network(model, accuracy, experiment, machine, steps_per_epoch=self.steps)
        self.engine = TensorFlowEngine(model, accuracy)
        self.validation = Validation(
            engine=self.engine,
            clocks=self.clocks,
            validation=self._evaluation_set(split.validation),
            training_subset=self._evaluation_set(training_subset(photos, split)),
            steps_per_epoch=self.steps,
            check=stops.check,
        )
        self.checkpointer = Checkpointer(
            storage, minutes=self.settings.checkpoint_minutes, steps_per_epoch=self.steps
        )
        self.position = Position()
        if resumed is None:
            first_batches = first_batches_hash(
                photos,
                split.train,
                batch_size=self.settings.batch_size,
                seed=self.settings.seed,
            )
            facts = {
                "initial_weights": weights_hash(model),
                "first_batches": first_batches,
                "parameters": model.count_params(),
            }
            self.tell(NetworkBuilt(facts))
        else:
            self.position = resumed.position
            self.engine.load_state_dict(resumed.arrays)
            self.validation.load_state_dict(vars(resumed))

    def run(self) -> None:
        """Train from where it stands to the end; whatever ends it, what can be kept is kept."""
        self.stops.check()
        with self._kept():
            batches = self._batches()
            for epoch in range(self.position.epoch, self.settings.epochs):
                if self.is_over:
                    break
                if self.position.batch == 0:
                    self.engine.start_epoch()
                for batch in range(self.position.batch, self.steps):
                    with self.clocks.step(self._images_in(batch)):
                        self.engine.step(next(batches))
                        step = epoch * self.steps + batch + 1
                        if step % self.settings.record_every == 0 or batch + 1 == self.steps:
                            self.engine.read()
                    self.position = Position(epoch, batch + 1)
                    self._require_finite()
                    self.tell(self._step_done())
                    if step % self.settings.record_every == 0:
                        self.tell(self._step_record())
                    # An epoch's end follows its last step, and is a better place to go on from.
                    if batch + 1 < self.steps and self.checkpointer.is_due:
                        self._save()
                    self.stops.check()
                self._end_epoch()
                self.position = Position(epoch + 1)
                if self.is_over or self.checkpointer.is_worth_it:
                    self._save()
                self.stops.check()

    @property
    def is_over(self) -> bool:
        """Whether no epoch is to follow those that were."""
        records = self.validation.records
        return len(records) == self.settings.epochs or self.validation.is_over(
            self.settings.early_stopping_patience
        )

    def _batches(self) -> Iterator[Any]:
        stream = training_batches(
            self.photos,
            self.split.train,
            batch_size=self.settings.batch_size,
            seed=self.settings.seed,
            augmentation=augmentation_of(self.experiment),
            start_epoch=self.position.epoch,
            start_batch=self.position.batch,
        )
        return iter(stream)

    def _images_in(self, batch: int) -> int:
        return min(self.settings.batch_size, self.images - batch * self.settings.batch_size)

    def _end_epoch(self) -> None:
        """Its batches are done: evaluate it, also where a resumed run was stopped just then."""
        means = self.engine.read()
        self.engine.end_epoch()
        record, best = self.validation.end_epoch(self.position.epoch + 1, means, self._counts)
        self.checkpointer.unsaved_best = best or self.checkpointer.unsaved_best
        self.tell(record)
        if stuck_at_chance(record.training_loss, epoch=record.epoch):
            self.tell(
                Notice(
                    f"epoch {record.epoch}: the loss is that of guessing (ln 2 = 0.693); the "
                    "network does not learn. Try a lower or higher learning rate, pretrained "
                    "weights (model.weights), or global_clipnorm: 1.0 in the optimizer"
                )
            )

    def _step_done(self) -> StepDone:
        means = self.engine.means
        return StepDone(
            epoch=self.position.epoch + 1,
            step=self.position.batch,
            loss=None if means is None else means.loss,
            accuracy=None if means is None else means.accuracy,
            images_per_second=self.clocks.images_per_second,
        )

    def _step_record(self) -> StepRecord:
        means = self.engine.take_record()
        return StepRecord(
            step=self.position.steps_done(self.steps),
            epoch=self.position.epoch + 1,
            loss=means.loss,
            accuracy=means.accuracy,
            **self._counts(),
        )

    def _counts(self) -> dict[str, Any]:
        """What every record says of how far the training is."""
        steps = self.position.steps_done(self.steps)
        epoch, batch = divmod(steps, self.steps)
        evaluations = specification.gradient_evaluations(self.experiment.optimizer)
        return {
            "learning_rate": self.engine.learning_rate,
            "updates": self.engine.updates,
            "gradient_evaluations": steps * evaluations,
            "images": epoch * self.images + batch * self.settings.batch_size,
            "training_seconds": self.clocks.training,
            "evaluation_seconds": self.clocks.evaluation,
        }

    def tell(self, event: Event) -> None:
        """Tell all who listen."""
        for listener in self.listeners:
            listener(event)

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Within, a training that is told to stop is saved, and of one that diverged the best."""
        try:
            try:
                yield
            except Interrupted:
                self._at_last(self._save)
                raise
        except Diverged:
            self._at_last(self.checkpointer.save_best)
            raise

    def _at_last(self, save: Callable[[], None]) -> None:
        try:
            save()
        except OSError as error:
            said = f"what was saved before stands, nothing new can be written: {error}"
            self.tell(Notice(said))

    def _save(self) -> None:
        if self.checkpointer.has_saved(self.position):
            return
        self.engine.read()
        self._require_finite()
        self.checkpointer.save(self._state(), self._last_finite())

    def _state(self) -> State:
        return State(
            position=self.position,
            arrays=self.engine.state_dict(),
            metrics_bytes=self.storage.metrics_bytes(),
            **self.validation.state_dict(),
            **self.clocks.state_dict(),
        )

    def _require_finite(self) -> None:
        """Of all steps that were read so far."""
        if self.engine.steps_not_finite == 0:
            return
        step = self.position.steps_done(self.steps) - self.engine.steps_not_finite + 1
        last_finite = self._last_finite()
        if last_finite:
            last_finite["step"] = step - 1
        raise Diverged(
            "the loss", step=step, epoch=self.position.epoch + 1, last_finite=last_finite
        )

    def _last_finite(self) -> dict[str, float]:
        means = self.engine.means
        if means is None:
            return {}
        return {"training_loss": means.loss, "training_accuracy": means.accuracy}

    def outcome(self) -> Outcome:
        """The numbers of the whole run, and what its best epoch's weights predict."""
        validation, clocks, split = self.validation, self.clocks, self.split
        best, last = validation.best, validation.records[-1]
        if best is None or validation.best_logits is None:
            raise RuntimeError("training ended without a single evaluated epoch")
        with clocks.evaluating():
            self.engine.set_weights(_weights_of(best, self.storage))
            logits, test = validation.measure(self._evaluation_set(split.test))
        result: dict[str, float | int | None] = {
            "epochs": last.epoch,
            "best_epoch": best.epoch,
            "best_validation_loss": best.validation_loss,
            "best_validation_accuracy": best.validation_accuracy,
            "final_validation_loss": last.validation_loss,
            "final_validation_accuracy": last.validation_accuracy,
            "test_accuracy": test.accuracy,
            "test_log_loss": test.log_loss,
            "test_roc_auc": test.roc_auc,
            "gap_loss": last.validation_loss - last.training_subset_loss,
            "gap_accuracy": last.training_subset_accuracy - last.validation_accuracy,
            "images_per_second": clocks.images_per_second,
            "updates": last.updates,
            "gradient_evaluations": last.gradient_evaluations,
            "images": last.images,
            "training_seconds": clocks.training,
            "evaluation_seconds": clocks.evaluation,
            "other_seconds": clocks.other,
        }
        ids = np.asarray(self.photos.ids)
        predictions: dict[str, npt.NDArray[np.generic]] = {}
        for name, indices, values in (
            ("validation", split.validation, validation.best_logits),
            ("test", split.test, logits),
        ):
            predictions[f"{name}_ids"] = ids[indices]
            predictions[f"{name}_labels"] = self.photos.labels[indices]
            predictions[f"{name}_logits"] = values
        return Outcome(result, predictions)

    def _evaluation_set(self, indices: npt.NDArray[np.int64]) -> EvaluationSet:
        return EvaluationSet(
            evaluation_batches(self.photos, indices, batch_size=EVALUATION_BATCH),
            self.photos.labels[indices],
        )


def training_subset(photos: Photos, split: Split) -> npt.NDArray[np.int64]:
    """As many training photos as there are validation photos, the same in every run."""
    return np.sort(by_content(photos, split.train)[: len(split.validation)])


def _weights_of(best: EpochRecord, storage: Storage) -> Sequence[Array]:
    """The best epoch's weights as they are on disk, where `evaluate` will read them too."""
    found = checkpoint.read(storage.best, owner=storage.run_id)
    if found.facts.get("epoch") != best.epoch:
        raise CheckpointError(
            f"{storage.best} is of epoch {found.facts.get('epoch')}, the best is {best.epoch}"
        )
    return list(found.arrays.values())
