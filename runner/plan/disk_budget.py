"""Room on the disk: what a run writes at most, and whether that much is free, before it starts.

While a run is trained its checkpoint `last` exists three times, as itself, the one before and the
one being written, and `best` twice. What stays of a completed run is one of each, its predictions,
and small files. Nothing here imports TensorFlow, except to ask a person's own optimizer.
"""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optrun.runner.config.schema import Experiment, architecture_of
from optrun.runner.models.networks import weight_shapes
from optrun.runner.ui.wording import number_of, size

# Every variable is float32, whatever the precision of the arithmetic.
BYTES_PER_WEIGHT = 4
# Of a NumPy archive: two headers, a directory entry, and a line of the manifest.
_BYTES_PER_ARRAY = 500
_BYTES_PER_EPOCH = 1_000  # its scores, in a checkpoint's manifest and in metrics.jsonl
# The configuration, provenance with a diff of limited size, the log.
_SMALL_FILES_BYTES = 2_000_000
# A photo's id (in UTF-32), its label and its logit.
_BYTES_PER_PREDICTION = 250
# Beyond the estimate: what other programs may write meanwhile, and what a full block takes.
SPARE_BYTES = 20_000_000


@dataclass(frozen=True)
class Room:
    """Bytes that one run takes on the disk.

    Attributes:
        last: Of one checkpoint to go on from: the network, the optimizer, the scores so far.
        best: Of the weights of the best epoch.
        others: Of predictions, scores and small files.
    """

    last: int
    best: int
    others: int

    @property
    def when_completed(self) -> int:
        return self.last + self.best + self.others

    @property
    def at_most(self) -> int:
        """While it is trained: `last`, the one before it and the next, `best` and the next."""
        return 3 * self.last + 2 * self.best + self.others


def room_of(experiment: Experiment, *, evaluated_photos: int) -> Room:
    """What a run of an experiment takes, counted without building anything.

    Args:
        experiment: What to do.
        evaluated_photos: Photos for validation and test.
    """
    weights = trained_shapes(experiment, every_layer=True)
    network = sum(map(math.prod, weights))
    optimizer = experiment.optimizer.state_floats(
        trained_shapes(experiment), track_fast_weights=True
    )
    # The copies of small networks are small, and their headers are not.
    arrays_of_optimizer = math.ceil(optimizer / network * len(weights)) + 10
    scores = _BYTES_PER_EPOCH * experiment.training.epochs
    best = BYTES_PER_WEIGHT * network + _BYTES_PER_ARRAY * (len(weights) + 10)
    return Room(
        last=best
        + BYTES_PER_WEIGHT * (optimizer + evaluated_photos)
        + _BYTES_PER_ARRAY * arrays_of_optimizer
        + scores,
        best=best,
        others=_SMALL_FILES_BYTES + scores + _BYTES_PER_PREDICTION * evaluated_photos,
    )


def trained_shapes(experiment: Experiment, *, every_layer: bool = False) -> list[tuple[int, ...]]:
    """Shapes of the weights that the optimizer moves, or of all."""
    return weight_shapes(architecture_of(experiment), trained=not every_layer)


def at_most(rooms: Sequence[Room]) -> int:
    """Bytes that runs take which are trained one after another: what stays, and what comes on top.

    >>> at_most([Room(last=300, best=100, others=10)] * 2)
    1520
    """
    on_top = max(one.at_most - one.when_completed for one in rooms)
    return sum(one.when_completed for one in rooms) + on_top


def line(rooms: Sequence[Room], results: Path) -> str:
    """What runs take at most and what is free, in a line."""
    free = free_bytes(results)
    beside = "" if free is None else f", {size(free)} free there"
    return f"{size(at_most(rooms))} at most in {results}{beside}"


def shortage(
    rooms: Sequence[Room], results: Path, *, cache_bytes: int = 0, present_bytes: int = 0
) -> str | None:
    """Why the disk has no room for runs, and what to do about it; None where it has.

    Args:
        rooms: Of each.
        results: Where they are written; need not exist yet.
        cache_bytes: Of photos that are to be prepared on the same disk.
        present_bytes: Of what is there already, of those that are gone on with.
    """
    free = free_bytes(results)
    needed = max(0, at_most(rooms) - present_bytes) + cache_bytes + SPARE_BYTES
    if free is None or free >= needed:
        return None
    stays = sum(one.when_completed for one in rooms)
    photos = f", {size(cache_bytes)} of them for prepared photos" if cache_bytes else ""
    return (
        f"{number_of(len(rooms), 'run')} may take {size(needed)} on the disk of {results}{photos}, "
        f"and {size(free)} are free. What stays of completed runs takes {size(stays)}, checkpoints "
        f"while one is trained {size(at_most(rooms) - stays)} more. Make room there (`optrun runs` "
        "lists what runs take, `optrun runs remove` removes them), name a folder on another disk "
        "(--results DIR), or train fewer seeds or a smaller network (model.width)"
    )


def free_bytes(folder: Path) -> int | None:
    """Bytes that this user may still write on the disk of a folder that need not exist yet.

    None where the file system does not say, as some on a network, which report a size of 0.
    """
    usage = shutil.disk_usage(existing(folder))
    return usage.free if usage.total else None


def same_disk(one: Path, other: Path) -> bool:
    """Whether two folders, which need not exist yet, are on one file system."""
    return existing(one).stat().st_dev == existing(other).stat().st_dev


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
