"""`optrun verify`: proves on this machine that a resumed run is the uninterrupted one.

A run is trained whole, and once more with SIGKILL at random moments, resumed each time; then the
two are compared, bit for bit. Each training is a process of its own that tells what it does, a line
of JSON for each event; while it trains, the next one loads TensorFlow and waits.
"""

import contextlib
import hashlib
import io
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from optrun.data.places import cache_root
from optrun.runner import environment
from optrun.runner import events as run_events
from optrun.runner.config.load import load
from optrun.runner.engine import checkpoint
from optrun.runner.engine.hardware import has_gpu
from optrun.runner.engine.signals import Interrupted, signals_heard
from optrun.runner.errors import UserError, tell
from optrun.runner.models.networks import title_of
from optrun.runner.plan import plan as plans
from optrun.runner.plan.executor import Request, ResumeRequest, execute, resume
from optrun.runner.runs import array_file
from optrun.runner.runs import checkpoint_places as places
from optrun.runner.runs.array_file import DAMAGE
from optrun.runner.runs.event_log import read_events
from optrun.runner.runs.record import RunRecord, RunStatus, flatten
from optrun.runner.runs.run_folder import PREDICTIONS_NAME
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.table import Column, Line, row_lines
from optrun.runner.ui.text import hanging, is_styled, show, style, terminal_width, widest, wrap
from optrun.runner.ui.wording import duration, number_of
from optrun.runner.untrusted import DamageError
from rich.console import Console

_IDENTICAL, _DIFFERENT, _DIVERGED = 0, 1, 3

# Training photos are eight tenths of these, so that an epoch has eight steps at least.
PHOTOS_PER_BATCH, FEWEST_PHOTOS, EPOCHS = 10, 160, 3
WARMUP_UPDATES = 4  # at most, of the 24 or so of a short run
CHECKPOINT_MINUTES = 0.01  # so often that runs go on from the middle of an epoch, too

# configs/lookahead_vgg19.yaml on the sample, which needs neither a download nor this repository,
# with chance in all places that have any: order, dropout, augmentation.
BUILT_IN = f"""\
name: verify
data:
  {{source: sample, image_size: 48, limit: 320,
   augmentation: {{flip: true, rotation: 10, shift: 0.1, brightness: 0.1}}}}
model: {{weights: random, width: 0.125, head: {{hidden_units: [16], dropout: 0.5}}}}
training: {{epochs: {EPOCHS}, checkpoint_minutes: 0.004,
           keep_last_checkpoint: true}}
optimizer:
  {{name: lookahead, sync_period: 5, slow_step_size: 0.5, inner_optimizer:
   {{name: sgd, momentum: 0.9, global_clipnorm: 1,
    learning_rate: {{schedule: cosine, initial_learning_rate: 0.04}}}}}}
"""

WHOLE, KILLED = "uninterrupted", "killed"  # the two runs
BEGUN, STEP, EPOCH = "run", "step", "epoch"


@dataclass(frozen=True)
class Event:
    """One thing that a training told."""

    kind: str  # BEGUN when a run begins or goes on, STEP after a step, EPOCH after an evaluation
    steps_done: int
    steps_per_epoch: int
    steps: int
    at: float  # seconds of a monotonic clock


class Phase(StrEnum):
    """What a training is doing."""

    START = "before its first step"
    TRAINING = "training"
    EVALUATION = "evaluation"
    CHECKPOINT = "writing a checkpoint"
    END = "after the last epoch"


# In this order the kills take turns: few of them shall strike what is most delicate.
TURNS = (Phase.TRAINING, Phase.CHECKPOINT, Phase.EVALUATION, Phase.START)


class Moment(NamedTuple):
    """When to kill: `delay_s` after `phase` is seen with at least `step` steps of the run done."""

    phase: Phase
    step: int
    delay_s: float


_PROGRAM = (sys.executable, "-P", "-m", "optrun.runner.verify")


