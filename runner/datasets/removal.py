"""`optrun data remove`: names forgotten, prepared copies removed; a person's own files stay."""

import sys
from collections.abc import Sequence

import click
from optrun.data.cache import library
from optrun.data.cache.copies import Copy, copies, remove
from optrun.data.sources import open_source
from optrun.runner.datasets.dataset_wording import copy_line
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.ui.wording import size


def remove_photos(source: str | None, *, yes: bool) -> int:
    """Remove a name with what is prepared from its photos, or what is stale.

    Args:
        source: A name, or the path of photos that have none; None for all that is stale.
        yes: Whether not to ask.

    Returns:
        0 done; 1 where the person said no, or another process is at work on it.

    Raises:
        UserError: There is nothing of that name, or it can't be removed.
    """
    with photo_errors():
        if source is None:
            return _remove(None, [copy for copy in copies() if copy.stale], yes=yes)
        return _remove(*_meant(source), yes=yes)


def _meant(source: str) -> tuple[str | None, list[Copy]]:
    """The name to forget, if any, and the copies to remove."""
    entry = library.entry(source)
    if entry is None and library.is_damaged(source):
        return source, []
    # Nothing of a source that is gone can be opened, but what was prepared from it can be removed.
    where = library.location(source)
    others = [
        other.name
        for other in library.read().entries.values()
        if other.path == where and (entry is None or other.name != entry.name)
    ]
    if others and entry is None:
        raise UserError(
            f"{where} has the name {others[0]}: optrun data remove {others[0]} removes both"
        )
    # Photos that have another name too stay prepared for it.
    here = [] if others else [copy for copy in copies() if copy.source == where]
    if entry is None and not here:
        if source not in library.BUILT_IN:
            open_source(source)  # says what may be meant, where there is no such thing
        raise UserError(f"Nothing is prepared from {where}, and it has no name: nothing to remove.")
    return entry.name if entry else None, here


def _remove(name: str | None, here: Sequence[Copy], *, yes: bool) -> int:
    total = size(sum(copy.disk_bytes for copy in here))
    if name is None and not here:
        click.echo("Nothing is stale.")
        return 0
    what = " and ".join(
        ([f"the name {name}"] if name else []) + ([_copies(len(here))] if here else [])
    )
    for copy in here:
        click.echo(f"  {copy_line(copy)}")
    if not yes and not _confirmed(what, total):
        click.echo("Nothing was removed.")
        return 1
    kept = [copy for copy in here if not remove(copy)]
    freed = size(sum(copy.disk_bytes for copy in here) - sum(copy.disk_bytes for copy in kept))
    if kept:
        click.echo(f"{freed} freed.")
        names = ", ".join(copy.folder.name for copy in kept)
        click.echo(
            f"optrun: {_copies(len(kept))} ({names}) stay{'s' if len(kept) == 1 else ''}: another "
            "process is at work on it. Wait until it ends, or stop it, and remove again.",
            err=True,
        )
        return 1
    if name:
        library.remove(name)
    click.echo(f"Removed {what}. {freed} freed; no file of yours was touched.")
    return 0


def _confirmed(what: str, total: str) -> bool:
    if not sys.stdin.isatty():
        raise UserError(f"Nobody is here to confirm the removal of {what}; --yes does.")
    return click.confirm(f"Remove {what} ({total})? Your own files stay.")


def _copies(count: int) -> str:
    return "1 prepared copy" if count == 1 else f"{count:,} prepared copies"
