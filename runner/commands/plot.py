"""The command `optrun plot`."""

from pathlib import Path

import click
from optrun.runner.commands import options as shared
from optrun.runner.verdict.metrics import AXES


@click.command()
@shared.results_argument
@shared.path_option(
    "--output",
    "FILE",
    "The picture to write, by its ending a .png, .svg or .pdf; one of that name is replaced.",
    short="-o",
    kind=shared.FILE,
    default="curves.png",
)
@shared.defaulted(
    "--by",
    "epochs",
    click.Choice(AXES),
    "What is spent, from left to right.",
)
@click.option(
    "--metric",
    type=click.Choice(["validation_loss", "validation_accuracy", "training_loss"]),
    help="Draw this alone, and larger.",
)
def plot(results: tuple[Path, ...], output: Path, by: str, metric: str | None) -> None:
    """Draw the curves of the runs in RESULTS into one picture, and say what they show.

    Its panels are validation loss, validation accuracy and training loss, and, where Lookahead
    trained, the loss of its slow weights beside that of its fast ones. Every seed has a thin line,
    every experiment a thick one with a band: the mean ± the standard deviation over seeds, of two
    seeds from one to the other. Runs that `optrun compare` would not rank together are below one
    another, in rows of their own.

    RESULTS are folders of runs, or folders of single runs; without any, results/ is read.
    Nothing in them is changed. A run that is not over is drawn as far as it is recorded. Trials
    that chose a setting are drawn where there is nothing else.

    Exit code: 0 done; 2 where there is no run, none has ended an epoch, or the file can't be
    written.
    """
    from optrun.runner.report.plot import plot as run

    run(results, output=output, by=by, metric=metric)
