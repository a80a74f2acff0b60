"""The command `optrun compare`."""

from pathlib import Path

import click
from optrun.runner.commands import options as shared


@click.command()
@shared.results_argument
@shared.defaulted(
    "--sort",
    "best_validation_loss",
    str,
    "Column to sort by, best first: name, optimizer, seeds, or a measure named above.",
    metavar="COLUMN",
)
@shared.format_option("table", "markdown", "csv", "json", ending_of="--output (.md, .csv, .json)")
@shared.path_option("--output", "FILE", "Write to a file instead of the screen.", kind=shared.FILE)
def compare(results: tuple[Path, ...], sort: str, layout: str | None, output: Path | None) -> None:
    """Set the runs in RESULTS side by side: one row per experiment, mean and spread over seeds.

    RESULTS are folders of runs, or folders of single runs; without any, results/ is read.
    Nothing in them is changed.

    One run counts for each experiment and seed, the newest completed one; the others are named
    beneath. A seed that diverged is counted as such and is no part of a mean. Runs on the drawn
    sample and on real photos, and runs that differ in photos, model, precision, epochs or
    device, are in separate tables.

    \b
    Measures:
      best_validation_loss   best_validation_accuracy   final_validation_accuracy
      test_accuracy          test_log_loss              test_roc_auc
      gap_loss               gap_accuracy               images_per_second
      gradient_evaluations   training_seconds

    \b
    Exit code: 0 also where there is no run yet; 2 for a missing folder, an
    unknown column, or a file that cannot be written.
    """
    from optrun.runner.compare.compare import compare as run

    run(results, sort=sort, layout=layout, output=output)
