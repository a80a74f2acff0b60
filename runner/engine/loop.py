"""One run: build, train, evaluate, test. Knows nothing of screens, folders' names or plans.

The function `train` leaves global state as it was, so that anybody can call it in their process.
"""

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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
from optrun.runner.config.schema import Training as TrainingSettings
from optrun.runner.engine import checkpoint
from optrun.runner.engine import state as training_state
from optrun.runner.engine.callbacks import (
    Clocks,
    Evaluation,
    EvaluationSet,
    Steps,
    predict,
)
from optrun.runner.engine.checkpoint import CheckpointError
from optrun.runner.engine.checkpointer import Checkpoints
from optrun.runner.engine.divergence import Diverged
from optrun.runner.engine.hardware import Machine
from optrun.runner.engine.position import Place, Position
from optrun.runner.engine.scores import score
from optrun.runner.engine.signals import Interrupted, Stops
from optrun.runner.engine.state import State
from optrun.runner.events import EpochRecord
from optrun.runner.models.batch_norm import PHOTOS
from optrun.runner.models.build import augmentation_of, by_content, compile_network, network
from optrun.runner.models.initialization import weights_hash
from optrun.runner.models.keras_state import fresh_keras
from optrun.runner.runs.run_folder import RunFolder


class Listener(Protocol):
    """Who is told how a run goes."""

    def started(self, facts: dict[str, object]) -> None: ...

    def step(
        self, epoch: int, step: int, loss: float, accuracy: float, images_per_second: float | None
    ) -> None: ...

    def epoch(self, record: EpochRecord) -> None: ...

    def notice(self, message: str) -> None: ...


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


