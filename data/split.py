"""Training, validation and test photos: as the source's folders say, or by a hash of each photo."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from optrun.data.exceptions import PhotoError
from optrun.data.images import duplicates
from optrun.data.labels import NO_PART, TEST, TRAIN, VALIDATION
from optrun.data.photos import Bytes, Photos

# Goes into the hash, so that a photo's place in the split has nothing to do with the order of the
# plain digests, by which `limit` selects.
_SALT = b"optrun split 1\0"

_NAMES = {TRAIN: "training", VALIDATION: "validation", TEST: "test"}


@dataclass(frozen=True)
class Split:
    """Positions of the photos of each part, ascending, and what identifies the division."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    fingerprint: str  # SHA-256 (hex) over which photo lies in which part, whatever their order
    # (id, id of the copy that stays) of each photo that lies in no part, since another has it.
    dropped: tuple[tuple[str, str], ...]


def split(photos: Photos, *, validation_share: float, test_share: float) -> Split:
    """Divides photos as the folders of their source say, and otherwise by their content.

    By content: the SHA-256 of a photo's bytes is hashed to a number u, uniform in [0, 1).
    u < test_share puts the photo into the test part, u < test_share + validation_share into the
    validation part, anything else into training. So neither the order of the photos nor the
    presence of others matters, and adding photos moves none. The shares hold in expectation, in
    each class.

    By folders: where the source's folders name training and at least one of the other parts, each
    photo stays where it lies. A part that they don't name is taken from the training photos, by
    content and with its share.

    The same photo never lies in two parts. Of copies (the same bytes, or the same pixels) in
    several parts those in the test part stay, else those in the validation part; the others are
    dropped. A part whose share is not 0 must not be empty.
    """
    if not (min(validation_share, test_share) >= 0 and validation_share + test_share < 1):
        raise ValueError(
            "validation_share and test_share must be at least 0 and together below 1, "
            f"received: {validation_share} and {test_share}"
        )
    shares = {VALIDATION: validation_share, TEST: test_share}
    parts = _parts(photos, shares)
    stays = _copies_that_stay(parts, photos.pixel_digests)
    parts[list(stays)] = NO_PART
    positions = {part: np.flatnonzero(parts == part) for part in _NAMES}
    for part, name in _NAMES.items():
        share = shares.get(part, 1 - validation_share - test_share)
        if share > 0 and len(positions[part]) == 0:
            raise PhotoError(
                f"{len(photos)} photos are too few: with a share of {share:g} none of them "
                f"falls into the {name} part. Use more photos or another share."
            )
    dropped = tuple((photos.ids[copy], photos.ids[kept]) for copy, kept in stays.items())
    train, validation, test = (positions[part] for part in (TRAIN, VALIDATION, TEST))
    whole = fingerprint(photos.digests, photos.labels, parts, upright=bool(photos.turned))
    return Split(train, validation, test, whole, dropped)


def fingerprint(digests: Bytes, labels: Bytes, parts: Bytes, *, upright: bool) -> str:
    """Returns SHA-256 (hex) over which photos lie in which part, with which label, in any order.

    `upright`: whether any of them lay turned in its file, which earlier versions left so.
    """
    whole = hashlib.sha256()
    content = np.concatenate([digests, labels[:, None]], axis=1)
    for part, name in _NAMES.items():
        members = sorted(row.tobytes() for row in content[parts == part])
        whole.update(f"{name} {len(members)}\0".encode() + b"".join(members))
    if upright:
        whole.update(b"upright")
    return whole.hexdigest()


def _parts(photos: Photos, shares: dict[int, float]) -> Bytes:
    """Returns uint8 [n]: the part of each photo, before copies are dropped."""
    hashes = b"".join(hashlib.sha256(_SALT + one.tobytes()).digest()[:8] for one in photos.digests)
    # 53 bits are what a float64 in [0, 1) holds exactly; more could round up to 1.
    place = (np.frombuffer(hashes, ">u8") >> 11).astype(np.float64) * 2.0**-53
    named = set(np.unique(photos.parts).tolist()) - {NO_PART}
    if not {TRAIN, VALIDATION} <= named and not {TRAIN, TEST} <= named:
        named = set()
    parts = np.full(len(photos), TRAIN, np.uint8)
    if VALIDATION not in named:
        is_drawn = (place >= shares[TEST]) & (place < shares[TEST] + shares[VALIDATION])
        parts[is_drawn] = VALIDATION
    if TEST not in named:
        parts[place < shares[TEST]] = TEST
    for part in named - {TRAIN}:
        parts[photos.parts == part] = part
    return parts


def _copies_that_stay(parts: Bytes, pixel_digests: Bytes) -> dict[int, int]:
    """Returns, by the position of each copy to drop, that of a copy in the part that keeps it."""
    # The parts' numbers rise in the order in which they keep their copies.
    stays: dict[int, int] = {}
    for group in duplicates.groups(pixel_digests):
        kept = int(group[np.argmax(parts[group])])
        stays |= {int(copy): kept for copy in group if parts[copy] < parts[kept]}
    return dict(sorted(stays.items()))
