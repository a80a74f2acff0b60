"""`optrun data list`: the photos that are here, without opening any."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from optrun.data.cache import library
from optrun.data.cache.copies import Copy, copies
from optrun.data.places import cache_root
from optrun.data.printable import printable
from optrun.runner.datasets.dataset_wording import copy_line, described
from optrun.runner.errors import photo_errors
from optrun.runner.ui.wording import size

_HEADER = ("NAME", "PREPARED", "CATS", "DOGS", "FINGERPRINT", "DISK")
_FINGERPRINT_DIGITS = 12


@dataclass(frozen=True)
class Listed:
    """One source with what is prepared from it.

    Attributes:
        name: Its name; None for a path that was never imported.
        source: A built-in name, or a path.
        state: What a person should know, such as "not obtained"; empty where all is well.
        copies: What is prepared and of use.
    """

    name: str | None
    source: str
    state: str
    copies: Sequence[Copy]


def list_photos(*, layout: str) -> None:
    """Print the photos that are here.

    Args:
        layout: table or json.

    Raises:
        UserError: The cache can't be read.
    """
    with photo_errors():
        names = library.read()
        found = copies()
    listed = list(
        _listed(
            names,
            [copy for copy in found if copy.source and not copy.stale and not copy.unfinished],
        )
    )
    if layout == "json":
        click.echo(json.dumps(_content(listed, names, found), indent=1))
    else:
        click.echo("\n".join(_lines(listed, found)))
    for file in names.damaged:
        click.echo(
            f"note: {file} can't be read and names nothing. Import its photos again, or delete it.",
            err=True,
        )


def _listed(names: library.Library, current: Sequence[Copy]) -> Iterator[Listed]:
    """Imported names first, then what is built in, then paths without a name."""
    by_source: dict[str, list[Copy]] = {}
    for copy in current:
        by_source.setdefault(copy.source, []).append(copy)
    for entry in names.entries.values():
        state = "" if Path(entry.path).exists() else "its source is no longer there"
        here = by_source.get(entry.path, [])
        if here and all(copy.fingerprint != entry.fingerprint for copy in here if not copy.limit):
            state = "its photos have changed since the import"
        yield Listed(entry.name, entry.path, state, here)
    yield Listed("cats_vs_dogs", "cats_vs_dogs", _public(), by_source.get("cats_vs_dogs", []))
    yield Listed("sample", "sample", "", by_source.get("sample", []))
    named = {entry.path for entry in names.entries.values()} | set(library.BUILT_IN)
    for source in sorted(by_source.keys() - named):
        yield Listed(None, source, "", by_source[source])


def _public() -> str:
    from optrun.data.download.availability import public_photos_obtained

    return "" if public_photos_obtained() else "not obtained yet: optrun data prepare"


def _lines(listed: Sequence[Listed], found: Sequence[Copy]) -> Iterator[str]:
    rows = [_HEADER, *(row for one in listed for row in _rows(one))]
    widths = [max(len(row[column]) for row in rows if len(row) > 2) for column in range(6)]
    for row in rows:
        if len(row) == 2:  # a remark, which no column holds
            yield f"{row[0]:<{widths[0]}}  {row[1]}".rstrip()
            continue
        cells = [
            f"{cell:>{width}}" if column in (2, 3, 5) else f"{cell:<{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
    if rest := [copy for copy in found if copy.unfinished and not copy.stale]:
        yield ""
        yield "Unfinished; a build goes on where it was when the photos are asked for again:"
        yield from (f"  {copy_line(copy)}" for copy in rest)
    if stale := [copy for copy in found if copy.stale]:
        yield ""
        yield "Stale, of use to no run any more (optrun data remove --stale):"
        yield from (f"  {copy_line(copy)}" for copy in stale)
    total = sum(copy.disk_bytes for copy in found)
    yield ""
    yield f"{size(total)} in {cache_root() / 'photos'}"


def _rows(one: Listed) -> Iterator[Sequence[str]]:
    name = one.name or "(no name)"
    for copy in one.copies:
        yield (
            name,
            described(copy.image_size, copy.resize, copy.antialias, copy.limit),
            f"{copy.cats:,}",
            f"{copy.dogs:,}",
            copy.fingerprint[:_FINGERPRINT_DIGITS],
            size(copy.disk_bytes),
        )
        name = ""
    if not one.copies:
        yield name, one.state or "not prepared yet"
        name = ""
    elif one.state:
        yield name, one.state
    if one.source not in library.BUILT_IN:
        yield name, f"from {printable(one.source)}"


def _content(
    listed: Sequence[Listed], names: library.Library, found: Sequence[Copy]
) -> dict[str, Any]:
    """All that is known, as plain values."""
    return {
        "cache": str(cache_root() / "photos"),
        "disk_bytes": sum(copy.disk_bytes for copy in found),
        "sources": [_source(one, names.entries.get(one.name or "")) for one in listed],
        "unfinished": [_copy(copy) for copy in found if copy.unfinished],
        "stale": [_copy(copy) for copy in found if copy.stale],
        "damaged_names": [os.fspath(file) for file in names.damaged],
    }


def _source(one: Listed, entry: library.Entry | None) -> dict[str, Any]:
    return {
        "name": one.name,
        "source": one.source,
        "built_in": one.source in library.BUILT_IN,
        "state": one.state,
        "imported": entry.imported if entry else None,
        "fingerprint": entry.fingerprint if entry else None,
        "prepared": [_copy(copy) for copy in one.copies],
    }


def _copy(copy: Copy) -> dict[str, Any]:
    return asdict(copy) | {"folder": str(copy.folder)}
