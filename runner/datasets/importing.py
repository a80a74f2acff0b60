"""`optrun data import`, `prepare` and `verify`: photos decoded, looked through, and compared."""

import re
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from optrun.data.cache import prepare
from optrun.data.cache.cache_key import Preparation, directory
from optrun.data.cache.checking import check
from optrun.data.cache.copies import copies
from optrun.data.exceptions import PhotoError
from optrun.data.images import duplicates
from optrun.data.labels import NO_PART, TEST, TRAIN, VALIDATION
from optrun.data.photos import Photos
from optrun.data.places import expanded
from optrun.data.printable import printable
from optrun.data.sources import library
from optrun.data.sources.built_in import NAMES, PUBLIC
from optrun.data.sources.opening import lacking, open_source
from optrun.data.split import split
from optrun.runner.config.schema import Data
from optrun.runner.datasets.preparation import (
    in_classes,
    obtain,
    prepared,
    remarks,
    without_label,
)
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.text import wrap
from optrun.runner.ui.wording import number_of, size
from rich.console import Console

_WIDEST = 110
_INDENT = 15  # where the text of a line begins, behind its heading
_COUNT_WIDTH = 7
_PARTS = {TRAIN: "training", VALIDATION: "validation", TEST: "test"}
_MOST_SHOWN, _MOST_LISTED = 3, 100  # groups of duplicates; differences
_SIZE_FIRST = re.compile(r"^\d+ x \d+ px: ")


def import_photos(
    path: str, *, name: str | None, how: Preparation, strict: bool, verbose: bool
) -> None:
    """Prepare photos of a path or a name, say what is in them, and keep a name for them."""
    with photo_errors():
        here = expanded(path)
        if path in NAMES and not here.exists():
            advice = "; `optrun data prepare` obtains it" if path == PUBLIC else ""
            raise UserError(f"{path} is built in and needs no import{advice}.")
        where = Path(here.absolute() if here.exists() else library.location(path)).resolve()
        if not where.exists():
            open_source(path)  # says what is missing, and what may be meant
        if name is None:
            entries = library.read().entries.values()
            known = (entry.name for entry in entries if entry.path == str(where))
            name = next(known, None) or library.name_for(where)
        library.require_free(name, where)
        photos, seconds = prepared(str(where), how)
        before = library.entry(name)
        if strict:
            _refuse_junk(
                photos,
                f"{where} holds {{}} that --strict does not allow; nothing was registered.",
                "Take these out, or import without --strict: then they are left out of every run.",
            )
        if before is None or before.fingerprint != photos.fingerprint:
            library.register(name, where, photos.fingerprint)
    click.echo(f"{name}: {where}")
    _print_report(name, photos, how, seconds, before=before, verbose=verbose)


def prepare_public(archive: Path | None, *, how: Preparation, strict: bool, verbose: bool) -> None:
    """Obtain the public photos, decode them, and say what is in them; None downloads them."""
    with photo_errors():
        place = None
        if archive is not None or prepare.prepared(PUBLIC, how) is None:
            with native_stderr_captured():
                place = obtain(Console(stderr=True), archive)
        photos, seconds = prepared(PUBLIC, how, place)
    if strict:
        end = "Without --strict they are left out of every run."
        _refuse_junk(photos, f"{PUBLIC} holds {{}} that --strict does not allow:", end)
    click.echo(f"{PUBLIC}: the public photos")
    _print_report(PUBLIC, photos, how, seconds, verbose=verbose)


