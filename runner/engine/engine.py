"""The engine on TensorFlow: one step on one batch, predictions, and all variables as arrays."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from optrun.optimizers import Lookahead, SoftBatch
from optrun.optimizers.lookahead import evaluation_weights
from optrun.optimizers.wrapper import find
from optrun.runner.engine.checkpoint import Array, CheckpointError
from optrun.runner.models.batch_norm import Averages

# To read a value is to wait for the device, and what watches needs no more than this.
MOST_UNREAD_STEPS = 50
LONGEST_UNREAD_S = 0.5
_SINCE_RECORD = "since_record/"


@dataclass(frozen=True)
class Means:
    """Means over some photos in training, with dropout and augmentation."""

    loss: float
    accuracy: float


class TensorFlowEngine:
    """A compiled Keras model, its optimizer built, and what is counted while it is trained.

    A step is the model's own `train_step`, as `fit` would compile it. Loss and hits add up on the
    device: over the epoch in Keras' metrics, and over the steps since the last record. At the first
    step whose loss is not finite the means stand still, and the steps from there on are counted, so
    that it is known exactly which one it was, whenever that is read.
    """

    def __init__(
        self, model: keras.Model, optimizer: keras.optimizers.Optimizer, *, jit_compile: bool
    ) -> None:
        """Compile the model with the loss of a logit; the optimizer's variables exist from here."""
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
        loss = keras.losses.BinaryCrossentropy(from_logits=True, dtype="float32")
        model.compile(optimizer, loss=loss, metrics=[accuracy], jit_compile=jit_compile)
        # Keras would build it while tracing, where copies of the weights are lost.
        model.optimizer.build(model.trainable_variables)
        # Over the epoch, as last read from the device; None before the first reading.
        self.means: Means | None = None
        # As last read: from the first step whose loss was not finite to the present one, inclusive.
        self.steps_not_finite = 0
        self._model = model
        self._averages = Averages(model)
        # Keras lists the metrics it was compiled with only after the first step.
        mean_loss = next(metric for metric in model.metrics if metric.name == "loss")
        # Photos are counted twice: each of Keras' means divides by a count of its own.
        self._sums = [mean_loss.total, mean_loss.count, accuracy.total, accuracy.count]
        self._since_record = [
            keras.Variable(0.0, trainable=False, name=f"{name}_since_record", dtype="float32")
            for name in ("loss", "photos", "hits")
        ]
        self._not_finite = keras.Variable(0, trainable=False, name="not_finite", dtype="int32")
        self._step: Callable[[Any], Any] | None = None
        self._predict: Callable[[Any], Any] | None = None
        self._unread = 0
        self._read_at = -math.inf
        self.start_epoch()

    def step(self, batch: Any) -> None:
        """Train on a batch; reads what has added up now and then."""
        if self._step is None:
            self._step = self._compiled(self._step_on_device, batch)
        self._step(batch)
        self._unread += 1
        unread_s = time.monotonic() - self._read_at
        if self._unread >= MOST_UNREAD_STEPS or unread_s >= LONGEST_UNREAD_S:
            self.read()

    def _step_on_device(self, batch: Any) -> Any:
        before = [tf.convert_to_tensor(one.value) for one in self._sums]
        for one in self._sums:
            one.assign(0)
        means = self._model.train_step(batch)
        step = [tf.convert_to_tensor(one.value) for one in self._sums]
        count = tf.convert_to_tensor(self._not_finite.value)
        is_bad = (count > 0) | ~tf.math.is_finite(step[0])
        self._not_finite.assign(tf.where(is_bad, count + 1, count))
        # Started from 0, the step's sum is what Keras would have added to that of the epoch.
        for one, sum_before, added in zip(self._sums, before, step, strict=True):
            one.assign(tf.where(is_bad, sum_before, sum_before + added))
        for one, added in zip(self._since_record, step[:3], strict=True):
            one.assign_add(added)
        # A function without a result is not optimized by TensorFlow: slower, and rounded otherwise.
        return means

    def read(self) -> Means:
        """Wait for the device; the means over the epoch, and `steps_not_finite` brought to date."""
        self._unread, self._read_at = 0, time.monotonic()
        self.steps_not_finite = int(self._not_finite.numpy())
        loss, photos, hits, _ = (one.numpy() for one in self._sums)
        if not photos:
            return Means(math.nan, math.nan)
        self.means = Means(float(loss / photos), float(hits / photos))
        return self.means

    def start_epoch(self) -> None:
        """Set the means over the epoch to 0; the next step is read at once."""
        for one in self._sums:
            one.assign(0)
        self._read_at = -math.inf

    def end_epoch(self) -> None:
        """Have an optimizer that gathers batches deal with what it has; no harm done twice."""
        soft_batch = find(self._model.optimizer, SoftBatch)
        if soft_batch is not None:
            soft_batch.end_epoch()

    def take_record(self) -> Means:
        """The means over the photos since the last call."""
        loss, photos, hits = (float(one.numpy()) for one in self._since_record)
        for one in self._since_record:
            one.assign(0)
        return Means(loss / photos, hits / photos)

    def predict(self, photos: Any) -> npt.NDArray[np.float32]:
        """Logits, float32 [n], of uint8 photos [n, s, s, 3], with dropout off."""
        if self._predict is None:
            self._predict = self._compiled(lambda x: self._model(x, training=False), photos)
        return np.asarray(self._predict(photos), np.float32)[:, 0]

    def _compiled(self, function: Callable[[Any], Any], batch: Any) -> Callable[[Any], Any]:
        """The function compiled once, for batches of any size."""
        signature = tf.nest.map_structure(
            lambda one: tf.TensorSpec([None, *one.shape[1:]], one.dtype), batch
        )
        # Traced here: TensorFlow warns of a function that is made again for each of many runs.
        compiled: Callable[[Any], Any] = tf.function(
            function,
            input_signature=[signature],
            autograph=False,
            jit_compile=self._model.jit_compile,
        ).get_concrete_function()
        return compiled

    @property
    def learning_rate(self) -> float:
        return float(self._model.optimizer.learning_rate)  # of the next update

    @property
    def updates(self) -> int:
        return int(self._model.optimizer.iterations)

    @property
    def weights(self) -> list[Array]:
        return list(self._model.get_weights())

    def set_weights(self, weights: Sequence[Array]) -> None:
        self._model.set_weights(weights)

    def evaluation_weights(self, averaged_over: Iterable[Any]) -> AbstractContextManager[None]:
        """Within, the network has the weights it is measured on: Lookahead's slow ones.

        Batch normalisation's averages are then those over these batches of photos.
        """
        return self._measured(evaluation_weights(self._model), averaged_over)

    @property
    def is_lookahead(self) -> bool:
        """Whether the weights it is measured on are others than those it is trained on."""
        return find(self._model.optimizer, Lookahead) is not None

    def fast_weights(self, averaged_over: Iterable[Any]) -> AbstractContextManager[None] | None:
        """Likewise Lookahead's fast weights right before the last sync, if there was one."""
        lookahead = find(self._model.optimizer, Lookahead)
        if lookahead is None or not lookahead.has_synced:
            return None
        return self._measured(lookahead.fast_weights_before_sync(), averaged_over)

    @contextmanager
    def _measured(
        self, weights: AbstractContextManager[None], averaged_over: Iterable[Any]
    ) -> Iterator[None]:
        with weights, self._averages.anew(averaged_over):
            yield

    def state_dict(self) -> dict[str, Array]:
        """Every value that training reads or writes, by kind and place."""
        return {
            name: keras.ops.convert_to_numpy(one.value) for name, one in self._variables().items()
        }

    def load_state_dict(self, arrays: Mapping[str, Array]) -> None:
        """Go on from what `state_dict` gave for such a network and optimizer."""
        variables = self._variables()
        if not any(name.startswith(_SINCE_RECORD) for name in arrays):
            # A run begun before steps were recorded; its next record is of the steps from here on.
            variables = {n: v for n, v in variables.items() if not n.startswith(_SINCE_RECORD)}
        if variables.keys() != arrays.keys():
            raise CheckpointError(
                f"the checkpoint holds {len(arrays)} arrays, the network and its optimizer "
                f"{len(variables)} variables: another version of optrun or Keras wrote it"
            )
        for name, variable in variables.items():
            if tuple(variable.shape) != arrays[name].shape:
                raise CheckpointError(
                    f"{variable.path} has the shape {tuple(variable.shape)}, "
                    f"the checkpoint's {arrays[name].shape}"
                )
            variable.assign(arrays[name])

    def _variables(self) -> dict[str, keras.Variable]:
        groups = {
            "model/": self._model.variables,
            "optimizer/": self._model.optimizer.variables,
            "metrics/": self._sums,
            _SINCE_RECORD: self._since_record,
        }
        return {
            f"{kind}{index:04d}": variable
            for kind, variables in groups.items()
            for index, variable in enumerate(variables)
        }
