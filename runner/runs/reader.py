"""Finding and reading runs: what lies in a folder is a `Run`, or `Unreadable` with the reason.

Nothing here writes, and nothing on disk can make it raise: run folders are cut off by crashes,
edited by hand, and come from other people and other versions. Text from disk is made printable
as it is read, so that no later output can carry a terminal's control sequences.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optrun.runner.errors import UserError
from optrun.runner.runs.disk import is_file, is_folder
from optrun.runner.runs.event_log import METRICS_NAME
from optrun.runner.runs.kernel_log import was_killed_for_memory
from optrun.runner.runs.record import RECORD_NAME, RunRecord, RunStatus, flatten, status_of
from optrun.runner.runs.writer_lock import LOCK_NAME
from optrun.runner.ui.wording import nearest, some
from optrun.runner.untrusted import DamageError, clean, content_of, printable

CONFIG_NAME = "config.yaml"
RESULTS = Path("results")
_MOST_NAMED = 8

# A run's own files; a folder that holds none of them is somebody's folder, not a broken run.
_RUN_FILES = (RECORD_NAME, CONFIG_NAME, METRICS_NAME, LOCK_NAME)


@dataclass(frozen=True)
class _Found:
    folder: Path

    @property
    def label(self) -> str:
        return printable(self.folder.name)


@dataclass(frozen=True)
class Run(_Found):
    """One run as it stands on disk."""

    record: RunRecord
    status: RunStatus

    @property
    def reason(self) -> str:
        """What is behind the status, where there is more to say."""
        if self.status == RunStatus.KILLED:
            if was_killed_for_memory(self.record.pid, self.record.started):
                return "killed by the system, which was out of memory"
            return "killed, cause unknown"
        is_plain = self.status in (RunStatus.COMPLETED, RunStatus.RUNNING)
        return "" if is_plain else self.record.why


@dataclass(frozen=True)
class Unreadable(_Found):
    """A run folder that cannot be read, and why; a run that is just starting has no record yet."""

    reason: str
    status: RunStatus
    record: None = None


def find(paths: Iterable[Path]) -> list[Path]:
    """The run folders that the paths name: run folders themselves, or folders of them.

    They hold a file of a run, whole or not, and come once each, in the order of their names.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not is_folder(path):
            there = "which is a file" if is_file(path) else "where there is no folder"
            hint = " `optrun judge` takes numbers of a CSV file." * (path.suffix == ".csv")
            if path.name in (RECORD_NAME, CONFIG_NAME):
                hint = f" Did you mean {printable(str(path.parent))}?"
            raise UserError(
                "RESULTS must be a folder of runs or the folder of a run, received: "
                f"{printable(str(path))}, {there}.{hint}"
            )
        for folder in _run_folders(path):
            found.setdefault(os.path.realpath(folder), folder)
    return sorted(found.values(), key=lambda folder: (folder.name, str(folder)))


def find_run(run: str | Path, results: Path = RESULTS) -> Path:
    """The run that is meant: the folder of one, or of exactly one, or part of a name in `results`.

    `UserError` where there is none, or several.
    """
    text, path = str(run), Path(run)
    if text and is_folder(path):  # without text, Path means the working directory
        found = find([path])
        if len(found) == 1:
            return found[0]
        shown = f"received: {printable(text)}, which holds"
        raise UserError(
            f"RUN must be the folder of one run, {shown} {len(found)}: "
            f"{_listed([folder.name for folder in found])}."
            if found
            else f"RUN must be the folder of a run, {shown} no run.json. "
            "`optrun runs` lists the runs in results."
        )
    # A file of a run is named where its folder is meant, as completing a path may do.
    if path.name in (RECORD_NAME, CONFIG_NAME) and is_file(path):
        return path.parent
    # In a path that leads nowhere, only the last part can be a mistyped run.
    place, wanted = (path.parent, path.name) if len(path.parts) > 1 else (results, text)
    try:
        by_name = {folder.name: folder for folder in find([place]) if folder != place}
    except UserError:  # no folder, or one that may not be listed: it has no names to suggest
        by_name = {}
    matching = [name for name in by_name if place == results and wanted and wanted in name]
    for names in ([name for name in matching if name.endswith(f"-{wanted}")], matching):
        if len(names) == 1:
            return by_name[names[0]]
    if matching:
        raise UserError(
            f"RUN must name one run, received: {printable(text)}, which is part of the names of "
            f"{len(matching)} in {printable(str(place))}: {_listed(matching)}."
        )
    raise UserError(
        f"RUN must be the folder of a run, or part of the name of one in {RESULTS}, received: "
        f"{printable(text)}. {_hint(wanted, place, list(by_name))}"
    )


