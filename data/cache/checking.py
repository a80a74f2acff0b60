"""Prepared photos compared with their source, read and decoded anew."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from optrun.data.cache import cache
from optrun.data.cache.building import square
from optrun.data.cache.copies import Copy
from optrun.data.cache.prepare import Report
from optrun.data.images import duplicates
from optrun.data.images.decode import UndecodableError
from optrun.data.labels import CLASS_NAMES, NO_PART, TEST, TRAIN, VALIDATION
from optrun.data.parallel import DECODING_BYTES, Memory, in_order
from optrun.data.photos import Photos, fingerprint
from optrun.data.sources.built_in import SAMPLE
from optrun.data.sources.opening import open_source
from optrun.data.sources.source import Photo

_PART_NAMES = {NO_PART: "no part", TRAIN: "training", VALIDATION: "validation", TEST: "the test"}


class Finding(NamedTuple):
    """Something that is not as it was prepared."""

    photo_id: str  # empty where it is about the whole
    what: str


def check(
    source: str, copies: Sequence[Copy], *, progress: Report | None = None
) -> dict[Path, list[Finding]]:
    """Returns what differs between copies and their source, read once, by the folder of each copy.

    Compared is all that a copy states, and every pixel with the photo decoded anew.
    """
    findings: dict[Path, list[Finding]] = {copy.folder: [] for copy in copies}
    opened = []
    for copy in copies:
        photos = cache.load(copy.folder)
        if photos is None:
            findings[copy.folder].append(Finding("", "its files can't be read, or are cut short"))
        else:
            opened.append(_Opened(copy, photos))
    # Of the sample, a copy may hold any number of drawings.
    most = max((len(one.photos) for one in opened), default=2)
    here = open_source(source, count=most if source == SAMPLE else None)
    labels, parts = here.entries(), here.parts()
    for one in opened:
        takes_all = one.copy.how.limit is None and not here.is_sample
        findings[one.copy.folder] += one.wrong_index(labels, parts, takes_all=takes_all)
    memory = Memory(DECODING_BYTES)

    def work(found: Photo) -> list[tuple[_Opened, str]]:
        return [(one, what) for one in opened for what in one.wrong_photo(found, memory)]

    known = {name for one in opened for name in (*one.rows, *one.left_out)}
    checked = in_order(here.read(known), lambda photo: len(photo.encoded), work)
    for done, (photo, found) in enumerate(checked, start=1):
        for one, what in found:
            findings[one.copy.folder].append(Finding(photo.id, what))
        if progress is not None:
            progress(done, len(known & labels.keys()))
    return findings


class _Opened:
    """A prepared copy with its photos, where each lies and why each file is left out, by id."""

    def __init__(self, copy: Copy, photos: Photos) -> None:
        self.copy, self.photos = copy, photos
        self.rows = {name: row for row, name in enumerate(photos.ids)}
        self.left_out = dict(photos.left_out)

    def wrong_index(
        self, labels: Mapping[str, int], parts: Mapping[str, int], *, takes_all: bool
    ) -> Iterator[Finding]:
        """What is wrong in itself, or differs between the copy's files and those of the source."""
        photos = self.photos
        made = fingerprint(photos.ids, photos.labels, photos.digests, self.left_out)
        if made != photos.fingerprint:
            stated = photos.fingerprint[:16]
            yield Finding("", f"its index has the fingerprint {stated}, {made[:16]} is its own")
        if list(photos.ids) != sorted(set(photos.ids)):
            yield Finding("", "its ids are not in order, or not unique")
        known = self.rows.keys() | self.left_out.keys()
        for name in sorted(known - labels.keys()):
            yield Finding(name, "no longer in the source")
        for name in sorted(labels.keys() - known) if takes_all else ():
            yield Finding(name, "new in the source")
        for name, label, part in zip(photos.ids, photos.labels, photos.parts, strict=True):
            if name in labels and labels[name] != label:
                was, now = CLASS_NAMES[label], CLASS_NAMES[labels[name]]
                yield Finding(name, f"prepared as a {was}, now a {now}")
            if name in labels and (part_now := parts.get(name, NO_PART)) != part:
                was, now = _PART_NAMES.get(int(part), "no part"), _PART_NAMES[part_now]
                yield Finding(name, f"prepared for {was}, now in a folder for {now}")

    def wrong_photo(self, found: Photo, memory: Memory) -> Iterator[str]:
        """What differs between a photo as it is in the source and as it is in the copy."""
        row, reason = self.rows.get(found.id), self.left_out.get(found.id)
        if row is None and reason in (None, duplicates.BOTH_LABELS):
            return
        try:
            pixels = square(found, self.copy.how, memory)
        except UndecodableError as error:
            if row is not None:
                yield f"can't be used any more: {error}"
            elif str(error) != reason:
                yield f"left out as {reason}, now {error}"
            return
        if row is None:
            yield f"left out as {reason}, can be used now"
            return
        if hashlib.sha256(found.encoded).digest() != self.photos.digests[row].tobytes():
            yield "other bytes than when it was prepared"
            return
        differing = np.abs(self.photos.pixels[row].astype(np.int16) - pixels)
        if np.any(differing):
            yield (
                f"other pixels prepared than it decodes to: {np.count_nonzero(differing):,} of "
                f"{differing.size:,} values differ, by up to {np.max(differing)}"
            )
        if self.photos.pixel_digests[row].tobytes() != duplicates.pixel_digest(pixels):
            yield "another digest of its pixels than it has"
