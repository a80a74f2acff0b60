"""One run: build, train, evaluate, test. Knows nothing of screens, run folders or plans."""

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from optrun.runner import events
from optrun.runner.config import schema
from optrun.runner.engine import checkpoint
from optrun.runner.engine.advice import advice
from optrun.runner.engine.checkpoint import Array, CheckpointError
from optrun.runner.engine.checkpointer import Checkpointer, Storage
from optrun.runner.engine.clocks import Clocks
from optrun.runner.engine.engine import TensorFlowEngine
from optrun.runner.engine.hardware import Machine
from optrun.runner.engine.network import augmentation_of, network
from optrun.runner.engine.scores import Scores
from optrun.runner.engine.signals import Interrupted, Stops
from optrun.runner.engine.state import Diverged, Position, State
from optrun.runner.engine.tensorboard import TensorBoard
from optrun.runner.engine.validation import EvaluationSet, Validation
from optrun.runner.models.batch_norm import PHOTOS
from optrun.runner.models.initialization import weights_hash
from optrun.runner.models.keras_state import fresh_keras


@dataclass(frozen=True)
class Outcome:
    result: dict[str, float | int | None]
    # Arrays of predictions.npz: ids, labels and the best epoch's logits for validation and test.
    predictions: dict[str, npt.NDArray[np.generic]]


def train(
    experiment: schema.Experiment,
    *,
    photos: Photos,
    split: Split,
    machine: Machine,
    weights_file: Path | None,
    storage: Storage,
    listener: events.Listener,
    stops: Stops,
    resumed: State | None = None,
) -> Outcome:
    """Train one network with one optimizer and one seed, from its start or the state `resumed`.

    The seed decides weights, order, augmentation and dropout; the weights are random without a file
    of published ones. A signal (`Interrupted`) leaves the checkpoint `last` to go on from; that the
    loss or a weight is not finite any more is raised as `Diverged`.
    """
    settings = experiment.training
    steps = batches_per_epoch(len(split.train), settings.batch_size)
    clocks = Clocks(lambda: stops.suspended_s)
    # By the photos' SHA-256: an arbitrary order, but the same in every run.
    shuffled = split.train[np.lexsort(photos.digests[split.train].T[::-1])]

    def evaluated(indices: npt.NDArray[np.int64]) -> EvaluationSet:
        batches = evaluation_batches(photos, indices, batch_size=EVALUATION_BATCH)
        return EvaluationSet(batches, photos.labels[indices])

    with fresh_keras(seed=settings.seed):
        gc.collect()  # the network of the run before, which refers to itself
        model = network(
            experiment,
            machine=machine,
            weights_file=weights_file,
            photos=photos.pixels[np.sort(shuffled[:64])],
            is_new=resumed is None,
        )
        rule = experiment.optimizer

        def planned_updates(epochs: int) -> int:
            return rule.updates(batches_per_epoch=steps, epochs=epochs)

        optimizer = rule.build(
            total_updates=planned_updates(settings.epochs), track_fast_weights=True
        )
        engine = TensorFlowEngine(model, optimizer, jit_compile=machine.jit_compile)
        validation = Validation(
            engine=engine,
            clocks=clocks,
            validation=evaluated(split.validation),
            training_subset=evaluated(np.sort(shuffled[: len(split.validation)])),
            averaged_over=evaluated(np.sort(shuffled[:PHOTOS])).batches,
            steps_per_epoch=steps,
            check=stops.check,
        )
        training = Training(
            settings=settings,
            images=len(split.train),
            evaluations=rule.gradient_evaluations,
            planned_updates=planned_updates,
            steps=steps,
            engine=engine,
            clocks=clocks,
            validation=validation,
            checkpointer=Checkpointer(storage, minutes=settings.checkpoint_minutes, steps=steps),
            storage=storage,
            listeners=[listener, *([TensorBoard(storage.tensorboard)] * settings.tensorboard)],
            stops=stops,
            position=Position(),
        )
        if resumed is None:
            facts = {
                "initial_weights": weights_hash(model),
                "first_batches": first_batches_hash(
                    photos, split.train, batch_size=settings.batch_size, seed=settings.seed
                ),
                "parameters": model.count_params(),
            }
            listener(events.NetworkBuilt(facts))
        else:
            training.load_state(resumed)
        stops.check()
        batches = training_batches(
            photos,
            split.train,
            batch_size=settings.batch_size,
            seed=settings.seed,
            augmentation=augmentation_of(experiment),
            start_epoch=training.position.epoch,
            start_batch=training.position.batch,
        )
        try:
            training.run(iter(batches))
        except (Interrupted, Diverged) as end:
            training.keep(end)
            raise
        with clocks.evaluating():
            engine.set_weights(_weights_of(validation.best_record, storage))
            logits, test = validation.measure(evaluated(split.test))
    ids = np.asarray(photos.ids)
    predictions = {
        "validation_ids": ids[split.validation],
        "validation_labels": photos.labels[split.validation],
        "validation_logits": np.asarray(validation.best_logits),
        "test_ids": ids[split.test],
        "test_labels": photos.labels[split.test],
        "test_logits": logits,
    }
    return Outcome(_result(validation, test, clocks), predictions)


