"""A plan carried out: everything checked first, then run after run, each in a folder of its own."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from runner import plan as plans
from runner.display import Display
from runner.own_code import try_out
from runner.plan import Plan
from runner.quiet import native_stderr_captured
from runner.run_folder import check_writable
from runner.stopping import Interrupted, Stops, signals_heard


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
    dry_run: bool = False
    quiet: bool = False


def execute(request: Request) -> int:
    """Carry out what was asked for.

    Returns:
        The exit code: 0 done, 1 a run failed, 3 a run diverged, 130 or 143 interrupted.

    Raises:
        UserError: Something is wrong with the request; nothing was changed.
    """
    display = Display(Console(), quiet=request.quiet)
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
                from runner.forecast import forecast

                _try_out(plan)
                display.say(forecast(plan, request.results))
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


def _carry_out(plan: Plan, request: Request, display: Display, stops: Stops) -> int:
    _announce(plan, display)
    with native_stderr_captured() as native:
        # The slow imports lie below this line, so that mistakes are answered at once.
        from runner.preparation import prepare
        from runner.single_run import RunState, carry_out_run

        materials = prepare(plan, device=request.device, display=display)
        states: list[RunState] = []
        for number, run in enumerate(plan.runs, start=1):
            if len(plan.runs) > 1:
                display.say(f"\nrun {number} of {len(plan.runs)}")
            states.append(
                carry_out_run(
                    run,
                    materials,
                    results=request.results,
                    display=display,
                    native=native,
                    stops=stops,
                )
            )
    _conclude(plan, [state.name for state in states], request, display)
    if RunState.FAILED in states:
        return 1
    return 3 if RunState.DIVERGED in states else 0


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
            "Built-in sample: cats and dogs drawn by the program, a small VGG19 from random weights"
        )


def _conclude(plan: Plan, states: Sequence[str], request: Request, display: Display) -> None:
    display.say()
    if len(states) > 1:
        counts = {state: states.count(state) for state in dict.fromkeys(states)}
        display.say(
            f"{len(states)} runs: "
            + ", ".join(f"{count} {state.lower()}" for state, count in counts.items())
        )
    display.say(f"Next: optrun compare {request.results}")
    if plan.on_sample:
        display.say("These were sample runs: their numbers say nothing about real photos.")
