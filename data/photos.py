"""Photos ready to be fed: pixels on disk, and what is known of each."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Photos:
    """Decoded photos in the order of their ids, which are unique."""

    pixels: Bytes  # [n, image_size, image_size, 3], RGB, mapped, read-only
    ids: tuple[str, ...]
    labels: Bytes  # [n]; see `optrun.data.labels`
    digests: Bytes  # [n, 32], SHA-256 of each photo's encoded bytes
    pixel_digests: Bytes  # [n, 32]; see `images.duplicates.pixel_digest`
    parts: Bytes  # [n], by the source's folders; all `NO_PART` unless they name any
    fingerprint: str  # SHA-256 (hex) over id, label and digest of all, and what was left out
    source: str  # a built-in name or a path
    is_sample: bool  # whether they are the built-in drawings rather than real photos
    left_out: tuple[tuple[str, str], ...]  # (id, reason) of each file that could not be used
    preprocessing: str  # how encoded photos became these pixels; see `data.cache.cache_key`
    turned: tuple[str, ...] = ()  # ids of those that lay otherwise in their files, as these say
    # (id, name) of the colour profile of each photo whose colours are not sRGB's.
    profiles: tuple[tuple[str, str], ...] = ()
    unlabelled: tuple[str, ...] = ()  # names of further photos in the source, which nothing labels

    def __len__(self) -> int:
        return len(self.ids)


def fingerprint(
    ids: Sequence[str], labels: Bytes, digests: Bytes, left_out: Iterable[str] = ()
) -> str:
    """Returns SHA-256 (hex) over (id, label, digest) in the order of ids, and what is left out."""
    whole = hashlib.sha256()
    for i in sorted(range(len(ids)), key=ids.__getitem__):
        whole.update(_framed(ids[i]) + bytes([int(labels[i])]) + digests[i].tobytes())
    for name in sorted(left_out):
        whole.update(_framed(name) + b"\xff")  # no photo has this label
    return whole.hexdigest()


def _framed(name: str) -> bytes:
    """Returns the name behind its length, which keeps two different lists from the same bytes."""
    encoded = name.encode("utf-8", "surrogateescape")
    return len(encoded).to_bytes(4) + encoded
