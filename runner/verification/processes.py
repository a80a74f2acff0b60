"""Trainings as processes of their own: started, listened to, killed, and never left behind."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

COMMAND = (sys.executable, "-P", "-m", "optrun.runner.verification.child")

BEGUN, STEP, EPOCH = "run", "step", "epoch"


@dataclass(frozen=True)
class Event:
    """One thing that a training told.

    Attributes:
        kind: BEGUN when a run begins or goes on, STEP after a step, EPOCH after an evaluation.
        at: When it was heard, on the monotonic clock, in seconds.
        steps_done: Steps of the run that are done.
        steps_per_epoch: Batches in an epoch of the run.
        epochs: Epochs of the run.
    """

    kind: str
    at: float
    steps_done: int
    steps_per_epoch: int
    epochs: int

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.epochs

    @property
    def ends_epoch(self) -> bool:
        """Whether the evaluation of an epoch comes next."""
        return self.kind == STEP and self.steps_done % self.steps_per_epoch == 0


@dataclass
class Heard:
    """What a training has told so far; written by one thread, read by another."""

    events: list[Event] = field(default_factory=list)

    @property
    def last(self) -> Event | None:
        return self.events[-1] if self.events else None

    def take(self, line: bytes) -> None:
        """Add a line of the training's; anything that is no event is passed over."""
        try:
            told = json.loads(line)
            kind = told["event"]
        except (ValueError, KeyError, TypeError):
            return
        now, last = time.monotonic(), self.last
        if kind == BEGUN:
            per_epoch, epochs, done = (
                told["steps_per_epoch"],
                told["epochs"],
                told["steps_done"],
            )
        elif last is not None and kind in (STEP, EPOCH):
            per_epoch, epochs = last.steps_per_epoch, last.epochs
            done = last.steps_done
            if kind == STEP:
                done = (told["epoch"] - 1) * per_epoch + told["step"]
        else:
            return
        self.events.append(Event(kind, now, done, per_epoch, epochs))


class Training:
    """A process that trains; leaving its `with` block ends it.

    Attributes:
        heard: What it has told.
        started: When it was started, in seconds since the epoch.
        log: What it has shown.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log: Path,
        cache: Path,
        program: Sequence[str] = COMMAND,
    ) -> None:
        """Start it.

        Args:
            arguments: Those of `optrun`.
            log: File that what it shows is appended to.
            cache: Its folder of decoded photos.
            program: What to run with these arguments.
        """
        self.heard = Heard()
        self.started = time.time()
        self.log = log
        with log.open("ab") as shown:
            self._process = subprocess.Popen(
                [*program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=shown,
                env={**os.environ, "OPTRUN_CACHE": str(cache)},
                # Ctrl-C is for us alone: what we started, we end.
                start_new_session=True,
            )
        assert self._process.stdout is not None  # noqa: S101 (for the type checker)
        self._listener = threading.Thread(
            target=_listen, args=(self._process.stdout, self.heard), daemon=True
        )
        self._listener.start()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        """Wait for its end; returns the exit code, negative for a signal's number."""
        # In slices, so that a signal's handler runs in between on every system.
        while self.is_running:
            time.sleep(0.02)
        self._listener.join()
        return self._process.wait()

    def kill(self) -> None:
        """SIGKILL: it gets no chance to do anything more."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
        self._process.wait()
        self._listener.join()

    def last_lines(self, count: int = 12) -> str:
        """The end of what it has shown."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.rstrip().splitlines()[-count:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()


def _listen(stream: IO[bytes], heard: Heard) -> None:
    with stream:
        for line in stream:
            heard.take(line)


def gaps(events: Sequence[Event], before: str, after: str) -> Iterator[float]:
    """Seconds between neighbouring events of two kinds."""
    for one, next_one in itertools.pairwise(events):
        if one.kind == before and next_one.kind == after:
            yield next_one.at - one.at
