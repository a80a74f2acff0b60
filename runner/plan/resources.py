"""Everything a plan needs before its first run: photos, weights, room.

All of it is checked here, so that a mistake in the last config is found before hours of training.
"""

import functools
import importlib.util
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optrun.data.cache import prepare as data_prepare
from optrun.data.files import sha256_of
from optrun.data.labels import PLURAL_NAMES
from optrun.data.photos import Photos
from optrun.data.printable import printable
from optrun.data.split import Split, split
from optrun.runner import provenance
from optrun.runner.config.schema import Data, Experiment, architecture_of
from optrun.runner.datasets.preparation import obtain, remarks
from optrun.runner.engine.hardware import Machine, is_emulated
from optrun.runner.engine.rehearsal import try_out
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.models import weights
from optrun.runner.models.networks import NETWORKS
from optrun.runner.plan import memory
from optrun.runner.plan.forecast import DIVISION, PREPARATION, check_room, check_updates
from optrun.runner.plan.plan import PlannedRun, RunSpec, first_of_each
from optrun.runner.ui.console import Display
from optrun.runner.ui.wording import number_of


@dataclass(frozen=True)
class Resources:
    """What the runs of a plan share."""

    photos: dict[tuple[object, ...], tuple[Photos, Split]]
    weights: dict[tuple[str, str], tuple[Path | None, str]]  # as a `RunSpec` has them
    provenance: dict[Path, dict[str, object]]  # by the config file's folder

    def photos_of(self, experiment: Experiment) -> tuple[Photos, Split]:
        return self.photos[_photo_key(experiment)]

    def spec(
        self, run: PlannedRun, machine: Machine, results: Path, folder: Path | None
    ) -> RunSpec:
        weights_file, weights_hash = self.weights[_weights_key(run.experiment)]
        return RunSpec(
            planned=run,
            results=results,
            folder=folder,
            machine=machine,
            weights_file=weights_file,
            weights_hash=weights_hash,
            provenance=self.provenance[run.config.absolute().parent],
        )


def prepare(
    runs: Sequence[tuple[PlannedRun, Machine]],
    *,
    display: Display,
    results: Path | None = None,
    present_bytes: int = 0,
) -> Resources:
    """Get everything, and check that every experiment fits it.

    `results` is where the runs will be written, None where they are there already;
    `present_bytes` are there already, of those that are gone on with.
    """
    planned = [run for run, _ in runs]
    firsts = first_of_each(planned)
    experiments = [run.experiment for run in firsts]
    wants_tensorboard = any(experiment.training.tensorboard for experiment in experiments)
    if wants_tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "training.tensorboard needs the package tensorboard, which is not installed: "
            "pip install 'optrun[tensorboard]'"
        )
    for run in firsts:
        try_out(run.experiment, run.origins)
    if results is not None:
        display.say(f"disk      {check_room(planned, results, present_bytes=present_bytes)}")
    files: dict[tuple[str, str], Path | None] = {}
    for network, name in dict.fromkeys(map(_weights_key, experiments)):
        published = NETWORKS[network].published
        files[network, name] = None if name == "random" else weights.obtain(name, published)
    for experiment in {(*_weights_key(one), one.model.width): one for one in experiments}.values():
        file, put_in = files[_weights_key(experiment)], NETWORKS[experiment.model.network].put_in
        if file is not None and put_in is not None:
            from optrun.runner.engine.network import build_classifier

            model = build_classifier(architecture_of(experiment), seed=0)
            put_in(model, file)
            weights.require_finite(model, file)
    photos: dict[tuple[object, ...], tuple[Photos, Split]] = {}
    for experiment in experiments:
        key = _photo_key(experiment)
        if key not in photos:
            photos[key] = open_photos(experiment, display)
        batch_size, training = experiment.training.batch_size, len(photos[key][1].train)
        if batch_size > training:
            raise UserError(
                f"training.batch_size must be at most the number of training photos, "
                f"{training:,}, received {batch_size:,} (in {experiment.name})"
            )
    for run in firsts:
        training_photos = len(photos[_photo_key(run.experiment)][1].train)
        for line in check_updates(run, training_photos):
            display.notice(line)
    limits = {_photo_key(one): one.data.limit for one in experiments}
    seen = [(*photos[key], limit) for key, limit in limits.items()]
    _describe(seen, dict.fromkeys(machine for _, machine in runs), display)
    # How much a graphics card has, TensorFlow does not say.
    on_cpu = {run.key: (run.experiment, one.precision) for run, one in runs if one.device == "cpu"}
    for text in memory.notices(on_cpu.values()):
        display.notice(text)
    return Resources(
        photos=photos,
        weights={
            key: (file, "random" if file is None else sha256_of(file))
            for key, file in files.items()
        },
        provenance={
            folder: provenance.collect(folder)
            for folder in {run.config.absolute().parent for run in planned}
        },
    )


