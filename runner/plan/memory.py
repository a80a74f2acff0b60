"""Memory that a training takes, estimated before it starts, and what there is.

What a step keeps, in numbers of the arithmetic's precision: the output of every layer for every
photo of the batch, which the backward pass needs, and beside them the largest of these a few times
over, where the two passes work. Per weight: the weight, its gradients, the optimizer's state, and
a copy in the layout in which the processor convolves. An evaluation keeps the largest outputs of a
batch of its own, and a checkpoint is taken from a copy of everything. `benchmarks/memory.py` sets
the estimate against what runs take.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from optrun.data.feed.batches import EVALUATION_BATCH
from optrun.runner.config.schema import Experiment, architecture_of
from optrun.runner.engine import hardware as machines
from optrun.runner.models.networks import output_floats, weight_count, weight_shapes
from optrun.runner.ui.wording import size

BYTES_PER_WEIGHT = 4  # every variable is float32, whatever the precision of the arithmetic
# Python, TensorFlow, Keras, the traced graph, and photos on their way: measured.
_PROGRAM_BYTES = 750 * 2**20
_LAYOUT_COPIES = 2  # weights as the forward and as the backward convolution take them
# The best epoch's weights until they are on the disk, and a better one's while they are taken.
_BEST_COPIES = 2
# Of the largest layer's output: the gradients that come in and go out, and a workspace.
_LARGEST_IN_STEP = 3
_LARGEST_IN_EVALUATION = 4

_PROC = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")
# "max" in version 2; in version 1 no limit is the largest multiple of a page below 2^63.
_NO_LIMIT = 2**62
# What a control group's limit, its use, and what of that can be reclaimed are called, by version.
_NAMES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
# TensorFlow's own words for what it could not have; the rest of its message is the graph's nodes.
_WHAT = re.compile(
    r"OOM when allocating tensor with shape\[[\d,]*\] and type \w+|Unable to allocate [^\n]{1,120}"
)
# What oneDNN and CUDA say through errors of other classes.
_IN_OTHER_ERRORS = ("CUDA_ERROR_OUT_OF_MEMORY", "CUDNN_STATUS_ALLOC_FAILED", "MemoryError:")


@dataclass(frozen=True)
class Estimate:
    """Bytes that a run takes at most, by what takes them."""

    program: int  # Python and TensorFlow before there is a network
    network: int  # weights, optimizer, gradients
    photos: int  # layers' outputs for a batch of photos, in training or evaluation

    @property
    def total(self) -> int:
        return self.program + self.network + self.photos


def estimate(experiment: Experiment, *, precision: str) -> Estimate:
    """What a run of an experiment takes on a processor, at a precision."""
    batch, architecture = experiment.training.batch_size, architecture_of(experiment)
    itemsize = 4 if precision == "float32" else 2
    weights = weight_count(architecture)
    learning = weight_shapes(architecture, trained=True)
    trained = sum(map(math.prod, learning))
    state = experiment.optimizer.state_floats(learning, track_fast_weights=True)
    evaluations = experiment.optimizer.gradient_evaluations
    # With several gradients, all of them are kept, and the point where the next is taken.
    gradients = evaluations + (1 if evaluations > 1 else 0)
    in_precision = weights * (itemsize if itemsize < BYTES_PER_WEIGHT else 0)
    step_copies = BYTES_PER_WEIGHT * gradients * trained + _LAYOUT_COPIES * itemsize * weights
    saving = BYTES_PER_WEIGHT * (weights + state)
    outputs = output_floats(architecture)
    kept = sum(outputs) + _LARGEST_IN_STEP * max(outputs)
    evaluated = EVALUATION_BATCH * _LARGEST_IN_EVALUATION * max(outputs)
    return Estimate(
        program=_PROGRAM_BYTES,
        network=BYTES_PER_WEIGHT * (weights * (1 + _BEST_COPIES) + state)
        + in_precision
        + max(step_copies, saving),
        photos=itemsize * max(batch * kept, evaluated),
    )


def described(experiment: Experiment) -> str:
    """The estimate and what is free, for `--dry-run`: on the processor, in its precision."""
    precision: str = experiment.training.precision
    if precision == "auto":
        precision = machines.best_precision(machines.processor_flags(), gpu_capability=None)
    free = available_bytes()
    beside = "" if free is None else f", {size(free)} free"
    return f"about {size(estimate(experiment, precision=precision).total)} on the processor{beside}"


def notices(experiments: Iterable[tuple[Experiment, str]]) -> list[str]:
    """What to say of experiments, each with its precision, that may take more than is free."""
    free = available_bytes()
    if free is None:
        return []
    said = [
        f"{one.name} may need {size(taken.total)} of memory, and {size(free)} are free: "
        f"{size(taken.network)} for the network and its optimizer, {size(taken.photos)} for "
        f"batches of photos. {_lowering(one)}"
        for one, precision in experiments
        if (taken := estimate(one, precision=precision)).total > free
    ]
    return list(dict.fromkeys(said))  # once for the seeds of an experiment


def _lowering(experiment: Experiment) -> str:
    return (
        f"Less is needed with fewer photos at once (training.batch_size, now "
        f"{experiment.training.batch_size}; around the optimizer, soft_batch keeps the photos per "
        f"update), smaller photos (data.image_size, now {experiment.data.image_size}) or a smaller "
        f"network (model.width, now {experiment.model.width:g})"
    )


def is_failed_allocation(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory.

    TensorFlow reports it as ResourceExhaustedError, also where NumPy's MemoryError is raised while
    a batch is put together; everywhere else that is itself raised.
    """
    if isinstance(error, MemoryError):
        return True
    import tensorflow as tf

    said = str(error)
    return isinstance(error, tf.errors.ResourceExhaustedError) or (
        isinstance(error, tf.errors.OpError) and any(one in said for one in _IN_OTHER_ERRORS)
    )


