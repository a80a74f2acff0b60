"""Weights files: read as arrays, refused with the layer's name; never downloaded in a test."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from optrun.runner.engine.network import build_classifier
from optrun.runner.models import weights
from optrun.runner.models.base import Architecture
from optrun.runner.models.initialization import convolutions
from optrun.runner.models.vgg import VGG19
from optrun.runner.models.weights import WeightsError, WeightsUnavailable

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED_COPY = ROOT.parent / "shared" / "weights" / "vgg19_imagenet_notop.h5"
PUBLISHED = VGG19.published
SHAPES = {"block1_conv1": (3, 3, 3, 4), "block1_conv2": (3, 3, 4, 4)}


def write_file(path: Path, shapes: dict[str, tuple[int, ...]], group: str = "") -> None:
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name, shape in shapes.items():
            layer = f"{group}{name}/{name}"
            file[f"{layer}/kernel:0"] = random.normal(size=shape).astype(np.float16)
            file[f"{layer}/bias:0"] = np.arange(shape[-1], dtype=np.float16)


@pytest.mark.parametrize("group", ["", "model_weights/"])
def test_kernels_come_out_by_layer_the_first_turned_to_rgb(tmp_path: Path, group: str) -> None:
    write_file(tmp_path / "w.h5", SHAPES, group)
    found = weights.read_convolutions(tmp_path / "w.h5", SHAPES, title="VGG19")
    with h5py.File(tmp_path / "w.h5") as file:
        for name in SHAPES:
            kernel = file[f"{group}{name}/{name}/kernel:0"][()].astype(np.float32)
            first = name == "block1_conv1"
            np.testing.assert_array_equal(found[name][0], kernel[:, :, ::-1] if first else kernel)
            np.testing.assert_array_equal(found[name][1], np.arange(4))


def test_a_wrong_shape_names_the_layer_and_both_shapes(tmp_path: Path) -> None:
    write_file(tmp_path / "w.h5", SHAPES | {"block1_conv2": (3, 3, 4, 5)})
    with pytest.raises(WeightsError, match=r"block1_conv2 .* \(3, 3, 4, 4\).*\(3, 3, 4, 5\)"):
        weights.read_convolutions(tmp_path / "w.h5", SHAPES, title="VGG19")


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    write_file(tmp_path / "w.h5", {"block1_conv1": (3, 3, 3, 4)})
    with pytest.raises(WeightsError, match=r"block1_conv2 .* received no such layer"):
        weights.read_convolutions(tmp_path / "w.h5", SHAPES, title="VGG19")


def test_a_file_that_is_not_hdf5_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.h5").write_text("PK not weights")
    with pytest.raises(WeightsError, match="must be an HDF5 file of VGG19 weights"):
        weights.read_convolutions(tmp_path / "w.h5", SHAPES, title="VGG19")


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is none at"):
        weights.locate(str(tmp_path / "none.h5"), PUBLISHED)


def test_published_weights_that_cannot_be_had_name_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "cached_file", lambda _: tmp_path / "none.h5")
    monkeypatch.setattr(weights, "host_reachable", lambda *a, **k: False)
    with pytest.raises(WeightsUnavailable, match=r"model\.weights=PATH.*random.*--sample"):
        weights.locate("imagenet", PUBLISHED)


def test_the_cache_is_where_keras_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from keras.src.backend.config import keras_home

    monkeypatch.delenv("KERAS_HOME", raising=False)
    assert weights.cached_file(PUBLISHED) == Path(keras_home()) / "models" / PUBLISHED.file_name
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert weights.cached_file(PUBLISHED) == tmp_path / "models" / PUBLISHED.file_name


def test_a_cached_file_with_the_wrong_checksum_is_an_error_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / PUBLISHED.file_name
    cached.write_bytes(b"half a download")
    monkeypatch.setattr(weights, "cached_file", lambda _: cached)
    with pytest.raises(WeightsError, match="MD5") as caught:
        weights.locate("imagenet", PUBLISHED)
    assert not isinstance(caught.value, WeightsUnavailable)
    assert cached.exists()


@pytest.mark.skipif(not PUBLISHED_COPY.exists(), reason="no copy of the published weights here")
def test_a_real_file_fits_the_whole_network() -> None:
    model = build_classifier(Architecture(image_size=32, pretrained_input=True), seed=0)
    VGG19.put_in(model, PUBLISHED_COPY)
    with h5py.File(PUBLISHED_COPY) as file:
        for layer in convolutions(model)[1:]:
            stored = file[f"{layer.name}/{layer.name}/kernel:0"][()].astype(np.float32)
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.kernel), stored)
