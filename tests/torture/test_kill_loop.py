"""Trainings of every kind, killed at random moments again and again: each ends as its twin does."""

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from optrun.data.cache.cache_key import PARTIAL
from optrun.optimizers import registry
from optrun.runner.plan.executor import Request, ResumeRequest
from optrun.runner.plan.plan import Entry
from optrun.runner.verify import Moment, Phase, Training, compare

FEWEST_KILLS = 50
PHOTOS, FOLDER = "preparing the photos", "making its folder"  # before a training tells anything
STEPS = 30  # three epochs of ten
TOGETHER = 3  # runs that a process is asked for

RATE = {"schedule": "cosine", "initial_learning_rate": 0.01}
SGD = {"name": "sgd", "learning_rate": RATE, "momentum": 0.9}
WRAPPERS: dict[str, dict[str, Any]] = {
    "lookahead": {"name": "lookahead", "sync_period": 5, "inner_optimizer": SGD},
    "soft_batch": {
        "name": "soft_batch",
        "batches_per_update": 3,
        "tail": "carry",
        "inner_optimizer": {"name": "lookahead", "sync_period": 2, "inner_optimizer": SGD},
    },
}
# What chance and memory there is besides the optimizer's, in a network that learns in all layers:
# an optimizer and other settings of `training`.
ADAM = {"name": "adam", "learning_rate": 0.003}
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "bfloat16": (WRAPPERS["lookahead"], {"precision": "mixed_bfloat16"}),
    "float16": (ADAM, {"precision": "mixed_float16"}),
    "early": (ADAM, {"early_stopping_patience": 1, "epochs": 5}),
    "warmup": ({"name": "adamw", "learning_rate": {**RATE, "warmup_updates": 7}}, {}),
    "centralized": (
        {"name": "heun", "learning_rate": RATE, "gradient_centralization": True},
        {},
    ),
}
BASE: dict[str, Any] = {
    "data": {
        "source": "sample",
        "image_size": 32,
        "limit": 160,
        "augmentation": {"flip": True, "rotation": 10, "brightness": 0.1},
    },
    "model": {
        "weights": "random",
        "width": 0.0625,
        "trainable": "block5",  # a third of the time that TensorFlow takes to trace a step
        "head": {"hidden_units": [4], "dropout": 0.5},
    },
}
TRAINING = {
    "epochs": 3,
    "batch_size": 13,
    "precision": "float32",
    "checkpoint_minutes": 0.002,
    "keep_last_checkpoint": True,
}


@dataclass(frozen=True)
class Record:
    """One kill: which case, in which phase."""

    case: str
    phase: str


class Loop:
    """Kills trainings of all cases until there are enough; remembers what was struck."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.cases = dict(write_cases(folder / "configs"))
        self.results = folder / "killed"
        self.cache = folder / "cache"
        self.records: list[Record] = []
        self.lasting = {
            Phase.START: 4.0,
            Phase.TRAINING: 0.05,
            Phase.EVALUATION: 0.15,
            Phase.CHECKPOINT: 0.02,
            Phase.END: 0.3,
        }

    def twins(self) -> None:
        """Every case, uninterrupted, in one process with photos of its own."""
        assert self.let(self.all_configs(), results=self.folder / "whole") == 0

    def forget_whole_photos(self) -> None:
        """Have them prepared again, unless they are half prepared: then that goes on."""
        if not any((self.cache / "photos").glob(f"*{PARTIAL}")):
            shutil.rmtree(self.cache, ignore_errors=True)

    def run_of(self, case: str, results: str) -> Path | None:
        """The case's run that has a run.json."""
        found = sorted((self.folder / results).glob(f"sample-{case}-s1-*/run.json"))
        assert len(found) <= 1, found
        return found[0].parent if found else None

    def unfinished(self) -> list[Path]:
        runs = [self.run_of(case, "killed") for case in self.cases]
        return [run for run in runs if run is not None and state_of(run) != "completed"]

    def all_configs(self) -> list[Path]:
        return list(self.cases.values())

    def moment(self, phase: Phase, first: int, last: int) -> Moment:
        step = self.chance.randint(first, last) if phase in AT_A_STEP else 0
        return Moment(phase, step, self.chance.uniform(0, self.lasting[phase]))

    def started(self, what: Sequence[Path], results: Path) -> Training:
        """Configs are trained, runs are gone on with."""
        request = (
            ResumeRequest([str(run) for run in what], device="cpu")
            if what[0].is_dir()
            else Request([Entry(one) for one in what], device="cpu", results=results)
        )
        cache = self.cache if results == self.results else self.folder / "own_cache"
        training = Training(log=self.folder / f"{results.name}.log", cache=cache)
        training.begin(request, results)
        return training

    def let(self, what: Sequence[Path], *, results: Path) -> int:
        """Have it end by itself; returns the exit code."""
        with self.started(what, results) as training:
            return training.wait()

    def kill(self, what: Sequence[Path], moment: Moment) -> None:
        """Train or go on, and kill it at a moment unless it is over before."""
        with self.started(what, self.results) as training:
            self.record(training, training.strike(moment))

    def kill_early(self, phase: str, within_s: float) -> None:
        """Train the first cases, and kill that soon after it began to do what it does first."""
        first = self.all_configs()[:TOGETHER]
        with self.started(first, self.results) as training:
            while training.is_running and self.early_phase(training) != phase:
                time.sleep(0.0005)
            time.sleep(self.chance.uniform(0, within_s))
            before = self.early_phase(training)
            struck = training.kill()
            if struck is not None and not training.events:
                struck = self.early_phase(training) or before or struck
            self.record(training, struck)

    def early_phase(self, training: Training) -> str | None:
        """What a training does that has told nothing yet, by what lies on its disk."""
        if training.events:
            return None
        if any((self.cache / "photos").glob(f"*{PARTIAL}")):
            return PHOTOS
        new = (run for run in self.results.glob("*") if run.stat().st_mtime >= training.started)
        return FOLDER if any(not (run / "run.json").exists() for run in new) else None

    def record(self, training: Training, struck: str | None) -> None:
        if struck is None:
            assert training.wait() == 0, training.last_lines(30)
            return
        phase = struck.rpartition(", ")[2]
        self.records.append(Record(self.struck_case(training.started), phase))
        print(f"  {len(self.records):3}  {self.records[-1].case}: {struck}", flush=True)

    def struck_case(self, started: float) -> str:
        """Whose run it was: the one written to last; none while the photos are prepared."""
        files = [
            (file.stat().st_mtime, run.name)
            for run in self.results.glob("*")
            for file in (run, run / "run.json", run / "metrics.jsonl", run / "writer.lock")
            if file.exists() and file.stat().st_mtime >= started
        ]
        return max(files)[1].removeprefix("sample-").rsplit("-s1-", 1)[0] if files else "-"


