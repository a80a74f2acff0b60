"""How a run stands, in words: the same for the list, for one run, and before a removal."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from optrun.runner.runs.reader import COMPLETED, DIVERGED, KILLED, RUNNING, Unreadable
from optrun.runner.runs.standing import Progress, Size, Standing
from optrun.runner.ui.wording import age, number_of, size
from optrun.runner.untrusted import printable

DAMAGED, STARTING = "damaged", "starting"

_NAMED = 3


def state_of(standing: Standing) -> str:
    """The state in one word; a folder that cannot be read is damaged, or is just being made."""
    if isinstance(standing.run, Unreadable):
        return STARTING if standing.held else DAMAGED
    return standing.run.state


def why(standing: Standing) -> str:
    """What is behind the state, where there is more to say."""
    run = standing.run
    if isinstance(run, Unreadable):
        return run.reason
    if run.state == KILLED:
        return "killed, perhaps out of memory"
    if run.state in (COMPLETED, RUNNING):
        return ""
    return run.why


def resumes(standing: Standing) -> str:
    """What `optrun resume` would do; empty where nothing is to be gone on with."""
    resumption = standing.resumption
    if resumption.obstacle:
        return f"cannot be resumed: {resumption.obstacle}"
    if not resumption.possible:
        return ""
    if not resumption.steps_done:
        return "would resume from the start"
    steps = standing.progress.steps if standing.progress else None
    of_all = f" of {steps:,}" if steps else ""
    return f"would resume from step {resumption.steps_done + 1:,}{of_all}"


def last_saved(standing: Standing, now: datetime) -> str:
    """Where a run that goes on was at its last checkpoint."""
    run, saved, progress = standing.run, standing.saved, standing.progress
    if isinstance(run, Unreadable) or run.state != RUNNING or saved is None or progress is None:
        return ""
    of_all = f" of {progress.steps:,}" if progress.steps else ""
    ago = age(now.timestamp() - saved.saved_at)
    return f"saved at step {saved.steps_done:,}{of_all}, {ago} ago"


def progress_text(progress: Progress | None, *, state: str) -> str:
    """The epoch that a run is in, or how many it made, of how many.

    >>> progress_text(Progress(2, 8, None, None), state="running")
    'epoch 3/8'
    >>> progress_text(Progress(5, 8, None, None), state="completed")
    '5/8 epochs'
    """
    if progress is None:
        return ""
    epochs = "?" if progress.epochs is None else f"{progress.epochs:,}"
    if state in (COMPLETED, DIVERGED) or progress.epochs_done == progress.epochs:
        return f"{progress.epochs_done:,}/{epochs} epochs"
    return f"epoch {progress.epochs_done + 1:,}/{epochs}"


def size_text(of: Size) -> str:
    """The size in the unit that keeps the number short.

    >>> size_text(Size(0)), size_text(Size(3322)), size_text(Size(80_200_000, at_least=True))
    ('0 B', '3.3 kB', '> 80 MB')
    """
    text = size(of.total)
    if of.total < 100_000:
        text = f"{of.total / 1000:.1f} kB" if of.total >= 1000 else f"{of.total} B"
    return f"> {text}" if of.at_least else text


def total_size(standings: Sequence[Standing]) -> Size:
    """Of all of them together."""
    return Size(
        sum(one.size.total for one in standings), any(one.size.at_least for one in standings)
    )


def counted(standings: Sequence[Standing]) -> str:
    """How many there are in each state: "9 runs: 7 completed, 2 killed"."""
    states = [state_of(one) for one in standings]
    kinds = dict.fromkeys(sorted(states, key=_in_order))
    parts = ", ".join(f"{states.count(kind):,} {kind}" for kind in kinds)
    return f"{number_of(len(states), 'run')}: {parts}"


def resume_commands(standings: Sequence[Standing]) -> list[str]:
    """The commands that go on with what is not over; of many runs, the one that tells how."""
    folders = [str(one.folder) for one in standings if one.resumption.possible]
    if len(folders) > _NAMED:
        return ["optrun resume RUN..."]
    return [f"optrun resume {shlex.quote(printable(folder))}" for folder in folders]


def moment(time: datetime) -> str:
    """A time as a person writes it, in UTC.

    >>> moment(datetime(2026, 11, 20, 23, 30, tzinfo=UTC))
    '2026-11-20 23:30 UTC'
    """
    try:
        return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except OverflowError:  # within a day of the first or the last there is
        return printable(time.isoformat())


def ago(time: datetime, now: datetime) -> str:
    """How long ago it was."""
    return age((now - time) / timedelta(seconds=1))


def _in_order(state: str) -> tuple[int, str]:
    usual = (COMPLETED, RUNNING, STARTING, "interrupted", "failed", KILLED, DIVERGED, DAMAGED)
    return usual.index(state), state
