"""How many photos there will be, before any is decoded or downloaded."""

from dataclasses import dataclass

from optrun.data.cache.cache_key import Preparation, Resize
from optrun.data.cache.prepare import bytes_to_write, prepared
from optrun.data.sources.opening import open_source
from optrun.data.split import split


@dataclass(frozen=True)
class Count:
    """Photos in all and for training.

    Attributes:
        photos: How many there are.
        training: How many of them are for training.
        exact: Whether both were counted; else files are taken for usable photos, and the share of
            training photos for what it is in expectation.
        bytes_to_write: Pixels that preparing them will write; 0 where they are prepared already.
    """

    photos: int
    training: int
    exact: bool
    bytes_to_write: int


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
    """Counts the photos of a source; exactly where they are prepared already.

    Arguments are those of `optrun.data.cache.prepare.prepare` and `optrun.data.split.split`.

    Raises:
        PhotoError: If the source is missing, damaged or lacks a class.
    """
    how = Preparation(image_size, resize, antialias, limit)
    photos = prepared(source, **vars(how))
    if photos is not None:
        parts = split(photos, validation_share=validation_share, test_share=test_share)
        return Count(len(photos), len(parts.train), exact=True, bytes_to_write=0)
    total = open_source(source, count=limit).expected()
    total = total if limit is None else min(total, limit)
    training = round(total * (1 - validation_share - test_share))
    return Count(total, training, exact=False, bytes_to_write=bytes_to_write(source, total, how))
