"""What adds up on the device is what `fit` would have shown, and is read now and then."""

import gc
import random
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from optrun.optimizers import Model, SoftBatch
from optrun.runner.engine import engine as engines
from optrun.runner.engine.checkpoint import CheckpointError
from optrun.runner.engine.engine import Means, TensorFlowEngine
from optrun.runner.engine.tensorboard import TensorBoard
from optrun.runner.events import EpochRecord, StepDone
from optrun.runner.models.keras_state import fresh_keras

ROOT = Path(__file__).resolve().parents[2]
SIZES = (8, 8, 3)
RANDOM = np.random.default_rng(3)
PHOTOS = RANDOM.normal(size=(19, 5)).astype(np.float32)
LABELS = (PHOTOS.sum(axis=1) > 0).astype(np.float32)
BATCHES = [
    (PHOTOS[start : start + size], LABELS[start : start + size])
    for start, size in zip((0, 8, 16), SIZES, strict=True)
]


def network() -> keras.Model:
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(6, "relu", kernel_initializer=keras.initializers.GlorotUniform(1))
    x = keras.layers.Dropout(0.5, seed=1)(hidden(inputs))
    head = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(2))
    return Model(inputs, head(x))


def engine_with(optimizer: keras.optimizers.Optimizer) -> TensorFlowEngine:
    return TensorFlowEngine(network(), optimizer, jit_compile=False)


@pytest.fixture
def engine() -> TensorFlowEngine:
    return engine_with(keras.optimizers.SGD(0.1, momentum=0.9))


