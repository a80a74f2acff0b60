"""How a run stands: how far it is, what it takes on disk, and whether it can go on."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optrun.runner.runs.reader import (
    COMPLETED,
    DIVERGED,
    RUNNING,
    Run,
    Unreadable,
    read_with_record,
)
from optrun.runner.runs.saved import Saved, newest_saved, whole
from optrun.runner.runs.writer_lock import LOCK_NAME, is_held
from optrun.runner.untrusted import DamageError, json_object

_TAIL_BYTES = 64 * 2**10  # many times an epoch's line
_MOST_FILES = 20_000  # of one run; one that writes TensorBoard's events has some dozens


@dataclass(frozen=True)
class Progress:
    """How far a run is, as far as it is recorded.

    Attributes:
        epochs_done: Epochs that are over.
        epochs: How many there are to be; None where that is not recorded.
        steps_done: Steps of the training that are recorded: an epoch's end or a checkpoint.
        steps_per_epoch: None where it is not known yet.
    """

    epochs_done: int
    epochs: int | None
    steps_done: int | None
    steps_per_epoch: int | None

    @property
    def steps(self) -> int | None:
        """All the steps that there are to be."""
        if self.epochs is None or self.steps_per_epoch is None:
            return None
        return self.epochs * self.steps_per_epoch


@dataclass(frozen=True)
class Resumption:
    """Whether `optrun resume` would go on with a run, and from where.

    Attributes:
        possible: Whether it would.
        steps_done: Steps that need not be made again; 0 where it starts from the beginning.
        obstacle: Why it would not, where nothing but that keeps it from being finished.
    """

    possible: bool
    steps_done: int = 0
    obstacle: str = ""


@dataclass(frozen=True)
class Size:
    """Bytes of all files; `at_least` where there are too many of them to be counted."""

    total: int
    at_least: bool = False


@dataclass(frozen=True)
class Standing:
    """A run's folder and how it stands.

    Attributes:
        run: The run, or why it cannot be read.
        record: All that run.json holds.
        held: Whether a process is writing it.
        saved: The newest checkpoint to go on from.
    """

    run: Run | Unreadable
    record: Mapping[str, Any]
    held: bool
    progress: Progress | None
    resumption: Resumption
    saved: Saved | None
    size: Size

    @property
    def folder(self) -> Path:
        return self.run.folder

    @property
    def label(self) -> str:
        """The folder's name, printable."""
        return self.run.label


def standing_of(folder: Path) -> Standing:
    """Reads how the run in a folder stands; whatever lies there, nothing is raised."""
    run, record = read_with_record(folder)
    size = size_of(folder)
    held = is_held(folder / LOCK_NAME)
    if isinstance(run, Unreadable):
        return Standing(run, record, held, None, Resumption(False), None, size)
    saved, only_damaged = (None, False) if run.state == COMPLETED else newest_saved(folder, run.id)
    return Standing(
        run=run,
        record=record,
        held=held,
        progress=_progress(run, record, saved),
        resumption=_resumption(run, saved, held=held, only_damaged=only_damaged),
        saved=saved,
        size=size,
    )


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


def _progress(run: Run, record: Mapping[str, Any], saved: Saved | None) -> Progress:
    epochs = whole(run.comparable.get("epochs"))
    done = whole(record["result"].get("epochs")) if run.state == COMPLETED else None
    if done is not None:
        return Progress(done, epochs, None, None)
    last = _last_epoch(run.folder)
    epochs_done = whole(last.get("epoch")) or 0
    per_epoch = whole(record.get("steps_per_epoch")) or (saved.steps_per_epoch if saved else None)
    if per_epoch is None:
        per_epoch = steps_per_epoch(last, run.batch_size)
    steps_done = epochs_done * per_epoch if per_epoch else None
    if saved is not None:
        # A line of an epoch may have been written after the checkpoint, or be of a part of the
        # run that is made again.
        steps_done = max(saved.steps_done, steps_done or 0)
    return Progress(epochs_done, epochs, steps_done, per_epoch)


def steps_per_epoch(epoch: Mapping[str, Any], batch_size: int | None) -> int | None:
    """Out of the photos seen by an epoch's end: an epoch's last batch may be a smaller one."""
    images, epochs_done = whole(epoch.get("images")), whole(epoch.get("epoch"))
    if not images or not epochs_done or not batch_size:
        return None
    return -(-(images // epochs_done) // batch_size)


def _last_epoch(folder: Path) -> Mapping[str, Any]:
    """The last event of an epoch's end in metrics.jsonl; of a long file, its end alone is read."""
    path = folder / "metrics.jsonl"
    try:
        # A pipe in the file's place would be waited for.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):
        return {}
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return {}
        try:
            file.seek(max(0, status.st_size - _TAIL_BYTES))
            lines = file.read(_TAIL_BYTES).split(b"\n")[:-1]  # what follows the last is torn
        except OSError:
            return {}
    for line in reversed(lines):
        if b'"epoch"' not in line:
            continue
        try:
            event = json_object(line)
        except DamageError:
            continue
        if event.get("event") == "epoch":
            return event
    return {}


def _resumption(run: Run, saved: Saved | None, *, held: bool, only_damaged: bool) -> Resumption:
    if run.state in (COMPLETED, DIVERGED, RUNNING):
        return Resumption(False)
    if held:
        return Resumption(False, obstacle="a process is at work on it")
    if not _is_file(run.folder / "config.yaml"):
        return Resumption(False, obstacle="it has no config.yaml")
    if only_damaged:
        return Resumption(False, obstacle="none of its checkpoints is whole")
    return Resumption(True, saved.steps_done if saved else 0)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
