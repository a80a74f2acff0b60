"""Photos ready to be fed: pixels on disk, and what is known of each."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Photos:
    """Decoded photos in the order of their ids.

    Attributes:
        pixels: uint8 [n, image_size, image_size, 3], RGB, memory-mapped and read-only.
        ids: n names, unique, ascending.
        labels: uint8 [n]; see `optrun.data.labels`.
        digests: uint8 [n, 32], SHA-256 of each photo's encoded bytes.
        pixel_digests: uint8 [n, 32], the same for two photos where their pixels are; see
            `optrun.data.images.duplicates.pixel_digest`.
        parts: uint8 [n], the part that the source's own folders give a photo: `NO_PART`, `TRAIN`,
            `VALIDATION` or `TEST`. All `NO_PART` unless the source names parts.
        fingerprint: SHA-256 (hex) over id, label and digest of every photo, and what was left out.
        source: Where they come from: a built-in name or a path.
        is_sample: Whether they are the built-in drawings rather than real photos.
        left_out: (id, reason) of each file of the source that could not be used.
        preprocessing: How encoded photos became these pixels; see `data.cache.cache_key`.
    """

    pixels: npt.NDArray[np.uint8]
    ids: tuple[str, ...]
    labels: npt.NDArray[np.uint8]
    digests: npt.NDArray[np.uint8]
    pixel_digests: npt.NDArray[np.uint8]
    parts: npt.NDArray[np.uint8]
    fingerprint: str
    source: str
    is_sample: bool
    left_out: tuple[tuple[str, str], ...]
    preprocessing: str

    def __len__(self) -> int:
        return len(self.ids)


def fingerprint(
    ids: Sequence[str],
    labels: npt.NDArray[np.uint8],
    digests: npt.NDArray[np.uint8],
    left_out: Iterable[str] = (),
) -> str:
    """Returns SHA-256 (hex) over (id, label, digest) in the order of the ids, and what is left out.

    Args:
        ids: n names, unique.
        labels: uint8 [n].
        digests: uint8 [n, 32].
        left_out: The ids of files that could not be used.

    Example:
        >>> labels, digests = np.array([0, 1], np.uint8), np.zeros((2, 32), np.uint8)
        >>> forth = fingerprint(["a", "b"], labels, digests)
        >>> back = fingerprint(["b", "a"], labels[::-1], digests[::-1])
        >>> forth == back, forth == fingerprint(["a", "b"], labels, digests, left_out=["c"])
        (True, False)
    """
    whole = hashlib.sha256()
    for i in sorted(range(len(ids)), key=ids.__getitem__):
        whole.update(_framed(ids[i]) + bytes([int(labels[i])]) + digests[i].tobytes())
    for name in sorted(left_out):
        # No photo has this label.
        whole.update(_framed(name) + b"\xff")
    return whole.hexdigest()


def _framed(name: str) -> bytes:
    """Returns the name behind its length, which keeps two different lists from the same bytes."""
    encoded = name.encode("utf-8", "surrogateescape")
    return len(encoded).to_bytes(4) + encoded