def why_it_failed(error: BaseException, experiment: Experiment) -> str:
    """Why a run failed that could not have the memory it needed, and what would need less."""
    found = _WHAT.search(str(error))
    what = f" ({found[0]})" if found else ""
    side, batch = experiment.data.image_size, experiment.training.batch_size
    return (
        f"there is not enough memory for this network with batches of {batch} photos of {side} x "
        f"{side} px{what}. {_lowering(experiment)}"
    )


def available_bytes(proc: Path = _PROC, root: Path = _ROOT) -> int | None:
    """Bytes that this process may hold in all: what it has already, and what is free for more.

    Free is what the system could give without swapping, or less where a control group (a
    container's, a batch system's) allows less. None where the system does not say.
    """
    try:
        own = psutil.Process().memory_info().rss
        free = psutil.virtual_memory().available
    except (psutil.Error, OSError):
        return None
    return own + max(0, min([free, *group_free_bytes(proc, root)]))


def group_free_bytes(proc: Path = _PROC, root: Path = _ROOT) -> list[int]:
    """What each control group with a limit on memory has left; those above a group count too."""
    found = []
    for folder, version in _folders(proc, root):
        *names, reclaimable_name = _NAMES[version]
        limit, used = (_text(folder / name).strip() for name in names)
        if limit.isdecimal() and used.isdecimal() and int(limit) < _NO_LIMIT:
            # Pages of files that were read once go as soon as room is needed.
            statistics = _text(folder / "memory.stat")
            reclaimable = re.search(rf"^{reclaimable_name} (\d+)$", statistics, re.MULTILINE)
            taken = int(used) - (int(reclaimable[1]) if reclaimable else 0)
            found.append(int(limit) - max(0, taken))
    return found


def _folders(proc: Path, root: Path) -> Iterator[tuple[Path, int]]:
    """The folders of the groups that the process is in, innermost first, with their version.

    Within a container the path may be the host's, of which only the root is to be seen.
    """
    for line in _text(proc).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            mounted, version = root / "memory", 1
        elif number == "0" and not controllers:
            mounted, version = root, 2
        else:
            continue
        folder = mounted / path.lstrip("/")
        for one in (folder, *folder.parents):
            if one.is_relative_to(mounted):
                yield one, version


def _text(path: Path) -> str:
    """What a file says; nothing where there is none, as on another system than Linux."""
    try:
        return path.read_text("utf-8", errors="surrogateescape")
    except OSError:
        return ""
