"""Prepared photos compared with their source, read and decoded anew."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from optrun.data.cache import cache
from optrun.data.cache.copies import Copy
from optrun.data.cache.prepare import Report
from optrun.data.images import duplicates
from optrun.data.images.decode import UndecodableError, examine, photo
from optrun.data.images.resizing import as_resized
from optrun.data.labels import CLASS_NAMES, NO_PART, TEST, TRAIN, VALIDATION
from optrun.data.parallel import DECODING_BYTES, Memory, in_parallel
from optrun.data.photos import Photos, fingerprint
from optrun.data.sources.built_in import SAMPLE
from optrun.data.sources.opening import open_source
from optrun.data.sources.source import Photo


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was prepared.

    Attributes:
        photo_id: The photo; empty where it is about the whole.
        what: What is wrong with it.
    """

    photo_id: str
    what: str


@dataclass(frozen=True)
class _Prepared:
    """A prepared copy, opened.

    Attributes:
        copy: Which.
        photos: What is in it.
        rows: Where each photo lies, by id.
        left_out: Why each file is left out, by id.
    """

    copy: Copy
    photos: Photos
    rows: Mapping[str, int]
    left_out: Mapping[str, str]


def check(
    source: str, copies: Sequence[Copy], *, progress: Report | None = None
) -> dict[Path, list[Finding]]:
    """Compares prepared copies with their source, which is read once.

    Compared are ids, labels, parts and the reasons why files are left out; the digest of every
    photo's bytes; the pixels of every photo, decoded and resized anew; where photos have a digest
    of their pixels, that too; and the fingerprint that all of this makes.

    Args:
        source: A built-in name or a path.
        copies: What is prepared from it.
        progress: Called with (photos done, photos in all).

    Returns:
        What differs, by the folder of each copy.

    Raises:
        PhotoError: If the source can't be read.
    """
    findings: dict[Path, list[Finding]] = {copy.folder: [] for copy in copies}
    opened = []
    for copy in copies:
        photos = cache.load(copy.folder)
        if photos is None:
            findings[copy.folder].append(Finding("", "its files can't be read, or are cut short"))
            continue
        findings[copy.folder] += _in_itself(photos)
        rows = {name: row for row, name in enumerate(photos.ids)}
        opened.append(_Prepared(copy, photos, rows, dict(photos.left_out)))
    # Of the sample, a copy may hold any number of drawings.
    most = max((len(one.photos) for one in opened), default=2)
    here = open_source(source, count=most if source == SAMPLE else None)
    labels, parts = here.entries(), here.parts()
    for one in opened:
        findings[one.copy.folder] += _names(one, labels, parts, any_number=here.is_sample)

    memory = Memory(DECODING_BYTES)

    def work(found: Photo) -> list[tuple[Path, Finding]]:
        return [
            (one.copy.folder, Finding(found.id, what))
            for one in opened
            for what in _of_photo(found, one, memory)
        ]

    known = {name for one in opened for name in (*one.rows, *one.left_out)}
    for done, (_, found) in enumerate(in_parallel(here.read(known), work), start=1):
        for folder, finding in found:
            findings[folder].append(finding)
        if progress is not None:
            progress(done, len(known & labels.keys()))
    return findings


def _in_itself(photos: Photos) -> list[Finding]:
    """What is wrong with a copy whatever its source holds."""
    left_out = [name for name, _ in photos.left_out]
    made = fingerprint(photos.ids, photos.labels, photos.digests, left_out)
    findings = []
    if made != photos.fingerprint:
        findings.append(
            Finding(
                "",
                f"its index has the fingerprint {photos.fingerprint[:16]}, {made[:16]} is its own",
            )
        )
    if list(photos.ids) != sorted(set(photos.ids)):
        findings.append(Finding("", "its ids are not in order, or not unique"))
    return findings


def _names(
    one: _Prepared, labels: Mapping[str, int], parts: Mapping[str, int], *, any_number: bool
) -> list[Finding]:
    """What differs between the files that a copy knows and those that the source holds now."""
    findings = [
        Finding(name, "no longer in the source")
        for name in sorted({*one.rows, *one.left_out} - labels.keys())
    ]
    if one.copy.limit is None and not any_number:
        findings += [
            Finding(name, "new in the source")
            for name in sorted(labels.keys() - one.rows.keys() - one.left_out.keys())
        ]
    for name, row in one.rows.items():
        if name not in labels:
            continue
        if labels[name] != one.photos.labels[row]:
            findings.append(
                Finding(
                    name,
                    f"prepared as a {CLASS_NAMES[one.photos.labels[row]]}, "
                    f"now a {CLASS_NAMES[labels[name]]}",
                )
            )
        part, before = parts.get(name, NO_PART), int(one.photos.parts[row])
        if part != before:
            findings.append(
                Finding(name, f"prepared for {_part(before)}, now in a folder for {_part(part)}")
            )
    return findings


def _of_photo(found: Photo, one: _Prepared, memory: Memory) -> list[str]:
    """What differs between a photo as it is in the source and as it is in a copy."""
    row = one.rows.get(found.id)
    reason_then = one.left_out.get(found.id)
    if row is None and (reason_then is None or reason_then == duplicates.BOTH_LABELS):
        return []
    try:
        pixels = _pixels(found, one.copy, memory)
    except UndecodableError as error:
        if row is not None:
            return [f"can't be used any more: {error}"]
        return [] if str(error) == reason_then else [f"left out as {reason_then}, now {error}"]
    if row is None:
        return [f"left out as {reason_then}, can be used now"]
    if hashlib.sha256(found.encoded).digest() != one.photos.digests[row].tobytes():
        return ["other bytes than when it was prepared"]
    differing = np.abs(one.photos.pixels[row].astype(np.int16) - pixels)
    findings = []
    if np.any(differing):
        findings.append(
            f"other pixels prepared than it decodes to: {np.count_nonzero(differing):,} of "
            f"{differing.size:,} values differ, by up to {np.max(differing)}"
        )
    if one.photos.pixel_digests[row].tobytes() != duplicates.pixel_digest(pixels):
        findings.append("another digest of its pixels than it has")
    return findings


def _pixels(found: Photo, copy: Copy, memory: Memory) -> npt.NDArray[np.uint8]:
    """A photo's pixels as a copy should have them."""
    if found.unreadable:
        raise UndecodableError(found.unreadable)
    header = examine(found.encoded)
    with memory.taken(header.decoding_bytes):
        whole = photo(found.encoded, header)
        return as_resized(whole, copy.image_size, copy.resize, copy.antialias)


def _part(part: int) -> str:
    return {TRAIN: "training", VALIDATION: "validation", TEST: "the test"}.get(part, "no part")