def verify_photos(source: str) -> int:
    """Compare, and print what differs; returns 0 where nothing does, 1 where anything does."""
    where = library.location(source)
    display, started = Display(Console(stderr=True)), time.monotonic()
    with photo_errors():
        if where in NAMES and lacking(where):
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
        found, photos = findings[copy.folder], number_of(sum(copy.counts), "photo")
        verdict = number_of(len(found), "difference") if found else "whole"
        click.echo(f"  {copy.how}: {photos}, {copy.left_out:,} left out: {verdict}")
        if copy.stale:
            click.echo(f"    note: no run uses it any more: {copy.stale}")
        for finding in found[:_MOST_LISTED]:
            subject = printable(finding.photo_id) + ": " if finding.photo_id else ""
            click.echo(f"    {subject}{finding.what}")
        if len(found) > _MOST_LISTED:
            click.echo(f"    and {len(found) - _MOST_LISTED:,} more")
    differing = sum(map(bool, findings.values()))
    if not differing:
        seconds = time.monotonic() - started
        click.echo(f"All as it was prepared. Read and decoded anew in {seconds:,.1f} s.")
        return 0
    differ = "prepared copy differs" if differing == 1 else "prepared copies differ"
    anew = f"optrun data remove {source}, then optrun data import {where}"
    click.echo(f"{differing} {differ}. To prepare anew: {anew}")
    return 1


def _print_report(
    name: str,
    photos: Photos,
    how: Preparation,
    seconds: float | None,
    *,
    before: library.Entry | None = None,
    verbose: bool,
) -> None:
    """Print what is in photos, prepared in so many seconds if just now, and how to use them."""
    width = min(shutil.get_terminal_size().columns, _WIDEST) - _INDENT - 2
    named = {part: np.flatnonzero(photos.parts == one) for one, part in _PARTS.items()}
    done = "before: nothing to do" if seconds is None else f"in {seconds:,.1f} s"
    report = {
        "photos": [f"{len(photos):,}: {in_classes(photos.labels)}"],
        "note": [line for remark in remarks(photos, parts=named) for line in wrap(remark, width)],
        "parts": _divided(photos, width),
        "duplicates": _duplicated(photos, width, verbose=verbose),
        "left out": _junk(photos, width, verbose=verbose),
        "turned": _turned(photos),
        "colours": _coloured(photos, width),
        "fingerprint": [photos.fingerprint[:16]],
        "prepared": [f"{how}, {done}", f"{size(photos.pixels.nbytes)} in {directory()}"],
    }
    if before is not None and before.fingerprint != photos.fingerprint:
        report["changed"] = [
            f"other photos than at the last import, {before.imported[:10]}: "
            f"the fingerprint was {before.fingerprint[:16]}"
        ]
    for heading, lines in report.items():
        for number, line in enumerate(lines):
            click.echo(f"  {'' if number else heading:<{_INDENT - 2}}{line}")
    click.echo(f"Use it:  optrun train CONFIG --set data.source={name}")


def _refuse_junk(photos: Photos, beginning: str, end: str) -> None:
    lines = _junk(photos, _WIDEST - _INDENT, verbose=True)[1:]
    if said := without_label(photos):
        lines.append(said)
    if lines:
        count = number_of(len(photos.left_out) + len(photos.unlabelled), "file")
        raise UserError("\n".join([beginning.format(count), *(f"  {one}" for one in lines), end]))


def _divided(photos: Photos, width: int) -> list[str]:
    """Which parts of the split the folders name, and how many photos a part has by default."""
    validation, test = Data().validation_share, Data().test_share
    sizes = np.bincount(photos.parts, minlength=len(_PARTS) + 1)
    named, outside = [part for part in _PARTS if sizes[part]], sizes[NO_PART]
    counts = ", ".join(f"{sizes[part]:,} {_PARTS[part]}" for part in named)
    beside = f", {outside:,} outside of them" if outside else ""
    by_content = "by the content of each photo, since no folders name any"
    lines = [f"as the folders say: {counts}{beside}" if named else by_content]
    try:
        parts = split(photos, validation_share=validation, test_share=test)
    except PhotoError as error:
        return [*lines, str(error)]
    if outside or len(named) < len(_PARTS):
        each = zip((parts.train, parts.validation, parts.test), _PARTS.values(), strict=True)
        lines.append(f"with the default shares ({validation:g}, {test:g}):")
        lines.append(", ".join(f"{len(positions):,} {part}" for positions, part in each))
    if parts.dropped:
        count = number_of(len(parts.dropped), "photo")
        lines.append(f"{count} in none, since a copy lies in another part:")
        lines.append(_some([copy for copy, _ in parts.dropped], width))
    return lines


