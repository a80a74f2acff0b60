"""A person's own optimizer tried out before anything is trained: made, and taken some steps with.

On a network of a few weights it goes the same steps one by one and in a graph, as it is trained,
and a few in half precision. So what would fail hours later, or be silently wrong, is told before.
"""

import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from optrun.optimizers.specification import Specification
from optrun.optimizers.user_defined import UserOptimizerError, failure, is_user_defined, load
from optrun.runner.config.problems import ConfigurationError, Path, Place, Problem, dotted
from optrun.runner.config.schema import Experiment

if TYPE_CHECKING:
    import keras

# Beyond what counts to five or six before it does something else; of an optimizer that gathers
# batches, two updates at least.
_STEPS, _MOST_STEPS = 12, 100
# Of the way that the weights went: the steps are rounded otherwise in a graph.
_TOLERANCE = 1e-3

Weights = npt.NDArray[np.float32]


def try_out(experiment: Experiment, origins: Mapping[Path, str]) -> None:
    """Try a person's own optimizer; what is wrong with it is a `ConfigurationError`.

    To be called after the device is chosen: TensorFlow's devices are fixed with the first variable.
    """
    rule = experiment.optimizer
    if not rule.user_defined_names:
        return
    is_float16 = experiment.training.precision == "mixed_float16"
    try:
        rehearse(rule, half="mixed_float16" if is_float16 else "mixed_bfloat16")
    except UserOptimizerError as error:
        path = ("optimizer", *error.path)
        place = Place(origins.get(path, "optimizer"))
        raise ConfigurationError([Problem(place, f"{dotted(path)} {error}")]) from error


def rehearse(rule: Specification, *, half: str) -> None:
    """Take some steps with an optimizer; a `UserOptimizerError` says what it can't do.

    `half` is the dtype policy that stands for half precision.
    """
    steps = min(max(_STEPS, 2 * rule.batches_per_update), _MOST_STEPS)
    start, one_by_one = _steps(rule, steps)
    _, in_graph = _steps(rule, steps, in_graph=True)
    _steps(rule, 2, in_graph=True, precision=half)
    if _are_apart(one_by_one, in_graph, start) and not _is_random(rule, steps, one_by_one):
        raise UserOptimizerError(
            f"keeps something that is no variable: after {steps} steps in a graph, which is how it "
            "is trained, the weights are not those after the same steps one by one. A graph runs "
            "Python once: a counter, a flag or a list stays there what it was in the first step. "
            "Keep it in a keras.Variable (self.add_variable_from_reference, self.iterations), and "
            "choose by keras.ops.where or keras.ops.cond",
            next(path for path, _ in _own(rule)),
        )


def _steps(
    rule: Specification,
    count: int,
    *,
    in_graph: bool = False,
    precision: str = "float32",
    seed: int = 1,
) -> tuple[Weights, Weights]:
    """The weights before and after some steps, always from the same and on the same batches."""
    import keras
    from optrun.runner.engine.engine import TensorFlowEngine
    from optrun.runner.models.keras_state import fresh_keras

    random = np.random.default_rng(1)
    photos = random.normal(size=(count, 16, 4)).astype(np.float32)
    labels = random.integers(0, 2, (count, 16, 1)).astype(np.float32)
    with fresh_keras(seed=seed):
        model = _network(precision)
        start = _flat(model)
        try:
            optimizer = rule.try_out(track_fast_weights=True)
            engine = TensorFlowEngine(model, optimizer, jit_compile=False)
            for batch in zip(photos, labels, strict=True):
                if in_graph:
                    engine.step(batch)
                else:
                    model.train_step(tuple(map(keras.ops.convert_to_tensor, batch)))
            engine.end_epoch()
        except UserOptimizerError:
            raise
        except Exception as error:
            how = "one by one" if not in_graph else "in a graph, which is how it is trained"
            how = how if precision == "float32" else f"in {precision}"
            path, file = _behind(error, rule)
            message = f"can't make its steps {how}: {failure(error, file)}"
            raise UserOptimizerError(message, path) from error
        return start, _flat(model)


def _network(precision: str) -> "keras.Model":
    import keras
    from optrun.optimizers import Model

    inputs = keras.Input((4,))
    x = keras.layers.Dense(
        3,
        activation="tanh",
        kernel_initializer=keras.initializers.GlorotUniform(seed=1),
        dtype=precision,
    )(inputs)
    model = Model(
        inputs,
        keras.layers.Dense(
            1, kernel_initializer=keras.initializers.GlorotUniform(seed=2), dtype="float32"
        )(x),
    )
    model.dtype_policy = precision  # which decides whether the loss is scaled
    return model


def _flat(model: "keras.Model") -> Weights:
    return np.concatenate([np.ravel(one) for one in model.get_weights()])


def _are_apart(one: Weights, other: Weights, start: Weights) -> bool:
    """Whether weights differ by more than rounding; what is not finite can't be told apart."""
    way = np.max(np.abs(one - start))
    return bool(np.max(np.abs(one - other)) > _TOLERANCE * way + 1e-6)


def _is_random(rule: Specification, steps: int, one_by_one: Weights) -> bool:
    """Whether its steps hang on unseeded random numbers, which a graph draws otherwise."""
    _, again = _steps(rule, steps, seed=2)
    return not np.array_equal(one_by_one, again, equal_nan=True)


def _own(rule: Specification) -> Iterator[tuple[tuple[str, ...], FilePath]]:
    """The places of a person's own optimizers in a specification, outermost first; their files."""
    for depth, one in enumerate(rule.chain()):
        if is_user_defined(one.name):
            yield (*["inner_optimizer"] * depth, "name"), load(one.name).file


def _behind(error: Exception, rule: Specification) -> tuple[tuple[str, ...], FilePath]:
    """Which of a person's own optimizers an exception came through: the innermost."""
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    depths = {file: depth for depth, file in enumerate(frames)}
    return max(_own(rule), key=lambda own: depths.get(str(own[1]), -1))
