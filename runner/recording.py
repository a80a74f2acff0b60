"""A run's listener: what training tells goes to the run's folder, its log, and the screen."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Self

from runner.callbacks import EpochRecord
from runner.display import Display
from runner.run_folder import RunFolder


class Recorder:
    """Listens to one run; owns the content of its run.json."""

    def __init__(self, folder: RunFolder, display: Display, run: dict[str, object]) -> None:
        """Write the run as running.

        Args:
            folder: The run's folder.
            display: The screen.
            run: The content of run.json but for what changes as it goes.
        """
        self.folder = folder
        self._display = display
        self._run = {**run, "state": "running", "why": None, "ended": None, "result": None}
        folder.write_run(self._run)

    @classmethod
    def of_new_run(cls, folder: RunFolder, display: Display, facts: dict[str, object]) -> Self:
        """For a run that starts; `facts` are the fields of run.json known before."""
        started = now()
        recorder = cls(folder, display, {**facts, "started": started, "resumed": []})
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
        folder.append_event({"event": "resumed", **resumption})
        return recorder

    def log(self, text: str) -> None:
        """Append to log.txt, with the time."""
        with self.folder.log_path.open("a", encoding="utf-8") as log:
            log.write(f"{now()}  {text}\n")

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

    def epoch(self, record: EpochRecord) -> None:
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

    def ended(self, state: str, *, why: str | None = None, result: object = None) -> None:
        """Write the run's last state: completed, diverged, interrupted or failed."""
        ended = now()
        self._run.update(state=state, why=why, ended=ended, result=result)
        self.folder.append_event({"event": "ended", "time": ended, "state": state, "why": why})
        self.log(state if why is None else f"{state}: {why}")
        self.folder.write_run(self._run)


def now() -> str:
    """The time in UTC, ISO 8601, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
