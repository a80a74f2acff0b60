"""What a person sees while a plan runs: a live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from optrun.runner.errors import UserError, tell
from optrun.runner.events import EpochRecord, Event, Notice, RunEnded, RunStarted, StepDone
from optrun.runner.ui.wording import counted, duration
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn


@dataclass
class Display:
    """Prints a plan's progress; a listener of its runs (see `optrun.runner.events`)."""

    console: Console  # where to; live only where it is a terminal
    quiet: bool = False  # print nothing but each run's folder at its end, for scripts
    _bar: Progress | None = field(default=None, init=False)
    _task: TaskID = field(default=TaskID(0), init=False)
    _run: RunStarted = field(init=False)
    _first_step_at: float = field(default=0.0, init=False)
    _heading_shown: bool = field(default=False, init=False)

    def __call__(self, event: Event) -> None:
        """Show what a run tells."""
        match event:
            case RunStarted():
                self._run_started(event)
            case StepDone():
                self._step_done(event)
            case EpochRecord():
                self._epoch_ended(event)
            case Notice():
                self.notice(event.message)
            case RunEnded():
                self.end_bar()
                self._run_ended(event)

    def say(self, text: str = "", *, style: str | None = None) -> None:
        """Print a line as it is: no markup is read from it, nothing is cut."""
        if not self.quiet:
            self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def report(self, text: str) -> None:
        """Print a line that quiet runs print too."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def notice(self, message: str) -> None:
        """Print what a person should know."""
        self.say(f"  note: {message}", style="yellow")

    def photos_prepared(self, done: int, total: int | None) -> None:
        """Show how many photos are decoded."""
        if self.quiet or not self.console.is_terminal:
            return
        bar = self._bar or self._start_bar("photos", total)
        numbers = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        bar.update(self._task, completed=done, total=total, numbers=numbers)
        if total is not None and done >= total:
            self.end_bar()

    def _run_started(self, run: RunStarted) -> None:
        self._run, self._first_step_at, self._heading_shown = run, 0.0, False
        if run.resumed:
            self.say(f"run       {run.folder}, resumed")
            self.say(f"          from step {run.steps_done + 1:,}")
        else:
            self.say(f"run       {run.folder}")
            self.say(f"          {run.description}, seed {run.seed}")
        if self.console.is_terminal and not self.quiet:
            epoch = min(run.epochs, run.steps_done // run.steps_per_epoch + 1)
            total = run.epochs * run.steps_per_epoch
            self._start_bar(f"epoch {epoch}/{run.epochs}", total, "compiling the network")

    def _step_done(self, done: StepDone) -> None:
        """Called after every step; drawn four times a second."""
        if self._bar is None:
            return
        now = time.monotonic()
        self._first_step_at = self._first_step_at or now
        per_epoch, epochs = self._run.steps_per_epoch, self._run.epochs
        steps = (done.epoch - 1) * per_epoch + done.step
        numbers = [f"{done.step}/{per_epoch}"]
        numbers.append(f"{done.images_per_second:,.0f} images/s" if done.images_per_second else "")
        if done.loss is not None:
            numbers.append(f"loss {done.loss:.3f}")
        if done.accuracy is not None:
            numbers.append(f"accuracy {done.accuracy:.1%}")
        timed = steps - self._run.steps_done - 1
        if timed > 0:
            per_step = (now - self._first_step_at) / timed
            numbers.append(f"{duration(per_step * (epochs * per_epoch - steps))} left")
        description = f"epoch {done.epoch}/{epochs}"
        self._bar.update(
            self._task, completed=steps, description=description, numbers="  ".join(numbers)
        )

    def _epoch_ended(self, record: EpochRecord) -> None:
        """Print an epoch's line, below a heading before the run's first."""
        if not self._heading_shown:
            heading = "  epoch    train loss  accuracy validation loss  accuracy    images/s"
            self.say(heading, style="dim")
            self._heading_shown = True
        rate = f"{record.images_per_second:,.1f}" if record.images_per_second else ""
        self.say(
            f"  {f'{record.epoch}/{self._run.epochs}':<8}"
            f"{record.training_loss:>12.4f}{record.training_accuracy:>10.1%}"
            f"{record.validation_loss:>16.4f}{record.validation_accuracy:>10.1%}{rate:>12}"
        )

    def _run_ended(self, end: RunEnded) -> None:
        """Print how a run ended; of a run that did not end well, quiet ones tell on stderr."""
        folder = self._run.folder
        if end.status == "completed":
            self._result(end.result)
        elif end.status == "interrupted":
            self.say(f"  interrupted; to go on: optrun resume {folder}")
        else:
            if self.quiet:
                tell(UserError(f"{folder} {end.status}: {end.why}"))
            advice = f"Its log: {folder / 'log.txt'}"
            if end.status == "diverged":
                advice = "Try a lower learning rate or global_clipnorm"
            self.notice(f"{end.status}: {end.why}. {advice}")

    def _result(self, result: Mapping[str, float | int | None]) -> None:
        auc, run = result["test_roc_auc"], self._run

        def accuracy(key: str, photos: int | None) -> str:
            found = result[key] or 0.0
            return f"accuracy {found:.1%}{counted(found, photos)}"

        validation = accuracy("best_validation_accuracy", run.validation_photos)
        ranking = f", ROC AUC {auc:.4f}" if auc is not None else ""
        self.say(f"result    validation {validation} at epoch {result['best_epoch']}, the best")
        self.say(f"          test {accuracy('test_accuracy', run.test_photos)}{ranking}")
        self.say(f"          trained {result['training_seconds']:.0f} s")
        if self.quiet:
            self.report(str(self._run.folder))

    def end_bar(self) -> None:
        """Take the live line away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start_bar(self, description: str, total: int | None, numbers: str = "") -> Progress:
        self.end_bar()
        self._bar = live_line(self.console)
        self._task = self._bar.add_task(description, total=total, numbers=numbers)
        self._bar.start()
        return self._bar


def live_line(
    console: Console, *, indent: int = 2, bar: bool = True, redirect: bool = True
) -> Progress:
    """A line that is drawn anew four times a second: what is done, how far it is, `numbers`.

    Args:
        bar: Whether there is a bar, for what has a known end.
        redirect: Whether what others print meanwhile comes out above the line.
    """
    return Progress(
        TextColumn(" " * indent + "{task.description}"),
        *([BarColumn(bar_width=20)] if bar else []),
        TextColumn("{task.fields[numbers]}", markup=False),
        console=console,
        transient=True,
        refresh_per_second=4,
        redirect_stdout=redirect,
        redirect_stderr=redirect,
    )
