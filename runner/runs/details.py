"""All that the folder of one run says, read within bounds and as plain values."""

import contextlib
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optrun.runner.runs.event_log import EventKind, read_events
from optrun.runner.runs.reader import read_config
from optrun.runner.runs.record import RunStatus
from optrun.runner.runs.standing import CLOCKS, Size, Standing, size_of, standing_of
from optrun.runner.untrusted import number, printable

_MOST_ENTRIES = 200  # of a folder, listed one by one


@dataclass(frozen=True)
class Seconds:
    """Where the time went."""

    by_clock: Mapping[str, float | None]  # of each of the `CLOCKS`; None where not recorded
    until: str  # what they were recorded at: "end", "last checkpoint" or "last epoch"
    elapsed: float | None  # by the calendar, breaks between resumptions and all

    @property
    def total(self) -> float:
        return sum(value or 0.0 for value in self.by_clock.values())


@dataclass(frozen=True)
class Details:
    """One run."""

    standing: Standing
    configuration: Mapping[str, object]  # by dotted name; empty where it cannot be read
    epochs: Sequence[Mapping[str, Any]]  # the events of their ends, in order
    notices: Sequence[str]  # what the run told besides
    skipped: Sequence[str]  # lines of metrics.jsonl that could not be read
    seconds: Seconds | None
    files: Sequence[tuple[str, Size]]  # or folders, with all that is in them; printable


def details_of(folder: Path) -> Details:
    """Reads all there is; whatever lies there, nothing is raised."""
    standing = standing_of(folder)
    found = read_events(folder)
    epochs = found.of(EventKind.EPOCH)
    return Details(
        standing=standing,
        configuration=read_config(folder),
        epochs=epochs,
        notices=[str(one.get("message")) for one in found.of(EventKind.NOTICE)],
        skipped=found.skipped,
        seconds=_seconds(standing, epochs[-1] if epochs else {}),
        files=_files(folder),
    )


def _seconds(standing: Standing, last_epoch: Mapping[str, Any]) -> Seconds | None:
    """From what was recorded last: the result, a checkpoint, an epoch."""
    record = standing.record
    if record is None:
        return None
    ended = record.ended if standing.status != RunStatus.RUNNING else None
    elapsed = (ended - record.started).total_seconds() if ended else None
    if standing.status == RunStatus.COMPLETED:
        by_clock = {name: record.measure(f"{name}_seconds") for name in CLOCKS}
        return Seconds(by_clock, "end", elapsed)
    of_epoch = {name: number(last_epoch.get(f"{name}_seconds")) for name in CLOCKS}
    at_epoch = Seconds(of_epoch, "last epoch", elapsed)
    if standing.saved is not None:
        at_checkpoint = Seconds(standing.saved.seconds, "last checkpoint", elapsed)
        return at_checkpoint if at_checkpoint.total >= at_epoch.total else at_epoch
    return at_epoch if at_epoch.total else None


def _files(folder: Path) -> list[tuple[str, Size]]:
    """The files of a run, each checkpoint as one."""
    found: list[tuple[str, Size]] = []
    for name, size in _scanned(folder):
        if name == "checkpoint" and size is None:
            inside = _scanned(folder / name)
            found += [
                (printable(f"{name}/{one}"), inner or size_of(folder / name / one))
                for one, inner in inside
            ]
        else:
            shown = printable(f"{name}/" if size is None else name)
            found.append((shown, size or size_of(folder / name)))
    return found


def _scanned(folder: Path) -> list[tuple[str, Size | None]]:
    """Names in order and the files' sizes, None of a folder; of very many, some."""
    found: dict[str, Size | None] = {}
    # It may be removed meanwhile, or not be looked into.
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in itertools.islice(entries, _MOST_ENTRIES):
            is_folder = entry.is_dir(follow_symlinks=False)
            size = None if is_folder else Size(entry.stat(follow_symlinks=False).st_size)
            found[entry.name] = size
    return sorted(found.items(), key=lambda one: one[0])
