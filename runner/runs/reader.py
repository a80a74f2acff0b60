"""Reading runs: whatever lies in a folder becomes a `Run`, or an `Unreadable` with the reason.

Nothing here writes, and nothing on disk can make it raise: run folders are cut off by crashes,
edited by hand, and come from other people and other versions. Text from disk is made printable
as it is read, so that no later output can carry a terminal's control sequences.
"""

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optrun.runner.errors import UserError
from optrun.runner.models.registry import DEFAULT as DEFAULT_NETWORK
from optrun.runner.runs.run_folder import FORMAT
from optrun.runner.runs.writer_lock import LOCK_NAME, is_held
from optrun.runner.untrusted import DamageError, clean, content_of, json_object, number, printable

COMPLETED = "completed"
DIVERGED = "diverged"
RUNNING = "running"
KILLED = "killed"  # says "running", but nobody holds its lock
_WRITTEN_STATES = (RUNNING, COMPLETED, DIVERGED, "interrupted", "failed")

# A run's own files; a folder that holds none of them is somebody's folder, not a broken run.
_RUN_FILES = ("run.json", "config.yaml", "metrics.jsonl", LOCK_NAME)

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

_LARGEST_METRICS = 8 * 2**20  # bytes; an epoch takes 500
_LONGEST_LINE = 2**16  # bytes, of metrics
_MOST_LINES = 50_000
_MOST_SKIPPED = 100  # lines named one by one
_LARGEST_CONFIG = 2**18  # bytes; the loader of configurations takes a fifth of it
_MOST_YAML_EVENTS = 10_000
_DEEPEST_YAML = 50
_LONGEST_NAME = 500  # characters of a dotted name
_MOST_COMPARABLE = 200  # values; there are some 30


@dataclass(frozen=True)
class Run:
    """One run as it stands on disk.

    Attributes:
        folder: Where it lies.
        state: completed, diverged, interrupted, failed, running or killed.
        sample: Whether it saw drawn photos instead of real ones.
        experiment: Hash of the configuration without name, seed and machine.
        specification: The optimizer, as resolved.
        comparable: What must be equal for two runs to be ranked together, by dotted name.
        circumstances: Versions and hardware, which may differ but want a note, by dotted name.
        initial_weights: Hash; equal hashes make runs of one seed a pair.
        first_batches: Hash; likewise.
        result: Measures of a completed run; None for one that is missing or not finite.
    """

    folder: Path
    id: str
    name: str
    seed: int
    sample: bool
    state: str
    why: str
    started: datetime
    optimizer: str
    experiment: str
    specification: Mapping[str, object] = field(repr=False)
    comparable: Mapping[str, object] = field(repr=False)
    circumstances: Mapping[str, object] = field(repr=False)
    batch_size: int | None
    images_per_update: int | None
    initial_weights: str | None
    first_batches: str | None
    result: Mapping[str, float | None] = field(repr=False)

    @property
    def label(self) -> str:
        """The folder's name, printable."""
        return printable(self.folder.name)


@dataclass(frozen=True)
class Unreadable:
    """A run folder that cannot be read, and why."""

    folder: Path
    reason: str

    @property
    def label(self) -> str:
        return printable(self.folder.name)


@dataclass(frozen=True)
class Events:
    """The lines of metrics.jsonl, and what was skipped ("line 7: not JSON")."""

    events: tuple[Mapping[str, Any], ...]
    skipped: tuple[str, ...]


