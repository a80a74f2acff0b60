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

_HOMES = {
    "BogackiShampine": "runge_kutta",
    "DormandPrince": "runge_kutta",
    "FlushTail": "soft_batch",
    "GradientCentralization": "gradient_centralization",
    "Heun": "runge_kutta",
    "Lookahead": "lookahead",
    "Model": "model",
    "RAdam": "radam",
    "Ranger": "radam",
    "SeveralGradients": "several_gradients",
    "SoftBatch": "soft_batch",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
