"""A file whose SHA-256 is known when it is written, without reading it again."""

import hashlib
import queue
import threading
from types import TracebackType
from typing import BinaryIO, Self

# Pieces that wait to be hashed, of some 16 MB each as NumPy writes them.
_MOST_WAITING = 4


class HashedFile:
    """Hands what is written on to a file, and hashes it in a thread of its own meanwhile.

    Hashing and writing take about as long as each other, and neither holds Python's lock. The hash
    is that of what was to be written: a disk that kept something else is found out. The file can
    only be written from its beginning to its end, which `zipfile` and so `np.savez` are content
    with.

    Attributes:
        bytes: How many were written.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Set up.

        Args:
            file: Open for writing, at its beginning.
        """
        self.bytes = 0
        self._file = file
        self._sha256 = hashlib.sha256()
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._hash, daemon=True)
        self._thread.start()

    def write(self, piece: bytes) -> int:
        """Write a piece; returns its length."""
        self._waiting.put(bytes(piece))  # no copy where it is bytes already
        self._file.write(piece)
        self.bytes += len(piece)
        return len(piece)

    def flush(self) -> None:
        """Give the system what was written."""
        self._file.flush()

    def read(self, size: int = -1) -> bytes:
        """Raise: NumPy takes for a file only what has this method."""
        raise OSError("this file is for writing")

    def sha256(self) -> str:
        """The hash of all that was written, in hexadecimal digits; nothing may follow."""
        self._end()
        return self._sha256.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _hash(self) -> None:
        while (piece := self._waiting.get()) is not None:
            self._sha256.update(piece)

    def _end(self) -> None:
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()
