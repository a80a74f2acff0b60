"""`optrun data prepare`: the public photos obtained, decoded once, and looked through."""

from pathlib import Path

import click
from optrun.data.cache import prepare
from optrun.data.cache.cache_key import Resize
from optrun.runner.datasets.acquire import obtain
from optrun.runner.datasets.contents import junk
from optrun.runner.datasets.importing import print_report
from optrun.runner.datasets.preparing import Preparation, prepared
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.wording import number_of
from rich.console import Console

PUBLIC = "cats_vs_dogs"


def prepare_public(
    archive: Path | None,
    *,
    image_size: int,
    resize: Resize,
    antialias: bool,
    strict: bool,
    verbose: bool,
) -> None:
    """Obtain the public photos, decode them once, and say what is in them.

    Args:
        archive: The published archive, downloaded by the person; None to download it.
        image_size: As for `optrun.data.cache.prepare.prepare`, like the two that follow.
        resize: "squash", "crop" or "pad".
        antialias: Whether to smooth.
        strict: Whether photos that can't be used are an error.
        verbose: Whether to list all that was left out and all duplicates.

    Raises:
        UserError: They can't be had, or hold what `strict` does not allow.
    """
    how = Preparation(image_size, resize, antialias)
    with photo_errors():
        is_decoded = (
            prepare.prepared(PUBLIC, image_size=image_size, resize=resize, antialias=antialias)
            is not None
        )
        if archive is not None or not is_decoded:
            with native_stderr_captured():
                obtain(Console(stderr=True), archive)
        photos, seconds = prepared(PUBLIC, how)
    if strict and photos.left_out:
        raise UserError(
            "\n".join(
                [
                    f"{PUBLIC} holds {number_of(len(photos.left_out), 'file')} that --strict does "
                    "not allow:",
                    *(f"  {line}" for line in junk(photos, 100, verbose=True)[1:]),
                    "Without --strict they are left out of every run.",
                ]
            )
        )
    click.echo(f"{PUBLIC}: the public photos")
    print_report(PUBLIC, photos, how, seconds, verbose=verbose)
