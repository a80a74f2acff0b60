"""A run's listener that writes: what a run tells goes to its folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Self

from optrun.runner.events import EpochRecord, Event, NetworkBuilt, Notice, RunEnded, StepRecord
from optrun.runner.runs.event_log import EventKind, event_of
from optrun.runner.runs.record import RunRecord, RunStatus, time_text
from optrun.runner.runs.run_folder import RunFolder


class Recorder:
    """Keeps a run's record and its events, log and all."""

    def __init__(self, folder: RunFolder, record: RunRecord) -> None:
        self.folder = folder
        self.record = record

    @classmethod
    def of_new_run(cls, folder: RunFolder, record: RunRecord) -> Self:
        recorder = cls(folder, record)
        folder.write_record(record)
        folder.append_event(event_of(EventKind.STARTED, record.started, {}))
        return recorder

    @classmethod
    def of_resumed_run(
        cls, folder: RunFolder, record: RunRecord, *, steps_done: int, changes: Sequence[str]
    ) -> Self:
        now = datetime.now(UTC)
        recorder = cls(folder, record.gone_on_with(now, steps_done=steps_done, changes=changes))
        # Until run.json says that it runs, it is still what it was.
        what = {"steps_done": steps_done, "changes": list(changes)}
        folder.append_event(event_of(EventKind.RESUMED, now, what))
        folder.write_record(recorder.record)
        return recorder

    def __call__(self, event: Event) -> None:
        """Record an event, or raise what kept it from the disk.

        Of a run's end as much as can be is written, and "completed" only where all the rest was.
        """
        match event:
            case NetworkBuilt():
                self.record = self.record.with_network(event.facts)
                self.folder.write_record(self.record)
            case StepRecord():
                self._append(EventKind.STEP, asdict(event), durable=False)
            case EpochRecord():
                self._append(EventKind.EPOCH, asdict(event))
                self.log(
                    f"epoch {event.epoch}: training loss {event.training_loss:.4f}, validation "
                    f"loss {event.validation_loss:.4f}, validation accuracy "
                    f"{event.validation_accuracy:.4f}"
                )
            case Notice():
                self._append(EventKind.NOTICE, {"message": event.message})
                self.log(f"note: {event.message}")
            case RunEnded():
                self._end(event)

    def log(self, text: str) -> None:
        self.folder.append_log(f"{time_text(datetime.now(UTC))}  {text}")

    def _append(self, kind: EventKind, what: Mapping[str, object], *, durable: bool = True) -> None:
        self.folder.append_event(event_of(kind, datetime.now(UTC), what), durable=durable)

    def _end(self, end: RunEnded) -> None:
        now = datetime.now(UTC)
        record = self.record.at_end(end, now)
        ended = event_of(EventKind.ENDED, now, {"state": end.status, "why": end.why})
        # On a full disk this is the room that is left.
        self.folder.free_reserve()
        writes: list[Callable[[], None]] = [
            lambda: self.folder.append_event(ended),
            lambda: self.log(end.status if end.why is None else f"{end.status}: {end.why}"),
            lambda: self.folder.write_record(record),
        ]
        trouble: list[OSError] = []
        for write in writes:
            if not trouble or end.status != RunStatus.COMPLETED:
                try:
                    write()
                except OSError as error:
                    trouble.append(error)
        if trouble:
            raise trouble[0]
        self.record = record
