"""Which photos are the same photo: the same bytes, or the same pixels in another file."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from optrun.data.labels import CLASS_NAMES

BOTH_LABELS = f"labelled both {CLASS_NAMES[0]} and {CLASS_NAMES[1]}"


def pixel_digest(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Returns 32 bytes that are the same for two photos where their pixels are: BLAKE3.

    >>> photo = np.zeros((20, 30, 3), np.uint8)
    >>> pixel_digest(photo) == pixel_digest(photo.reshape(30, 20, 3))
    False
    """
    height, width, _ = pixels.shape
    content = np.ascontiguousarray(pixels).data.cast("B")
    return blake3(b"%d x %d px\0" % (width, height)).update(content).digest()


def groups(pixel_digests: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.int64]]:
    """Returns the positions of photos that have the same pixels, two or more in each group.

    The same bytes are the same pixels, so that these groups hold all duplicates. Positions ascend
    in each group; the groups come by their first.

    >>> digests = np.zeros((4, 32), np.uint8)
    >>> digests[[1, 3], 7] = 1, 2
    >>> [group.tolist() for group in groups(digests)]
    [[0, 2]]
    """
    words = np.ascontiguousarray(pixel_digests).view(np.uint64)
    # A stable sort, by which equal digests come to lie side by side in the order of positions.
    order = np.lexsort(words.T)
    ranked = words[order]
    starts = np.flatnonzero(np.any(ranked[1:] != ranked[:-1], axis=1)) + 1
    bounds = np.concatenate([[0], starts, [len(order)]])
    found = [order[bounds[k] : bounds[k + 1]] for k in np.flatnonzero(np.diff(bounds) > 1)]
    return sorted(found, key=lambda group: int(group[0]))


def labelled_both(digests: Mapping[str, bytes], labels: Mapping[str, int]) -> set[str]:
    """Returns the ids of the photos to which the source gives both labels.

    Digests, by id, are of anything that is equal where two photos are the same.
    """
    seen: dict[bytes, set[int]] = {}
    for name, digest in digests.items():
        seen.setdefault(digest, set()).add(labels[name])
    return {name for name, digest in digests.items() if len(seen[digest]) > 1}
