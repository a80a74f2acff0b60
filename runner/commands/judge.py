"""`optrun judge`: options and help; the work is in `optrun.runner.verdict`."""

from pathlib import Path
from typing import Any

import click
from optrun.runner.commands import options as shared


@click.command()
@click.argument("path", metavar="FILE.csv|FOLDER", type=shared.PATH)
@click.option(
    "--metric",
    metavar="NAME",
    help="A column, or a scalar (validation/epoch_accuracy). Default: the only one that there is.",
)
@click.option(
    "--better",
    type=click.Choice(["higher", "lower"]),
    help="Which values are better. Default: as the metric's name says (accuracy, loss, ...).",
)
@click.option("--baseline", metavar="NAME", help="Default: the experiment called sgd, or baseline.")
@shared.margin_option("The smallest difference that matters, in the metric's unit.")
@shared.defaulted(
    "--experiment-column", "experiment", str, "Where experiments are named.", metavar="COLUMN"
)
@shared.defaulted("--seed-column", "seed", str, "Where seeds are.", metavar="COLUMN")
@shared.path_option(
    "--runs-from",
    "FILE.csv",
    "Which run each folder is: columns folder, experiment, seed. Default: as it is called.",
    kind=shared.FILE,
)
@shared.format_option("table", "markdown", "csv", "json")
def judge(path: Path, **options: Any) -> None:
    """Say of anyone's numbers what won, by how much, and how sure that is.

    \b
    optrun judge measurements.csv --metric test_accuracy --baseline sgd
    optrun judge runs/ --metric validation/epoch_accuracy

    FILE.csv has a line for each experiment and seed, and columns called experiment, seed, and one
    for each metric. FOLDER has TensorBoard's event files, in a folder for each run that is called
    by experiment and seed: adam-s3, adam_seed3 or adam/s3. Of a scalar the value at a run's last
    step counts, and one in a folder below a run's is called by both: train/loss. Neither
    TensorBoard nor TensorFlow is needed to read it.

    Every experiment is set against the baseline, paired by seed: an exact test
    that flips the signs of the differences (all flips up to 20 seeds, 99,999 fixed ones beyond),
    adjusted by Holm's rule where there are several comparisons. The intervals invert the same
    test, so that they never disagree with it.

    In the JSON, p_value is that of a comparison alone, p_adjusted that of all together;
    conclusion is better, worse, no difference beyond margin, or no conclusion.

    \b
    Exit code: 0 whatever the verdict; 2 for a mistake in the command or the numbers.
    """
    from optrun.runner.verdict.judge import judge_file

    judge_file(path, **options)
