"""SIGINT, SIGTERM, SIGHUP: the first ends a run tidily, the second at once; neither waits for ever.

Python runs a signal's handler in the main thread, between two of its own instructions, and so not
before TensorFlow returns from a step that takes a minute. The system's part of the handler writes
to a socket in the same instant, though, and a thread of ours reads it. The same thread finds out
how long the process was stopped (Ctrl-Z), which no clock is to count: it looks at the time now and
then, and SIGCONT says that the last look was long ago because nothing ran.
"""

import contextlib
import math
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
_LOOK_S = 0.1  # how often the thread looks at the time
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
        self.suspended_s = 0.0  # for how long the process was stopped, all in all
        self._counted = threading.Event()  # that `suspended_s` is up to date
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

    def go_on(self, _: int, __: FrameType | None) -> None:
        """After a stop, have the main thread look at no clock before the other has counted it."""
        self._counted.wait(timeout=10 * _LOOK_S)
        self._counted.clear()

    def watch(self, heard: socket.socket) -> None:
        """Read signals until the other end is closed; runs in a thread of its own."""
        first = self._next_signal(heard, None)
        if not first:
            return
        self.requested = self.requested or first
        second = self._next_signal(heard, GRACE_S)
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

    def _next_signal(self, heard: socket.socket, timeout_s: float | None) -> int | None:
        """The next signal that ends; `_CLOSED` when none will come, None when time is up."""
        last, gap = time.monotonic(), 0.0
        deadline = math.inf if timeout_s is None else last + timeout_s
        while last < deadline:
            ready, _, _ = select.select([heard], [], [], min(_LOOK_S, deadline - last))
            before, last = last, time.monotonic()
            # Once the process goes on, the time may be up before the signal is written.
            gap = max(last - before - _LOOK_S, gap if ready else 0.0)
            if not ready:
                continue
            byte = heard.recv(1)
            if not byte:
                return _CLOSED
            if byte[0] in _SIGNALS:
                return byte[0]
            if byte[0] == signal.SIGCONT:
                self.suspended_s, gap = self.suspended_s + gap, 0.0
                self._counted.set()
        return None


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
    handlers[signal.SIGCONT] = signal.signal(signal.SIGCONT, stops.go_on)
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
