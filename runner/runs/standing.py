"""How a run stands: how far it is, what it takes on disk, and whether it can go on."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from optrun.runner.runs import checkpoint_places as places
from optrun.runner.runs.checkpoint_places import ARRAYS, MANIFEST
from optrun.runner.runs.disk import is_file
from optrun.runner.runs.event_log import last_epoch
from optrun.runner.runs.reader import CONFIG_NAME, Run, Unreadable, read
from optrun.runner.runs.record import OVER, RunStatus
from optrun.runner.runs.writer_lock import LOCK_NAME, is_held
from optrun.runner.ui.wording import age, exact_size
from optrun.runner.untrusted import DamageError, content_of, json_object, mapping, number, whole

CLOCKS = ("training", "evaluation", "other")

_MOST_MANIFEST_VALUES = 200_000  # it holds all epochs so far, some twenty values each
_MOST_FILES = 20_000  # of one run; one that writes TensorBoard's events has some dozens


@dataclass(frozen=True)
class Saved:
    """A checkpoint `last`, or one that it replaced, which looks whole."""

    steps_done: int
    steps_per_epoch: int | None  # None where it was saved within the first epoch
    seconds: Mapping[str, float]  # of each of the `CLOCKS` up to it
    saved_at: float  # in seconds of the system's clock


@dataclass(frozen=True)
class Progress:
    """How far a run is, as far as it is recorded; None for what is not."""

    epochs_done: int
    epochs: int | None  # as many as there are to be
    steps_done: int | None = None  # at the last epoch's end or checkpoint
    steps: int | None = None  # likewise

    def of_all(self, step: int) -> str:
        return f"{step:,} of {self.steps:,}" if self.steps else f"{step:,}"


@dataclass(frozen=True)
class Size:
    """Bytes of all files; `at_least` where there are too many of them to be counted."""

    total: int
    at_least: bool = False

    def __add__(self, other: "Size") -> "Size":
        return Size(self.total + other.total, self.at_least or other.at_least)

    def __str__(self) -> str:
        return f"> {exact_size(self.total)}" if self.at_least else exact_size(self.total)


class Standing:
    """How a run, or what cannot be read of one, stands; whatever lies there, nothing is raised."""

    def __init__(self, folder: Path) -> None:
        self.run, self.held = read(folder), is_held(folder / LOCK_NAME)  # by a process at work
        self.size = size_of(folder)
        self.saved: Saved | None = None  # the newest checkpoint to go on from
        # Steps that `optrun resume` would not make again; None where it would not go on with it,
        # and why, where nothing but that keeps it from being finished.
        self.resumes_after: int | None = None
        self.obstacle = ""
        self.progress = Progress(0, None)
        if isinstance(self.run, Unreadable):
            return
        status, only_damaged = self.run.status, False
        if status != RunStatus.COMPLETED:
            self.saved, only_damaged = newest_saved(folder, self.run.record.id)
        self.progress = _progress(self.run, self.saved)
        if status not in (*OVER, RunStatus.RUNNING):
            if self.held:
                self.obstacle = "a process is at work on it"
            elif not is_file(folder / CONFIG_NAME):
                self.obstacle = f"it has no {CONFIG_NAME}"
            elif only_damaged:
                self.obstacle = "none of its checkpoints is whole"
            else:
                self.resumes_after = self.saved.steps_done if self.saved else 0

    @property
    def done(self) -> str:
        """The epoch that a run is in, or how many it made, of how many."""
        now, of = self.progress.epochs_done, self.progress.epochs
        if self.run.record is None:
            return ""
        of_all = "?" if of is None else f"{of:,}"
        is_over = self.run.status in OVER or now == of
        return f"{now:,}/{of_all} epochs" if is_over else f"epoch {now + 1:,}/{of_all}"

    @property
    def resumes(self) -> str:
        """What `optrun resume` would do; empty where nothing is to be gone on with."""
        if self.resumes_after is None:
            return self.obstacle and f"cannot be resumed: {self.obstacle}"
        if not self.resumes_after:
            return "would resume from the start"
        return f"would resume from step {self.progress.of_all(self.resumes_after + 1)}"

    def last_saved(self, now: datetime) -> str:
        """Where a run that goes on was at its last checkpoint."""
        if self.run.status != RunStatus.RUNNING or self.saved is None:
            return ""
        ago = age(now.timestamp() - self.saved.saved_at)
        return f"saved at step {self.progress.of_all(self.saved.steps_done)}, {ago} ago"


def newest_saved(folder: Path, owner: str) -> tuple[Saved | None, bool]:
    """The newest checkpoint to go on from, and whether there are only damaged ones.

    Nothing of its arrays is read: a manifest of the right format beside arrays of the size that it
    states looks whole. Whether it is so is for the engine to find out, which hashes all of it.
    """
    damaged = False
    last = places.last(folder)
    for place in places.newest_first(last):
        with contextlib.suppress(OSError):  # there, and not to be looked into
            if not place.exists():
                continue
        if (saved := _read_saved(place, owner)) is not None:
            return saved, False
        # One still being written when the process died was never a checkpoint.
        damaged = damaged or place != places.being_written(last)
    return None, damaged


def size_of(folder: Path) -> Size:
    """The bytes of all files below a folder; a link counts as itself, not as where it leads."""
    total = seen = 0
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if seen > _MOST_FILES:
                        return Size(total, at_least=True)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:  # it was removed meanwhile, or may not be looked into
            continue
    return Size(total)


def steps_per_epoch(epoch: Mapping[str, Any], batch_size: int | None) -> int | None:
    """Out of the photos seen by an epoch's end: an epoch's last batch may be a smaller one."""
    images, epochs_done = whole(epoch.get("images")), whole(epoch.get("epoch"))
    if not images or not epochs_done or not batch_size:
        return None
    return -(-(images // epochs_done) // batch_size)


def _read_saved(place: Path, owner: str) -> Saved | None:
    try:
        manifest = json_object(content_of(place / MANIFEST), _MOST_MANIFEST_VALUES)
        status = (place / ARRAYS).stat()
    except (DamageError, OSError, ValueError):
        return None
    facts, arrays = mapping(manifest.get("facts")), mapping(manifest.get(ARRAYS))
    steps_done = whole(facts.get("steps_done"))
    is_own = manifest.get("format") == places.FORMAT and manifest.get("run") == owner
    if not is_own or arrays.get("bytes") != status.st_size or steps_done is None:
        return None
    seconds, position = mapping(facts.get("seconds")), mapping(facts.get("position"))
    # The steps done are those of whole epochs, and the batches of the one that was begun.
    epoch, batch = whole(position.get("epoch")), whole(position.get("batch"))
    of_whole_epochs = 0 if batch is None else steps_done - batch
    is_known = epoch and of_whole_epochs > 0 and not of_whole_epochs % epoch
    per_epoch = of_whole_epochs // epoch if epoch and is_known else None
    by_clock = {name: number(seconds.get(name)) or 0.0 for name in CLOCKS}
    return Saved(steps_done, per_epoch, by_clock, status.st_mtime)


def _progress(run: Run, saved: Saved | None) -> Progress:
    record = run.record
    done = whole(mapping(record.result).get("epochs"))
    if run.status == RunStatus.COMPLETED and done is not None:
        return Progress(done, record.epochs)
    last = last_epoch(run.folder)
    epochs_done = whole(last.get("epoch")) or 0
    per_epoch = record.steps_per_epoch or (saved.steps_per_epoch if saved else None)
    per_epoch = per_epoch or steps_per_epoch(last, record.batch_size)
    steps_done = epochs_done * per_epoch if per_epoch else None
    if saved is not None:
        # An epoch's line may be written after the checkpoint, or be of what is made again.
        steps_done = max(saved.steps_done, steps_done or 0)
    steps = None if record.epochs is None or per_epoch is None else record.epochs * per_epoch
    return Progress(epochs_done, record.epochs, steps_done, steps)
