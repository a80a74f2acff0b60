"""By what two photos are known to have the same pixels, in a tenth of the time of SHA-256 alone."""

import functools
import hashlib

import numpy as np
import numpy.typing as npt

_BLOCK_WORDS = 2**15  # of 8 bytes; small enough for a processor's cache

Words = npt.NDArray[np.uint64]


def pixel_digest(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Returns 32 bytes that are the same for two photos where their pixels are.

    A block of 64-bit words w becomes two sums modulo 2^64, of a_i w_i and of a_i (w_i >> 32), the
    a_i being fixed odd numbers without a pattern: multilinear hashing (Carter and Wegman,
    Universal classes of hash functions, 1979). SHA-256 goes over these sums, the width and the
    height. Two different photos have the same sums with a probability of about 2^-128, and of
    2^-39 in the worst case, a difference in the highest bits of two words. Somebody who wants to
    can make two such photos, and gains that one of them is taken for a copy of the other.

    Args:
        pixels: uint8 [height, width, 3], C-contiguous.

    Example:
        >>> photo = np.zeros((20, 30, 3), np.uint8)
        >>> same, turned = photo.copy(), photo.reshape(30, 20, 3)
        >>> pixel_digest(photo) == pixel_digest(same), pixel_digest(photo) == pixel_digest(turned)
        (True, False)
    """
    height, width = pixels.shape[:2]
    content = pixels.reshape(-1)
    whole = len(content) // 8 * 8
    words = content[:whole].view(np.uint64)
    factors = _factors()
    sums = np.empty((-(-len(words) // _BLOCK_WORDS), 2), np.uint64)
    for i in range(len(sums)):
        block = words[i * _BLOCK_WORDS : (i + 1) * _BLOCK_WORDS]
        own = factors[: len(block)]
        sums[i] = np.dot(block, own), np.dot(block >> np.uint64(32), own)
    hashed = hashlib.sha256(b"%d x %d px\0" % (width, height))
    hashed.update(sums.astype("<u8").tobytes())
    hashed.update(content[whole:].tobytes())
    return hashed.digest()


@functools.cache
def _factors() -> Words:
    """Returns odd numbers without a pattern, the same in every process and version."""
    return np.random.Philox(key=4).random_raw(_BLOCK_WORDS) | np.uint64(1)
