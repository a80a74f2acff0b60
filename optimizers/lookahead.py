"""Lookahead: slow weights that follow an inner optimizer's fast ones."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from optrun.optimizers.distribution import run_when, update_each
from optrun.optimizers.entry import (
    INNER_ALIASES,
    INNER_EXAMPLE,
    INNER_WITHHELD,
    NO_MOMENTUM,
    SYNC_ALIASES,
    TRACKING_WITHHELD,
    Argument,
    Arguments,
    Entry,
    Problems,
    Shape,
    choice,
    reason_against_pullback,
    share,
    whole,
)
from optrun.optimizers.keras_internals import count_of, own_strategy, own_trained, rate_of
from optrun.optimizers.registry import ENTRIES as REGISTERED
from optrun.optimizers.soft_batch import SoftBatch
from optrun.optimizers.wrapper import Wrapper, core_of, find

LOOKAHEAD_IN_LOOKAHEAD = (
    "Lookahead around Lookahead keeps two sets of slow weights, and nothing says which of them the "
    "network is measured on: use one, with the period and step you want"
)
SOFT_BATCH_IN_LOOKAHEAD = (
    "Lookahead counts updates, and a soft batch inside it makes none for most batches: put the "
    "soft batch outside, around Lookahead"
)


def _momenta_at_start(arguments: Arguments, shape: Shape) -> int:
    # Every optimizer with a momentum has one per weight.
    return math.prod(shape) if arguments["inner_state"] == "pullback" else 0


def _pullback_needs_momentum(arguments: Arguments, inner: Entry | None) -> Problems:
    stated = arguments.get("inner_optimizer")
    if arguments.get("inner_state") == "pullback" and isinstance(stated, Mapping):
        reason = reason_against_pullback(inner, momentum=stated.get("momentum"))
        if reason is not None:
            yield "inner_state", f"cannot be pullback: {reason}"


ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="lookahead",
        class_name="Lookahead",
        module=__name__,
        description="Slow weights follow an inner optimizer, a share of the way every few updates.",
        paper="Zhang, Lucas, Hinton & Ba 2019, NeurIPS, algorithm 1",
        arguments=(
            Argument("inner_optimizer", "optimizer", "moves the fast weights", required=True),
            whole(
                "sync_period",
                5,
                "updates of the inner optimizer between two syncs (the paper's k)",
                minimum=1,
                label="sync",
            ),
            share(
                "slow_step_size",
                0.5,
                "share of the way to the fast weights that a sync goes (the paper's α)",
                label="slow",
            ),
            choice(
                "inner_state",
                "what a sync does with the inner optimizer's state: maintain (nothing), reset (to "
                "its start, bias corrections too; schedules go on) or pullback (momenta go the "
                "same share of the way as the weights)",
                *("maintain", "reset", "pullback"),
            ),
        ),
        extra_weight_copies=1,
        aliases={**SYNC_ALIASES, "slow_step": "slow_step_size", **INNER_ALIASES},
        withheld={**INNER_WITHHELD, **TRACKING_WITHHELD},
        more_state=_momenta_at_start,
        tracks_fast_weights=True,
        refused_inside={
            "lookahead": LOOKAHEAD_IN_LOOKAHEAD,
            "ranger": "Ranger is Lookahead around RAdam already: state `sync_period` and "
            "`slow_step_size` in it, or put radam inside",
            "soft_batch": SOFT_BATCH_IN_LOOKAHEAD,
        },
        combination_problems=_pullback_needs_momentum,
        summary="slow weights that follow an inner optimizer",
        rule="θ₀ = φ;   θᵢ = A(θᵢ₋₁), i = 1 … k;   φ ← φ + α (θₖ − φ)",
        symbols={
            "θ": "the fast weights, which the gradients are taken at",
            "φ": "the slow weights, which the network is measured on",
            "A": "one update of inner_optimizer",
            "k": "sync_period",
            "α": "slow_step_size",
        },
        when="Around any optimizer whose validation loss jumps about from epoch to epoch, or whose "
        "rate you cannot tune carefully. The gain is steadiness: less spread between epochs "
        "and seeds, and more room for the rate. Around a tuned optimizer with a decaying rate "
        "the gain at the end of the training is small, often within the noise.",
        sensible={
            "sync_period": "5 – 10",
            "slow_step_size": "0.5 – 0.8",
            "inner_state": "maintain; pullback or reset to study what a sync does to momentum",
        },
        equivalences=(
            "slow_step_size 1 is the inner optimizer, to the last bit, but for inner_state reset.",
            "sync_period 1 is the inner optimizer at slow_step_size times its rate, up to rounding "
            "(SGD with any momentum, Adam, AdamW, AdaGrad).",
            "slow_step_size 0 returns to the first weights at every sync.",
            "The slow weights are a moving average with decay 1 − α of the weights at the ends of "
            "the cycles.",
        ),
        caveats=(
            "The network is evaluated, selected and exported on the slow weights. Between two "
            "syncs the training loss is that of the fast ones.",
            "After the last epoch the updates since the last sync are discarded.",
            "Along a constant gradient it goes slow_step_size times as far as its inner optimizer: "
            "compare the two at the best rate of each.",
            "Rate, clipping and weight decay belong to the inner optimizer and act on the fast "
            "weights.",
            "The paper studies α = 0.5, its authors' code takes 0.8, and Ranger takes k = 6.",
        ),
        example={
            "name": "lookahead",
            "sync_period": 5,
            "slow_step_size": 0.5,
            "inner_optimizer": INNER_EXAMPLE,
        },
        cost_note="inner_state: pullback keeps the momenta of the cycle's start, 1 more. A run of "
        "optrun keeps another, to measure the fast weights too.",
    ),
)


def _against_state(inner_state: str, inner_optimizer: keras.optimizers.Optimizer) -> str | None:
    """Why a sync cannot do that with this optimizer's state; None where it can, or may.

    The slots exist once it is built: `_momenta` knows for certain.
    """
    core = core_of(inner_optimizer)
    if inner_state != "maintain" and isinstance(core, keras.optimizers.MultiOptimizer):
        own = "each of its optimizers has a count and a state of its own"
        return f"{own}: use inner_state 'maintain'"
    if inner_state == "pullback":
        name = type(core).__name__
        entry = next((one for one in REGISTERED.values() if one.class_name == name), None)
        return reason_against_pullback(entry, momentum=getattr(core, "momentum", None))
    return None


def _momenta(inner_optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """The first moments of a built optimizer: the slots that Keras' convention names momentum."""
    core = core_of(inner_optimizer)
    found = [one for one in core.variables if one.name.endswith("_momentum")]
    if not found:
        raise ValueError(
            f"Lookahead cannot pull back the momentum of {type(core).__name__}: {NO_MOMENTUM}."
        )
    return found


