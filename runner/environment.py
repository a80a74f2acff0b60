"""What stands outside of the configuration and would take part in the numbers.

What a run decides itself is set here or in `models.keras_state`, whatever the person's environment
says; what a person may want (threads, oneDNN, XLA) is recorded, so that `compare`, `runs diff` and
`resume` can tell it.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from optrun.data.places import expanded
from optrun.runner.errors import UserError

BACKEND = "tensorflow"
# Of the libraries that compute, all of whose variables may change a number or a clock.
_COMPUTING = ("TF_", "XLA_", "OMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "OPENBLAS_", "CUDNN_")
_COMPUTING_TOO = ("NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG")
_OF_THE_LOG = "TF_CPP_"
_LONGEST = 500  # characters of a value

# What Keras stops its import for, in its settings, with what must be.
_SETTINGS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "floatx": ("float16, float32 or float64", lambda one: one in ("float16", "float32", "float64")),
    "epsilon": ("a number with a point, as 1e-07", lambda one: isinstance(one, float)),
    "image_data_format": (
        "channels_last or channels_first",
        lambda one: one in ("channels_last", "channels_first"),
    ),
}


def claim() -> None:
    """Before Keras is imported, set what is not the environment's to decide.

    Raises:
        UserError: Keras could not be imported, for what its settings file holds; or nothing that
            is only needed for a while can be written anywhere.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UserError(
            f"{str(error.strerror).replace('No usable', 'There is no usable')}: make room on one "
            "of them, or name another, TMPDIR=FOLDER."
        ) from error
    os.environ["KERAS_BACKEND"] = BACKEND
    path = keras_home() / "keras.json"
    try:
        settings = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return  # Keras does without
    remedy = "Keras reads this file whenever it is imported; correct it, or remove it."
    if not isinstance(settings, dict):
        raise UserError(f"{path} must hold a mapping, received: {settings!r:.60}. {remedy}")
    for name, (wanted, is_right) in _SETTINGS.items():
        if name in settings and not is_right(settings[name]):
            found = f"{settings[name]!r:.60}"
            raise UserError(f"{path}: {name} must be {wanted}, received: {found}. {remedy}")


def keras_home() -> Path:
    """Where Keras keeps its settings and published weights; found without importing it."""
    home = expanded("~")
    if not os.access(home, os.W_OK):
        home = Path("/tmp")  # noqa: S108 (Keras' own rule)
    return Path(os.environ.get("KERAS_HOME", home / ".keras"))


def variables() -> dict[str, str]:
    """The environment's variables that may change a run's numbers or clocks, by name."""
    return {
        name: value[:_LONGEST]
        for name, value in sorted(os.environ.items())
        if (name.startswith(_COMPUTING) or name in _COMPUTING_TOO)
        and not name.startswith(_OF_THE_LOG)
    }
