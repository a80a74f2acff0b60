"""A small convolutional network trained by `fit`, and the same network stepped by hand."""

import keras
import numpy as np
import tensorflow as tf
from optrun.optimizers import Model

SAMPLES, BATCH = 10, 4  # Batches of 4, 4 and 2.
PIXELS, CLASSES = 8, 3
FIRST_SCALE = 2.0**15  # Keras' loss scale under mixed_float16.

COMPILE = {
    "graph": {"jit_compile": False, "run_eagerly": False},
    "jit": {"jit_compile": True, "run_eagerly": False},
    "eager": {"jit_compile": False, "run_eagerly": True},
}
LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)


def photos():
    """Inputs [SAMPLES, PIXELS, PIXELS, 1] and one-hot targets [SAMPLES, CLASSES], float32."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(SAMPLES, PIXELS, PIXELS, 1)).astype("float32")
    return x, np.eye(CLASSES, dtype="float32")[generator.integers(0, CLASSES, SAMPLES)]


def network(precision="float32", model_class=Model):
    """Convolution, pooling, dense; smooth, so that no gradient is exactly zero."""
    policy = keras.dtype_policies.DTypePolicy(precision)
    inputs = keras.Input((PIXELS, PIXELS, 1))
    hidden = keras.layers.Conv2D(
        3, 3, activation="tanh", use_bias=False, dtype=policy, name="conv"
    )(inputs)
    pooled = keras.layers.AveragePooling2D(3, dtype=policy)(hidden)
    flat = keras.layers.Flatten(dtype=policy)(pooled)
    model = model_class(inputs, keras.layers.Dense(CLASSES, dtype=policy, name="out")(flat))
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(size=one.shape) * 0.4 for one in model.get_weights()])
    return model


class Watch(keras.callbacks.Callback):
    """Keeps the trainable weights as they stand after each batch."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append([one.numpy() for one in self.model.trainable_variables])


def compiled(optimizer, precision="float32", mode="eager", *, built=True, frozen=(), **more):
    """A network with an optimizer, which Keras scales the loss for under mixed_float16."""
    model = network(precision)
    for name in frozen:
        model.get_layer(name).trainable = False
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=FIRST_SCALE)
    model.compile(optimizer, loss=LOSS, **COMPILE[mode], **more)
    if built:
        model.optimizer.build(model.trainable_variables)
    return model


def fit(model, epochs, callbacks=(), samples=SAMPLES, batch=BATCH):
    """The weights after each batch, those `fit` ends on last."""
    watch = Watch()
    x, y = (part[:samples] for part in photos())
    model.fit(
        x,
        y,
        batch_size=batch,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[watch, *callbacks],
    )
    return [*watch.weights, [one.numpy() for one in model.trainable_variables]]


class Hand:
    """The network's gradients, by a tape in its own precision.

    Args:
        precision: a dtype policy. Under mixed_float16 the loss is scaled as `fit` scales it.
        mode: "eager", "graph" or "jit", each of which rounds half precision at other places.
        frozen: names of the layers that do not train.
    """

    def __init__(self, precision="float32", mode="eager", frozen=()):
        self.model = network(precision)
        for name in frozen:
            self.model.get_layer(name).trainable = False
        self.scale = FIRST_SCALE if precision == "mixed_float16" else 1.0
        self.variables = self.model.trainable_variables
        self.start = [one.numpy().astype("float64") for one in self.variables]
        self._gradients = self._taped
        if mode != "eager":
            self._gradients = tf.function(self._taped, jit_compile=mode == "jit")

    def _taped(self, x, y):
        with tf.GradientTape() as tape:
            loss = LOSS(y, self.model(x, training=True)) * self.scale
        return tape.gradient(loss, [one.value for one in self.variables])

    def gradient_at(self, x, y):
        def gradient(weights):
            for variable, value in zip(self.variables, weights, strict=True):
                variable.assign(value)
            gradients = [one.numpy() for one in self._gradients(x, y)]
            assert all(np.all(np.isfinite(one)) for one in gradients), "the loss scale is too large"
            return [one.astype("float64") / self.scale for one in gradients]

        return gradient

    def train(self, rule, epochs, at_epoch=lambda epoch: None, samples=SAMPLES, batch=BATCH):
        """The weights after each batch of the reference, and those it ends on.

        Args:
            rule: the reference.
            epochs: passes over the samples.
            at_epoch: called with the number of each epoch, 0 first, before it.
            samples: how many of the samples.
            batch: samples in a batch.
        """
        x, y = (part[:samples] for part in photos())
        weights, seen = self.start, []
        for epoch in range(epochs):
            at_epoch(epoch)
            for first in range(0, samples, batch):
                part = slice(first, first + batch)
                gradient_at = self.gradient_at(tf.constant(x[part]), tf.constant(y[part]))
                weights = rule.step(gradient_at, weights, samples=len(x[part]))
                seen.append(weights)
            weights = rule.end_epoch(weights)
        return [*seen, rule.finish(weights)]


def deviation(ours, theirs, start):
    """The largest distance between the weights, over the longest way they went."""
    way = max(distance(weights, start) for weights in theirs)
    return max(distance(one, other) for one, other in zip(ours, theirs, strict=True)) / way


def distance(weights, others):
    return np.sqrt(
        sum(
            np.sum(np.square(one.astype("float64") - other))
            for one, other in zip(weights, others, strict=True)
        )
    )


def updates_made(optimizer):
    return int(keras.ops.convert_to_numpy(optimizer.iterations))
