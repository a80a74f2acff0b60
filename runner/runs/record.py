"""The record of a run: what it is, how it stands, how it ended; the content of its run.json.

Whoever writes a run and whoever reads one does it through `RunRecord`: no key of run.json is
spelled anywhere else. Runs of before a key existed are read with what they did then.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypedDict, cast

from optrun.runner.events import RunEnded
from optrun.runner.models.networks import DEFAULT as DEFAULT_NETWORK
from optrun.runner.runs.writer_lock import LOCK_NAME, is_held
from optrun.runner.untrusted import (
    DamageError,
    content_of,
    json_object,
    mapping,
    number,
    time_of,
    whole,
)

FORMAT = 1
RECORD_NAME = "run.json"

_DEVICES = ("cpu", "gpu")
_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Of settings that came later, what runs from before them did.
_ADDED_COMPARABLE: Mapping[str, object] = {
    "resize": "squash",
    "antialias": False,
    "augmentation.brightness": 0.0,
    "augmentation.contrast": 0.0,
    "model.network": DEFAULT_NETWORK,
}
# What of a run's provenance can change its numbers, or its clocks, without being an experiment.
_CIRCUMSTANCES = ("packages", "python", "hardware", "threads", "jit_compile")


_LONGEST_NAME = 500  # characters of a dotted name
_MOST_COMPARABLE = 200  # values; there are some 30
_MOST_RESUMPTIONS = 1000


class RunStatus(StrEnum):
    """How a run stands; `status_of` derives it. In the order in which a person is told.

    A run is killed that says "running" while nobody holds its lock. Of a folder without a record
    that can be read, a run whose writer is at work is just starting, and any other is damaged. The
    rest is as run.json says.
    """

    COMPLETED = "completed"
    RUNNING = "running"
    STARTING = "starting"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    KILLED = "killed"
    DIVERGED = "diverged"
    DAMAGED = "damaged"


_DERIVED = (RunStatus.STARTING, RunStatus.KILLED, RunStatus.DAMAGED)


class Comparable(TypedDict, total=False):
    """What must be equal for two runs to be ranked together; what is read may hold further keys."""

    photos: object  # fingerprint, hexadecimal
    split: object  # fingerprint of the division into training, validation and test
    image_size: object  # pixels
    resize: object  # "squash" or how else photos became square
    antialias: object  # bool
    augmentation: object  # mapping, as configured
    model: object  # mapping, as configured; `weights` is a hash or "random"
    precision: object  # "float32", "mixed_bfloat16" or "mixed_float16"
    epochs: object  # how many there are to be
    device: object  # "cpu" or "gpu"


class Provenance(TypedDict, total=False):
    """Where a run comes from; what is read may hold further keys."""

    git_commit: object  # of the folder that holds the configuration; None outside of git
    git_dirty: object  # whether tracked files had changes
    packages: object  # mapping of names to versions
    python: object  # version
    hardware: object  # mapping: system, memory_gib, host, device
    threads: object  # of the processor
    jit_compile: object  # whether XLA compiled the step
    command: object  # list of arguments
    working_directory: object
    photos_source: object  # in words
    photos_left_out: object  # how many could not be decoded
    photos_dropped: object  # how many are in no part
    config: object  # path of the configuration
    own_code: object  # the person's own optimizer: files and their hashes
    initial_weights: object  # hash; equal hashes make runs of one seed a pair
    first_batches: object  # hash of the first batches' photo ids; likewise
    parameters: object  # how many numbers the network has


@dataclass(frozen=True)
class Resumed:
    """One time that a run was gone on with.

    Attributes:
        time: None where it cannot be read.
        steps_done: Steps that were not made again; None where it cannot be read.
        changes: What was not as when it started: versions, hardware, in words.
    """

    time: datetime | None
    steps_done: int | None
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """One run.

    Attributes:
        id: Short and random, as in the folder's name.
        name: The experiment's.
        seed: From 0.
        sample: Whether it sees drawn photos instead of real ones.
        optimizer: Its description in a line.
        specification: The optimizer's mapping with every argument.
        experiment: Hash of the configuration without name, seed and machine.
        comparable: What must be equal for two runs to be ranked together.
        provenance: Where it comes from.
        started: With its time zone.
        batch_size: None, as the next two, where it cannot be read.
        steps_per_epoch: Batches in an epoch.
        images_per_update: Photos behind one update of the weights.
        pid: The process that wrote last.
        resumed: Each time that it was gone on with.
        written_status: What run.json says; `status_of` tells whether it is so.
        why: For a person, where it is not completed.
        ended: None while it runs.
        result: The numbers of a completed run, as recorded: `measure` gives those to count with.
        divergence: Of a diverged one: step, epoch and the last finite values.
    """

    id: str
    name: str
    seed: int
    sample: bool
    optimizer: str
    specification: Mapping[str, object] = field(repr=False)
    experiment: str
    comparable: Comparable = field(repr=False)
    provenance: Provenance = field(repr=False)
    started: datetime
    batch_size: int | None = None
    steps_per_epoch: int | None = None
    images_per_update: int | None = None
    pid: int | None = field(default_factory=os.getpid)
    resumed: tuple[Resumed, ...] = ()
    written_status: RunStatus = RunStatus.RUNNING
    why: str = ""
    ended: datetime | None = None
    result: Mapping[str, object] | None = None
    divergence: Mapping[str, object] | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The record in a run's folder.

        Raises:
            DamageError: There is none, or it cannot be read.
        """
        return cls.parse(content_of(folder / RECORD_NAME))

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The record that the bytes of a run.json hold, with all its text printable.

        Raises:
            DamageError: They hold none of this format.
        """
        found = json_object(content)
        if found.get("format") != FORMAT:
            received = str(found.get("format"))[:20]
            raise DamageError(f"format must be {FORMAT}, received: {received} (another version?)")
        status = _text(found, "state")
        if status not in set(RunStatus) - set(_DERIVED):
            raise DamageError(f"unknown state: {status}")
        result = found.get("result")
        if status == RunStatus.COMPLETED and not isinstance(result, dict):
            raise DamageError("completed, but without a result")
        if not isinstance(found.get("sample"), bool):
            raise DamageError("sample must be true or false")
        seed = found.get("seed")
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise DamageError("seed must be a whole number from 0")
        optimizer = _object(found, "optimizer")
        started = time_of(_text(found, "started"))
        if started is None:
            raise DamageError("started must be a time")
        record = cls(
            id=_text_or(found.get("id")) or "",
            name=_text(found, "name"),
            seed=seed,
            sample=found["sample"],
            optimizer=_text(optimizer, "description"),
            specification=mapping(optimizer.get("specification")),
            experiment=_text(found, "experiment"),
            comparable=cast("Comparable", _object(found, "comparable")),
            provenance=cast("Provenance", mapping(found.get("provenance"))),
            started=started,
            batch_size=whole(found.get("batch_size")) or None,
            steps_per_epoch=whole(found.get("steps_per_epoch")) or None,
            images_per_update=whole(found.get("images_per_update")) or None,
            pid=whole(found.get("pid")),
            resumed=_resumptions(found.get("resumed")),
            written_status=RunStatus(status),
            why=_text_or(found.get("why")) or "",
            ended=time_of(found.get("ended")),
            result=result if isinstance(result, dict) else None,
            divergence=mapping(found.get("divergence")) or None,
        )
        if len(record.flat_comparable) > _MOST_COMPARABLE + len(_ADDED_COMPARABLE):
            raise DamageError(f"comparable must hold at most {_MOST_COMPARABLE} values")
        return record

    def as_json(self) -> dict[str, object]:
        """The content of run.json."""
        return {
            "format": FORMAT,
            "id": self.id,
            "name": self.name,
            "seed": self.seed,
            "sample": self.sample,
            "pid": self.pid,
            "optimizer": {"description": self.optimizer, "specification": self.specification},
            "experiment": self.experiment,
            "comparable": self.comparable,
            "batch_size": self.batch_size,
            "steps_per_epoch": self.steps_per_epoch,
            "images_per_update": self.images_per_update,
            "provenance": self.provenance,
            "started": time_text(self.started),
            "resumed": [
                {
                    "time": None if one.time is None else time_text(one.time),
                    "steps_done": one.steps_done,
                    "changes": list(one.changes),
                }
                for one in self.resumed
            ],
            "state": self.written_status,
            "why": self.why or None,
            "ended": None if self.ended is None else time_text(self.ended),
            "result": self.result,
            "divergence": self.divergence,
        }

    def with_network(self, facts: Mapping[str, object]) -> Self:
        """The record once the network stands, with what `NetworkBuilt` tells of it."""
        provenance = cast("Provenance", {**self.provenance, **facts})
        return replace(self, provenance=provenance)

    def gone_on_with(self, at: datetime, *, steps_done: int, changes: Sequence[str] = ()) -> Self:
        """The record of a run that this process goes on with."""
        return replace(
            self,
            pid=os.getpid(),
            resumed=(*self.resumed, Resumed(at, steps_done, tuple(changes))),
            written_status=RunStatus.RUNNING,
            why="",
            ended=None,
            result=None,
            divergence=None,
        )

    def at_end(self, end: RunEnded, at: datetime) -> Self:
        """The record of a run that is over."""
        return replace(
            self,
            written_status=RunStatus(end.status),
            why=end.why or "",
            ended=at,
            result=dict(end.result) if end.status == RunStatus.COMPLETED else None,
            divergence=end.divergence,
        )

    @cached_property
    def flat_comparable(self) -> Mapping[str, object]:
        """What must be equal for two runs to be ranked together, by dotted name."""
        return {**_ADDED_COMPARABLE, **flatten(self.comparable)}

    @cached_property
    def circumstances(self) -> Mapping[str, object]:
        """Versions and hardware, which may differ but want a note, by dotted name."""
        found = mapping(self.provenance)
        return flatten({key: found[key] for key in _CIRCUMSTANCES if key in found})

    @property
    def epochs(self) -> int | None:
        """How many there are to be."""
        return whole(self.comparable.get("epochs"))

    @property
    def device(self) -> str | None:
        """The device that it began on: "cpu", "gpu" or None where that is not recorded."""
        return _text_or(self.comparable.get("device"), among=_DEVICES)

    @property
    def precision(self) -> str | None:
        """What it computes in; None where that is no precision that there is."""
        return _text_or(self.comparable.get("precision"), among=_PRECISIONS)

    @property
    def jit_compile(self) -> bool | None:
        """Whether XLA compiles its step."""
        recorded = self.provenance.get("jit_compile")
        return recorded if isinstance(recorded, bool) else None

    @property
    def initial_weights(self) -> str | None:
        """Hash of the weights that it began with; equal hashes make runs of one seed a pair."""
        return _text_or(self.provenance.get("initial_weights"))

    @property
    def first_batches(self) -> str | None:
        """Hash of the first batches' photo ids; likewise."""
        return _text_or(self.provenance.get("first_batches"))

    def measure(self, key: str) -> float | None:
        """A number of the result; None for one that is missing or not finite."""
        return number(mapping(self.result).get(key))


