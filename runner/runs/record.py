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
from typing import Any, Self, TypeVar

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

_Kind = TypeVar("_Kind")
FORMAT = 1
RECORD_NAME = "run.json"
UNTIL_SURE = "until_sure"  # the key of provenance that has the hash of a plan
TUNING = "tuning"  # the key of provenance that says what was tried, and the purpose of a trial

_DEVICES = ("cpu", "gpu")
_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Of settings that came later, what runs from before them did.
_ADDED_COMPARABLE: Mapping[str, object] = {
    "resize": "squash",
    "antialias": False,
    "augmentation.brightness": 0.0,
    "augmentation.contrast": 0.0,
    "model.network": DEFAULT_NETWORK,
    "engine": "tensorflow",
}
# Whose versions decide numbers, so that runs of two are not ranked together; others are notes.
GUARDED_PACKAGES = ("tensorflow", "keras")
# What of a run's provenance can change its numbers, or its clocks, without being an experiment.
CIRCUMSTANCES = ("environment", "packages", "python", "hardware", "threads", "jit_compile")
_PLAIN = (str, int, float, type(None))
_LONGEST_NAME = 500  # characters of a dotted name
_MOST_COMPARABLE = 200  # values; there are some 30
_MOST_RESUMPTIONS = 1000


class RunStatus(StrEnum):
    """How a run stands; `status_of` derives it. In the order in which a person is told."""

    COMPLETED = "completed"
    RUNNING = "running"
    STARTING = "starting"  # no record that can be read, and its writer is at work
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    KILLED = "killed"  # says "running", and nobody holds its lock
    DIVERGED = "diverged"
    DAMAGED = "damaged"  # no record that can be read, and nobody is at work


# In which a run stays; of several runs of a seed one counts, completed before diverged.
OVER = (RunStatus.COMPLETED, RunStatus.DIVERGED)
_COUNTS = ("batch_size", "steps_per_epoch", "images_per_update")
_DERIVED = (RunStatus.STARTING, RunStatus.KILLED, RunStatus.DAMAGED)


@dataclass(frozen=True)
class Resumed:
    """One time that a run was gone on with; None for what cannot be read."""

    time: datetime | None
    steps_done: int | None  # those that were not made again
    changes: tuple[str, ...] = ()  # what was not as when it started: versions, hardware


