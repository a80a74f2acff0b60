"""`optrun resume`: runs gone on with one after another, whatever becomes of each."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from optrun.runner.engine.signals import Interrupted, Stops, signals_heard
from optrun.runner.errors import UserError, tell
from optrun.runner.plan import outcomes
from optrun.runner.plan.plan import Plan, PlannedRun
from optrun.runner.plan.resolved import device_for
from optrun.runner.plan.resumption import go_on, read_recorded, run_in
from optrun.runner.runs.record import RunRecord, RunStatus
from optrun.runner.runs.run_folder import RunFolder, reopen
from optrun.runner.runs.select import find_run
from optrun.runner.runs.writer_lock import RunHeldError
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import NativeStderr, native_stderr_captured
from rich.console import Console

if TYPE_CHECKING:
    from optrun.runner.plan.resources import Materials


@dataclass(frozen=True)
class ResumeRequest:
    """What the command line asked for; see `optrun resume --help`."""

    runs: Sequence[str]
    device: str = "auto"
    quiet: bool = False


@dataclass(frozen=True)
class Claim:
    """A run that this process holds and will go on with."""

    folder: RunFolder
    recorded: RunRecord
    run: PlannedRun


def resume(request: ResumeRequest, display: Display | None = None) -> int:
    """Go on with each run that is not over; one that can't be resumed doesn't keep the next.

    Args:
        request: What to do.
        display: Where to show how it goes; None for the terminal.

    Returns:
        The exit code: 0 done, 1 a run failed, 2 one can't be resumed, 3 one diverged, 5 another
        process writes one, 130 or 143 interrupted.

    Raises:
        UserError: No run is named by one of the arguments, or the device is wrong; nothing was
            changed.
    """
    display = display or Display(Console(), quiet=request.quiet)
    try:
        named = [find_run(run) for run in request.runs]
        paths = {path.resolve(): path for path in named}.values()
        with signals_heard() as stops, native_stderr_captured() as native, ExitStack() as held:
            found = {path: _claimed(path, held, display) for path in paths}
            became = _carry_out(found, request, display, native, stops)
    except Interrupted as stop:
        display.end_bar()
        print("optrun: interrupted", file=sys.stderr)
        return stop.exit_code
    if len(became) > 1:
        display.say(f"\n{outcomes.summary(became)}")
    return outcomes.exit_code(became, refused=2)


def _claimed(path: Path, held: ExitStack, display: Display) -> Claim | str:
    """Takes a run's lock, for as long as `held` lasts; the outcome where there is nothing to do."""
    try:
        recorded = read_recorded(path)
        if (over := _over(path, recorded, display)) is not None:
            return over
        folder = held.enter_context(reopen(path, recorded.id))
        recorded = read_recorded(path)  # who held the lock until now may have finished it
        if (over := _over(path, recorded, display)) is not None:
            folder.close()
            return over
        return Claim(folder, recorded, run_in(folder, recorded))
    except RunHeldError as error:
        tell(error)
        return outcomes.HELD
    except UserError as error:
        tell(error)
        return outcomes.REFUSED


def _over(path: Path, recorded: RunRecord, display: Display) -> str | None:
    """The outcome of a run that is over, said; None where it is not over."""
    if recorded.written_status == RunStatus.COMPLETED:
        display.say(f"run       {path} is completed: nothing to do")
        if display.quiet:
            display.report(str(path))
        return outcomes.COMPLETED_BEFORE
    if recorded.written_status == RunStatus.DIVERGED:
        tell(
            UserError(
                f"{path} diverged: {recorded.why}. It would do so again; train anew with a "
                "lower learning rate or global_clipnorm"
            )
        )
        return outcomes.DIVERGED_BEFORE
    return None


def _carry_out(
    found: dict[Path, Claim | str],
    request: ResumeRequest,
    display: Display,
    native: NativeStderr,
    stops: Stops,
) -> list[str]:
    claims = {path: one for path, one in found.items() if isinstance(one, Claim)}
    became = {path: one for path, one in found.items() if isinstance(one, str)}
    if not claims:
        return list(became.values())
    device = device_for(request.device, [(path, one.recorded) for path, one in claims.items()])
    materials, obstacles = _prepared(claims, device, display)
    for number, (path, claim) in enumerate(claims.items(), start=1):
        if len(claims) > 1:
            display.say(f"\nrun {number} of {len(claims)}")
        with claim.folder as folder:
            try:
                if path in obstacles:
                    raise obstacles[path]
                became[path] = go_on(
                    folder,
                    claim.recorded,
                    claim.run,
                    materials,
                    display=display,
                    native=native,
                    stops=stops,
                )
            except UserError as error:
                tell(error)
                became[path] = outcomes.REFUSED
    return [became[path] for path in found]


def _prepared(
    claims: dict[Path, Claim], device: str, display: Display
) -> tuple["Materials", dict[Path, UserError]]:
    """What the runs need, prepared once; and why a run that lacks something can't go on.

    Raises:
        UserError: None of them has what it needs.
    """
    # The slow imports lie below this line, so that mistakes are answered at once.
    from optrun.runner.plan.resources import prepare

    try:
        return prepare(_plan(list(claims.values())), device=device, display=display), {}
    except UserError as error:
        if len(claims) == 1:
            raise
        whole = error
    obstacles: dict[Path, UserError] = {}
    for path, claim in claims.items():
        try:
            prepare(_plan([claim]), device=device, display=Display(display.console, quiet=True))
        except UserError as error:
            obstacles[path] = error
    able = [claim for path, claim in claims.items() if path not in obstacles]
    if not able:
        raise whole
    return prepare(_plan(able), device=device, display=display), obstacles


def _plan(claims: Sequence[Claim]) -> Plan:
    on_sample = all(claim.recorded.sample for claim in claims)
    return Plan(tuple(claim.run for claim in claims), on_sample=on_sample, stand_in_for=None)
