"""A run's listener: what training tells goes to the run's folder, its log, and the screen."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from optrun.runner.runs.run_folder import RunFolder
from optrun.runner.ui.console import Display

if TYPE_CHECKING:
    from optrun.runner.events import EpochRecord
from optrun.runner.runs.reader import COMPLETED


class Recorder:
    """Listens to one run; owns the content of its run.json."""

    def __init__(self, folder: RunFolder, display: Display, run: dict[str, object]) -> None:
        """Set up; nothing is written.

        Args:
            folder: The run's folder.
            display: The screen.
            run: The content of run.json but for what changes as it goes.
        """
        self.folder = folder
        self._display = display
        self._run = {**run, "state": "running", "why": None, "ended": None, "result": None}

    @classmethod
    def of_new_run(cls, folder: RunFolder, display: Display, facts: dict[str, object]) -> Self:
        """For a run that starts; `facts` are the fields of run.json known before."""
        started = now()
        recorder = cls(folder, display, {**facts, "started": started, "resumed": []})
        folder.write_run(recorder._run)
        folder.append_event({"event": "started", "time": started})
        return recorder

    @classmethod
    def of_resumed_run(
        cls,
        folder: RunFolder,
        display: Display,
        run: dict[str, object],
        *,
        steps_done: int,
        changes: Sequence[str],
    ) -> Self:
        """For a run that goes on.

        Args:
            folder: The run's folder.
            display: The screen.
            run: Its run.json so far.
            steps_done: Where it goes on.
            changes: What is not as it was when it started: versions, hardware.
        """
        resumption = {"time": now(), "steps_done": steps_done, "changes": list(changes)}
        before = run.get("resumed")
        history = [*(before if isinstance(before, list) else []), resumption]
        recorder = cls(folder, display, {**run, "pid": os.getpid(), "resumed": history})
        # Until run.json says that it runs, it is still what it was.
        folder.append_event({"event": "resumed", **resumption})
        folder.write_run(recorder._run)
        return recorder

    def log(self, text: str) -> None:
        """Append to log.txt, with the time."""
        self.folder.append_log(f"{now()}  {text}")

    def started(self, facts: dict[str, object]) -> None:
        """Record what is known once the network stands."""
        provenance = self._run["provenance"]
        if isinstance(provenance, dict):
            provenance.update(facts)
        self.folder.write_run(self._run)

    def step(
        self, epoch: int, step: int, loss: float, accuracy: float, images_per_second: float | None
    ) -> None:
        """Show a step."""
        self._display.step(epoch, step, loss, accuracy, images_per_second)

    def epoch(self, record: "EpochRecord") -> None:
        """Record and show an epoch."""
        self.folder.append_event({"event": "epoch", "time": now(), **asdict(record)})
        self.log(
            f"epoch {record.epoch}: training loss {record.training_loss:.4f}, validation loss "
            f"{record.validation_loss:.4f}, validation accuracy {record.validation_accuracy:.4f}"
        )
        self._display.epoch(record)

    def notice(self, message: str) -> None:
        """Record and show what a person should know."""
        self.folder.append_event({"event": "notice", "time": now(), "message": message})
        self.log(f"note: {message}")
        self._display.notice(message)

    def ended(
        self,
        state: str,
        *,
        why: str | None = None,
        result: object = None,
        divergence: Mapping[str, object] | None = None,
    ) -> None:
        """Write the run's last state.

        Args:
            state: completed, diverged, interrupted or failed.
            why: For a person, where it is not completed.
            result: The numbers of a completed run.
            divergence: Of a diverged one: step, epoch and the last finite values.

        Raises:
            OSError: Not all of it could be written; as much as could be is. A run is recorded as
                completed only where all of it was.
        """
        ended = now()
        last = {"state": state, "why": why, "ended": ended}
        content = {**self._run, **last, "result": result, "divergence": divergence}
        event = {"event": "ended", "time": ended, "state": state, "why": why}
        # On a full disk this is the room that is left.
        self.folder.free_reserve()
        writes: list[Callable[[], None]] = [
            lambda: self.folder.append_event(event),
            lambda: self.log(state if why is None else f"{state}: {why}"),
            lambda: self.folder.write_run(content),
        ]
        trouble: OSError | None = None
        for write in writes:
            if trouble is None or state != COMPLETED:
                try:
                    write()
                except OSError as error:
                    trouble = trouble or error
        if trouble is not None:
            raise trouble


def now() -> str:
    """The time in UTC, ISO 8601, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
