"""`optrun data verify`: a source read anew and compared with all that is prepared from it."""

import time
from collections.abc import Sequence

import click
from optrun.data.cache import library
from optrun.data.cache.checking import Finding, check
from optrun.data.cache.copies import Copy, copies
from optrun.data.printable import printable
from optrun.data.sources.built_in import NAMES, built_in
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.wording import number_of
from rich.console import Console

_MOST_LISTED = 100


def verify_photos(source: str) -> int:
    """Compare, and print what differs; returns 0 where nothing does, 1 where anything does."""
    where = library.location(source)
    display = Display(Console(stderr=True))
    started = time.monotonic()
    with photo_errors():
        if where in NAMES and built_in(where).missing():
            raise UserError(
                f"{where} was never obtained here, so there is nothing to compare with. "
                "`optrun data prepare` obtains it."
            )
        here = [copy for copy in copies() if copy.source == where and not copy.unfinished]
        if not here:
            raise UserError(
                f"Nothing is prepared from {where}, so there is nothing to verify. "
                f"`optrun data import {source}` prepares it."
            )
        with native_stderr_captured():
            try:
                display.photos_prepared(0, None)
                findings = check(where, here, progress=display.photos_prepared)
            finally:
                display.end_bar()
    click.echo(where)
    for copy in here:
        _tell(copy, findings[copy.folder])
    differing = sum(1 for found in findings.values() if found)
    if not differing:
        seconds = time.monotonic() - started
        click.echo(f"All as it was prepared. Read and decoded anew in {seconds:,.1f} s.")
        return 0
    differ = "prepared copy differs" if differing == 1 else "prepared copies differ"
    anew = f"optrun data remove {source}, then optrun data import {where}"
    click.echo(f"{differing} {differ}. To prepare anew: {anew}")
    return 1


def _tell(copy: Copy, findings: Sequence[Finding]) -> None:
    photos = number_of(sum(copy.counts), "photo")
    verdict = f"{number_of(len(findings), 'difference')}" if findings else "whole"
    click.echo(f"  {copy.how}: {photos}, {copy.left_out:,} left out: {verdict}")
    if copy.stale:
        click.echo(f"    note: no run uses it any more: {copy.stale}")
    for finding in findings[:_MOST_LISTED]:
        subject = printable(finding.photo_id) + ": " if finding.photo_id else ""
        click.echo(f"    {subject}{finding.what}")
    if len(findings) > _MOST_LISTED:
        click.echo(f"    and {len(findings) - _MOST_LISTED:,} more")
