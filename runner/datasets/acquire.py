"""What a person sees while the public photos are obtained: bytes, photos, rate, time left."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from optrun.data.download import obtaining
from optrun.data.download.obtaining import Stage
from optrun.runner.ui.console import live_line
from optrun.runner.ui.wording import duration
from rich.console import Console
from rich.progress import Progress, TaskID

# Without a terminal, a line this often: enough to see that it goes on, few enough for a log.
LINE_EVERY_S = 30.0
_SHOW_EVERY_S = 0.1
_RATE_OVER_S = 15.0


def obtain(console: Console, archive: Path | None = None, *, quiet: bool = False) -> Path:
    """Obtain the public photos, where they are not here, and show how it goes on.

    What `open_source` and `prepare` take as `obtain` is this, with the console given.

    Args:
        console: Where to: a live line where it is a terminal, a line now and then elsewhere.
        archive: The published archive, downloaded by the person; None to download it.
        quiet: Show nothing.

    Returns:
        The folder of the prepared data set.

    Raises:
        PhotoError: They can't be had.
    """
    with _shown(console, quiet=quiet) as view:
        return obtaining.obtain(archive, progress=view.progress, say=view.say)


@contextmanager
def _shown(console: Console, *, quiet: bool) -> Iterator["View"]:
    # The file that is meant now, whatever happens to sys.stdout meanwhile: tensorflow_datasets'
    # own words are led astray there.
    view = View(Console(file=console.file, width=console.width), quiet=quiet)
    try:
        yield view
    finally:
        view.end()


@dataclass
class View:
    """Shows how the photos are obtained.

    Attributes:
        console: Where to.
        quiet: Show nothing.
    """

    console: Console
    quiet: bool = False
    _bar: Progress | None = field(default=None, init=False)
    _task: TaskID = field(default=TaskID(0), init=False)
    _stage: Stage | None = field(default=None, init=False)
    _seen: deque[tuple[float, int]] = field(default_factory=deque, init=False)
    _next_line_s: float = field(default=0.0, init=False)

    def progress(self, stage: Stage, done: int, total: int) -> None:
        """Show how far a stage is; called often."""
        if self.quiet:
            return
        now = time.monotonic()
        if stage != self._stage:
            self._begin(stage, total, now)
        elif done < self._seen[-1][1]:
            self._seen.clear()  # a download that began anew
        elif now < self._seen[-1][0] + _SHOW_EVERY_S and done < total:
            return
        self._seen.append((now, done))
        while self._seen[0][0] < now - _RATE_OVER_S:
            self._seen.popleft()
        if self._bar is not None:
            self._bar.update(self._task, completed=done, numbers=self._numbers(done, total))
        elif now >= self._next_line_s:
            self._next_line_s = now + LINE_EVERY_S
            self._print(f"  {stage} {self._numbers(done, total)}")

    def say(self, text: str) -> None:
        """Print what a person should know."""
        if not self.quiet:
            self._print(f"  note: {text}", style="yellow")

    def end(self) -> None:
        """Take the live line away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _begin(self, stage: Stage, total: int, now: float) -> None:
        self.end()
        self._stage, self._next_line_s = stage, now
        self._seen.clear()
        if self.console.is_terminal:
            self._bar = live_line(self.console, redirect=False)
            self._task = self._bar.add_task(stage, total=total, numbers="")
            self._bar.start()

    def _numbers(self, done: int, total: int) -> str:
        """How much is done, how fast it goes, how long it will take."""
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        rate = (last - first) / (last_s - first_s) if last_s > first_s else 0.0
        if self._stage == "preparing":
            words = f"{done:,} of {total:,} photos"
            speed = f"{rate:,.0f} photos/s"
        else:
            words = f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB"
            speed = f"{rate / 1e6:,.1f} MB/s"
        if rate > 0:
            words += f", {speed}"
            words += f", {duration((total - done) / rate)} left" if done < total else ""
        return words

    def _print(self, text: str, *, style: str | None = None) -> None:
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
