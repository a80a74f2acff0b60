"""The command `optrun compare`."""

from pathlib import Path
from typing import Any

import click
from optrun.runner.commands import options as shared
from optrun.runner.verdict.metrics import AXES


@click.command(cls=shared.WithMeasures)
@shared.results_argument
@shared.metric_option
@click.option(
    "--by",
    type=click.Choice(AXES),
    help="Judge the best validation_accuracy (or --metric validation_loss) within as much of this "
    "as all runs have, and tell what it took to reach --target.",
)
@click.option(
    "--target",
    type=float,
    callback=shared.finite,
    metavar="NUMBER",
    help="With --by, in the unit of the table. Default: the baseline's median final value.",
)
@shared.baseline_option
@shared.margin_of_tables
@shared.allow_option
@click.option(
    "--require",
    metavar="A>=B",
    multiple=True,
    help="Exit with 4 where B is better than A, or the seeds can never conclude. May be repeated.",
)
@shared.flag("--per-seed", "Show each seed's value, and its difference from the baseline's.")
@shared.defaulted(
    "--sort",
    "best_validation_loss",
    str,
    "Column to sort by, best first: name, optimizer, seeds, or a measure named above.",
    metavar="COLUMN",
)
@shared.format_option("table", "markdown", "csv", "json", ending_of="--output (.md, .csv, .json)")
@shared.path_option(
    "--output", "FILE", "Write to a file instead of the screen.", short="-o", kind=shared.FILE
)
def compare(results: tuple[Path, ...], **options: Any) -> None:
    """Say of the runs in RESULTS which won, by how much, and how sure that is.

    Every experiment is set against the baseline, paired by seed where the runs began from the same
    weights and photos: an exact test that flips the signs of the differences, adjusted by Holm's
    rule, and the interval that inverts it. Beneath, one row for each experiment shows mean and
    spread over seeds.

    RESULTS are folders of runs, or folders of single runs; without any, results/ is read.
    Nothing in them is changed.

    One run counts for each experiment and seed, the newest completed one; the others are named
    beneath. A seed that diverged is counted as such and is no part of a mean. Runs on the drawn
    sample and on real photos, and runs that differ in photos, model, weights, precision, epochs,
    device, engine, TensorFlow or Keras, are in separate tables.

    \b
    Exit code: 0 whatever the verdict, and where there is no run yet; 2 for a
    missing folder, an unknown column, a measure that no run has, or a file that
    cannot be written; 4 where what --require asks for is not so.
    """
    if options["target"] is not None and options["by"] is None:
        raise click.UsageError("--target is what --by asks the cost of.")
    if options["require"] and options["by"]:
        raise click.UsageError("--require is about whole trainings, --by about parts of them.")
    from optrun.runner.compare.compare import compare as run

    if code := run(results, **options):
        raise click.exceptions.Exit(code)
