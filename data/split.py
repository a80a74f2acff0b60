"""Training, validation and test photos, told apart by a hash of what is in them."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import PhotoError

# Goes into the hash, so that a photo's place in the split has nothing to do with the order of the
# plain digests, by which `limit` selects.
_SALT = b"optrun split 1\0"


@dataclass(frozen=True)
class Split:
    """Positions of the photos of each part, ascending, and what identifies the division.

    Attributes:
        train: int64 positions of the training photos.
        validation: int64 positions of the validation photos.
        test: int64 positions of the test photos.
        fingerprint: SHA-256 (hex) over which photo lies in which part, whatever their order.
    """

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    fingerprint: str


def split(
    digests: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    *,
    validation_share: float,
    test_share: float,
) -> Split:
    """Divides photos by their content.

    A photo's digest is hashed to a number u, uniform in [0, 1): u < test_share puts it into the
    test part, u < test_share + validation_share into the validation part, anything else into
    training. So duplicates never lie on both sides, neither the order of the photos nor the
    presence of others matters, and adding photos moves none. The shares hold in expectation, in
    each class.

    Args:
        digests: uint8 [n, 32], SHA-256 of each photo's encoded bytes.
        labels: uint8 [n], 0 for a cat and 1 for a dog.
        validation_share: Expected share of validation photos, 0 <= share < 1.
        test_share: Expected share of test photos, 0 <= share < 1; both together stay below 1.

    Raises:
        ValueError: If the shares are out of range.
        PhotoError: If a part whose share is not 0 would be empty.

    Example:
        >>> digests = np.arange(3200, dtype=np.uint8).reshape(100, 32)
        >>> digests[:, 0] = np.arange(100)
        >>> parts = split(digests, np.zeros(100, np.uint8), validation_share=0.1, test_share=0.1)
        >>> len(parts.train) + len(parts.validation) + len(parts.test)
        100
    """
    if not (
        0 <= validation_share < 1 and 0 <= test_share < 1 and validation_share + test_share < 1
    ):
        raise ValueError(
            "validation_share and test_share must be at least 0 and together below 1, "
            f"received: {validation_share} and {test_share}"
        )
    place = _places(digests)
    in_test = place < test_share
    in_validation = ~in_test & (place < test_share + validation_share)
    parts = {
        "training": np.flatnonzero(~in_test & ~in_validation),
        "validation": np.flatnonzero(in_validation),
        "test": np.flatnonzero(in_test),
    }
    shares = {
        "training": 1 - validation_share - test_share,
        "validation": validation_share,
        "test": test_share,
    }
    for name, positions in parts.items():
        if shares[name] > 0 and len(positions) == 0:
            raise PhotoError(
                f"{len(digests)} photos are too few: with a share of {shares[name]:g} none of them "
                f"falls into the {name} part. Use more photos or another share."
            )
    return Split(
        parts["training"],
        parts["validation"],
        parts["test"],
        _fingerprint(digests, labels, parts),
    )


def _places(digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Returns float64 [n] in [0, 1), uniform, a function of each digest alone."""
    # 53 bits are what a float64 holds exactly; more could round up to 1.
    return np.array(
        [
            (int.from_bytes(hashlib.sha256(_SALT + digest.tobytes()).digest()[:8]) >> 11) * 2.0**-53
            for digest in digests
        ],
        np.float64,
    )


def _fingerprint(
    digests: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    parts: dict[str, npt.NDArray[np.int64]],
) -> str:
    whole = hashlib.sha256()
    for name, positions in parts.items():
        members = sorted(digests[i].tobytes() + bytes([int(labels[i])]) for i in positions)
        whole.update(f"{name} {len(members)}\0".encode())
        whole.update(b"".join(members))
    return whole.hexdigest()
