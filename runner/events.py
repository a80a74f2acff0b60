"""What a run tells as it goes: plain values that can be sent to another process.

They come in this order: `RunStarted`, `NetworkBuilt` (unless the run is resumed), then `StepDone`,
`StepRecord`, `EpochRecord` and `Notice` as they happen, and `RunEnded`. Everyone who listens gets
every event: the recorder, which writes the run's folder, the screen, a parent process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RunStarted:
    """A run has its folder and is about to be trained.

    Attributes:
        folder: Where it is recorded.
        description: The optimizer in a line.
        seed: The run's seed.
        epochs: How many there are to be, where nothing ends it before.
        steps_per_epoch: Batches in an epoch.
        steps_done: Steps that a resumed run need not make again.
        resumed: Whether it goes on from what was recorded before.
        validation_photos: How many there are; None where that is not recorded.
        test_photos: Likewise.
    """

    folder: Path
    description: str
    seed: int
    epochs: int
    steps_per_epoch: int
    steps_done: int = 0
    resumed: bool = False
    validation_photos: int | None = None
    test_photos: int | None = None


@dataclass(frozen=True)
class NetworkBuilt:
    """What is known once the network stands: `initial_weights`, `first_batches`, `parameters`."""

    facts: Mapping[str, object]


@dataclass(frozen=True)
class StepDone:
    """A step was made.

    Attributes:
        epoch: Counted from 1.
        step: Within the epoch, counted from 1.
        loss: Mean over the epoch as last read from the device; None before the first reading.
        accuracy: Likewise, a fraction.
        images_per_second: Training photos per second of training.
    """

    epoch: int
    step: int
    loss: float | None
    accuracy: float | None
    images_per_second: float | None


@dataclass(frozen=True)
class StepRecord:
    """The steps since the last such record in numbers; a line of metrics.jsonl.

    Attributes:
        step: The last of them, counted from 1 over the whole run.
        epoch: Its epoch, counted from 1.
        updates: Updates of the weights so far.
        gradient_evaluations: Gradients of a batch so far.
        images: Training photos seen so far.
        loss: Mean over the photos of these steps, with dropout and augmentation.
        accuracy: Likewise, a fraction.
        learning_rate: Of the next update.
        training_seconds: So far.
        evaluation_seconds: So far.
    """

    step: int
    epoch: int
    updates: int
    gradient_evaluations: int
    images: int
    loss: float
    accuracy: float
    learning_rate: float
    training_seconds: float
    evaluation_seconds: float


@dataclass(frozen=True)
class EpochRecord:
    """One epoch in numbers; a line of metrics.jsonl. Accuracies are fractions, times seconds.

    `training_loss` and `training_accuracy` are means over the epoch as it went, with dropout and
    augmentation; the `training_subset_` scores are measured at its end like the validation's. Where
    Lookahead trains, `slow_` scores are the validation's, which are measured on the slow weights,
    and `fast_` ones those of the fast weights right before the last sync (None before the first);
    with other optimizers all four are None.
    """

    epoch: int
    training_loss: float
    training_accuracy: float
    validation_loss: float
    validation_accuracy: float
    validation_roc_auc: float | None
    training_subset_loss: float
    training_subset_accuracy: float
    slow_validation_loss: float | None
    slow_validation_accuracy: float | None
    fast_validation_loss: float | None
    fast_validation_accuracy: float | None
    learning_rate: float
    updates: int
    gradient_evaluations: int
    images: int
    images_per_second: float | None
    training_seconds: float
    evaluation_seconds: float


@dataclass(frozen=True)
class Notice:
    """What a person should know."""

    message: str


@dataclass(frozen=True)
class RunEnded:
    """A run is over, or will be gone on with another time.

    Attributes:
        status: "completed", "diverged", "interrupted" or "failed".
        why: For a person, where it is not completed.
        result: The numbers of a completed run.
        divergence: Of a diverged one: step, epoch and the last finite values.
    """

    status: str
    why: str | None = None
    result: Mapping[str, float | int | None] = field(default_factory=dict)
    divergence: Mapping[str, object] | None = None


Event = RunStarted | NetworkBuilt | StepDone | StepRecord | EpochRecord | Notice | RunEnded
Listener = Callable[[Event], None]
