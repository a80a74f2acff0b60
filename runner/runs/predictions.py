"""What a run's network said of the photos that validated and tested it, as it is kept."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from optrun.runner.runs import array_file
from optrun.runner.runs.run_folder import PREDICTIONS_NAME
from optrun.runner.untrusted import DamageError


def kept_predictions(
    folder: Path, part: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]] | None:
    """Logits [n] of the photos of a part and their labels [n], 0 or 1; None where none are usable.

    Whether they are the run's own shows by comparing their scores with those recorded.
    """
    try:
        arrays = array_file.read(folder / PREDICTIONS_NAME)
        logits, labels = arrays[f"{part}_logits"], arrays[f"{part}_labels"]
    except (DamageError, KeyError):
        return None
    is_usable = (
        logits.ndim == 1
        and len(logits) > 0
        and logits.shape == labels.shape
        and logits.dtype.kind == "f"
        and labels.dtype.kind in "ui"
        and np.isfinite(logits).all()
        and np.isin(labels, (0, 1)).all()
    )
    return (logits.astype(np.float32), labels.astype(np.uint8)) if is_usable else None
