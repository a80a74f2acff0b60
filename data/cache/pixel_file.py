"""A .npy file of pixels that is written row by row, in any order, and grows as it is."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


class PixelFile:
    """uint8 [n, image_size, image_size, 3] in NumPy's format, with n known only at the end.

    Written as a file rather than through a memory map, since a full disk is then an error that can
    be caught rather than a signal that ends the process. Rows of an earlier build stay in it.
    Several threads may read and write at once.
    """

    def __init__(self, path: Path, image_size: int) -> None:
        path.touch()
        self._file = path.open("r+b", buffering=0)
        self._shape = (image_size, image_size, 3)
        self._row_bytes = image_size * image_size * 3
        self._lock = threading.Lock()
        self._start = self._write_header(0)

    def __enter__(self) -> "PixelFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, row: int, pixels: Pixels) -> None:
        """Writes one photo, uint8 [image_size, image_size, 3]."""
        self._write(row, np.ascontiguousarray(pixels).data.cast("B"))

    def read(self, row: int) -> Pixels:
        """Returns the photo in a row; black as far as nothing was written there."""
        # The last rows of a file that others were written past may not be there yet: zeros, as
        # those between are.
        content = self._read(row).ljust(self._row_bytes, b"\0")
        return np.frombuffer(content, np.uint8).reshape(self._shape)

    def arrange(self, rows: Sequence[int]) -> None:
        """Puts the row now at `rows[k]` at place k, for every k, and drops all others.

        In place, every row moved once: a place whose own row nobody wants takes its row from
        where that is, which frees that place, and so on. What is left are circles, which are
        opened by keeping one of their rows aside.
        """
        left = {place: row for place, row in enumerate(rows) if place != row}
        for place in sorted(left.keys() - left.values()):
            self._fill(place, left)
        while left:
            place = next(iter(left))
            aside = self._read(place)
            self._write(self._fill(place, left), aside)
        self._file.truncate(self._start + len(rows) * self._row_bytes)
        self._write_header(len(rows))

    def _fill(self, place: int, left: dict[int, int]) -> int:
        """Fills a place, then the one that its row came from, and so on; returns the last.

        What is dealt with is taken out of `left`, which says which row belongs to each place.
        """
        while True:
            row = left.pop(place)
            self._write(place, self._read(row))
            if row not in left:
                return place
            place = row

    def _write_header(self, count: int) -> int:
        """Writes the header and returns its length, which NumPy keeps the same for any count."""
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": "|u1", "fortran_order": False, "shape": (count, *self._shape)}
        )
        return self._file.tell()

    def _write(self, row: int, content: bytes | memoryview) -> None:
        rest = memoryview(content)
        with self._lock:
            self._file.seek(self._start + row * self._row_bytes)
            while rest:
                rest = rest[self._file.write(rest) :]

    def _read(self, row: int) -> bytes:
        with self._lock:
            self._file.seek(self._start + row * self._row_bytes)
            return self._file.read(self._row_bytes)
