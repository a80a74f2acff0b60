"""What every registered optimizer must pass, against float64 references written from the papers."""

import functools
import itertools

import keras
import numpy as np
import pytest
from checks import fitting, recorded
from optrun.optimizers.registry import ENTRIES
from optrun.optimizers.specification import parse
from references.cases import CASES, reference, specifications
from references.composed import Lookahead

WITH_REFERENCE = [name for name in ENTRIES if name in CASES]
EVERY_CASE = specifications(WITH_REFERENCE)
ONE_CASE = specifications(WITH_REFERENCE, first_only=True)


def made(specification, total_updates=100):
    return parse(specification).build(total_updates=total_updates)


def cases(specifications):
    return pytest.mark.parametrize(
        "specification", specifications.values(), ids=list(specifications)
    )


@pytest.mark.parametrize("name", ENTRIES)
def test_every_registered_optimizer_has_a_reference(name):
    assert specifications([name])


@cases(EVERY_CASE)
def test_the_trajectory_is_the_paper_s_to_float64_precision(specification, float64):
    # Keras turns a coefficient into a float32 before it casts it to the variable's dtype: 0.9 is
    # 0.89999998 in float64 too. So both are given coefficients that float32 holds exactly. The 0.96
    # in Nadam's code is such a coefficient in μ, and not in the product of the μ.
    held = _held_by_float32(parse(specification).as_mapping())
    rule = reference(held)
    if specification["name"] == "nadam":
        rule.base = float(np.float32(rule.base))
    _follow(held, rule, "float64", 1e-12)


@cases(ONE_CASE)
def test_the_trajectory_is_the_paper_s_to_float32_precision(specification):
    _follow(specification, reference(specification), "float32", 1e-5)


def _held_by_float32(value):
    if isinstance(value, dict):
        return {key: _held_by_float32(one) for key, one in value.items()}
    return float(np.float32(value)) if isinstance(value, float) else value


def _follow(specification, rule, dtype, bound, steps=13):  # two of Ranger's cycles, and one more
    model = recorded.layers_of_every_shape(dtype)
    optimizer = made(specification)
    recorded.prepare(optimizer, model)
    recording = recorded.recording_for(optimizer)
    ours = recorded.trajectory(optimizer, model, steps, recording)
    theirs = recorded.reference_trajectory(rule, recorded.start(), steps, recording)
    assert recorded.deviation(ours, theirs) < bound


@pytest.fixture(scope="module")
def by_hand():
    """The network by hand in a precision and a mode, traced once."""
    return functools.cache(fitting.Hand)


MODES = ("eager", "graph", "jit")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Those of which more than arithmetic can get lost in a graph: conditions, probes, float64 scalars
# (RAdam's, in Ranger). Where a test is slow for others, these run always.
INTRICATE = ("lookahead", "soft_batch", "heun", "ranger")