def find(paths: Iterable[Path]) -> list[Path]:
    """The run folders that the paths name: run folders themselves, or folders of them.

    Args:
        paths: Folders; a folder reached twice counts once.

    Returns:
        Folders that hold a file of a run, whole or not, in the order of their names.

    Raises:
        UserError: A path is missing or is no folder.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not _is_folder(path):
            raise UserError(
                "RESULTS must be a folder of runs or the folder of a run, "
                f"received: {printable(str(path))}, where there is no folder."
            )
        for folder in _run_folders(path):
            found.setdefault(os.path.realpath(folder), folder)
    return sorted(found.values(), key=lambda folder: (folder.name, str(folder)))


def read_all(paths: Iterable[Path]) -> tuple[list[Run], list[Unreadable]]:
    """Reads every run that `find` finds in the paths.

    Raises:
        UserError: A path is missing or is no folder.
    """
    runs: list[Run] = []
    unreadable: list[Unreadable] = []
    for folder in find(paths):
        match read(folder):
            case Run() as run:
                runs.append(run)
            case Unreadable() as damaged:
                unreadable.append(damaged)
    return runs, unreadable


def read(folder: Path) -> Run | Unreadable:
    """Reads the run in a folder; the trouble, if there is one, is the answer."""
    return read_with_record(folder)[0]


def read_with_record(folder: Path) -> tuple[Run | Unreadable, Mapping[str, Any]]:
    """Like `read`, with all that run.json holds besides; nothing where it cannot be read."""
    try:
        content = content_of(folder / "run.json")
        record = json_object(content)
        run = _run(folder, record)
        # Or its writer wrote its end, and let go, in between.
        if run.state == KILLED and (now := content_of(folder / "run.json")) != content:
            record = json_object(now)
            run = _run(folder, record)
    except DamageError as damage:
        starting = is_held(folder / LOCK_NAME) and not _is_file(folder / "run.json")
        reason = "just starting, no run.json yet" if starting else str(damage)
        return Unreadable(folder, reason), {}
    return run, record


def read_events(folder: Path) -> Events:
    """Reads metrics.jsonl; lines that are torn or not JSON objects are skipped and named."""
    try:
        content = content_of(folder / "metrics.jsonl", _LARGEST_METRICS)
    except DamageError as damage:
        return Events((), (str(damage),))
    events: list[Mapping[str, Any]] = []
    skipped: list[str] = []
    count = 0
    for position, line in enumerate(io.BytesIO(content), 1):
        if position > _MOST_LINES:
            skipped.append(f"all lines after {_MOST_LINES:,}")
            break
        try:
            if not line.endswith(b"\n"):
                if is_held(folder / LOCK_NAME):  # it is being written in this moment
                    break
                raise DamageError("torn")
            if len(line) > _LONGEST_LINE:
                raise DamageError(f"longer than {_LONGEST_LINE // 2**10} KiB")
            events.append(json_object(line))
        except DamageError as damage:
            count += 1
            if count <= _MOST_SKIPPED:
                skipped.append(f"line {position}: {damage}")
    if count > _MOST_SKIPPED:
        skipped.append(f"{count - _MOST_SKIPPED:,} more lines")
    return Events(tuple(events), tuple(skipped))


def read_config(folder: Path) -> Mapping[str, object]:
    """The values of config.yaml by dotted name; empty where it cannot be read."""
    import yaml

    try:
        content = content_of(folder / "config.yaml", _LARGEST_CONFIG)
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
        depth = 0
        for count, event in enumerate(yaml.parse(content, Loader=loader)):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            # What aliases repeat, and repeat again, would be written out below; and no run writes
            # a tag, which can ask for what the text cannot be.
            is_trap = isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) is not None
            if is_trap or depth > _DEEPEST_YAML or count > _MOST_YAML_EVENTS:
                return {}
        loaded = yaml.load(content, Loader=loader)  # noqa: S506 - it is one of the safe loaders
    except (DamageError, yaml.YAMLError, ValueError):
        return {}
    return flatten(clean(loaded)) if isinstance(loaded, dict) else {}


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


def _run_folders(path: Path) -> list[Path]:
    if _is_file(path / "run.json"):
        return [path]
    return _children(path) or ([path] if _is_run_folder(path) else [])


def _is_run_folder(path: Path) -> bool:
    try:
        files = [path / name for name in _RUN_FILES]
        return any(file.exists() or file.is_symlink() for file in files)
    except OSError:  # it may not be looked into: `read` will say so
        return True


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no permission, a circle of links, a name that is too long
        return False


def _children(path: Path) -> list[Path]:
    """The run folders right inside a folder; what may not be looked into is left out."""
    try:
        with os.scandir(path) as entries:
            folders = [path for path in map(Path, entries) if _is_folder(path)]
    except OSError as error:
        raise UserError(
            f"The folder {printable(str(path))} cannot be read: {error.strerror}."
        ) from error
    # Links come last: a run that lies here too goes by its own name.
    return sorted(filter(_is_run_folder, folders), key=Path.is_symlink)


def _run(folder: Path, content: Mapping[str, Any]) -> Run:
    if content.get("format") != FORMAT:
        received = str(content.get("format"))[:20]
        raise DamageError(f"format must be {FORMAT}, received: {received} (another version?)")
    state = _text(content, "state")
    if state not in _WRITTEN_STATES:
        raise DamageError(f"unknown state: {state}")
    if state == RUNNING and not is_held(folder / LOCK_NAME):
        state = KILLED
    result = content.get("result")
    if state == COMPLETED and not isinstance(result, dict):
        raise DamageError("completed, but without a result")
    if not isinstance(content.get("sample"), bool):
        raise DamageError("sample must be true or false")
    provenance = _mapping(content, "provenance", required=False)
    optimizer = _mapping(content, "optimizer")
    return Run(
        folder=folder,
        id=_optional_text(content.get("id")) or "",
        name=_text(content, "name"),
        seed=_seed(content),
        sample=content["sample"],
        state=state,
        why=_optional_text(content.get("why")) or "",
        started=_time(content),
        optimizer=_text(optimizer, "description"),
        experiment=_text(content, "experiment"),
        specification=_mapping(optimizer, "specification", required=False),
        comparable={**_ADDED_COMPARABLE, **_comparable(content)},
        circumstances=_circumstances(provenance),
        batch_size=_count(content.get("batch_size")),
        images_per_update=_count(content.get("images_per_update")),
        initial_weights=_optional_text(provenance.get("initial_weights")),
        first_batches=_optional_text(provenance.get("first_batches")),
        result=(
            {key: number(value) for key, value in result.items()}
            if isinstance(result, dict)
            else {}
        ),
    )


def _comparable(content: Mapping[str, Any]) -> dict[str, object]:
    found = flatten(_mapping(content, "comparable"))
    if len(found) > _MOST_COMPARABLE:
        raise DamageError(f"comparable must hold at most {_MOST_COMPARABLE} values")
    return found


def _circumstances(provenance: Mapping[str, Any]) -> dict[str, object]:
    kept = {key: provenance[key] for key in _CIRCUMSTANCES if key in provenance}
    return flatten(kept)


def _text(content: Mapping[str, Any], key: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value:
        raise DamageError(f"{key} must be text")
    return value


def _optional_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _mapping(content: Mapping[str, Any], key: str, *, required: bool = True) -> Mapping[str, Any]:
    value = content.get(key)
    if isinstance(value, dict):
        return value
    if required:
        raise DamageError(f"{key} must be an object")
    return {}


def _seed(content: Mapping[str, Any]) -> int:
    seed = content.get("seed")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise DamageError("seed must be a whole number from 0")
    return seed


def _count(value: object) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 < value < 2**63 else None  # type: ignore[operator, return-value]


def _time(content: Mapping[str, Any]) -> datetime:
    try:
        time = datetime.fromisoformat(_text(content, "started"))
    except ValueError:
        raise DamageError("started must be a time") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
