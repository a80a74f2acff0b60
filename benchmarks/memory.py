"""The memory that runs take, beside what was estimated before their start.

    python benchmarks/memory.py [--weights vgg19.h5] [CASE...]

Every case is a training of its own on the built-in sample, of an epoch of a few steps and an
evaluation in batches of 64, in a process whose largest resident memory the system reports. The
estimate is to be between 0.8 and 1.6 of it, and at the full width of VGG19 not below 0.9; exit
code 1 where it is not. All cases take some minutes on two cores. Linux and macOS.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optrun.runner.config.load import load
from optrun.runner.plan.memory import Estimate, estimate

ROOT = Path(__file__).resolve().parents[1]
LOWEST, LOWEST_AT_FULL_WIDTH, HIGHEST = 0.8, 0.9, 1.6
# More than 64 of them for validation, and so for the training subset.
PHOTOS = {"data.limit": 160, "data.validation_share": 0.45, "data.test_share": 0.02}


@dataclass(frozen=True)
class Case:
    """One training.

    Attributes:
        config: First part of a file in configs/.
        width: As `model.width`.
        image_size: As `data.image_size`.
        batch_size: As `training.batch_size`.
        precision: As `training.precision`.
    """

    config: str
    width: float
    image_size: int
    batch_size: int
    precision: str = "float32"

    @property
    def overrides(self) -> list[str]:
        """As `--set` takes them."""
        settings = {
            **PHOTOS,
            "model.width": self.width,
            "data.image_size": self.image_size,
            "training.batch_size": self.batch_size,
            "training.precision": self.precision,
            "training.epochs": 1,
        }
        return [f"{key}={value}" for key, value in settings.items()]

    @property
    def path(self) -> Path:
        return ROOT / "configs" / f"{self.config}_vgg19.yaml"


CASES = {
    "tiny": Case("sgd", 0.0625, 32, 8),
    "width-0.25-64px-32": Case("adam", 0.25, 64, 32),
    "width-0.25-224px-8": Case("adam", 0.25, 224, 8),
    "sgd-64px-8": Case("sgd", 1.0, 64, 8),
    "adam-64px-8": Case("adam", 1.0, 64, 8),
    "adam-64px-32": Case("adam", 1.0, 64, 32),
    "bfloat16-64px-32": Case("adam", 1.0, 64, 32, "mixed_bfloat16"),
    "lookahead-64px-8": Case("lookahead_adam", 1.0, 64, 8),
    "soft-batch-64px-8": Case("soft_batch", 1.0, 64, 8),
    "heun-64px-8": Case("heun", 1.0, 64, 8),
    "adam-128px-8": Case("adam", 1.0, 128, 8),
    "adam-128px-32": Case("adam", 1.0, 128, 32),
    "lookahead-128px-32": Case("lookahead_adam", 1.0, 128, 32),
}


def estimated(case: Case) -> Estimate:
    """What `optrun train` would say of it."""
    experiment = load(case.path, case.overrides, sample=True).experiment
    return estimate(experiment, precision=case.precision)


def measured_bytes(case: Case, weights: str) -> int:
    """Largest resident memory of a process that trains it."""
    with tempfile.TemporaryDirectory(prefix="memory-") as results:
        command: list[str | Path] = [
            *(Path(sys.executable).with_name("optrun"), "train", case.path),
            *("--sample", "--device", "cpu", "--quiet", "--results", results),
        ]
        for override in (*case.overrides, f"model.weights={weights}"):
            command += ["--set", override]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the training ended with exit code {process.returncode}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def compare(name: str, case: Case, weights: str) -> bool:
    """Prints a case's two figures; returns whether their ratio is as it is to be."""
    expected = estimated(case)
    taken = measured_bytes(case, weights if case.width == 1 else "random")
    ratio = expected.total / taken
    holds = (LOWEST_AT_FULL_WIDTH if case.width == 1 else LOWEST) <= ratio <= HIGHEST
    parts = (expected.program, expected.network, expected.photos)
    print(
        f"{'holds ' if holds else 'MISSED'} {name:<20} measured {taken / 2**20:6,.0f} MiB, "
        f"estimated {expected.total / 2**20:6,.0f} "
        f"({' + '.join(f'{part / 2**20:,.0f}' for part in parts)}), ratio {ratio:.2f}",
        flush=True,
    )
    return holds


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the options and measures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument(
        "--weights", default="random", help="that full-width networks start from, as model.weights"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.cases) - CASES.keys():
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    print("estimates are of the program + network and optimizer + batches of photos")
    chosen = options.cases or list(CASES)
    held = [compare(name, CASES[name], options.weights) for name in chosen]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
