"""Two replicas on two logical CPUs take the steps of one device. They need a process of their own,
since TensorFlow divides the CPU before its first operation only.
"""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, warnings
import numpy as np, tensorflow as tf, keras
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from optimizers import Heun, Lookahead, Model, SoftBatch

MAKE = {
    "lookahead": lambda: Lookahead(keras.optimizers.Adam(0.05), sync_period=2),
    "soft_batch": lambda: SoftBatch(Lookahead(keras.optimizers.SGD(0.1, momentum=0.9), 2), 2),
    "heun": lambda: Heun(0.3, weight_decay=0.1),
    "loss scaled heun": lambda: keras.optimizers.LossScaleOptimizer(Heun(0.3)),
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(
        SoftBatch(Lookahead(keras.optimizers.Adam(0.05), sync_period=2), 2)
    ),
}
x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
y = np.sin(x[:, :2])

def train(make):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((3,))
    model = Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(4, activation="tanh")(inputs)))
    model.compile(make(), loss="mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8, drop_remainder=True)
    history = model.fit(data, epochs=2, shuffle=False, verbose=0).history["loss"]
    return history, int(model.optimizer.iterations.numpy()), model

DEVICES = ["CPU:0", "CPU:1"]
collective = tf.distribute.MirroredStrategy(DEVICES)
in_turn = tf.distribute.MirroredStrategy(DEVICES, tf.distribute.ReductionToOneDevice())
for name, strategy in {"soft_batch": collective, "loss scaled heun": collective}.items():
    try:
        with strategy.scope():
            train(MAKE[name])
    except ValueError as refusal:
        print(name, "refused:", refusal)

PLACES = {"lookahead": collective, "soft_batch": in_turn, "heun": collective,
          "loss scale": in_turn, "loss scaled heun": in_turn}
for name, strategy in PLACES.items():
    make = MAKE[name]
    loss, updates, one = train(make)
    with strategy.scope():
        other_loss, other_updates, two = train(make)
    assert updates == other_updates, (name, updates, other_updates)
    np.testing.assert_allclose(loss, other_loss, rtol=1e-5, err_msg=name)
    for a, b in zip(one.trainable_variables, two.trainable_variables, strict=True):
        copies = [copy.numpy() for copy in strategy.experimental_local_results(b.value)]
        np.testing.assert_array_equal(copies[0], copies[1], err_msg=name)
        np.testing.assert_allclose(a.numpy(), copies[0], atol=2e-6, err_msg=name)
    print(name, "same")
"""


@pytest.mark.slow
def test_two_replicas_take_the_steps_of_one_device():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=240, check=False
    )
    if done.returncode != 0:
        pytest.fail(done.stderr[-3000:])
    lines = done.stdout.splitlines()
    assert lines[0].startswith("soft_batch refused: SoftBatch reduces gradients inside a condition")
    assert lines[1].startswith("loss scaled heun refused: LossScaleOptimizer around Heun reduces")
    assert [line.removesuffix(" same") for line in lines[2:]] == [
        "lookahead",
        "soft_batch",
        "heun",
        "loss scale",
        "loss scaled heun",
    ]
