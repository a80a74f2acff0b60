"""Published ImageNet weights: where they are, whether they can be had, reading them.

Looking costs nothing and changes nothing; only `obtain` downloads. The network is asked for at
most a few seconds before the answer is given.
"""

import contextlib
import hashlib
import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from optrun.data.hosts import host_reachable
from optrun.runner.environment import keras_home
from optrun.runner.errors import UserError
from optrun.runner.models.base import PublishedWeights

if TYPE_CHECKING:
    import h5py
    import keras
    import numpy as np
    import numpy.typing as npt

    Convolution = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

# What h5py raises over damaged bytes.
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError)

HOST = "https://storage.googleapis.com"
LOOK_FOR_SECONDS = 3.0


class WeightsError(UserError):
    """The weights a person named cannot be used; the message says why and what to do."""


class WeightsUnavailable(WeightsError):
    """The published weights were never downloaded and their host cannot be reached."""


def cached_file(published: PublishedWeights) -> Path:
    """Where Keras keeps published weights, there or not; found without importing Keras."""
    return keras_home() / "models" / published.file_name


def locate(weights: str, published: PublishedWeights | None) -> Path | None:
    """The file for `model.weights`: "imagenet", the network's published ones, or a path.

    None where it has yet to be downloaded from a host that answers; nothing is downloaded here.

    Raises:
        WeightsUnavailable: Not in Keras' cache, and the host does not answer within seconds.
        WeightsError: A path without a file, or a cached file with the wrong checksum (Keras would
            delete it; we leave it for the person to judge).
    """
    if weights != "imagenet" or published is None:
        path = Path(weights)
        if path.is_file():
            return path
        there = f"{path} is a folder" if path.is_dir() else f"there is none at {path}"
        raise WeightsError(f"model.weights must be a weights file, and {there}")
    path = cached_file(published)
    if path.is_file():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if published.md5 not in (None, found):
            raise WeightsError(
                f"{path} is not the published file: its MD5 is {found}, it must be "
                f"{published.md5}. Remove it to have it downloaded again, or name another file: "
                "--set model.weights=PATH"
            )
        return path
    if not host_reachable(HOST, timeout_s=LOOK_FOR_SECONDS):
        raise WeightsUnavailable(
            f"the ImageNet weights are not in {path.parent}, and {HOST} cannot be reached: "
            + _ways_out(published)
        )
    return None


def obtain(weights: str, published: PublishedWeights | None) -> Path:
    """The file that `locate` finds, downloaded by Keras where it must be."""
    path = locate(weights, published)
    if path is not None or published is None:
        return path or Path(weights)
    import keras
    from optrun.runner.models.keras_state import fresh_keras

    try:
        with fresh_keras():
            getattr(keras.applications, published.constructor)(
                include_top=False, weights="imagenet", input_shape=(224, 224, 3)
            )
    except (OSError, ValueError) as error:
        # Keras wraps what went wrong on the wire, or a checksum, in one of these.
        raise WeightsError(
            f"downloading the ImageNet weights failed ({error}): {_ways_out(published)}"
        ) from error
    return cached_file(published)


def _ways_out(published: PublishedWeights) -> str:
    return (
        f"point model.weights at a copy of the file (--set "
        f"model.weights=PATH/TO/{published.file_name}), "
        "start from random weights (--set model.weights=random), "
        "or run on the built-in sample (--sample)"
    )


def read_convolutions(
    path: Path, expected: dict[str, tuple[int, ...]], *, title: str
) -> "dict[str, Convolution]":
    """Read kernel and bias, float32, by layer name from a Keras `.h5` file, turned to take RGB.

    Nothing in the file is executed: it is read as arrays. `expected` are the kernels' shapes, [3,
    3, inputs, outputs]; other layers (the dense ones of the full network) are ignored. What is not
    HDF5, misses a layer, does not fit or is damaged is a `WeightsError`.
    """
    import h5py
    import numpy as np

    first = next(iter(expected))
    if kind := _other_kind(path, first):
        raise WeightsError(
            f"{path} must be a file of {title} weights that names its layers, as "
            f"model.save('NAME.h5') in Keras writes it, and is {kind}"
        )
    found: dict[str, Convolution] = {}
    try:
        with h5py.File(path, "r") as file:
            for name, shape in expected.items():
                arrays = _arrays_of_layer(file, name)
                shapes = [array.shape for array in arrays]
                if shapes != [shape, shape[-1:]]:
                    received = " and ".join(map(str, shapes)) or "no such layer"
                    raise WeightsError(
                        f"{path} does not fit {title}: layer {name} must have a kernel and a bias "
                        f"of shapes {shape} and {shape[-1:]}, received {received}. Only the file "
                        "without dense layers ('notop') or the full one at model.width 1 will do."
                    )
                found[name] = (arrays[0], arrays[1])
    except DAMAGE as error:
        raise WeightsError(f"{path} is damaged, or cut short; get it again ({error})") from error
    kernel, bias = found[first]
    # The files were trained on BGR; reversing the input axis gives the same outputs for RGB.
    found[first] = (np.ascontiguousarray(kernel[:, :, ::-1, :]), bias)
    return found


def require_finite(model: "keras.Model", path: Path) -> None:
    """Refuse a file that put anything but numbers into a network, as a `WeightsError`."""
    import numpy as np

    for weight in model.weights:
        if wrong := int(np.sum(~np.isfinite(np.asarray(weight)))):
            raise WeightsError(
                f"{path} is damaged: of the {math.prod(weight.shape):,} values of "
                f"{weight.path}, {wrong:,} {'is' if wrong == 1 else 'are'} not finite; get it again"
            )


def _other_kind(path: Path, layer: str) -> str:
    """What a file is that names no layers, and what makes it one that does; else nothing."""
    import h5py

    with path.open("rb") as opened:
        beginning = opened.read(16)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if "model.weights.h5" in names:
            return (
                f"a whole model of Keras' (.keras): keras.models.load_model({path.name!r})"
                ".save('NAME.h5') makes one of it"
            )
        torch = any(name.endswith("/data.pkl") for name in names)
        return "of PyTorch's (.pt, .pth)" if torch else "a zip archive"
    if not h5py.is_hdf5(path):
        cut = "empty" if not beginning else "cut short" if beginning[:4] == b"\x89HDF" else ""
        return cut or ("of PyTorch's (.pt, .pth)" if beginning[:2] == b"\x80\x02" else "no HDF5")
    with contextlib.suppress(*DAMAGE), h5py.File(path, "r") as file:
        root = file.get("model_weights", file)
        if "layers" in root and layer not in root:
            return (
                "a weights file of Keras 3's (.weights.h5), which numbers layers: load_weights in "
                "the model that it is of, and model.save('NAME.h5') there"
            )
        groups = [name for name in root if isinstance(root[name], h5py.Group)]
        if outer := next((name for name in groups if name != layer and layer in root[name]), ""):
            return (
                f"of a network around it, which is its layer {outer}: "
                f"model.get_layer({outer!r}).save('NAME.h5') makes one of it"
            )
    return ""


def _arrays_of_layer(file: "h5py.File", name: str) -> "list[npt.NDArray[np.float32]]":
    """Kernel and bias of a layer, in Keras' legacy layout (also below a "model_weights" group)."""
    import h5py
    import numpy as np

    root = file.get("model_weights", file)
    group = root.get(name)
    if not isinstance(group, h5py.Group):
        return []
    arrays: list[npt.NDArray[np.float32]] = []

    def collect(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            arrays.append(np.asarray(item, np.float32))

    group.visititems(collect)
    return sorted(arrays, key=lambda array: -array.ndim)
