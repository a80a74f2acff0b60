"""SIGINT, SIGTERM, SIGHUP: the first ends a run tidily, the second at once; neither waits for ever.

Python runs a signal's handler in the main thread, between two of its own instructions, and so not
before TensorFlow returns from a step that takes a minute. The system's part of the handler writes
to a socket in the same instant, though, and a thread of ours reads it.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

# The promise is ten seconds, from the signal to the end of the process.
GRACE_S = 8.0
# SIGHUP: the terminal was closed, or the person logged out.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CLOSED = 0  # no signal: the other end is closed
_SHOW_CURSOR = "\x1b[?25h"


class Interrupted(KeyboardInterrupt):
    """The person, or the system, asked the program to stop."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it: 130 for Ctrl-C, 143 SIGTERM, 129 SIGHUP."""
        return 128 + self.signal_number


class Stops:
    """What has been asked so far."""

    def __init__(self) -> None:
        self.requested: int | None = None  # the first signal that came
        self._abandon: Callable[[], None] | None = None  # where they are deferred

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self.requested is not None:
            raise Interrupted(self.requested)

    @contextlib.contextmanager
    def deferred(self, abandon: Callable[[], None]) -> Iterator[None]:
        """Within, a signal interrupts nothing: whoever works here calls `check` where it can stop.

        Where nobody has after `GRACE_S` seconds, `abandon` is called from another thread, right
        before the process ends.
        """
        self.check()
        self._abandon = abandon
        try:
            yield
        finally:
            self._abandon = None

    def handle(self, signal_number: int, _: FrameType | None) -> None:
        self.requested = self.requested or signal_number
        if self._abandon is None:
            raise Interrupted(self.requested)

    def watch(self, heard: socket.socket) -> None:
        """Read signals until the other end is closed; runs in a thread of its own."""
        first = _next_signal(heard, None)
        if not first:
            return
        self.requested = self.requested or first
        second = _next_signal(heard, GRACE_S)
        if second == _CLOSED:
            return
        # A second signal quits at once; without one, time is up.
        if second is None and self._abandon is not None:
            with contextlib.suppress(OSError):
                self._abandon()
        if sys.stdout.isatty():
            sys.stdout.write(_SHOW_CURSOR)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(128 + self.requested)


def _next_signal(heard: socket.socket, timeout_s: float | None) -> int | None:
    """Returns the next signal's number, `_CLOSED` when none will come, None when time is up."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([heard], [], [], left)
        if not ready:
            return None
        byte = heard.recv(1)
        if not byte:
            return _CLOSED
        if byte[0] in _SIGNALS:
            return byte[0]


@contextlib.contextmanager
def signals_heard() -> Iterator[Stops]:
    """Hear the signals for as long as this lasts; outside `deferred` they interrupt at once.

    One that is ignored, as `nohup` has SIGHUP, stays ignored.

    To be called from the main thread, like everything about signals.
    """
    stops = Stops()
    heard, written = socket.socketpair()
    written.setblocking(False)
    wakeup_before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    heeded = [one for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, stops.handle) for number in heeded}
    watcher = threading.Thread(target=stops.watch, args=(heard,), daemon=True)
    watcher.start()
    try:
        yield stops
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup_before)
        written.close()
        watcher.join()
        heard.close()
