"""What every optimizer around another one has in common, and how to find one inside."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import keras
from optrun.optimizers.entry import CLIPPING, WITHHELD, did_you_mean
from optrun.optimizers.keras_internals import own_variables, without_count_and_rate
from optrun.optimizers.registry import ENTRIES
from optrun.optimizers.several_gradients import SeveralGradients

_OPTIMIZER_ARGUMENTS = {"learning_rate", "weight_decay"} | WITHHELD.keys() - {"name"}
_OPTIMIZER_ARGUMENTS |= {one.name for one in CLIPPING}

Found = TypeVar("Found")


def chain(optimizer: Any) -> Iterator[Any]:
    """The optimizer, its `inner_optimizer`, that one's, and so on."""
    while optimizer is not None:
        yield optimizer
        optimizer = getattr(optimizer, "inner_optimizer", None)


def core_of(optimizer: Any) -> Any:
    """The innermost optimizer, which has the count of updates and the learning rate."""
    *_, core = chain(optimizer)
    return core


def find(optimizer: Any, kind: type[Found]) -> Found | None:
    """The outermost optimizer of a class, or None."""
    return next((one for one in chain(optimizer) if isinstance(one, kind)), None)


def with_several_evaluations(optimizer: Any) -> SeveralGradients | None:
    """The optimizer whose step takes more than one gradient, or None."""
    return find(optimizer, SeveralGradients)


class Wrapper(keras.optimizers.Optimizer):  # type: ignore[misc]
    """An optimizer around an inner one, which keeps the rate, the count and the loss scale.

    The count of updates and the learning rate exist once, in the innermost optimizer: a callback
    that sets the rate of the wrapper sets that one. Each wrapper saves its own variables alone,
    since Keras saves the inner optimizer beside it.
    """

    own_arguments: ClassVar[tuple[str, ...]] = ()  # beside the inner optimizer and the name

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer | str,
        *,
        name: str | None,
        unsupported: Mapping[str, Any],
    ) -> None:
        own = type(self).__name__
        for argument in unsupported:
            belongs = "; set it on the inner optimizer" if argument in _OPTIMIZER_ARGUMENTS else ""
            raise TypeError(f"{own} does not take `{argument}`{belongs}.")
        if isinstance(inner_optimizer, str):
            inner_optimizer = _keras_optimizer(inner_optimizer)
        if not isinstance(inner_optimizer, keras.optimizers.Optimizer):
            raise TypeError(
                "`inner_optimizer` must be an optimizer, such as keras.optimizers.SGD(0.01), or "
                f'the name of one, such as "adam". Received: inner_optimizer={inner_optimizer!r}'
            )
        reason = self._reason_against(inner_optimizer)
        if reason is not None:
            raise ValueError(f"{own} cannot wrap {type(inner_optimizer).__name__}: {reason}.")
        super().__init__(learning_rate=0.0, name=name)
        # The base class makes a count and a rate of its own, which nothing would ever use.
        without_count_and_rate(self)
        self.inner_optimizer = inner_optimizer

    def _reason_against(self, inner_optimizer: keras.optimizers.Optimizer) -> str | None:
        """Why this wrapper cannot go around that optimizer, or None."""
        if find(inner_optimizer, keras.optimizers.LossScaleOptimizer) is not None:
            return (
                "a loss scale inside would skip batches that the wrapper around it has counted: "
                "put LossScaleOptimizer outermost, as Keras does by itself under mixed_float16"
            )
        if inner_optimizer.gradient_accumulation_steps:
            return (
                "its gradient_accumulation_steps count batches as updates: wrap it in SoftBatch "
                "instead, outermost"
            )
        return None

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """Updates that the inner optimizer has made."""
        return self.inner_optimizer.iterations

    @property
    def loss_scale_factor(self) -> float | None:
        """The inner optimizer's fixed loss scale, which LossScaleOptimizer switches off."""
        inner = getattr(self, "inner_optimizer", None)
        return None if inner is None else inner.loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, factor: float | None) -> None:
        inner = getattr(self, "inner_optimizer", None)
        if inner is not None:
            inner.loss_scale_factor = factor

    def scale_loss(self, loss: Any) -> Any:
        return self.inner_optimizer.scale_loss(loss)

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        super().build(list(variables))
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(list(variables))

    def _scalar(self, name: str, dtype: str, initializer: str = "zeros") -> Any:
        return self.add_variable((), initializer, dtype, "only_first_replica", name=name)

    def _build_on_first_use(self, trainable_variables: Sequence[Any] | None) -> None:
        if self.built:
            return
        if trainable_variables is None:
            raise ValueError(
                f"{type(self).__name__} must be built before `apply` is called without variables: "
                "call `optimizer.build(model.trainable_variables)` first."
            )
        with keras.name_scope(self.name, caller=self):
            self.build(trainable_variables)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    @property
    def variables(self) -> list[Any]:
        """The wrapper's own variables, then the inner optimizer's."""
        return [*own_variables(self), *self.inner_optimizer.variables]

    def save_own_variables(self, store: Any) -> None:
        for index, variable in enumerate(own_variables(self)):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        own = own_variables(self)
        if len(store.keys()) != len(own):
            warnings.warn(
                f"The state of {type(self).__name__} '{self.name}' is not loaded: it has "
                f"{len(own)} variables, the file {len(store.keys())}. Build the "
                "optimizer before loading: `optimizer.build(model.trainable_variables)`.",
                stacklevel=2,
            )
            return
        for index, variable in enumerate(own):
            variable.assign(store[str(index)])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the inner optimizer's config nested in them."""
        return {
            "name": self.name,
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            **{name: getattr(self, name) for name in self.own_arguments},
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        inner_optimizer = keras.saving.deserialize_keras_object(
            config["inner_optimizer"], custom_objects=custom_objects
        )
        return cls(**{**config, "inner_optimizer": inner_optimizer})


def _keras_optimizer(name: str) -> keras.optimizers.Optimizer:
    """Keras' optimizer of that name, in any case, with its defaults."""
    known = {one: entry for one, entry in ENTRIES.items() if entry.module == "keras.optimizers"}
    if name.lower() in known:  # Keras does not find its own Lamb by name
        return getattr(keras.optimizers, known[name.lower()].class_name)()
    try:
        return keras.optimizers.get(name)
    except (ValueError, TypeError, KeyError) as error:  # unknown, or nothing without arguments
        hint = did_you_mean(name, known) or "."
        raise ValueError(
            f"Keras makes no optimizer of the name '{name}' alone{hint} "
            "Any other is given as an object, such as keras.optimizers.SGD(0.01)."
        ) from error