@dataclass
class Training:
    """A training: its parts, and where it stands. What is saved of it is what they give."""

    settings: schema.Training
    images: int  # in an epoch
    evaluations: int  # gradients of a batch in a step
    planned_updates: Callable[[int], int]  # of the weights, in so many epochs
    steps: int  # in an epoch
    engine: TensorFlowEngine
    clocks: Clocks
    validation: Validation
    checkpointer: Checkpointer
    storage: Storage
    listeners: Sequence[events.Listener]
    stops: Stops
    position: Position

    def run(self, batches: Iterator[Any]) -> None:
        """Train from where it stands to the end, on these batches."""
        size = self.settings.batch_size
        for epoch in range(self.position.epoch, self.settings.epochs):
            if self.is_over:
                break
            if self.position.batch == 0:
                self.engine.start_epoch()
            for batch in range(self.position.batch, self.steps):
                done = Position(epoch, batch + 1)
                is_recorded = done.steps_done(self.steps) % self.settings.record_every == 0
                is_last = done.batch == self.steps
                with self.clocks.step(min(size, self.images - batch * size)):
                    self.engine.step(next(batches))
                    if is_recorded or is_last:
                        self.engine.read()
                self.position = done
                self.require_finite()
                self.tell(self.step_done())
                if is_recorded:
                    self.tell(self.step_record())
                # An epoch's end follows its last step, and is a better place to go on from.
                if self.checkpointer.is_due and not is_last:
                    self.save()
                self.stops.check()
            # A run that was stopped between an epoch's last step and its end goes on here.
            self.end_epoch(epoch + 1)
            self.position = Position(epoch + 1)
            if self.is_over or self.checkpointer.is_worth_it:
                self.save()
            self.stops.check()

    @property
    def is_over(self) -> bool:
        """Whether no epoch is to follow those that were."""
        seen, settings = len(self.validation.records), self.settings
        return seen == settings.epochs or self.validation.is_over(settings.early_stopping_patience)

    def end_epoch(self, epoch: int) -> None:
        """Measure an epoch, counted from 1, whose steps are made, and tell of it."""
        means = self.engine.read()
        self.engine.end_epoch()
        record, best = self.validation.end_epoch(epoch, means, self.counts)
        self.checkpointer.unsaved_best = best or self.checkpointer.unsaved_best
        self.tell(record)
        if told := advice(self.validation.records, self.planned_updates):
            self.notice(told)

    def tell(self, event: events.Event) -> None:
        for listener in self.listeners:
            listener(event)

    def notice(self, message: str) -> None:
        self.tell(events.Notice(message))

    def step_done(self) -> events.StepDone:
        means = self.engine.means
        return events.StepDone(
            epoch=self.position.epoch + 1,
            step=self.position.batch,
            **(vars(means) if means else {"loss": None, "accuracy": None}),
            images_per_second=self.clocks.images_per_second,
        )

    def step_record(self) -> events.StepRecord:
        return events.StepRecord(
            step=self.position.steps_done(self.steps),
            epoch=self.position.epoch + 1,
            **vars(self.engine.take_record()),
            **self.counts(),
        )

    def counts(self) -> dict[str, Any]:
        """What every record says of how far the training is."""
        steps = self.position.steps_done(self.steps)
        in_epoch = min(self.position.batch * self.settings.batch_size, self.images)
        return {
            "learning_rate": self.engine.learning_rate,
            "updates": self.engine.updates,
            "gradient_evaluations": steps * self.evaluations,
            "images": self.position.epoch * self.images + in_epoch,
            "training_seconds": self.clocks.training,
            "evaluation_seconds": self.clocks.evaluation,
        }

    def require_finite(self) -> None:
        """Raise `Diverged` where the loss of a step that was read by now was not finite."""
        if self.engine.steps_not_finite:
            step = self.position.steps_done(self.steps) - self.engine.steps_not_finite + 1
            before = self.last_finite and self.last_finite | {"step": step - 1}
            epoch = self.position.epoch + 1
            raise Diverged("the loss", step=step, epoch=epoch, last_finite=before)

    @property
    def last_finite(self) -> dict[str, float]:
        means = self.engine.means
        return {"training_loss": means.loss, "training_accuracy": means.accuracy} if means else {}

    def save(self) -> None:
        """Write a checkpoint of the training as it stands, unless the last one is."""
        if not self.checkpointer.has_saved(self.position):
            self.engine.read()
            self.require_finite()
            self.checkpointer.save(self.state(), self.last_finite)

    def keep(self, end: Interrupted | Diverged) -> None:
        """Save what can be saved of a training that ends early."""
        try:
            try:
                if isinstance(end, Interrupted):
                    self.save()
            finally:
                self.checkpointer.save_best()
        except OSError as error:
            self.notice(f"what was saved before stands, nothing new can be written: {error}")

    def state(self) -> State:
        return State(
            position=self.position,
            arrays=self.engine.state_dict(),
            metrics_bytes=self.storage.metrics_bytes(),
            **self.validation.state_dict(),
            **self.clocks.state_dict(),
        )

    def load_state(self, state: State) -> None:
        self.position = state.position
        self.engine.load_state_dict(state.arrays)
        self.validation.load_state_dict(vars(state))
        self.clocks.load_state_dict(vars(state))


def _weights_of(best: events.EpochRecord, storage: Storage) -> list[Array]:
    """The best epoch's weights as they are on disk, where `evaluate` will read them too."""
    found = checkpoint.read(storage.best, owner=storage.run_id)
    epoch = found.facts.get("epoch")
    if epoch != best.epoch:
        raise CheckpointError(f"{storage.best} is of epoch {epoch}, the best is {best.epoch}")
    return list(found.arrays.values())


def _result(validation: Validation, test: Scores, clocks: Clocks) -> dict[str, float | int | None]:
    best, last = validation.best_record, validation.records[-1]
    return {
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
