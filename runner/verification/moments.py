"""The moments at which a training is killed: drawn, waited for, and named from what was struck.

A moment is a phase, a step, and a random delay after that phase has begun. What the training tells
and what lies on its disk show that it has; the delay then falls anywhere into it.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from optrun.data.cache.cache_key import PARTIAL
from optrun.runner.runs import checkpoint_places
from optrun.runner.verification.processes import BEGUN, EPOCH, STEP, Event, Training, gaps

_POLL_S = 0.0005
_PAUSE_S = 0.05


class Phase(StrEnum):
    """What a training does when it is killed."""

    PHOTOS = "preparing the photos"
    FOLDER = "making its folder"
    START = "before its first step"
    TRAINING = "training"
    EVALUATION = "evaluation"
    CHECKPOINT = "writing a checkpoint"
    END = "after the last epoch"


# In this order the kills of a proof take turns: few of them shall strike what is most delicate.
TURNS = (Phase.TRAINING, Phase.CHECKPOINT, Phase.EVALUATION, Phase.START)


@dataclass(frozen=True)
class Moment:
    """When to kill.

    Attributes:
        phase: What the training shall be doing.
        step: As many steps of the run must be done before.
        delay_s: How long to wait when both are so, in seconds.
    """

    phase: Phase
    step: int
    delay_s: float


@dataclass(frozen=True)
class Struck:
    """What a kill struck.

    Attributes:
        phase: What the training was doing.
        steps_done: Steps of the run that were done.
        steps: Steps of the whole run; 0 where it had not begun.
    """

    phase: Phase
    steps_done: int
    steps: int


def durations(events: Sequence[Event]) -> dict[Phase, float]:
    """How long each phase takes, in seconds, as the events of a whole training tell."""

    def usual(before: str, after: str) -> float:
        found = list(gaps(events, before, after))
        return statistics.median(found) if found else 0.0

    step = usual(STEP, STEP)
    return {
        Phase.START: usual(BEGUN, STEP),
        Phase.TRAINING: step,
        Phase.EVALUATION: usual(STEP, EPOCH),
        Phase.CHECKPOINT: max(usual(EPOCH, STEP) - step, 0.002),
        Phase.END: usual(STEP, EPOCH),
        Phase.PHOTOS: step,
        Phase.FOLDER: step,
    }


def drawn(
    count: int, *, steps_per_epoch: int, epochs: int, lasting: Mapping[Phase, float], seed: int
) -> list[Moment]:
    """Random moments in a run, one after the other, the phases taking turns in random order.

    Args:
        count: How many.
        steps_per_epoch: Batches in an epoch.
        epochs: Epochs of the run.
        lasting: How long each phase takes, in seconds.
        seed: Decides the moments.
    """
    chance = random.Random(seed)  # noqa: S311 (not for secrets)
    phases = [TURNS[number % len(TURNS)] for number in range(count)]
    chance.shuffle(phases)
    moments = []
    for number, phase in enumerate(phases):
        # Each in its own part of the run, and none in the last epoch's last step: there the
        # process may be over before it is killed.
        first, last = (
            max(1, steps_per_epoch * epochs * part // count) for part in (number, number + 1)
        )
        step = min(chance.randint(first, last), steps_per_epoch * epochs - 1)
        if phase is Phase.EVALUATION:
            # The epoch's end that comes next.
            step = -(-step // steps_per_epoch) * steps_per_epoch
        if phase is Phase.START:
            step = 0
        moments.append(Moment(phase, step, chance.uniform(0, lasting[phase])))
    return moments


def pause() -> None:
    """Let a training go on for a moment where nothing is aimed at."""
    time.sleep(_PAUSE_S)


def strike(
    training: Training, moment: Moment, *, results: Path, cache: Path, seen: Callable[[], None]
) -> Struck | None:
    """Wait for the moment and kill.

    Args:
        training: What is killed.
        moment: When.
        results: The folder of the training's runs.
        cache: Its folder of decoded photos.
        seen: Called now and then while waiting.

    Returns:
        What the kill struck; None where the training was over before.
    """
    while not is_reached(training, moment, results=results, cache=cache):
        if not training.is_running:
            return None
        seen()
        time.sleep(_POLL_S)
    time.sleep(moment.delay_s)
    if not training.is_running:
        return None
    training.kill()
    return what_was_struck(training, results=results, cache=cache)


def is_reached(training: Training, moment: Moment, *, results: Path, cache: Path) -> bool:
    """Whether the phase of a moment has begun."""
    if moment.phase is Phase.PHOTOS:
        return _photos_being_prepared(cache)
    if moment.phase is Phase.FOLDER:
        return _folder_being_made(training, results)
    last = training.heard.last
    if last is None or last.steps_done < moment.step:
        return False
    match moment.phase:
        case Phase.START:
            return True
        case Phase.TRAINING:
            return last.kind == STEP and (not last.ends_epoch or last.steps_per_epoch == 1)
        case Phase.EVALUATION:
            return last.ends_epoch
        case Phase.CHECKPOINT:
            return _checkpoint_being_written(training, results)
        case _:
            return last.kind == EPOCH and last.steps_done == last.steps


def what_was_struck(training: Training, *, results: Path, cache: Path) -> Struck:
    """What a training was doing, as what it told last and what it left on the disk show."""
    last = training.heard.last
    if last is None:
        if _photos_being_prepared(cache):
            return Struck(Phase.PHOTOS, 0, 0)
        made = _folder_being_made(training, results)
        return Struck(Phase.FOLDER if made else Phase.START, 0, 0)
    if _checkpoint_being_written(training, results):
        phase = Phase.CHECKPOINT
    elif last.kind == BEGUN:
        phase = Phase.START
    elif last.ends_epoch:
        phase = Phase.EVALUATION
    elif last.kind == EPOCH and last.steps_done == last.steps:
        phase = Phase.END
    else:
        phase = Phase.TRAINING
    return Struck(phase, last.steps_done, last.steps)


def _photos_being_prepared(cache: Path) -> bool:
    return any((cache / "photos").glob(f"*{PARTIAL}"))


def _folder_being_made(training: Training, results: Path) -> bool:
    """Whether a run's folder of this training has no run.json yet."""
    return any(
        run.stat().st_mtime >= training.started
        for run in results.glob("*")
        if not (run / "run.json").exists()
    )


def _checkpoint_being_written(training: Training, results: Path) -> bool:
    """Whether a checkpoint lies half written or half replaced, from this training."""
    for run in results.glob("*"):
        for one in (checkpoint_places.last(run), checkpoint_places.best(run)):
            for place in (
                checkpoint_places.being_written(one),
                checkpoint_places.being_dropped(one),
            ):
                try:
                    # An earlier training, killed while it wrote, left its own.
                    if place.stat().st_mtime >= training.started:
                        return True
                except OSError:
                    continue
    return False
