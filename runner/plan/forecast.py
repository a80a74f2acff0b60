"""What a plan takes before it starts: steps, room on the disk, and `optrun train --dry-run`.

Nothing is written, decoded or downloaded, and TensorFlow is loaded only to ask a person's own
optimizer. Photo counts are exact where the photos are prepared already, and expected shares
otherwise, which is said.
"""

import math
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optrun.data.cache import cache_key
from optrun.data.cache.prepare import Count, count
from optrun.data.exceptions import PhotoError
from optrun.data.feed.batches import batches_per_epoch
from optrun.optimizers.registry import SCHEDULES
from optrun.optimizers.specification import Specification
from optrun.runner.config.problems import ConfigurationError, Place, Problem, dotted
from optrun.runner.config.schema import Experiment, architecture_of, as_mapping
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.models.networks import weight_shapes
from optrun.runner.plan import memory
from optrun.runner.plan.memory import BYTES_PER_WEIGHT
from optrun.runner.plan.plan import Plan, PlannedRun, first_of_each
from optrun.runner.runs.record import TUNING, flatten
from optrun.runner.ui.wording import number_of, size
from optrun.runner.untrusted import mapping
from optrun.runner.verdict import fairness
from optrun.runner.verdict.baseline import Described, baseline_of
from optrun.runner.verdict.conclusions import ALPHA
from optrun.runner.verdict.permutation import fewest_pairs
from optrun.runner.verdict.sentences import too_few

# The keys of `data` that decide which photos are prepared, and how they are divided.
PREPARATION = {"source", "image_size", "resize", "antialias", "limit"}
DIVISION = {"validation_share", "test_share"}

_BYTES_PER_ARRAY = 500  # two headers, an entry of the archive's directory, a line of the manifest
_BYTES_PER_EPOCH = 1_000  # its scores, in a checkpoint's manifest and in metrics.jsonl
_SMALL_FILES_BYTES = 2_000_000  # configuration, provenance with a diff of limited size, the log
_BYTES_PER_PHOTO = 66  # two digests, its label and its part
_BYTES_PER_PREDICTION = 250  # a photo's id (in UTF-32), its label and its logit
# Beyond the estimate: what other programs may write meanwhile, and what a full block takes.
SPARE_BYTES = 20_000_000


@dataclass(frozen=True)
class Room:
    """Bytes that one run takes on the disk."""

    last: int  # a checkpoint to go on from: the network, the optimizer, the scores so far
    best: int  # the weights of the best epoch
    others: int  # predictions, scores and small files
    keeps_last: bool = False  # when it is completed

    @property
    def when_completed(self) -> int:
        return self.last * self.keeps_last + self.best + self.others

    @property
    def at_most(self) -> int:
        """While it is trained: `last`, the one before it and the next, `best` and the next."""
        return 3 * self.last + 2 * self.best + self.others


# What one run of each experiment takes, by `PlannedRun.key`.
_Costs = Mapping[tuple[str, str], tuple[Count, Room]]


def forecast(plan: Plan, results: Path) -> str:
    costs, firsts = _costs_of(plan.runs), first_of_each(plan.runs)
    lines = [f"{number_of(len(plan.runs), 'run')}, one after another, into {results}/"]
    if plan.stand_in_for is not None:
        lines.append(f"on the built-in sample, because {plan.stand_in_for}")
    elif plan.on_sample:
        lines.append("on the built-in sample")
    for first in firsts:
        runs = [run for run in plan.runs if run.key == first.key]
        experiment, (counted, room) = first.experiment, costs[first.key]
        optimizer, training = experiment.optimizer, experiment.training
        steps, updates = _steps_and_updates(experiment, counted.training)
        gradients = steps * training.epochs * optimizer.gradient_evaluations
        side, about = experiment.data.image_size, "" if counted.exact else "about "
        seeds = f"seed{'s' if len(runs) > 1 else ''} {', '.join(str(run.seed) for run in runs)}"
        each = " each" if len(runs) > 1 else ""
        lines += [
            "",
            f"{first.name}   {number_of(len(runs), 'run')}, {seeds}",
            f"  optimizer             {optimizer.description}",
            f"  photos                {about}{counted.photos:,} of {side} x {side} px, "
            f"{about}{counted.training:,} for training",
            f"  epochs                {training.epochs}",
            f"  optimizer steps       {about}{updates:,}{each}",
            f"  gradient evaluations  {about}{gradients:,}{each}, of {training.batch_size} photos",
            f"  disk                  {size(room.at_most)} at most{each}, "
            f"{size(room.when_completed)} when it is completed",
            f"  memory                {memory.described(experiment)}",
        ]
    lines += ["", *_differences([run.experiment for run in firsts])]
    lines.append(f"Disk in all: {room_line(_rooms(plan.runs, costs), results)}")
    if caches := _bytes_to_prepare(plan.runs, costs):
        lines.append(f"Photos still to be prepared: {size(caches)}")
    for run in firsts:
        try:
            notes = check_updates(run, costs[run.key][0].training)
            lines += [f"note: {one}" for one in notes]
        except ConfigurationError as error:
            lines.append(f"It would not be started: {error}")
    lines += [f"note: {one}" for one in _fairness(plan.runs, costs)]
    if len(firsts) > 1 and not any(run.provenance for run in firsts):  # trials conclude nothing
        lines.append(_conclusive(plan.runs, comparisons=len(firsts) - 1))
    if short := _shortage(plan.runs, costs, results):
        lines.append(f"It would not be started: {short}")
    return "\n".join(lines)


