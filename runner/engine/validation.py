"""The end of an epoch: what the network is worth by then, and which epoch was the best."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from optrun.runner.engine.checkpointer import BestEpoch
from optrun.runner.engine.clocks import Clocks
from optrun.runner.engine.scores import Scores, score
from optrun.runner.engine.state import Diverged
from optrun.runner.events import EpochRecord

if TYPE_CHECKING:
    import tensorflow as tf
    from optrun.runner.engine.engine import Means, TensorFlowEngine

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EvaluationSet:
    """Photos to predict: batches of uint8 photos, and their labels [n]."""

    batches: "tf.data.Dataset"
    labels: npt.NDArray[np.uint8]


@dataclass
class Validation:
    """Measures epochs, and keeps them and the best one's weights.

    Scores are of the evaluation weights (Lookahead's slow ones, and then its fast ones), with
    dropout off, on a clock of their own.
    """

    engine: "TensorFlowEngine"
    clocks: Clocks
    validation: EvaluationSet  # the photos that choose the best epoch
    training_subset: EvaluationSet  # as many of the training split, always the same
    averaged_over: "tf.data.Dataset"  # for batch normalisation's averages
    steps_per_epoch: int
    check: Callable[[], None]  # after every batch; raises where the evaluation is to be given up
    records: list[EpochRecord] = field(default_factory=list)
    best: EpochRecord | None = None  # the first of those with the lowest validation loss
    best_logits: Logits | None = None

    def end_epoch(
        self, epoch: int, training: "Means", counts: Callable[[], Mapping[str, Any]]
    ) -> tuple[EpochRecord, BestEpoch | None]:
        """The record of an epoch, counted from 1, and its weights where it is the best so far.

        The network is measured as it is now; an evaluation that is given up did not happen.
        `counts` says of updates, photos and time what the record does, and is asked at the end.
        """
        engine = self.engine
        with self.clocks.evaluating(), engine.evaluation_weights(self.averaged_over):
            logits, validation = self.measure(self.validation)
            _, subset = self.measure(self.training_subset)
            if not math.isfinite(validation.log_loss):
                last_finite = {"training_loss": training.loss}
                if self.records:
                    last = self.records[-1]
                    last_finite |= {"validation_loss": last.validation_loss, "epoch": last.epoch}
                step = epoch * self.steps_per_epoch
                raise Diverged(
                    "the validation loss", step=step, epoch=epoch, last_finite=last_finite
                )
            is_best = self.best is None or validation.log_loss < self.best.validation_loss
            weights = engine.weights if is_best else []
        fast = None
        if (fast_weights := engine.fast_weights(self.averaged_over)) is not None:
            with self.clocks.evaluating(), fast_weights:
                _, fast = self.measure(self.validation)
        slow = validation if engine.is_lookahead else None
        record = EpochRecord(
            epoch=epoch,
            training_loss=training.loss,
            training_accuracy=training.accuracy,
            validation_loss=validation.log_loss,
            validation_accuracy=validation.accuracy,
            validation_roc_auc=validation.roc_auc,
            training_subset_loss=subset.log_loss,
            training_subset_accuracy=subset.accuracy,
            slow_validation_loss=None if slow is None else slow.log_loss,
            slow_validation_accuracy=None if slow is None else slow.accuracy,
            fast_validation_loss=None if fast is None else fast.log_loss,
            fast_validation_accuracy=None if fast is None else fast.accuracy,
            images_per_second=self.clocks.images_per_second,
            **counts(),
        )
        self.records.append(record)
        if not is_best:
            return record, None
        self.best, self.best_logits = record, logits
        return record, BestEpoch(weights, {"epoch": epoch, **asdict(validation)})

    def measure(self, photos: EvaluationSet) -> tuple[Logits, Scores]:
        """Logits and scores of the weights that the network has now."""
        logits = []
        for batch, _ in photos.batches:
            logits.append(self.engine.predict(batch))
            self.check()
        return np.concatenate(logits), score(np.concatenate(logits), photos.labels)

    @property
    def best_record(self) -> EpochRecord:
        if self.best is None:
            raise RuntimeError("training ended without a single evaluated epoch")
        return self.best

    def is_over(self, patience: int | None) -> bool:
        """Whether so many epochs in a row were no better; None: never."""
        if patience is None or self.best is None:
            return False
        return self.records[-1].epoch - self.best.epoch >= patience

    def state_dict(self) -> dict[str, Any]:
        """`records`, `best_epoch` and `best_logits`, as a `State` has them."""
        return {
            "records": self.records,
            "best_epoch": self.best and self.best.epoch,
            "best_logits": self.best_logits,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.records = list(state["records"])
        self.best = next((one for one in self.records if one.epoch == state["best_epoch"]), None)
        self.best_logits = state["best_logits"]