def _hint(wanted: str, place: Path, names: Sequence[str]) -> str:
    if not names:
        return f"There is no run in {printable(str(place))}; `optrun train` makes one."
    keys = {key: name for name in names for key in (name, name.rpartition("-")[2])}
    if near := nearest(wanted, keys, cutoff=0.5):
        return f"Did you mean {printable(str(place / keys[near]))}?"
    return f"Runs in {printable(str(place))}: {_listed(names)}."


def _listed(names: Sequence[str]) -> str:
    return some([printable(name) for name in names], _MOST_NAMED)


def looked_in(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The folders that are meant, `results` where none is named; and those of them to be read.

    A fresh clone, or a folder beside it, has no results yet: that is no mistake.
    """
    meant = list(paths) or [RESULTS]
    return meant, [path for path in meant if path != RESULTS or path.exists()]


def read_all(paths: Iterable[Path]) -> tuple[list[Run], list[Unreadable]]:
    """Reads every run that `find` finds in the paths."""
    found = [read(folder) for folder in find(paths)]
    runs = [one for one in found if isinstance(one, Run)]
    return runs, [one for one in found if isinstance(one, Unreadable)]


def read(folder: Path) -> Run | Unreadable:
    """Reads the run in a folder; the trouble, if there is one, is the answer."""
    try:
        record = RunRecord.read(folder)
        if status_of(record, folder) == RunStatus.KILLED:
            record = RunRecord.read(folder)  # its writer may have ended it, and let go, in between
        return Run(folder, record, status_of(record, folder))
    except DamageError as damage:
        status = status_of(None, folder)
        starting = status == RunStatus.STARTING and not is_file(folder / RECORD_NAME)
        reason = f"just starting, no {RECORD_NAME} yet" if starting else str(damage)
        return Unreadable(folder, reason, status)


def read_config(folder: Path) -> Mapping[str, object]:
    """The values of config.yaml by dotted name; empty where it cannot be read."""
    from optrun.runner.config import strict_yaml
    from optrun.runner.config.problems import ConfigurationError

    try:
        text = content_of(folder / CONFIG_NAME, strict_yaml.MAX_BYTES).decode()
        node, problems = strict_yaml.parse(text, CONFIG_NAME, fast=True)
    except (DamageError, ConfigurationError, UnicodeDecodeError):
        return {}
    loaded = node.plain()
    return flatten(clean(loaded)) if isinstance(loaded, dict) and not problems else {}


def _run_folders(path: Path) -> list[Path]:
    """The path itself where it is a run, else the runs right inside it."""
    if is_file(path / RECORD_NAME):
        return [path]
    try:
        with os.scandir(path) as entries:
            folders = [inner for inner in map(Path, entries) if is_folder(inner)]
    except OSError as error:
        shown = printable(str(path))
        raise UserError(f"The folder {shown} cannot be read: {error.strerror}.") from error
    # Links come last: a run that lies here too goes by its own name.
    found = sorted(filter(_is_run_folder, folders), key=Path.is_symlink)
    return found or ([path] if _is_run_folder(path) else [])


def _is_run_folder(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return any((path / name).exists() or (path / name).is_symlink() for name in _RUN_FILES)
    return True  # it may not be looked into: `read` will say so
