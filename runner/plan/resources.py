"""Everything a plan needs before its first run: device, photos, weights.

All of it is checked here, so that a mistake in the last config is found before the first run's
hours.
"""

import functools
import hashlib
import importlib.util
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optrun.data.cache import prepare as data_prepare
from optrun.data.photos import Photos
from optrun.data.printable import printable
from optrun.data.split import Split, split
from optrun.runner import provenance
from optrun.runner.config.schema import Data, Experiment
from optrun.runner.datasets.preparation import obtain
from optrun.runner.engine import hardware as machines
from optrun.runner.engine.hardware import Machine
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.models import weights
from optrun.runner.models.base import build_classifier, convolutions
from optrun.runner.plan import memory
from optrun.runner.plan.forecast import check_room
from optrun.runner.plan.plan import Plan
from optrun.runner.ui.console import Display
from optrun.runner.ui.wording import number_of
from optrun.runner.user_optimizer import try_out

MachineKey = tuple[str, bool | str]
PhotoKey = tuple[str, int, str, bool, int | None, float, float]


@dataclass(frozen=True)
class Materials:
    """What the runs of a plan share.

    Attributes:
        machines: By precision and XLA setting as configured; `auto` is resolved in them.
        photos: Photos and their split, by what decides them.
        weights_files: By `model.weights`; None for random weights.
        weights_hashes: SHA-256 of those files; "random" for random weights.
        provenance: By config file's folder.
    """

    machines: dict[MachineKey, Machine]
    photos: dict[PhotoKey, tuple[Photos, Split]]
    weights_files: dict[str, Path | None]
    weights_hashes: dict[str, str]
    provenance: dict[Path, dict[str, object]]

    def machine_of(self, experiment: Experiment) -> Machine:
        return self.machines[experiment.training.precision, experiment.training.jit_compile]

    def photos_of(self, experiment: Experiment) -> tuple[Photos, Split]:
        return self.photos[photo_key(experiment)]

    def cover(self, experiment: Experiment) -> bool:
        """Whether all that a run of the experiment needs is here."""
        training = experiment.training
        return (
            (training.precision, training.jit_compile) in self.machines
            and photo_key(experiment) in self.photos
            and experiment.model.weights in self.weights_files
        )


def prepare(
    plan: Plan,
    *,
    device: str,
    display: Display,
    results: Path | None = None,
    present_bytes: int = 0,
) -> Materials:
    """Get everything, and check that every experiment fits it.

    Args:
        plan: The runs.
        device: "auto", "cpu" or "gpu".
        display: Told what was found.
        results: Where the runs will be written; None where they are there already.
        present_bytes: What is there already of those that are gone on with.

    Raises:
        UserError: No GPU, no photos, no weights, no room on the disk, a batch larger than the
            training split, an own optimizer that cannot be made.
    """
    experiments = [run.experiment for run in plan.runs]
    _check_tensorboard(experiments)
    deterministic = _is_deterministic(experiments)
    settings: set[MachineKey] = {
        (e.training.precision, e.training.jit_compile) for e in experiments
    }
    machine_of = {
        key: machines.prepare(
            device, precision=key[0], jit_compile=key[1], deterministic=deterministic
        )
        for key in sorted(settings, key=str)
    }
    for run in {run.config: run for run in plan.runs}.values():
        try_out(run.experiment, run.origins)
    if results is not None:
        display.say(f"disk      {check_room(plan, results, present_bytes=present_bytes)}")
    files: dict[str, Path | None] = {}
    hashes: dict[str, str] = {}
    for name in dict.fromkeys(experiment.model.weights for experiment in experiments):
        files[name] = None if name == "random" else weights.obtain(name)
        hashes[name] = _file_hash(files[name])
    for experiment in _distinct_models(experiments):
        _check_weights_fit(experiment, files[experiment.model.weights])
    photos: dict[PhotoKey, tuple[Photos, Split]] = {}
    for experiment in experiments:
        key = photo_key(experiment)
        if key not in photos:
            photos[key] = prepare_photos(experiment, display)
        _check_fits(experiment, photos[key][1])
    _describe(photos, machine_of, display)
    for text in _short_memory(experiments, machine_of):
        display.notice(text)
    return Materials(
        machines=machine_of,
        photos=photos,
        weights_files=files,
        weights_hashes=hashes,
        provenance={
            folder: provenance.collect(folder)
            for folder in {run.config.absolute().parent for run in plan.runs}
        },
    )


def _is_deterministic(experiments: Sequence[Experiment]) -> bool:
    """Whether TensorFlow must be deterministic, which it is for a whole process and for good."""
    names = {one.training.deterministic: one.name for one in experiments}
    if len(names) > 1:
        raise UserError(
            f"training.deterministic is true in {names[True]} and false in {names[False]}, and one "
            "process can only be one or the other. Train them by a command each, or set it for "
            "all: --set training.deterministic=true"
        )
    return True in names


