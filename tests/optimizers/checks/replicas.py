"""Train on one device and on two replicas, for each specification, and say how they differ.

    python replicas.py '{"a name": {"name": "adam", "learning_rate": 0.05}, ...}'

A program of its own, since TensorFlow divides the CPU before its first operation only. It prints a
JSON object for each: `deviation`, the largest relative difference of a variable's weights;
`loss_deviation`; `identical`, whether the replicas' copies agree bit for bit; `updates` of both; or
`refused`, the message of a ValueError. Beside an optimizer, a specification may hold `strategy`
("collective" or "in turn"), `loss_scale` (true) and `local_stages` (true: the wrong version, in
which the gradients of the stages are each replica's own, and only the combined one is reduced).
"""

import json
import sys
from contextlib import contextmanager, nullcontext

import keras
import numpy as np
import optrun.optimizers.model
import tensorflow as tf
from optrun.optimizers import Model
from optrun.optimizers.specification import parse

DEVICES = ["CPU:0", "CPU:1"]
BATCHES, BATCH, EPOCHS = 4, 8, 2


def strategies():
    """The two kinds of reduction; only the second can lie inside a condition."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    halves = [tf.config.LogicalDeviceConfiguration()] * len(DEVICES)
    tf.config.set_logical_device_configuration(cpu, halves)
    return {
        "collective": tf.distribute.MirroredStrategy(DEVICES),
        "in turn": tf.distribute.MirroredStrategy(DEVICES, tf.distribute.ReductionToOneDevice()),
    }


def train(specification, loss_scale):
    """A small convolutional network after a few updates, and its losses.

    The second half of each batch, which goes to the second replica, is unlike the first.
    """
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4, 4, 2))
    hidden = keras.layers.Conv2D(3, 2, activation="tanh")(inputs)
    model = Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(hidden)))
    optimizer = parse(specification).build(total_updates=BATCHES * EPOCHS)
    if loss_scale:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, loss="mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(BATCHES * BATCH, 4, 4, 2)).astype("float32")
    x[np.arange(len(x)) % BATCH >= BATCH // 2] *= 2
    y = np.sin(3 * x[:, 0, 0])
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH, drop_remainder=True)
    losses = model.fit(data, epochs=EPOCHS, shuffle=False, verbose=0).history["loss"]
    return model, np.array(losses)


def compare(strategy, specification, *, loss_scale, local_stages):
    """What is printed for one specification."""
    one, losses = train(specification, loss_scale)
    with strategy.scope(), stages_left_local() if local_stages else nullcontext():
        two, other_losses = train(specification, loss_scale)
    deviations, identical = [], True
    for ours, theirs in zip(one.trainable_variables, two.trainable_variables, strict=True):
        copy = copies(strategy, theirs)[0]
        deviations.append(np.linalg.norm(ours.numpy() - copy) / np.linalg.norm(ours.numpy()))
    for variable in (*two.trainable_variables, *two.optimizer.variables):
        first, *others = copies(strategy, variable)
        identical = identical and all(np.array_equal(first, other) for other in others)
    return {
        "deviation": float(max(deviations)),
        "loss_deviation": float(np.max(np.abs(losses - other_losses) / losses)),
        "identical": identical,
        "updates": [int(model.optimizer.iterations.numpy()) for model in (one, two)],
    }


def copies(strategy, variable):
    """Each replica's value."""
    return [one.numpy() for one in strategy.experimental_local_results(variable.value)]


@contextmanager
def stages_left_local():
    """Each replica's stages use its own gradients, in size as if the other had the same ones."""
    reduce = optrun.optimizers.model.all_reduce_sum
    optrun.optimizers.model.all_reduce_sum = lambda gradients: [
        len(DEVICES) * one for one in gradients
    ]
    try:
        yield
    finally:
        optrun.optimizers.model.all_reduce_sum = reduce


def main():
    """Compares one specification after the other."""
    places = strategies()
    for name, given in json.loads(sys.argv[1]).items():
        specification = dict(given)
        strategy = places[specification.pop("strategy", "collective")]
        flags = {flag: specification.pop(flag, False) for flag in ("loss_scale", "local_stages")}
        try:
            outcome = compare(strategy, specification, **flags)
        except ValueError as refusal:
            outcome = {"refused": str(refusal)}
        print(json.dumps({"name": name} | outcome), flush=True)


if __name__ == "__main__":
    main()
