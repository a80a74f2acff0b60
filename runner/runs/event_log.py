"""A run's metrics.jsonl: one event a line, in the order in which they happened.

There are far more events of steps than of anything else, and only who draws curves of them wants
them. They begin alike, so that readers of the rest pass over them without taking them apart.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from optrun.runner.runs.writer_lock import LOCK_NAME, is_held
from optrun.runner.untrusted import DamageError, json_object, regular_file

METRICS_NAME = "metrics.jsonl"

_LONGEST_LINE = 2**16  # bytes; an epoch takes 500
_MOST_LINES = 50_000  # but for those of steps
_MOST_STEPS = 2_000  # that are taken apart, up to twice as many
_LARGEST_EVENTS = 8 * 2**20  # bytes of them
_LARGEST_FILE = 2**28  # bytes, with the steps
_MOST_SKIPPED = 100  # lines named one by one
_TAILS = (2**16, 2**20, 2**24)  # bytes; an epoch may lie before very many steps


class EventKind(StrEnum):
    """What the `event` of a line says."""

    STARTED = "started"
    RESUMED = "resumed"
    STEP = "step"
    EPOCH = "epoch"
    NOTICE = "notice"
    ENDED = "ended"


_STEP_BEGINS = json.dumps({"event": EventKind.STEP}).encode().removesuffix(b"}")


@dataclass(frozen=True)
class Events:
    """What metrics.jsonl holds besides steps."""

    events: tuple[Mapping[str, Any], ...]
    skipped: tuple[str, ...]  # "line 7: not JSON"

    def of(self, kind: EventKind) -> list[Mapping[str, Any]]:
        return [event for event in self.events if event.get("event") == kind]


def read_events(folder: Path) -> Events:
    """Reads a run's events; lines that are torn or not JSON objects are skipped and named."""
    events: list[Mapping[str, Any]] = []
    skipped: list[str] = []
    damaged = size = 0
    try:
        with regular_file(folder / METRICS_NAME) as file:
            for position, line in _lines(file):
                if line.startswith(_STEP_BEGINS) and line.endswith(b"\n"):
                    continue
                size += len(line)
                if len(events) + damaged == _MOST_LINES or size > _LARGEST_EVENTS:
                    skipped.append(f"all lines after {position - 1:,}")
                    break
                if not line.endswith(b"\n") and is_held(folder / LOCK_NAME):
                    break  # it is being written in this moment
                try:
                    events.append(_event(line))
                except DamageError as damage:
                    damaged += 1
                    if damaged <= _MOST_SKIPPED:
                        skipped.append(f"line {position}: {damage}")
            if file.tell() >= _LARGEST_FILE:
                skipped.append(f"what follows the first {_LARGEST_FILE // 2**20} MiB")
    except DamageError as damage:
        return Events(tuple(events), (*skipped, str(damage)))
    if damaged > _MOST_SKIPPED:
        skipped.append(f"{damaged - _MOST_SKIPPED:,} more lines")
    return Events(tuple(events), tuple(skipped))


def read_steps(folder: Path) -> list[Mapping[str, Any]]:
    """A run's events of steps, in order; of very many every 2nd, 4th, ...

    Lines that cannot be read are passed over: `read_events` names what is wrong with a file.
    """
    lines: list[bytes] = []
    stride, place = 1, 0
    with contextlib.suppress(DamageError), regular_file(folder / METRICS_NAME) as file:
        for _, line in _lines(file):
            if not line.startswith(_STEP_BEGINS) or not line.endswith(b"\n"):
                continue
            place += 1
            if place % stride == 0:
                lines.append(line)
            if len(lines) == 2 * _MOST_STEPS:
                lines, stride = lines[1::2], 2 * stride
    events: list[Mapping[str, Any]] = []
    for line in lines:
        with contextlib.suppress(DamageError):
            events.append(_event(line))
    return events


def last_epoch(folder: Path) -> Mapping[str, Any]:
    """The last event of an epoch's end; of a long file, its end alone is read."""
    with contextlib.suppress(DamageError), regular_file(folder / METRICS_NAME) as file:
        size = file.seek(0, 2)
        for tail in _TAILS:
            file.seek(max(0, size - tail))
            for line in reversed(file.read(tail).split(b"\n")[:-1]):  # the last is torn
                if not line.startswith(_STEP_BEGINS) and b'"epoch"' in line:
                    with contextlib.suppress(DamageError):
                        event = json_object(line)
                        if event.get("event") == EventKind.EPOCH:
                            return event
            if tail >= size:
                break
    return {}


def epochs_within(path: Path, length: int) -> Sequence[Mapping[str, Any]] | None:
    """The events of epochs, without kind and time, in the first bytes of a run's metrics.jsonl.

    None where these are not lines that a run writes. Unlike `read_events` this drops nothing.
    """
    with path.open("rb") as file:
        content = file.read(length)
    if len(content) < length or content[-1:] not in (b"", b"\n"):
        return None
    try:
        lines = (line for line in content.splitlines() if not line.startswith(_STEP_BEGINS))
        epochs = [one for one in map(json.loads, lines) if one.pop("event") == EventKind.EPOCH]
        return [{key: one[key] for key in one if key != "time"} for one in epochs]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Number and content of each line, as far as the file may be read; of a long one its begin."""
    number = 0
    while file.tell() < _LARGEST_FILE and (line := file.readline(_LONGEST_LINE + 1)):
        number += 1
        yield number, line
        while len(line) > _LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(_LONGEST_LINE + 1)
            if file.tell() >= _LARGEST_FILE:
                return


def _event(line: bytes) -> dict[str, Any]:
    if len(line) > _LONGEST_LINE:
        raise DamageError(f"longer than {_LONGEST_LINE // 2**10} KiB")
    if not line.endswith(b"\n"):
        raise DamageError("torn")
    return json_object(line)
