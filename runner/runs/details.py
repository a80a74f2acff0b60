"""All that the folder of one run says, read within bounds and as plain values."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optrun.runner.runs.event_log import EventKind, read_events
from optrun.runner.runs.reader import Unreadable, read_config
from optrun.runner.runs.record import RunStatus
from optrun.runner.runs.standing import CLOCKS, Size, Standing, size_of, standing_of
from optrun.runner.untrusted import number, printable

_MOST_ENTRIES = 200  # of a folder, listed one by one


@dataclass(frozen=True)
class Seconds:
    """Where the time went.

    Attributes:
        by_clock: Seconds of training, evaluation and everything else; None where not recorded.
        until: What they were recorded at: "end", "last checkpoint" or "last epoch".
        elapsed: From the start to the end by the calendar, breaks between resumptions and all.
    """

    by_clock: Mapping[str, float | None]
    until: str
    elapsed: float | None

    @property
    def total(self) -> float:
        """Of all clocks together."""
        return sum(value or 0.0 for value in self.by_clock.values())


@dataclass(frozen=True)
class Entry:
    """A file of a run's folder, or a folder in it with all that is in it."""

    name: str
    size: Size


@dataclass(frozen=True)
class Details:
    """One run.

    Attributes:
        configuration: config.yaml by dotted name; empty where it cannot be read.
        epochs: The events of epochs' ends, in order.
        notices: What the run told besides.
        skipped: Lines of metrics.jsonl that could not be read.
    """

    standing: Standing
    configuration: Mapping[str, object]
    epochs: Sequence[Mapping[str, Any]]
    notices: Sequence[str]
    skipped: Sequence[str]
    seconds: Seconds | None
    entries: Sequence[Entry]


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
        entries=_entries(folder),
    )


def _seconds(standing: Standing, last_epoch: Mapping[str, Any]) -> Seconds | None:
    """From what was recorded last: the result, a checkpoint, an epoch."""
    run = standing.run
    if isinstance(run, Unreadable):
        return None
    ended = run.record.ended if run.status != RunStatus.RUNNING else None
    elapsed = (ended - run.record.started).total_seconds() if ended else None
    if run.status == RunStatus.COMPLETED:
        by_clock = {name: run.record.measure(f"{name}_seconds") for name in CLOCKS}
        return Seconds(by_clock, "end", elapsed)
    of_epoch = {name: number(last_epoch.get(f"{name}_seconds")) for name in CLOCKS}
    at_epoch = Seconds(of_epoch, "last epoch", elapsed)
    if standing.saved is not None:
        at_checkpoint = Seconds(standing.saved.seconds, "last checkpoint", elapsed)
        return at_checkpoint if at_checkpoint.total >= at_epoch.total else at_epoch
    return at_epoch if at_epoch.total else None


def _entries(folder: Path) -> list[Entry]:
    """The files of a run, each checkpoint as one."""
    entries: list[Entry] = []
    for name, is_folder, size in _scanned(folder):
        if name == "checkpoint" and is_folder:
            inner = _scanned(folder / name)
            entries += [
                Entry(
                    printable(f"{name}/{one}"),
                    size_of(folder / name / one) if is_inner_folder else Size(inner_size),
                )
                for one, is_inner_folder, inner_size in inner
            ]
        else:
            shown = printable(f"{name}/" if is_folder else name)
            entries.append(Entry(shown, size_of(folder / name) if is_folder else Size(size)))
    return entries


def _scanned(folder: Path) -> list[tuple[str, bool, int]]:
    """Names, whether each is a folder, and the files' bytes; of very many, some."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                size = 0 if is_folder else entry.stat(follow_symlinks=False).st_size
                found.append((entry.name, is_folder, size))
                if len(found) == _MOST_ENTRIES:
                    break
    except OSError:  # it was removed meanwhile, or may not be looked into
        pass
    return sorted(found)
