"""What decides prepared photos, in words, and the name of the folder that holds them.

Listing what is prepared takes no more than this, so nothing of weight is imported here.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

Resize = Literal["squash", "crop", "pad"]
RESIZES: tuple[Resize, ...] = get_args(Resize)

# Raise the number with every change to the files of a prepared copy.
FORMAT = 3
PIXELS, LABELS, IDS, INDEX = "pixels.npy", "labels.npy", "ids.json", "index.json"
# By the name that `optrun.data.photos.Photos` has for each.
ARRAYS = {
    "labels": LABELS,
    "digests": "digests.npy",
    "pixel_digests": "pixel_digests.npy",
    "parts": "parts.npy",
}

# What a build that goes on has in its folder, and at the end of the folder's name.
JOURNAL, PARTIAL = "journal.jsonl", ".partial"


def preprocessing(resize: str = "squash", antialias: bool = False) -> str:
    """Returns the name of how encoded photos become pixels, by which prepared ones are found.

    Raises:
        ValueError: If there is no such `resize`.

    Example:
        >>> preprocessing(), preprocessing("crop", antialias=True)
        ('tf-integer-fast bilinear squash 1', 'tf-integer-fast bilinear crop antialias 1')
    """
    if resize not in RESIZES:
        raise ValueError(f"resize must be one of {', '.join(RESIZES)}, received: {resize}")
    smooth = " antialias" if antialias else ""
    # Raise the number with every change that alters a pixel.
    return f"tf-integer-fast bilinear {resize}{smooth} 1"


def cache_key(
    identity: Mapping[str, str | int],
    *,
    image_size: int,
    resize: str,
    antialias: bool,
    limit: int | None,
) -> dict[str, object]:
    """Returns what decides the prepared photos.

    Args:
        identity: That of their source.
        image_size: As for `optrun.data.cache.prepare.prepare`, like those that follow.
        resize: "squash", "crop" or "pad".
        antialias: Whether photos are smoothed when they are made smaller.
        limit: How many photos at most; None for all.
    """
    return {
        "source": dict(identity),
        "image_size": image_size,
        "resize": resize,
        "antialias": antialias,
        "limit": limit,
        "preprocessing": preprocessing(resize, antialias),
    }


def folder_name(source_name: str, key: Mapping[str, object]) -> str:
    """Returns the name under which photos are kept: readable, and different for every key.

    Example:
        >>> folder_name("/home/ann/dogs-vs-cats.zip", {"image_size": 64})
        'dogs-vs-cats-...'
    """
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(source_name).stem).strip("-")[:40] or "photos"
    text = json.dumps({"format": FORMAT, **key}, sort_keys=True)
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"
