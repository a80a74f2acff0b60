"""`optrun predict`: options and help; the work is in `optrun.runner.inference`."""

from pathlib import Path
from typing import Any

import click
from optrun.runner.commands import options as shared


@click.command()
@click.argument("run")
@click.argument("photos", nargs=-1, metavar="[PHOTO]...", type=shared.PATH)
@shared.format_option("table", "csv", "json", ending_of="-o (.csv, .json)")
@shared.path_option("--output", "FILE", "Write to a new file instead of the screen.", short="-o")
@shared.flag("--force", "Replace FILE where it exists.")
@shared.flip_option
@shared.path_option(
    "--kaggle", "ARCHIVE", "Answer the competition's test photos, in the format of a submission."
)
@click.option(
    "--labels",
    type=click.Choice(["probability", "hard"]),
    help="With --kaggle: probabilities (default), or 0 and 1.",
)
@shared.device_option("compute")
def predict(kaggle: Path | None, labels: str | None, **options: Any) -> None:
    """Say of each PHOTO what a trained network sees, and how sure it is.

    \b
    optrun predict k3f9ab photo.jpg holiday/ more.zip
    optrun predict k3f9ab holiday/ --format csv > answers.csv
    optrun predict k3f9ab --kaggle archive.zip -o submission.csv

    RUN is the folder of a run, or its id or another part of its name where it is in results/; the
    weights are those of its best epoch. PHOTO is a file, a folder or a zip archive.

    The answers come as they are found, and a million photos take no more memory than a thousand.
    The probability in a table is that of the answer; CSV and JSON have that of the second class as
    well. A photo that can't be read is named on stderr, and the others go on.

    --kaggle takes the archive as downloaded, or test1.zip, or a folder of either, and checks the
    ids by its sampleSubmission.csv. Probabilities are clipped to c ... 1 - c, where c is chosen by
    the log loss of the run's validation photos; a test photo that can't be read gets 0.5.

    \b
    Exit code: 0; 1 where photos could not be read; 2 for a mistake in the command,
    a run without usable weights, or a file that cannot be written.
    """
    if kaggle is None:
        if not options["photos"]:
            raise click.UsageError("Name at least one PHOTO, or --kaggle ARCHIVE.")
        if labels is not None:
            raise click.UsageError("--labels is for --kaggle alone.")
        from optrun.runner.inference.prediction import predict

        raise SystemExit(predict(**options))
    if options.pop("photos"):
        raise click.UsageError("PHOTO and --kaggle cannot be given together.")
    if options.pop("layout") is not None:
        raise click.UsageError("--format cannot be given with --kaggle, whose format is fixed.")
    if options["output"] is None:
        raise click.UsageError("--kaggle needs -o FILE, such as -o submission.csv.")
    from optrun.runner.inference.submit import submit

    raise SystemExit(submit(archive=kaggle, labels=labels or "probability", **options))
