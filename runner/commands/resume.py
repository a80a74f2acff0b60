"""`optrun resume`: options and help; the work is in `runner.resumption`."""

import click

from runner.commands.options import device_option


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@device_option("train")
@click.option("--quiet", is_flag=True, help="Print nothing but each run's folder.")
def resume(runs: tuple[str, ...], device: str, quiet: bool) -> None:
    """Go on with runs that were interrupted or killed, from the very next batch.

    \b
    optrun resume teeggc

    RUN is the folder of a run, or its id or another part of its name where it is in results/. On
    the CPU, with the same machine and versions, the finished run is bit for bit the one that would
    have finished without the interruption.

    Exit codes: 0 done, 1 a run failed, 2 a run can't be resumed, 3 a run diverged, 5 another
    process writes it, 130 or 143 interrupted.
    """
    from runner.resumption import ResumeRequest, resume

    raise SystemExit(resume(ResumeRequest(runs=runs, device=device, quiet=quiet)))
