"""A Keras model that serves optimizers which need more than one gradient per step."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from optrun.optimizers.distribution import all_reduce_sum, check_reductions_can_nest, num_replicas
from optrun.optimizers.gradient_centralization import GradientCentralization
from optrun.optimizers.keras_internals import Functional, loss_tracker, takes_training
from optrun.optimizers.several_gradients import SeveralGradients, scaled_by
from optrun.optimizers.soft_batch import FlushTail, SoftBatch
from optrun.optimizers.wrapper import find, with_several_evaluations

_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


@keras.saving.register_keras_serializable(package="optimizers")
class Model(keras.Model):  # type: ignore[misc]
    """A `keras.Model` in every respect, and the model for SoftBatch and for several gradients.

    With an optimizer of one evaluation per step, training is stock Keras. With several, the first
    is the ordinary forward and backward pass, whose loss and metrics are reported. The others
    evaluate the loss of the same batch at probe weights, without writing any variable, from the
    state as it was before the first: the same dropout masks, and batch normalisation's averages
    untouched. For SoftBatch it states the size of each batch and the end of each epoch.

    Example:
        >>> import keras
        >>> from optrun.optimizers import Heun
        >>> inputs = keras.Input((2,))
        >>> model = Model(inputs, keras.layers.Dense(1)(inputs))
        >>> model.compile(Heun(0.1), loss="mse")
        >>> model.optimizer.build(model.trainable_variables)
    """

    def __new__(cls, *arguments: Any, **more: Any) -> Any:
        # Left to itself, Keras would make this class a functional one on its first such use, for
        # good, and subclasses of it could no longer be made without inputs and outputs.
        if cls is Model and (arguments or {"inputs", "outputs"} <= more.keys()):
            return super().__new__(FunctionalModel)
        return super().__new__(cls)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        **more: Any,
    ) -> keras.callbacks.History:
        """`keras.Model.fit`; with a SoftBatch, `FlushTail` runs before all other callbacks."""
        soft_batch = find(getattr(self, "optimizer", None), SoftBatch)
        if soft_batch is not None:
            if _reduction(self.loss) not in _MEANS:
                raise ValueError(
                    "SoftBatch averages gradients, so the loss must be a mean over the batch: "
                    f"`reduction` one of {', '.join(_MEANS)}. Received: {_reduction(self.loss)!r}"
                )
            callbacks = _with_first(FlushTail(), callbacks)
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **more)

    def train_step(self, data: Any) -> Any:
        centralization = find(self.optimizer, GradientCentralization)
        if centralization is not None:
            if not self.built:
                self(keras.utils.unpack_x_y_sample_weight(data)[0])
            if not centralization.knows(self.trainable_variables):
                centralization.learn_layers(self)
        soft_batch = find(self.optimizer, SoftBatch)
        if soft_batch is not None:
            check_reductions_can_nest("SoftBatch")
            if not soft_batch.built:
                soft_batch.build(self.trainable_variables)
            soft_batch.weigh_next_batch(self._samples_over_replicas(data))
        stepper = with_several_evaluations(self.optimizer)
        if stepper is None:
            return super().train_step(data)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            check_reductions_can_nest(f"LossScaleOptimizer around {type(stepper).__name__}")
        return self._train_step_of_stages(stepper, data)

    def _train_step_of_stages(self, stepper: SeveralGradients, data: Any) -> Any:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if not self.built:
            self(x)
        weights = self.trainable_weights
        state = self.non_trainable_variables
        state_before = [tf.convert_to_tensor(variable.value) for variable in state]

        def loss_at_present() -> tuple[Any, Any]:
            y_pred = self(x, training=True) if takes_training(self) else self(x)
            loss = self.compute_loss(
                x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True
            )
            return y_pred, loss

        with tf.GradientTape() as tape:
            y_pred, loss = loss_at_present()
            scaled_loss = self.optimizer.scale_loss(loss)
        # Each replica's loss is divided by their number, so that gradients add up to the mean.
        loss_tracker(self).update_state(loss * num_replicas(), sample_weight=_batch_size(x))
        here = [one.value for one in weights]
        first = self._stage_gradients(tape.gradient(scaled_loss, here), weights)
        taken = 1

        def gradient_at(probe: Sequence[Any] | None) -> Sequence[Any]:
            nonlocal taken
            if probe is None:
                return first
            taken += 1
            _check_one_per_variable(stepper, "asked for a gradient at", probe, weights)
            points = [
                ops.cast(tf.convert_to_tensor(point), weight.dtype)
                for point, weight in zip(probe, weights, strict=True)
            ]
            standing_in = [*zip([*weights, *state], [*points, *state_before], strict=True)]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(points)
                with keras.StatelessScope(state_mapping=standing_in, collect_losses=True):
                    _, loss = loss_at_present()
                scaled_loss = self.optimizer.scale_loss(loss)
            return self._stage_gradients(tape.gradient(scaled_loss, points), weights)

        combined = stepper.step(gradient_at, weights)
        _check_one_per_variable(stepper, "returned", combined, weights)
        if taken != stepper.evaluations:
            raise ValueError(
                f"{type(stepper).__name__} states `evaluations = {stepper.evaluations}`, and its "
                f"step took {taken}, the one at the weights themselves included: state what it "
                "takes, since its cost is counted by it."
            )
        # `apply` takes what a tape returns: with the loss scale in it, and to be summed up.
        factor = self.optimizer.scale_loss(1.0) / num_replicas()
        with stepper.combined_gradient():
            self.optimizer.apply(scaled_by(combined, factor), weights)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _stage_gradients(self, scaled: Sequence[Any], weights: Sequence[Any]) -> Sequence[Any]:
        """A tape's gradients without the loss scale, summed over the replicas, centralized."""
        gradients = scaled_by(all_reduce_sum(scaled), 1 / self.optimizer.scale_loss(1.0))
        centralization = find(self.optimizer, GradientCentralization)
        if centralization is not None:
            return centralization.centralized(gradients, weights)
        return gradients

    def _samples_over_replicas(self, data: Any) -> Any:
        """What the loss is a mean over: the samples of the batch, or the sum of their weights."""
        x, _, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None and _reduction(self.loss) == "mean_with_sample_weight":
            count = tf.reduce_sum(tf.cast(sample_weight, "float32"))
        else:
            count = tf.cast(_batch_size(x), "float32")
        return all_reduce_sum([count])[0]


@keras.saving.register_keras_serializable(package="optimizers")
class FunctionalModel(Model, Functional):  # type: ignore[misc]
    """What `Model(inputs, outputs)` returns."""


def _check_one_per_variable(
    stepper: SeveralGradients, did: str, given: Sequence[Any], weights: Sequence[Any]
) -> None:
    if len(given) != len(weights):
        raise ValueError(
            f"{type(stepper).__name__}.step {did} {len(given)} tensors, where the model has "
            f"{len(weights)} trainable variables: it needs one for each, in their order."
        )


def _reduction(loss: Any) -> Any:
    return getattr(loss, "reduction", "sum_over_batch_size")


def _batch_size(x: Any) -> Any:
    return tf.shape(next(one for one in keras.tree.flatten(x) if one is not None))[0]


def _with_first(callback: keras.callbacks.Callback, callbacks: Any) -> Any:
    """The callbacks with one more in front: one, several, or a CallbackList."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callback.set_model(callbacks.model)
        callbacks.callbacks.insert(0, callback)
        return callbacks
    given = [] if callbacks is None else callbacks
    return [callback, *(given if isinstance(given, list | tuple) else [given])]
