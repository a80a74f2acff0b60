"""What `optrun verify` trains: the built-in experiment, or a person's own made short."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optrun.runner.config.load import load
from optrun.runner.config.schema import Experiment
from optrun.runner.plan import plan as plans
from optrun.runner.plan.plan import Plan

# Training photos are eight tenths of these, so that an epoch has eight steps at least.
PHOTOS_PER_BATCH = 10
FEWEST_PHOTOS = 160
EPOCHS = 3
# So often that runs go on from the middle of an epoch, too.
CHECKPOINT_MINUTES = 0.01

# configs/lookahead_vgg19.yaml on the sample, which needs neither a download nor this repository,
# with chance in all places that have any: order, dropout, augmentation.
BUILT_IN = {
    "name": "verify",
    "data": {
        "source": "sample",
        "image_size": 48,
        "limit": 800,
        "augmentation": {"flip": True, "rotation": 10, "shift": 0.1, "brightness": 0.1},
    },
    "model": {
        "weights": "random",
        "width": 0.125,
        "head": {"hidden_units": [16], "dropout": 0.5},
    },
    "training": {"epochs": EPOCHS, "checkpoint_minutes": CHECKPOINT_MINUTES},
    "optimizer": {
        "name": "lookahead",
        "sync_period": 5,
        "slow_step_size": 0.5,
        "inner_optimizer": {
            "name": "sgd",
            "learning_rate": {"schedule": "cosine", "initial_learning_rate": 0.04},
            "momentum": 0.9,
            "global_clipnorm": 1,
        },
    },
}


@dataclass(frozen=True)
class Verified:
    """One experiment as it is verified.

    Attributes:
        experiment: Complete, shortened, its seed chosen.
        arguments: Those of `optrun` that train it, but for device and results folder.
        stand_in_for: Why the sample stands in for its photos; None where it does not.
    """

    experiment: Experiment
    arguments: Sequence[str]
    stand_in_for: str | None


def chosen(
    config: Path | None,
    overrides: Sequence[str],
    *,
    sample: bool,
    seed: int | None,
    folder: Path,
) -> Verified:
    """The experiment to verify.

    Args:
        config: The person's file; None for the built-in experiment.
        overrides: `KEY=VALUE`, which outrank the shortening.
        sample: Whether the built-in sample was asked for.
        seed: The run's seed; None: the one it states.
        folder: Where the built-in experiment may be written.

    Raises:
        UserError: The config or an override is wrong, or what it names cannot be had.
    """
    if config is None:
        config = folder / "verify.yaml"
        config.write_text(json.dumps(BUILT_IN, indent=1))  # JSON is YAML
        shorter: list[str] = []
    else:
        # The file is read once more with these, so that what is wrong in it is told as written.
        shorter = shortening(load(config, overrides, sample=sample, import_own=True).experiment)
    everything = [*shorter, *overrides]
    seeds = None if seed is None else [seed]
    plan: Plan = plans.make([plans.Entry(config, everything)], seeds=seeds, sample=sample)
    on_sample = sample or plan.stand_in_for is not None
    arguments = [
        str(config),
        *(part for override in everything for part in ("--set", override)),
        *(["--sample"] if on_sample else []),
        *([] if seed is None else ["--seed", str(seed)]),
    ]
    return Verified(plan.runs[0].experiment, arguments, plan.stand_in_for)


def shortening(experiment: Experiment) -> list[str]:
    """What makes an experiment short, as overrides; what it has less of anyway stays.

    Example:
        >>> shortening(Experiment.model_validate({
        ...     "name": "plain", "training": {"epochs": 2, "batch_size": 64},
        ...     "optimizer": {"name": "sgd", "learning_rate": 0.01}}))
        ['data.limit=640', 'training.epochs=2', 'training.checkpoint_minutes=0.01']
    """
    training, limit = experiment.training, experiment.data.limit
    photos = max(FEWEST_PHOTOS, PHOTOS_PER_BATCH * training.batch_size)
    return [
        f"data.limit={photos if limit is None else min(limit, photos)}",
        f"training.epochs={min(training.epochs, EPOCHS)}",
        f"training.checkpoint_minutes={min(training.checkpoint_minutes, CHECKPOINT_MINUTES)}",
    ]
