import gc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from optrun.data.feed.mapped_tensor import mapped_rows, mapped_tensor


@pytest.fixture
def mapped(tmp_path: Path) -> np.ndarray:
    np.save(tmp_path / "array.npy", np.arange(600, dtype=np.uint8).reshape(100, 2, 3))
    return np.load(tmp_path / "array.npy", mmap_mode="r")


def address(tensor: tf.Tensor) -> int:
    return np.from_dlpack(tensor).ctypes.data


def test_a_mapped_file_is_not_copied(mapped: np.ndarray) -> None:
    tensor = mapped_tensor(mapped)

    assert address(tensor) == mapped.ctypes.data
    assert tensor.dtype == tf.uint8
    assert np.array_equal(tensor.numpy(), mapped)


def test_the_file_stays_mapped_as_long_as_the_tensor_is_there(mapped: np.ndarray) -> None:
    content = np.array(mapped)
    tensor = mapped_tensor(mapped)
    mapped = None

    assert np.array_equal(tf.gather(tensor, [99, 0, 50]), content[[99, 0, 50]])


@pytest.mark.parametrize(
    "change",
    [lambda array: array[::2], lambda array: array[1:], lambda array: array[:0]],
    ids=["not contiguous", "not aligned", "empty"],
)
def test_what_tensorflow_cannot_use_in_place_is_copied(mapped: np.ndarray, change) -> None:
    array = change(mapped)

    assert np.array_equal(mapped_tensor(array).numpy(), array)


def test_rows_are_those_at_the_places_in_a_dataset_s_functions_too(mapped: np.ndarray) -> None:
    rows = mapped_rows(mapped)
    dataset = tf.data.Dataset.range(100).batch(7).map(lambda places: rows(99 - places))

    assert dataset.element_spec == tf.TensorSpec([None, 2, 3], tf.uint8)
    assert np.array_equal(np.concatenate(list(dataset.as_numpy_iterator())), mapped[::-1])


def test_what_is_mapped_outlives_whoever_asked_for_it(mapped: np.ndarray) -> None:
    content = np.array(mapped)
    iterator = iter(tf.data.Dataset.range(100).map(mapped_rows(mapped)))
    mapped = None
    gc.collect()

    assert np.array_equal([row.numpy() for row in iterator], content)
