"""What a person hears while photos are judged: on stderr, since stdout is for the answers."""

import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

from optrun.data.printable import printable
from optrun.runner.inference.answers import Prediction
from optrun.runner.inference.classifier import Trained
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


@dataclass
class Telling:
    """Counts photos as they pass, and names those that can't be read.

    Attributes:
        console: Where to.
        dogs: How many were said to be dogs.
        cats: How many were said to be cats.
        unreadable: How many could not be judged.
    """

    console: Console = field(default_factory=lambda: Console(stderr=True))
    dogs: int = 0
    cats: int = 0
    unreadable: int = 0

    @property
    def seen(self) -> int:
        return self.dogs + self.cats + self.unreadable

    def say(self, text: str) -> None:
        """Prints a line as it is: no markup is read from it, nothing is cut."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def network(self, trained: Trained, *, flip: bool) -> None:
        """Says which network it is, and what a person should know of it."""
        parts = [
            trained.run.label,
            *([f"epoch {trained.best_epoch}"] if trained.best_epoch else []),
            f"{trained.image_size} px",
            f"{trained.machine.precision} on {trained.machine.device.upper()}",
            *(["mean of photo and mirror image"] if flip else []),
        ]
        self.say(", ".join(parts))
        for note in trained.notes:
            self.say(f"note: {note}")

    def pass_on(
        self, predictions: Iterable[Prediction], *, live: bool, total: int | None = None
    ) -> Iterator[Prediction]:
        """All of them, counted; of those that can't be read it says the reason.

        Args:
            predictions: What the network says.
            live: Whether to show a live line where stderr is a terminal.
            total: How many there will be, where that is known.
        """
        bar = self._bar(total) if live and self.console.is_terminal else None
        task = None if bar is None else bar.add_task("", total=total, numbers="")
        started: float | None = None
        with nullcontext() if bar is None else bar:
            for one in predictions:
                if one.logit is None:
                    self.unreadable += 1
                    self.say(f"cannot be read: {printable(one.name)}: {one.unreadable}")
                else:
                    self.dogs += one.answer == "dog"
                    self.cats += one.answer == "cat"
                started = started or time.monotonic()
                if bar is not None and task is not None:
                    rate = self.seen / max(time.monotonic() - started, 1)
                    bar.update(task, completed=self.seen, numbers=f"{self.seen:,}  {rate:,.0f}/s")
                yield one

    def _bar(self, total: int | None) -> Progress:
        columns = [BarColumn(bar_width=20)] if total is not None else []
        return Progress(
            TextColumn("  photos"),
            *columns,
            TextColumn("{task.fields[numbers]}"),
            console=self.console,
            transient=True,
            refresh_per_second=4,
        )

    def counts(self, place: str = "") -> str:
        """How many dogs and cats there are in `place`, and how many were unreadable, in words."""
        told = f"{_plural(self.dogs, 'dog')}, {_plural(self.cats, 'cat')}{place}"
        return f"{told}; {self.unreadable:,} could not be read" if self.unreadable else told


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
