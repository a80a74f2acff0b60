"""What `optrun verify` prints: how it goes, and the proof."""

from collections.abc import Sequence
from typing import Self

from optrun.runner.ui.console import live_line
from optrun.runner.ui.text import hanging, padded, style, widest, wrap
from optrun.runner.ui.wording import duration
from optrun.runner.verification.comparison import Compared
from optrun.runner.verification.processes import BEGUN, EPOCH, Event
from optrun.runner.verification.proof import Kill, Proof
from rich.console import Console
from rich.progress import Progress, TaskID

_HASH_LENGTH = 12  # of 64 digits; enough to see that two are the same
_GAP = "  "
_INDENT = 10


class Screen:
    """Shows how a proof goes: a live line on a terminal, plain lines below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID = TaskID(0)

    def say(self, text: str) -> None:
        """Print a line as it is."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def paragraph(self, label: str, text: str) -> None:
        """Print a text behind a label, in lines that fit."""
        for line in hanging(label, text, min(self._console.width, 100), indent=_INDENT):
            self.say(line)

    def training(self, name: str) -> None:
        """A training starts."""
        self.close()
        if self._console.is_terminal:
            self._bar = live_line(self._console, indent=_INDENT)
            self._task = self._bar.add_task(name, total=None, numbers="starting")
            self._bar.start()

    def at(self, event: Event | None) -> None:
        """Where the training is."""
        if self._bar is not None and event is not None:
            where = {BEGUN: "compiling the network", EPOCH: "an epoch is recorded"}.get(
                event.kind, f"step {event.steps_done:,} of {event.steps:,}"
            )
            self._bar.update(
                self._task, total=event.steps, completed=event.steps_done, numbers=where
            )

    def done(self, what: str) -> None:
        """Something is done."""
        self.close()
        self.say(" " * _INDENT + what)

    def close(self) -> None:
        """Take the live line away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def proof_text(proof: Proof, *, width: int, styled: bool, seconds: float) -> str:
    """The proof, as a terminal of this width shows it; its last line is the verdict."""
    lines = ["", *_kills_table(proof.kills), "", *_parts_table(proof.compared, width, styled), ""]
    lines += _verdict(proof, width, styled, seconds)
    return "\n".join(lines) + "\n"


def _kills_table(kills: Sequence[Kill]) -> list[str]:
    rows = [("kill", "struck after step", "while it was", "went on after step")]
    for number, kill in enumerate(kills, start=1):
        struck = kill.struck
        at = f"{struck.steps_done:,} of {struck.steps:,}" if struck.steps else "-"
        rows.append((str(number), at, struck.phase.value, _went_on(kill)))
    widths = [widest(column) for column in zip(*rows, strict=True)]
    return [
        _GAP.join(
            padded(text, width, right=place == 1)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _went_on(kill: Kill) -> str:
    if kill.went_on_from is None:
        return "killed again first"
    return f"{kill.went_on_from:,}" if kill.went_on_from else "from the beginning"


def _parts_table(parts: Sequence[Compared], width: int, styled: bool) -> list[str]:
    heading = ("compared", "", "uninterrupted", "killed")
    rows = [heading, *((part.name, part.extent, *map(_short, part.hashes)) for part in parts)]
    widths = [widest(column) for column in zip(*rows, strict=True)]
    lines = []
    for row, part in zip(rows, (None, *parts), strict=True):
        text = _GAP.join(
            padded(cell, cell_width, right=place == 1)
            for place, (cell, cell_width) in enumerate(zip(row, widths, strict=True))
        )
        if part is None:
            lines.append(text.rstrip())
            continue
        outcome = "identical" if part.is_identical else "DIFFERENT"
        look = "plain" if part.is_identical else "bad"
        lines.append(f"{text}{_GAP}{style(outcome, look, styled)}")
        if part.difference is not None:
            lines += [f"  {line}" for line in wrap(part.difference, width - 2)]
    return lines


def _short(digest: str | None) -> str:
    return digest[:_HASH_LENGTH] if digest else "-"


def _verdict(proof: Proof, width: int, styled: bool, seconds: float) -> list[str]:
    took = f"Trained on {proof.device}; this took {duration(seconds)}."
    count = len(proof.kills)
    times = {1: "once", 2: "twice"}.get(count, f"{count} times")
    if proof.holds:
        verdict = f"Identical: the run killed {times} is the uninterrupted one, bit for bit."
        return [took, style(verdict, "strong", styled)]
    if not count:
        verdict = "Nothing is proved: the run was complete before it could be killed."
    else:
        different = [part.name for part in proof.compared if not part.is_identical]
        verdict = f"DIFFERENT: the run killed {times} differs in {', '.join(different)}."
    return [took, *(style(line, "bad", styled) for line in wrap(verdict, width))]
