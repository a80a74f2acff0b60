"""Writing a run: one folder of plain files, written by one process, and the listener that does it.

    results/<name>-s<seed>-<id>/
        config.yaml       the resolved configuration
        optimizer.py      the person's own optimizer, where it is one, as it was trained with
        run.json          what the run is, how it stands, how it ended; replaced whole
        metrics.jsonl     one event a line, appended
        photos.npz        digests and labels of its photos by part; see `own_photos`
        predictions.npz   arrays by photo id, no pickle
        log.txt           the run's log
        checkpoint/best/  the weights of the best epoch
        checkpoint/last/  all that it takes to go on from the last checkpoint; of a completed run
                          only where `training.keep_last_checkpoint` says so
        writer.lock       held by the writing process for as long as it lives
        .reserve          room to write the run's end on a full disk, while it is written

JSON has no word for numbers that are not finite. They are written as the strings "NaN",
"Infinity" and "-Infinity", as Protocol Buffers do: every strict JSON reader takes the file, and
`float()` takes the strings.
"""

import contextlib
import io
import json
import math
import os
import re
import secrets
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from optrun.data.files import write_atomically
from optrun.runner.errors import UserError
from optrun.runner.events import EpochRecord, Event, NetworkBuilt, Notice, RunEnded, StepRecord
from optrun.runner.runs import checkpoint_places, disk
from optrun.runner.runs.disk import FolderGone, append_whole, told
from optrun.runner.runs.event_log import METRICS_NAME, EventKind, epochs_within
from optrun.runner.runs.record import RECORD_NAME, RunRecord, RunStatus, time_text
from optrun.runner.runs.writer_lock import LOCK_NAME, acquire, require_locks

# Without the look-alikes 0 o 1 l i, and lower case only: some file systems do not tell case apart.
_ID_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_ID_LENGTH = 6
_LONGEST_NAME = 100
PREDICTIONS_NAME = "predictions.npz"


