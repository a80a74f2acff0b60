"""One run: build, train, evaluate, test. Knows nothing of screens, folders' names or plans.

The function `train` is free of global state but Keras' own (dtype policy, random seed), so that it
can be called in a process of its own.
"""

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import keras
import numpy as np
import numpy.typing as npt

from data.augmentation import Augmentation
from data.batches import (
    batches_per_epoch,
    evaluation_batches,
    first_batches_hash,
    training_batches,
)
from data.photos import Photos
from data.split import Split
from optimizers import specification
from optimizers.build import build as build_optimizer
from runner import checkpoint, training_state, weights
from runner.augmenting_model import AugmentingModel
from runner.callbacks import Clocks, EpochRecord, Evaluation, EvaluationSet, Steps, predict
from runner.checkpointing import Checkpoints
from runner.configuration.schema import Experiment
from runner.initialization import initialise_convolutions, initialise_head, weights_hash
from runner.machine import Machine
from runner.model import Architecture, build_classifier
from runner.position import Place, Position
from runner.run_folder import RunFolder
from runner.scores import score
from runner.stopping import Stops
from runner.training_state import State

# No gradients are kept while predicting, so more photos fit than in a training batch.
EVALUATION_BATCH = 64


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
    start = Position() if resumed is None else resumed.position
    keras.backend.clear_session()
    gc.collect()
    keras.utils.set_random_seed(settings.seed)
    model = _network(
        experiment,
        photos=photos,
        split=split,
        machine=machine,
        weights_file=weights_file,
        is_new=resumed is None,
    )
    steps_per_epoch = batches_per_epoch(len(split.train), settings.batch_size)
    accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    _compile(model, accuracy, experiment, machine, steps_per_epoch=steps_per_epoch)
    variables = training_state.variables_of(model, [accuracy])
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
    evaluation = Evaluation(
        clocks=clocks,
        validation=_evaluation_set(photos, split.validation),
        training_subset=_evaluation_set(photos, training_subset(photos, split)),
        best_folder=run_folder.best_checkpoint_path,
        patience=settings.early_stopping_patience,
        gradient_evaluations_per_step=specification.gradient_evaluations(experiment.optimizer),
        steps_per_epoch=steps_per_epoch,
        images_per_epoch=len(split.train),
        on_epoch=listener.epoch,
        on_notice=listener.notice,
    )
    if resumed is not None:
        training_state.put_back_records(evaluation, resumed)

    def put_back_metrics() -> None:
        # Keras has just reset them, as it does at the beginning of every epoch.
        if resumed is not None:
            training_state.put_back(variables, resumed.arrays)

    place = Place(start, steps_per_epoch=steps_per_epoch, put_back=put_back_metrics)
    steps = Steps(
        clocks=clocks,
        place=place,
        images_per_epoch=len(split.train),
        batch_size=settings.batch_size,
        steps_per_epoch=steps_per_epoch,
        on_step=listener.step,
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

    callbacks: list[keras.callbacks.Callback] = [place, steps, evaluation]
    if settings.tensorboard:
        callbacks.append(
            keras.callbacks.TensorBoard(str(run_folder.path / "tensorboard"), write_graph=False)
        )
    callbacks.append(
        Checkpoints(
            folder=run_folder.last_checkpoint_path,
            minutes=settings.checkpoint_minutes,
            place=place,
            steps_per_epoch=steps_per_epoch,
            state=state,
            stops=stops,
        )
    )
    stops.check()
    if not _is_over(evaluation, start.epoch, settings.epochs, settings.early_stopping_patience):
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
            steps_per_epoch=steps_per_epoch,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
    return _outcome(model, evaluation, clocks, photos, split, run_folder)


def _network(
    experiment: Experiment,
    *,
    photos: Photos,
    split: Split,
    machine: Machine,
    weights_file: Path | None,
    is_new: bool,
) -> keras.Model:
    """The network that is trained; with weights to start from where it is new."""
    if is_new:
        model = initial_model(
            experiment, photos=photos, split=split, precision=machine.precision, file=weights_file
        )
    else:
        keras.config.set_dtype_policy(machine.precision)
        model = build_classifier(architecture_of(experiment), seed=experiment.training.seed)
    augmentation = augmentation_of(experiment)
    return model if augmentation.is_identity else AugmentingModel(model, augmentation)


def _compile(
    model: keras.Model,
    accuracy: keras.metrics.Metric,
    experiment: Experiment,
    machine: Machine,
    *,
    steps_per_epoch: int,
) -> None:
    """Give the network its loss and its optimizer, whose variables exist from here on."""
    optimizer = build_optimizer(
        experiment.optimizer,
        total_updates=specification.updates(
            experiment.optimizer,
            batches_per_epoch=steps_per_epoch,
            epochs=experiment.training.epochs,
        ),
        track_fast_weights=True,
    )
    model.compile(
        optimizer,
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[accuracy],
        jit_compile=machine.jit_compile,
    )
    # Keras would build it while tracing, where copies of the weights are lost.
    model.optimizer.build(model.trainable_variables)


def _is_over(evaluation: Evaluation, next_epoch: int, epochs: int, patience: int | None) -> bool:
    """Whether a resumed run was interrupted after its last epoch."""
    if next_epoch >= epochs:
        return True
    if patience is None or evaluation.best is None:
        return False
    return evaluation.records[-1].epoch - evaluation.best.epoch >= patience


def initial_model(
    experiment: Experiment, *, photos: Photos, split: Split, precision: str, file: Path | None
) -> keras.Model:
    """The network as it stands before the first step: a function of configuration and seed.

    Random weights are computed in float32 whatever the precision, and then copied, so that the
    same seed starts from the same weights in each.
    """
    seed = experiment.training.seed
    architecture = architecture_of(experiment)
    keras.config.set_dtype_policy("float32")
    model = build_classifier(architecture, seed=seed)
    initialise_head(model, seed=seed, scale=0.1 if file is None else 1.0)
    if file is None:
        chosen = by_content(photos, split.train)[:64]
        initialise_convolutions(model, photos.pixels[np.sort(chosen)], seed=seed)
    else:
        weights.put_in(model, file)
    if precision == "float32":
        return model
    keras.config.set_dtype_policy(precision)
    mixed = build_classifier(architecture, seed=seed)
    mixed.set_weights(model.get_weights())
    return mixed


def architecture_of(experiment: Experiment) -> Architecture:
    """What `model.build_classifier` needs, out of the configuration."""
    head = experiment.model.head
    return Architecture(
        image_size=experiment.data.image_size,
        pretrained_input=experiment.model.weights != "random",
        width=experiment.model.width,
        pooling=head.pooling,
        hidden_units=tuple(head.hidden_units),
        dropout=head.dropout,
        trainable=experiment.model.trainable,
    )


def augmentation_of(experiment: Experiment) -> Augmentation:
    """The augmentation of `data`, out of the configuration."""
    return Augmentation(**experiment.data.augmentation.model_dump())


def by_content(photos: Photos, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The indices in the order of their photos' SHA-256: arbitrary, but always the same."""
    return indices[np.lexsort(photos.digests[indices].T[::-1])]


def training_subset(photos: Photos, split: Split) -> npt.NDArray[np.int64]:
    """As many training photos as there are validation photos, the same in every run."""
    return np.sort(by_content(photos, split.train)[: len(split.validation)])


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
) -> Outcome:
    best, last = evaluation.best, evaluation.records[-1]
    if best is None or evaluation.best_logits is None:
        raise RuntimeError("training ended without a single evaluated epoch")
    with clocks.evaluating():
        model.set_weights(checkpoint.load(run_folder.best_checkpoint_path))
        logits = predict(model, _evaluation_set(photos, split.test).batches)
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
