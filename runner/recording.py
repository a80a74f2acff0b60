"""A run's listener: what training tells goes to the run's folder, its log, and the screen."""

from dataclasses import asdict
from datetime import UTC, datetime

from runner.callbacks import EpochRecord
from runner.display import Display
from runner.run_folder import RunFolder


class Recorder:
    """Listens to one run; owns the content of its run.json."""

    def __init__(self, folder: RunFolder, display: Display, facts: dict[str, object]) -> None:
        """Write the run as running.

        Args:
            folder: The run's folder.
            display: The screen.
            facts: The fields of run.json known before the start.
        """
        self.folder = folder
        self._display = display
        self._run: dict[str, object] = {
            **facts,
            "state": "running",
            "why": None,
            "started": now(),
            "ended": None,
            "result": None,
        }
        folder.write_run(self._run)
        folder.append_event({"event": "started", "time": self._run["started"]})

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