class RunFolder(contextlib.AbstractContextManager["RunFolder"]):
    """The folder of one run, held by this process until `close` or its death."""

    def __init__(self, path: Path, run_id: str) -> None:
        self.path, self.id = path, run_id
        self.config_path = path / "config.yaml"
        self.log_path = path / "log.txt"
        self.metrics_path = path / METRICS_NAME
        self.best_checkpoint_path = checkpoint_places.best(path)
        self.last_checkpoint_path = checkpoint_places.last(path)
        lock = acquire(path / LOCK_NAME)
        self._lock: int | None = lock
        try:
            disk.set_reserve_aside(path)
            self._metrics = _open_to_append(self.metrics_path)
        except BaseException:
            os.close(lock)
            raise

    def metrics_bytes(self) -> int:
        return os.fstat(self._metrics).st_size

    def cut_metrics(self, length: int, epochs: Sequence[Mapping[str, object]] = ()) -> bool:
        """Drops what was appended to metrics.jsonl after its first `length` bytes.

        Where these are not what they were, the file is replaced by the epochs alone (as its events
        tell them, but for the time). Returns whether they were.
        """
        wanted = [plain(epoch) for epoch in epochs]
        if epochs_within(self.metrics_path, length) == wanted:
            os.ftruncate(self._metrics, length)
            return True
        lines = [_line(_event(EventKind.EPOCH, None, epoch)) for epoch in wanted]
        write_atomically(self.metrics_path, b"".join(lines))
        os.close(self._metrics)
        self._metrics = _open_to_append(self.metrics_path)
        return False

    def append_log(self, text: str) -> None:
        self.require_in_place()
        descriptor = _open_to_append(self.log_path)
        try:
            append_whole(descriptor, f"{text}\n".encode(errors="backslashreplace"))
        finally:
            os.close(descriptor)

    def write_record(self, record: RunRecord) -> None:
        self.require_in_place()
        content = plain(record.as_json())
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(self.path / RECORD_NAME, text.encode(errors="backslashreplace") + b"\n")

    def append_event(self, event: Mapping[str, object], *, durable: bool = True) -> None:
        """Appends what `_event` made; `durable`: it is on disk on return, with all before it."""
        self.require_in_place()
        append_whole(self._metrics, _line(plain(event)))
        if durable:
            os.fsync(self._metrics)

    def save_arrays(self, file_name: str, arrays: Mapping[str, Any]) -> None:
        """Replaces an .npz file; arrays of Python objects, which take pickle, are refused."""
        import numpy as np

        self.require_in_place()
        for name, array in arrays.items():
            if np.asarray(array).dtype.hasobject:
                raise TypeError(f"Array {name!r} must hold numbers or text, received: objects.")
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(self.path / file_name, buffer.getvalue())

    def require_in_place(self) -> None:
        """Refuses to write where the folder at `path` is not the one that was opened."""
        if not self._is_in_place():
            raise FolderGone(self.path)

    def free_reserve(self) -> None:
        """Gives back the room that was set aside for the run's end."""
        if self._is_in_place():
            disk.free_reserve(self.path)

    def discard(self) -> None:
        """Takes the folder away, of a run that could not even begin."""
        if self._is_in_place():
            shutil.rmtree(self.path, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Lets go of the folder; write the last state before. Safe to call again."""
        if self._lock is not None:
            self.free_reserve()
            lock, self._lock = self._lock, None
            for descriptor in (self._metrics, lock):
                with contextlib.suppress(OSError):  # what was written is on disk already
                    os.close(descriptor)

    def _is_in_place(self) -> bool:
        if self._lock is None:
            return False
        with contextlib.suppress(OSError):
            return os.path.samestat((self.path / LOCK_NAME).stat(), os.fstat(self._lock))
        return False

    def __exit__(self, *_: object) -> None:
        self.close()


class Recorder:
    """A run's listener that writes: it keeps the record and the events, log and all."""

    def __init__(self, folder: RunFolder, record: RunRecord) -> None:
        self.folder, self.record = folder, record

    @classmethod
    def of_new_run(cls, folder: RunFolder, record: RunRecord) -> Self:
        folder.write_record(record)
        folder.append_event(_event(EventKind.STARTED, record.started, {}))
        return cls(folder, record)

    @classmethod
    def of_resumed_run(
        cls, folder: RunFolder, record: RunRecord, *, steps_done: int, changes: Sequence[str]
    ) -> Self:
        now = datetime.now(UTC)
        # Until run.json says that it runs, it is still what it was.
        what = {"steps_done": steps_done, "changes": list(changes)}
        folder.append_event(_event(EventKind.RESUMED, now, what))
        record = record.gone_on_with(now, steps_done=steps_done, changes=changes)
        folder.write_record(record)
        return cls(folder, record)

    def __call__(self, event: Event) -> None:
        """Record an event, or raise what kept it from the disk.

        Of a run's end as much as can be is written, and "completed" only where all the rest was.
        """
        match event:
            case NetworkBuilt():
                self.record = self.record.with_network(event.facts)
                self.folder.write_record(self.record)
            case StepRecord():
                self._append(EventKind.STEP, asdict(event), durable=False)
            case EpochRecord():
                self._append(EventKind.EPOCH, asdict(event))
                self.log(
                    f"epoch {event.epoch}: training loss {event.training_loss:.4f}, validation "
                    f"loss {event.validation_loss:.4f}, validation accuracy "
                    f"{event.validation_accuracy:.4f}"
                )
            case Notice():
                self._append(EventKind.NOTICE, {"message": event.message})
                self.log(f"note: {event.message}")
            case RunEnded():
                self._end(event)

    def log(self, text: str) -> None:
        self.folder.append_log(f"{time_text(datetime.now(UTC))}  {text}")

    def _append(self, kind: EventKind, what: Mapping[str, object], *, durable: bool = True) -> None:
        self.folder.append_event(_event(kind, datetime.now(UTC), what), durable=durable)

    def _end(self, end: RunEnded) -> None:
        now = datetime.now(UTC)
        record = self.record.at_end(end, now)
        ended = _event(EventKind.ENDED, now, {"state": end.status, "why": end.why})
        # On a full disk this is the room that is left.
        self.folder.free_reserve()
        writes: list[Callable[[], None]] = [
            lambda: self.folder.append_event(ended),
            lambda: self.log(end.status if end.why is None else f"{end.status}: {end.why}"),
            lambda: self.folder.write_record(record),
        ]
        trouble: list[OSError] = []
        for write in writes:
            if not trouble or end.status != RunStatus.COMPLETED:
                try:
                    write()
                except OSError as error:
                    trouble.append(error)
        if trouble:
            raise trouble[0]
        self.record = record


def create(results: Path, name: str, seed: int) -> RunFolder:
    """Makes a folder for a new run below `results` and takes its lock."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        while True:  # of two processes that draw the same id at once, one draws again
            run_id = _draw_id()
            path = results / f"{folder_name(name)}-s{seed}-{run_id}"
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                break
        try:
            return RunFolder(path, run_id)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
    except OSError as error:
        raise _not_writable(results, error) from error


def reopen(path: Path, run_id: str) -> RunFolder:
    """Takes the lock of a run that was made before."""
    try:
        return RunFolder(path, run_id)
    except OSError as error:
        why = f"{told(error, path)}. Nothing of it was changed."
        raise UserError(f"The run {path.name} can't be gone on with: {why}") from error


def check_writable(results: Path) -> None:
    """Finds out before the work begins, and leaves nothing, whether `create` could succeed."""
    try:
        existing = next(path for path in (results, *results.absolute().parents) if path.exists())
        if not existing.is_dir():
            raise NotADirectoryError(0, f"{existing} is not a folder")
        # Permissions alone don't say: the administrator has them all, where nothing can be made.
        # Where the system knows them, it is a file without a name: nothing can be left behind.
        with tempfile.TemporaryFile(dir=existing) as file:
            require_locks(file.fileno(), existing)
    except OSError as error:
        raise _not_writable(results, error) from error


def folder_name(name: str) -> str:
    r"""The part of a name that is safe as a file name on every system.

    Accents are dropped, everything but ASCII letters, digits, `.`, `_` and `-` becomes `-`,
    and none of `.`, `_`, `-` is left at the ends.

    >>> folder_name("Überraschung: ../../etc/passwd\n")
    'Uberraschung-..-..-etc-passwd'
    >>> folder_name("猫")
    'run'
    """
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_only).strip("-._")
    return safe[:_LONGEST_NAME].rstrip("-._") or "run"


def plain(value: Any) -> Any:
    """The value in JSON's own types: text for numbers that are not finite, arrays as lists.

    >>> plain({"loss": float("inf"), "epochs": (1, 2)})
    {'loss': 'Infinity', 'epochs': [1, 2]}
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else json.dumps(float(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return str(value)
    if callable(to_list := getattr(value, "tolist", None)):  # NumPy's scalars and arrays
        return plain(to_list())
    raise TypeError(f"JSON cannot hold a {type(value).__name__}: {value!r}")


def _draw_id() -> str:
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))


def _open_to_append(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)


def _event(kind: EventKind, at: datetime | None, what: Mapping[str, object]) -> dict[str, object]:
    return {"event": kind, "time": time_text(at), **what}


def _line(event: object) -> bytes:
    return json.dumps(event, allow_nan=False).encode() + b"\n"


def _not_writable(results: Path, error: OSError) -> UserError:
    if disk.is_full(error):
        return UserError(
            f"No run can begin: {told(error, results)}, or give another folder with --results DIR."
        )
    return UserError(
        f"The results folder must be a folder that can be written, received: {results} "
        f"({error.strerror or error}). Give another one with --results DIR."
    )
