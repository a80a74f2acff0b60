"""What a person sees while a plan runs: a live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

if TYPE_CHECKING:
    from optrun.runner.events import EpochRecord

RATE_FORMAT = "{:,.0f} images/s"
EPOCH_HEADING = "  epoch    train loss  accuracy validation loss  accuracy    images/s"


@dataclass
class Display:
    """Prints a plan's progress.

    Attributes:
        console: Where to; live only where it is a terminal.
        quiet: Print nothing but each run's folder at its end, for scripts.
    """

    console: Console
    quiet: bool = False
    _progress: Progress | None = field(default=None, init=False)
    _task: TaskID = field(default=TaskID(0), init=False)
    _steps_before: int = field(default=0, init=False)
    _first_step_at: float = field(default=0.0, init=False)
    _heading_shown: bool = field(default=False, init=False)
    _steps_per_epoch: int = field(default=0, init=False)
    _epochs: int = field(default=0, init=False)

    def say(self, text: str = "", *, style: str | None = None) -> None:
        """Print a line as it is: no markup is read from it, nothing is cut."""
        if not self.quiet:
            self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def report(self, text: str) -> None:
        """Print a line that quiet runs print too."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def photos_prepared(self, done: int, total: int | None) -> None:
        """Show how many photos are decoded."""
        if self.quiet or not self.console.is_terminal:
            return
        if self._progress is None:
            self._start_bar("photos", total)
        if self._progress is not None:
            numbers = f"{done:,}" if total is None else f"{done:,} of {total:,}"
            self._progress.update(self._task, completed=done, total=total, numbers=numbers)
            if total is not None and done >= total:
                self.end_bar()

    @contextmanager
    def run_progress(
        self, *, epochs: int, steps_per_epoch: int, steps_done: int = 0
    ) -> Iterator[None]:
        """A run's live line, taken away however the run ends; `steps_done` before it is resumed."""
        self._epochs, self._steps_per_epoch = epochs, steps_per_epoch
        self._steps_before, self._first_step_at = steps_done, 0.0
        self._heading_shown = False
        if self.console.is_terminal and not self.quiet:
            epoch = min(epochs, steps_done // steps_per_epoch + 1)
            self._start_bar(f"epoch {epoch}/{epochs}", epochs * steps_per_epoch)
            if self._progress is not None:
                self._progress.update(self._task, numbers="compiling the network")
        try:
            yield
        finally:
            self.end_bar()

    def step(
        self, epoch: int, step: int, loss: float, accuracy: float, images_per_second: float | None
    ) -> None:
        """Show a step; called after every one, drawn four times a second."""
        if self._progress is None:
            return
        now = time.monotonic()
        self._first_step_at = self._first_step_at or now
        done = (epoch - 1) * self._steps_per_epoch + step
        left = ""
        timed = done - self._steps_before - 1
        if timed > 0:
            per_step = (now - self._first_step_at) / timed
            left = f"  {duration(per_step * (self._epochs * self._steps_per_epoch - done))} left"
        rate = RATE_FORMAT.format(images_per_second) if images_per_second else ""
        self._progress.update(
            self._task,
            completed=done,
            description=f"epoch {epoch}/{self._epochs}",
            numbers=(
                f"{step}/{self._steps_per_epoch}  {rate}  loss {loss:.3f}  "
                f"accuracy {accuracy:.1%}{left}"
            ),
        )

    def epoch(self, record: "EpochRecord") -> None:
        """Print an epoch's line, below a heading before the run's first."""
        if not self._heading_shown:
            self.say(EPOCH_HEADING, style="dim")
            self._heading_shown = True
        rate = f"{record.images_per_second:,.1f}" if record.images_per_second else ""
        self.say(
            f"  {f'{record.epoch}/{self._epochs}':<8}"
            f"{record.training_loss:>12.4f}{record.training_accuracy:>10.1%}"
            f"{record.validation_loss:>16.4f}{record.validation_accuracy:>10.1%}{rate:>12}"
        )

    def notice(self, message: str) -> None:
        """Print what a person should know."""
        self.say(f"  note: {message}", style="yellow")

    def end_bar(self) -> None:
        """Take the live line away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _start_bar(self, description: str, total: int | None) -> None:
        self.end_bar()
        self._progress = live_line(self.console, indent=2)
        self._task = self._progress.add_task(description, total=total, numbers="")
        self._progress.start()


def live_line(console: Console, *, indent: int) -> Progress:
    """A line that is drawn anew four times a second: what is done, how far it is, `numbers`."""
    return Progress(
        TextColumn(" " * indent + "{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[numbers]}"),
        console=console,
        transient=True,
        refresh_per_second=4,
    )


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, no more than needed.

    >>> duration(42), duration(125), duration(7384)
    ('42 s', '2:05 min', '2:03 h')
    """
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