def status_of(record: RunRecord | None, folder: Path) -> RunStatus:
    """How the run in a folder stands.

    Args:
        record: Its record; None where there is none that can be read.
        folder: Where it lies: its lock tells whether its writer lives.
    """
    if record is None:
        return RunStatus.STARTING if is_held(folder / LOCK_NAME) else RunStatus.DAMAGED
    if record.written_status == RunStatus.RUNNING and not is_held(folder / LOCK_NAME):
        return RunStatus.KILLED
    return record.written_status


def flatten(tree: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested mappings as one, with dotted names.

    >>> flatten({"model": {"width": 1.0, "head": {"dropout": 0.5}}, "epochs": 3})
    {'model.width': 1.0, 'model.head.dropout': 0.5, 'epochs': 3}
    """
    flat: dict[str, object] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"[:_LONGEST_NAME]
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def time_text(time: datetime) -> str:
    """A time as it is recorded: ISO 8601, to the microsecond."""
    return time.isoformat(timespec="microseconds")


def _text(content: Mapping[str, Any], key: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value:
        raise DamageError(f"{key} must be text")
    return value


def _text_or(value: object, among: Sequence[str] | None = None) -> str | None:
    return value if isinstance(value, str) and (among is None or value in among) else None


def _object(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    if not isinstance(value, dict):
        raise DamageError(f"{key} must be an object")
    return value


def _resumptions(recorded: object) -> tuple[Resumed, ...]:
    if not isinstance(recorded, list):
        return ()
    found = []
    for one in map(mapping, recorded[:_MOST_RESUMPTIONS]):
        changes = one.get("changes")
        found.append(
            Resumed(
                time=time_of(one.get("time")),
                steps_done=whole(one.get("steps_done")),
                changes=tuple(map(str, changes)) if isinstance(changes, list) else (),
            )
        )
    return tuple(found)
