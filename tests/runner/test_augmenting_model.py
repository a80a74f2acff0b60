"""Training on changed photos: every optimizer's step is the one on those photos, and no other."""

import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from optrun.data.feed.augmentation import Augmentation, augment
from optrun.data.feed.batches import training_batches
from optrun.data.photos import Photos
from optrun.optimizers import Model
from optrun.optimizers.specification import parse
from optrun.runner.models.augmenting import AugmentingModel

COUNT, SIZE, BATCH, EPOCHS = 22, 16, 8, 2
STEPS = 3  # with batches of 8, 8 and 6 photos
EVERYTHING = Augmentation(flip=True, shift=0.2, zoom=0.3, rotation=25, brightness=0.4, contrast=0.5)
SGD = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}
OPTIMIZERS = {
    "centralized": {**SGD, "gradient_centralization": True},
    "heun": {"name": "heun", "learning_rate": 0.05},
    "soft_batch": {"name": "soft_batch", "inner_optimizer": SGD, "batches_per_update": 2},
    "lookahead": {"name": "lookahead", "inner_optimizer": SGD, "sync_period": 2},
}


@pytest.fixture(scope="module")
def photos() -> Photos:
    content = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(COUNT))
    digests = np.frombuffer(content, np.uint8).reshape(COUNT, 32)
    return Photos(
        pixels=np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3), np.uint8),
        ids=tuple(map(str, range(COUNT))),
        labels=(np.arange(COUNT) % 2).astype(np.uint8),
        digests=digests,
        pixel_digests=digests,
        parts=np.zeros(COUNT, np.uint8),
        fingerprint="",
        source="",
        is_sample=False,
        left_out=(),
        preprocessing="",
    )


@pytest.fixture(scope="module")
def batches(photos: Photos) -> tf.data.Dataset:
    return training_batches(
        photos, np.arange(COUNT), batch_size=BATCH, seed=1, augmentation=EVERYTHING
    )


def classifier(dropout: float = 0.2) -> Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = keras.layers.Conv2D(4, 3, activation="relu")(x)
    x = keras.layers.Dropout(dropout, seed=3)(keras.layers.GlobalAveragePooling2D()(x))
    return Model(inputs, keras.layers.Dense(1)(x))


def trained(
    model: Model,
    batches: tf.data.Dataset,
    specification: dict,
    *,
    jit_compile: bool = False,
    steps: int = STEPS,
) -> Model:
    model.compile(
        parse(specification).build(total_updates=100),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    model.optimizer.build(model.trainable_variables)
    model.fit(batches, epochs=EPOCHS, steps_per_epoch=steps, shuffle=False, verbose=0)
    return model


@pytest.fixture(scope="module")
def changed_beforehand(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The same batches, of photos changed already, for the stock training step."""
    compiled = tf.function(functools.partial(augment, augmentation=EVERYTHING), jit_compile=True)
    changed = [
        (compiled(images, rows), labels) for (images, rows), labels in batches.take(EPOCHS * STEPS)
    ]

    def generate() -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        yield from changed

    signature = (
        tf.TensorSpec([None, SIZE, SIZE, 3], tf.uint8),
        tf.TensorSpec([None], tf.float32),
    )
    return tf.data.Dataset.from_generator(generate, output_signature=signature)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_gradient_of_a_step_is_of_the_photos_changed_once(
    batches: tf.data.Dataset, changed_beforehand: tf.data.Dataset, name: str
) -> None:
    augmenting = trained(AugmentingModel(classifier(), EVERYTHING), batches, OPTIMIZERS[name])
    plain = trained(classifier(), changed_beforehand, OPTIMIZERS[name])

    assert int(augmenting.optimizer.iterations) == int(plain.optimizer.iterations)
    for ours, theirs in zip(augmenting.get_weights(), plain.get_weights(), strict=True):
        assert np.allclose(ours, theirs, rtol=0, atol=1e-6)
    assert not np.allclose(plain.get_weights()[0], classifier().get_weights()[0], atol=1e-4)


def test_a_step_compiled_as_a_whole_is_the_same(batches: tf.data.Dataset) -> None:
    # Without dropout: XLA draws other masks. Without the short batch, for which it compiles anew.
    whole = batches.take(STEPS - 1).repeat()
    first, second = (
        trained(
            AugmentingModel(classifier(0), EVERYTHING),
            whole,
            SGD,
            jit_compile=compiled,
            steps=STEPS - 1,
        )
        for compiled in (False, True)
    )

    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        assert np.allclose(ours, theirs, rtol=0, atol=1e-4)


def test_the_network_is_the_one_given_and_sees_plain_photos_when_evaluated(
    photos: Photos, batches: tf.data.Dataset
) -> None:
    given = classifier()
    augmenting = trained(AugmentingModel(given, EVERYTHING), batches, SGD)

    assert [id(one) for one in augmenting.variables[: len(given.variables)]] == [
        id(one) for one in given.variables
    ]
    assert augmenting.layers == given.layers
    given.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    assert np.array_equal(
        augmenting.predict(photos.pixels, verbose=0), given.predict(photos.pixels, verbose=0)
    )
    labels = photos.labels.astype(np.float32)
    assert augmenting.evaluate(photos.pixels, labels, verbose=0) == pytest.approx(
        given.evaluate(photos.pixels, labels, verbose=0)
    )


def test_weights_that_do_not_learn_stay_fixed(batches: tf.data.Dataset) -> None:
    given = classifier()
    kernel = given.layers[2]
    kernel.trainable = False
    before = kernel.get_weights()
    trained(AugmentingModel(given, EVERYTHING), batches, SGD)

    assert all(np.array_equal(*pair) for pair in zip(before, kernel.get_weights(), strict=True))


@pytest.mark.slow
def test_replicas_augment_their_own_part_of_the_batch() -> None:
    program = Path(__file__).parent / "checks" / "augmenting_replicas.py"
    answer = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=200, check=False
    )

    assert answer.returncode == 0, answer.stderr[-2000:]
    assert json.loads(answer.stdout)["deviation"] < 1e-5
