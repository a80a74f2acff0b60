"""The classifier's shape and its first weights, against independent counts and closed forms."""

import keras
import numpy as np
import pytest
from optrun.runner.engine.network import build_classifier
from optrun.runner.models.base import Architecture
from optrun.runner.models.initialization import (
    convolutions,
    initialise_convolutions,
    initialise_head,
    orthonormal,
    weights_hash,
)


def classifier(precision: str = "float32", **changes: object) -> keras.Model:
    settings: dict[str, object] = {"image_size": 32, "pretrained_input": False, "width": 0.125}
    architecture = Architecture(**(settings | changes))  # type: ignore[arg-type]
    return build_classifier(architecture, seed=1, precision=precision)


def noise(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def test_at_full_width_it_is_vgg19_without_its_dense_layers() -> None:
    reference = keras.applications.VGG19(include_top=False, weights=None, input_shape=(32, 32, 3))
    ours = classifier(width=1.0)
    expected = {
        layer.name: tuple(layer.kernel.shape)
        for layer in reference.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    assert {layer.name: tuple(layer.kernel.shape) for layer in convolutions(ours)} == expected
    assert ours.count_params() == reference.count_params() + 512 + 1


def test_with_keras_own_preprocessing_the_features_are_keras_own() -> None:
    """Reversing the first kernel's inputs and subtracting the mean equals Keras' RGB to BGR."""
    reference = keras.applications.VGG19(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg"
    )
    ours = classifier(width=1.0, pretrained_input=True)
    for layer in convolutions(ours):
        kernel, bias = reference.get_layer(layer.name).get_weights()
        first = layer.name == "block1_conv1"
        layer.set_weights([kernel[:, :, ::-1] if first else kernel, bias])
    photos = noise(2)
    theirs = reference(keras.applications.vgg19.preprocess_input(photos.astype("float32")))
    features = keras.Model(ours.input, ours.get_layer("pooled").output)(photos)
    np.testing.assert_allclose(features, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("trainable", "frozen"),
    [("all", set()), ("block4", {1, 2, 3}), ("block5", {1, 2, 3, 4}), ("head", {1, 2, 3, 4, 5})],
)
def test_blocks_below_the_lowest_trainable_one_are_frozen(trainable: str, frozen: set[int]) -> None:
    model = classifier(trainable=trainable)
    assert {int(x.name[5]) for x in convolutions(model) if not x.trainable} == frozen
    assert model.get_layer("logit").trainable


def test_the_head_is_built_as_configured() -> None:
    model = classifier(pooling="flatten", hidden_units=(7, 5), dropout=0.25)
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [
        7,
        5,
        1,
    ]
    assert {x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)} == {0.25}


def test_bytes_go_in_and_one_float32_logit_comes_out_also_in_bfloat16() -> None:
    model = classifier("mixed_bfloat16")
    logits = model(noise(3))
    assert logits.shape == (3, 1)
    assert {str(weight.dtype) for weight in model.trainable_variables} == {"float32"}


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    def hash_of(seed: int) -> str:
        model = classifier()
        initialise_head(model, seed=seed)
        initialise_convolutions(model, noise(8), seed=seed)
        return weights_hash(model)

    assert hash_of(1) == hash_of(1)
    assert hash_of(1) != hash_of(2)


def test_every_channel_starts_with_mean_zero_and_variance_one() -> None:
    model, photos = classifier(), noise(16)
    initialise_convolutions(model, photos, seed=1)
    signal = photos.astype(np.float64) / 127.5 - 1
    for layer in convolutions(model)[:4]:  # float64 by hand costs; the rule is the same for all
        kernel, bias = (np.asarray(weight, np.float64) for weight in layer.get_weights())
        padded = np.pad(signal, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        before_relu = np.einsum("nhwcij,ijco->nhwo", windows, kernel) + bias
        np.testing.assert_allclose(before_relu.mean((0, 1, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(before_relu.std((0, 1, 2)), 1, rtol=1e-4)
        signal = np.maximum(before_relu, 0)
        if layer.name.endswith("conv2"):
            n, h, w, c = signal.shape
            signal = signal.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


@pytest.mark.parametrize("shape", [(3, 3, 4, 36), (3, 3, 4, 50), (3, 3, 16, 8)])
def test_orthonormal_kernels_keep_length(shape: tuple[int, ...]) -> None:
    matrix = orthonormal(shape, np.random.default_rng(0)).reshape(-1, shape[-1]).astype(np.float64)
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-6)
