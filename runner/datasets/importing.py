"""`optrun data import`: photos decoded once, looked through, and given a name."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from optrun.data.cache import library
from optrun.data.cache.cache import directory
from optrun.data.cache.cache_key import Resize
from optrun.data.photos import Photos
from optrun.data.sources import open_source
from optrun.runner.datasets.contents import divided, duplicated, junk, labelled
from optrun.runner.datasets.preparing import Preparation, prepared
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.ui.wording import number_of, size

_WIDEST = 110
_INDENT = 15  # where the text of a line begins, behind its heading


def import_photos(
    path: str,
    *,
    name: str | None,
    image_size: int,
    resize: Resize,
    antialias: bool,
    strict: bool,
    verbose: bool,
) -> None:
    """Prepare photos, say what is in them, and keep a name for them.

    Args:
        path: A folder or an archive; or a name, to prepare its photos in another way.
        name: What to call them; None takes the one they have, or makes one of the file's name.
        image_size: As for `optrun.data.cache.prepare.prepare`, like the two that follow.
        resize: "squash", "crop" or "pad".
        antialias: Whether to smooth.
        strict: Whether junk is an error.
        verbose: Whether to list all that was left out and all duplicates.

    Raises:
        UserError: No photos, a name that is taken, junk where that is an error.
    """
    how = Preparation(image_size, resize, antialias)
    with photo_errors():
        where = _place(path)
        chosen = name if name is not None else _name_of(where) or library.name_for(where)
        library.require_free(chosen, where)
        photos, seconds = prepared(str(where), how)
        before = library.entry(chosen)
        if strict and photos.left_out:
            raise UserError(_refusal(photos, where))
        if before is None or before.fingerprint != photos.fingerprint:
            library.register(chosen, where, photos.fingerprint)
    click.echo(f"{chosen}: {where}")
    print_report(chosen, photos, how, seconds, before=before, verbose=verbose)


def print_report(
    name: str,
    photos: Photos,
    how: Preparation,
    seconds: float | None,
    *,
    before: library.Entry | None = None,
    verbose: bool,
) -> None:
    """Print what is in prepared photos, and how to train on them.

    Args:
        name: What stands in `data.source`.
        photos: What was prepared.
        how: In which way.
        seconds: How long it took; None where it was there.
        before: What was known of the name, if it was known.
        verbose: Whether to list all that was left out and all duplicates.
    """
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    for heading, lines in _report(photos, how, seconds, before, width - _INDENT - 2, verbose):
        for number, line in enumerate(lines):
            click.echo(f"  {heading if number == 0 else '':<{_INDENT - 2}}{line}")
    click.echo(f"Use it:  optrun train CONFIG --set data.source={name}")


def _place(path: str) -> Path:
    """The folder or archive, made sure that there is one."""
    here = library.expanded(path)
    if path in library.BUILT_IN and not here.exists():
        advice = "; `optrun data prepare` obtains it" if path == "cats_vs_dogs" else ""
        raise UserError(f"{path} is built in and needs no import{advice}.")
    where = str(here.absolute()) if here.exists() else library.location(path)
    if not Path(where).exists():
        open_source(path)  # says what is missing, and what may be meant
    return Path(where).resolve()


def _name_of(where: Path) -> str | None:
    """The name that photos at a path have already."""
    entries = library.read().entries.values()
    return next((entry.name for entry in entries if entry.path == str(where)), None)


def _report(
    photos: Photos,
    how: Preparation,
    seconds: float | None,
    before: library.Entry | None,
    width: int,
    verbose: bool,
) -> Iterator[tuple[str, Sequence[str]]]:
    """The lines to print, below the heading of each."""
    yield "photos", [labelled(photos)]
    yield "parts", divided(photos, width)
    if lines := duplicated(photos, width, verbose=verbose):
        yield "duplicates", lines
    if lines := junk(photos, width, verbose=verbose):
        yield "left out", lines
    yield "fingerprint", [photos.fingerprint[:16]]
    done = "before: nothing to do" if seconds is None else f"in {seconds:,.1f} s"
    yield "prepared", [f"{how}, {done}", f"{size(photos.pixels.nbytes)} in {directory()}"]
    if before is not None and before.fingerprint != photos.fingerprint:
        yield (
            "changed",
            [
                f"other photos than at the last import, {before.imported[:10]}: "
                f"the fingerprint was {before.fingerprint[:16]}"
            ],
        )


def _refusal(photos: Photos, where: Path) -> str:
    lines = junk(photos, _WIDEST - _INDENT, verbose=True)
    return "\n".join(
        [
            f"{where} holds {number_of(len(photos.left_out), 'file')} that --strict does not "
            "allow; nothing was registered.",
            *(f"  {line}" for line in lines[1:]),
            "Take these out, or import without --strict: then they are left out of every run.",
        ]
    )
