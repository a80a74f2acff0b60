"""Runs this package's optimizers on two functions of two variables, at rates tuned alike."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from optrun.optimizers.gradient_centralization import GradientCentralization
from optrun.optimizers.lookahead import Lookahead, evaluation_weights
from optrun.optimizers.specification import parse
from optrun.optimizers.wrapper import find, with_several_evaluations

GRADIENTS = 200
RATES_PER_DECADE = 8
SMALLEST_RATE, LARGEST_RATE = 1e-4, 1000.0
_SMALLEST_VALUE = 1e-14  # what float32 weights of size 1 can tell from the minimum


@dataclass(frozen=True)
class Landscape:
    """A function to minimise.

    Attributes:
        key: its name in file names.
        title: its name for people.
        start: where every path begins.
        minimum: where it is 0, its least value.
        value: the function, of two arrays or tensors.
        gradient: its gradient, in the same manner.
    """

    key: str
    title: str
    start: tuple[float, float]
    minimum: tuple[float, float]
    value: Callable[[Any, Any], Any]
    gradient: Callable[[Any, Any], tuple[Any, Any]]


def _rosenbrock(x: Any, y: Any) -> Any:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _rosenbrock_gradient(x: Any, y: Any) -> tuple[Any, Any]:
    return -2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)


# The axes of the ellipses are turned by 30 degrees: along the coordinate axes, optimizers that
# scale each weight by itself would undo the condition number, as they cannot in a network.
CONDITION = 50.0
_COS, _SIN = math.cos(math.pi / 6), math.sin(math.pi / 6)


def _quadratic(x: Any, y: Any) -> Any:
    along, across = _COS * x + _SIN * y, _COS * y - _SIN * x
    return (along**2 + CONDITION * across**2) / 2


def _quadratic_gradient(x: Any, y: Any) -> tuple[Any, Any]:
    along, across = _COS * x + _SIN * y, CONDITION * (_COS * y - _SIN * x)
    return _COS * along - _SIN * across, _SIN * along + _COS * across


ROSENBROCK = Landscape(
    "rosenbrock",
    "Rosenbrock's function",
    (-1.2, 1.0),
    (1.0, 1.0),
    _rosenbrock,
    _rosenbrock_gradient,
)
QUADRATIC = Landscape(
    "quadratic",
    "A quadratic of condition 50",
    (-4.0, -1.0),
    (0.0, 0.0),
    _quadratic,
    _quadratic_gradient,
)
LANDSCAPES = (ROSENBROCK, QUADRATIC)


@dataclass(frozen=True)
class Contestant:
    """An optimizer with all its settings but the rate.

    Attributes:
        key: a name for it.
        label: its name in the figure.
        specification: with any learning rate, which is replaced.
    """

    key: str
    label: str
    specification: Mapping[str, Any]


def _core(name: str, **arguments: object) -> dict[str, object]:
    return {"name": name, "learning_rate": 1.0, **arguments}


_HEAVY_BALL = _core("sgd", momentum=0.9)

CONTESTANTS: Mapping[str, Contestant] = {
    one.key: one
    for one in (
        Contestant("sgd", "SGD", _core("sgd")),
        Contestant("momentum", "SGD, momentum 0.9", _HEAVY_BALL),
        Contestant("nesterov", "SGD, Nesterov 0.9", {**_HEAVY_BALL, "nesterov": True}),
        Contestant(
            "soft_batch",
            "Soft batch of 4 (momentum 0.9)",
            {"name": "soft_batch", "batches_per_update": 4, "inner_optimizer": _HEAVY_BALL},
        ),
        Contestant(
            "lookahead",
            "Lookahead (momentum 0.9)",
            {"name": "lookahead", "inner_optimizer": _HEAVY_BALL},
        ),
        Contestant("heun", "Heun", _core("heun")),
        Contestant("rk23", "RK23", _core("rk23")),
        Contestant("rk45", "RK45", _core("rk45")),
        Contestant("adam", "Adam", _core("adam")),
        Contestant("adagrad", "AdaGrad", _core("adagrad", initial_accumulator_value=0.0)),
        Contestant("radam", "RAdam", _core("radam")),
        Contestant("radam_skip", "RAdam, skip", _core("radam", unadapted_steps="skip")),
        Contestant("ranger", "Ranger", _core("ranger", gradient_centralization=False)),
        Contestant(
            "ranger_skip",
            "Ranger, skip",
            _core("ranger", gradient_centralization=False, unadapted_steps="skip"),
        ),
        Contestant(
            "sgd_centralized", "SGD, centralized", _core("sgd", gradient_centralization=True)
        ),
    )
}


@dataclass(frozen=True)
class Path:
    """Where an optimizer went at one learning rate.

    Attributes:
        rate: the learning rate.
        points: the weights before the first step and after every step, [steps + 1, 2].
        slow_points: for Lookahead, the weights after every sync, [syncs + 1, 2]; otherwise empty.
        updates: how often the weights were changed.
        final_value: the function at the end, on the weights the optimizer is measured on.
        mean_value: the geometric mean of that over the starts in `STARTS`.
    """

    rate: float
    points: np.ndarray
    slow_points: np.ndarray
    updates: int
    final_value: float
    mean_value: float


# One start alone would reward a rate that happens to leap into the valley, or to stop just as an
# oscillation passes the minimum. The first of these is the path that is drawn.
STARTS = (
    (0.0, 0.0),
    *((0.2 * math.cos(k * math.pi / 4), 0.2 * math.sin(k * math.pi / 4)) for k in range(8)),
)


def rates() -> list[float]:
    """The grid: the same for every optimizer."""
    low = round(math.log10(SMALLEST_RATE) * RATES_PER_DECADE)
    high = round(math.log10(LARGEST_RATE) * RATES_PER_DECADE)
    return [float(f"{10 ** (k / RATES_PER_DECADE):.2g}") for k in range(low, high + 1)]


class Runner:
    """Walks one optimizer down one landscape, as often as asked, in float32.

    The weights are the kernel of a Dense layer with two inputs and a unit for each start. All
    optimizers here treat the units apart, so that each walks by itself.
    """

    def __init__(self, contestant: Contestant, landscape: Landscape) -> None:
        self._landscape = landscape
        self._evaluations = parse(contestant.specification).gradient_evaluations
        layer = keras.layers.Dense(len(STARTS), use_bias=False)
        self._model = keras.Sequential([keras.Input((2,)), layer])
        self._weights = layer.kernel
        self._optimizer = parse(contestant.specification).build(total_updates=GRADIENTS)
        self._model.compile(self._optimizer)
        self._optimizer.build([self._weights])
        centralization = find(self._optimizer, GradientCentralization)
        if centralization is not None:
            centralization.learn_layers(self._model)
        lookahead = find(self._optimizer, Lookahead)
        self._sync_period = lookahead.sync_period if lookahead is not None else 0
        self._fresh = [np.array(one.value) for one in self._optimizer.variables]
        self._start = np.array(
            [np.array(landscape.start) + one for one in STARTS], "float32"
        ).T  # [2, starts], as a kernel is
        self._walk = tf.function(self._walk_steps)

    def path(self, rate: float) -> Path:
        """Go from the start, with as many steps as the gradients are enough for."""
        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        self._weights.assign(self._start)
        self._optimizer.learning_rate = rate
        walked = self._walk(tf.constant(GRADIENTS // self._evaluations)).numpy()[:, :, 0]
        points = np.concatenate([self._start[None, :, 0], walked])
        with evaluation_weights(self._model):
            ends = np.array(self._weights.value, "float64")
        values = np.maximum(self._landscape.value(ends[0], ends[1]), _SMALLEST_VALUE)
        values = np.where(np.isfinite(values), values, np.inf)
        return Path(
            rate=rate,
            points=points,
            slow_points=points[:: self._sync_period] if self._sync_period else points[:0],
            updates=int(self._optimizer.iterations),
            final_value=float(values[0]),
            mean_value=float(np.exp(np.mean(np.log(values)))),
        )

    def _walk_steps(self, steps: Any) -> Any:
        points = tf.TensorArray("float32", size=steps, element_shape=self._start.shape)
        for step in tf.range(steps):
            self._step()
            points = points.write(step, tf.convert_to_tensor(self._weights.value))
        return points.stack()

    def _step(self) -> None:
        stepper: Any = with_several_evaluations(self._optimizer)
        if stepper is None:
            self._optimizer.apply([self._gradient(self._weights.value)], [self._weights])
            return
        combined = stepper.step(
            lambda probe: [self._gradient(self._weights.value if probe is None else probe[0])],
            [self._weights],
        )
        with stepper.combined_gradient():
            self._optimizer.apply(combined, [self._weights])

    def _gradient(self, weights: Any) -> Any:
        return tf.stack(self._landscape.gradient(weights[0], weights[1]))


def tuned(contestant: Contestant, landscape: Landscape, grid: Sequence[float]) -> Path:
    """The path at the rate of the grid whose ends are lowest in the mean."""
    runner = Runner(contestant, landscape)
    return min((runner.path(rate) for rate in grid), key=lambda path: path.mean_value)
