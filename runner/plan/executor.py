"""A plan carried out: everything checked first, then run after run, each in a folder of its own."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from optrun.runner.engine.signals import Interrupted, Stops, signals_heard
from optrun.runner.plan import outcomes
from optrun.runner.plan import plan as plans
from optrun.runner.plan import progress as plan_progress
from optrun.runner.plan.plan import Plan
from optrun.runner.plan.turns import Turns, left_as_it_is
from optrun.runner.runs.run_folder import check_writable
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.user_optimizer import try_out
from rich.console import Console


@dataclass(frozen=True)
class Request:
    """What the command line asked for; see `optrun train --help`."""

    configs: Sequence[Path]
    overrides: Sequence[str]
    seeds: Sequence[int] | None = None
    sample: bool = False
    real: bool = False
    device: str = "auto"
    results: Path = Path("results")
    resume: bool = False
    dry_run: bool = False
    quiet: bool = False


def execute(request: Request, display: Display | None = None) -> int:
    """Carry out what was asked for.

    Args:
        request: What to do.
        display: Where to show how it goes; None for the terminal.

    Returns:
        The exit code: 0 done, 1 a run failed or can't be resumed, 3 a run diverged, now or before,
        5 another process writes one, 130 or 143 interrupted.

    Raises:
        UserError: Something is wrong with the request; nothing was changed.
    """
    display = display or Display(Console(), quiet=request.quiet)
    try:
        with signals_heard() as stops:
            plan = plans.make(
                request.configs,
                request.overrides,
                seeds=request.seeds,
                sample=request.sample,
                real=request.real,
            )
            check_writable(request.results)
            if request.dry_run:
                _forecast(plan, request, display)
                return 0
            return _carry_out(plan, request, display, stops)
    except Interrupted as stop:
        display.end_bar()
        print("optrun: interrupted", file=sys.stderr)
        return stop.exit_code


def _try_out(plan: Plan) -> None:
    with native_stderr_captured():
        for run in {run.config: run for run in plan.runs}.values():
            try_out(run.experiment, run.origins)


def _forecast(plan: Plan, request: Request, display: Display) -> None:
    from optrun.runner.plan.forecast import forecast

    _try_out(plan)
    if request.resume:
        found = plan_progress.choices(plan, request.results)
        for line in plan_progress.lines(found):
            display.say(line)
        plan = replace(plan, runs=tuple(one.run for one in found if not one.is_over))
        if not plan.runs:
            return
        display.say("\nWhat is left, each run counted from its beginning:")
    display.say(forecast(plan, request.results))


def _carry_out(plan: Plan, request: Request, display: Display, stops: Stops) -> int:
    _announce(plan, display)
    if request.resume:
        found = plan_progress.choices(plan, request.results)
        for line in plan_progress.lines(found):
            display.say(line)
    else:
        found = [plan_progress.to_start(run) for run in plan.runs]
    open_ones = [one for one in found if not one.is_over or one.from_elsewhere]
    if open_ones:
        try:
            with native_stderr_captured() as native:
                turns = Turns(plan, request, display, native, stops, found)
                became = [turns.take(index) for index in range(len(found))]
        except KeyboardInterrupt:
            display.end_bar()
            if len(plan.runs) > 1:
                display.say("To go on with the plan: the same command with --resume")
            raise
    else:
        became = [left_as_it_is(one, display) for one in found]
    _conclude(plan, became, request, display)
    return outcomes.exit_code(became, refused=1)


def _announce(plan: Plan, display: Display) -> None:
    if plan.stand_in_for is not None:
        # Also where only folders are printed: whoever meant real photos must hear of this.
        Console(stderr=True).print(
            f"THE BUILT-IN SAMPLE STANDS IN: {plan.stand_in_for}. These runs train a small network "
            "on drawn cats and dogs, with the configs' `sample:` settings; their names begin "
            "`sample-`. To have an error instead: --real",
            style="bold yellow",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    elif plan.on_sample:
        display.say(
            "Built-in sample: cats and dogs drawn by the program, a small network from random "
            "weights"
        )


def _conclude(plan: Plan, became: Sequence[str], request: Request, display: Display) -> None:
    display.say()
    if len(became) > 1:
        display.say(outcomes.summary(became))
    if outcomes.FAILED in became:
        display.say("To go on with what failed: the same command with --resume")
    display.say(f"Next: optrun compare {request.results}")
    if plan.on_sample:
        display.say("These were sample runs: their numbers say nothing about real photos.")
