"""Photos on disk as a tensor: mapped, not read, and nothing copied but what is taken of it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import tensorflow as tf

ALIGNMENT = 64  # bytes; TensorFlow's operations rely on it


def mapped_tensor(array: npt.NDArray[np.uint8]) -> "tf.Tensor":
    """Returns a tensor that is the memory of `array`, to be read from alone.

    So operations of TensorFlow read mapped photos straight from the disk's pages, in threads of
    their own, which no code in Python can hold up. Memory that is contiguous and at a multiple
    of 64 bytes, as that of a mapped .npy file always is, is not copied; other memory is.
    """
    import tensorflow as tf

    if not array.flags.c_contiguous or array.ctypes.data % ALIGNMENT or array.size == 0:
        with tf.device("CPU:0"):
            return tf.constant(np.asarray(array))
    # The exchange format has no word for "read-only", so NumPy hands only writable arrays over.
    # TensorFlow does not write to it: it makes no operation's input its output while others, here
    # whoever holds the tensor, refer to it. What lies in the array must stay as long as that.
    interface = {**array.__array_interface__, "data": (array.ctypes.data, False)}
    writable = np.asarray(SimpleNamespace(__array_interface__=interface, array=array))
    return tf.experimental.dlpack.from_dlpack(writable.__dlpack__())


def mapped_rows(array: npt.NDArray[np.uint8]) -> "Callable[[tf.Tensor], tf.Tensor]":
    """Returns a function from int64 [b] to the rows of `array` at these places, uint8 [b, ...].

    It is made of TensorFlow's operations, for functions of a `tf.data.Dataset` too: a batch is
    copied out of the mapped pages once.
    """
    import tensorflow as tf
    from tensorflow.python.eager import context

    # A tensor that a dataset's functions refer to is copied, as a whole, when the dataset is
    # rewritten (by its optimizations, or for a distribution strategy); of a variable it is the
    # handle. A variable of Keras or `tf.Variable` would be one per device under a strategy.
    with tf.init_scope(), tf.device("CPU:0"):
        tensor = mapped_tensor(array)
        variable = tf.raw_ops.VarHandleOp(
            dtype=tensor.dtype, shape=tensor.shape, shared_name=context.anonymous_name()
        )
        tf.raw_ops.AssignVariableOp(resource=variable, value=tensor)

    def rows(places: "tf.Tensor") -> "tf.Tensor":
        whole = tf.raw_ops.ReadVariableOp(resource=variable, dtype=tf.uint8)
        return tf.gather(tf.ensure_shape(whole, array.shape), places)

    return rows
