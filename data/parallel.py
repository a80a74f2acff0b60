"""Work on many photos at once, on all cores and in little memory."""

import os
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from PIL import Image

# Encoded photos that were read and wait to be worked on, and pixels that are being worked on. A
# photo larger than this is worked on while no other is.
_WAITING_BYTES = 64 * 1024**2
DECODING_BYTES = 256 * 1024**2
_WAITING_PER_WORKER = 4  # small items wait in numbers that keep all cores busy

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_order(
    items: Iterable[_Item], bytes_of: Callable[[_Item], int], work: Callable[[_Item], _Result]
) -> Iterator[tuple[_Item, _Result]]:
    """Yields each item and what `work` makes of it in a thread, in order, working on all cores.

    Items are taken as they are needed, a few ahead; `bytes_of` says how much memory one takes.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    # While one thread waits, for the disk or for TensorFlow's own threads, another works.
    workers = 2 * cores
    waiting: deque[tuple[_Item, Future[_Result]]] = deque()
    waiting_bytes, most = 0, workers * _WAITING_PER_WORKER
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        # An image of excessive size is a reason to leave it out, not a line on the screen.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                waiting_bytes += bytes_of(item)
                while waiting_bytes > _WAITING_BYTES or len(waiting) > most:
                    done, future = waiting.popleft()
                    waiting_bytes -= bytes_of(done)
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


class Memory:
    """A number of bytes that threads share: who takes more than is left waits for the others."""

    def __init__(self, total: int) -> None:
        self._total = self._left = total
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Holds this many bytes; who wants more than there is gets all."""
        size = min(size, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()
