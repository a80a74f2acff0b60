"""Writing a run: one folder of plain files, made once and written by one process.

    results/<name>-s<seed>-<id>/
        config.yaml       the resolved configuration
        optimizer.py      the person's own optimizer, where it is one, as it was trained with
        run.json          what the run is, how it stands, how it ended; replaced whole
        metrics.jsonl     one event a line, appended
        predictions.npz   arrays by photo id, no pickle
        log.txt           the run's log
        checkpoint/best/  the weights of the best epoch
        checkpoint/last/  all that it takes to go on from the last checkpoint
        writer.lock       held by the writing process for as long as it lives

JSON has no word for numbers that are not finite. They are written as the strings "NaN",
"Infinity" and "-Infinity", as Protocol Buffers do: every strict JSON reader takes the file, and
`float()` takes the strings.
"""

import io
import json
import math
import os
import re
import secrets
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from runner import checkpoint_places
from runner.atomic import write_atomically
from runner.errors import UserError
from runner.writer_lock import LOCK_NAME, acquire

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FORMAT = 1

# Without the look-alikes 0 o 1 l i, and lower case only: some file systems do not tell case apart.
_ID_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_ID_LENGTH = 6
_LONGEST_NAME = 100


class RunFolder:
    """The folder of one run, held by this process until `close` or its death.

    Attributes:
        path: The folder.
        id: The run's short random id, as in the folder's name.
    """

    def __init__(self, path: Path, run_id: str, lock: int) -> None:
        self.path = path
        self.id = run_id
        self._lock: int | None = lock
        self._metrics = (path / "metrics.jsonl").open("ab")

    @property
    def config_path(self) -> Path:
        return self.path / "config.yaml"

    @property
    def log_path(self) -> Path:
        return self.path / "log.txt"

    @property
    def best_checkpoint_path(self) -> Path:
        return checkpoint_places.best(self.path)

    @property
    def last_checkpoint_path(self) -> Path:
        return checkpoint_places.last(self.path)

    def metrics_bytes(self) -> int:
        """How long metrics.jsonl is."""
        return self._metrics.tell()

    def cut_metrics(self, length: int) -> None:
        """Drops what was appended to metrics.jsonl after its first `length` bytes."""
        self._metrics.truncate(min(length, self._metrics.seek(0, os.SEEK_END)))
        self._metrics.seek(0, os.SEEK_END)

    def write_config(self, text: str) -> None:
        """Replaces config.yaml."""
        write_atomically(self.config_path, text.encode())

    def write_code(self, name: str, content: bytes) -> None:
        """Writes the file of a person's own optimizer, which config.yaml may name."""
        write_atomically(self.path / name, content)

    def write_run(self, run: Mapping[str, object]) -> None:
        """Replaces run.json; the format and the id are added."""
        content = {"format": FORMAT, "id": self.id} | plain(run)
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(self.path / "run.json", text.encode(errors="backslashreplace") + b"\n")

    def append_event(self, event: Mapping[str, object]) -> None:
        """Appends one line to metrics.jsonl, in the operating system's hands on return."""
        self._metrics.write(json.dumps(plain(event), allow_nan=False).encode() + b"\n")
        self._metrics.flush()

    def save_predictions(self, arrays: "Mapping[str, ArrayLike]") -> None:
        """Replaces predictions.npz.

        Args:
            arrays: By name, such as `test_ids` (text), `test_labels`, `test_probabilities`.

        Raises:
            TypeError: An array holds Python objects, which could be stored by pickle only.
        """
        import numpy as np

        checked: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
        for name, array in checked.items():
            if array.dtype.hasobject:
                raise TypeError(f"Array {name!r} must hold numbers or text, received: objects.")
        buffer = io.BytesIO()
        np.savez(buffer, **checked)
        write_atomically(self.path / "predictions.npz", buffer.getvalue())

    def close(self) -> None:
        """Lets go of the folder; write the last state before. Safe to call again."""
        if self._lock is not None:
            self._metrics.close()
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def create(results: Path, name: str, seed: int) -> RunFolder:
    """Makes a folder for a new run and takes its lock.

    `mkdir` is atomic, so of two processes that draw the same id in the same instant one draws
    again.

    Args:
        results: The folder of all runs, made where it is missing.
        name: The experiment's name; `folder_name` says what becomes of it.
        seed: The run's seed.

    Raises:
        UserError: The results folder cannot be made or written.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        path, run_id = _make_folder(results, f"{folder_name(name)}-s{seed}")
        return RunFolder(path, run_id, acquire(path / LOCK_NAME))
    except OSError as error:
        raise _not_writable(results, error) from error


def reopen(path: Path, run_id: str) -> RunFolder:
    """Takes the lock of a run that was made before, to go on writing it.

    Raises:
        RunHeldError: Another process is writing it.
        UserError: It cannot be written.
    """
    try:
        return RunFolder(path, run_id, acquire(path / LOCK_NAME))
    except OSError as error:
        raise UserError(f"The run can't be written: {path} ({error.strerror or error}).") from error


def check_writable(results: Path) -> None:
    """Finds out before the work begins, and changes nothing, whether `create` could succeed.

    Raises:
        UserError: The results folder, or the nearest folder above it that exists, is not a
            folder or cannot be written.
    """
    try:
        existing = next(path for path in (results, *results.absolute().parents) if path.exists())
    except OSError as error:
        raise _not_writable(results, error) from error
    if not existing.is_dir():
        raise _not_writable(results, NotADirectoryError(0, f"{existing} is not a folder"))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _not_writable(results, PermissionError(0, f"no permission to write in {existing}"))


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

    Raises:
        TypeError: JSON cannot hold the value.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return str(value)
    if callable(to_list := getattr(value, "tolist", None)):  # NumPy's scalars and arrays
        return plain(to_list())
    raise TypeError(f"JSON cannot hold a {type(value).__name__}: {value!r}")


def _make_folder(results: Path, stem: str) -> tuple[Path, str]:
    while True:
        run_id = _draw_id()
        path = results / f"{stem}-{run_id}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path, run_id


def _draw_id() -> str:
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))


def _not_writable(results: Path, error: OSError) -> UserError:
    return UserError(
        f"The results folder must be a folder that can be written, received: {results} "
        f"({error.strerror or error}). Give another one with --results DIR."
    )
