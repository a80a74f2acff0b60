"""What the training runs on: device, precision, XLA. `auto` is resolved once per plan, here.

The processor's flags decide on bfloat16, never a timing: a timing would give two machines of a
kind, or one machine on two days, different experiments.
"""

import contextlib
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from optrun.runner.errors import UserError

NATIVE_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
CPU_INFORMATION = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """Where and how the network is computed."""

    device: str  # "cpu" or "gpu"
    device_name: str  # the processor's or the graphics card's own
    precision: str  # Keras' dtype policy: "float32", "mixed_bfloat16" or "mixed_float16"
    jit_compile: bool
    threads: int  # that TensorFlow uses for one operation on the CPU


def prepare(
    device: str, *, precision: str, jit_compile: bool | str, deterministic: bool
) -> Machine:
    """Choose the device, make TensorFlow keep to it, and resolve every `auto`.

    The device on `auto` is a GPU where there is one. XLA on `auto` is used on a GPU only, since it
    halves the speed of convolutions on a CPU, and only where nothing need be deterministic:
    computed bit-identically each time. That, and the device, hold for the rest of this process.
    """
    import tensorflow as tf

    if deterministic and jit_compile is True:
        raise UserError(
            "training.deterministic: true and training.jit_compile: true exclude each other: not "
            "all that XLA compiles is deterministic, and Keras refuses. Leave jit_compile at auto, "
            "or deterministic at false"
        )
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise UserError(
            "--device gpu needs a GPU that TensorFlow can use, and it finds none. On Linux with an "
            "NVIDIA card install the CUDA libraries, `pip install 'optrun[gpu]'`; "
            "or train on the processor: --device cpu"
        )
    if device == "cpu" and gpus:
        tf.config.set_visible_devices([], "GPU")
        gpus = []
    for gpu in gpus:
        # Otherwise the first process takes the whole card.
        tf.config.experimental.set_memory_growth(gpu, True)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    if precision == "auto":
        precision = best_precision(
            processor_flags(), gpu_capability=details.get("compute_capability")
        )
    if jit_compile == "auto":
        jit_compile = bool(gpus) and not deterministic
    processor = _processor_field("model name") or platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return Machine(
        device="gpu" if gpus else "cpu",
        device_name=details.get("device_name", "GPU") if gpus else processor,
        precision=precision,
        jit_compile=bool(jit_compile),
        threads=tf.config.threading.get_intra_op_parallelism_threads() or cores,
    )


def has_gpu() -> bool:
    """Whether TensorFlow finds a GPU that it can use."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def best_precision(flags: frozenset[str], *, gpu_capability: tuple[int, int] | None) -> str:
    """The fastest precision that a CPU, or a GPU of a CUDA capability, computes natively."""
    if gpu_capability is None:
        return "mixed_bfloat16" if flags & NATIVE_BFLOAT16_FLAGS else "float32"
    if gpu_capability >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if gpu_capability >= (7, 0) else "float32"


def is_emulated(machine: Machine) -> bool:
    """Whether a processor is to compute in a precision that it has no instructions for."""
    native = ("float32", best_precision(processor_flags(), gpu_capability=None))
    return machine.device == "cpu" and machine.precision not in native


def processor_flags() -> frozenset[str]:
    """The first processor's feature flags; none where the system does not list them."""
    return frozenset(_processor_field("flags").split())


def _processor_field(name: str) -> str:
    with contextlib.suppress(OSError), CPU_INFORMATION.open() as lines:
        for line in lines:
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""
