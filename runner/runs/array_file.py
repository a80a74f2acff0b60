"""Files of NumPy arrays (`.npz`) that somebody else may have written, read with care.

What reading takes is bounded by the size of the file on disk: arrays are stored as they are, so an
archive that would unpack to more than it holds is none that a run wrote.
"""

import struct
import tokenize
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from optrun.runner.untrusted import DamageError, regular_file

# What reading, NumPy and zipfile raise over bytes that no run wrote: archives cut off, members that
# are encrypted or of a later version, headers that are no Python literal, sizes of terabytes.
DAMAGE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError),
    *(zipfile.BadZipFile, MemoryError, OverflowError, RuntimeError, SyntaxError),
    *(struct.error, tokenize.TokenError, DamageError),
)


def require_stored(path: Path) -> None:
    """Refuses, by a `DamageError`, what is no archive, or holds anything compressed."""
    with regular_file(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                kinds = {member.compress_type for member in archive.infolist()}
        except DAMAGE as error:
            raise DamageError(f"{path.name} is damaged") from error
    if kinds - {zipfile.ZIP_STORED}:
        raise DamageError(f"{path.name} is compressed, which no run writes")


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file, none of them Python objects, or a `DamageError`."""
    require_stored(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except DAMAGE as error:
        raise DamageError(f"{path.name} is damaged") from error
