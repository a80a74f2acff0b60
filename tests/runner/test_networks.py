"""Every network behind the door: counted as it is built, its own preprocessing, its start."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from optrun.optimizers import Lookahead
from optrun.runner.engine.engine import TensorFlowEngine
from optrun.runner.engine.network import build_classifier
from optrun.runner.models.base import Architecture
from optrun.runner.models.batch_norm import Averages, normalised_layers
from optrun.runner.models.ends import POOLED
from optrun.runner.models.networks import NETWORKS, output_floats, weight_shapes
from optrun.runner.models.weights import WeightsError

ROOT = Path(__file__).resolve().parents[2]
Optrun = Callable[..., tuple[int, str, str]]
OURS = [name for name, one in NETWORKS.items() if one.scales]
# Of one experiment, when there was no key for the network.
BEFORE = "5d45034ad7ef2feec7478b8326f059bf0baf7dec29a14dd08db7a45caa35a6cb"


def architecture(name: str, **changes: object) -> Architecture:
    width = 0.125 if NETWORKS[name].scales else 1.0
    return replace(Architecture(32, False, network=name, width=width), **changes)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    "name",
    [
        *OURS,
        "mobilenetv2",
        pytest.param("resnet50", marks=pytest.mark.slow),
        pytest.param("efficientnetv2b0", marks=pytest.mark.slow),
    ],
)
def test_a_network_is_counted_as_it_is_built(name: str) -> None:
    settings = architecture(name, pooling="flatten", hidden_units=(3,))
    model = build_classifier(settings, seed=1)
    built = sorted(tuple(one.shape) for one in model.weights)
    assert sorted(weight_shapes(settings)) == built
    assert output_floats(settings)[0] == 3 * 32 * 32
    assert max(output_floats(settings)) >= np.prod(model.get_layer(POOLED).input.shape[1:])


@pytest.mark.parametrize("name", OURS)
def test_what_learns_is_what_is_counted_as_learning(name: str) -> None:
    for trainable in ("all", *NETWORKS[name].blocks, "head"):
        settings = architecture(name, trainable=trainable)
        learning = build_classifier(settings, seed=1).trainable_weights
        counted = weight_shapes(settings, trained=True)
        assert sorted(counted) == sorted(tuple(one.shape) for one in learning)
    assert len(weight_shapes(architecture(name, trainable="head"), trained=True)) == 2


def test_a_frozen_network_of_keras_leaves_the_head_to_learn() -> None:
    model = build_classifier(architecture("mobilenetv2", trainable="head"), seed=1)
    assert [one.path for one in model.trainable_variables] == ["logit/kernel", "logit/bias"]
    assert normalised_layers(model) == []


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["mobilenetv2", "resnet_small"])
def test_layers_have_the_policy_that_is_asked_for(name: str, precision: str) -> None:
    before = keras.config.dtype_policy().name
    model = build_classifier(architecture(name), seed=1, precision=precision)
    policies = {layer.dtype_policy.name for layer in model.layers if layer.weights}
    assert policies == {precision, "float32"}  # the logit is in float32
    assert model.get_layer(POOLED).dtype_policy.name == precision
    assert keras.config.dtype_policy().name == before


QUICK = {("vgg16", ".h5"), ("mobilenetv2", ".weights.h5")}
PREPROCESSING = {
    "resnet50": keras.applications.resnet50.preprocess_input,
    "mobilenetv2": keras.applications.mobilenet_v2.preprocess_input,
    "efficientnetv2b0": keras.applications.efficientnet_v2.preprocess_input,
    "vgg16": keras.applications.vgg16.preprocess_input,
}


# One of each kind by default: what Keras builds takes its time.
FILES = [
    pytest.param(name, suffix, marks=() if (name, suffix) in QUICK else pytest.mark.slow)
    for name in PREPROCESSING
    for suffix in (".h5", ".weights.h5")
    if (name, suffix) != ("vgg16", ".weights.h5")  # read by layer, in the published layout alone
]


@pytest.mark.parametrize(("name", "suffix"), FILES)
def test_with_its_weights_from_a_file_the_features_are_keras_own(
    tmp_path: Path, name: str, suffix: str
) -> None:
    network, photos = NETWORKS[name], noise(2)
    reference = getattr(keras.applications, network.published.constructor)(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    for variable in reference.weights:  # averages and scales that are not those of every network
        if "moving" in variable.path or "gamma" in variable.path:
            drawn = np.random.default_rng(1).uniform(0.8, 1.2, variable.shape)
            variable.assign(drawn)
    file = tmp_path / f"copy{suffix}"
    if suffix == ".h5":
        in_keras_layout(reference, file)
    else:
        reference.save_weights(file)
    ours = build_classifier(Architecture(32, True, network=name), seed=1)
    network.put_in(ours, file)
    wanted = reference(PREPROCESSING[name](photos.astype("float32")), training=False)
    features = keras.Model(ours.input, ours.get_layer(POOLED).input)(photos, training=False)
    np.testing.assert_allclose(features, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def in_keras_layout(model: keras.Model, file: Path) -> None:
    """Writes what the published files are: groups by layer, in the order of the layers."""
    import h5py

    with h5py.File(file, "w") as opened:
        keras.src.legacy.saving.legacy_h5_format.save_weights_to_hdf5_group(opened, model)


@pytest.mark.parametrize("content", ["not HDF5", "another network"])
def test_a_file_that_does_not_fit_is_refused_with_the_network_s_name(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "wrong.h5"
    if content == "not HDF5":
        file.write_text(content)
    else:
        other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        in_keras_layout(other, file)
    model = build_classifier(architecture("mobilenetv2"), seed=1)
    with pytest.raises(WeightsError, match=r"wrong.h5 must be weights of MobileNetV2 .*notop"):
        NETWORKS["mobilenetv2"].put_in(model, file)


@pytest.mark.parametrize(
    "name", [pytest.param("mobilenetv2", marks=pytest.mark.slow), "resnet_small"]
)
def test_random_weights_are_a_function_of_the_seed(name: str) -> None:
    def weights(seed: int) -> list[np.ndarray]:
        model = build_classifier(architecture(name), seed=1)
        NETWORKS[name].initialise(model, noise(4), seed)
        return model.get_weights()

    one, same, other = weights(1), weights(1), weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])


@pytest.mark.slow
def test_layers_with_random_numbers_of_their_own_have_them_from_the_seed() -> None:
    def seeds(seed: int) -> list[int]:
        model = build_classifier(architecture("efficientnetv2b0"), seed=seed)
        return [
            int(np.asarray(layer.seed_generator.state)[0])
            for layer in model.layers
            if hasattr(layer, "seed_generator")
        ]

    one = seeds(1)
    assert len(set(one)) > 10
    assert one == seeds(1) != seeds(2)


@pytest.fixture
def small() -> keras.Model:
    """The small residual network with its start, and dropout in its head."""
    model = build_classifier(architecture("resnet_small"), seed=1)
    NETWORKS["resnet_small"].initialise(model, noise(4), 1)
    return model


def test_averages_are_those_of_the_photos_at_the_present_weights(small: keras.Model) -> None:
    photos = noise(24)
    seeds = [np.array(one) for one in small.non_trainable_variables if "seed" in one.path]
    with Averages(small).anew([(photos[:16], None), photos[16:]]):
        first = normalised_layers(small)[0]
        convolved = keras.Model(small.input, first.input)
        parts = [np.asarray(convolved(part), np.float64) for part in (photos[:16], photos[16:])]
        means = [part.mean((0, 1, 2)) for part in parts]
        variances = [part.var((0, 1, 2)) for part in parts]
        np.testing.assert_allclose(first.moving_mean, (2 * means[0] + means[1]) / 3, atol=1e-5)
        np.testing.assert_allclose(
            first.moving_variance, (2 * variances[0] + variances[1]) / 3, rtol=1e-3
        )
        assert {one.momentum for one in normalised_layers(small)} == {0.9}
        after = [np.array(one) for one in small.non_trainable_variables if "seed" in one.path]
    assert seeds
    assert all(np.array_equal(a, b) for a, b in zip(seeds, after, strict=True))


def test_recomputed_averages_repeat_and_the_own_ones_come_back(small: keras.Model) -> None:
    before, averages = small.get_weights(), Averages(small)
    found = []
    for _ in range(2):
        with averages.anew([noise(8)]):
            found.append(small.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(found[0], before, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(small.get_weights(), before, strict=True))


@pytest.fixture(scope="module")
def residual_run(tmp_path_factory: pytest.TempPathFactory, optrun_for_many: Optrun) -> Path:
    results = tmp_path_factory.mktemp("residual") / "results"
    settings = {"data.image_size": 32, "data.limit": 300, "training.epochs": 3}
    overrides = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    config = ROOT / "configs" / "resnet50_lookahead.yaml"
    code, _, err = optrun_for_many("train", config, "--sample", *overrides, "--results", results)
    assert (code, err) == (0, "")
    (folder,) = results.iterdir()
    return folder


def test_the_small_residual_network_learns_the_sample_from_random_weights(
    residual_run: Path,
) -> None:
    assert json.loads((residual_run / "run.json").read_text())["result"]["test_accuracy"] > 0.55


def test_the_same_weights_are_worth_the_same_whatever_optimizer_made_them() -> None:
    """A Lookahead with a slow step of 1 is its inner optimizer."""
    photos, labels = noise(24), np.arange(24).reshape(-1, 1) % 2
    found = []
    for optimizer in ("sgd", Lookahead("sgd", sync_period=2, slow_step_size=1.0)):
        inputs = keras.Input((32, 32, 3), dtype="uint8")
        x = keras.layers.Conv2D(2, 3, strides=8, kernel_initializer="ones")(inputs / 255)
        x = keras.layers.Flatten()(keras.layers.BatchNormalization()(x))
        model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(x))
        engine = TensorFlowEngine(model, keras.optimizers.get(optimizer), jit_compile=False)
        for _ in range(4):
            engine.step((photos, labels))
        with engine.evaluation_weights([photos[:16]]):
            found.append(engine.predict(photos))
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)


def test_its_best_weights_give_its_predictions_again(residual_run: Path) -> None:
    """The averages stored are those that the logits were computed with."""
    from optrun.runner.inference.classifier import open_trained

    trained = open_trained(residual_run, device="cpu")
    photos, parts, _ = trained.evaluated_photos()
    with np.load(residual_run / "predictions.npz") as kept:
        stored = dict(zip(kept["test_ids"], kept["test_logits"], strict=True))
    order = np.sort(parts["test"])
    found = trained.logits(photos.pixels[order])
    wanted = [stored[photos.ids[i]] for i in order]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_run_is_described_with_its_network(residual_run: Path, optrun: Optrun) -> None:
    code, out, _ = optrun("runs", "show", residual_run)
    assert code == 0
    assert "small ResNet at width 0.5" in out


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{network: resnet49}", "model.network must be vgg19, vgg16, "),
        (
            "{network: resnet50, weights: random, width: 0.5}",
            "model.width must be 1 where model.network is resnet50",
        ),
        ("{network: resnet_small}", "model.weights must be random where model.network is resnet_s"),
        (
            "{network: resnet50, trainable: block3}",
            "model.trainable must be all or head where model.network is resnet50",
        ),
        (
            "{network: resnet_small, weights: random, trainable: block3}",
            "model.trainable must be all, stage1, stage2, stage3 or head where",
        ),
    ],
)
def test_what_a_network_cannot_be_is_said_with_its_place(
    tmp_path: Path, optrun: Optrun, model: str, message: str
) -> None:
    config = tmp_path / "x.yaml"
    config.write_text(
        "optimizer: {name: sgd, learning_rate: 0.1}\ntraining: {epochs: 1}\n" + f"model: {model}\n"
    )
    code, _, err = optrun("config", "check", config)
    assert code == 2
    assert "x.yaml:3:" in err
    assert message in err


def test_an_experiment_from_before_there_were_networks_is_the_same_experiment() -> None:
    from optrun.runner.config.identity import experiment_hash
    from optrun.runner.config.schema import Experiment

    stated = {
        "name": "plain",
        "training": {"epochs": 3},
        "optimizer": {"name": "sgd", "learning_rate": 0.01},
    }
    assert experiment_hash(Experiment.model_validate(stated)) == BEFORE
    other = Experiment.model_validate(stated | {"model": {"network": "vgg16"}})
    assert experiment_hash(other) != BEFORE


def test_a_run_from_before_there_were_networks_is_one_of_vgg19(
    trained_run: Path, tmp_path: Path, optrun: Optrun
) -> None:
    from optrun.runner.inference.classifier import open_trained
    from optrun.runner.runs import reader

    copy = tmp_path / trained_run.name
    shutil.copytree(trained_run, copy)
    run = json.loads((copy / "run.json").read_text())
    del run["comparable"]["model"]["network"]
    (copy / "run.json").write_text(json.dumps(run))
    config = yaml.safe_load((copy / "config.yaml").read_text())
    del config["model"]["network"]
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    old, new = reader.read(copy), reader.read(trained_run)
    assert old.record.flat_comparable == new.record.flat_comparable
    assert open_trained(copy, device="cpu").experiment.model.network == "vgg19"
