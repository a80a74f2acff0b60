"""What happens around stock Keras training: the clocks, the evaluation, the record of each epoch.

Keras calls the callbacks in the order in which `training` lists them. The evaluation is one of
them, not `fit`'s own, because it uses the evaluation weights (Lookahead's slow ones, and then its
fast ones), measures the training photos as well, and is timed on a clock of its own.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from optrun.optimizers import Lookahead
from optrun.optimizers.evaluation_weights import evaluation_weights
from optrun.optimizers.unwrapping import find
from optrun.runner.engine.best_weights import BestEpoch
from optrun.runner.engine.divergence import Diverged
from optrun.runner.engine.position import Place
from optrun.runner.engine.scores import Scores, score, stuck_at_chance
from optrun.runner.events import EpochRecord
from optrun.runner.models.batch_norm import normalised_layers, recomputed_batch_norm


@dataclass
class Clocks:
    """Seconds spent on training, on evaluation, and on everything else.

    The first step of a run traces and compiles the network; it belongs to everything else, and its
    photos do not count towards the rate.
    """

    started: float = field(default_factory=time.monotonic)
    training: float = 0.0
    evaluation: float = 0.0
    timed_images: int = 0

    @property
    def other(self) -> float:
        return time.monotonic() - self.started - self.training - self.evaluation

    @property
    def images_per_second(self) -> float | None:
        return self.timed_images / self.training if self.training else None

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.evaluation += time.monotonic() - start


@dataclass(frozen=True)
class EvaluationSet:
    """Photos to predict at an epoch's end: batches of uint8 photos, and their labels [n]."""

    batches: tf.data.Dataset
    labels: npt.NDArray[np.uint8]


class Steps(keras.callbacks.Callback):  # type: ignore[misc]
    """Times every step, stops at the first loss that is not finite, tells the display."""

    def __init__(
        self,
        *,
        clocks: Clocks,
        place: Place,
        images_per_epoch: int,
        batch_size: int,
        steps_per_epoch: int,
        on_step: Callable[[int, int, float, float, float | None], None],
    ) -> None:
        """Set up.

        Args:
            clocks: Where the time goes.
            place: Which step this is; the callback before this one.
            images_per_epoch: Training photos.
            batch_size: Photos in every batch of an epoch but perhaps its last.
            steps_per_epoch: Batches in an epoch.
            on_step: Told epoch and step in it (from 1), mean loss and accuracy so far, images/s.
        """
        super().__init__()
        self._clocks = clocks
        self._place = place
        self._images_per_epoch = images_per_epoch
        self._batch_size = batch_size
        self._steps_per_epoch = steps_per_epoch
        self._on_step = on_step
        self._first_step_done = False
        self._step_started = 0.0
        self._last_finite: dict[str, float] = {}

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._step_started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        # Keras' loss is the mean over the epoch so far: once not finite, it stays so.
        loss = float((logs or {})["loss"])
        accuracy = float((logs or {})["accuracy"])
        epoch, steps = self._place.position.epoch, self._place.position.batch
        if self._first_step_done:
            self._clocks.training += time.monotonic() - self._step_started
            self._clocks.timed_images += self._images_of(steps - 1)
        self._first_step_done = True
        step = self._place.position.steps_done(self._steps_per_epoch)
        if not math.isfinite(loss):
            raise Diverged("the loss", step=step, epoch=epoch + 1, last_finite=self._last_finite)
        self._last_finite = {"training_loss": loss, "training_accuracy": accuracy, "step": step}
        self._on_step(epoch + 1, steps, loss, accuracy, self._clocks.images_per_second)

    def _images_of(self, batch: int) -> int:
        return min(self._batch_size, self._images_per_epoch - batch * self._batch_size)


