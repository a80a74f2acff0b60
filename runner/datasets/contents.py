"""What is in prepared photos, in lines of text: classes, parts, duplicates, junk."""

import re
from collections import defaultdict

import numpy as np
from optrun.data.errors import PhotoError
from optrun.data.images import duplicates
from optrun.data.photos import DOG, NO_PART, TEST, TRAIN, VALIDATION, Photos
from optrun.data.printable import printable
from optrun.data.split import split
from optrun.runner.config.schema import Data
from optrun.runner.datasets.dataset_wording import some
from optrun.runner.ui.wording import number_of

_PARTS = {TRAIN: "training", VALIDATION: "validation", TEST: "test"}
_COUNT_WIDTH = 7
_MOST_SHOWN = 3  # groups of duplicates
_SIZE_FIRST = re.compile(r"^\d+ x \d+ px: ")


def labelled(photos: Photos) -> str:
    """How many photos of each class."""
    dogs = int(np.sum(photos.labels == DOG))
    return f"{len(photos):,}: {number_of(len(photos) - dogs, 'cat')}, {number_of(dogs, 'dog')}"


def divided(photos: Photos, width: int) -> list[str]:
    """Which parts of the split the folders name, and how many photos a part has by default."""
    shares = Data()
    named = [part for part in _PARTS if np.any(photos.parts == part)]
    outside = int(np.sum(photos.parts == NO_PART))
    by_default = f"with the default shares ({shares.validation_share:g}, {shares.test_share:g}):"
    if named:
        counts = ", ".join(f"{np.sum(photos.parts == part):,} {_PARTS[part]}" for part in named)
        beside = f", {outside:,} outside of them" if outside else ""
        lines = [f"as the folders say: {counts}{beside}"]
    else:
        lines = ["by the content of each photo, since no folders name any"]
    try:
        parts = split(
            photos, validation_share=shares.validation_share, test_share=shares.test_share
        )
    except PhotoError as error:
        return [*lines, str(error)]
    counts = (
        f"{len(parts.train):,} training, {len(parts.validation):,} validation, "
        f"{len(parts.test):,} test"
    )
    if outside or len(named) < len(_PARTS):
        lines += [by_default, counts]
    if parts.dropped:
        copies = [copy for copy, _ in parts.dropped]
        lines.append(
            f"{number_of(len(copies), 'photo')} in none, since a copy lies in another part:"
        )
        lines.append(some(copies, width))
    return lines


def duplicated(photos: Photos, width: int, *, verbose: bool) -> list[str]:
    """Photos that are in the source more than once; empty where none is."""
    groups = duplicates.groups(photos.pixel_digests)
    if not groups:
        return []
    copies = sum(len(group) - 1 for group in groups)
    same_bytes = sum(
        len(group) - len({photos.digests[position].tobytes() for position in group})
        for group in groups
    )
    if same_bytes == copies:
        how = "byte for byte"
    elif same_bytes == 0:
        how = "pixel for pixel"
    else:
        how = f"{same_bytes:,} byte for byte, {copies - same_bytes:,} pixel for pixel"
    verb = "is a copy of another" if copies == 1 else "are copies of others"
    lines = [f"{number_of(copies, 'photo')} {verb}, {how}:"]
    shown = groups if verbose else groups[:_MOST_SHOWN]
    for group in shown:
        names = " = ".join(printable(photos.ids[position]) for position in group)
        lines.append(names if verbose or len(names) <= width else names[: width - 1] + "…")
    if len(shown) < len(groups):
        lines.append(f"and {len(groups) - len(shown):,} more; --verbose lists all")
    return lines


def junk(photos: Photos, width: int, *, verbose: bool) -> list[str]:
    """Files that were left out, by reason, the most frequent first; empty where there are none."""
    if not photos.left_out:
        return []
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in photos.left_out:
        by_reason[_SIZE_FIRST.sub("", reason)].append(name)
    many = len(photos.left_out) > 1
    lines = [
        f"{number_of(len(photos.left_out), 'file')} that {'are' if many else 'is'} no usable photo"
        f"{'s' if many else ''}:"
    ]
    reasons = sorted(by_reason, key=lambda reason: (-len(by_reason[reason]), reason))
    widest = max(len(printable(reason)) for reason in reasons)
    for reason in reasons:
        names = by_reason[reason]
        start = f"{len(names):>{_COUNT_WIDTH - 2},}  {printable(reason):<{widest}}  "
        if verbose:
            lines.append(start.rstrip())
            lines += [" " * _COUNT_WIDTH + printable(name) for name in names]
        elif len(start) + len(", ".join(map(printable, names))) <= width:
            lines.append(start + some(names, width - len(start)))
        else:
            lines += [start.rstrip(), " " * _COUNT_WIDTH + some(names, width - _COUNT_WIDTH)]
    return lines
