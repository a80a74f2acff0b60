"""What `optrun compare` takes of very many runs: seconds, their growth, and memory.

    python benchmarks/compare_runs.py [--runs 1000 10000] [--rounds 3]

Records as large as those that a run leaves are written into a temporary folder, eight seeds of each
experiment. A process of its own for each round compares them; seconds are those of its processor,
since a machine may be shared, the fewest of the rounds, with the start of Python and all imports.
Ten times the runs are to take no more than ten times as long; 10,000 at most 10 s and 1 GB. Exit
code 1 where a limit is missed.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from optrun.runner import provenance
from optrun.runner.runs.record import RECORD_NAME, RunRecord, RunStatus

SEEDS = 8
MOST_SECONDS, MOST_BYTES, AT_RUNS = 10.0, 10**9, 10_000
GROWTH = 1.1  # by which time may grow beyond the number of runs
_COMPARED = """
import resource, sys, time
from optrun.runner import cli
try:
    cli.main()
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(time.process_time(), peak * (1 if sys.platform == "darwin" else 1024), file=sys.stderr)
"""


def record(number: int, packages: dict[str, str]) -> RunRecord:
    """The record of one of very many runs: no two results are the same, nor any hash."""
    experiment, seed = divmod(number, SEEDS)
    rate = 1e-6 * (1 + experiment)

    def hash_of(*what: object) -> str:
        return hashlib.sha256(repr(what).encode()).hexdigest()

    def measured(name: str) -> float:
        return int(hash_of(name, number)[:12], 16) / 16**12

    measures = [
        *("best_validation_loss", "best_validation_accuracy", "final_validation_accuracy"),
        *("final_validation_loss", "test_accuracy", "test_log_loss", "test_roc_auc", "gap_loss"),
        *("gap_accuracy", "images_per_second", "training_seconds", "evaluation_seconds"),
    ]
    augmentation = dict.fromkeys(("shift", "zoom", "rotation", "brightness", "contrast"), 0.0)
    specification = {"name": "sgd", "learning_rate": rate, "momentum": 0.9, "nesterov": False}
    arguments = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm")
    return RunRecord(
        id=hash_of(number)[:6],
        name=f"sgd_{experiment}",
        seed=seed,
        sample=False,
        optimizer=f"SGD {rate:g}, momentum 0.9",
        specification=specification | dict.fromkeys(arguments),
        experiment=hash_of("experiment", experiment),
        comparable={
            **{"photos": hash_of("photos"), "split": hash_of("split"), "image_size": 128},
            **{"resize": "squash", "antialias": False, "precision": "float32", "epochs": 3},
            **{"augmentation": {"flip": False, **augmentation}, "device": "cpu"},
            "model": {"network": "vgg19", "width": 1.0, "weights": hash_of("weights")},
        },
        provenance={
            "packages": packages,
            "threads": 2,
            "photos_by_part": {"train": 1792, "validation": 296, "test": 308},
            "initial_weights": hash_of("initial", seed),
            "first_batches": hash_of("batches", seed),
        },
        started=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        batch_size=16,
        steps_per_epoch=112,
        images_per_update=16,
        written_status=RunStatus.COMPLETED,
        result={name: measured(name) for name in measures} | {"gradient_evaluations": 336},
    )


def write_runs(folder: Path, count: int) -> None:
    """Writes a folder of so many runs, of which each is its record alone."""
    packages = provenance.packages()
    for number in range(count):
        run = folder / f"run-{number:06}"
        run.mkdir(parents=True)
        content = json.dumps(record(number, packages).as_json(), indent=1)
        (run / RECORD_NAME).write_text(content, encoding="utf-8")


def cost(folder: Path, rounds: int) -> tuple[float, int]:
    """Processor seconds of a comparison, the fewest of the rounds, and the most bytes of memory."""
    found = []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", _COMPARED, "compare", str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
        seconds, peak = done.stderr.split()[-2:]
        found.append((float(seconds), int(peak)))
    return min(seconds for seconds, _ in found), max(peak for _, peak in found)


def main() -> None:
    """Parses the options, prints all figures, and exits by the limits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, AT_RUNS])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    met, found = True, []
    for count in sorted(options.runs):
        with tempfile.TemporaryDirectory() as name:
            write_runs(Path(name), count)
            seconds, peak = cost(Path(name), options.rounds)
        print(f"{count:7,} runs  {seconds:6.2f} s of the processor  {peak / 1e6:6.0f} MB at most")
        found.append((count, seconds))
        if count <= AT_RUNS:
            met &= seconds <= MOST_SECONDS and peak <= MOST_BYTES
    for (few, before), (many, after) in pairwise(found):
        print(f"{many / few:5.1f} times the runs take {after / before:.1f} times as long")
        met &= after / before <= GROWTH * many / few
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
