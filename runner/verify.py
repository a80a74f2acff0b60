"""`optrun verify`: proves on this machine that a resumed run is the uninterrupted one.

A run is trained whole, and once more with SIGKILL at random moments, resumed each time; then the
two are compared, bit for bit. Each training is a process of its own that tells what it does, a line
of JSON for each event.
"""

import contextlib
import hashlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from optrun.data.places import cache_root
from optrun.runner.config.load import load
from optrun.runner.config.schema import Experiment
from optrun.runner.engine import checkpoint
from optrun.runner.engine.checkpoint import CheckpointError
from optrun.runner.engine.signals import Interrupted, signals_heard
from optrun.runner.errors import UserError, tell
from optrun.runner.events import EpochRecord, Listener, RunStarted, StepDone
from optrun.runner.events import Event as RunEvent
from optrun.runner.models.networks import title_of
from optrun.runner.plan import plan as plans
from optrun.runner.plan.executor import Request, ResumeRequest, execute, resume
from optrun.runner.plan.plan import Entry, Plan
from optrun.runner.runs import checkpoint_places as places
from optrun.runner.runs.record import RunStatus
from optrun.runner.ui.console import live_line
from optrun.runner.ui.table import Column, Line, row_lines
from optrun.runner.ui.text import hanging, is_styled, show, style, terminal_width, widest, wrap
from optrun.runner.ui.wording import duration, number_of
from optrun.runner.untrusted import DamageError, content_of, json_object
from rich.console import Console

_IDENTICAL, _DIFFERENT, _DIVERGED = 0, 1, 3
_INDENT = 10

# Training photos are eight tenths of these, so that an epoch has eight steps at least.
PHOTOS_PER_BATCH = 10
FEWEST_PHOTOS = 160
EPOCHS = 3
CHECKPOINT_MINUTES = 0.01  # so often that runs go on from the middle of an epoch, too

# configs/lookahead_vgg19.yaml on the sample, which needs neither a download nor this repository,
# with chance in all places that have any: order, dropout, augmentation.
BUILT_IN = f"""\
name: verify
data:
  {{source: sample, image_size: 48, limit: 800,
   augmentation: {{flip: true, rotation: 10, shift: 0.1, brightness: 0.1}}}}
model: {{weights: random, width: 0.125, head: {{hidden_units: [16], dropout: 0.5}}}}
training: {{epochs: {EPOCHS}, checkpoint_minutes: {CHECKPOINT_MINUTES}}}
optimizer:
  name: lookahead
  sync_period: 5
  slow_step_size: 0.5
  inner_optimizer:
    {{name: sgd, momentum: 0.9, global_clipnorm: 1,
     learning_rate: {{schedule: cosine, initial_learning_rate: 0.04}}}}
"""

BEGUN, STEP, EPOCH = "run", "step", "epoch"


class Phase(StrEnum):
    """What a training is doing."""

    START = "before its first step"
    TRAINING = "training"
    EVALUATION = "evaluation"
    CHECKPOINT = "writing a checkpoint"
    END = "after the last epoch"


# In this order the kills take turns: few of them shall strike what is most delicate.
TURNS = (Phase.TRAINING, Phase.CHECKPOINT, Phase.EVALUATION, Phase.START)


@dataclass(frozen=True)
class Event:
    """One thing that a training told."""

    kind: str  # BEGUN when a run begins or goes on, STEP after a step, EPOCH after an evaluation
    steps_done: int
    steps_per_epoch: int
    steps: int
    at: float  # seconds of a monotonic clock


