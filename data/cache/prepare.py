"""From a source to photos ready to be fed: each decoded once, then kept."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optrun.data.cache import cache as photo_cache
from optrun.data.cache import cache_key
from optrun.data.cache.building import Builder, Journal, PixelFile
from optrun.data.cache.cache_key import JOURNAL, PARTIAL, PIXELS, RESIZES, Preparation, Resize
from optrun.data.exceptions import PhotoError
from optrun.data.images.duplicates import BOTH_LABELS, labelled_both
from optrun.data.labels import CLASS_NAMES, NO_PART, PLURAL_NAMES
from optrun.data.photos import Photos, fingerprint
from optrun.data.sources.opening import open_source
from optrun.data.sources.source import Source
from optrun.data.split import split

Report = Callable[[int, int | None], None]  # with photos done, and in all


@dataclass(frozen=True)
class Count:
    """Photos in all and for training."""

    photos: int
    training: int
    exact: bool  # else files are taken for usable photos, and the expected share for training
    bytes_to_write: int  # pixels that preparing has yet to write


def prepare(
    source: str,
    *,
    image_size: int,
    resize: Resize = "squash",
    antialias: bool = False,
    limit: int | None = None,
    strict: bool = False,
    cache: Path | None = None,
    progress: Report | None = None,
    obtain: Callable[[], Path] | None = None,
) -> Photos:
    """Returns the photos of a source in the order of their ids, decoded on the first call only.

    Files that are no usable photos are left out, with the reason, or an error where that is
    `strict`; photos that the source gives both labels are left out too. A call that was stopped is
    gone on with by the next.

    Args:
        limit: How many photos to take at most, >= 2; None for all. Half of them of each class (as
            far as there are enough), those whose SHA-256 comes first: a function of the photos
            alone. Of the sample, the first `limit` drawings.
        cache: Where decoded photos are kept; None for the usual place.
    """
    if image_size < 1:
        raise ValueError(f"image_size must be at least 1, received: {image_size}")
    if resize not in RESIZES:
        raise ValueError(f"resize must be one of {', '.join(RESIZES)}, received: {resize}")
    if limit is not None and limit < 2:
        classes = " and one ".join(CLASS_NAMES)
        raise ValueError(f"limit must be at least 2, one {classes}, received: {limit}")
    how = Preparation(image_size, resize, antialias, limit)
    opened = open_source(source, count=limit, obtain=obtain)
    key = cache_key.cache_key(opened.identity(), how)
    photos = photo_cache.build_once(
        (cache or cache_key.directory()) / cache_key.folder_name(opened.name, key),
        lambda folder: _build(opened, how, progress, key, folder),
    )
    not_used = (*photos.left_out, *((name, "without a label") for name in photos.unlabelled))
    if strict and not_used:
        count = len(not_used)
        files = "1 file" if count == 1 else f"{count:,} files"
        lines = [f"{photos.source} holds {files} that can't be used:"]
        lines += [f"  {name}: {why}" for name, why in not_used[:10]]
        if count > 10:
            lines.append(f"  and {count - 10:,} more")
        raise PhotoError("\n".join(lines))
    return photos


def prepared(source: str, how: Preparation) -> Photos | None:
    """Returns the photos of a source if they are in the user's cache already, else None."""
    return photo_cache.load(_expected(open_source(source, count=how.limit), how))


def count(
    source: str,
    *,
    image_size: int,
    resize: Resize = "squash",
    antialias: bool = False,
    limit: int | None,
    validation_share: float,
    test_share: float,
) -> Count:
    """Counts the photos of a source; exactly where they are prepared already."""
    how = Preparation(image_size, resize, antialias, limit)
    opened = open_source(source, count=limit)
    folder = _expected(opened, how)
    photos = photo_cache.load(folder)
    if photos is not None:
        parts = split(photos, validation_share=validation_share, test_share=test_share)
        return Count(len(photos), len(parts.train), exact=True, bytes_to_write=0)
    total = opened.expected() if limit is None else min(opened.expected(), limit)
    training = round(total * (1 - validation_share - test_share))
    written_bytes = photo_cache.written_bytes(folder.with_name(folder.name + PARTIAL))
    missing_bytes = max(0, total * image_size**2 * 3 - written_bytes)
    return Count(total, training, exact=False, bytes_to_write=missing_bytes)


