"""Update rules for Keras that Keras does not have.

    from optrun.optimizers import Lookahead, Model

    model = Model(inputs, outputs)
    model.compile(Lookahead(keras.optimizers.SGD(0.01, momentum=0.9)), loss=...)
    model.optimizer.build(model.trainable_variables)
    model.fit(...)

The classes are imported when they are first asked for: reading a specification needs no Keras.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optrun.optimizers.gradient_centralization import GradientCentralization
    from optrun.optimizers.lookahead import Lookahead
    from optrun.optimizers.model import Model
    from optrun.optimizers.radam import RAdam, Ranger
    from optrun.optimizers.runge_kutta import BogackiShampine, DormandPrince, Heun
    from optrun.optimizers.several_gradients import SeveralGradients
    from optrun.optimizers.soft_batch import FlushTail, SoftBatch

__all__ = [
    "BogackiShampine",
    "DormandPrince",
    "FlushTail",
    "GradientCentralization",
    "Heun",
    "Lookahead",
    "Model",
    "RAdam",
    "Ranger",
    "SeveralGradients",
    "SoftBatch",
]

_CLASSES = {
    "gradient_centralization": ("GradientCentralization",),
    "lookahead": ("Lookahead",),
    "model": ("Model",),
    "radam": ("RAdam", "Ranger"),
    "runge_kutta": ("BogackiShampine", "DormandPrince", "Heun"),
    "several_gradients": ("SeveralGradients",),
    "soft_batch": ("FlushTail", "SoftBatch"),
}


def __getattr__(name: str) -> object:
    for module, classes in _CLASSES.items():
        if name in classes:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
