"""`optrun data list` and `remove`: the photos that are here, without opening any."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from optrun.data.cache import library
from optrun.data.cache.cache_key import directory
from optrun.data.cache.copies import Copy, copies, remove
from optrun.data.labels import PLURAL_NAMES
from optrun.data.printable import printable
from optrun.data.sources.built_in import NAMES
from optrun.data.sources.opening import lacking, open_source
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.ui.table import Column, row_lines
from optrun.runner.ui.text import widest
from optrun.runner.ui.wording import size

_COUNTS = tuple(map(str.upper, PLURAL_NAMES))


class _Listed(NamedTuple):
    """One source with what is prepared from it."""

    name: str | None  # None for a path that was never imported
    source: str  # a built-in name, or a path
    state: str  # what a person should know, such as "not obtained"; empty where all is well
    copies: Sequence[Copy]  # what is prepared and of use
    entry: library.Entry | None = None


def list_photos(*, layout: str) -> None:
    """Print the photos that are here, as a table or json."""
    with photo_errors():
        names = library.read()
        found = copies()
    listed = list(_listed(names, found))
    if layout == "json":
        click.echo(json.dumps(_content(listed, names.damaged, found), indent=1))
    else:
        click.echo("\n".join(_lines(listed, found)))
    for file in names.damaged:
        click.echo(
            f"note: {file} can't be read and names nothing. Import its photos again, or delete it.",
            err=True,
        )


def _listed(names: library.Library, found: Sequence[Copy]) -> Iterator[_Listed]:
    """Imported names first, then what is built in, then paths without a name."""
    by_source: dict[str, list[Copy]] = {}
    for copy in found:
        if copy.source and copy.usable:
            by_source.setdefault(copy.source, []).append(copy)
    for entry in names.entries.values():
        state = "" if Path(entry.path).exists() else "its source is no longer there"
        here = by_source.get(entry.path, [])
        whole = [copy for copy in here if not copy.how.limit]
        if here and all(copy.fingerprint != entry.fingerprint for copy in whole):
            state = "its photos have changed since the import"
        yield _Listed(entry.name, entry.path, state, here, entry)
    for name in NAMES:
        yield _Listed(name, name, lacking(name), by_source.get(name, []))
    named = {entry.path for entry in names.entries.values()} | set(NAMES)
    for source in sorted(by_source.keys() - named):
        yield _Listed(None, source, "", by_source[source])


def _lines(listed: Sequence[_Listed], found: Sequence[Copy]) -> Iterator[str]:
    header = ("NAME", "PREPARED", *_COUNTS, "FINGERPRINT", "DISK")
    rows = [header, *(row for one in listed for row in _rows(one))]
    cells = list(zip(*(row for row in rows if len(row) > 2), strict=True))
    columns = [Column(widest(texts), right=texts[0] in (*_COUNTS, "DISK")) for texts in cells]
    for row in rows:
        # A remark has two cells, the second of which no column holds.
        yield from row_lines(row, [columns[0], Column(0)] if len(row) == 2 else columns)
    if rest := [copy for copy in found if copy.unfinished and not copy.stale]:
        yield "\nUnfinished; a build goes on where it was when the photos are asked for again:"
        yield from (f"  {_copy_line(copy)}" for copy in rest)
    if stale := [copy for copy in found if copy.stale]:
        yield "\nStale, of use to no run any more (optrun data remove --stale):"
        yield from (f"  {_copy_line(copy)}" for copy in stale)
    yield f"\n{size(_total_bytes(found))} in {directory()}"


def _rows(one: _Listed) -> Iterator[Sequence[str]]:
    """A row for each copy, then remarks; the name stands in the first row alone."""
    rows: list[tuple[str, ...]] = []
    for copy in one.copies:
        counts = [f"{count:,}" for count in copy.counts]
        rows.append((str(copy.how), *counts, copy.fingerprint[:12], size(copy.disk_bytes)))
    if one.state or not one.copies:
        rows.append((one.state or "not prepared yet",))
    if one.source not in NAMES:
        rows.append((f"from {printable(one.source)}",))
    for number, row in enumerate(rows):
        yield ("" if number else one.name or "(no name)", *row)


def _content(
    listed: Sequence[_Listed], damaged: Sequence[Path], found: Sequence[Copy]
) -> dict[str, Any]:
    """All that is known, as plain values."""
    return {
        "cache": str(directory()),
        "disk_bytes": _total_bytes(found),
        "sources": [
            {
                "name": one.name,
                "source": one.source,
                "built_in": one.source in NAMES,
                "state": one.state,
                "imported": one.entry and one.entry.imported,
                "fingerprint": one.entry and one.entry.fingerprint,
                "prepared": [_copy(copy) for copy in one.copies],
            }
            for one in listed
        ],
        "unfinished": [_copy(copy) for copy in found if copy.unfinished],
        "stale": [_copy(copy) for copy in found if copy.stale],
        "damaged_names": [str(file) for file in damaged],
    }


def _copy(copy: Copy) -> dict[str, Any]:
    return {
        "folder": str(copy.folder),
        "source": copy.source,
        **vars(copy.how),
        **dict(zip(PLURAL_NAMES, copy.counts, strict=True)),
        "left_out": copy.left_out,
        "fingerprint": copy.fingerprint,
        "disk_bytes": copy.disk_bytes,
        "stale": copy.stale,
        "unfinished": copy.unfinished,
    }


def _copy_line(copy: Copy) -> str:
    """A prepared copy in a line: from where, how, what it takes, why it is stale."""
    what = printable(copy.source) if copy.source else copy.folder.name
    if copy.how.image_size:
        what += f" at {copy.how}"
    why = f": {copy.stale}" if copy.stale else ""
    return f"{what}, {size(copy.disk_bytes)}{why}"


def remove_photos(source: str | None, *, yes: bool) -> int:
    """Remove a name, or path, and what is prepared from it, or what is stale; 0 where done."""
    with photo_errors():
        if source is None:
            name, here = None, [copy for copy in copies() if copy.stale]
        else:
            name, here = _meant(source)
        return _remove(name, here, yes=yes)


def _meant(source: str) -> tuple[str | None, list[Copy]]:
    """The name to forget, if any, and the copies to remove."""
    entry = library.entry(source)
    if entry is None and library.is_damaged(source):
        return source, []
    # Nothing of a source that is gone can be opened, but what was prepared from it can be removed.
    where = library.location(source)
    name = entry.name if entry else None
    known = library.read().entries.values()
    others = [other.name for other in known if other.path == where and other.name != name]
    if others and name is None:
        raise UserError(
            f"{where} has the name {others[0]}: optrun data remove {others[0]} removes both"
        )
    # Photos that have another name too stay prepared for it.
    here = [] if others else [copy for copy in copies() if copy.source == where]
    if name is None and not here:
        if source not in NAMES:
            open_source(source)  # says what may be meant, where there is no such thing
        raise UserError(f"Nothing is prepared from {where}, and it has no name: nothing to remove.")
    return name, here


def _remove(name: str | None, here: Sequence[Copy], *, yes: bool) -> int:
    if name is None and not here:
        click.echo("Nothing is stale.")
        return 0
    named, prepared = [f"the name {name}"] if name else [], [_count(here)] if here else []
    what = " and ".join(named + prepared)
    for copy in here:
        click.echo(f"  {_copy_line(copy)}")
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"Nobody is here to confirm the removal of {what}; --yes does.")
        total = size(_total_bytes(here))
        if not click.confirm(f"Remove {what} ({total})? Your own files stay."):
            click.echo("Nothing was removed.")
            return 1
    kept = [copy for copy in here if not remove(copy)]
    freed = size(_total_bytes(here) - _total_bytes(kept))
    if kept:
        click.echo(f"{freed} freed.")
        names = ", ".join(copy.folder.name for copy in kept)
        click.echo(
            f"optrun: {_count(kept)} ({names}) stay{'s' if len(kept) == 1 else ''}: another "
            "process is at work on it. Wait until it ends, or stop it, and remove again.",
            err=True,
        )
        return 1
    if name:
        library.remove(name)
    click.echo(f"Removed {what}. {freed} freed; no file of yours was touched.")
    return 0


def _total_bytes(here: Sequence[Copy]) -> int:
    return sum(copy.disk_bytes for copy in here)


def _count(here: Sequence[Copy]) -> str:
    return f"{len(here):,} prepared {'copy' if len(here) == 1 else 'copies'}"
