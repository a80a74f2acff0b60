"""Train with augmentation on one device and on two replicas, and say how the weights differ.

    python augmenting_replicas.py

A program of its own, since TensorFlow divides the CPU before its first operation only. It prints a
JSON object with `deviation`, the largest difference of a weight.
"""

import hashlib
import json

import keras
import numpy as np
import tensorflow as tf
from optrun.data.feed.augmentation import Augmentation
from optrun.data.feed.batches import training_batches
from optrun.data.photos import Photos
from optrun.optimizers import Heun, Model
from optrun.runner.models.augmenting import AugmentingModel

COUNT, SIZE, BATCH = 24, 16, 8
DEVICES = ["CPU:0", "CPU:1"]
EVERYTHING = Augmentation(flip=True, shift=0.2, zoom=0.3, rotation=25, brightness=0.4, contrast=0.5)


def photos() -> Photos:
    """Noise."""
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


def weights() -> list[np.ndarray]:
    """What two epochs of Heun's steps make of a small network."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = keras.layers.Conv2D(4, 3, activation="relu")(x)
    output = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(x))
    model = AugmentingModel(Model(inputs, output), EVERYTHING)
    model.compile(
        Heun(0.05), loss=keras.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"],
        jit_compile=False,
    )  # fmt: skip
    model.optimizer.build(model.trainable_variables)
    batches = training_batches(
        photos(), np.arange(COUNT), batch_size=BATCH, seed=1, augmentation=EVERYTHING
    )
    model.fit(batches, epochs=2, steps_per_epoch=COUNT // BATCH, shuffle=False, verbose=0)
    return model.get_weights()


def main() -> None:
    """Trains twice, and prints the difference."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    halves = [tf.config.LogicalDeviceConfiguration()] * len(DEVICES)
    tf.config.set_logical_device_configuration(cpu, halves)
    with tf.distribute.MirroredStrategy(DEVICES).scope():
        over_two = weights()
    alone = weights()
    print(
        json.dumps(
            {
                "deviation": max(
                    float(np.abs(a - b).max()) for a, b in zip(alone, over_two, strict=True)
                )
            }
        )
    )


if __name__ == "__main__":
    main()