def _fairness(runs: Sequence[PlannedRun], costs: _Costs) -> Iterator[str]:
    """What stands in the way of a fair comparison; of an experiment's trials one is enough."""
    by_name = {run.name: run for run in reversed(first_of_each(runs))}
    setups = []
    for name, run in reversed(by_name.items()):
        tuning, rule = mapping(run.provenance.get(TUNING)), run.experiment.optimizer
        steps, _ = _steps_and_updates(run.experiment, costs[run.key][0].training)
        photos = costs[run.key][0].training * run.experiment.training.epochs
        setup = fairness.Setup(
            label=name,
            specification=rule.as_mapping(),
            steps_per_epoch=steps,
            photo_gradients=photos * rule.gradient_evaluations,
            chosen=mapping(tuning.get("settings")),
            tuning_seeds=len({one.seed for one in runs if one.name == name}),
        )
        setups.append(setup)
    described = {
        name: Described((run.experiment.optimizer.name,), run.experiment.optimizer.description)
        for name, run in by_name.items()
    }
    return fairness.notes(setups, baseline_of(described))


def _conclusive(runs: Sequence[PlannedRun], *, comparisons: int) -> str:
    """Whether so many seeds can ever show a difference, however large."""
    seeds = min(Counter(run.key for run in runs).values())
    needed = fewest_pairs(ALPHA / comparisons)
    if seeds < needed:
        return too_few(f"{number_of(seeds, 'seed')} each", needed, comparisons)
    many = f" in {comparisons} comparisons" if comparisons > 1 else ""
    return f"{number_of(seeds, 'seed')} each can show a difference{many}; {needed} are the fewest"


def check_room(runs: Sequence[PlannedRun], results: Path, *, present_bytes: int = 0) -> str:
    """What runs take and what is free; a `UserError` where the disk has no room for them.

    To be called when the device is chosen, since a person's own optimizer is made for it.
    `present_bytes` are there already, of those that are gone on with.
    """
    costs = _costs_of(runs)
    if short := _shortage(runs, costs, results, present_bytes=present_bytes):
        raise UserError(f"{short}. Nothing was started")
    return room_line(_rooms(runs, costs), results)


def check_updates(run: PlannedRun, training_photos: int) -> list[str]:
    """What a person should know of an optimizer that counts updates; raises where it can't train.

    Raises:
        ConfigurationError: A warm-up leaves no update.
    """
    experiment, rule = run.experiment, run.experiment.optimizer
    steps, updates = _steps_and_updates(experiment, training_photos)
    problems = []
    for keys, warmup in rule.warmups():
        if warmup >= updates:
            path = ("optimizer", *keys)
            place = Place(run.origins.get(path, "optimizer"))
            problems.append(
                Problem(
                    place,
                    f"{dotted(path)} must be less than the {number_of(updates, 'update')} of the "
                    f"training, or its rate is never reached; received {warmup:,}",
                )
            )
    if problems:
        raise ConfigurationError(problems)
    in_epoch = rule.updates(batches_per_epoch=steps, epochs=1)
    notes = []
    for period in rule.sync_periods:
        of = f"syncs after every {period:,}"
        if period > updates:
            notes.append(
                f"{experiment.name} has {number_of(updates, 'update')} and {of}: the weights that "
                "are evaluated stay the initial ones"
            )
        elif period > in_epoch:
            notes.append(
                f"an epoch of {experiment.name} has {number_of(in_epoch, 'update')}, and it {of}: "
                "until then the weights that are evaluated are the initial ones"
            )
    return notes


def check_where_counted(run: PlannedRun) -> list[str]:
    """The same for photos that are there, or whose number is known; of others, nothing is."""
    try:
        counted = count(**run.experiment.data.model_dump(include=PREPARATION | DIVISION))
    except PhotoError:
        return []
    return check_updates(run, counted.training)


def photos_that_test(run: PlannedRun) -> int:
    """How many photos test a run, about."""
    data = run.experiment.data
    with photo_errors():
        counted = count(**data.model_dump(include=PREPARATION | DIVISION))
    return round(counted.photos * data.test_share)


def _steps_and_updates(experiment: Experiment, training_photos: int) -> tuple[int, int]:
    """Steps of an epoch, and updates of the whole training."""
    training = experiment.training
    steps = batches_per_epoch(training_photos, training.batch_size)
    return steps, experiment.optimizer.updates(batches_per_epoch=steps, epochs=training.epochs)