class Training:
    """A process that trains; leaving its `with` block ends it. `events` is what it told so far."""

    def __init__(
        self,
        request: Request | ResumeRequest,
        *,
        log: Path,
        cache: Path,
        heard: Callable[[Event], None] = lambda _: None,
        program: Sequence[str] = (sys.executable, "-P", "-m", "optrun.runner.verify"),
    ) -> None:
        """Start it; it shows what it shows in `log` and has its photos in `cache`."""
        self.events: list[Event] = []
        self.started = time.time()
        self.log = log
        with log.open("ab") as shown:
            self._process = subprocess.Popen(
                [*program, json.dumps(asdict(request), default=str)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=shown,
                env={**os.environ, "OPTRUN_CACHE": str(cache)},
                # Ctrl-C is for us alone: what we started, we end.
                start_new_session=True,
            )
        self._listener = threading.Thread(target=self._listen, args=[heard], daemon=True)
        self._listener.start()

    def _listen(self, heard: Callable[[Event], None]) -> None:
        with self._process.stdout or contextlib.nullcontext(()) as lines:
            for line in lines:
                with contextlib.suppress(ValueError, TypeError):  # the kill may have cut it
                    self.events.append(Event(**json.loads(line)))
                    heard(self.events[-1])

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def last(self) -> Event | None:
        return self.events[-1] if self.events else None

    def wait(self) -> int:
        """Wait for its end; returns the exit code, negative for a signal's."""
        # In slices, so that a signal's handler runs in between on every system.
        while self.is_running:
            time.sleep(0.02)
        self._listener.join()
        return self._process.wait()

    def kill(self) -> None:
        """SIGKILL: it gets no chance to do anything more."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
        self._process.wait()
        self._listener.join()

    def last_lines(self, count: int = 12) -> str:
        """The end of what it has shown."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.rstrip().splitlines()[-count:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def carry_out(request: str) -> int:
    """What a training's process does: a `Request` or `ResumeRequest`, as JSON.

    What it shows goes to standard error; standard output gets the events.
    """
    listeners = [_telling(os.dup(1))]
    os.dup2(2, 1)
    fields = json.loads(request)
    try:
        if "runs" in fields:
            return resume(ResumeRequest(**fields), listeners=listeners)
        # Without it a GPU promises no bit-identity; an override of the person's outranks it.
        first = ["training.deterministic=true"] if fields["device"] != "cpu" and _has_gpu() else []
        entries = [
            Entry(Path(one["config"]), [*first, *one["settings"]]) for one in fields.pop("entries")
        ]
        fields["results"] = Path(fields["results"])
        return execute(Request(entries, **fields), listeners=listeners)
    except UserError as error:
        tell(error)
        return error.exit_code


def _telling(descriptor: int) -> Listener:
    """Writes to a descriptor what a training does."""
    per_epoch = epochs = 0

    def hear(event: RunEvent) -> None:
        nonlocal per_epoch, epochs
        if isinstance(event, RunStarted):
            per_epoch, epochs = event.steps_per_epoch, event.epochs
            kind, done = BEGUN, event.steps_done
        elif isinstance(event, StepDone):
            kind, done = STEP, (event.epoch - 1) * per_epoch + event.step
        elif isinstance(event, EpochRecord):
            kind, done = EPOCH, event.epoch * per_epoch
        else:
            return
        told = Event(kind, done, per_epoch, per_epoch * epochs, time.monotonic())
        try:
            os.write(descriptor, json.dumps(asdict(told)).encode() + b"\n")
        except OSError:
            # Whoever asked for this training is gone, killed perhaps: nobody wants it any more.
            os._exit(1)

    return hear


def _has_gpu() -> bool:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


@dataclass(frozen=True)
class Moment:
    """When to kill: `delay_s` after `phase` is seen with at least `step` steps of the run done."""

    phase: Phase
    step: int
    delay_s: float


@dataclass(frozen=True)
class Kill:
    """What a kill struck and what came of it."""

    phase: str  # what the training was doing, in words
    steps_done: int
    steps: int  # of the whole run; 0 where it had not begun
    went_on_from: int | None = None  # None where the next kill came before it went on

    def __str__(self) -> str:
        at = f"step {self.steps_done:,} of {self.steps:,}, " if self.steps else ""
        return at + self.phase


def moments(count: int, events: Sequence[Event], seed: int) -> list[Moment]:
    """So many random moments of a run that told `events`; the phases take turns at random."""
    steps = events[-1].steps
    first_step_s = events[1].at - events[0].at
    step_s = (events[-1].at - events[1].at) / steps
    chance = random.Random(seed)  # noqa: S311 (not for secrets)
    phases = [TURNS[number % len(TURNS)] for number in range(count)]
    chance.shuffle(phases)
    found = []
    for number, phase in enumerate(phases):
        if phase is Phase.START:
            found.append(Moment(phase, 0, chance.uniform(0, first_step_s)))
            continue
        # Each in its own part of the run, and none in the last step.
        first, last = (max(1, steps * part // count) for part in (number, number + 1))
        step = min(chance.randint(first, last), steps - 1)
        found.append(Moment(phase, step, chance.uniform(0, step_s)))
    return found


def strike(training: Training, moment: Moment, results: Path) -> Kill | None:
    """Wait for the moment, and kill; None where the training was over before.

    Where the phase did not come any more, the kill strikes what comes last.
    """
    while training.is_running:
        last, phase = training.last, phase_of(training, results)
        if last is not None and last.steps_done >= moment.step and phase is moment.phase:
            time.sleep(moment.delay_s)
            break
        if phase is Phase.END:
            break
        time.sleep(0.0005)
    return kill(training, results) if training.is_running else None


def kill(training: Training, results: Path) -> Kill:
    """Kill the training; returns what that struck."""
    training.kill()
    last, phase = training.last, phase_of(training, results)
    return Kill(phase, last.steps_done, last.steps) if last else Kill(phase, 0, 0)


def phase_of(training: Training, results: Path) -> Phase:
    """What a training is doing, as what it told last and what lies on its disk show."""
    last = training.last
    if last is None or last.kind == BEGUN:
        return Phase.START
    for run in results.glob("*"):
        for one in (places.last(run), places.best(run)):
            for place in (places.being_written(one), places.being_dropped(one)):
                # An earlier training, killed while it wrote, left its own.
                with contextlib.suppress(OSError):
                    if place.stat().st_mtime >= training.started:
                        return Phase.CHECKPOINT
    if last.kind == STEP and last.steps_done % last.steps_per_epoch == 0:
        return Phase.EVALUATION
    return Phase.END if last.steps_done == last.steps else Phase.TRAINING


Values = Mapping[str, Any]


class _UnreadableError(Exception):
    """A part of a run that is missing or damaged."""


@dataclass(frozen=True)
class Compared:
    """One part of two runs."""

    name: str
    extent: str  # how much of it there is, in words
    hashes: tuple[str | None, str | None]  # SHA-256 in each run; None where it can't be read
    difference: str | None  # the first, in words

    @property
    def is_identical(self) -> bool:
        return self.difference is None


def compare(run: Path, other: Path) -> list[Compared]:
    """Compare all that a training decides in two folders of completed runs; clocks are no part."""
    return [_compared(name, _read(run, name), _read(other, name)) for name in _PARTS]


def _read(run: Path, part: str) -> Values | str:
    """A part of a run; why it can't be read, where it can't."""
    try:
        return _PARTS[part](run)
    except (CheckpointError, DamageError) as error:
        return str(error)
    except (*checkpoint.DAMAGE, _UnreadableError) as error:
        return f"{type(error).__name__.lstrip('_')}: {error}"


def _compared(name: str, values: Values | str, others: Values | str) -> Compared:
    hashes = (_hash(values), _hash(others))
    if isinstance(values, str):
        return Compared(name, "", hashes, f"can't be read in the first: {values}")
    if isinstance(others, str):
        return Compared(name, "", hashes, f"can't be read in the second: {others}")
    sizes = (one.size if isinstance(one, np.ndarray) else 1 for one in values.values())
    differences = (_difference(label, values, others) for label in {**values, **others})
    first = next(filter(None, differences), None)
    return Compared(name, number_of(sum(sizes), "value"), hashes, first)


def _difference(label: str, values: Values, others: Values) -> str | None:
    """How a value differs in two mappings; None where it is the same in every bit."""
    if label not in others or label not in values:
        return f"{label}: only in the {'first' if label in values else 'second'}"
    one, two = values[label], others[label]
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        told = _array_difference(one, two)
    else:
        told = None if json.dumps(one) == json.dumps(two) else f"{one} against {two}"
    return told and f"{label}: {told}"


def _array_difference(one: npt.NDArray[Any], two: npt.NDArray[Any]) -> str | None:
    if one.dtype != two.dtype or one.shape != two.shape:
        return f"{one.dtype} {list(one.shape)} against {two.dtype} {list(two.shape)}"
    if one.tobytes() == two.tobytes():
        return None
    # Bits, not values: NaN differs from itself, and -0.0 is not 0.0.
    bits_one, bits_two = (
        np.frombuffer(array.tobytes(), np.uint8).reshape(-1, one.dtype.itemsize)
        for array in (one, two)
    )
    where = np.flatnonzero((bits_one != bits_two).any(axis=1))
    place = tuple(int(index) for index in np.unravel_index(where[0], one.shape))
    text = f"{len(where):,} of {number_of(one.size, 'value')}, the first"
    text += f" at {list(place)}" if place else ""
    text += f", {one[place]} against {two[place]}"
    if one.dtype.kind == "f":
        text += f"; at most {np.nanmax(np.abs(one.astype(float) - two.astype(float))):.3g} apart"
    return text


def _hash(values: Values | str) -> str | None:
    if isinstance(values, str):
        return None
    digest = hashlib.sha256()
    for label, value in values.items():
        if isinstance(value, np.ndarray):
            digest.update(f"{label} {value.dtype} {value.shape} ".encode())
            digest.update(value.tobytes())
        else:
            digest.update(json.dumps([label, value]).encode())
    return digest.hexdigest()


def _start(run: Path) -> Values:
    recorded = _completed(run)
    known = recorded["provenance"]
    return {
        "experiment": recorded["experiment"],
        "initial weights": known["initial_weights"],
        "first batches": known["first_batches"],
    }


def _arrays(run: Path, *kinds: str) -> Values:
    saved = checkpoint.read(places.last(run)).arrays
    return {name: array for name, array in saved.items() if name.split("/")[0] in kinds}


def _progress(run: Path) -> Values:
    saved = checkpoint.read(places.last(run))
    facts = {name: saved.facts[name] for name in ("position", "records", "best_epoch")}
    kinds = {name.split("/")[0] for name in saved.arrays} - {"model", "optimizer"}
    return {**_without_clocks(facts), **_arrays(run, *kinds)}


def _best(run: Path) -> Values:
    saved = checkpoint.read(places.best(run))
    weights = {f"weights/{name}": array for name, array in saved.arrays.items()}
    return {"epoch": saved.facts["epoch"], **weights}


def _rows(run: Path) -> Values:
    values: dict[str, Any] = {}
    lines = content_of(run / "metrics.jsonl").splitlines()
    rows = [row for row in map(json.loads, lines) if row["event"] in ("epoch", "notice")]
    for number, row in enumerate(rows, start=1):
        kept = _without_clocks(row)
        kind = kept.pop("event")
        label = f"epoch {kept['epoch']}" if kind == "epoch" else f"row {number}, {kind}"
        values |= {f"{label}, {key}": value for key, value in kept.items()}
    if not values:
        raise _UnreadableError("metrics.jsonl has no epoch")
    return values


def _predictions(run: Path) -> Values:
    with np.load(run / "predictions.npz", allow_pickle=False) as archive:
        return dict(archive)


_PARTS: Mapping[str, Callable[[Path], Values]] = {
    "start": _start,
    "weights": lambda run: _arrays(run, "model"),
    "optimizer state": lambda run: _arrays(run, "optimizer"),
    "progress and means": _progress,
    "best epoch's weights": _best,
    "metric rows": _rows,
    "predictions": _predictions,
    "best epoch": lambda run: {"best epoch": _completed(run)["result"]["best_epoch"]},
    "result": lambda run: _without_clocks(_completed(run)["result"]),
}


def _completed(run: Path) -> dict[str, Any]:
    recorded = _recorded(run)
    if recorded.get("state") != RunStatus.COMPLETED:
        raise _UnreadableError(f"the run is not completed, but {recorded.get('state')}")
    return recorded


def _recorded(run: Path) -> dict[str, Any]:
    return json_object(content_of(run / "run.json"))


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_clocks(item)
            for key, item in value.items()
            if key != "time" and not key.endswith(("_seconds", "_per_second"))
        }
    return [_without_clocks(item) for item in value] if isinstance(value, list) else value


def choose(
    config: Path | None,
    overrides: Sequence[str],
    *,
    folder: Path,
    sample: bool = False,
    seed: int | None = None,
    device: str = "auto",
) -> tuple[Plan, Request]:
    """One run of the built-in experiment, written to `folder`, or of a person's own made short.

    The overrides outrank the shortening.

    Raises:
        UserError: The config or an override is wrong, or what it names cannot be had.
    """
    settings: list[str] = []
    if config is None:
        config = folder / "verify.yaml"
        config.write_text(BUILT_IN)
    else:
        # The file is read once more with these, so that what is wrong in it is told as written.
        settings = shortening(load(config, overrides, sample=sample, import_own=True).experiment)
    seeds = None if seed is None else [seed]
    entries = [Entry(config, [*settings, *overrides])]
    plan = plans.make(entries, seeds=seeds, sample=sample)
    on_sample = sample or plan.stand_in_for is not None
    return plan, Request(entries, seeds=seeds, sample=on_sample, device=device)


def shortening(experiment: Experiment) -> list[str]:
    """What makes an experiment short, as overrides; what it has less of anyway stays."""
    training, limit = experiment.training, experiment.data.limit
    photos = max(FEWEST_PHOTOS, PHOTOS_PER_BATCH * training.batch_size)
    return [
        f"data.limit={photos if limit is None else min(limit, photos)}",
        f"training.epochs={min(training.epochs, EPOCHS)}",
        f"training.checkpoint_minutes={min(training.checkpoint_minutes, CHECKPOINT_MINUTES)}",
    ]


class Failure(Exception):
    """A training that ended by itself in a way that it must not."""


def verify(
    config: Path | None,
    *,
    overrides: Sequence[str] = (),
    sample: bool = False,
    device: str = "auto",
    seed: int | None = None,
    kills: int = 3,
    kill_seed: int | None = None,
    keep: Path | None = None,
    start: Callable[..., Training] = Training,
) -> int:
    """Trains, kills, resumes, compares and prints; the arguments are those of `optrun verify`.

    Returns the exit code: 0 identical, 1 different, 130 or 143 interrupted.

    Raises:
        UserError: Something is wrong with the arguments, or the experiment can't be trained.
    """
    began = time.monotonic()
    kill_seed = secrets.randbelow(100_000) if kill_seed is None else kill_seed
    folder = Path(tempfile.mkdtemp(prefix="optrun-verify-")) if keep is None else _new_folder(keep)
    kept = keep is not None
    console = Console()
    try:
        with signals_heard():
            plan, request = choose(
                config, overrides, folder=folder, sample=sample, seed=seed, device=device
            )
            experiment = plan.runs[0].experiment
            name = "" if config is None else f"{experiment.name}: "
            _say(console, "verify", name + _described(experiment))
            if plan.stand_in_for is not None:
                _say(console, "photos", f"the built-in sample stands in: {plan.stand_in_for}")
            again = f"to aim at the same moments again: --kill-seed {kill_seed}"
            _say(console, "kills", f"{kills}, by SIGKILL; {again}")
            console.print()
            # The trainings have a cache of their own, and `data.source` may name imported photos.
            if (names := cache_root() / "sources").is_dir():
                shutil.copytree(names, folder / "cache" / "sources", dirs_exist_ok=True)
            work = _Work(request, folder, start, console)
            try:
                events = work.train_whole()
                found = work.train_killed(moments(kills, events, kill_seed))
                runs = [work.run(name) for name in ("uninterrupted", "killed")]
            except Failure as failure:
                kept = True
                show(f"\n{failure}\nBoth runs are kept in {folder}\n")
                show("DIFFERENT: it can't be resumed.\n")
                return _DIFFERENT
            compared = compare(*runs)
            recorded = _recorded(runs[0]).get("comparable", {})
            if recorded.get("device") == "gpu":
                promised = "a resumed run is promised to be the same there with "
                setting = "training.deterministic: true, which is set here unless --set forbids it"
                _say(console, "GPU", promised + setting)
            holds = bool(found) and all(part.is_identical for part in compared)
            kept = kept or not holds
            lines = ["", *_kills_table(found), "", *_parts_table(compared), ""]
            lines += [
                f"Trained on {recorded.get('device')}, {recorded.get('precision')}; this took "
                f"{duration(time.monotonic() - began)}.",
                *([f"Both runs are kept in {folder}"] if kept else []),
                *_verdict(len(found), compared),
            ]
            show("\n".join(lines) + "\n")
            return _IDENTICAL if holds else _DIFFERENT
    except UserError:
        kept = False  # nothing was verified, and the next try wants the folder empty
        raise
    except Interrupted as stop:
        print("optrun: interrupted", file=sys.stderr)
        return stop.exit_code
    finally:
        shutil.rmtree(folder / "cache" if kept else folder, ignore_errors=True)


def _new_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise UserError(f"--keep must name a folder that is new or empty, received: {path}")
    except OSError as error:
        raise UserError(
            f"--keep must name a folder that can be written, received: {path} "
            f"({error.strerror or error})"
        ) from error
    return path.absolute()


def _described(experiment: Experiment) -> str:
    data, model, training = experiment.data, experiment.model, experiment.training
    photos = "all photos" if data.limit is None else number_of(data.limit, "photo")
    what = "the sample" if data.source == "sample" else data.source
    return (
        f"{experiment.optimizer.description}; {photos} of {what} at "
        f"{data.image_size} px, {title_of(model.network)} of width {model.width:g}, "
        f"{number_of(training.epochs, 'epoch')}, batches of {training.batch_size}, "
        f"seed {training.seed}"
    )


@dataclass(frozen=True)
class _Work:
    """The two runs: what trains them, where, and who is told how it goes."""

    request: Request
    folder: Path
    start: Callable[..., Training]
    console: Console

    def run(self, name: str) -> Path:
        """The run of a results folder; others were killed before they had a run.json."""
        for record in sorted((self.folder / name).glob("*/run.json")):
            return record.parent
        raise Failure(f"{self.folder / name} holds no run")

    def train_whole(self) -> list[Event]:
        """Train the run that nobody kills; returns what it told."""
        training, code, _ = self._train("uninterrupted", "uninterrupted run")
        if code == _DIVERGED:
            raise UserError(
                "this experiment diverges, so there is no finished run to compare; lower the "
                f"learning rate:\n{training.last_lines(6)}"
            )
        if code != 0 or len(training.events) < 2:
            raise UserError(f"this experiment can't be trained:\n{training.last_lines()}")
        _say(self.console, "", "trained whole")
        return training.events

    def train_killed(self, planned: Sequence[Moment]) -> list[Kill]:
        """Train the run that is killed at each of these moments, to its end."""
        kills: list[Kill] = []
        for moment in [*planned, None]:
            title = f"killed run, after {len(kills)} of {len(planned)} kills"
            training, code, struck = self._train("killed", title, moment)
            if kills and (training.events or struck is None):
                # Without events it was complete, and only its process not yet over.
                done = training.events[0].steps_done if training.events else kills[-1].steps
                kills[-1] = replace(kills[-1], went_on_from=done)
            if struck is None:
                if code != 0:
                    raise Failure(
                        f"the run that was killed could not go on (exit code {code}):\n"
                        f"{training.last_lines()}"
                    )
                _say(self.console, "", "trained to its end")
                if moment is not None:
                    _say(self.console, "", f"the run was complete before kill {len(kills) + 1}")
                break
            kills.append(struck)
            _say(self.console, "", f"kill {len(kills)} of {len(planned)} at {struck}")
        return kills

    def _train(
        self, name: str, title: str, moment: Moment | None = None
    ) -> tuple[Training, int, Kill | None]:
        """Begin a run or go on with it, to a moment or its end; the exit code, and what was hit."""
        results = self.folder / name
        request: Request | ResumeRequest = replace(self.request, results=results)
        with contextlib.suppress(Failure):
            request = ResumeRequest([str(self.run(name))], device=self.request.device)
        files = {"log": self.folder / f"{name}.log", "cache": self.folder / "cache"}
        with _live(self.console, title) as at, self.start(request, heard=at, **files) as training:
            struck = strike(training, moment, results) if moment else None
            return training, training.wait(), struck


def _say(console: Console, label: str, text: str) -> None:
    """Print a text behind a label, in lines that fit."""
    for line in hanging(label, text, min(console.width, 100), indent=_INDENT):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _live(console: Console, title: str) -> Iterator[Callable[[Event], None]]:
    """A line on a terminal that shows where a training is, as its events say."""
    if not console.is_terminal:
        yield lambda _: None
        return
    with live_line(console, indent=_INDENT) as bar:
        task = bar.add_task(title, total=None, numbers="starting")

        def at(event: Event) -> None:
            told = {BEGUN: "compiling the network", EPOCH: "an epoch is recorded"}
            where = told.get(event.kind, f"step {event.steps_done:,} of {event.steps:,}")
            bar.update(task, total=event.steps, completed=event.steps_done, numbers=where)

        yield at


def _kills_table(kills: Sequence[Kill]) -> list[str]:
    rows = [("kill", "struck after step", "while it was", "went on after step")]
    for number, kill in enumerate(kills, start=1):
        at = f"{kill.steps_done:,} of {kill.steps:,}" if kill.steps else "-"
        went_on = f"{kill.went_on_from:,}" if kill.went_on_from else "from the beginning"
        went_on = "killed again first" if kill.went_on_from is None else went_on
        rows.append((str(number), at, kill.phase, went_on))
    return _table(rows)


def _parts_table(parts: Sequence[Compared]) -> list[str]:
    rows = [("compared", "", "uninterrupted", "killed", "")]
    for part in parts:
        whole, killed = ((digest or "-")[:12] for digest in part.hashes)
        outcome = "identical" if part.is_identical else "DIFFERENT"
        rows.append((part.name, part.extent, whole, killed, outcome))
    lines = _table(rows)
    for number, part in reversed(list(enumerate(parts, start=2))):
        told = wrap(part.difference or "", terminal_width() - 2)
        lines[number:number] = [f"  {line}" for line in told if line]
    return lines


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows in columns, of which the second stands to the right."""
    widths = [widest(column) for column in zip(*rows, strict=True)]
    columns = [Column(width, right=place == 1) for place, width in enumerate(widths)]
    lines = []
    for row in rows:
        cells = [Line(cell, "bad" if cell == "DIFFERENT" else "plain") for cell in row]
        lines += row_lines(cells, columns, styled=is_styled())
    return lines


def _verdict(count: int, compared: Sequence[Compared]) -> list[str]:
    times = {1: "once", 2: "twice"}.get(count, f"{count} times")
    different = [part.name for part in compared if not part.is_identical]
    if count and not different:
        verdict = f"Identical: the run killed {times} is the uninterrupted one, bit for bit."
        return [style(verdict, "strong", is_styled())]
    if not count:
        verdict = "Nothing is proved: the run was complete before it could be killed."
    else:
        verdict = f"DIFFERENT: the run killed {times} differs in {', '.join(different)}."
    return [style(line, "bad", is_styled()) for line in wrap(verdict, terminal_width())]


if __name__ == "__main__":
    sys.exit(carry_out(sys.argv[1]))
