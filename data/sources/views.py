"""Bytes at a position: of a file, of a part of one, and of what is compressed within.

So an archive within an archive is read where it lies, without unpacking it to disk or to memory.
"""

import bz2
import io
import os
import stat
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

PIECE_BYTES = 1024**2
_WINDOW_PIECES = 16
_MAXIMUM_RESTARTS = 16

STORED, DEFLATED, BZIP2 = 0, 8, 12  # compression methods, as zip archives number them
METHODS = (STORED, DEFLATED, BZIP2)


class UnreadableError(Exception):
    """The bytes of one file can't be had; the message is the reason, in a few words."""


class View(Protocol):
    """A sequence of bytes that can be read at any position."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read_at(self, position: int, count: int) -> bytes:
        """Returns `count` bytes, or fewer where they end before."""

    def twin(self) -> "View":
        """Returns a view of the same bytes whose reading does not slow down that of this one."""


class FileView:
    """The bytes of an open file."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def read_at(self, position: int, count: int) -> bytes:
        # An archive may claim any position, also one that is beyond what the system can count.
        if position >= self.size:
            return b""
        self._file.seek(position)
        return self._file.read(count)

    def twin(self) -> View:
        return self

    def state(self) -> tuple[int, ...]:
        """Returns what differs after the file has been changed."""
        return state_of(os.fstat(self._file.fileno()))


class PartView:
    """`size` bytes of another view, from `start` on."""

    def __init__(self, whole: View, start: int, size: int) -> None:
        self._whole = whole
        self._start = start
        self.size = size

    def read_at(self, position: int, count: int) -> bytes:
        return self._whole.read_at(self._start + position, max(min(count, self.size - position), 0))

    def twin(self) -> View:
        return PartView(self._whole.twin(), self._start, self.size)


class DecompressedView:
    """What compressed bytes hold: cheap to read forward, and within the last 16 MiB.

    Anything before is decompressed again from the start. That is allowed a few times only, or an
    archive whose entries lie backwards would take time with the square of its size.

    Args:
        compressed: The compressed bytes.
        method: One of `METHODS`.
        size: How many bytes they decompress to; no more are taken.
    """

    def __init__(self, compressed: View, method: int, size: int) -> None:
        self._compressed = compressed
        self._method = method
        self.size = size
        self._restarts = -1
        self._restart()

    def read_at(self, position: int, count: int) -> bytes:
        content = bytearray()
        end = min(position + count, self.size)
        while position + len(content) < end:
            piece = self._kept(position + len(content), end - position - len(content))
            if not piece:
                break
            content += piece
        return bytes(content)

    def twin(self) -> View:
        return DecompressedView(self._compressed.twin(), self._method, self.size)

    def _restart(self) -> None:
        self._restarts += 1
        if self._restarts > _MAXIMUM_RESTARTS:
            raise UnreadableError("its entries are not in the order in which they are listed")
        self._pieces = decompressed(self._compressed, self._method)
        self._window: deque[bytes] = deque()
        self._window_start = self._window_end = 0

    def _kept(self, position: int, count: int) -> bytes:
        """Returns up to `count` bytes from `position` on, after having moved the window there."""
        if position < self._window_start:
            self._restart()
        while position >= self._window_end:
            piece = next(self._pieces, b"")
            if not piece:
                return b""
            self._window.append(piece)
            self._window_end += len(piece)
            if len(self._window) > _WINDOW_PIECES:
                self._window_start += len(self._window.popleft())
        start = self._window_end
        for piece in reversed(self._window):
            start -= len(piece)
            if position >= start:
                return piece[position - start : position - start + count]
        return b""


class _Inflate:
    """zlib's decompressor with the interface that bz2's has."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(-zlib.MAX_WBITS)  # negative: without zlib's own header

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def decompressed(compressed: View, method: int) -> Iterator[bytes]:
    """Yields what `compressed` holds, in pieces of at most 1 MiB.

    Ends without an error where the compressed bytes end too early: whoever asks knows the size.

    Raises:
        UnreadableError: If the bytes can't be decompressed.
    """
    position = 0
    if method == STORED:
        while piece := compressed.read_at(position, PIECE_BYTES):
            position += len(piece)
            yield piece
        return
    decompressor = bz2.BZ2Decompressor() if method == BZIP2 else _Inflate()
    try:
        while not decompressor.eof:
            data = b""
            if wants_more := decompressor.needs_input:
                data = compressed.read_at(position, PIECE_BYTES)
                position += len(data)
            piece = decompressor.decompress(data, PIECE_BYTES)
            if piece:
                yield piece
            elif wants_more and not data:
                return
    except (zlib.error, OSError) as error:
        raise UnreadableError("damaged in the archive: it can't be decompressed") from error


def open_regular(path: str) -> io.FileIO:
    """Opens a regular file to read, and nothing else: a pipe or a device could block for ever.

    Raises:
        UnreadableError: If it is another kind of file, or may not be read.
    """
    try:
        _require_regular(Path(path).stat())
        # Between the two looks, somebody may have put a pipe there: without waiting, it shows.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = io.FileIO(os.open(path, flags), "rb")
    except (OSError, ValueError) as error:
        raise UnreadableError(cannot_be_read(error)) from error
    try:
        _require_regular(os.fstat(file.fileno()))
    except UnreadableError:
        file.close()
        raise
    return file


def state_of(file: os.stat_result) -> tuple[int, ...]:
    """Returns what differs after a file has been changed or replaced."""
    return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns


def cannot_be_read(error: OSError | ValueError) -> str:
    """Returns the reason that a failed look at a file gives."""
    return f"can't be read: {getattr(error, 'strerror', None) or error}"


def _require_regular(state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise UnreadableError("a pipe, a device or a socket, not a file")
