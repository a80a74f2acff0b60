"""From config files and seeds to the list of runs, decided before anything is trained."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from optrun.data.sources import cats_vs_dogs
from optrun.data.sources.registry import PUBLIC, SAMPLE
from optrun.runner.config.load import Loaded, load
from optrun.runner.config.schema import Experiment
from optrun.runner.errors import UserError
from optrun.runner.models import weights

LOOK_FOR_SECONDS = 3.0


@dataclass(frozen=True)
class PlannedRun:
    """One experiment with one seed.

    Attributes:
        name: The run's name; `sample-` stands before the experiment's where the photos are drawn.
        experiment: What to do, its seed chosen.
        config: The file it comes from.
        origins: Where each value of the experiment comes from, as `load` says.
    """

    name: str
    experiment: Experiment
    config: Path
    origins: Mapping[tuple[str, ...], str]


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


def make(
    configs: Sequence[Path],
    overrides: Sequence[str],
    *,
    seeds: Sequence[int] | None,
    sample: bool,
    real: bool,
) -> Plan:
    """Read the configs and decide what runs on which photos, once for the whole plan.

    Args:
        configs: Experiment files.
        overrides: `KEY=VALUE` for each.
        seeds: Seeds for each experiment; None: the one it states.
        sample: Whether the built-in sample was asked for.
        real: Whether it was forbidden.

    Raises:
        UserError: A config is wrong, or what it names cannot be had.
    """
    loaded = [load(config, overrides, sample=sample, import_own=True) for config in configs]
    _check_names(configs, loaded)
    reason = None
    if not sample:
        reason = unavailable(loaded)
    if reason is not None:
        _check_stand_in_allowed(loaded, reason, real=real)
        loaded = [load(config, overrides, sample=True, import_own=True) for config in configs]
    on_sample = all(one.experiment.data.source == "sample" for one in loaded)
    if real and on_sample:
        raise UserError("--real forbids the built-in sample, and data.source is 'sample'")
    runs = [
        PlannedRun(
            name=("sample-" if one.experiment.data.source == "sample" else "")
            + one.experiment.name,
            experiment=with_seed(one.experiment, seed),
            config=config,
            origins=one.origins,
        )
        for seed in (seeds if seeds is not None else [None])
        for config, one in zip(configs, loaded, strict=True)
    ]
    return Plan(tuple(runs), on_sample=on_sample, stand_in_for=reason)


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
    published = any(experiment.model.weights == "imagenet" for experiment in experiments)
    with ThreadPoolExecutor() as pool:
        photos = pool.submit(_public_photos_missing) if public else None
        network = pool.submit(_published_weights_missing) if published else None
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


def _published_weights_missing() -> weights.WeightsUnavailable | None:
    try:
        weights.locate("imagenet")
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


def _check_names(configs: Sequence[Path], loaded: Sequence[Loaded]) -> None:
    """Two experiments of one name could not be told apart in results/."""
    first: dict[str, Path] = {}
    for config, one in zip(configs, loaded, strict=True):
        name = one.experiment.name
        if name in first and first[name] != config:
            raise UserError(
                f"{config} and {first[name]} both have the name {name!r}, and their runs could "
                "not be told apart. Give one of them another `name:`"
            )
        if name in first:
            raise UserError(f"{config} is given twice; name seeds instead: --seeds 2")
        first[name] = config
