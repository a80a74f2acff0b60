"""From a source to photos ready to be fed: each decoded once, then kept."""

import functools
import hashlib
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from data import cache as photo_cache
from data.decode import PREPROCESSING, Pixels, UndecodableError, decode
from data.errors import PhotoError
from data.photos import CAT, DOG, Photos
from data.pixel_file import PixelFile
from data.sources import Photo, Source, open_source

Report = Callable[[int, int | None], None]

_WAITING_PER_WORKER = 8


def prepare(
    source: str,
    *,
    image_size: int,
    cache: Path | None = None,
    limit: int | None = None,
    progress: Report | None = None,
) -> Photos:
    """Returns the photos of a source, decoded, resized and in the order of their ids.

    They are decoded on the first call and kept in a cache that all runs share; later calls map them
    from there. Files that are no usable photos are left out, with the reason.

    Args:
        source: "sample", "cats_vs_dogs", or the path of a folder or zip archive.
        image_size: Side in pixels that photos are squashed to, >= 1.
        cache: Where decoded photos are kept; None for $OPTRUN_CACHE or the user's cache folder.
        limit: How many photos to take at most, >= 2; None for all. Half of them cats, half dogs (as
            far as there are enough), those whose SHA-256 comes first: a function of the photos
            alone. Of the sample, the first `limit` drawings.
        progress: Called with (photos done, photos in all) as decoding goes on.

    Raises:
        PhotoError: If the source is missing, damaged or lacks cats or dogs, or the disk is full.
        Unavailable: If the public photos were never obtained and their host can't be reached.
        ValueError: If `image_size` or `limit` is out of range.
    """
    if image_size < 1:
        raise ValueError(f"image_size must be at least 1, received: {image_size}")
    if limit is not None and limit < 2:
        raise ValueError(f"limit must be at least 2, one cat and one dog, received: {limit}")
    opened = open_source(source, drawings=limit)
    folder = _folder(opened, image_size, limit, cache)
    build = functools.partial(
        _build, opened, image_size, None if opened.is_sample else limit, progress or _no_report
    )
    return photo_cache.build_once(folder, build)


def prepared(source: str, *, image_size: int, limit: int | None = None) -> Photos | None:
    """Returns the photos of a source if they are in the user's cache already, else None.

    Decodes, downloads and writes nothing. Arguments and errors are those of `prepare`.
    """
    return photo_cache.load(_folder(open_source(source, drawings=limit), image_size, limit, None))


def _folder(source: Source, image_size: int, limit: int | None, cache: Path | None) -> Path:
    key = {
        "source": dict(source.identity()),
        "image_size": image_size,
        "limit": limit,
        "preprocessing": PREPROCESSING,
    }
    name = photo_cache.folder_name(source.name, key)
    return (cache if cache is not None else photo_cache.directory()) / name


def _no_report(done: int, total: int | None) -> None:
    pass


@dataclass
class _Progress:
    """What is known of the photos so far, each by id."""

    row: dict[str, int] = field(default_factory=dict)
    digest: dict[str, bytes] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def _build(
    source: Source, image_size: int, limit: int | None, report: Report, folder: Path
) -> None:
    """Decodes the photos of `source` into `folder`."""
    labels = source.entries()
    total = len(labels) if limit is None else min(limit, len(labels))
    photo_cache.require_space(folder, total * image_size**2 * 3)
    so_far = _Progress()
    candidates = list(labels) if limit is None else _by_digest(source, so_far)
    with PixelFile(photo_cache.pixels_path(folder), image_size) as file:
        # What turns out to be unusable is replaced by the next candidate, so there may be rounds.
        while wanted := _still_wanted(candidates, labels, so_far, total):
            first_row = len(so_far.row) + len(so_far.left_out)
            rows = {name: first_row + i for i, name in enumerate(sorted(wanted))}
            for done in _decode(source, rows, file, image_size, so_far):
                report(min(done, total), total)
        _require_both(source, labels, so_far)
        ids = sorted(so_far.row)
        file.arrange([so_far.row[name] for name in ids])
    digests = np.frombuffer(b"".join(so_far.digest[name] for name in ids), np.uint8)
    photo_cache.save_index(
        folder,
        ids=ids,
        labels=np.array([labels[name] for name in ids], np.uint8),
        digests=digests.reshape(len(ids), 32),
        source=source.name,
        is_sample=source.is_sample,
        left_out=so_far.left_out,
    )


def _by_digest(source: Source, so_far: _Progress) -> list[str]:
    """Returns all ids in the order of the photos' digests."""
    digests: dict[str, bytes] = {}
    for photo in source.read():
        if photo.unreadable:
            so_far.left_out[photo.id] = photo.unreadable
        else:
            digests[photo.id] = hashlib.sha256(photo.encoded).digest()
    return sorted(digests, key=lambda name: (digests[name], name))


def _still_wanted(
    candidates: Sequence[str], labels: Mapping[str, int], so_far: _Progress, total: int
) -> set[str]:
    """Returns the ids to decode next: half of `total` a class, and the other class for the rest."""
    usable: dict[int, list[str]] = {CAT: [], DOG: []}
    for name in candidates:
        if name not in so_far.left_out:
            usable[labels[name]].append(name)
    dogs = min(len(usable[DOG]), total // 2)
    cats = min(len(usable[CAT]), total - dogs)
    dogs = min(len(usable[DOG]), total - cats)
    return {*usable[CAT][:cats], *usable[DOG][:dogs]} - so_far.row.keys()


def _decode(
    source: Source,
    rows: Mapping[str, int],
    file: PixelFile,
    image_size: int,
    so_far: _Progress,
) -> Iterator[int]:
    """Decodes the photos named in `rows` on all cores, and yields how many are done in all."""
    workers = _cores()
    waiting: deque[tuple[str, Future[tuple[bytes, Pixels | str]]]] = deque()

    def take() -> int:
        name, future = waiting.popleft()
        so_far.digest[name], result = future.result()
        if isinstance(result, str):
            so_far.left_out[name] = result
        else:
            so_far.row[name] = rows[name]
            file.write(rows[name], result)
        return len(so_far.row) + len(so_far.left_out)

    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        # An image of excessive size is a reason to leave it out, not a line on the screen.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for photo in source.read(rows.keys()):
            if photo.unreadable:
                so_far.left_out[photo.id] = photo.unreadable
                continue
            waiting.append((photo.id, pool.submit(_digest_and_pixels, photo, image_size)))
            # Bounds the memory: encoded photos and pixels are waiting here alone.
            if len(waiting) >= workers * _WAITING_PER_WORKER:
                yield take()
        while waiting:
            yield take()


def _digest_and_pixels(photo: Photo, image_size: int) -> tuple[bytes, Pixels | str]:
    """Returns the photo's digest, and its pixels or the reason why it has none."""
    digest = hashlib.sha256(photo.encoded).digest()
    try:
        return digest, decode(photo.encoded, image_size)
    except UndecodableError as error:
        return digest, str(error)


def _require_both(source: Source, labels: Mapping[str, int], so_far: _Progress) -> None:
    for label, animal in ((CAT, "cats"), (DOG, "dogs")):
        if not any(labels[name] == label for name in so_far.row):
            name, reason = min(item for item in so_far.left_out.items() if labels[item[0]] == label)
            raise PhotoError(
                f"None of the {animal} in {source.name} can be used. The first, {name}: {reason}."
            )


def _cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
