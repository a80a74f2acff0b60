"""A .npy file of pixels that is written row by row, in any order, and grows as it is."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt


class PixelFile:
    """uint8 [n, image_size, image_size, 3] in NumPy's format, with n known only at the end.

    Written as a file rather than through a memory map, since a full disk is then an error that can
    be caught rather than a signal that ends the process.

    Args:
        path: Where the file is made.
        image_size: Side of the photos in pixels.
    """

    def __init__(self, path: Path, image_size: int) -> None:
        self._file = path.open("w+b")
        self._shape = (image_size, image_size, 3)
        self._row_bytes = image_size * image_size * 3
        self._start = self._write_header(0)

    def __enter__(self) -> "PixelFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, row: int, pixels: npt.NDArray[np.uint8]) -> None:
        """Writes one photo, uint8 [image_size, image_size, 3]."""
        self._file.seek(self._start + row * self._row_bytes)
        self._file.write(np.ascontiguousarray(pixels).data)

    def arrange(self, rows: Sequence[int]) -> None:
        """Puts the row now at `rows[k]` at place k, for every k, and drops all others.

        In place: row after row is exchanged with the one that belongs there. What lay at a place
        already dealt with is now where its exchange has put it, which may be such a place again.

        Args:
            rows: Different rows that have been written.
        """
        moved_from = list(rows)
        for place, row in enumerate(rows):
            while row < place:
                row = moved_from[row]
            moved_from[place] = row
            if row != place:
                wanted, displaced = self._read(row), self._read(place)
                self._write(place, wanted)
                self._write(row, displaced)
        self._file.truncate(self._start + len(moved_from) * self._row_bytes)
        self._write_header(len(moved_from))

    def _read(self, row: int) -> bytes:
        self._file.seek(self._start + row * self._row_bytes)
        # The last rows of a file that others were written past may not be there yet: zeros, as
        # those between are.
        return self._file.read(self._row_bytes).ljust(self._row_bytes, b"\0")

    def _write(self, row: int, content: bytes) -> None:
        self._file.seek(self._start + row * self._row_bytes)
        self._file.write(content)

    def _write_header(self, count: int) -> int:
        """Writes the header and returns its length, which NumPy keeps the same for any count."""
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(
            self._file,
            {"descr": "|u1", "fortran_order": False, "shape": (count, *self._shape)},
        )
        return self._file.tell()
