"""A person's own program before and after a run in the same process: nothing in it is changed."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (
    "data.image_size=32",
    "data.limit=60",
    "data.augmentation.flip=true",
    "model.width=0.125",
    "model.trainable=block5",
    "model.head.hidden_units=[3]",
    "training.epochs=1",
)


def settings() -> dict[str, Any]:
    """What a program can set of Keras for all of itself."""
    return {
        "policy": keras.config.dtype_policy().name,
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
        "backend": keras.config.backend(),
        "name of the next layer": keras.layers.Dense(1).name,
        "seed": keras.src.utils.rng_utils.get_random_seed(),
    }


def drawn() -> list[Any]:
    """The next random numbers of every generator."""
    return [
        random.random(),
        np.random.random(),
        float(tf.random.uniform([])),
        float(keras.random.uniform([], dtype="float32")),
    ]


@pytest.fixture
def odd() -> Iterator[None]:
    """Settings of a person's own that no run has."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_floatx("float16")
    keras.config.set_epsilon(0.25)
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy(before)


def train(results: Path, *more: str) -> Path:
    from optrun.runner.plan.executor import Request, execute
    from optrun.runner.plan.plan import Entry

    config = ROOT / "configs" / "lookahead_adam_vgg19.yaml"
    overrides = [*SETTINGS, *more]
    entries = [Entry(config, overrides)]
    request = Request(entries, sample=True, device="cpu", results=results, quiet=True)
    assert execute(request) == 0
    (folder,) = results.iterdir()
    return folder


@pytest.mark.usefixtures("shallow_network", "odd", "photo_cache")
def test_training_predicting_and_exporting_leave_keras_as_it_was(
    tmp_path: Path, native_bfloat16: bool
) -> None:
    from optrun.runner.inference.classifier import open_trained
    from optrun.runner.inference.export import export

    keras.utils.set_random_seed(7)
    keras.layers.Dense(1)  # so that names go on, and don't begin again
    expected = drawn()
    before = settings()
    keras.utils.set_random_seed(7)

    folder = train(tmp_path / "results")
    trained = open_trained(folder, device="cpu")
    trained.logits(np.zeros((1, 32, 32, 3), np.uint8))
    export(str(folder), str(tmp_path / "model.keras"), force=False)

    number = int(before.pop("name of the next layer").rpartition("_")[2])
    after = settings()
    assert after.pop("name of the next layer") == f"dense_{number + 1}"
    assert after == before
    assert drawn() == expected
    precision = json.loads((folder / "run.json").read_text())["comparable"]["precision"]
    assert precision == ("mixed_bfloat16" if native_bfloat16 else "float32")


@pytest.mark.parametrize(
    "precision", [pytest.param("float32", marks=pytest.mark.slow), "mixed_float16"]
)
@pytest.mark.usefixtures("shallow_network", "photo_cache")
def test_a_run_computes_the_same_under_any_settings(
    tmp_path: Path, request: pytest.FixtureRequest, precision: str
) -> None:
    plain = train(tmp_path / "plain", f"training.precision={precision}")
    request.getfixturevalue("odd")
    odd = train(tmp_path / "odd", f"training.precision={precision}")
    with np.load(plain / "predictions.npz") as one, np.load(odd / "predictions.npz") as other:
        for name in one.files:
            assert one[name].tobytes() == other[name].tobytes(), name
    losses = [
        json.loads((run / "metrics.jsonl").read_text().splitlines()[1])["training_loss"]
        for run in (plain, odd)
    ]
    assert losses[0] == losses[1]