@dataclass(frozen=True)
class RunRecord:
    """One run. What is read may hold further keys than `plan.run.new_record` writes."""

    id: str  # short and random, as in the folder's name
    name: str  # the experiment's
    seed: int
    sample: bool  # whether it sees drawn photos instead of real ones
    optimizer: str  # its description in a line
    specification: Mapping[str, object] = field(repr=False)  # the optimizer's, with every argument
    experiment: str  # hash of the configuration without name, seed and machine
    comparable: Mapping[str, object] = field(repr=False)  # equal where two are ranked together
    # Where it comes from; equal `initial_weights` and `first_batches` make a pair of one seed's.
    provenance: Mapping[str, object] = field(repr=False)
    started: datetime
    batch_size: int | None = None  # None, as the next two, where it cannot be read
    steps_per_epoch: int | None = None
    images_per_update: int | None = None  # photos behind one update of the weights
    pid: int | None = field(default_factory=os.getpid)  # the process that wrote last
    resumed: tuple[Resumed, ...] = ()
    written_status: RunStatus = RunStatus.RUNNING  # `status_of` tells whether it is so
    why: str = ""  # for a person, where it is not completed
    ended: datetime | None = None
    result: Mapping[str, object] | None = None  # `measure` gives numbers to count with
    divergence: Mapping[str, object] | None = None  # step, epoch and the last finite values

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The record in a run's folder, or a `DamageError`."""
        return cls.parse(content_of(folder / RECORD_NAME))

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The record that the bytes of a run.json hold, with all its text printable."""
        found = json_object(content)
        if found.get("format") != FORMAT:
            received = str(found.get("format"))[:20]
            raise DamageError(f"format must be {FORMAT}, received: {received} (another version?)")
        status, result = _required(found, "state", str), found.get("result")
        if status not in set(RunStatus) - set(_DERIVED):
            raise DamageError(f"unknown state: {status}")
        if status == RunStatus.COMPLETED and not isinstance(result, dict):
            raise DamageError("completed, but without a result")
        seed = found.get("seed")
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise DamageError("seed must be a whole number from 0")
        optimizer = _required(found, "optimizer", dict)
        if (started := time_of(_required(found, "started", str))) is None:
            raise DamageError("started must be a time")
        record = cls(
            id=_text(found, "id") or "",
            name=_required(found, "name", str),
            seed=seed,
            sample=_required(found, "sample", bool),
            optimizer=_required(optimizer, "description", str),
            specification=mapping(optimizer.get("specification")),
            experiment=_required(found, "experiment", str),
            comparable=_required(found, "comparable", dict),
            provenance=mapping(found.get("provenance")),
            started=started,
            **{name: whole(found.get(name)) or None for name in _COUNTS},
            pid=whole(found.get("pid")),
            resumed=_resumptions(found.get("resumed")),
            written_status=RunStatus(status),
            why=_text(found, "why") or "",
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
            **{name: getattr(self, name) for name in ("id", "name", "seed", "sample", "pid")},
            "optimizer": {"description": self.optimizer, "specification": self.specification},
            **{name: getattr(self, name) for name in ("experiment", "comparable", *_COUNTS)},
            "provenance": self.provenance,
            "started": time_text(self.started),
            "resumed": [vars(one) | {"time": time_text(one.time)} for one in self.resumed],
            "state": self.written_status,
            "why": self.why or None,
            "ended": time_text(self.ended),
            "result": self.result,
            "divergence": self.divergence,
        }

    def with_network(self, facts: Mapping[str, object]) -> Self:
        """The record once the network stands, with what `NetworkBuilt` tells of it."""
        return replace(self, provenance={**self.provenance, **facts})

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
        """What was recorded of it as `comparable`, by dotted name."""
        return {**_ADDED_COMPARABLE, **flatten(self.comparable)}

    @cached_property
    def guarded(self) -> Mapping[str, object]:
        """All that must be equal for two runs to be ranked together, by dotted name.

        Versions of `GUARDED_PACKAGES` that were not recorded are not there. A record of another
        format cannot be read at all.
        """
        packages = mapping(self.provenance.get("packages"))
        versions = {name: _text(packages, name) for name in GUARDED_PACKAGES}
        return {**self.flat_comparable, **{k: v for k, v in versions.items() if v is not None}}

    @cached_property
    def circumstances(self) -> Mapping[str, object]:
        """Versions and hardware, which may differ but want a note, by dotted name."""
        found = self.provenance
        return flatten(
            {key: found[key] for key in CIRCUMSTANCES if found.get(key) not in (None, {})}
        )

    @property
    def epochs(self) -> int | None:
        return whole(self.comparable.get("epochs"))

    @property
    def device(self) -> str | None:
        """The device that it began on: "cpu", "gpu" or None where that is not recorded."""
        return _text(self.comparable, "device", _DEVICES)

    @property
    def precision(self) -> str | None:
        """What it computes in; None where that is no precision that there is."""
        return _text(self.comparable, "precision", _PRECISIONS)

    @property
    def learning_rate(self) -> float | None:
        """The optimizer's own, in a wrapper too; of a schedule the one that it begins with."""
        here = self.specification
        while "learning_rate" not in here and "inner_optimizer" in here:
            here = mapping(here["inner_optimizer"])
        rate = here.get("learning_rate")
        return number(mapping(rate).get("initial_learning_rate", rate))

    @property
    def jit_compile(self) -> bool | None:
        recorded = self.provenance.get("jit_compile")
        return recorded if isinstance(recorded, bool) else None

    @property
    def is_trial(self) -> bool:
        """Whether it was made to choose a setting, and says nothing of the one chosen."""
        return bool(self.tuning.get("purpose") == TUNING)

    @property
    def tuning(self) -> Mapping[str, Any]:
        """What was tried before the run's setting was chosen; see `plan.tuning`."""
        return mapping(self.provenance.get(TUNING))

    @property
    def training_photos(self) -> int | None:
        return self._photos_of("train")

    @property
    def plan(self) -> str | None:
        """The hash of the plan that made it, as `runs.sequential_plan` has it, if one did."""
        return _text(self.provenance, UNTIL_SURE)

    @property
    def validation_photos(self) -> int | None:
        return self._photos_of("validation")

    @property
    def test_photos(self) -> int | None:
        return self._photos_of("test")

    def _photos_of(self, part: str) -> int | None:
        return whole(mapping(self.provenance.get("photos_by_part")).get(part)) or None

    @property
    def initial_weights(self) -> str | None:
        return _text(self.provenance, "initial_weights")

    @property
    def first_batches(self) -> str | None:
        return _text(self.provenance, "first_batches")

    def measure(self, key: str) -> float | None:
        """A number of the result; None for one that is missing or that no run can have."""
        found = number(mapping(self.result).get(key))
        is_share = key.endswith(("accuracy", "roc_auc"))
        return None if found is not None and is_share and not -1 <= found <= 1 else found


def status_of(record: RunRecord | None, folder: Path) -> RunStatus:
    """How a run stands, of which the record (None where it can't be read) lies in a folder."""
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
        # Asking whether something is a mapping takes longest for what is none.
        if not isinstance(value, _PLAIN) and isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def time_text(time: datetime | None) -> str | None:
    """A time as it is recorded: ISO 8601, to the microsecond."""
    return None if time is None else time.isoformat(timespec="microseconds")


def _required(content: Mapping[str, Any], key: str, kind: type[_Kind]) -> _Kind:
    value = content.get(key)
    if not isinstance(value, kind) or value == "":
        kinds = {str: "text", dict: "an object", bool: "true or false"}
        raise DamageError(f"{key} must be {kinds[kind]}")
    return value


def _text(
    content: Mapping[str, object], key: str, among: Sequence[str] | None = None
) -> str | None:
    value = content.get(key)
    return value if isinstance(value, str) and (among is None or value in among) else None


def _resumptions(recorded: object) -> tuple[Resumed, ...]:
    found = []
    for one in map(mapping, recorded[:_MOST_RESUMPTIONS] if isinstance(recorded, list) else ()):
        changes = one.get("changes")
        texts = tuple(map(str, changes)) if isinstance(changes, list) else ()
        found.append(Resumed(time_of(one.get("time")), whole(one.get("steps_done")), texts))
    return tuple(found)
