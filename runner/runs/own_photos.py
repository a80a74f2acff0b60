"""Which photos a run was trained, validated and tested on, told by their content.

A run keeps that in its folder when it begins, so that nothing measures it on photos it was trained
on, whatever became of their source.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from optrun.data.labels import NO_PART, TEST, TRAIN, VALIDATION
from optrun.data.photos import Bytes, Photos
from optrun.data.split import Split, fingerprint
from optrun.runner.runs import array_file
from optrun.runner.untrusted import DamageError

NAME = "photos.npz"
_SHAPES: Mapping[str, tuple[int, ...]] = {
    "digests": (32,),
    "pixel_digests": (32,),
    "labels": (),
    "parts": (),
}


@dataclass(frozen=True)
class OwnPhotos:
    """The photos of a run's division, in any order; see `data.photos.Photos` for the arrays."""

    digests: Bytes  # [n, 32]
    pixel_digests: Bytes  # [n, 32]
    labels: Bytes  # [n], as the run had them
    parts: Bytes  # [n], `TRAIN`, `VALIDATION` or `TEST`
    upright: Bytes  # [], 1 where any lay turned in its file and was seen upright

    @classmethod
    def of(cls, photos: Photos, split: Split) -> Self:
        parts = np.full(len(photos), NO_PART, np.uint8)
        for part, positions in ((TRAIN, split.train), (VALIDATION, split.validation)):
            parts[positions] = part
        parts[split.test] = TEST
        own = parts != NO_PART
        return cls(
            photos.digests[own],
            photos.pixel_digests[own],
            photos.labels[own],
            parts[own],
            np.asarray(bool(photos.turned), np.uint8),
        )

    @classmethod
    def read(cls, run: Path, *, fingerprint_of_split: object) -> Self:
        """What lies in a run's folder, or a `DamageError` where it is not of that division."""
        arrays = array_file.read(run / NAME)
        n = len(arrays["parts"]) if arrays.get("parts", np.zeros(())).ndim else 0
        shapes = {name: (n, *rest) for name, rest in _SHAPES.items()} | {"upright": ()}
        is_bytes = all(one.dtype == np.uint8 for one in arrays.values())
        if not is_bytes or {name: one.shape for name, one in arrays.items()} != shapes:
            raise DamageError(f"{NAME} holds other arrays than a run writes")
        own = cls(**arrays)
        made = fingerprint(own.digests, own.labels, own.parts, upright=bool(own.upright))
        if made != fingerprint_of_split:
            raise DamageError(f"{NAME} is not of this run's division of photos")
        return own

    def find(self, photos: Photos) -> tuple[Bytes, npt.NDArray[np.bool_]]:
        """The part of each of some photos (`NO_PART` for others), and whether its label differs.

        A photo is one of the run's where its bytes are, or its pixels.
        """
        rows: dict[bytes, int] = {}
        for digests in (self.pixel_digests, self.digests):  # the same bytes say more
            rows |= {bytes(digest): row for row, digest in enumerate(digests)}
        pairs = zip(photos.digests, photos.pixel_digests, strict=True)
        found = np.array([rows.get(bytes(a), rows.get(bytes(b), -1)) for a, b in pairs], np.int64)
        is_own = found >= 0
        parts = np.where(is_own, self.parts[found], NO_PART).astype(np.uint8)
        return parts, is_own & (self.labels[found] != photos.labels)

    def positions(self, part: int, photos: Photos) -> tuple[npt.NDArray[np.int64], int]:
        """Where in `photos` those of a part are, ascending, and how many of it are not there.

        Each is found once: a copy that came later is none of the run's.
        """
        places: defaultdict[bytes, list[int]] = defaultdict(list)
        for digests in (photos.digests, photos.pixel_digests):
            for position, digest in enumerate(digests):
                places[bytes(digest)].append(position)
        taken: set[int] = set()
        wanted = np.flatnonzero(self.parts == part)
        for digests in (self.digests, self.pixel_digests):
            missing = []
            for row in wanted:
                if free := [one for one in places[bytes(digests[row])] if one not in taken]:
                    taken.add(free[0])
                else:
                    missing.append(row)
            wanted = np.asarray(missing, np.int64)
        return np.array(sorted(taken), np.int64), len(wanted)

    def as_arrays(self) -> Mapping[str, Bytes]:
        """What is kept of it, by the names that `read` looks for."""
        return vars(self)