class Training(contextlib.AbstractContextManager["Training"]):
    """A process that trains once it is told what; leaving its `with` block ends it.

    It shows what it shows in `log`, and has its photos in `cache`.
    """

    def __init__(self, log: Path, cache: Path, program: Sequence[str] = _PROGRAM) -> None:
        self.log = log
        self.events: list[Event] = []  # what it told so far
        self.heard: Callable[[Event], object] = lambda _: None
        with log.open("ab") as shown:
            self._process = subprocess.Popen(
                program,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=shown,
                env={**os.environ, "OPTRUN_CACHE": str(cache)},
                start_new_session=True,  # Ctrl-C is for us alone: what we started, we end
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def begin(self, request: Request | ResumeRequest, results: Path) -> None:
        """Have it train runs that lie in `results`; what it tells is heard from now on."""
        self._results, self.started = results, time.time()
        # A process that is gone already tells why by its exit code and its log.
        with contextlib.suppress(BrokenPipeError), self._process.stdin or io.BytesIO() as wanted:
            wanted.write(json.dumps(asdict(request), default=str).encode())

    def _listen(self) -> None:
        with self._process.stdout or io.BytesIO() as lines:
            for line in lines:
                with contextlib.suppress(ValueError, TypeError):  # the kill may have cut it
                    self.events.append(Event(**json.loads(line)))
                    self.heard(self.events[-1])

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def phase(self) -> Phase:
        """What it is doing, as what it told last and what lies on its disk show."""
        last = self.events[-1] if self.events else None
        if last is None or last.kind == BEGUN:
            return Phase.START
        runs = list(self._results.glob("*"))
        saved = [*map(places.last, runs), *map(places.best, runs)]
        for place in (*map(places.being_written, saved), *map(places.being_dropped, saved)):
            with contextlib.suppress(OSError):
                if place.stat().st_mtime >= self.started:  # not of a training killed earlier
                    return Phase.CHECKPOINT
        if last.kind == STEP and last.steps_done % last.steps_per_epoch == 0:
            return Phase.EVALUATION
        return Phase.END if last.steps_done == last.steps else Phase.TRAINING

    def wait(self) -> int:
        """Wait for its end; returns the exit code, negative for a signal's."""
        # In slices, so that a signal's handler runs in between on every system.
        while self.is_running:
            time.sleep(0.02)
        self._listener.join()
        return self._process.wait()

    def strike(self, moment: Moment) -> str | None:
        """Wait for the moment, and kill it: what that struck; None where it was over before.

        Where the phase did not come any more, the kill strikes what comes last.
        """
        while self.is_running:
            steps_done, phase = self.events[-1].steps_done if self.events else -1, self.phase
            is_due = phase is moment.phase and steps_done >= moment.step
            if is_due or phase is Phase.END:
                time.sleep(moment.delay_s if is_due else 0)
                return self.kill()
            time.sleep(0.0005)
        return None

    def kill(self) -> str | None:
        """SIGKILL: it gets no chance to do anything more. What that struck, in words."""
        if not self.is_running:
            return None
        self.__exit__()
        at = [f"step {one.steps_done:,} of {one.steps:,}" for one in self.events[-1:]]
        return ", ".join([*at, self.phase])

    def last_lines(self, count: int = 12) -> str:
        """The end of what it has shown."""
        return "\n".join(self.log.read_text(errors="replace").rstrip().splitlines()[-count:])

    def __exit__(self, *_: object) -> None:
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.kill()
        self.wait()
        (self._process.stdin or io.BytesIO()).close()


def carry_out() -> int:
    """What a training's process does: the `Request` or `ResumeRequest` that it reads, as JSON.

    What it shows goes to standard error; standard output gets the events.
    """
    listeners = [_telling(os.dup(1))]
    os.dup2(2, 1)
    with native_stderr_captured():
        import optrun.runner.plan.run  # noqa: F401 (takes seconds, and so before it is needed)
    if not (wanted := sys.stdin.read()):  # whoever started this is gone
        return 1
    fields = json.loads(wanted)
    try:
        if "runs" in fields:
            return resume(ResumeRequest(**fields), listeners=listeners)
        # Without it a GPU promises no bit-identity; an override of the person's outranks it.
        first = ["training.deterministic=true"] if fields["device"] != "cpu" and has_gpu() else []
        entries = ((Path(one["config"]), one["settings"]) for one in fields["entries"])
        fields["entries"] = [plans.Entry(path, [*first, *settings]) for path, settings in entries]
        fields["results"] = Path(fields["results"])
        return execute(Request(**fields), listeners=listeners)
    except UserError as error:
        tell(error)
        return error.exit_code


def _telling(descriptor: int) -> run_events.Listener:
    """Writes to a descriptor what a training does."""
    per_epoch = epochs = 0

    def hear(event: run_events.Event) -> None:
        nonlocal per_epoch, epochs
        match event:
            case run_events.RunStarted(steps_per_epoch=per_epoch, epochs=epochs):
                kind, done = BEGUN, event.steps_done
            case run_events.StepDone():
                kind, done = STEP, (event.epoch - 1) * per_epoch + event.step
            case run_events.EpochRecord():
                kind, done = EPOCH, event.epoch * per_epoch
            case _:
                return
        told = Event(kind, done, per_epoch, per_epoch * epochs, time.monotonic())
        try:
            os.write(descriptor, json.dumps(asdict(told)).encode() + b"\n")
        except OSError:
            os._exit(1)  # whoever asked for this training is gone: nobody wants it any more

    return hear


def moments(count: int, events: Sequence[Event], seed: int) -> list[Moment]:
    """So many random moments of a run that told `events`; the phases take turns at random."""
    steps = events[-1].steps
    chance = random.Random(seed)  # noqa: S311 (not for secrets)
    phases = [TURNS[number % len(TURNS)] for number in range(count)]
    chance.shuffle(phases)
    found = []
    for number, phase in enumerate(phases):
        step, longest_s = 0, events[1].at - events[0].at
        if phase is not Phase.START:
            # Each in its own part of the run, and none in the last step.
            first, last = (max(1, steps * part // count) for part in (number, number + 1))
            step = min(chance.randint(first, last), steps - 1)
            longest_s = (events[-1].at - events[1].at) / steps
        found.append(Moment(phase, step, chance.uniform(0, longest_s)))
    return found


class Compared(NamedTuple):
    """One part of two runs."""

    name: str
    size: int  # how many values it has
    hashes: list[str]  # SHA-256 in each run
    difference: str | None  # the first, in words; None where all is the same in every bit


class Failure(Exception):
    """A run that was killed is not what it must be."""


def compare(run: Path, other: Path) -> list[Compared]:
    """Compare all that a training decides in two folders of completed runs; clocks are no part."""
    found, of_other = [], _parts(other)
    for name, values in _parts(run).items():
        pair = (values, of_other[name])
        ones, twos = ({label: _bytes(one) for label, one in part.items()} for part in pair)
        hashes = [
            hashlib.sha256(b"".join(label.encode() + part[label] for label in part)).hexdigest()
            for part in (ones, twos)
        ]
        labels = (label for label in {**ones, **twos} if ones.get(label) != twos.get(label))
        told = None
        if (first := next(labels, None)) is not None:
            told = f"{first}: {_difference(*(part.get(first, 'nothing') for part in pair))}"
        found.append(Compared(name, sum(map(np.size, values.values())), hashes, told))
    return found


def _parts(run: Path) -> dict[str, Mapping[str, Any]]:
    try:
        record = RunRecord.read(run)
        last, best = checkpoint.read(places.last(run)), checkpoint.read(places.best(run))
        predictions = array_file.read(run / PREDICTIONS_NAME)
        if record.result is None or record.written_status != RunStatus.COMPLETED:
            raise DamageError(f"the run is {record.written_status}")
        if (found := read_events(run)).skipped:
            raise DamageError(f"metrics.jsonl, {found.skipped[0]}")
        rows = [one for one in found.events if one.get("event") in ("epoch", "notice")]
        facts: dict[str, Any] = last.facts
        arrays: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {}, "": {}}
        for name, array in last.arrays.items():
            kind = name.split("/")[0]
            arrays[kind if kind in arrays else ""][name] = array
        return {
            "start": {
                "experiment": record.experiment,
                **{name: record.provenance[name] for name in ("initial_weights", "first_batches")},
            },
            "weights": arrays["model"],
            "optimizer state": arrays["optimizer"],
            "progress and means": {
                **_without_clocks({f"record {n}": one for n, one in enumerate(facts["records"])}),
                **{name: facts[name] for name in ("position", "best_epoch")},
                **arrays[""],
            },
            "best epoch's weights": {"epoch": best.facts["epoch"], **best.arrays},
            "metric rows": _without_clocks({f"row {n}": row for n, row in enumerate(rows, 1)}),
            "predictions": predictions,
            "best epoch": {"best epoch": record.result["best_epoch"]},
            "result": _without_clocks(record.result),
        }
    except (*DAMAGE, checkpoint.CheckpointError) as error:
        raise Failure(f"{run} can't be compared: {type(error).__name__}: {error}") from error


def _without_clocks(tree: Mapping[str, object]) -> Mapping[str, Any]:
    """All values of nested mappings, by dotted name."""
    clocks = (".time", "_seconds", "_per_second")
    return {name: one for name, one in flatten(tree).items() if not name.endswith(clocks)}


def _bytes(value: Any) -> bytes:
    """All of a value, since NaN is not equal to itself, and -0.0 is equal to 0.0."""
    if isinstance(value, np.ndarray):
        return f"{_shown(value)} ".encode() + value.tobytes()
    return json.dumps(value).encode()


def _shown(value: Any) -> str:
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else str(value)


def _difference(one: Any, two: Any) -> str:
    if not isinstance(one, np.ndarray) or _shown(one) != _shown(two):
        return f"{_shown(one)} against {_shown(two)}"
    ones, twos = (np.frombuffer(array.tobytes(), np.uint8) for array in (one, two))
    where = np.unique(np.flatnonzero(ones != twos) // one.dtype.itemsize)
    place = tuple(map(int, np.unravel_index(where[0], one.shape)))
    at = f" at {list(place)}" if place else ""
    return (
        f"{len(where):,} of {number_of(one.size, 'value')}, the first{at}, "
        f"{one[place]} against {two[place]}"
    )


def choose(
    config: Path | None,
    overrides: Sequence[str] = (),
    *,
    folder: Path,
    sample: bool = False,
    seed: int | None = None,
    device: str = "auto",
) -> tuple[plans.Plan, Request]:
    """One run of the built-in experiment, written to `folder`, or of a person's own made short."""
    settings: list[str] = []
    if config is None:
        config = folder / "verify.yaml"
        config.write_text(BUILT_IN)
    else:
        # The file is read once more with these, so that what is wrong in it is told as written.
        experiment = load(config, overrides, sample=sample, import_own=True).experiment
        training, limit = experiment.training, experiment.data.limit
        warmups = experiment.optimizer.warmups()
        photos = max(FEWEST_PHOTOS, PHOTOS_PER_BATCH * training.batch_size)
        settings = [
            f"data.limit={photos if limit is None else min(limit, photos)}",
            f"training.epochs={min(training.epochs, EPOCHS)}",
            f"training.checkpoint_minutes={min(training.checkpoint_minutes, CHECKPOINT_MINUTES)}",
            "training.keep_last_checkpoint=true",
            *(f"optimizer.{'.'.join(keys)}={min(of, WARMUP_UPDATES)}" for keys, of in warmups),
        ]
    seeds = None if seed is None else [seed]
    entries = [plans.Entry(config, [*settings, *overrides])]  # what a person sets comes last, wins
    plan = plans.make(entries, seeds=seeds, sample=sample)
    on_sample = sample or plan.stand_in_for is not None
    return plan, Request(entries, seeds=seeds, sample=on_sample, device=device)


def verify(
    config: Path | None,
    *,
    kills: int = 3,
    kill_seed: int | None = None,
    keep: Path | None = None,
    start: Callable[..., Training] = Training,
    **chosen: Any,
) -> int:
    """Trains, kills, resumes, compares and prints; `chosen` is for `choose`.

    Returns the exit code: 0 identical, 1 different, 130 or 143 interrupted.
    """
    began = time.monotonic()
    environment.claim()
    kill_seed = secrets.randbelow(100_000) if kill_seed is None else kill_seed
    folder = Path(tempfile.mkdtemp(prefix="optrun-verify-")) if keep is None else _new_folder(keep)
    kept = keep is not None
    try:
        with signals_heard(), contextlib.ExitStack() as processes:
            plan, request = choose(config, folder=folder, **chosen)
            experiment = plan.runs[0].experiment
            data, model, training = experiment.data, experiment.model, experiment.training
            name = "" if config is None else f"{experiment.name}: "
            photos = "all photos" if data.limit is None else number_of(data.limit, "photo")
            source = "the sample" if data.source == "sample" else data.source
            network = title_of(model.network, model.width)
            _say(
                "verify",
                f"{name}{experiment.optimizer.description}; {photos} of {source} at "
                f"{data.image_size} px, {network}, {number_of(training.epochs, 'epoch')}, "
                f"batches of {training.batch_size}, seed {training.seed}",
            )
            if plan.stand_in_for is not None:
                _say("photos", f"the built-in sample stands in: {plan.stand_in_for}")
            again = f"to aim at the same moments again: --kill-seed {kill_seed}"
            _say("kills", f"{kills}, by SIGKILL; {again}")
            # The trainings have a cache of their own, and `data.source` may name imported photos.
            if (names := cache_root() / "sources").is_dir():
                shutil.copytree(names, folder / "cache" / "sources", dirs_exist_ok=True)

            def started(name: str) -> Training:
                process = start(log=folder / f"{name}.log", cache=folder / "cache")
                return processes.enter_context(process)

            struck = _train(request, folder, kills, kill_seed, started)
            whole, killed = (_run_in(folder / name) for name in (WHOLE, KILLED))
            compared = compare(whole, killed)
            record = RunRecord.read(whole)
            kept = kept or not struck or any(part.difference for part in compared)
            _show_table(compared)
            took = duration(time.monotonic() - began)
            show(f"\nTrained on {record.device}, {record.precision}; this took {took}.\n")
            if kept:
                show(f"Both runs are kept in {folder}\n")
            return _judge(struck, [part.name for part in compared if part.difference])
    except Failure as failure:
        kept = True
        show(f"\n{failure}\nBoth runs are kept in {folder}\nDIFFERENT: it can't be resumed.\n")
        return _DIFFERENT
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
        received = f"received: {path} ({error.strerror or error})"
        raise UserError(f"--keep must name a folder that can be written, {received}") from error
    return path.absolute()


def _train(
    request: Request, folder: Path, kills: int, kill_seed: int, start: Callable[[str], Training]
) -> int:
    """Train the run that nobody kills and the one that is killed; returns how often it was."""

    def train(training: Training, name: str, moment: Moment | None = None) -> str | None:
        """Begin a run or go on with it, to a moment or its end."""
        results = folder / name
        wanted: Request | ResumeRequest = replace(request, results=results)
        with contextlib.suppress(Failure):
            wanted = ResumeRequest([str(_run_in(results))], device=request.device)
        with Console().status(f"{name} run") as status:
            training.heard = lambda event: status.update(
                f"{name} run, step {event.steps_done:,} of {event.steps:,}"
            )
            training.begin(wanted, results)
            struck = training.strike(moment) if moment is not None else None
            training.wait()
            return struck

    training, following = start(WHOLE), start(KILLED)
    train(training, WHOLE)
    if (code := training.wait()) == _DIVERGED:
        raise UserError(
            "this experiment diverges, so there is no finished run to compare; lower the "
            f"learning rate:\n{training.last_lines(6)}"
        )
    if code != 0 or len(training.events) < 2:
        raise UserError(f"this experiment can't be trained:\n{training.last_lines()}")
    _say("", "trained whole")
    for struck, moment in enumerate([*moments(kills, training.events, kill_seed), None]):
        training = following
        if moment is not None:
            following = start(KILLED)
        hit = train(training, KILLED, moment)
        if struck and training.events:
            _say("", f"went on after step {training.events[0].steps_done:,}")
        if hit is None:
            break
        _say("", f"kill {struck + 1} of {kills} at {hit}")
    if (code := training.wait()) != 0:
        why = f"(exit code {code}):\n{training.last_lines()}"
        raise Failure(f"the run that was killed could not go on {why}")
    _say("", "trained to its end")
    if struck < kills:
        _say("", f"the run was complete before kill {struck + 1}")
    return struck


def _run_in(results: Path) -> Path:
    """The run of a results folder; others were killed before they had a run.json."""
    for record in sorted(results.glob("*/run.json")):
        return record.parent
    raise Failure(f"{results} holds no run")


def _say(label: str, text: str) -> None:
    """Print a text behind a label, in lines that fit."""
    show("\n".join([*hanging(label, text, min(terminal_width(), 100), indent=10), ""]))


def _show_table(parts: Sequence[Compared]) -> None:
    heading = ("compared", "", WHOLE, KILLED, "")
    rows = []
    for part in parts:
        hashes = (digest[:12] for digest in part.hashes)
        outcome = "DIFFERENT" if part.difference else "identical"
        rows.append((part.name, number_of(part.size, "value"), *hashes, outcome))
    widths = (widest(texts) for texts in zip(heading, *rows, strict=True))
    columns = [Column(width, place == 1) for place, width in enumerate(widths)]
    lines = ["", *row_lines(heading, columns)]
    for row, part in zip(rows, parts, strict=True):
        last = Line(row[-1], "bad" if part.difference else "plain")
        lines += row_lines([*row[:-1], last], columns, styled=is_styled())
        if part.difference:
            lines += [f"  {line}" for line in wrap(part.difference, terminal_width() - 2)]
    show("\n".join([*lines, ""]))


def _judge(kills: int, different: Sequence[str]) -> int:
    times = {1: "once", 2: "twice"}.get(kills, f"{kills} times")
    holds = bool(kills) and not different
    if holds:
        verdict = f"Identical: the run killed {times} is the uninterrupted one, bit for bit."
    elif kills:
        verdict = f"DIFFERENT: the run killed {times} differs in {', '.join(different)}."
    else:
        verdict = "Nothing is proved: the run was complete before it could be killed."
    for line in wrap(verdict, terminal_width()):
        show(style(line, "strong" if holds else "bad", is_styled()) + "\n")
    return _IDENTICAL if holds else _DIFFERENT


if __name__ == "__main__":
    sys.exit(carry_out())
