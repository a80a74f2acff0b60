"""From config files and seeds to the list of runs, decided before anything is trained."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from optrun.data.sources import cats_vs_dogs
from optrun.data.sources.built_in import PUBLIC, SAMPLE
from optrun.runner.config.identity import experiment_hash
from optrun.runner.config.load import Loaded, load
from optrun.runner.config.schema import Experiment
from optrun.runner.engine.hardware import Machine
from optrun.runner.errors import UserError
from optrun.runner.models import weights
from optrun.runner.models.networks import NETWORKS
from optrun.runner.user_optimizer import fingerprints


@dataclass(frozen=True)
class Entry:
    """A config file and what is set in it: one experiment of a plan."""

    config: Path
    settings: Sequence[str] = ()  # `KEY=VALUE`, as after `--set`; a later one wins
    # What is recorded of where it comes from, besides.
    provenance: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedRun:
    """One experiment with one seed."""

    name: str  # `sample-` stands before the experiment's where the photos are drawn
    experiment: Experiment
    identity: str  # hash of the experiment, the same for all of its seeds
    config: Path
    origins: Mapping[tuple[str, ...], str] = field(repr=False)
    provenance: Mapping[str, object] = field(default_factory=dict, repr=False)  # as its entry's

    @property
    def seed(self) -> int:
        return self.experiment.training.seed

    @property
    def is_sample(self) -> bool:
        return self.experiment.data.source == SAMPLE

    @property
    def key(self) -> tuple[str, str]:
        """What runs that differ by their seed alone have in common."""
        return self.name, self.identity


@dataclass(frozen=True)
class RunSpec:
    """All that one run needs, as plain data."""

    planned: PlannedRun
    results: Path  # where a new run's folder is made
    folder: Path | None  # the recorded run to go on with; None for a new one
    machine: Machine
    weights_file: Path | None  # published weights to start from; None for random ones
    weights_hash: str  # SHA-256 of that file; "random" for random weights
    provenance: Mapping[str, Any] = field(repr=False)  # the same for all runs of its plan


@dataclass(frozen=True)
class Plan:
    """All runs, in the order in which they are trained.

    That is seed by seed, so that a plan cut short leaves the same seeds for every experiment.
    """

    runs: Sequence[PlannedRun]
    on_sample: bool
    stand_in_for: str | None  # why the sample stands in for the photos that were meant, if it does


def first_of_each(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """The first run of each experiment, which stands for its other seeds."""
    first: dict[tuple[str, str], PlannedRun] = {}
    for run in runs:
        first.setdefault(run.key, run)
    return list(first.values())


def make(
    entries: Sequence[Entry],
    *,
    seeds: Sequence[int] | None = None,
    sample: bool = False,
    real: bool = False,
) -> Plan:
    """Read the configs and decide what runs on which photos, once for the whole plan.

    The seeds are for each entry (None: the one it states); `sample` asks for the built-in sample,
    and `real` forbids it.
    """

    def loaded_with(*, sample: bool) -> list[Loaded]:
        return [load(one.config, one.settings, sample=sample, import_own=True) for one in entries]

    loaded = loaded_with(sample=sample)
    reason = None if sample else _unavailable(loaded)
    if reason is not None:
        _check_stand_in_allowed(loaded, reason, real=real)
        loaded = loaded_with(sample=True)
    experiments = [
        replace(planned_run(one, entry.config), provenance=entry.provenance)
        for one, entry in zip(loaded, entries, strict=True)
    ]
    on_sample = all(one.is_sample for one in experiments)
    if real and on_sample:
        raise UserError("--real forbids the built-in sample, and data.source is 'sample'")
    _check_told_apart(experiments)
    runs = [
        one if seed is None else replace(one, experiment=_with_seed(one.experiment, seed))
        for seed in (seeds if seeds is not None else [None])
        for one in experiments
    ]
    return Plan(runs, on_sample=on_sample, stand_in_for=reason)


def planned_run(loaded: Loaded, config: Path, *, name: str | None = None) -> PlannedRun:
    """The run of a configuration with the seed it states; its name, where it has one already."""
    experiment = loaded.experiment
    prefix = "sample-" if experiment.data.source == SAMPLE else ""
    return PlannedRun(
        name=name or prefix + experiment.name,
        experiment=experiment,
        identity=experiment_hash(experiment, fingerprints(experiment)),
        config=config,
        origins=loaded.origins,
    )


def _with_seed(experiment: Experiment, seed: int) -> Experiment:
    training = experiment.training.model_copy(update={"seed": seed})
    return experiment.model_copy(update={"training": training})


def _unavailable(loaded: Sequence[Loaded]) -> str | None:
    """Why public photos or weights that are meant cannot be had; None where they can.

    Only what was never obtained from a host that does not answer counts; the two are looked for at
    the same time, within seconds. Where the weights are missing and the photos are the person's
    own, the sample is no answer, and that is raised.
    """
    experiments = [one.experiment for one in loaded]
    sources = {one.data.source for one in experiments}
    published = {one.model.network for one in experiments if one.model.weights == "imagenet"}
    with ThreadPoolExecutor() as pool:
        network = pool.submit(_published_weights_missing, published)
        photos_missing = PUBLIC in sources and cats_vs_dogs.out_of_reach(weights.LOOK_FOR_SECONDS)
        weights_missing = network.result()
    if weights_missing is not None and (PUBLIC not in sources or sources - {PUBLIC, SAMPLE}):
        raise weights_missing
    what = [f"the public photos ({PUBLIC})"] if photos_missing else []
    what += ["the ImageNet weights"] if weights_missing is not None else []
    are = "were never downloaded, and their host cannot be reached"
    return f"{' and '.join(what)} {are}" if what else None


def _published_weights_missing(networks: Iterable[str]) -> weights.WeightsUnavailable | None:
    try:
        for name in networks:
            weights.locate("imagenet", NETWORKS[name].published)
    except weights.WeightsUnavailable as missing:
        return missing
    return None


def _check_stand_in_allowed(loaded: Sequence[Loaded], reason: str, *, real: bool) -> None:
    refusing = [
        one.experiment.name for one in loaded if one.experiment.data.when_unavailable == "error"
    ]
    if real:
        why = "--real forbids the built-in sample"
    elif refusing:
        why = f"data.when_unavailable is 'error' in {', '.join(refusing)}"
    else:
        return
    raise UserError(
        f"{reason}. {why[0].upper()}{why[1:]}, so nothing was trained. Name photos of your own "
        "(--set data.source=PATH/TO/dogs-vs-cats.zip), or try the built-in sample (--sample)"
    )


def _check_told_apart(experiments: Sequence[PlannedRun]) -> None:
    """Two experiments of one name could not be told apart in results/, unless by their settings."""
    first: dict[str, PlannedRun] = {}
    seen: set[tuple[str, str]] = set()
    for one in experiments:
        other = first.setdefault(one.name, one)
        if other.config != one.config:
            raise UserError(
                f"{one.config} and {other.config} both have the name {one.experiment.name!r}, and "
                "their runs could not be told apart. Give one of them another `name:`"
            )
        if one.key in seen:
            raise UserError(f"{one.config} is given twice; name seeds instead: --seeds 2")
        seen.add(one.key)
