"""What a plan will do, before it does it: `optrun train --dry-run`.

Nothing is written, decoded or downloaded, and TensorFlow is not loaded. Photo counts are exact
where the photos are prepared already, and expected shares otherwise, which is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optrun.data.cache import cache_key
from optrun.data.cache.prepare import count
from optrun.data.feed.batches import batches_per_epoch
from optrun.runner.config.schema import Experiment, as_mapping
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.plan import disk_budget as room
from optrun.runner.plan import memory
from optrun.runner.plan.disk_budget import Room
from optrun.runner.plan.plan import Plan, PlannedRun
from optrun.runner.runs.record import flatten
from optrun.runner.ui.wording import number_of, size


@dataclass(frozen=True)
class Cost:
    """What one run of an experiment takes.

    Attributes:
        photos: Photos in all.
        training_photos: Of them for training.
        exact: Whether the counts are of prepared photos rather than expected.
        updates: Optimizer steps that change the weights.
        gradient_evaluations: Gradients of one batch each.
        room: What the run takes on the disk.
        cache_bytes: What preparing its photos has yet to write.
    """

    photos: int
    training_photos: int
    exact: bool
    updates: int
    gradient_evaluations: int
    room: Room
    cache_bytes: int


Costs = Mapping[tuple[str, str], Cost]  # by `PlannedRun.key`


def forecast(plan: Plan, results: Path) -> str:
    """The plan as text for a person."""
    costs = costs_of(plan.runs)
    lines = [f"{number_of(len(plan.runs), 'run')}, one after another, into {results}/"]
    if plan.stand_in_for is not None:
        lines.append(f"on the built-in sample, because {plan.stand_in_for}")
    elif plan.on_sample:
        lines.append("on the built-in sample")
    for first in plan.experiments:
        runs = [run for run in plan.runs if run.key == first.key]
        experiment, price = first.experiment, costs[first.key]
        about = "" if price.exact else "about "
        seeds = f"seed{'s' if len(runs) > 1 else ''} {', '.join(str(run.seed) for run in runs)}"
        each = " each" if len(runs) > 1 else ""
        lines += [
            "",
            f"{first.name}   {number_of(len(runs), 'run')}, {seeds}",
            f"  optimizer             {experiment.optimizer.description}",
            f"  photos                {about}{price.photos:,} of {experiment.data.image_size} x "
            f"{experiment.data.image_size} px, {about}{price.training_photos:,} for training",
            f"  epochs                {experiment.training.epochs}",
            f"  optimizer steps       {about}{price.updates:,}{each}",
            f"  gradient evaluations  {about}{price.gradient_evaluations:,}{each}, of "
            f"{experiment.training.batch_size} photos",
            f"  disk                  {size(price.room.at_most)} at most{each}, "
            f"{size(price.room.when_completed)} when it is completed",
            f"  memory                {memory.described(memory.before_start(experiment))}",
        ]
    lines += ["", *_differences([run.experiment for run in plan.experiments])]
    rooms = [costs[run.key].room for run in plan.runs]
    lines.append(f"Disk in all: {room.line(rooms, results)}")
    if caches := cache_bytes(plan.runs, costs):
        lines.append(f"Photos still to be prepared: {size(caches)}")
    if short := _shortage(plan.runs, costs, results):
        lines.append(f"It would not be started: {short}")
    return "\n".join(lines)


def check_room(runs: Sequence[PlannedRun], results: Path, *, present_bytes: int = 0) -> str:
    """Find out whether the disk has room for runs; returns what they take and what is free.

    To be called when the device is chosen, since a person's own optimizer is made for it.

    Args:
        runs: The runs.
        results: Where they are written.
        present_bytes: What is there already of those that are gone on with.

    Raises:
        UserError: There is not enough, or the photos cannot be counted.
    """
    costs = costs_of(runs)
    if short := _shortage(runs, costs, results, present_bytes=present_bytes):
        raise UserError(f"{short}. Nothing was started")
    return room.line([costs[run.key].room for run in runs], results)


def _shortage(
    runs: Sequence[PlannedRun], costs: Costs, results: Path, *, present_bytes: int = 0
) -> str | None:
    shared = room.same_disk(results, cache_key.directory())
    return room.shortage(
        [costs[run.key].room for run in runs],
        results,
        cache_bytes=cache_bytes(runs, costs) if shared else 0,
        present_bytes=present_bytes,
    )


def costs_of(runs: Sequence[PlannedRun]) -> Costs:
    """What each experiment's runs take: its seeds cost the same, and counting photos takes time."""
    firsts = {run.key: run.experiment for run in runs}
    return {key: cost(experiment) for key, experiment in firsts.items()}


def cost(experiment: Experiment) -> Cost:
    """What one run takes, in counts."""
    data, training = experiment.data, experiment.training
    with photo_errors():
        counted = count(
            data.source,
            image_size=data.image_size,
            resize=data.resize,
            antialias=data.antialias,
            limit=data.limit,
            validation_share=data.validation_share,
            test_share=data.test_share,
        )
    steps = batches_per_epoch(counted.training, training.batch_size)
    return Cost(
        photos=counted.photos,
        training_photos=counted.training,
        exact=counted.exact,
        updates=experiment.optimizer.updates(batches_per_epoch=steps, epochs=training.epochs),
        gradient_evaluations=steps * training.epochs * experiment.optimizer.gradient_evaluations,
        room=room.room_of(experiment, evaluated_photos=counted.photos - counted.training),
        cache_bytes=counted.bytes_to_write,
    )


def cache_bytes(runs: Sequence[PlannedRun], costs: Costs) -> int:
    """What preparing the photos of runs has yet to write; those that they share count once."""
    missing = {}
    for run in runs:
        data = run.experiment.data
        key = (data.source, data.image_size, data.resize, data.antialias, data.limit)
        missing[key] = costs[run.key].cache_bytes
    return sum(missing.values())


def _differences(experiments: Sequence[Experiment]) -> list[str]:
    """The settings that are not the same in all experiments, one a line."""
    if len(experiments) < 2:
        return []
    flat = [flatten(as_mapping(experiment)) for experiment in experiments]
    keys = dict.fromkeys(key for one in flat for key in one)
    lines = ["What differs between them:"]
    for key in keys:
        values = ["-" if one.get(key) is None else one[key] for one in flat]
        ignored = key.split(".")[0] in ("name", "notes", "sample") or key == "training.seed"
        if not ignored and any(value != values[0] for value in values):
            lines.append(f"  {key}: " + " | ".join(str(value) for value in values))
    return [*lines, ""]
