"""The network of an experiment: built, and given the weights that it starts from."""

from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
from optrun.data.feed.augmentation import Augmentation
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
    """Build a network under its head, its weights not yet chosen (see `network`).

    It takes uint8 [batch, size, size, 3], RGB in 0..255, to one float32 logit a photo, [batch, 1];
    positive means the second class. Its layers have the given dtype policy, whatever Keras' is.
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
    machine: Machine,
    weights_file: Path | None,
    photos: npt.NDArray[np.uint8],
    is_new: bool,
) -> keras.Model:
    """The network that is trained; where it is new, with the weights that it starts from.

    Those are a function of configuration and seed, and random ones of some training photos, too.
    These are computed in float32 whatever the precision, and then copied, so that the same seed
    starts from the same weights in each.
    """
    seed, architecture = experiment.training.seed, architecture_of(experiment)
    chosen, precision = NETWORKS[architecture.network], machine.precision
    model = build_classifier(architecture, seed=seed, precision="float32" if is_new else precision)
    if is_new:
        initialise_head(model, seed=seed, scale=0.1 if weights_file is None else 1.0)
        if weights_file is not None and chosen.put_in is not None:
            chosen.put_in(model, weights_file)
        else:
            chosen.initialise(model, photos, seed)
        if precision != "float32":
            mixed = build_classifier(architecture, seed=seed, precision=precision)
            mixed.set_weights(model.get_weights())
            model = mixed
    augmentation = augmentation_of(experiment)
    return model if augmentation.is_identity else AugmentingModel(model, augmentation)


def augmentation_of(experiment: Experiment) -> Augmentation:
    return Augmentation(**experiment.data.augmentation.model_dump())
