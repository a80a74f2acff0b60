"""TensorBoard's events of a run, where they are asked for."""

from pathlib import Path
from typing import Any

import tensorflow as tf
from optrun.runner.events import EpochRecord, Event


class TensorBoard:
    """A listener that writes each epoch's scores, under the names that Keras' callback gives them.

    They lie in `train` and `validation`, each a file of events; a run that is resumed adds another.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        if not isinstance(event, EpochRecord):
            return
        scores = {
            "train": {
                "epoch_loss": event.training_loss,
                "epoch_accuracy": event.training_accuracy,
                "epoch_learning_rate": event.learning_rate,
            },
            "validation": {
                "epoch_loss": event.validation_loss,
                "epoch_accuracy": event.validation_accuracy,
            },
        }
        for kind, values in scores.items():
            if kind not in self._writers:
                self._writers[kind] = tf.summary.create_file_writer(str(self._folder / kind))
            with self._writers[kind].as_default(step=event.epoch - 1):  # Keras counts from 0
                for name, value in values.items():
                    tf.summary.scalar(name, value)
            self._writers[kind].flush()