AT_A_STEP = (Phase.TRAINING, Phase.CHECKPOINT, Phase.EVALUATION)
EARLY = (Phase.TRAINING, Phase.CHECKPOINT, Phase.EVALUATION, Phase.START, Phase.CHECKPOINT)
LATE = (
    *(Phase.CHECKPOINT, Phase.EVALUATION, Phase.TRAINING),
    *(Phase.END, Phase.TRAINING, Phase.START),
)


def stated() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, optimizer and other settings of every case."""
    for name, entry in registry.ENTRIES.items():
        optimizer = WRAPPERS.get(name, {"name": name})
        if any(argument.name == "learning_rate" for argument in entry.arguments):
            optimizer = {**optimizer, "learning_rate": 0.001}
        yield name, optimizer, {}
    for name, (optimizer, training) in OTHERS.items():
        yield name, optimizer, training


def write_cases(folder: Path) -> Iterator[tuple[str, Path]]:
    folder.mkdir()
    for name, optimizer, training in stated():
        path = folder / f"{name}.yaml"
        content = {**BASE, "optimizer": optimizer, "training": {**TRAINING, **training}}
        if name in OTHERS:
            content["model"] = {**BASE["model"], "trainable": "all"}
        path.write_text(json.dumps(content))
        yield name, path


def state_of(run: Path) -> str:
    return str(json.loads((run / "run.json").read_text())["state"])


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_every_killed_run_ends_as_its_twin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.SystemRandom().randrange(100_000)
    loop = Loop(tmp_path, seed)
    with capsys.disabled():
        print(f"\nkill loop: {len(loop.cases)} cases, seed {seed}", flush=True)
        loop.twins()
        kill_before_any_run(loop)
        kill_each_in_its_first_half(loop)
        kill_each_in_its_second_half(loop)
        if left := loop.unfinished():
            assert loop.let(left, results=loop.results) == 0
        report(loop)
    require_identical(loop)


def kill_before_any_run(loop: Loop) -> None:
    """While the photos are prepared, and while a run's folder is made."""
    for _ in range(4):
        loop.forget_whole_photos()
        loop.kill_early(PHOTOS, within_s=0.1)
    loop.kill_early(FOLDER, within_s=0.05)
    # A run that has no run.json is none: that is said, and it is trained anew.
    husks = [run for run in loop.results.glob("*") if not (run / "run.json").exists()]
    assert all(loop.let([husk], results=loop.results) == 2 for husk in husks)


def kill_each_in_its_first_half(loop: Loop) -> None:
    """One process after the other begins the cases that have no run yet, and is killed."""
    number = 0
    while missing := [case for case in loop.cases if loop.run_of(case, "killed") is None]:
        moment = loop.moment(EARLY[number % len(EARLY)], 1, STEPS // 2)
        loop.kill([loop.cases[case] for case in missing[:TOGETHER]], moment)
        number += 1


def kill_each_in_its_second_half(loop: Loop) -> None:
    """Each process goes on with several runs, of which it is killed in the first."""
    pending = loop.unfinished()
    for number, run in enumerate(pending):
        if state_of(run) != "completed":
            moment = loop.moment(LATE[number % len(LATE)], STEPS // 2 + 1, STEPS - 1)
            # Those killed twice wait for the last process, which nobody kills.
            loop.kill(pending[number : number + TOGETHER], moment)


def report(loop: Loop) -> None:
    phases = Counter(record.phase for record in loop.records)
    print(f"{len(loop.records)} kills")
    for phase, count in phases.most_common():
        print(f"  {count:3} {phase}")
    print("by case:", dict(Counter(record.case for record in loop.records)), flush=True)


def require_identical(loop: Loop) -> None:
    different = {}
    for case in loop.cases:
        run, twin = loop.run_of(case, "killed"), loop.run_of(case, "whole")
        assert run is not None
        assert twin is not None
        parts = [part for part in compare(twin, run) if part.difference]
        if parts:
            different[case] = [(part.name, part.difference) for part in parts]
    assert different == {}, json.dumps(different, indent=1)
    for log in loop.folder.glob("*.log"):
        assert "Traceback" not in log.read_text(errors="replace")
    assert len(loop.records) >= FEWEST_KILLS
    struck = {record.phase for record in loop.records}
    assert struck >= {PHOTOS, Phase.START, Phase.TRAINING, Phase.EVALUATION, Phase.CHECKPOINT}
    assert {record.case for record in loop.records} >= set(loop.cases)