def _short_memory(
    experiments: Sequence[Experiment], machine_of: dict[MachineKey, Machine]
) -> list[str]:
    """What to say of experiments that may need more memory than the processor has left.

    How much a graphics card has, TensorFlow does not say.
    """
    machines_of = [
        (one, machine_of[one.training.precision, one.training.jit_compile]) for one in experiments
    ]
    return memory.notices(
        [(one, machine.precision) for one, machine in machines_of if machine.device == "cpu"]
    )


def photo_key(experiment: Experiment) -> PhotoKey:
    """What decides an experiment's photos and their split."""
    data = experiment.data
    return (
        data.source,
        data.image_size,
        data.resize,
        data.antialias,
        data.limit,
        data.validation_share,
        data.test_share,
    )


def prepare_photos(experiment: Experiment, display: Display) -> tuple[Photos, Split]:
    """An experiment's photos, prepared now where they are not yet, and their split.

    Raises:
        UserError: They cannot be had, or a part would be empty.
    """
    settings = experiment.data
    photos = decoded(settings.source, settings, display, limit=settings.limit)
    with photo_errors():
        parts = split(
            photos,
            validation_share=settings.validation_share,
            test_share=settings.test_share,
        )
    return photos, parts


def decoded(source: str, settings: Data, display: Display, *, limit: int | None = None) -> Photos:
    """The photos of a source, made ready as an experiment's are, now where they are not yet.

    Args:
        source: As `data.source` takes it.
        settings: What is done to them.
        display: Shows how far decoding is.
        limit: As `data.limit`.

    Raises:
        UserError: They cannot be had.
    """
    with photo_errors():
        try:
            return data_prepare.prepare(
                source,
                image_size=settings.image_size,
                resize=settings.resize,
                antialias=settings.antialias,
                limit=limit,
                progress=display.photos_prepared,
                obtain=functools.partial(obtain, display.console, quiet=display.quiet),
            )
        finally:
            display.end_bar()


def _check_fits(experiment: Experiment, parts: Split) -> None:
    batch_size = experiment.training.batch_size
    if batch_size > len(parts.train):
        raise UserError(
            f"training.batch_size must be at most the number of training photos, "
            f"{len(parts.train):,}, received {batch_size:,} (in {experiment.name})"
        )


def _check_weights_fit(experiment: Experiment, file: Path | None) -> None:
    if file is None:
        return
    from optrun.runner.models.build import architecture_of

    model = build_classifier(architecture_of(experiment), seed=0)
    shapes = {layer.name: tuple(layer.kernel.shape) for layer in convolutions(model)}
    weights.read_convolutions(file, shapes)


def _distinct_models(experiments: Sequence[Experiment]) -> list[Experiment]:
    return list({(e.model.weights, e.model.width): e for e in experiments}.values())


def _check_tensorboard(experiments: Sequence[Experiment]) -> None:
    wanted = any(experiment.training.tensorboard for experiment in experiments)
    if wanted and importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "training.tensorboard needs the package tensorboard, which is not installed: "
            "pip install 'optrun[tensorboard]'"
        )


def _file_hash(path: Path | None) -> str:
    if path is None:
        return "random"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _describe(
    photos: dict[PhotoKey, tuple[Photos, Split]],
    machine_of: dict[MachineKey, Machine],
    display: Display,
) -> None:
    for found, parts in photos.values():
        size = found.pixels.shape[1]
        display.say(
            f"photos    {len(found.labels):,} of {size} x {size} px from {found.source}, "
            f"{int(np.sum(found.labels)):,} of them dogs"
        )
        display.say(
            f"          {len(parts.train):,} for training, {len(parts.validation):,} for "
            f"validation, {len(parts.test):,} for the test"
        )
        for line in _left_out_lines(found, parts):
            display.notice(line)
    for machine in machine_of.values():
        threads = f", {machine.threads} threads" if machine.device == "cpu" else ""
        display.say(f"machine   {machine.device_name}{threads}, {machine.precision}")


def _left_out_lines(photos: Photos, parts: Split) -> list[str]:
    """What a person should know of photos that no part has, a line for each kind."""
    lines = []
    if photos.left_out:
        reasons = Counter(reason for _, reason in photos.left_out)
        told = [f"{reason} ({count:,})" for reason, count in reasons.most_common(3)]
        others = len(photos.left_out) - sum(count for _, count in reasons.most_common(3))
        if others:
            told.append(f"other reasons ({others:,})")
        lines.append(f"{number_of(len(photos.left_out), 'file')} left out: {', '.join(told)}")
    if parts.dropped:
        copy, kept = parts.dropped[0]
        lines.append(
            f"{number_of(len(parts.dropped), 'photo')} dropped, the same as one in another part "
            f"(the first: {printable(copy)}, a copy of {printable(kept)})"
        )
    return lines