class Evaluation(keras.callbacks.Callback):  # type: ignore[misc]
    """At each epoch's end: scores on the evaluation weights, the best epoch's weights kept.

    Attributes:
        records: The epochs so far.
        best: The one with the lowest validation loss.
        best_logits: Its validation logits.
        unsaved_best: Its weights, as long as they are not on disk.
    """

    def __init__(
        self,
        *,
        clocks: Clocks,
        validation: EvaluationSet,
        training_subset: EvaluationSet,
        averaged_over: tf.data.Dataset | None = None,
        patience: int | None,
        gradient_evaluations_per_step: int,
        steps_per_epoch: int,
        images_per_epoch: int,
        on_epoch: Callable[[EpochRecord], None],
        on_notice: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        """Set up.

        Args:
            clocks: Where the time goes.
            validation: The photos that choose the best epoch.
            training_subset: As many photos of the training split, always the same.
            averaged_over: Batches of training photos for batch normalisation's averages, always the
                same.
            patience: Epochs without a better one after which training stops; None: never.
            gradient_evaluations_per_step: As the optimizer states.
            steps_per_epoch: Batches in an epoch.
            images_per_epoch: Training photos.
            on_epoch: Told of every epoch.
            on_notice: Told what a person should know.
            check: Called after every batch; raises where the evaluation is to be given up.
        """
        super().__init__()
        self._clocks = clocks
        self._validation = validation
        self._training_subset = training_subset
        self._averaged_over = averaged_over
        self._patience = patience
        self._evaluations = gradient_evaluations_per_step
        self._steps_per_epoch = steps_per_epoch
        self._images_per_epoch = images_per_epoch
        self._on_epoch = on_epoch
        self._on_notice = on_notice
        self._check = check
        self.records: list[EpochRecord] = []
        self.best: EpochRecord | None = None
        self.best_logits: npt.NDArray[np.float32] | None = None
        self.unsaved_best: BestEpoch | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Nothing is kept before all is measured: an evaluation that is given up did not happen.
        with self._clocks.evaluating(), evaluation_weights(self.model), self._own_averages():
            logits, validation = self._scores(self._validation)
            _, subset = self._scores(self._training_subset)
            self._require_finite(epoch, validation, logs or {})
            is_best = self.best is None or validation.log_loss < self.best.validation_loss
            weights = self.model.get_weights() if is_best else []
        record = self._record(epoch + 1, logs or {}, validation, subset, self._fast_scores())
        if is_best:
            self.best, self.best_logits = record, logits
            self.unsaved_best = BestEpoch(weights, {"epoch": epoch + 1, **asdict(validation)})
        self.records.append(record)
        if logs is not None:
            # Keras' names: the callbacks after this one (TensorBoard) read the epoch's scores here.
            logs["val_loss"] = record.validation_loss
            logs["val_accuracy"] = record.validation_accuracy
        self._on_epoch(record)
        if stuck_at_chance(record.training_loss, epoch=record.epoch):
            self._on_notice(
                f"epoch {record.epoch}: the loss is that of guessing (ln 2 = 0.693); the network "
                "does not learn. Try a lower or higher learning rate, pretrained weights "
                "(model.weights), or global_clipnorm: 1.0 in the optimizer"
            )
        if self._patience is not None and self.best is not None:
            epochs_without_better = record.epoch - self.best.epoch
            self.model.stop_training = epochs_without_better >= self._patience

    def _own_averages(self) -> AbstractContextManager[None]:
        """Batch normalisation's averages of Lookahead's slow weights, where there are both."""
        is_apart = find(self.model.optimizer, Lookahead) is not None
        if self._averaged_over is None or not is_apart or not normalised_layers(self.model):
            return nullcontext()
        if not self.records:
            self._on_notice(
                "batch normalisation's averages are of Lookahead's fast weights; before its slow "
                "ones are evaluated, they are taken anew over some of the training photos"
            )
        return recomputed_batch_norm(self.model, self._averaged_over)

    def _scores(self, photos: EvaluationSet) -> tuple[npt.NDArray[np.float32], Scores]:
        logits = predict(self.model, photos.batches, self._check)
        return logits, score(logits, photos.labels)

    def _require_finite(self, epoch: int, validation: Scores, logs: Mapping[str, Any]) -> None:
        if math.isfinite(validation.log_loss):
            return
        last_finite = {"training_loss": float(logs["loss"])}
        if self.records:
            last_finite["validation_loss"] = self.records[-1].validation_loss
            last_finite["epoch"] = self.records[-1].epoch
        raise Diverged(
            "the validation loss",
            step=(epoch + 1) * self._steps_per_epoch,
            epoch=epoch + 1,
            last_finite=last_finite,
        )

    def _fast_scores(self) -> Scores | None:
        """Of Lookahead's fast weights right before its last sync, if there was one."""
        lookahead = find(self.model.optimizer, Lookahead)
        if lookahead is None or not lookahead.has_synced:
            return None
        with self._clocks.evaluating(), lookahead.fast_weights_before_sync():
            return self._scores(self._validation)[1]

    def _record(
        self,
        epoch: int,
        logs: Mapping[str, Any],
        validation: Scores,
        subset: Scores,
        fast: Scores | None,
    ) -> EpochRecord:
        optimizer = self.model.optimizer
        slow = None if find(optimizer, Lookahead) is None else validation
        return EpochRecord(
            epoch=epoch,
            training_loss=float(logs["loss"]),
            training_accuracy=float(logs["accuracy"]),
            validation_loss=validation.log_loss,
            validation_accuracy=validation.accuracy,
            validation_roc_auc=validation.roc_auc,
            training_subset_loss=subset.log_loss,
            training_subset_accuracy=subset.accuracy,
            slow_validation_loss=None if slow is None else slow.log_loss,
            slow_validation_accuracy=None if slow is None else slow.accuracy,
            fast_validation_loss=None if fast is None else fast.log_loss,
            fast_validation_accuracy=None if fast is None else fast.accuracy,
            learning_rate=float(optimizer.learning_rate),
            updates=int(optimizer.iterations),
            gradient_evaluations=epoch * self._steps_per_epoch * self._evaluations,
            images=epoch * self._images_per_epoch,
            images_per_second=self._clocks.images_per_second,
            training_seconds=self._clocks.training,
            evaluation_seconds=self._clocks.evaluation,
        )


class _Check(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls a function after every batch."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self._check = check

    def on_predict_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._check()


def predict(
    model: keras.Model, batches: tf.data.Dataset, check: Callable[[], None]
) -> npt.NDArray[np.float32]:
    """Logits, float32 [n], for batches of photos, with dropout off; `check` after every batch."""
    logits = model.predict(batches, callbacks=[_Check(check)], verbose=0)
    return np.asarray(logits, np.float32)[:, 0]
