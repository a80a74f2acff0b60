"""The order in which an epoch visits the photos: a pure function of the seed and the epoch."""

import numpy as np
import numpy.typing as npt

# Tells these random numbers from others drawn with the same seed.
_STREAM = 0x6F72646572  # "order"


def epoch_order(count: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Returns a permutation of `count` positions, the same on every machine and at any time.

    Each position gets a 64-bit key from a counter-based generator (Philox; Salmon et al., "Parallel
    random numbers: as easy as 1, 2, 3", 2011), and the keys are sorted. The raw output of NumPy's
    bit generators is fixed for all its versions, which that of `Generator.permutation` is not.
    """
    seeds = np.random.SeedSequence([_STREAM, seed, epoch])
    keys = np.random.Philox(seeds).random_raw(count)
    return np.argsort(keys, kind="stable").astype(np.int64)
