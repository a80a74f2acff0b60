"""Soft batch: one update from the gradients of several batches."""

import math
from collections.abc import Sequence
from typing import Any, cast

import keras
from keras import ops
from optrun.optimizers.distribution import (
    all_reduce_sum,
    check_reductions_can_nest,
    colocated,
    num_replicas,
    run_when,
    update_each,
)
from optrun.optimizers.entry import (
    INNER_ALIASES,
    INNER_EXAMPLE,
    INNER_WITHHELD,
    Argument,
    Arguments,
    Entry,
    choice,
    whole,
)
from optrun.optimizers.keras_internals import index_of, own_strategy, own_trained, refuse_unknown
from optrun.optimizers.wrapper import Wrapper, find, with_several_evaluations

SOFT_BATCH_IN_SOFT_BATCH = (
    "a soft batch of soft batches is one soft batch: multiply the two `batches_per_update`"
)
SEVERAL_EVALUATIONS_IN_SOFT_BATCH = (
    "its later gradients are taken on the same batch as its first, and a soft batch no longer has "
    "its earlier batches: use a larger batch instead"
)


def _count_updates(arguments: Arguments, batches_per_epoch: int, epochs: int) -> int:
    batches = cast("int", arguments["batches_per_update"])
    if arguments["tail"] == "carry":
        return math.ceil(batches_per_epoch * epochs / batches)
    if arguments["tail"] == "drop":
        return batches_per_epoch // batches * epochs
    return math.ceil(batches_per_epoch / batches) * epochs


ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="soft_batch",
        class_name="SoftBatch",
        module=__name__,
        description="One update of an inner optimizer from the gradients of several batches.",
        paper="gradient accumulation, common practice",
        arguments=(
            Argument("inner_optimizer", "optimizer", "takes the mean gradient", required=True),
            whole(
                "batches_per_update",
                None,
                "batches whose gradients are averaged into one update",
                required=True,
                minimum=1,
                label="batches",
            ),
            choice(
                "tail",
                "what becomes of the batches left over at an epoch's end: flush (an update of "
                "their own), carry (into the next epoch) or drop",
                *("flush", "carry", "drop"),
            ),
        ),
        extra_weight_copies=1,
        aliases={
            **dict.fromkeys(("n", "steps", "accumulate"), "batches_per_update"),
            "accumulation_steps": "batches_per_update",
            "gradient_accumulation_steps": "batches_per_update",
            **INNER_ALIASES,
        },
        withheld=INNER_WITHHELD,
        refused_inside={"soft_batch": SOFT_BATCH_IN_SOFT_BATCH},
        several_gradients_refused=SEVERAL_EVALUATIONS_IN_SOFT_BATCH,
        count_updates=_count_updates,
        also_called=("softbatches", "gradientaccumulation"),
        summary="one update from several batches' gradients",
        rule="G = Σ Bᵢ gᵢ / Σ Bᵢ,  i = 1 … n, all gᵢ at the same θ;   θ ← A(θ, G)",
        symbols={
            "g": "the gradient of one batch's mean loss",
            "B": "the photos in a batch",
            "n": "batches_per_update",
            "A": "one update of inner_optimizer",
        },
        when="Where the batch you want does not fit into memory, or to ask what a larger batch "
        "does without changing anything else. It takes as long per photo as small batches do and "
        "makes n times fewer updates: raise the rate with n, or expect slower training.",
        sensible={
            "batches_per_update": "2 – 16",
            "tail": "flush; carry is what Keras' own accumulation does",
        },
        equivalences=(
            "n batches of B photos are one batch of n · B, up to rounding, where no layer draws at "
            "random (dropout: other masks, the same expectation) or looks across the batch (batch "
            "normalisation). Batches of unequal size are weighted by their photos.",
            "batches_per_update 1 is the inner optimizer, to the last bit.",
        ),
        caveats=(
            "Weights and momenta stand still inside a window; schedules, momenta and bias "
            "corrections count updates, not batches. Keras' gradient_accumulation_steps hands the "
            "schedule the count of batches, so it runs n times too fast.",
            "With tail: flush the last update of an epoch may be made of fewer batches: it is "
            "their mean, as noisy as they are few.",
            "Optimizers that take several gradients per step cannot stand inside it: their later "
            "gradients would need the window's earlier batches again.",
        ),
        example={"name": "soft_batch", "batches_per_update": 4, "inner_optimizer": INNER_EXAMPLE},
    ),
)


