"""`optrun data list` and `remove`: the photos that are here, without opening any."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from optrun.data.cache.cache_key import directory
from optrun.data.cache.copies import Copy, copies, remove
from optrun.data.labels import PLURAL_NAMES
from optrun.data.printable import printable
from optrun.data.sources import library
from optrun.data.sources.built_in import NAMES
from optrun.data.sources.opening import lacking, open_source
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.ui.table import Column, row_lines
from optrun.runner.ui.text import widest
from optrun.runner.ui.wording import size

_COUNTS = tuple(map(str.upper, PLURAL_NAMES))


def list_photos(*, layout: str) -> None:
    """Print the photos that are here, as a table or json."""
    with photo_errors():
        names = library.read()
        found = copies()
    content = {
        "cache": str(directory()),
        "disk_bytes": _total_bytes(found),
        "sources": list(_sources(names, found)),
        "unfinished": [copy for copy in found if copy.unfinished],
        "stale": [copy for copy in found if copy.stale],
        "damaged_names": list(map(str, names.damaged)),
    }
    as_json = layout == "json"
    click.echo(json.dumps(content, indent=1, default=_copy) if as_json else _table(content))
    for file in names.damaged:
        click.echo(
            f"note: {file} can't be read and names nothing. Import its photos again, or delete it.",
            err=True,
        )


def _sources(names: library.Library, found: Sequence[Copy]) -> Iterator[dict[str, Any]]:
    """Imported names first, then what is built in, then paths without a name."""
    by_source: dict[str, list[Copy]] = {}
    for copy in found:
        if copy.source and copy.usable:
            by_source.setdefault(copy.source, []).append(copy)
    listed = [(name, one.path) for name, one in names.entries.items()]
    listed += [(name, name) for name in NAMES]
    unnamed = sorted(by_source.keys() - {source for _, source in listed})
    for name, source in [*listed, *(("", source) for source in unnamed)]:
        entry, here = names.entries.get(name), by_source.get(source, [])
        state = lacking(source) if source in NAMES else ""
        if entry is not None:
            state = "" if Path(source).exists() else "its source is no longer there"
            whole = [copy for copy in here if not copy.how.limit]
            if here and all(copy.fingerprint != entry.fingerprint for copy in whole):
                state = "its photos have changed since the import"
        yield {
            "name": name or None,  # None for a path that was never imported
            "source": source,  # a built-in name, or a path
            "built_in": source in NAMES,
            "state": state,  # what a person should know; empty where all is well
            "imported": entry and entry.imported,
            "fingerprint": entry and entry.fingerprint,
            "prepared": here,
        }


def _table(content: dict[str, Any]) -> str:
    header = ("NAME", "PREPARED", *_COUNTS, "FINGERPRINT", "DISK")
    rows = [header, *(row for one in content["sources"] for row in _rows(one))]
    cells = list(zip(*(row for row in rows if len(row) > 2), strict=True))
    columns = [Column(widest(texts), right=texts[0] in (*_COUNTS, "DISK")) for texts in cells]
    lines = []
    for row in rows:
        # A remark has two cells, the second of which no column holds.
        lines += row_lines(row, [columns[0], Column(0)] if len(row) == 2 else columns)
    unfinished = "Unfinished; a build goes on where it was when the photos are asked for again:"
    stale = "Stale, of use to no run any more (optrun data remove --stale):"
    for what, here in (
        (unfinished, [copy for copy in content["unfinished"] if not copy.stale]),
        (stale, content["stale"]),
    ):
        if here:
            lines += [f"\n{what}", *(f"  {_copy_line(copy)}" for copy in here)]
    return "\n".join([*lines, f"\n{size(content['disk_bytes'])} in {content['cache']}"])


def _rows(source: dict[str, Any]) -> Iterator[Sequence[str]]:
    """A row for each copy, then remarks; the name stands in the first row alone."""
    rows: list[tuple[str, ...]] = []
    for copy in source["prepared"]:
        counts = [f"{count:,}" for count in copy.counts]
        rows.append((str(copy.how), *counts, copy.fingerprint[:12], size(copy.disk_bytes)))
    if source["state"] or not rows:
        rows.append((source["state"] or "not prepared yet",))
    if not source["built_in"]:
        rows.append((f"from {printable(source['source'])}",))
    for number, row in enumerate(rows):
        yield ("" if number else source["name"] or "(no name)", *row)


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


def remove_photos(source: str | None, *, yes: bool) -> int:
    """Remove a name, or path, and what is prepared from it, or what is stale; 0 where done."""
    with photo_errors():
        if source is None:
            name, here = None, [copy for copy in copies() if copy.stale]
        else:
            name, here = _meant(source)
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