def combinations():
    """Every combination; those that are not in the pairwise choice are marked slow.

    The choice gives each optimizer a run in a graph, and the intricate ones one in each mode, and
    turns precision and building so that every two values of mode, precision and building meet.
    """
    for number, (case, specification) in enumerate(ONE_CASE.items()):
        for place, mode in enumerate(MODES):
            for turn, precision in enumerate(PRECISIONS):
                for built in (True, False):
                    chosen = (
                        turn == (number + place) % 3
                        and built == ((number // 3 + place) % 2 == 0)
                        and (mode == "graph" or specification["name"] in INTRICATE)
                    )
                    yield pytest.param(
                        specification,
                        precision,
                        mode,
                        built,
                        id=f"{case}-{precision}-{mode}-{'built' if built else 'unbuilt'}",
                        marks=() if chosen else pytest.mark.slow,
                    )


COMBINATIONS = list(combinations())


def test_the_pairwise_choice_has_every_pair():
    chosen = [one.values for one in COMBINATIONS if not one.marks]
    for first, second in itertools.combinations((1, 2, 3), 2):
        met = {(values[first], values[second]) for values in chosen}
        assert met == {(one.values[first], one.values[second]) for one in COMBINATIONS}
    assert all(
        specification in [values[0] for values in chosen] for specification in ONE_CASE.values()
    )


# The gradients are of the same operations in the same precision, so the weights differ by float32's
# rounding. In half precision a weight between two of its values is then now and again rounded to
# the other one, one part in 2⁹, and XLA may keep more than half precision between two operations.
BOUNDS = {"float32": 3e-5, "mixed_bfloat16": 5e-3, "mixed_float16": 5e-3}


@pytest.mark.parametrize(("specification", "precision", "mode", "built"), COMBINATIONS)
def test_fit_makes_the_steps_made_by_hand(specification, precision, mode, built, by_hand):
    # XLA compiles anew for a last short batch, which would be most of the time here.
    length = {"epochs": 3, "samples": 8} if mode == "jit" else {"epochs": 2}
    hand = by_hand(precision, mode)
    theirs = hand.train(reference(specification), **length)
    model = fitting.compiled(made(specification), precision, mode, built=built)
    ours = fitting.fit(model, **length)
    assert fitting.deviation(ours, theirs, hand.start) < BOUNDS[precision]


_ADAM = {"name": "adam", "learning_rate": 0.02}
_PERIOD = {"sync_period": 2}
NESTINGS = {
    "lookahead of heun": {
        "name": "lookahead",
        "inner_optimizer": {"name": "heun", "learning_rate": 0.2},
        **_PERIOD,
    },
    "soft batch of lookahead of adam": {
        "name": "soft_batch",
        "batches_per_update": 2,
        "inner_optimizer": {"name": "lookahead", "inner_optimizer": _ADAM, **_PERIOD},
    },
    "soft batch of ranger": {
        "name": "soft_batch",
        "batches_per_update": 2,
        "inner_optimizer": {"name": "ranger", "learning_rate": 0.02, **_PERIOD},
    },
}


def nested_combinations():
    """Every nesting in every precision; each is once in the default tests, the others are slow.

    The most is nested in a soft batch of Lookahead, which is tried under a loss scale too.
    """
    for place, (case, specification) in enumerate(NESTINGS.items()):
        for turn, precision in enumerate(PRECISIONS):
            chosen = turn == 2 - place or (place, turn) == (1, 2)
            yield pytest.param(
                specification,
                precision,
                id=f"{case}-{precision}",
                marks=() if chosen else pytest.mark.slow,
            )


@pytest.mark.parametrize(("specification", "precision"), list(nested_combinations()))
def test_nestings_make_the_steps_made_by_hand(specification, precision, by_hand):
    hand = by_hand(precision, "graph")
    theirs = hand.train(reference(specification), epochs=3)
    model = fitting.compiled(made(specification), precision, "graph", built=False)
    ours = fitting.fit(model, epochs=3)
    assert fitting.deviation(ours, theirs, hand.start) < BOUNDS[precision]


def test_a_wrong_sync_is_far_beyond_every_bound(by_hand):
    hand, specification = by_hand("float32", "graph"), ONE_CASE["lookahead-maintain"]
    right = hand.train(reference(specification), epochs=2)
    late = hand.train(reference({**specification, "sync_period": 5}), epochs=2)
    inner = reference(specification["inner_optimizer"])
    from_zero = hand.train(_FromZero(inner, specification["sync_period"]), epochs=2)
    for wrong in (late, from_zero):
        assert fitting.deviation(wrong, right, hand.start) > 20 * max(BOUNDS.values())


class _FromZero(Lookahead):
    """Its slow weights are zero when a cycle begins."""

    @property
    def slow(self):
        return self._zeros

    @slow.setter
    def slow(self, weights):
        self._zeros = [0 * one for one in weights]


def intricate_first(specifications):
    """Parametrises over all; those that are not intricate are marked slow."""
    return pytest.mark.parametrize(
        "specification",
        [
            pytest.param(one, id=case, marks=() if one["name"] in INTRICATE else pytest.mark.slow)
            for case, one in specifications.items()
        ],
    )


@cases(ONE_CASE)
def test_a_config_makes_the_same_optimizer(specification):
    first = made(specification)
    # Not `keras.optimizers.deserialize`, whose list of Keras' own lacks Lamb in 3.15.1.
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(first))
    from_config = type(first).from_config(first.get_config())
    assert again.get_config() == from_config.get_config() == first.get_config()
    ours, *theirs = (
        _trained(one, _cycle(specification) + 1) for one in (first, again, from_config)
    )
    for one in theirs:
        assert recorded.deviation(one, ours) == 0


def _trained(optimizer, steps):
    model = recorded.layers_of_every_shape()
    recorded.prepare(optimizer, model)
    return recorded.trajectory(optimizer, model, steps, recorded.recording_for(optimizer))


def _cycle(specification):
    """Steps after which everything that comes round has come round."""
    own = specification.get("sync_period") or specification.get("batches_per_update")
    own = own or {"ranger": 6}.get(specification["name"], 1)
    inner = specification.get("inner_optimizer")
    return own * (_cycle(inner) if inner else 1)


def _compiled(specification):
    model = recorded.layers_of_every_shape()
    model.compile(made(specification))
    recorded.prepare(model.optimizer, model)
    return model


@cases(ONE_CASE)
def test_saved_weights_go_on_bit_for_bit_from_every_phase(specification, tmp_path):
    cycle = _cycle(specification)
    whole = _compiled(specification)
    recording = recorded.recording_for(whole.optimizer)
    ours = []
    for step in range(2 * cycle + 1):
        whole.save_weights(tmp_path / f"{step}.weights.h5")
        ours += recorded.trajectory(whole.optimizer, whole, 1, recording, first=step)
    for phase in range(cycle + 1):
        resumed = _compiled(specification)
        resumed.load_weights(tmp_path / f"{phase}.weights.h5")
        theirs = recorded.trajectory(resumed.optimizer, resumed, cycle, recording, first=phase)
        assert recorded.deviation(theirs, ours[phase : phase + cycle]) == 0


@intricate_first(ONE_CASE)
def test_a_saved_model_goes_on_bit_for_bit(specification, tmp_path):
    model = _compiled(specification)
    recording = recorded.recording_for(model.optimizer)
    recorded.trajectory(model.optimizer, model, 2, recording)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    recorded.prepare(loaded.optimizer, loaded)
    rest = [
        recorded.trajectory(one.optimizer, one, 3, recording, first=2) for one in (model, loaded)
    ]
    assert recorded.deviation(*rest) == 0


@cases(ONE_CASE)
def test_an_infinite_gradient_changes_and_counts_nothing(specification):
    scaled, plain = (recorded.layers_of_every_shape() for _ in range(2))
    outer = keras.optimizers.LossScaleOptimizer(made(specification), initial_scale=8.0)
    alone = made(specification)
    recorded.prepare(outer, scaled)
    recorded.prepare(alone, plain)
    recording = recorded.recording_for(alone)
    for step in range(2):
        recorded.step(alone, plain.trainable_variables, recording.of(step))
        recorded.step(
            outer, scaled.trainable_variables, recording.of(step), scale=outer.dynamic_scale
        )
        state = [*scaled.trainable_variables, *outer.inner_optimizer.variables]
        before = recorded.values(state)
        recorded.step(
            outer, scaled.trainable_variables, recording.of(step), scale=np.float32(np.inf)
        )
        for ours, theirs in zip(recorded.values(state), before, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    # The scale is a power of two, so dividing by it is exact.
    ours, theirs = (recorded.values(one.trainable_variables) for one in (scaled, plain))
    assert recorded.deviation([ours], [theirs]) == 0


@intricate_first(ONE_CASE)
def test_callbacks_reach_the_rate_of_the_core(specification, by_hand):
    rate = _core(specification)["learning_rate"]
    rates = [rate, 2 * rate, 0.5 * rate]
    scheduler = keras.callbacks.LearningRateScheduler(
        lambda epoch, current: rates[1] if epoch == 1 else current
    )
    # No loss is 10⁶ below the first, so the second epoch ends with a quarter of the rate.
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="loss", factor=0.25, patience=1, min_delta=1e6, min_lr=0
    )
    model = fitting.compiled(made(specification))
    ours = fitting.fit(model, epochs=3, callbacks=[scheduler, plateau], samples=4)
    rule, hand = reference(specification), by_hand("float32", "graph")
    core = rule
    while hasattr(core, "inner"):
        core = core.inner

    def at_epoch(epoch):
        core.learning_rate = rates[epoch]

    theirs = hand.train(rule, 3, at_epoch, samples=4)
    assert fitting.deviation(ours, theirs, hand.start) < 3e-5


def _core(specification):
    inner = specification.get("inner_optimizer")
    return _core(inner) if inner else specification


@intricate_first(ONE_CASE)
def test_frozen_layers_stay_bit_for_bit(specification, by_hand):
    model = fitting.compiled(made(specification), frozen=("conv",))
    before = model.get_layer("conv").get_weights()
    ours = fitting.fit(model, epochs=1)
    for one, other in zip(model.get_layer("conv").get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    hand = by_hand("float32", "graph", frozen=("conv",))
    theirs = hand.train(reference(specification), epochs=1)
    assert fitting.deviation(ours, theirs, hand.start) < 3e-5


@cases(ONE_CASE)
def test_weights_set_between_two_cycles_are_where_the_next_begins(specification):
    model = _compiled(specification)
    recording = recorded.recording_for(model.optimizer)
    rule, cycle = reference(specification), _cycle(specification)
    recorded.trajectory(model.optimizer, model, cycle, recording)
    recorded.reference_trajectory(rule, recorded.start(), cycle, recording)
    other = [one + 1 for one in recorded.start()]
    model.set_weights(other)
    ours = recorded.trajectory(model.optimizer, model, cycle + 1, recording, first=cycle)
    theirs = recorded.reference_trajectory(rule, other, cycle + 1, recording, first=cycle)
    assert recorded.deviation(ours, theirs) < 1e-5


@intricate_first(ONE_CASE)
def test_several_steps_per_execution_are_the_same_steps(specification, by_hand):
    hand = by_hand("float32", "graph")
    length = {"epochs": 2, "samples": 8, "batch": 2}
    theirs = hand.train(reference(specification), **length)
    model = fitting.compiled(made(specification), mode="graph", steps_per_execution=4)
    ours = fitting.fit(model, **length)
    assert fitting.deviation([ours[-1]], [theirs[-1]], hand.start) < 3e-5


@intricate_first(ONE_CASE)
@pytest.mark.parametrize("mode", ["graph", pytest.param("jit", marks=pytest.mark.slow)])
def test_a_batch_of_another_shape_resets_no_count(specification, mode, by_hand):
    hand, rule = by_hand("float32", "graph"), reference(specification)
    model = fitting.compiled(made(specification), mode=mode, built=False)
    x, y = fitting.photos()
    weights = hand.start
    for size in (4, 4, 2, 4, 2, 2, 4, 4):
        model.train_on_batch(x[:size], y[:size])
        weights = rule.step(hand.gradient_at(x[:size], y[:size]), weights, samples=size)
    ours = [one.numpy() for one in model.trainable_variables]
    assert fitting.deviation([ours], [weights], hand.start) < 3e-5
