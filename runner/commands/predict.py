"""`optrun predict`: options and help; the work is in `optrun.runner.inference`."""

from pathlib import Path
from typing import Any

import click
from optrun.runner.commands.options import ANY_PATH, device_option, flip_option, format_option


@click.command()
@click.argument("run")
@click.argument("photos", nargs=-1, metavar="[PHOTO]...", type=ANY_PATH)
@format_option("table", "csv", "json", ending_of="-o (.csv, .json)")
@click.option(
    "-o",
    "--output",
    type=ANY_PATH,
    metavar="FILE",
    help="Write to a new file instead of the screen.",
)
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
@flip_option
@click.option(
    "--kaggle",
    "archive",
    type=ANY_PATH,
    metavar="ARCHIVE",
    help="Answer the competition's test photos, in the format of a submission.",
)
@click.option(
    "--labels",
    type=click.Choice(["probability", "hard"]),
    help="With --kaggle: probabilities (default), or 0 and 1.",
)
@device_option("compute")
def predict(
    photos: tuple[Path, ...],
    layout: str | None,
    output: Path | None,
    archive: Path | None,
    labels: str | None,
    **options: Any,
) -> None:
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
    if archive is None:
        if not photos:
            raise click.UsageError("Name at least one PHOTO, or --kaggle ARCHIVE.")
        if labels is not None:
            raise click.UsageError("--labels is for --kaggle alone.")
        from optrun.runner.inference import predict as answers

        code = answers.predict(photos=photos, layout=layout, output=output, **options)
        raise SystemExit(code)
    if photos:
        raise click.UsageError("PHOTO and --kaggle cannot be given together.")
    if layout is not None:
        raise click.UsageError("--format cannot be given with --kaggle, whose format is fixed.")
    if output is None:
        raise click.UsageError("--kaggle needs -o FILE, such as -o submission.csv.")
    from optrun.runner.inference import submit

    labels = labels or "probability"
    raise SystemExit(submit.submit(archive=archive, output=output, labels=labels, **options))
