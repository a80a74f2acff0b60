"""Photos ready to be fed: pixels on disk, and what is known of each."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CAT, DOG = 0, 1


@dataclass(frozen=True)
class Photos:
    """Decoded photos in the order of their ids.

    Attributes:
        pixels: uint8 [n, image_size, image_size, 3], RGB, memory-mapped and read-only.
        ids: n names, unique, ascending.
        labels: uint8 [n], 0 for a cat and 1 for a dog.
        digests: uint8 [n, 32], SHA-256 of each photo's encoded bytes.
        fingerprint: SHA-256 (hex) over id, label and digest of every photo.
        source: Where they come from: "sample", "cats_vs_dogs" or a path.
        is_sample: Whether they are the built-in drawings rather than real photos.
        left_out: (id, reason) of each file of the source that could not be used.
    """

    pixels: npt.NDArray[np.uint8]
    ids: tuple[str, ...]
    labels: npt.NDArray[np.uint8]
    digests: npt.NDArray[np.uint8]
    fingerprint: str
    source: str
    is_sample: bool
    left_out: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.ids)


def fingerprint(
    ids: Sequence[str], labels: npt.NDArray[np.uint8], digests: npt.NDArray[np.uint8]
) -> str:
    """Returns SHA-256 (hex) over (id, label, digest) in the order of the ids.

    Example:
        >>> labels, digests = np.array([0, 1], np.uint8), np.zeros((2, 32), np.uint8)
        >>> forth = fingerprint(["a", "b"], labels, digests)
        >>> back = fingerprint(["b", "a"], labels[::-1], digests[::-1])
        >>> forth == back
        True
    """
    whole = hashlib.sha256()
    for i in sorted(range(len(ids)), key=ids.__getitem__):
        # The length keeps two different lists from being the same bytes.
        name = ids[i].encode("utf-8", "surrogateescape")
        whole.update(len(name).to_bytes(4) + name + bytes([int(labels[i])]) + digests[i].tobytes())
    return whole.hexdigest()
