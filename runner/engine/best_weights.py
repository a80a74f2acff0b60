"""The weights of a run's best epoch, on disk in step with the checkpoint `last`.

`last` says which epoch is the best so far, and a run goes on from it only where that epoch's
weights lie beside it. They are therefore written before a `last` that names them, and those they
replace stay for as long as the checkpoint before `last` names those: whichever of the two a run
goes on from, its best epoch is there.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from optrun.runner.engine import checkpoint
from optrun.runner.engine.checkpoint import Array, CheckpointError
from optrun.runner.runs import checkpoint_places as places


@dataclass(frozen=True)
class BestEpoch:
    """The best epoch so far.

    Attributes:
        weights: The network's, in its own order.
        facts: Its number (`epoch`) and its validation scores.
    """

    weights: Sequence[Array] = field(repr=False)
    facts: Mapping[str, object]


def save(folder: Path, best: BestEpoch, *, owner: str) -> None:
    """Write it, and keep those it replaces.

    Args:
        folder: The run's checkpoint `best`.
        best: What to write.
        owner: The run's id.

    Raises:
        OSError: The disk is full or can't be written; what was there is as it was.
    """
    checkpoint.save(folder, best.weights, best.facts, owner=owner, keep_previous=True)


def put_in_place(folder: Path, epoch: int, *, owner: str) -> None:
    """See to it that the weights at `folder` are those of an epoch, where a crash left others.

    Args:
        folder: The run's checkpoint `best`.
        epoch: Which epoch's, as `last` says, counted from 1.
        owner: The run's id.

    Raises:
        CheckpointError: There are none of that epoch, or they are damaged. Nothing was changed.
    """
    problems = []
    for place in places.newest_first(folder):
        if not place.exists():
            continue
        try:
            found = checkpoint.read(place, owner=owner).facts.get("epoch")
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if found == epoch:
            if place != folder:
                shutil.rmtree(folder, ignore_errors=True)
                place.rename(folder)
            return
        problems.append(f"{place} is of epoch {found}")
    raise CheckpointError(
        f"the weights of the best epoch, {epoch}, are missing: "
        + ("; ".join(problems) or f"{folder} does not exist")
    )