class InitialState:
    """The state that a newly built optimizer has, and the way back to it; for eager use.

    That is all its variables but the count of updates and the learning rate.
    """

    def __init__(self, inner_optimizer: keras.optimizers.Optimizer) -> None:
        core = core_of(inner_optimizer)
        made = int(ops.convert_to_numpy(core.iterations))
        if made:
            raise ValueError(
                f"Lookahead resets the inner optimizer to the state it begins with, and this "
                f"{type(core).__name__} has made {made} updates already: give it a new one."
            )
        others = (id(count_of(core)), id(rate_of(core)))
        self._variables = [one for one in inner_optimizer.variables if id(one) not in others]
        self._values = [_uniform_value(ops.convert_to_numpy(one)) for one in self._variables]

    def restore(self, assign: Callable[[Any, Any], None]) -> None:
        def put_back(variable: Any, value: Any) -> None:
            assign(variable, ops.broadcast_to(ops.cast(value, variable.dtype), variable.shape))

        update_each(put_back, self._variables, self._values)


def _uniform_value(values: Any) -> Any:
    # Where all elements are equal, as in Keras' slots, one number is kept.
    first = values.flat[0].item() if values.size else 0
    return first if (values == first).all() else ops.convert_to_tensor(values)


@keras.saving.register_keras_serializable(package="optimizers")
class CountingAllUpdates(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule that also counts the updates before the last reset; loaded as the one inside."""

    def __init__(self, schedule: Any, updates_before_reset: Any) -> None:
        self.schedule = schedule
        self.updates_before_reset = updates_before_reset

    def __call__(self, step: Any) -> Any:
        return self.schedule(step + self.updates_before_reset)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": keras.saving.serialize_keras_object(self.schedule)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return keras.saving.deserialize_keras_object(config["schedule"])


def _keep_schedule_going(inner_optimizer: keras.optimizers.Optimizer, updates_before: Any) -> None:
    """Let the core's schedule, if it has one, count the updates before a reset too."""
    core = core_of(inner_optimizer)
    schedule = rate_of(core)
    is_schedule = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
    if is_schedule and not isinstance(schedule, CountingAllUpdates):
        core.learning_rate = CountingAllUpdates(schedule, updates_before)


@keras.saving.register_keras_serializable(package="optimizers")
class Lookahead(Wrapper):
    """Lets an inner optimizer run ahead, then goes a share of the way after it.

    From the slow weights φ the inner optimizer A makes k updates on the fast weights θ; then both
    become the point α of the way along:

        θ₀ = φ;   θᵢ = A(θᵢ₋₁), i = 1 ... k;   φ ← φ + α (θₖ − φ)

    The network is measured on φ, see `slow_weights`, and `fit` leaves it there. The slow weights
    are taken from the model when a cycle begins, so loading other weights between two cycles
    starts the next one from those. XLA (`jit_compile=True`) copies, at every update, what a branch
    may write, whether it is taken or not.

    Args:
        inner_optimizer: any Keras optimizer, or the name of one for its defaults; rate, clipping
            and decay belong to it. Refused are LossScaleOptimizer, SoftBatch, another Lookahead,
            `use_ema` and `gradient_accumulation_steps`; for "pullback" one without a momentum, for
            "reset" one that has made updates.
        sync_period: k, updates between two syncs, 1 or more.
        slow_step_size: α, in [0, 1].
        inner_state: "maintain"; "reset", which also the end of `fit` does; or "pullback", by which
            momenta v, slots of that name, take part in the sync, v ← v₀ + α (vₖ − v₀), and return
            to v₀ where `fit` ends.
        track_fast_weights: whether to keep a copy of the weights for `fast_weights_before_sync`.

    Source: Zhang, Lucas, Hinton & Ba, "Lookahead Optimizer: k steps forward, 1 step back", NeurIPS
    2019, algorithm 1 (https://arxiv.org/abs/1907.08610).

    Example:
        On f(w) = w² / 2 a step of SGD at rate 0.1 multiplies w by 0.9; the fifth is followed by a
        sync halfway between 1 and 0.9⁵.

        >>> import keras
        >>> weight = keras.Variable(1.0)
        >>> optimizer = Lookahead(keras.optimizers.SGD(0.1), sync_period=5, slow_step_size=0.5)
        >>> for step in range(5):
        ...     optimizer.apply([weight.value], [weight])
        ...     print(f"{float(weight.value):.4f}", end=" ")
        0.9000 0.8100 0.7290 0.6561 0.7952
    """

    own_arguments = ("sync_period", "slow_step_size", "inner_state", "track_fast_weights")

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer | str,
        sync_period: int = 5,
        slow_step_size: float = 0.5,
        inner_state: str = "maintain",
        name: str | None = None,
        *,
        track_fast_weights: bool = False,
        **unsupported: Any,
    ) -> None:
        ENTRIES[0].require(
            sync_period=sync_period, slow_step_size=slow_step_size, inner_state=inner_state
        )
        if not isinstance(track_fast_weights, bool):
            raise ValueError(
                f"`track_fast_weights` must be True or False. Received: {track_fast_weights=}"
            )
        super().__init__(inner_optimizer, name=name, unsupported=unsupported)
        reason = _against_state(inner_state, self.inner_optimizer)
        if reason is not None:
            raise ValueError(f"`inner_state` cannot be {inner_state!r}: {reason}.")
        self.sync_period = int(sync_period)
        self.slow_step_size = float(slow_step_size)
        self.inner_state = inner_state
        self.track_fast_weights = track_fast_weights
        self._updates_before_reset: Any = None
        self._training_weights: tuple[Any, ...] | None = None

    def _reason_against(self, inner_optimizer: keras.optimizers.Optimizer) -> str | None:
        if find(inner_optimizer, SoftBatch) is not None:
            return SOFT_BATCH_IN_LOOKAHEAD
        if find(inner_optimizer, Lookahead) is not None:
            return LOOKAHEAD_IN_LOOKAHEAD
        if inner_optimizer.use_ema:
            return (
                "its use_ema keeps an average of its own, which would overwrite the weights that "
                "the slow weights follow: Lookahead's slow weights are the average"
            )
        return super()._reason_against(inner_optimizer)

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        # The slow weights hold nothing yet: inside `fit` this runs while the step is traced, where
        # a copy of the weights would be lost. The first update of a cycle takes it.
        self._phase = self._scalar("phase", "int32")
        self._slow = self.add_optimizer_variables(variables, "slow")
        if self.track_fast_weights:
            self._fast = self.add_optimizer_variables(variables, "fast_before_sync")
            self._has_synced = self._scalar("has_synced", "bool")
        if self.inner_state == "reset":
            self._updates_before_reset = self._scalar("updates_before_reset", "int")
            # Out of the step that is being traced, if one is: only there do variables have values.
            with tf.init_scope():
                super().build(variables)
                self._initial_state = InitialState(self.inner_optimizer)
            _keep_schedule_going(self.inner_optimizer, self._updates_before_reset)
        else:
            super().build(variables)
        if self.inner_state == "pullback":
            self._momenta_at_start = [
                self.add_variable_from_reference(one, "at_cycle_start")
                for one in _momenta(self.inner_optimizer)
            ]

    @property
    def iterations(self) -> Any:
        """Updates that the inner optimizer has made; with "reset" a tensor, the sum of two."""
        count = super().iterations
        before = self._updates_before_reset
        return count if before is None else before + count

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        if len(grads) == 0:
            return
        self._build_on_first_use(trainable_variables)
        if self.inner_state == "reset":
            _keep_schedule_going(self.inner_optimizer, self._updates_before_reset)
        run_when(lambda: ops.equal(self._phase, 0), self._begin_cycle)
        self.inner_optimizer.apply(grads, trainable_variables=trainable_variables)
        if self.slow_step_size < 1 or self.inner_state == "reset" or self.track_fast_weights:
            run_when(lambda: ops.equal(self._phase, self.sync_period - 1), self._sync)
        self._phase.assign((self._phase + 1) % self.sync_period)

    def _begin_cycle(self) -> None:
        update_each(self.assign, *self._at_cycle_start_and_now())

    def _at_cycle_start_and_now(self) -> tuple[list[Any], list[Any]]:
        """What a sync moves: its values when the cycle began, and the variables themselves."""
        start, now = [*self._slow], [*own_trained(self)]
        if self.inner_state == "pullback":
            start += self._momenta_at_start
            now += _momenta(self.inner_optimizer)
        return start, now

    def _sync(self) -> None:
        if self.track_fast_weights:
            update_each(self.assign, self._fast, own_trained(self))
            self._has_synced.assign(True)
        # φ + α (θ − φ) leaves a weight that did not move exactly where it is. It is not exact at
        # α = 1, where nothing is moved at all: θ already is the new φ.
        if self.slow_step_size < 1:
            start, now = self._at_cycle_start_and_now()
            update_each(self._pull_back, now, start)
        if self.inner_state == "reset":
            self._reset()

    def _pull_back(self, now: Any, start: Any) -> None:
        dtype = "float32" if now.dtype in ("float16", "bfloat16") else now.dtype
        start, end = ops.cast(start, dtype), ops.cast(now, dtype)
        self.assign(now, start + self.slow_step_size * (end - start))

    def _reset(self) -> None:
        count = core_of(self.inner_optimizer).iterations
        self._updates_before_reset.assign(self._updates_before_reset + count)
        count.assign(0)
        self._initial_state.restore(self.assign)

    def _discard_cycle(self) -> None:
        """A sync with α = 0, for the weights and for the state."""
        start, now = self._at_cycle_start_and_now()
        update_each(self.assign, now, start)
        if self.inner_state == "reset":
            self._reset()
        self._phase.assign(0)

    @contextmanager
    def slow_weights(self) -> Iterator[None]:
        """Put the slow weights into the model for a while; the fast ones return bit for bit.

        For eager use, between training steps; what is done to the weights inside is undone. It may
        stand inside `fast_weights_before_sync`, or that in it.
        """
        with self._standing_in(self._slow if self._is_inside_cycle() else self._training_weights):
            yield

    @contextmanager
    def fast_weights_before_sync(self) -> Iterator[None]:
        """As `slow_weights`, the fast weights as they stood right before the last sync.

        RuntimeError without `track_fast_weights`, or before the first sync: see `has_synced`.
        """
        if not self.track_fast_weights:
            raise RuntimeError(
                "This Lookahead does not keep its fast weights: make it with "
                "`track_fast_weights=True`."
            )
        if not self.has_synced:
            raise RuntimeError(
                "There was no sync yet, so there are no fast weights from before it: make "
                f"{self.sync_period} updates first, or ask `has_synced`."
            )
        with self._standing_in(self._fast):
            yield

    @property
    def has_synced(self) -> bool:
        """With `track_fast_weights`, whether there was a sync; for eager use."""
        is_tracking = self.built and self.track_fast_weights
        return is_tracking and bool(ops.convert_to_numpy(self._has_synced))

    @contextmanager
    def _standing_in(self, values: Sequence[Any] | None) -> Iterator[None]:
        """Values, or None for the present ones, in the model for a while."""
        present = tuple(ops.convert_to_numpy(one) for one in own_trained(self))
        # Where one stands inside another, the weights that the model trains on stay known.
        outermost = self._training_weights is None
        if outermost:
            self._training_weights = present
        try:
            if values is not None:
                self._load(values)
            yield
        finally:
            self._load(present)
            if outermost:
                self._training_weights = None

    def _load(self, values: Sequence[Any]) -> None:
        for variable, value in zip(own_trained(self), values, strict=True):
            variable.assign(ops.convert_to_numpy(value))

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Leave the model on the slow weights and begin a new cycle; `fit` calls it at its end."""
        super().finalize_variable_values(var_list)
        if self._is_inside_cycle():
            own_strategy(self).run(self._discard_cycle)

    def _is_inside_cycle(self) -> bool:
        return self.built and int(ops.convert_to_numpy(self._phase)) != 0

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the schedule that the core was made with."""
        core = core_of(self.inner_optimizer)
        present = rate_of(core)
        if not isinstance(present, CountingAllUpdates):
            return super().get_config()
        core.learning_rate = present.schedule
        try:
            return super().get_config()
        finally:
            core.learning_rate = present


@contextmanager
def evaluation_weights(model: keras.Model) -> Iterator[None]:
    """Put a compiled model on the weights it is measured on: Lookahead's slow ones, if it has them.

    The training weights return bit for bit. For eager use, between epochs; do not train inside it.
    """
    lookahead = find(getattr(model, "optimizer", None), Lookahead)
    with nullcontext() if lookahead is None else lookahead.slow_weights():
        yield
