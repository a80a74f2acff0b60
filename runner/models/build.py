"""The network of an experiment: built, given the weights it starts from, given its optimizer."""

from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
from optrun.data.feed.augmentation import Augmentation
from optrun.data.photos import Photos
from optrun.data.split import Split
from optrun.optimizers import specification
from optrun.optimizers.build import build as build_optimizer
from optrun.runner.config.schema import Experiment
from optrun.runner.engine.hardware import Machine
from optrun.runner.models import weights
from optrun.runner.models.augmenting import AugmentingModel
from optrun.runner.models.base import Architecture, build_classifier
from optrun.runner.models.initialization import initialise_convolutions, initialise_head


def network(
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
        model = build_classifier(
            architecture_of(experiment),
            seed=experiment.training.seed,
            precision=machine.precision,
        )
    augmentation = augmentation_of(experiment)
    return model if augmentation.is_identity else AugmentingModel(model, augmentation)


def compile_network(
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
        loss=keras.losses.BinaryCrossentropy(from_logits=True, dtype="float32"),
        metrics=[accuracy],
        jit_compile=machine.jit_compile,
    )
    # Keras would build it while tracing, where copies of the weights are lost.
    model.optimizer.build(model.trainable_variables)


def initial_model(
    experiment: Experiment, *, photos: Photos, split: Split, precision: str, file: Path | None
) -> keras.Model:
    """The network as it stands before the first step: a function of configuration and seed.

    Random weights are computed in float32 whatever the precision, and then copied, so that the
    same seed starts from the same weights in each.
    """
    seed = experiment.training.seed
    architecture = architecture_of(experiment)
    model = build_classifier(architecture, seed=seed)
    initialise_head(model, seed=seed, scale=0.1 if file is None else 1.0)
    if file is None:
        chosen = by_content(photos, split.train)[:64]
        initialise_convolutions(model, photos.pixels[np.sort(chosen)], seed=seed)
    else:
        weights.put_in(model, file)
    if precision == "float32":
        return model
    mixed = build_classifier(architecture, seed=seed, precision=precision)
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