def _shortage(
    runs: Sequence[PlannedRun], costs: _Costs, results: Path, *, present_bytes: int = 0
) -> str | None:
    shared = _existing(results).stat().st_dev == _existing(cache_key.directory()).stat().st_dev
    cache_bytes = _bytes_to_prepare(runs, costs) if shared else 0
    rooms = _rooms(runs, costs)
    return shortage(rooms, results, cache_bytes=cache_bytes, present_bytes=present_bytes)


def _costs_of(runs: Sequence[PlannedRun]) -> _Costs:
    costs = {}
    for run in first_of_each(runs):  # the seeds cost the same, and counting photos takes time
        with photo_errors():
            counted = count(**run.experiment.data.model_dump(include=PREPARATION | DIVISION))
        evaluated = counted.photos - counted.training
        costs[run.key] = (
            counted,
            room_of(run.experiment, photos=counted.photos, evaluated_photos=evaluated),
        )
    return costs


def _rooms(runs: Sequence[PlannedRun], costs: _Costs) -> list[Room]:
    return [costs[run.key][1] for run in runs]


def _bytes_to_prepare(runs: Sequence[PlannedRun], costs: _Costs) -> int:
    """What preparing the photos of runs has yet to write; those that they share count once."""
    missing = {
        tuple(run.experiment.data.model_dump(include=PREPARATION).values()): costs[run.key][0]
        for run in runs
    }
    return sum(counted.bytes_to_write for counted in missing.values())


def _differences(experiments: Sequence[Experiment]) -> list[str]:
    """The settings that are not the same in all experiments, one a line."""
    if len(experiments) < 2:
        return []
    flat = [
        flatten(as_mapping(one) | {"optimizer": fairness.beside(one.optimizer.as_mapping())})
        for one in experiments
    ]
    defaults = [_silent_defaults(one.optimizer) for one in experiments]
    lines = ["What differs between them:"]
    for key in dict.fromkeys(key for one in flat for key in one):
        values = ["-" if one.get(key) is None else one[key] for one in flat]
        ignored = key.split(".")[0] in ("name", "notes", "sample") or key == "training.seed"
        # What only some have goes without saying where it is their default, the same for all.
        there = [
            (one[key], key in silent)
            for one, silent in zip(flat, defaults, strict=True)
            if key in one
        ]
        is_silent = all(silent and value == there[0][0] for value, silent in there)
        if not ignored and not is_silent and any(value != values[0] for value in values):
            lines.append(f"  {key}: " + " | ".join(str(value) for value in values))
    return [*lines, ""]


def _silent_defaults(rule: Specification) -> set[str]:
    """Settings that are as if they were not stated, but for those that define an optimizer."""
    found = set()
    for one in rule.chain():
        for argument in one.entry.arguments:
            value = one.arguments[argument.name]
            if value == argument.default and not argument.label:
                found.add(f"optimizer.{argument.name}")
            if argument.kind == "learning_rate" and isinstance(value, Mapping):
                found |= {
                    f"optimizer.{argument.name}.{setting.name}"
                    for setting in SCHEDULES[value["schedule"]].arguments
                    if value[setting.name] == setting.default
                }
    return found


def room_of(experiment: Experiment, *, photos: int, evaluated_photos: int) -> Room:
    """What a run takes with so many photos, some of them evaluated; nothing is built."""
    architecture = architecture_of(experiment)
    weights = weight_shapes(architecture)
    network = sum(map(math.prod, weights))
    trained = weight_shapes(architecture, trained=True)
    optimizer = experiment.optimizer.state_floats(trained, track_fast_weights=True)
    # The copies of small networks are small, and their headers are not.
    arrays_of_optimizer = math.ceil(optimizer / network * len(weights)) + 10
    scores = _BYTES_PER_EPOCH * experiment.training.epochs
    best = BYTES_PER_WEIGHT * network + _BYTES_PER_ARRAY * (len(weights) + 10)
    state = BYTES_PER_WEIGHT * (optimizer + evaluated_photos)
    return Room(
        keeps_last=experiment.training.keep_last_checkpoint,
        last=best + state + _BYTES_PER_ARRAY * arrays_of_optimizer + scores,
        best=best,
        others=_SMALL_FILES_BYTES
        + scores
        + _BYTES_PER_PHOTO * photos
        + _BYTES_PER_PREDICTION * evaluated_photos,
    )


def at_most(rooms: Sequence[Room]) -> int:
    """Bytes that runs take, one after another: what stays, and what comes on top of it."""
    on_top = max(one.at_most - one.when_completed for one in rooms)
    return sum(one.when_completed for one in rooms) + on_top


def room_line(rooms: Sequence[Room], results: Path) -> str:
    """What runs take at most and what is free, in a line."""
    free = free_bytes(results)
    beside = "" if free is None else f", {size(free)} free there"
    return f"{size(at_most(rooms))} at most in {results}{beside}"


def shortage(
    rooms: Sequence[Room], results: Path, *, cache_bytes: int = 0, present_bytes: int = 0
) -> str | None:
    """Why the disk has no room for runs, and what to do about it; None where it has.

    `cache_bytes` are of photos to be prepared on the same disk.
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
    usage = shutil.disk_usage(_existing(folder))
    return usage.free if usage.total else None


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