def _duplicated(photos: Photos, width: int, *, verbose: bool) -> list[str]:
    """Photos that are in the source more than once; empty where none is."""
    groups = duplicates.groups(photos.pixel_digests)
    if not groups:
        return []
    files = sum(map(len, groups))
    again = files - len(groups)
    same_bytes = files - sum(len(np.unique(photos.digests[group], axis=0)) for group in groups)
    how = f"{same_bytes:,} byte for byte, {again - same_bytes:,} pixel for pixel"
    if same_bytes in (0, again):
        how = "byte for byte" if same_bytes else "pixel for pixel"
    verb = "is a copy of another" if again == 1 else "are copies of others"
    lines = [f"{number_of(again, 'photo')} {verb}, {how}:"]
    shown = groups if verbose else groups[:_MOST_SHOWN]
    for group in shown:
        names = " = ".join(printable(photos.ids[position]) for position in group)
        lines.append(printable(names, longest=None if verbose else width))
    if len(shown) < len(groups):
        lines.append(f"and {len(groups) - len(shown):,} more; --verbose lists all")
    return lines


def _junk(photos: Photos, width: int, *, verbose: bool) -> list[str]:
    """Files that were left out, by reason, the most frequent first; empty where there are none."""
    if not photos.left_out:
        return []
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in photos.left_out:
        by_reason[_SIZE_FIRST.sub("", reason)].append(name)
    count = len(photos.left_out)
    are = "is no usable photo" if count == 1 else "are no usable photos"
    lines = [f"{number_of(count, 'file')} that {are}:"]
    widest = max(len(printable(reason)) for reason in by_reason)
    for reason, names in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        start = f"{len(names):>{_COUNT_WIDTH - 2},}  {printable(reason):<{widest}}  "
        shown = [printable(name) for name in names]
        if not verbose and len(start) + len(", ".join(shown)) <= width:
            lines.append(start + _some(names, width - len(start)))
            continue
        below = shown if verbose else [_some(names, width - _COUNT_WIDTH)]
        lines += [start.rstrip(), *(" " * _COUNT_WIDTH + line for line in below)]
    return lines


def _turned(photos: Photos) -> list[str]:
    """How many photos do not lie upright in their files; empty where all do."""
    if not photos.turned:
        return []
    says = "its file says" if len(photos.turned) == 1 else "their files say"
    return [f"{number_of(len(photos.turned), 'photo')} turned upright, as {says}"]


def _coloured(photos: Photos, width: int) -> list[str]:
    """How many photos have other colours than sRGB's, by profile; empty where none has."""
    if not photos.profiles:
        return []
    names = Counter(name for _, name in photos.profiles)
    found = [f"{count:,} {name}" for name, count in names.most_common()]
    count = number_of(len(photos.profiles), "photo")
    return [f"{count} whose colours are not sRGB, read as if they were:", _some(found, width)]


def _some(names: Sequence[str], width: int) -> str:
    """As many names as fit into `width` columns, at least one, and how many more there are.

    >>> _some(["Cat/0.jpg", "Cat/1.jpg", "Dog/11702.jpg"], 30)
    'Cat/0.jpg, Cat/1.jpg, 1 more'
    """
    shown = [printable(name, longest=max(width - 12, 12)) for name in names]
    text = ", ".join(shown)
    for count in range(len(shown) - 1, 0, -1):
        if len(text) <= width:
            break
        text = ", ".join([*shown[:count], f"{len(shown) - count:,} more"])
    return text