@fresh_keras()
def train(
    experiment: Experiment,
    *,
    photos: Photos,
    split: Split,
    machine: Machine,
    weights_file: Path | None,
    run_folder: RunFolder,
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
        run_folder: Where checkpoints and TensorBoard's events go.
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
    settings = experiment.training
    clocks = Clocks() if resumed is None else training_state.clocks_from(resumed)
    keras.backend.clear_session()
    gc.collect()
    keras.utils.set_random_seed(settings.seed)
    model = network(
        experiment,
        photos=photos,
        split=split,
        machine=machine,
        weights_file=weights_file,
        is_new=resumed is None,
    )
    steps_per_epoch = batches_per_epoch(len(split.train), settings.batch_size)
    accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    compile_network(model, accuracy, experiment, machine, steps_per_epoch=steps_per_epoch)
    metrics = training_state.metrics_of(model, accuracy)
    variables = training_state.variables_of(model, metrics)
    evaluation = _evaluation(experiment, photos, split, clocks, listener, stops)
    if resumed is None:
        listener.started(
            {
                "initial_weights": weights_hash(model),
                "first_batches": first_batches_hash(
                    photos, split.train, batch_size=settings.batch_size, seed=settings.seed
                ),
                "parameters": model.count_params(),
            }
        )
    else:
        training_state.put_back(variables, resumed.arrays)
        training_state.put_back_records(evaluation, resumed)
    place = Place(
        Position() if resumed is None else resumed.position,
        steps_per_epoch=steps_per_epoch,
        put_back_metrics=training_state.keep_values(metrics),
    )

    def state() -> State:
        return State(
            position=place.position,
            arrays=training_state.values_of(variables),
            records=evaluation.records,
            best_epoch=None if evaluation.best is None else evaluation.best.epoch,
            best_logits=evaluation.best_logits,
            seconds=training_state.seconds_of(clocks),
            timed_images=clocks.timed_images,
            metrics_bytes=run_folder.metrics_bytes(),
        )

    checkpoints = Checkpoints(
        best_folder=run_folder.best_checkpoint_path,
        last_folder=run_folder.last_checkpoint_path,
        owner=run_folder.id,
        minutes=settings.checkpoint_minutes,
        place=place,
        steps_per_epoch=steps_per_epoch,
        epochs=settings.epochs,
        evaluation=evaluation,
        state=state,
        stops=stops,
    )
    steps = Steps(
        clocks=clocks,
        place=place,
        images_per_epoch=len(split.train),
        batch_size=settings.batch_size,
        steps_per_epoch=steps_per_epoch,
        on_step=listener.step,
    )
    callbacks: list[keras.callbacks.Callback] = [place, steps, evaluation]
    if settings.tensorboard:
        callbacks.append(
            keras.callbacks.TensorBoard(str(run_folder.path / "tensorboard"), write_graph=False)
        )
    callbacks.append(checkpoints)
    stops.check()
    try:
        if place.is_epoch_trained:
            # Interrupted between an epoch's last step and the end of its evaluation.
            logs = {metric.name: float(metric.result()) for metric in metrics}
            keras.callbacks.CallbackList(callbacks, model=model).on_epoch_end(
                place.position.epoch, logs
            )
        if place.position.batch == 0:
            # Keras resets the loss alone before the first step: it does not know the others yet.
            for metric in metrics:
                metric.reset_state()
        if not _is_over(evaluation, place.position, settings):
            _fit(model, experiment, photos, split, place.position, callbacks)
    except (Interrupted, Diverged) as end:
        try:
            if isinstance(end, Diverged):
                checkpoints.save_best()
            else:
                checkpoints.save()
        except OSError as error:
            listener.notice(f"what was saved before stands, nothing new can be written: {error}")
        raise
    return _outcome(model, evaluation, clocks, photos, split, run_folder, stops)


def _evaluation(
    experiment: Experiment,
    photos: Photos,
    split: Split,
    clocks: Clocks,
    listener: Listener,
    stops: Stops,
) -> Evaluation:
    return Evaluation(
        clocks=clocks,
        validation=_evaluation_set(photos, split.validation),
        training_subset=_evaluation_set(photos, training_subset(photos, split)),
        averaged_over=_evaluation_set(photos, averaged_photos(photos, split)).batches,
        patience=experiment.training.early_stopping_patience,
        gradient_evaluations_per_step=specification.gradient_evaluations(experiment.optimizer),
        steps_per_epoch=batches_per_epoch(len(split.train), experiment.training.batch_size),
        images_per_epoch=len(split.train),
        on_epoch=listener.epoch,
        on_notice=listener.notice,
        check=stops.check,
    )


def _fit(
    model: keras.Model,
    experiment: Experiment,
    photos: Photos,
    split: Split,
    start: Position,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Train from a position to the end."""
    settings = experiment.training
    model.fit(
        training_batches(
            photos,
            split.train,
            batch_size=settings.batch_size,
            seed=settings.seed,
            augmentation=augmentation_of(experiment),
            start_epoch=start.epoch,
            start_batch=start.batch,
        ),
        initial_epoch=start.epoch,
        epochs=settings.epochs,
        steps_per_epoch=batches_per_epoch(len(split.train), settings.batch_size),
        callbacks=list(callbacks),
        shuffle=False,
        verbose=0,
    )


def _is_over(evaluation: Evaluation, place: Position, settings: TrainingSettings) -> bool:
    """Whether a resumed run was interrupted after its last epoch."""
    if place.epoch >= settings.epochs:
        return True
    patience = settings.early_stopping_patience
    if patience is None or evaluation.best is None:
        return False
    return evaluation.records[-1].epoch - evaluation.best.epoch >= patience


def training_subset(photos: Photos, split: Split) -> npt.NDArray[np.int64]:
    """As many training photos as there are validation photos, the same in every run."""
    return np.sort(by_content(photos, split.train)[: len(split.validation)])


def averaged_photos(photos: Photos, split: Split) -> npt.NDArray[np.int64]:
    """The training photos that batch normalisation's averages are taken over; always the same."""
    return np.sort(by_content(photos, split.train)[:PHOTOS])


def _evaluation_set(photos: Photos, indices: npt.NDArray[np.int64]) -> EvaluationSet:
    return EvaluationSet(
        evaluation_batches(photos, indices, batch_size=EVALUATION_BATCH), photos.labels[indices]
    )


def _outcome(
    model: keras.Model,
    evaluation: Evaluation,
    clocks: Clocks,
    photos: Photos,
    split: Split,
    run_folder: RunFolder,
    stops: Stops,
) -> Outcome:
    best, last = evaluation.best, evaluation.records[-1]
    if best is None or evaluation.best_logits is None:
        raise RuntimeError("training ended without a single evaluated epoch")
    with clocks.evaluating():
        model.set_weights(_weights_of(best, run_folder))
        logits = predict(model, _evaluation_set(photos, split.test).batches, stops.check)
        test = score(logits, photos.labels[split.test])
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
    ids = np.asarray(photos.ids)
    predictions: dict[str, npt.NDArray[np.generic]] = {}
    for name, indices, values in (
        ("validation", split.validation, evaluation.best_logits),
        ("test", split.test, logits),
    ):
        predictions[f"{name}_ids"] = ids[indices]
        predictions[f"{name}_labels"] = photos.labels[indices]
        predictions[f"{name}_logits"] = values
    return Outcome(result, predictions)


def _weights_of(best: EpochRecord, run_folder: RunFolder) -> Sequence[checkpoint.Array]:
    """The best epoch's weights as they are on disk, where `evaluate` will read them too."""
    found = checkpoint.read(run_folder.best_checkpoint_path, owner=run_folder.id)
    if found.facts.get("epoch") != best.epoch:
        raise CheckpointError(
            f"{run_folder.best_checkpoint_path} is of epoch {found.facts.get('epoch')}, "
            f"the best is {best.epoch}"
        )
    return list(found.arrays.values())