def _weights_key(experiment: Experiment) -> tuple[str, str]:
    return experiment.model.network, experiment.model.weights


def _photo_key(experiment: Experiment) -> tuple[object, ...]:
    return tuple(experiment.data.model_dump(include=PREPARATION | DIVISION).values())


def open_photos(experiment: Experiment, display: Display) -> tuple[Photos, Split]:
    """An experiment's photos, prepared now where they are not yet, and their split."""
    data = experiment.data
    photos = decoded(data.source, data, display, limit=data.limit)
    with photo_errors():
        return photos, split(photos, **data.model_dump(include=DIVISION))


def decoded(source: str, settings: Data, display: Display, *, limit: int | None = None) -> Photos:
    """The photos of a source, made ready as an experiment's are, now where they are not yet."""
    with photo_errors():
        try:
            return data_prepare.prepare(
                source,
                **settings.model_dump(include={"image_size", "resize", "antialias"}),
                limit=limit,
                progress=display.photos_prepared,
                obtain=functools.partial(obtain, display.console, quiet=display.quiet),
            )
        finally:
            display.end_bar()


def _describe(
    photos: Iterable[tuple[Photos, Split, int | None]],
    machines: Iterable[Machine],
    display: Display,
) -> None:
    for found, parts, limit in photos:
        size = found.pixels.shape[1]
        display.say(
            f"photos    {len(found.labels):,} of {size} x {size} px from {found.source}, "
            f"{int(np.sum(found.labels)):,} of them {PLURAL_NAMES[1]}"
        )
        display.say(
            f"          {len(parts.train):,} for training, {len(parts.validation):,} for "
            f"validation, {len(parts.test):,} for the test"
        )
        positions = {"validation": parts.validation, "test": parts.test}
        for line in (*_left_out_lines(found, parts), *remarks(found, limit, parts=positions)):
            display.notice(line)
    for machine in machines:
        threads = f", {machine.threads} threads" if machine.device == "cpu" else ""
        display.say(f"machine   {machine.device_name}{threads}, {machine.precision}")
        if is_emulated(machine):
            display.notice(
                f"this processor does not compute {machine.precision} natively: it is trained "
                "several times slower than in float32"
            )


def _left_out_lines(photos: Photos, parts: Split) -> list[str]:
    """What a person should know of photos that no part has, a line for each kind."""
    lines = []
    if photos.left_out:
        most = Counter(reason for _, reason in photos.left_out).most_common(3)
        told = [f"{reason} ({count:,})" for reason, count in most]
        if others := len(photos.left_out) - sum(count for _, count in most):
            told.append(f"other reasons ({others:,})")
        lines.append(f"{number_of(len(photos.left_out), 'file')} left out: {', '.join(told)}")
    if parts.dropped:
        copy, kept = parts.dropped[0]
        lines.append(
            f"{number_of(len(parts.dropped), 'photo')} dropped, the same as one in another part "
            f"(the first: {printable(copy)}, a copy of {printable(kept)})"
        )
    return lines
