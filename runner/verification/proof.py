"""One run trained whole and once more with kills, and the two compared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from optrun.runner.errors import UserError
from optrun.runner.plan.outcomes import COMPLETED
from optrun.runner.untrusted import DamageError, content_of, json_object
from optrun.runner.verification import moments
from optrun.runner.verification.comparison import Compared, compare
from optrun.runner.verification.moments import Moment, Struck
from optrun.runner.verification.processes import Event, Training

_DIVERGED = 3


class Start(Protocol):
    """Starts a training; the arguments are those of `optrun`."""

    def __call__(self, arguments: Sequence[str], *, log: Path, cache: Path) -> Training: ...


class Watcher(Protocol):
    """Is told how the proof goes."""

    def training(self, name: str) -> None: ...

    def at(self, event: Event | None) -> None: ...

    def done(self, what: str) -> None: ...


class Failure(Exception):
    """A training that ended by itself in a way that it must not."""


@dataclass(frozen=True)
class Kill:
    """One kill and what came of it.

    Attributes:
        struck: What it struck.
        went_on_from: Steps that did not have to be made again; None where the next kill came before
            it went on.
    """

    struck: Struck
    went_on_from: int | None


@dataclass(frozen=True)
class Proof:
    """What was found.

    Attributes:
        kills: In the order in which they struck.
        compared: The parts of the two runs.
        run: The folder of the uninterrupted run.
        other: The folder of the one that was killed.
        device: What it was trained on, "cpu" or "gpu", and its precision.
    """

    kills: Sequence[Kill]
    compared: Sequence[Compared]
    run: Path
    other: Path
    device: str

    @property
    def holds(self) -> bool:
        """Whether the two runs are the same in every bit, and the second was killed at all."""
        return bool(self.kills) and all(part.is_identical for part in self.compared)


@dataclass(frozen=True)
class Work:
    """What to train, and where.

    Attributes:
        arguments: Those after `optrun train`, but for device and results folder.
        device: As `--device` takes it.
        folder: Where everything goes; it exists.
        start: Starts a training.
    """

    arguments: Sequence[str]
    device: str
    folder: Path
    start: Start

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def train(self, name: str) -> Training:
        """Begin the run `name`."""
        arguments = ["train", *self.arguments, "--device", self.device]
        arguments += ["--results", str(self.results(name))]
        return self.start(arguments, log=self.log(name), cache=self.cache)

    def resume(self, name: str, run: Path) -> Training:
        """Go on with the run `name`."""
        arguments = ["resume", str(run), "--device", self.device]
        return self.start(arguments, log=self.log(name), cache=self.cache)

    def results(self, name: str) -> Path:
        return self.folder / name

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


WHOLE, KILLED = "uninterrupted", "killed"


def prove(work: Work, *, kills: int, seed: int, watcher: Watcher) -> Proof:
    """Train twice, the second time with kills, and compare.

    Args:
        work: What to train.
        kills: How often to kill.
        seed: Decides when.
        watcher: Told how it goes.

    Raises:
        UserError: It can't be trained as it is, or diverges.
        Failure: The run that was killed could not be resumed.
    """
    events = train_whole(work, watcher)
    last = events[-1]
    planned = moments.drawn(
        kills,
        steps_per_epoch=last.steps_per_epoch,
        epochs=max(1, last.steps_done // last.steps_per_epoch),
        lasting=moments.durations(events),
        seed=seed,
    )
    struck = train_killed(work, planned, watcher)
    run, other = _the_run(work.results(WHOLE)), _the_run(work.results(KILLED))
    comparable = _recorded(run).get("comparable", {})
    return Proof(
        kills=struck,
        compared=compare(run, other),
        run=run,
        other=other,
        device=f"{comparable.get('device')}, {comparable.get('precision')}",
    )


def train_whole(work: Work, watcher: Watcher) -> list[Event]:
    """Train the uninterrupted run; returns what it told.

    Raises:
        UserError: It does not complete.
    """
    watcher.training("uninterrupted run")
    with work.train(WHOLE) as training:
        while training.is_running:
            watcher.at(training.heard.last)
            moments.pause()
        code = training.wait()
        if code == _DIVERGED:
            raise UserError(
                "this experiment diverges, so there is no finished run to compare; lower the "
                f"learning rate:\n{training.last_lines(6)}"
            )
        if code != 0 or not training.heard.events:
            raise UserError(f"this experiment can't be trained:\n{training.last_lines()}")
        watcher.done("trained whole")
        return training.heard.events


def train_killed(work: Work, planned: Sequence[Moment], watcher: Watcher) -> list[Kill]:
    """Train the run that is killed at each of these moments, to its end.

    Raises:
        Failure: It could not be resumed.
    """
    kills: list[Kill] = []
    results = work.results(KILLED)
    for number, moment in enumerate([*planned, None], start=1):
        run = resumable(results)
        watcher.training(f"killed run, after {len(kills)} of {len(planned)} kills")
        # One that was killed before it had a run.json is no run yet, and is started anew.
        with work.train(KILLED) if run is None else work.resume(KILLED, run) as training:
            struck = _go_on(training, moment, work, watcher)
        if kills and training.heard.events:
            kills[-1] = replace(kills[-1], went_on_from=training.heard.events[0].steps_done)
        if struck is None:
            if moment is not None:
                watcher.done(f"the run was complete before kill {number}")
            break
        watcher.done(f"kill {number} of {len(planned)} at {told(struck)}")
        kills.append(Kill(struck, None))
    return kills


def told(struck: Struck) -> str:
    """What was struck, in words."""
    at = f"step {struck.steps_done:,} of {struck.steps:,}, " if struck.steps else ""
    return at + struck.phase


def resumable(results: Path) -> Path | None:
    """The run that is not over; None where none has got as far as a run.json."""
    for path in sorted(results.glob("*")):
        try:
            state = _recorded(path).get("state")
        except DamageError:
            continue
        if state != COMPLETED:
            return path
    return None


def _go_on(
    training: Training, moment: Moment | None, work: Work, watcher: Watcher
) -> Struck | None:
    """Kill the training, or let it come to its end where there is no moment."""

    def seen() -> None:
        watcher.at(training.heard.last)

    if moment is not None:
        struck = moments.strike(
            training, moment, results=work.results(KILLED), cache=work.cache, seen=seen
        )
        if struck is not None:
            return struck
    while training.is_running:
        seen()
        moments.pause()
    if (code := training.wait()) != 0:
        raise Failure(
            f"the run that was killed could not go on (exit code {code}):\n{training.last_lines()}"
        )
    watcher.done("trained to its end")
    return None


def _the_run(results: Path) -> Path:
    """The run of a results folder that has a run.json, the others having been killed before it."""
    for path in sorted(results.glob("*")):
        if (path / "run.json").exists():
            return path
    raise Failure(f"{results} holds no run")


def _recorded(run: Path) -> dict[str, Any]:
    return json_object(content_of(run / "run.json"))
