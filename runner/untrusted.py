"""Files that somebody else may have written: read within bounds, with text made printable.

Run folders are cut off by crashes, edited by hand, and come from other people. What is wrong with
a file is a `DamageError`; nothing else is raised, whatever the file holds.
"""

import contextlib
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from optrun.data import printable as printable_text

LARGEST_FILE = 4 * 2**20  # bytes; run.json and config.yaml are some kilobytes

_LONGEST_TEXT = 300
_MOST_VALUES = 10_000  # of a JSON object; a run.json has some 200
_DEEPEST = 50  # levels
_LARGEST_NUMBER = 1e100  # squares of it are still finite, so that means and spreads are


class DamageError(Exception):
    """What is wrong with a file."""


def content_of(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """The bytes of a regular file of at most `largest` bytes."""
    with regular_file(path) as file:
        # No more than is allowed, whatever its size is said to be: files of /proc are said to be
        # empty.
        content, said = b"", os.fstat(file.fileno()).st_size
        if said <= largest:
            content = file.read(said + 1)  # room for all that may be read takes time to make
            if len(content) > said:
                content += file.read(largest + 1 - len(content))
        if len(content) > largest or os.fstat(file.fileno()).st_size > largest:
            size = f"{largest // 2**20} MiB" if largest >= 2**20 else f"{largest // 2**10} KiB"
            raise DamageError(f"{path.name} is larger than {size}")
        return content


@contextlib.contextmanager
def regular_file(path: Path) -> Iterator[BinaryIO]:
    """A regular file, opened to be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a device can do anything
            raise DamageError(f"{path.name} is not a file")
        # Should it have become a pipe since, opening it must not wait.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            yield file
    except FileNotFoundError:
        raise DamageError(f"no {path.name}") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise DamageError(f"{path.name}: {getattr(error, 'strerror', None) or error}") from error


def mapping(value: object) -> Mapping[str, Any]:
    """The value where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def json_object(content: bytes, most_values: int = _MOST_VALUES) -> dict[str, Any]:
    """The JSON object that the bytes hold, with all its text printable."""
    # Counted before it is parsed at all, which takes memory; text may hold these marks, too.
    commas, *opened = map(content.count, (b",", b"[", b"{"))
    marks = commas + sum(opened)
    if marks > 10 * most_values:
        raise DamageError(f"more than {most_values:,} values")
    try:
        loaded = _DECODER.decode(content.decode(json.detect_encoding(content), "surrogatepass"))
    except (ValueError, RecursionError):
        raise DamageError("not JSON") from None
    if not isinstance(loaded, dict):
        raise DamageError("not a JSON object")
    # Each value but the outermost follows one of these marks: few of them are few values.
    is_small = marks < most_values and sum(opened) <= _DEEPEST
    if not is_small and _count(loaded, _DEEPEST) > most_values:
        raise DamageError(f"more than {most_values:,} values")
    if _is_plain(content):
        return loaded
    return {printable(key): clean(value) for key, value in loaded.items()}


def _finite(text: str) -> float | str:
    """The number of a JSON file; Python takes NaN, too, and makes 1e999 infinite."""
    value = float(text)
    return value if math.isfinite(value) else str(value)


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def _is_plain(content: bytes) -> bool:
    """Whether all text in a JSON file is printable and short as it stands there.

    Then there is nothing to clean, which takes longer than reading it. Without NUL what is ASCII is
    UTF-8, and JSON allows no other control character within text than DEL, but escaped.
    """
    return (
        content.isascii()
        and not any(sign in content for sign in (b"\\", b"\0", b"\x7f"))
        and max(map(len, content.split(b'"'))) <= _LONGEST_TEXT
    )


def _count(value: Any, levels: int) -> int:
    """The values in a tree of at most so many levels."""
    if not isinstance(value, (dict, list)):
        return 1
    if levels == 0:
        raise DamageError("nested too deeply")
    children = value.values() if isinstance(value, dict) else value
    return 1 + sum(_count(child, levels - 1) for child in children)


def clean(value: Any) -> Any:
    """The value as plain JSON can hold it, with all its text, keys too, made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):  # Python takes NaN and 1e999
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return printable(str(value))  # YAML has dates, too


def printable(text: str, longest: int = _LONGEST_TEXT) -> str:
    """The text as `optrun.data.printable` makes it fit to be shown, cut where very long."""
    return printable_text.printable(text, longest, strict=True)


def number(value: object) -> float | None:
    """A recorded number; None for what is missing, not a number, not finite or absurdly large."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not -_LARGEST_NUMBER < value < _LARGEST_NUMBER:  # false for NaN too
        return None
    return float(value)


def typed_number(text: object) -> float | None:
    """A setting that is a number, as a person typed it."""
    try:
        value = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def whole(value: object) -> int | None:
    """A recorded count; None for what is no whole number from 0, or absurdly large."""
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return value if is_count and 0 <= value < 2**53 else None  # type: ignore[operator, return-value]


def time_of(value: object) -> datetime | None:
    """A recorded time; None for what is none."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
