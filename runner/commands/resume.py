"""`optrun resume`: options and help; the work is in `optrun.runner.plan.resume`."""

import click
from optrun.runner.commands.options import device_option, quiet_option


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@device_option("train", auto="auto is where the run began")
@quiet_option
def resume(runs: tuple[str, ...], device: str, quiet: bool) -> None:
    """Go on with runs that were interrupted or killed, from the very next batch.

    \b
    optrun resume teeggc
    optrun resume results/lookahead_vgg19-s*

    RUN is the folder of a run, or its id or another part of its name where it is in results/. On
    the CPU, with the same machine and versions, the finished run is bit for bit the one that would
    have finished without the interruption. What `auto` was when it began (precision, XLA, device)
    is kept; what else has changed, such as versions, is said and recorded.

    Several runs go on one after another; one that fails, diverges or can't be resumed doesn't keep
    the next. A whole plan, with the runs that have not begun: optrun train CONFIG... --resume

    Exit codes: 0 done or completed before; 1 a run failed; 2 a run can't be resumed; 3 a run
    diverged, now or before; 5 another process writes one; 130 or 143 interrupted. Of several the
    first of 1, 2, 5 and 3 counts.
    """
    from optrun.runner.plan.resume import ResumeRequest, resume

    raise SystemExit(resume(ResumeRequest(runs=runs, device=device, quiet=quiet)))
