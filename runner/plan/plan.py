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

LOOK_FOR_SECONDS = 3.0


@dataclass(frozen=True)
class Entry:
    """A config file and what is set in it: one experiment of a plan.

    Attributes:
        config: The file.
        settings: `KEY=VALUE`, as after `--set`; a later one wins.
    """

    config: Path
    settings: Sequence[str] = ()


@dataclass(frozen=True)
class PlannedRun:
    """One experiment with one seed.

    Attributes:
        name: The run's name; `sample-` stands before the experiment's where the photos are drawn.
        experiment: What to do, its seed chosen.
        identity: Hash of the experiment, the same for all of its seeds.
        config: The file it comes from.
        origins: Where each value of the experiment comes from, as `load` says.
    """

    name: str
    experiment: Experiment
    identity: str
    config: Path
    origins: Mapping[tuple[str, ...], str] = field(repr=False)

    @property
    def seed(self) -> int:
        return self.experiment.training.seed

    @property
    def key(self) -> tuple[str, str]:
        """What runs that differ by their seed alone have in common."""
        return self.name, self.identity


@dataclass(frozen=True)
class RunSpec:
    """All that one run needs, as plain data.

    Attributes:
        planned: What to do.
        results: Where a new run's folder is made.
        folder: The recorded run to go on with; None for a new one.
        machine: What it is computed on, every `auto` decided.
        weights_file: Published weights to start from; None for random ones.
        weights_hash: SHA-256 of that file; "random" for random weights.
        provenance: What is the same for all runs of its plan.
    """

    planned: PlannedRun
    results: Path
    folder: Path | None
    machine: Machine
    weights_file: Path | None
    weights_hash: str
    provenance: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Plan:
    """All runs, in the order in which they are trained.

    Attributes:
        runs: Seed by seed, so that a plan cut short leaves the same seeds for every experiment.
        on_sample: Whether they run on the built-in sample.
        stand_in_for: Why the sample stands in for the photos that were meant; None where it does
            not, or where it was asked for.
    """

    runs: tuple[PlannedRun, ...]
    on_sample: bool
    stand_in_for: str | None

    @property
    def experiments(self) -> tuple[PlannedRun, ...]:
        """The first run of each experiment, which stands for its other seeds."""
        return tuple({run.key: run for run in reversed(self.runs)}.values())[::-1]


def make(
    entries: Sequence[Entry],
    *,
    seeds: Sequence[int] | None = None,
    sample: bool = False,
    real: bool = False,
) -> Plan:
    """Read the configs and decide what runs on which photos, once for the whole plan.

    Args:
        entries: The experiments; a config may stand among them with several settings.
        seeds: Seeds for each experiment; None: the one it states.
        sample: Whether the built-in sample was asked for.
        real: Whether it was forbidden.

    Raises:
        UserError: A config is wrong, or what it names cannot be had.
    """
    loaded = [_load(entry, sample=sample) for entry in entries]
    reason = None if sample else unavailable(loaded)
    if reason is not None:
        _check_stand_in_allowed(loaded, reason, real=real)
        loaded = [_load(entry, sample=True) for entry in entries]
    on_sample = all(one.experiment.data.source == "sample" for one in loaded)
    if real and on_sample:
        raise UserError("--real forbids the built-in sample, and data.source is 'sample'")
    experiments = [
        planned_run(one, entry.config) for entry, one in zip(entries, loaded, strict=True)
    ]
    _check_told_apart(experiments)
    runs = [
        replace(one, experiment=with_seed(one.experiment, seed))
        for seed in (seeds if seeds is not None else [None])
        for one in experiments
    ]
    return Plan(tuple(runs), on_sample=on_sample, stand_in_for=reason)


def planned_run(loaded: Loaded, config: Path, *, name: str | None = None) -> PlannedRun:
    """The run of a configuration with the seed it states.

    Args:
        loaded: The configuration.
        config: Its file.
        name: The run's name, where it has one already.
    """
    experiment = loaded.experiment
    prefix = "sample-" if experiment.data.source == "sample" else ""
    return PlannedRun(
        name=name or prefix + experiment.name,
        experiment=experiment,
        identity=experiment_hash(experiment, fingerprints(experiment)),
        config=config,
        origins=loaded.origins,
    )


def _load(entry: Entry, *, sample: bool) -> Loaded:
    return load(entry.config, entry.settings, sample=sample, import_own=True)


def with_seed(experiment: Experiment, seed: int | None) -> Experiment:
    """The experiment with another seed; None keeps its own."""
    if seed is None:
        return experiment
    training = experiment.training.model_copy(update={"seed": seed})
    return experiment.model_copy(update={"training": training})


def unavailable(loaded: Sequence[Loaded]) -> str | None:
    """Why public photos or weights that are meant cannot be had; None where they can.

    Only what was never obtained from a host that does not answer counts; the two are looked for at
    the same time, within seconds.

    Raises:
        UserError: The weights are missing and the photos are the person's own, so that the sample
            is no answer; or a cached file has the wrong checksum.
    """
    experiments = [one.experiment for one in loaded]
    public = any(experiment.data.source == PUBLIC for experiment in experiments)
    own = any(experiment.data.source not in (PUBLIC, SAMPLE) for experiment in experiments)
    published = {one.model.network for one in experiments if one.model.weights == "imagenet"}
    with ThreadPoolExecutor() as pool:
        photos = pool.submit(_public_photos_missing) if public else None
        network = pool.submit(_published_weights_missing, published) if published else None
        photos_missing = photos is not None and photos.result()
        weights_missing = network.result() if network else None
    if weights_missing is not None and (own or not public):
        raise weights_missing
    what = [
        name
        for name, missing in (
            (f"the public photos ({PUBLIC})", photos_missing),
            ("the ImageNet weights", weights_missing is not None),
        )
        if missing
    ]
    if not what:
        return None
    return f"{' and '.join(what)} were never downloaded, and their host cannot be reached"


def _public_photos_missing() -> bool:
    return cats_vs_dogs.out_of_reach(LOOK_FOR_SECONDS)


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
