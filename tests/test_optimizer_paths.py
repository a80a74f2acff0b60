"""The paths of the figures: the functions, the optimizers at work, and the numbers in the table."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = json.loads((ROOT / "docs" / "images" / "optimizer_paths.json").read_text())


@pytest.fixture(scope="module")
def paths() -> ModuleType:
    file = ROOT / "tools" / "optimizer_paths.py"
    specification = importlib.util.spec_from_file_location("optimizer_paths", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["optimizer_paths"] = module  # where dataclasses look up their annotations
    specification.loader.exec_module(module)
    return module


def test_gradients_are_those_of_the_functions(paths: ModuleType) -> None:
    step = 1e-6
    for landscape in paths.LANDSCAPES:
        x, y = np.random.default_rng(0).uniform(-2, 2, (2, 20))
        along = (landscape.value(x + step, y) - landscape.value(x - step, y)) / (2 * step)
        across = (landscape.value(x, y + step) - landscape.value(x, y - step)) / (2 * step)
        gradient = np.array(landscape.gradient(x, y))
        np.testing.assert_allclose(gradient, [along, across], rtol=1e-5, atol=1e-4)
        assert landscape.value(*landscape.minimum) == 0


def test_the_quadratic_has_the_stated_condition(paths: ModuleType) -> None:
    gradient = paths.QUADRATIC.gradient
    hessian = np.array([gradient(1.0, 0.0), gradient(0.0, 1.0)])
    np.testing.assert_allclose(np.linalg.eigvalsh(hessian), [1, 50])


def numpy_path(landscape, rate: float, step) -> np.ndarray:
    weights, points = np.array(landscape.start), [np.array(landscape.start)]
    gradient = lambda at: np.array(landscape.gradient(*at))  # noqa: E731
    for _ in range(200):
        weights = step(weights, gradient, rate)
        points.append(weights)
    return np.array(points)


def test_the_path_of_sgd_is_the_one_numpy_takes(paths: ModuleType) -> None:
    walked = paths.Runner(paths.CONTESTANTS["sgd"], paths.QUADRATIC).path(0.032)
    expected = numpy_path(paths.QUADRATIC, 0.032, lambda w, g, h: w - h * g(w))
    np.testing.assert_allclose(walked.points, expected, atol=1e-5)
    assert walked.updates == 200


def test_heun_has_as_many_gradients_in_half_as_many_steps(paths: ModuleType) -> None:
    walked = paths.Runner(paths.CONTESTANTS["heun"], paths.QUADRATIC).path(0.032)
    expected = numpy_path(
        paths.QUADRATIC, 0.032, lambda w, g, h: w - h / 2 * (g(w) + g(w - h * g(w)))
    )
    np.testing.assert_allclose(walked.points, expected[:101], atol=1e-5)
    assert walked.updates == 100


def test_lookahead_is_drawn_and_measured_on_its_slow_weights(paths: ModuleType) -> None:
    runner = paths.Runner(paths.CONTESTANTS["lookahead"], paths.QUADRATIC)
    walked = runner.path(0.01)
    assert len(walked.slow_points) == 41
    np.testing.assert_array_equal(walked.slow_points[-1], walked.points[-1])
    ranger = paths.Runner(paths.CONTESTANTS["ranger"], paths.QUADRATIC).path(0.001)
    slow = ranger.slow_points[-1].astype(float)
    assert ranger.final_value == pytest.approx(paths.QUADRATIC.value(*slow), rel=1e-5)


def test_a_second_walk_starts_anew(paths: ModuleType) -> None:
    runner = paths.Runner(paths.CONTESTANTS["adam"], paths.ROSENBROCK)
    first = runner.path(0.1)
    runner.path(5.0)
    np.testing.assert_array_equal(runner.path(0.1).points, first.points)


def test_centralized_paths_keep_the_sum_of_the_weights(paths: ModuleType) -> None:
    walked = paths.Runner(paths.CONTESTANTS["sgd_centralized"], paths.QUADRATIC).path(0.01)
    np.testing.assert_allclose(walked.points.sum(axis=1), -5, atol=1e-4)


def test_the_table_has_every_contestant_at_a_rate_of_the_grid(paths: ModuleType) -> None:
    assert set(RESULTS) == set(paths.CONTESTANTS)
    grid = paths.rates()
    assert len(grid) == 57
    for by_landscape in RESULTS.values():
        for numbers in by_landscape.values():
            assert numbers["rate"] in grid


@pytest.mark.parametrize("key", ["sgd", "momentum", "heun", "adam"])
def test_the_numbers_of_the_table_are_those_of_the_optimizers(key: str, paths: ModuleType) -> None:
    numbers = RESULTS[key]["quadratic"]
    walked = paths.Runner(paths.CONTESTANTS[key], paths.QUADRATIC).path(numbers["rate"])
    # Values near 0 are sums of roundings that another processor may round otherwise.
    assert walked.final_value == pytest.approx(numbers["final_value"], rel=0.5, abs=1e-7)
