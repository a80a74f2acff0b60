"""What a person sees while a plan runs: a live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from optrun.runner.errors import UserError, tell
from optrun.runner.events import EpochRecord, Event, Notice, RunEnded, RunStarted, StepDone
from optrun.runner.ui.wording import duration
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

Follower = Callable[[Mapping[str, object]], None]

_followers: list[Follower] = []


def follow(follower: Follower) -> None:
    """Have this process tell where its trainings are: at their begin, each step and each epoch.

    Args:
        follower: Called with `event` ("run", "step" or "epoch") and what belongs to it.
    """
    _followers.append(follower)


def _tell(**event: object) -> None:
    for follower in _followers:
        follower(event)


@dataclass
class Display:
    """Prints a plan's progress; a listener of its runs (see `optrun.runner.events`).

    Attributes:
        console: Where to; live only where it is a terminal.
        quiet: Print nothing but each run's folder at its end, for scripts.
    """

    console: Console
    quiet: bool = False
    _progress: Progress | None = field(default=None, init=False)
    _task: TaskID = field(default=TaskID(0), init=False)
    _folder: Path = field(default=Path(), init=False)
    _steps_before: int = field(default=0, init=False)
    _first_step_at: float = field(default=0.0, init=False)
    _heading_shown: bool = field(default=False, init=False)
    _steps_per_epoch: int = field(default=0, init=False)
    _epochs: int = field(default=0, init=False)

    def __call__(self, event: Event) -> None:
        """Show what a run tells."""
        if isinstance(event, RunStarted):
            self._run_started(event)
        elif isinstance(event, StepDone):
            self._step(event)
        elif isinstance(event, EpochRecord):
            self.epoch(event)
        elif isinstance(event, Notice):
            self.notice(event.message)
        elif isinstance(event, RunEnded):
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
        if self._progress is None:
            self._start_bar("photos", total)
        if self._progress is not None:
            numbers = f"{done:,}" if total is None else f"{done:,} of {total:,}"
            self._progress.update(self._task, completed=done, total=total, numbers=numbers)
            if total is not None and done >= total:
                self.end_bar()

    def _run_started(self, run: RunStarted) -> None:
        self._folder = run.folder
        if run.resumed:
            self.say(f"run       {run.folder}, resumed")
            self.say(f"          from step {run.steps_done + 1:,}")
        else:
            self.say(f"run       {run.folder}")
            self.say(f"          {run.description}, seed {run.seed}")
        self._start_training(run.epochs, run.steps_per_epoch, run.steps_done)

    def _start_training(self, epochs: int, steps_per_epoch: int, steps_done: int) -> None:
        self._epochs, self._steps_per_epoch = epochs, steps_per_epoch
        self._steps_before, self._first_step_at = steps_done, 0.0
        self._heading_shown = False
        _tell(event="run", epochs=epochs, steps_per_epoch=steps_per_epoch, steps_done=steps_done)
        if self.console.is_terminal and not self.quiet:
            epoch = min(epochs, steps_done // steps_per_epoch + 1)
            self._start_bar(f"epoch {epoch}/{epochs}", epochs * steps_per_epoch)
            if self._progress is not None:
                self._progress.update(self._task, numbers="compiling the network")

    @contextmanager
    def run_progress(
        self, *, epochs: int, steps_per_epoch: int, steps_done: int = 0
    ) -> Iterator[None]:
        """A run's live line, taken away however the run ends; `steps_done` before it is resumed."""
        self._start_training(epochs, steps_per_epoch, steps_done)
        try:
            yield
        finally:
            self.end_bar()

    def step(
        self, epoch: int, step: int, loss: float, accuracy: float, images_per_second: float | None
    ) -> None:
        """Show a step."""
        self._step(StepDone(epoch, step, loss, accuracy, images_per_second))

    def _step(self, done: StepDone) -> None:
        """Called after every step; drawn four times a second."""
        _tell(event="step", epoch=done.epoch, step=done.step)
        if self._progress is None:
            return
        now = time.monotonic()
        self._first_step_at = self._first_step_at or now
        steps = (done.epoch - 1) * self._steps_per_epoch + done.step
        numbers = [f"{done.step}/{self._steps_per_epoch}"]
        numbers.append(f"{done.images_per_second:,.0f} images/s" if done.images_per_second else "")
        if done.loss is not None:
            numbers.append(f"loss {done.loss:.3f}")
        if done.accuracy is not None:
            numbers.append(f"accuracy {done.accuracy:.1%}")
        timed = steps - self._steps_before - 1
        if timed > 0:
            per_step = (now - self._first_step_at) / timed
            left = per_step * (self._epochs * self._steps_per_epoch - steps)
            numbers.append(f"{duration(left)} left")
        self._progress.update(
            self._task,
            completed=steps,
            description=f"epoch {done.epoch}/{self._epochs}",
            numbers="  ".join(numbers),
        )

    def epoch(self, record: EpochRecord) -> None:
        """Print an epoch's line, below a heading before the run's first."""
        _tell(event="epoch", epoch=record.epoch)
        if not self._heading_shown:
            heading = "  epoch    train loss  accuracy validation loss  accuracy    images/s"
            self.say(heading, style="dim")
            self._heading_shown = True
        rate = f"{record.images_per_second:,.1f}" if record.images_per_second else ""
        self.say(
            f"  {f'{record.epoch}/{self._epochs}':<8}"
            f"{record.training_loss:>12.4f}{record.training_accuracy:>10.1%}"
            f"{record.validation_loss:>16.4f}{record.validation_accuracy:>10.1%}{rate:>12}"
        )

    def _run_ended(self, end: RunEnded) -> None:
        """Print how a run ended; of a run that did not end well, quiet ones tell on stderr."""
        if end.status == "completed":
            self._result(end.result)
        elif end.status == "interrupted":
            self.say(f"  interrupted; to go on: optrun resume {self._folder}")
        else:
            if self.quiet:
                tell(UserError(f"{self._folder} {end.status}: {end.why}"))
            advice = (
                "Try a lower learning rate or global_clipnorm"
                if end.status == "diverged"
                else f"Its log: {self._folder / 'log.txt'}"
            )
            self.notice(f"{end.status}: {end.why}. {advice}")

    def _result(self, result: Mapping[str, float | int | None]) -> None:
        auc = result["test_roc_auc"]
        self.say(
            f"result    validation accuracy {result['best_validation_accuracy']:.1%} at epoch "
            f"{result['best_epoch']} (the best), test accuracy {result['test_accuracy']:.1%}"
        )
        ranking = f"test ROC AUC {auc:.4f}, " if auc is not None else ""
        self.say(f"          {ranking}trained {result['training_seconds']:.0f} s")
        if self.quiet:
            self.report(str(self._folder))

    def end_bar(self) -> None:
        """Take the live line away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _start_bar(self, description: str, total: int | None) -> None:
        self.end_bar()
        self._progress = live_line(self.console)
        self._task = self._progress.add_task(description, total=total, numbers="")
        self._progress.start()


def live_line(
    console: Console, *, indent: int = 2, bar: bool = True, redirect: bool = True
) -> Progress:
    """A line that is drawn anew four times a second: what is done, how far it is, `numbers`.

    Args:
        console: Where to.
        indent: Blanks before it.
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