def _expected(opened: Source, how: Preparation) -> Path:
    """Returns where in the user's cache the prepared photos of a source are, or will be."""
    key = cache_key.cache_key(opened.identity(), how)
    return cache_key.directory() / cache_key.folder_name(opened.name, key)


def _build(
    source: Source, how: Preparation, progress: Report | None, key: dict[str, object], folder: Path
) -> None:
    """Decodes the photos of `source` into `folder`, or goes on with what is there."""
    labels = source.entries()
    limit = None if source.is_sample else how.limit
    total = len(labels) if limit is None else min(limit, len(labels))
    photo_cache.require_space(folder, total * how.image_size**2 * 3)
    header = {"source": source.name, "key": key}
    pixels = folder / PIXELS
    with Journal(folder / JOURNAL, header) as journal, PixelFile(pixels, how.image_size) as file:
        builder = Builder(source, how, file, journal)
        builder.go_on()
        digests: dict[str, bytes] = {}
        for photo in source.read() if limit is not None else ():
            if photo.unreadable:
                builder.left_out[photo.id] = photo.unreadable
            else:
                digests[photo.id] = hashlib.sha256(photo.encoded).digest()
        # Photos with the same bytes come by their ids.
        by_digest = sorted(sorted(digests), key=digests.__getitem__)
        candidates = list(labels) if limit is None else by_digest
        # What turns out to be unusable is replaced by the next candidate, so there may be rounds.
        while True:
            pixel_digests = {name: one.pixel_digest for name, one in builder.decoded.items()}
            both = labelled_both(digests, labels) | labelled_both(pixel_digests, labels)
            builder.leave_out(both, BOTH_LABELS)
            wanted = _still_wanted(candidates, labels, builder, total)
            if not wanted:
                break
            for done in builder.decode(wanted):
                if progress is not None:
                    progress(min(done, total), total)
        ids = sorted(builder.decoded)
        missing = set(range(len(CLASS_NAMES))) - {labels[name] for name in ids}
        if not missing:
            file.arrange([builder.decoded[name].row for name in ids])
    if missing:
        # Nothing to go on with.
        (folder / JOURNAL).unlink()
        label = missing.pop()
        name, why = min(item for item in builder.left_out.items() if labels[item[0]] == label)
        which = f"None of the {PLURAL_NAMES[label]} in {source.name} can be used"
        raise PhotoError(f"{which}. The first, {name}: {why}.")
    used, parts = [builder.decoded[name] for name in ids], source.parts()
    both_digests = b"".join(one.digest + one.pixel_digest for one in used)
    rows = np.frombuffer(both_digests, np.uint8).reshape(-1, 2, 32)
    arrays = {
        "labels": np.array([labels[name] for name in ids], np.uint8),
        "digests": rows[:, 0],
        "pixel_digests": rows[:, 1],
        "parts": np.array([parts.get(name, NO_PART) for name in ids], np.uint8),
    }
    index = {
        "key": key,
        "source": source.name,
        "is_sample": source.is_sample,
        "fingerprint": fingerprint(ids, arrays["labels"], arrays["digests"], builder.left_out),
        "left_out": sorted(builder.left_out.items()),
        "unlabelled": source.unlabelled(),
        "turned": [name for name, one in zip(ids, used, strict=True) if one.is_turned],
        "profiles": [
            (name, one.profile) for name, one in zip(ids, used, strict=True) if one.profile
        ],
    }
    photo_cache.save_index(folder, ids, arrays, index)


def _still_wanted(
    candidates: Sequence[str], labels: Mapping[str, int], builder: Builder, total: int
) -> set[str]:
    """Returns the ids to decode next: half of `total` a class, and the other class for the rest."""
    usable: list[list[str]] = [[] for _ in CLASS_NAMES]
    for name in candidates:
        if name not in builder.left_out:
            usable[labels[name]].append(name)
    first, second = usable
    of_second = min(len(second), total // 2)
    of_first = min(len(first), total - of_second)
    return {*first[:of_first], *second[: total - of_first]} - builder.decoded.keys()