@keras.saving.register_keras_serializable(package="optimizers")
class SoftBatch(Wrapper):
    """Averages the gradients of several batches and gives their mean to an inner optimizer.

    With B₁ ... Bₙ samples in the batches of a window, and gradients gᵢ of their mean losses, all
    taken at the same weights, the inner optimizer receives

        G = Σ Bᵢ gᵢ / Σ Bᵢ

    the gradient of one batch of all those samples, where their loss is a mean over them.

    `optimizers.Model` states the sample counts and the epoch's end. With a plain `keras.Model`
    batches are taken as equal, and `FlushTail` as a callback marks the epoch's end.

    Args:
        inner_optimizer: any Keras optimizer; rate, clipping and decay belong to it. Refused are
            LossScaleOptimizer, another SoftBatch, several evaluations per step and
            `gradient_accumulation_steps`.
        batches_per_update: batches in a window, 1 or more.
        tail: "flush", "carry" or "drop"; after the last epoch of `fit`, "carry" flushes too.

    Example:
        >>> import keras
        >>> weight = keras.Variable(1.0)
        >>> optimizer = SoftBatch(keras.optimizers.SGD(0.1), batches_per_update=2)
        >>> for gradient in (1.0, 3.0):
        ...     optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
        ...     print(f"{float(weight.value):.2f}", int(optimizer.iterations))
        1.00 0
        0.80 1
    """

    own_arguments = ("batches_per_update", "tail")

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer,
        batches_per_update: int,
        tail: str = "flush",
        name: str | None = None,
        **unsupported: Any,
    ) -> None:
        ENTRIES[0].require(batches_per_update=batches_per_update, tail=tail)
        super().__init__(inner_optimizer, name=name, unsupported=unsupported)
        self.batches_per_update = int(batches_per_update)
        self.tail = tail
        # Variables that had a gradient in any batch; known while the step is traced.
        self._reached: frozenset[int] = frozenset()

    def _reason_against(self, inner_optimizer: keras.optimizers.Optimizer) -> str | None:
        if find(inner_optimizer, SoftBatch) is not None:
            return SOFT_BATCH_IN_SOFT_BATCH
        if with_several_evaluations(inner_optimizer) is not None:
            return SEVERAL_EVALUATIONS_IN_SOFT_BATCH
        return super()._reason_against(inner_optimizer)

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        self._batches = self._scalar("batches_in_window", "int32")
        self._samples = self._scalar("samples_in_window", "float32")
        self._next_samples = self._scalar("samples_in_next_batch", "float32", "ones")
        self._gradient_sums = [self._gradient_sum(variable) for variable in variables]
        super().build(variables)

    def _gradient_sum(self, variable: Any) -> Any:
        # A sum over many batches needs more than the eight bits of a bfloat16 gradient.
        dtype = keras.backend.standardize_dtype(variable.dtype)
        with colocated(variable):
            return self.add_variable(
                shape=variable.shape,
                dtype="float32" if dtype in ("float16", "bfloat16") else dtype,
                initializer="zeros",
                name=f"{variable.path.replace('/', '_')}_gradient_sum",
            )

    def weigh_next_batch(self, samples: Any) -> None:
        """State how many samples the batch of the next `apply` holds, over all replicas."""
        if self.built:
            self._next_samples.assign(ops.cast(samples, "float32"))

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        if len(grads) == 0:
            return
        self._build_on_first_use(trainable_variables)
        if self.batches_per_update == 1:
            self.inner_optimizer.apply(grads, trainable_variables=trainable_variables)
            return
        check_reductions_can_nest("SoftBatch")
        self._accumulate(grads, trainable_variables or own_trained(self))
        self._batches.assign_add(1)
        run_when(lambda: self._batches >= self.batches_per_update, self._update)

    def _accumulate(self, grads: Sequence[Any], variables: Sequence[Any]) -> None:
        refuse_unknown(self, variables)
        samples = ops.convert_to_tensor(self._next_samples)

        def take_in(total: Any, gradient: Any) -> None:
            weight = ops.cast(samples, total.dtype)
            self.assign_add(total, weight * ops.cast(gradient, total.dtype))

        reached = [
            (index_of(self, variable), gradient)
            for variable, gradient in zip(variables, all_reduce_sum(grads), strict=True)
            if gradient is not None
        ]
        self._reached |= {index for index, _ in reached}
        sums = [self._gradient_sums[index] for index, _ in reached]
        update_each(take_in, sums, [gradient for _, gradient in reached])
        self._samples.assign(self._samples + samples)

    def _update(self) -> None:
        # The sums are the same on every replica, and the inner optimizer adds them up again.
        shares = self._samples * num_replicas()
        means = [
            total / ops.cast(shares, total.dtype) if index in self._reached else None
            for index, total in enumerate(self._gradient_sums)
        ]
        self.inner_optimizer.apply(means, trainable_variables=own_trained(self))
        self._empty_window()

    def _empty_window(self) -> None:
        update_each(lambda total: self.assign(total, ops.zeros_like(total)), self._gradient_sums)
        self._batches.assign(0)
        self._samples.assign(0.0)

    def batches_waiting(self) -> int:
        """Batches in the window, not yet in an update; for eager use."""
        return int(ops.convert_to_numpy(self._batches)) if self.built else 0

    def end_epoch(self) -> int:
        """Deal with the tail, as `tail` says; returns the batches it held. For eager use."""
        waiting = self.batches_waiting()
        if waiting and self.tail == "flush":
            own_strategy(self).run(self._update)
        elif waiting and self.tail == "drop":
            own_strategy(self).run(self._empty_window)
        return waiting

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Deal with the last tail, "carry" by an update, then let the inner optimizer finish."""
        if self.end_epoch() and self.tail == "carry":
            own_strategy(self).run(self._update)
        super().finalize_variable_values(var_list)


class FlushTail(keras.callbacks.Callback):  # type: ignore[misc]
    """Marks the epoch's end for a `SoftBatch`, before the epoch is validated.

    `optimizers.Model` adds it by itself. It does nothing for other optimizers.
    """

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """`fit` has made the epoch's last step."""
        self.on_epoch_end(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        soft_batch = find(self.model.optimizer, SoftBatch)
        if soft_batch is not None:
            soft_batch.end_epoch()
