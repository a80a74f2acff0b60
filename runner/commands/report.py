"""The command `optrun report`."""

from pathlib import Path
from typing import Any

import click
from optrun.runner.commands import options as shared


@click.command(cls=shared.WithMeasures)
@shared.results_argument
@shared.path_option(
    "--output", "FILE", "The page.", short="-o", kind=shared.FILE, default="report.html"
)
@shared.metric_option
@shared.baseline_option
@shared.margin_of_tables
@shared.allow_option
@shared.path_option(
    "--figures", "DIR", "Write each figure there too: PNG, SVG and PDF, and its numbers as CSV."
)
def report(results: tuple[Path, ...], **options: Any) -> None:
    """Write one page about the runs in RESULTS: the verdict, the table, figures, how to repeat it.

    The page is one file that opens by a double click, on a phone and in print too. It asks the
    network for nothing and needs no script. Sentences and numbers are those of `optrun compare`,
    and every figure has its numbers below it, as a table and as CSV.

    RESULTS are folders of runs, or folders of single runs; without any, results/ is read.
    Nothing in them is changed.

    \b
    Exit code: 0 whatever the verdict; 2 where there is no run, and for a mistake
    or a file that cannot be written; then none is.
    """
    from optrun.runner.report.report import report as run

    run(results, **options)
