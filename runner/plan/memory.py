"""Memory that a training takes, estimated before it starts, and what there is.

What a step keeps, in numbers of the arithmetic's precision: the output of every layer for every
photo of the batch, which the backward pass needs, and beside them the largest of these a few times
over, where the two passes work. Per weight: the weight, its gradients, the optimizer's state, and
a copy in the layout in which the processor convolves. An evaluation keeps the largest outputs of a
batch of its own, and a checkpoint is taken from a copy of everything. `benchmarks/memory.py` sets
the estimate against what runs take.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optrun.data.feed.batches import EVALUATION_BATCH
from optrun.optimizers import specification
from optrun.optimizers.state_size import state_floats
from optrun.runner.config.schema import Experiment, architecture_of
from optrun.runner.engine import hardware as machines
from optrun.runner.models.registry import output_floats
from optrun.runner.plan.available_memory import available_bytes
from optrun.runner.plan.disk_budget import BYTES_PER_WEIGHT, trained_shapes
from optrun.runner.ui.wording import size

# Python, TensorFlow, Keras, the traced graph, and photos on their way: measured.
_PROGRAM_BYTES = 750 * 2**20
# Weights in the layouts of the forward and the backward convolution.
_LAYOUT_COPIES = 2
# The best epoch's weights until they are on the disk, and a better one's while they are taken.
_BEST_COPIES = 2
# Of the largest layer's output: the gradients that come in and go out, and a workspace.
_LARGEST_IN_STEP = 3
_LARGEST_IN_EVALUATION = 4


@dataclass(frozen=True)
class Estimate:
    """Bytes that a run takes at most, by what takes them.

    Attributes:
        program: Python and TensorFlow before there is a network.
        network: Weights, optimizer, gradients.
        photos: Layers' outputs for a batch of photos, in training or evaluation.
    """

    program: int
    network: int
    photos: int

    @property
    def total(self) -> int:
        return self.program + self.network + self.photos


def estimate(experiment: Experiment, *, precision: str) -> Estimate:
    """What a run of an experiment takes on a processor.

    Args:
        experiment: What to do.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
    """
    batch = experiment.training.batch_size
    itemsize = 4 if precision == "float32" else 2
    weights = sum(map(math.prod, trained_shapes(experiment, every_layer=True)))
    trained_of = trained_shapes(experiment)
    trained = sum(map(math.prod, trained_of))
    state = state_floats(experiment.optimizer, trained_of, track_fast_weights=True)
    evaluations = specification.gradient_evaluations(experiment.optimizer)
    # With several gradients, all of them are kept, and the point where the next is taken.
    gradients = evaluations + (1 if evaluations > 1 else 0)
    in_precision = weights * (itemsize if itemsize < BYTES_PER_WEIGHT else 0)
    step_copies = BYTES_PER_WEIGHT * gradients * trained + _LAYOUT_COPIES * itemsize * weights
    saving = BYTES_PER_WEIGHT * (weights + state)
    outputs = output_floats(architecture_of(experiment))
    kept = sum(outputs) + _LARGEST_IN_STEP * max(outputs)
    evaluated = EVALUATION_BATCH * _LARGEST_IN_EVALUATION * max(outputs)
    return Estimate(
        program=_PROGRAM_BYTES,
        network=BYTES_PER_WEIGHT * (weights * (1 + _BEST_COPIES) + state)
        + in_precision
        + max(step_copies, saving),
        photos=itemsize * max(batch * kept, evaluated),
    )


def before_start(experiment: Experiment) -> Estimate:
    """The estimate where the device is not chosen yet: on the processor, in its precision."""
    precision: str = experiment.training.precision
    if precision == "auto":
        precision = machines.best_precision(machines.processor_flags(), gpu_capability=None)
    return estimate(experiment, precision=precision)


def described(one: Estimate) -> str:
    """The estimate and what is free, for `--dry-run`."""
    free = available_bytes()
    beside = "" if free is None else f", {size(free)} free"
    return f"about {size(one.total)} on the processor{beside}"


def notices(experiments: Sequence[tuple[Experiment, str]]) -> list[str]:
    """What to say of experiments that may take more memory than is free, a text for each kind.

    Args:
        experiments: Each with its precision, on the processor.
    """
    free = available_bytes()
    if free is None:
        return []
    found = {}
    for experiment, precision in experiments:
        taken = estimate(experiment, precision=precision)
        if taken.total > free:
            found[experiment.name] = too_much(experiment, taken, free)
    return list(found.values())


def too_much(experiment: Experiment, taken: Estimate, free: int) -> str:
    """What to say where an estimate is more than there is; it is an estimate, so the run starts."""
    return (
        f"{experiment.name} may need {size(taken.total)} of memory, and {size(free)} are free: "
        f"{size(taken.network)} for the network and its optimizer, {size(taken.photos)} for "
        f"batches of photos. {lowering(experiment)}"
    )


def lowering(experiment: Experiment) -> str:
    """What a person can change to have a run take less memory."""
    return (
        f"Less is needed with fewer photos at once (training.batch_size, now "
        f"{experiment.training.batch_size}; around the optimizer, soft_batch keeps the photos per "
        f"update), smaller photos (data.image_size, now {experiment.data.image_size}) or a smaller "
        f"network (model.width, now {experiment.model.width:g})"
    )
