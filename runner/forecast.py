"""What a plan will do, before it does it: `optrun train --dry-run`.

Nothing is written, decoded or downloaded, and TensorFlow is not loaded. Photo counts are exact
where the photos are prepared already, and expected shares otherwise, which is said.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.batches import batches_per_epoch
from data.counting import count
from optimizers import specification
from runner.configuration.schema import Experiment, as_mapping
from runner.errors import photo_errors
from runner.plan import Plan, PlannedRun
from runner.vgg19 import weight_count
from runner.wording import number_of

BYTES_PER_WEIGHT = 4


@dataclass(frozen=True)
class Cost:
    """What one run of an experiment takes.

    Attributes:
        photos: Photos in all.
        training_photos: Of them for training.
        exact: Whether the counts are of prepared photos rather than expected.
        updates: Optimizer steps that change the weights.
        gradient_evaluations: Gradients of one batch each.
    """

    photos: int
    training_photos: int
    exact: bool
    updates: int
    gradient_evaluations: int


def forecast(plan: Plan, results: Path) -> str:
    """The plan as text for a person."""
    groups: dict[str, list[PlannedRun]] = {}
    for run in plan.runs:
        groups.setdefault(run.name, []).append(run)
    experiments = {name: runs[0].experiment for name, runs in groups.items()}
    costs = {name: cost(experiment) for name, experiment in experiments.items()}
    lines = [f"{number_of(len(plan.runs), 'run')}, one after another, into {results}/"]
    if plan.stand_in_for is not None:
        lines.append(f"on the built-in sample, because {plan.stand_in_for}")
    elif plan.on_sample:
        lines.append("on the built-in sample")
    for name, runs in groups.items():
        experiment, price = experiments[name], costs[name]
        about = "" if price.exact else "about "
        seeds = ", ".join(str(run.experiment.training.seed) for run in runs)
        each = " each" if len(runs) > 1 else ""
        lines += [
            "",
            f"{name}   {number_of(len(runs), 'run')}, seed{'s' if len(runs) > 1 else ''} {seeds}",
            f"  optimizer             {specification.describe(experiment.optimizer)}",
            f"  photos                {about}{price.photos:,} of {experiment.data.image_size} x "
            f"{experiment.data.image_size} px, {about}{price.training_photos:,} for training",
            f"  epochs                {experiment.training.epochs}",
            f"  optimizer steps       {about}{price.updates:,}{each}",
            f"  gradient evaluations  {about}{price.gradient_evaluations:,}{each}, of "
            f"{experiment.training.batch_size} photos",
            f"  disk                  {_size(checkpoint_bytes(experiment))}{each}",
        ]
    lines += ["", *_differences(experiments)]
    caches = {
        (
            e.data.source,
            e.data.image_size,
            e.data.resize,
            e.data.antialias,
            e.data.limit,
        ): costs[name].photos * e.data.image_size**2 * 3
        for name, e in experiments.items()
    }
    total = sum(checkpoint_bytes(run.experiment) for run in plan.runs)
    lines.append(f"Disk in all: {_size(total)} of runs, {_size(sum(caches.values()))} photo cache")
    return "\n".join(lines)


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
        updates=specification.updates(
            experiment.optimizer, batches_per_epoch=steps, epochs=training.epochs
        ),
        gradient_evaluations=steps
        * training.epochs
        * specification.gradient_evaluations(experiment.optimizer),
    )


def checkpoint_bytes(experiment: Experiment) -> int:
    """Bytes of the best epoch's weights, two copies of which exist while one replaces the other."""
    model = experiment.model
    weights = weight_count(
        width=model.width,
        image_size=experiment.data.image_size,
        pooling=model.head.pooling,
        hidden_units=model.head.hidden_units,
    )
    return 2 * BYTES_PER_WEIGHT * weights


def _differences(experiments: Mapping[str, Experiment]) -> list[str]:
    """The settings that are not the same in all experiments, one a line."""
    if len(experiments) < 2:
        return []
    flat = [dict(_leaves(as_mapping(experiment))) for experiment in experiments.values()]
    keys = dict.fromkeys(key for one in flat for key in one)
    lines = ["What differs between them:"]
    for key in keys:
        values = [one.get(key, "-") for one in flat]
        ignored = key.split(".")[0] in ("name", "notes", "sample") or key == "training.seed"
        if not ignored and any(value != values[0] for value in values):
            lines.append(f"  {key}: " + " | ".join(str(value) for value in values))
    return [*lines, ""]


def _leaves(tree: Mapping[str, Any], path: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for key, value in tree.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            found += _leaves(value, where)
        elif value is not None:
            found.append((where, value))
    return found


def _size(count: int) -> str:
    """Bytes in the unit that keeps the number short.

    >>> _size(420), _size(5_300_000), _size(160_000_000)
    ('1 MB', '5.3 MB', '160 MB')
    """
    megabytes = count / 1e6
    if megabytes >= 1000:
        return f"{megabytes / 1000:.1f} GB"
    return f"{megabytes:.1f} MB" if 1 < megabytes < 10 else f"{max(1, round(megabytes))} MB"
