"""What decides prepared photos, in words, and the folder that holds them; nothing of weight."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from optrun.data.places import cache_root

Resize = Literal["squash", "crop", "pad"]
RESIZES: tuple[Resize, ...] = get_args(Resize)

# Raise the number with every change to the files of a prepared copy.
FORMAT = 4
PIXELS, LABELS, IDS, INDEX = "pixels.npy", "labels.npy", "ids.json", "index.json"
# What a build that goes on has in its folder, and at the end of the folder's name.
JOURNAL, PARTIAL = "journal.jsonl", ".partial"


@dataclass(frozen=True)
class Preparation:
    """How photos are made ready."""

    image_size: int  # side in pixels of the squares that photos become, >= 1
    resize: Resize = "squash"  # see `optrun.data.images.decode.decode`
    antialias: bool = False
    limit: int | None = None  # how many photos at most; None for all

    def __str__(self) -> str:
        """As a person reads it; what is usual goes without saying.

        >>> str(Preparation(224)), str(Preparation(128, "crop", True, 2000))
        ('224 px', '128 px, crop, antialiased, limit 2,000')
        """
        resize = self.resize if self.resize != "squash" else ""
        antialias = "antialiased" if self.antialias else ""
        limit = f"limit {self.limit:,}" if self.limit is not None else ""
        return ", ".join(filter(None, (f"{self.image_size} px", resize, antialias, limit)))

    @property
    def preprocessing(self) -> str:
        """The name of how encoded photos become pixels, by which prepared ones are found.

        >>> Preparation(224).preprocessing, Preparation(64, "crop", True).preprocessing
        ('tf-integer-fast bilinear squash 2', 'tf-integer-fast bilinear crop antialias 2')
        """
        smooth = " antialias" if self.antialias else ""
        # Raise the number with every change that alters a pixel.
        return f"tf-integer-fast bilinear {self.resize}{smooth} 2"


def directory() -> Path:
    """Returns where decoded photos are kept: in $OPTRUN_CACHE, or this user's cache folder."""
    return cache_root() / "photos"


def cache_key(identity: Mapping[str, str | int], how: Preparation) -> dict[str, object]:
    """Returns what decides the prepared photos: what their source is, and how they are prepared."""
    return {"source": dict(identity), **vars(how), "preprocessing": how.preprocessing}


def folder_name(source_name: str, key: Mapping[str, object]) -> str:
    """Returns the name under which photos are kept: readable, and different for every key."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(source_name).stem).strip("-")[:40] or "photos"
    text = json.dumps({"format": FORMAT, **key}, sort_keys=True)
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"
