"""The network of an experiment: built, given the weights it starts from, given its optimizer."""

from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
from optrun.data.feed.augmentation import Augmentation
from optrun.data.photos import Photos
from optrun.data.split import Split
from optrun.optimizers import Model
from optrun.runner.config.schema import Experiment, architecture_of
from optrun.runner.engine.hardware import Machine
from optrun.runner.models.augmenting import AugmentingModel
from optrun.runner.models.base import Architecture
from optrun.runner.models.ends import below_head, head
from optrun.runner.models.initialization import initialise_head
from optrun.runner.models.keras_state import fresh_keras
from optrun.runner.models.networks import NETWORKS


def build_classifier(
    architecture: Architecture, *, seed: int, precision: str = "float32"
) -> keras.Model:
    """Build a network under its head, its weights not yet chosen (see `initial_model`).

    Args:
        precision: Dtype policy of its layers, whatever Keras' global one is.

    Returns:
        A model from uint8 [batch, size, size, 3], RGB in 0..255, to one float32 logit a photo,
        [batch, 1]; positive means the second class.
    """
    network = NETWORKS[architecture.network]
    photos = keras.Input((architecture.image_size,) * 2 + (3,), dtype="uint8", name="photos")
    # Some networks have layers with random numbers of their own: also of this seed.
    with fresh_keras(seed=seed):
        features = network.features(photos, architecture, precision)
    logit = head(features, architecture, seed=seed, precision=precision)
    model = Model(photos, logit, name=f"{network.name}_classifier")
    # Its own, which decides whether the optimizer scales the loss: a functional model is not asked.
    model.dtype_policy = precision
    for layer in below_head(model):
        if layer.weights:
            block = layer.name.partition("_")[0] if network.blocks else ""
            layer.trainable = network.is_trained(block, architecture.trainable)
    return model


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
    optimizer = experiment.optimizer.build(
        total_updates=experiment.optimizer.updates(
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
    network = NETWORKS[architecture.network]
    if file is not None and network.put_in is not None:
        network.put_in(model, file)
    else:
        chosen = by_content(photos, split.train)[:64]
        network.initialise(model, photos.pixels[np.sort(chosen)], seed)
    if precision == "float32":
        return model
    mixed = build_classifier(architecture, seed=seed, precision=precision)
    mixed.set_weights(model.get_weights())
    return mixed


def augmentation_of(experiment: Experiment) -> Augmentation:
    """The augmentation of `data`, out of the configuration."""
    return Augmentation(**experiment.data.augmentation.model_dump())


def by_content(photos: Photos, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The indices in the order of their photos' SHA-256: arbitrary, but always the same."""
    return indices[np.lexsort(photos.digests[indices].T[::-1])]
