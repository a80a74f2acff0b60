"""The logits that a completed run kept in predictions.npz, read as what somebody else wrote."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Kept:
    """Of the photos of one part: logits float32 [n], labels uint8 [n]; n >= 1."""

    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]


def read(folder: Path, part: Literal["validation", "test"]) -> Kept | None:
    """What the run in `folder` kept of a part's photos; None where that is nothing usable.

    The logits are those of checkpoint/best, computed in the run's precision when it ended.
    """
    path = folder / "predictions.npz"
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            logits, labels = arrays[f"{part}_logits"], arrays[f"{part}_labels"]
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile):
        return None
    usable = (
        logits.ndim == 1
        and len(logits) > 0
        and logits.shape == labels.shape
        and logits.dtype.kind == "f"
        and labels.dtype.kind in "ui"
        and bool(np.isfinite(logits).all() and np.isin(labels, (0, 1)).all())
    )
    return Kept(logits.astype(np.float32), labels.astype(np.uint8)) if usable else None
