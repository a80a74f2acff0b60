"""`optrun evaluate`: options and help; the work is in `optrun.runner.inference`."""

from typing import Any

import click
from optrun.runner.commands import options as shared


@click.command()
@click.argument("run")
@click.option(
    "--data",
    metavar="NAME|PATH",
    help="Measure on these labelled photos, all but those that the network was trained on.",
)
@shared.flag(
    "--include-training-photos",
    "Of --data, measure on the photos that the network was trained on, too; this is said.",
)
@shared.flip_option
@shared.format_option(
    "table", "json", "csv", help="What to print; json holds all there is, csv a line for each part."
)
@shared.path_option(
    "--sheet",
    "FILE.png",
    "Contact sheet of the mistakes, replaced where it exists. Default: most-wrong-RUN.png.",
)
@shared.flag("--no-sheet", "Draw no contact sheet.")
@shared.device_option("compute")
def evaluate(**options: Any) -> None:
    """Measure how good a trained network is, and show the photos it is most wrong about.

    \b
    optrun evaluate k3f9ab
    optrun evaluate k3f9ab --data holiday-photos --sheet mistakes.png

    RUN is the folder of a run, or its id or another part of its name where it is in results/; the
    weights are those of its best epoch. Without --data it is measured on the run's own validation
    and test photos, as far as they are still where they were. With --data, photos are made ready
    as the run's were, and the run's training photos among them are left out: the run knows them by
    their content, whatever became of the source it was trained on.

    Accuracy, log loss and ROC AUC come with 95% intervals over photos: Clopper and Pearson's,
    Hall's, and DeLong's joined with Newcombe's. The calibration error is the mean distance
    between probability and share over bins of equally many photos; beside it stands what a
    calibrated network would show on as few photos.

    Nothing is written but the contact sheet, and never into the run's folder.

    \b
    Exit code: 0; 2 for a mistake in the command, a run without usable weights,
    photos that are not what they were, or a file that cannot be written.
    """
    if options["sheet"] is not None and options["no_sheet"]:
        raise click.UsageError("--sheet and --no-sheet contradict each other.")
    if options["include_training_photos"] and options["data"] is None:
        raise click.UsageError("--include-training-photos is of photos that --data names.")
    from optrun.runner.inference.evaluation import evaluate

    evaluate(**options)
