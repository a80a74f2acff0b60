"""Allocations that failed, told as what a person can do about them.

TensorFlow reports one on the device as ResourceExhaustedError, and so it does where NumPy's
MemoryError is raised while a batch is put together; everywhere else that is itself raised.
"""

import re

from optrun.runner.config.schema import Experiment
from optrun.runner.plan.memory import lowering

# TensorFlow's own words for what it could not have; the rest of its message is the graph's nodes.
_WHAT = re.compile(
    r"OOM when allocating tensor with shape\[[\d,]*\] and type \w+|Unable to allocate [^\n]{1,120}"
)
# What oneDNN and CUDA say through errors of other classes.
_IN_OTHER_ERRORS = ("CUDA_ERROR_OUT_OF_MEMORY", "CUDNN_STATUS_ALLOC_FAILED", "MemoryError:")


def is_failed(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory."""
    if isinstance(error, MemoryError):
        return True
    import tensorflow as tf

    if isinstance(error, tf.errors.ResourceExhaustedError):
        return True
    return isinstance(error, tf.errors.OpError) and any(
        said in str(error) for said in _IN_OTHER_ERRORS
    )


def reason(error: BaseException, experiment: Experiment) -> str:
    """Why a run failed that could not have the memory it needed, and what would need less.

    Args:
        error: One that `is_failed`.
        experiment: What was to be done.
    """
    found = _WHAT.search(str(error))
    what = f" ({found[0]})" if found else ""
    return (
        f"there is not enough memory for this network with batches of "
        f"{experiment.training.batch_size} photos of {experiment.data.image_size} x "
        f"{experiment.data.image_size} px{what}. {lowering(experiment)}"
    )