@pytest.fixture
def twin() -> TensorFlowEngine:
    return engine_with(keras.optimizers.SGD(0.1, momentum=0.9))


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read but what is asked for, and the first step of an epoch."""
    monkeypatch.setattr(engines, "MOST_UNREAD_STEPS", 10_000)
    monkeypatch.setattr(engines, "LONGEST_UNREAD_S", 10_000.0)


@pytest.mark.parametrize(
    "make",
    [
        keras.optimizers.Adam,
        # Its last digits tell whether TensorFlow has optimized the step as it does that of `fit`.
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.1),
        lambda: SoftBatch(keras.optimizers.SGD(0.1), 2),
    ],
    ids=["adam", "clipped sgd", "soft_batch"],
)
def test_curves_and_weights_are_those_of_fit_to_the_bit(
    make: Callable[[], keras.optimizers.Optimizer],
) -> None:
    import tensorflow as tf

    model = network()
    accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(make(), loss=loss, metrics=[accuracy], jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    stream = tf.data.Dataset.from_tensor_slices((PHOTOS, LABELS)).batch(8)
    history = model.fit(stream, epochs=3, shuffle=False, verbose=0).history

    engine = engine_with(make())
    curves: dict[str, list[float]] = {"loss": [], "accuracy": []}
    for _ in range(3):
        engine.start_epoch()
        for batch in BATCHES:
            engine.step(batch)
        means = engine.read()
        engine.end_epoch()
        curves["loss"].append(means.loss)
        curves["accuracy"].append(means.accuracy)
    assert curves == {name: history[name] for name in curves}
    for one, other in zip(engine.weights, model.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    predicted = model.predict(PHOTOS[:8], verbose=0)[:, 0]
    np.testing.assert_allclose(engine.predict(PHOTOS[:8]), predicted, rtol=1e-6)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(("bad", "more"), [(1, 0), (1, 4), (4, 3), (5, 2), (6, 2)])
def test_the_first_step_without_a_finite_loss_is_known_however_late_it_is_read(
    engine: TensorFlowEngine, bad: int, more: int
) -> None:
    before = None
    for step in range(1, bad + more + 1):
        if step == 5:
            engine.start_epoch()
        photos, labels = BATCHES[step % 3]
        if step == bad:
            before = engine.read() if step not in (1, 5) else engine.means
            photos = np.full_like(photos, np.nan)
        engine.step((photos, labels))
    engine.read()
    assert engine.steps_not_finite == more + 1
    assert engine.means == before  # of the step before, if in the epoch before
    assert np.isnan(engine.weights[0]).any()


def test_the_device_is_read_at_an_epochs_first_step_and_then_seldom(
    engine: TensorFlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, reads = [0.0], []
    monkeypatch.setattr(engines.time, "monotonic", lambda: now[0])
    read = TensorFlowEngine.read

    def counted(self: TensorFlowEngine) -> Means:
        reads.append(step)
        return read(self)

    monkeypatch.setattr(TensorFlowEngine, "read", counted)
    for step in range(1, 131):
        now[0] += 2**-10 if step < 110 else 2**-3
        engine.step(BATCHES[0])
        if step == 60:
            engine.start_epoch()
    # The first; 50 later; the new epoch's first; 50 later; from then on every half second.
    assert reads == [1, 51, 61, 111, 115, 119, 123, 127]


def test_a_record_is_the_mean_over_its_photos_alone(
    engine: TensorFlowEngine, twin: TensorFlowEngine
) -> None:
    losses = []
    for batch in BATCHES:
        engine.step(batch)
        twin.step(batch)
        losses.append(twin.take_record())
    engine.start_epoch()  # no part of it
    record = engine.take_record()
    weights = np.array(SIZES) / sum(SIZES)
    assert record.loss == pytest.approx(float(weights @ [one.loss for one in losses]), rel=1e-6)
    hits = [round(one.accuracy * size) for one, size in zip(losses, SIZES, strict=True)]
    assert record.accuracy == pytest.approx(sum(hits) / sum(SIZES))


def test_what_was_given_is_gone_on_with_in_the_middle_of_an_epoch_and_of_a_record(
    engine: TensorFlowEngine, twin: TensorFlowEngine
) -> None:
    engine.step(BATCHES[0])
    state = {name: np.array(array) for name, array in engine.state_dict().items()}
    twin.load_state_dict(state)
    for one in (engine, twin):
        one.step(BATCHES[1])
        one.step(BATCHES[2])
    assert twin.read() == engine.read()
    assert twin.take_record() == engine.take_record()
    found = twin.state_dict()
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in engine.state_dict().items()
    }


def test_a_checkpoint_from_before_steps_were_recorded_is_gone_on_with(
    engine: TensorFlowEngine,
) -> None:
    before = {n: a for n, a in engine.state_dict().items() if not n.startswith("since_record")}
    engine.load_state_dict(before)
    with pytest.raises(CheckpointError, match="another version"):
        engine.load_state_dict(before | {"model/9999": np.zeros(1)})
    with pytest.raises(CheckpointError, match="shape"):
        engine.load_state_dict(before | {"model/0000": np.zeros(1)})


def test_random_state_is_the_seeds_within_and_then_what_it_was() -> None:
    import tensorflow as tf

    def draw() -> list[float]:
        drawn = [random.random(), np.random.rand(), tf.random.uniform([]), keras.random.uniform([])]
        return [float(one) for one in drawn]

    keras.utils.set_random_seed(5)
    wanted = [draw(), draw()]
    keras.utils.set_random_seed(5)
    found = [draw()]
    with fresh_keras(seed=7):
        within = draw()
    found.append(draw())
    assert found == wanted
    with fresh_keras(seed=7):
        assert draw() == within


def test_epochs_are_shown_in_tensorboard_under_keras_names(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="an extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    board = TensorBoard(tmp_path)
    numbers = dict.fromkeys(EpochRecord.__dataclass_fields__, 0)
    board(EpochRecord(**numbers | {"epoch": 1, "training_loss": 0.5, "validation_accuracy": 0.75}))  # type: ignore[arg-type]
    board(StepDone(1, 1, None, None, None))
    expected = {
        "train": {"epoch_loss": 0.5, "epoch_accuracy": 0.0, "epoch_learning_rate": 0.0},
        "validation": {"epoch_loss": 0.0, "epoch_accuracy": 0.75},
    }
    assert {path.name for path in tmp_path.iterdir()} == set(expected)
    for kind, values in expected.items():
        events = EventAccumulator(str(tmp_path / kind)).Reload()
        assert set(events.Tags()["tensors"]) == set(values)
        for tag, value in values.items():
            (one,) = events.Tensors(tag)
            assert (one.step, float(make_ndarray(one.tensor_proto))) == (0, value)


@pytest.mark.usefixtures("shallow_network")
def test_a_run_leaves_no_network_behind_and_the_random_state_as_it_was(
    tmp_path: Path, optrun: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = []
    init = TensorFlowEngine.__init__

    def known(self: TensorFlowEngine, model: keras.Model, *more: Any, **compiled: bool) -> None:
        networks.append(weakref.ref(model))
        init(self, model, *more, **compiled)

    monkeypatch.setattr(TensorFlowEngine, "__init__", known)
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    sets = ("data.image_size=32", "data.limit=40", "model.width=0.0625", "training.epochs=1")
    code, *_ = optrun(
        *("train", ROOT / "configs" / "lookahead_vgg19.yaml", "--sample", "--results", tmp_path),
        *(part for setting in sets for part in ("--set", setting)),
    )
    assert code == 0
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # type: ignore[index]
    gc.collect()
    assert [reference() for reference in networks] == [None]
