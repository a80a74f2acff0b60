"""Files that somebody else may have written: read within bounds, with text made printable.

Run folders are cut off by crashes, edited by hand, and come from other people. What is wrong with
a file is a `DamageError`; nothing else is raised, whatever the file holds.
"""

import json
import math
import stat
from pathlib import Path
from typing import Any

LARGEST_FILE = 4 * 2**20  # bytes; run.json and config.yaml are some kilobytes

_LONGEST_TEXT = 300
_LARGEST_NUMBER = 1e100  # squares of it are still finite, so that means and spreads are


class DamageError(Exception):
    """What is wrong with a file."""


def content_of(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """The bytes of a regular file of at most `largest` bytes.

    Raises:
        DamageError: There is no such file, or it cannot be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise DamageError(f"{path.name} is not a file")
        if status.st_size > largest:
            raise DamageError(f"{path.name} is larger than {largest // 2**20} MiB")
        return path.read_bytes()
    except FileNotFoundError:
        raise DamageError(f"no {path.name}") from None
    except OSError as error:
        raise DamageError(f"{path.name}: {error.strerror}") from error


def json_object(content: bytes) -> dict[str, Any]:
    """The JSON object that the bytes hold, with all its text printable.

    Raises:
        DamageError: They hold none.
    """
    try:
        loaded = json.loads(content)
    except (ValueError, RecursionError):
        raise DamageError("not JSON") from None
    if not isinstance(loaded, dict):
        raise DamageError("not a JSON object")
    try:
        return {printable(key): clean(value) for key, value in loaded.items()}
    except RecursionError:
        raise DamageError("nested too deeply") from None


def clean(value: Any) -> Any:
    """The value with all its text, keys too, made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):  # Python takes NaN and 1e999
        return str(value)
    return value


def printable(text: str) -> str:
    r"""The text with everything that does not print written as an escape, cut where very long.

    Control characters, bidirectional overrides, line breaks and lone surrogates all become
    visible, so a name can neither move the cursor nor pose as another.

    >>> printable("a\x1b[2Jb\u202e")
    'a\\x1b[2Jb\\u202e'
    """
    if len(text) > _LONGEST_TEXT:
        text = text[: _LONGEST_TEXT - 1] + "…"
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def number(value: object) -> float | None:
    """A recorded number; None for what is missing, not a number, not finite or absurdly large."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not -_LARGEST_NUMBER < value < _LARGEST_NUMBER:  # false for NaN too
        return None
    return float(value)
