"""Weights files: read as arrays, refused with the layer's name; never downloaded in a test."""

import zipfile
from collections.abc import Callable
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


def small_vgg(*, nested: bool = False) -> keras.Model:
    photos = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="block1_conv1")(photos)
    vgg = keras.Model(photos, keras.layers.Conv2D(4, 3, name="block1_conv2")(x), name="vgg19")
    return keras.Model(photos, keras.layers.Flatten()(vgg(photos))) if nested else vgg


def torch_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vgg19/data.pkl", b"\x80\x02}q\x00.")


def cut(path: Path) -> None:
    write_file(path, SHAPES)
    path.write_bytes(path.read_bytes()[:1500])


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("w.h5", lambda path: path.write_text("PK not weights"), "and is no HDF5"),
        ("w.h5", lambda path: path.write_bytes(b""), "and is empty"),
        ("w.h5", cut, "is damaged, or cut short; get it again"),
        ("w.pth", torch_archive, "and is of PyTorch's"),
        ("w.keras", lambda path: small_vgg().save(path), r"load_model\('w.keras'\).save\('NAME.h5"),
        ("w.weights.h5", lambda path: small_vgg().save_weights(path), "and is a weights file of K"),
        (
            "w.h5",
            lambda path: small_vgg(nested=True).save(path),
            r"and is of a network around it.*model.get_layer\('vgg19'\).save",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # that .h5 is considered legacy
def test_another_kind_of_file_is_named_with_the_way_to_one_that_will_do(
    tmp_path: Path, name: str, write: Callable[[Path], object], said: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(WeightsError, match=said):
        weights.read_convolutions(tmp_path / name, SHAPES, title="VGG19")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_file_that_the_way_leads_to_will_do(tmp_path: Path) -> None:
    small_vgg(nested=True).get_layer("vgg19").save(tmp_path / "w.h5")
    assert list(weights.read_convolutions(tmp_path / "w.h5", SHAPES, title="VGG19")) == [*SHAPES]


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        for name, shape in SHAPES.items():
            kernel = np.random.default_rng(0).normal(size=shape).astype(np.float32)
            file.create_dataset(f"{name}/kernel", data=kernel, compression="gzip")
            file[f"{name}/bias"] = np.zeros(shape[-1], np.float32)
    weights.read_convolutions(path, SHAPES, title="VGG19")
    content = bytearray(path.read_bytes())
    place = content.index(b"\x78\x5e")  # where a deflated stream begins
    content[place + 20 : place + 60] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="is damaged, or cut short; get it again"):
        weights.read_convolutions(path, SHAPES, title="VGG19")


def test_a_value_that_is_no_number_is_told_with_its_layer(tmp_path: Path) -> None:
    model = small_vgg()
    weights.require_finite(model, tmp_path / "w.h5")
    kernel = np.asarray(model.get_layer("block1_conv2").kernel).copy()
    kernel[0, 1, 2, 3] = np.inf
    model.get_layer("block1_conv2").kernel.assign(kernel)
    with pytest.raises(WeightsError, match=r"of the 144 values of block1_conv2/kernel, 1 is not"):
        weights.require_finite(model, tmp_path / "w.h5")


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
