"""Where in a training the next batch lies, also when it begins in the middle of an epoch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Position:
    """The next batch: epoch and batch within it, both counted from 0."""

    epoch: int = 0
    batch: int = 0

    def steps_done(self, steps_per_epoch: int) -> int:
        """How many batches come before it.

        >>> Position(epoch=2, batch=3).steps_done(10)
        23
        """
        return self.epoch * steps_per_epoch + self.batch


class Place(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the position, and makes Keras end a resumed epoch where it would have ended.

    Comes first among the callbacks that training lists; the others ask it where they are. An epoch
    whose batches are all done but which is not evaluated yet is still where training stands: who
    completes it says so with `next_epoch`.

    Attributes:
        position: The next batch to be trained on.
    """

    def __init__(
        self, start: Position, *, steps_per_epoch: int, put_back_metrics: Callable[[], None]
    ) -> None:
        """Set up.

        Args:
            start: The first batch; the stream of batches begins with it.
            steps_per_epoch: Batches in an epoch.
            put_back_metrics: Restores the means over an epoch that begins in its middle; called
                once Keras has reset them.
        """
        super().__init__()
        self.position = start
        self._steps_per_epoch = steps_per_epoch
        self._put_back_metrics = put_back_metrics

    @property
    def is_epoch_trained(self) -> bool:
        """Whether the epoch's batches are done and its end is not."""
        return self.position.batch == self._steps_per_epoch

    def next_epoch(self) -> None:
        """The epoch is complete."""
        self.position = Position(self.position.epoch + 1)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self.position.batch:
            self._put_back_metrics()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.position = Position(self.position.epoch, self.position.batch + 1)
        # Keras would make a whole epoch's steps. Told to stop, it leaves the loop over batches,
        # and asks again when the epoch's end has been dealt with.
        if self.is_epoch_trained:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.model.stop_training = False
