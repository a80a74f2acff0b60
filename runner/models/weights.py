"""VGG19's published ImageNet weights: where they are, whether they can be had, putting them in.

Looking costs nothing and changes nothing; only `obtain` downloads. The network is asked for at
most a few seconds before the answer is given.
"""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from optrun.data.hosts import host_reachable
from optrun.runner.errors import UserError

if TYPE_CHECKING:
    import h5py
    import keras

FILE_NAME = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
FILE_MD5 = "253f8cb515780f3b799900260a226db6"  # as Keras states it for the file it downloads
HOST = "https://storage.googleapis.com"
LOOK_FOR_SECONDS = 3.0

WAYS_OUT = (
    f"point model.weights at a copy of the file (--set model.weights=PATH/TO/{FILE_NAME}), "
    "start from random weights (--set model.weights=random), "
    "or run on the built-in sample (--sample)"
)

Convolution = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


class WeightsError(UserError):
    """The weights a person named cannot be used; the message says why and what to do."""


class WeightsUnavailable(WeightsError):
    """The published weights were never downloaded and their host cannot be reached."""


def cached_file() -> Path:
    """Where Keras keeps the published weights, there or not; found without importing Keras."""
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path("/tmp")  # noqa: S108 (Keras' own rule)
    return Path(os.environ.get("KERAS_HOME", home / ".keras")) / "models" / FILE_NAME


def locate(weights: str) -> Path | None:
    """Find the file for `model.weights` without downloading it.

    Args:
        weights: "imagenet" or the path of an `.h5` file.

    Returns:
        The file, or None where it has yet to be downloaded from a host that answers.

    Raises:
        WeightsUnavailable: Not in Keras' cache, and the host does not answer within seconds.
        WeightsError: A path without a file, or a cached file with the wrong checksum (Keras would
            delete it; we leave it for the person to judge).
    """
    if weights != "imagenet":
        path = Path(weights)
        if not path.is_file():
            raise WeightsError(f"model.weights must be a weights file, and there is none at {path}")
        return path
    path = cached_file()
    if path.is_file():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != FILE_MD5:
            raise WeightsError(
                f"{path} is not the published file: its MD5 is {found}, it must be {FILE_MD5}. "
                "Remove it to have it downloaded again, or name another file: "
                "--set model.weights=PATH"
            )
        return path
    if not host_reachable(HOST, timeout_s=LOOK_FOR_SECONDS):
        raise WeightsUnavailable(
            f"the ImageNet weights are not in {path.parent}, and {HOST} cannot be reached: "
            + WAYS_OUT
        )
    return None


def obtain(weights: str) -> Path:
    """The file for `model.weights`, downloaded by Keras where it must be (80 MB).

    Raises:
        WeightsError: As `locate`, or the download failed.
    """
    path = locate(weights)
    if path is not None:
        return path
    import keras

    try:
        keras.applications.VGG19(include_top=False, weights="imagenet")
    except (OSError, ValueError) as error:
        # Keras wraps what went wrong on the wire, or a checksum, in one of these.
        raise WeightsError(
            f"downloading the ImageNet weights failed ({error}): {WAYS_OUT}"
        ) from error
    return cached_file()


def read_convolutions(path: Path, expected: dict[str, tuple[int, ...]]) -> dict[str, Convolution]:
    """Read kernels and biases by layer name from a Keras `.h5` weights file.

    Nothing in the file is executed: it is read as arrays.

    Args:
        path: The file; layers beyond `expected` (the dense ones of the full VGG19) are ignored.
        expected: Kernel shape [3, 3, inputs, outputs] by layer name.

    Returns:
        Kernel and bias by layer name, float32, kernels turned to take RGB.

    Raises:
        WeightsError: Not HDF5, a layer missing, or a shape that does not fit.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise WeightsError(
            f"{path} must be an HDF5 file of VGG19 weights, and is not: {error}"
        ) from error
    found: dict[str, Convolution] = {}
    with file:
        for name, shape in expected.items():
            arrays = _arrays_of_layer(file, name)
            wanted = [shape, shape[-1:]]
            shapes = [array.shape for array in arrays]
            if shapes != wanted:
                received = "no such layer" if not arrays else " and ".join(map(str, shapes))
                raise WeightsError(
                    f"{path} does not fit VGG19: layer {name} must have a kernel and a bias of "
                    f"shapes {wanted[0]} and {wanted[1]}, received {received}. "
                    "Only the file without dense layers ('notop') or the full one at "
                    "model.width 1 will do."
                )
            found[name] = (arrays[0], arrays[1])
    first = next(iter(expected))
    kernel, bias = found[first]
    # The files were trained on BGR; reversing the input axis gives the same outputs for RGB.
    found[first] = (np.ascontiguousarray(kernel[:, :, ::-1, :]), bias)
    return found


def put_in(model: "keras.Model", path: Path) -> None:
    """Put the file's weights into the model's convolutions.

    Raises:
        WeightsError: As `read_convolutions`; the model is then unchanged.
    """
    from optrun.runner.models.base import convolutions

    layers = {layer.name: layer for layer in convolutions(model)}
    shapes = {name: tuple(layer.kernel.shape) for name, layer in layers.items()}
    for name, arrays in read_convolutions(path, shapes).items():
        layers[name].set_weights(arrays)


def _arrays_of_layer(file: "h5py.File", name: str) -> list[npt.NDArray[np.float32]]:
    """Kernel and bias of a layer, in Keras' legacy layout (also below a "model_weights" group)."""
    import h5py

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
