"""`optrun verify`: options and help; the work is in `optrun.runner.verify`."""

from pathlib import Path
from typing import Any

import click
from optrun.runner.commands import options as shared


@click.command()
@click.argument("config", required=False, type=shared.PATH)
@shared.defaulted(
    "--kills", 3, click.IntRange(1, 1000), "How many times the run is killed.", metavar="N"
)
@click.option(
    "--kill-seed", type=shared.SEED, help="Kill at the moments of an earlier verification."
)
@shared.set_option("Override any key, the shortened ones too: --set training.epochs=5.")
@shared.seed_option
@shared.sample_option
@shared.device_option("train")
@shared.path_option("--keep", "FOLDER", "Keep both runs and their logs in this new folder.")
def verify(config: Path | None, **options: Any) -> None:
    """Prove on this machine that a run which was killed and resumed is the run that never was.

    \b
    optrun verify
    optrun verify configs/adam_vgg19.yaml --sample --kills 5

    Trains a short run, then the same again with SIGKILL at random moments, resuming each time, and
    compares weights, optimizer state, every metric row but the clocks, predictions, best epoch and
    result, bit for bit. Without CONFIG it is Lookahead on the built-in sample, about two minutes.

    A CONFIG is shortened: to 10 photos for each of a batch (160 at least), to 3 epochs, and saved
    several times a minute. Photo size and network stay, so that it may take long without --sample.
    On a GPU, training.deterministic is set, without which nothing is promised there.

    All happens in a temporary folder that is removed at the end, unless the runs differ.

    Exit codes: 0 identical, 1 different, 2 a mistake in the command or the config, 130 or 143
    interrupted.
    """
    from optrun.runner import verify as verification

    raise SystemExit(verification.verify(config, **options))
