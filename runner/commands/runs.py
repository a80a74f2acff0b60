"""`optrun runs`: options and help; the work is in `optrun.runner.runs`."""

from pathlib import Path

import click
from optrun.runner.commands.options import format_option, results_argument, yes_option

_layout = format_option("table", "json")


class _ListByDefault(click.Group):
    """Takes `optrun runs RESULTS` for `optrun runs list RESULTS`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            if args and not Path(args[0]).exists():
                from optrun.runner.ui.wording import nearest

                if near := nearest(args[0], self.commands):
                    message = f"No such command '{args[0]}'. Did you mean '{near}'?"
                    raise click.UsageError(message, ctx)
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault, options_metavar="", subcommand_metavar="[RESULTS]... | COMMAND")
def runs() -> None:
    """List the runs in results/; show, compare or remove single ones.

    \b
    optrun runs
    optrun runs show k3f9ab
    optrun runs diff lookahead_vgg19-s1-k3f9ab sgd_vgg19-s1-teeggc
    optrun runs remove k3f9ab

    A RUN is the folder of a run, or any part of a name that only one run in results/ has.
    """


@runs.command(
    name="list", short_help="List runs: state, test accuracy, optimizer, what would resume."
)
@results_argument
@_layout
def list_(results: tuple[Path, ...], layout: str) -> None:
    """List the runs in RESULTS, the newest last, with what is known of each without TensorFlow.

    RESULTS are folders of runs, or folders of single runs; without any, results/ is read.
    `optrun runs RESULTS` does the same. Nothing in them is changed. TEST is the test accuracy of a
    completed run. The optimizer with its learning rate has a column where the terminal has room for
    all of them, else a line below the run's.

    A run that was interrupted, failed, or was killed would resume from its newest checkpoint that
    looks whole, or from the start where it has none. One that says it is running while no process
    holds it was killed; the system does so with processes that take too much memory. Folders that
    can't be read are listed with the reason.

    Exit code: 0 also where there is no run; 2 for a missing folder.
    """
    from optrun.runner.runs.listing import list_runs

    list_runs(results, layout=layout)


@runs.command(short_help="Show all there is to know of a run.")
@click.argument("run", metavar="RUN")
@_layout
def show(run: str, layout: str) -> None:
    """Show what RUN is, how it stands, what came out, and where the time went.

    Exit code: 0 done; 1 where its run.json can't be read, and what can is shown; 2 where there is
    no such run.
    """
    from optrun.runner.runs.show import show_run

    raise click.exceptions.Exit(show_run(run, layout=layout))


@runs.command(short_help="Show what differs between two runs.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@_layout
def diff(a: str, b: str, layout: str) -> None:
    """Set two runs side by side: configuration, photos and start, environment, result.

    Only what differs is shown; of the rest it is said that it is the same. Whether a difference in
    results means anything is for `optrun compare` to say, over several seeds.

    Exit code: 0 also where they differ; 2 where there is no such run, or it can't be read.
    """
    from optrun.runner.runs.diff import diff_runs

    diff_runs(a, b, layout=layout)


@runs.command(short_help="Remove runs, and free their disk.")
@click.argument("chosen", nargs=-1, required=True, metavar="RUN...")
@yes_option
def remove(chosen: tuple[str, ...], yes: bool) -> None:
    """Remove each RUN with all its files: results, checkpoints, log.

    A run that a process is writing is never removed, and no folder that holds anything that no run
    writes: your own notes, say. Links are not followed.

    Exit code: 0 done; 1 where you said no; 2 where there is no such run, or it can't be removed; 5
    where a process holds one. Nothing is removed unless all that are named can be.
    """
    from optrun.runner.runs.remove import remove_runs

    raise click.exceptions.Exit(remove_runs(chosen, yes=yes))
