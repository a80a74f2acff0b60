"""Ranger: Lookahead around RAdam, on centralized gradients."""

from collections.abc import Mapping
from typing import Any, Self

import keras
from optrun.optimizers.gradient_centralization import GradientCentralization
from optrun.optimizers.lookahead import Lookahead
from optrun.optimizers.radam import RAdam
from optrun.optimizers.unwrapping import find


@keras.saving.register_keras_serializable(package="optimizers")
class Ranger(Lookahead):
    """Lookahead(GradientCentralization(RAdam)), with the settings of its authors.

    Each update centralizes the gradients of Conv2D and Dense kernels, takes the weight decay off
    the weights and makes a step of RAdam; every sixth is followed by Lookahead's sync, halfway
    between the slow weights and the fast ones. All parts are this package's: see there. The network
    is measured on the slow weights.

    The article that made Ranger known prints a listing that divides the gradient by its standard
    deviation as well; the published code does not, and neither does this class.

    Args:
        learning_rate: RAdam's η, a float greater than 0 or a schedule.
        beta_1: decay of the first moment, in [0, 1); larger than Adam's.
        beta_2: decay of the second moment, in [0, 1).
        epsilon: beside the root of the second moment, greater than 0; larger than Adam's, which
            bounds the steps of weights whose gradients are below it.
        threshold: ρₜ from which, exclusive, steps are adapted, 4 or more.
        unadapted_steps: what RAdam's updates before do: "sgd" or "skip".
        weight_decay: decoupled decay: each update takes learning_rate times this share off every
            weight; None for none.
        clipnorm: largest norm of each variable's centralized gradient.
        clipvalue: largest magnitude of a centralized gradient's elements.
        global_clipnorm: largest norm of all centralized gradients together.
        sync_period: Lookahead's k, updates between two syncs, 1 or more.
        slow_step_size: Lookahead's α, in [0, 1].
        gradient_centralization: whether gradients are centralized. If so, train with
            `optimizers.Model`, or call `learn_layers`.
        name: prefix of the names of the optimizer's variables.
        track_fast_weights: as for `Lookahead`.

    Raises:
        TypeError: for an argument it does not take.
        ValueError: if an argument is out of its range.

    Source: Wright, "Ranger - a synergistic optimizer", 2019, version 20.4.11
    (https://github.com/lessw2020/Ranger-Deep-Learning-Optimizer).

    Example:
        >>> ranger = Ranger(1e-3)
        >>> centralization = ranger.inner_optimizer
        >>> type(centralization).__name__, type(centralization.inner_optimizer).__name__
        ('GradientCentralization', 'RAdam')
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta_1: float = 0.95,
        beta_2: float = 0.999,
        epsilon: float = 1e-5,
        threshold: float = 5.0,
        unadapted_steps: str = "sgd",
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        sync_period: int = 6,
        slow_step_size: float = 0.5,
        gradient_centralization: bool = True,
        name: str | None = None,
        *,
        track_fast_weights: bool = False,
    ) -> None:
        if not isinstance(gradient_centralization, bool):
            raise ValueError(
                f"`gradient_centralization` must be True or False. Received: "
                f"{gradient_centralization!r}"
            )
        core: keras.optimizers.Optimizer = RAdam(
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            threshold=threshold,
            unadapted_steps=unadapted_steps,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
        )
        super().__init__(
            GradientCentralization(core) if gradient_centralization else core,
            sync_period=sync_period,
            slow_step_size=slow_step_size,
            name=name,
            track_fast_weights=track_fast_weights,
        )

    def learn_layers(self, model: keras.Model) -> None:
        """Take from a plain `keras.Model`, before training, which gradients to centralize.

        `optimizers.Model` needs no such call.

        Raises:
            ValueError: if the model has no weights yet.
        """
        centralization = find(self, GradientCentralization)
        if centralization is not None:
            centralization.learn_layers(model)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        core = find(self, RAdam).get_config()  # type: ignore[union-attr]
        lookahead = super().get_config()
        taken = (
            "learning_rate",
            "beta_1",
            "beta_2",
            "epsilon",
            "threshold",
            "unadapted_steps",
            "weight_decay",
            "clipnorm",
            "clipvalue",
            "global_clipnorm",
        )
        return {
            **{argument: core[argument] for argument in taken},
            "sync_period": lookahead["sync_period"],
            "slow_step_size": lookahead["slow_step_size"],
            "gradient_centralization": find(self, GradientCentralization) is not None,
            "name": lookahead["name"],
            "track_fast_weights": lookahead["track_fast_weights"],
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """The optimizer of a config, without state."""
        rate = config["learning_rate"]
        if isinstance(rate, Mapping):
            rate = keras.saving.deserialize_keras_object(rate, custom_objects=custom_objects)
        return cls(**{**config, "learning_rate": rate})
