"""Makes the run folders and the expected outputs beside it: `python tests/runner/records/make.py`.

Nothing is drawn at random: accuracies are whole photos of 512, chosen so that every conclusion can
be checked by hand (`tests/runner/test_committed_records.py`). Each table has another length of
training or other photos, so that the cases do not count as comparisons of each other.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RUNS = HERE / "runs"
TEST_PHOTOS = 512
# What the expected outputs are of, in the folder of this file and at 80 columns.
ARGUMENTS = ("compare", "runs", "--margin", "0.5")
EXPECTED = {"table": "txt", "markdown": "md", "csv": "csv", "json": "json"}
_STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def content(name: str, seed: int, photos_right: int, **changes: Any) -> dict[str, Any]:
    """A run.json: `photos_right` of the test photos, and all else as in every other run."""
    error = 1 - photos_right / TEST_PHOTOS
    changes.setdefault("batch", (16, 16))
    batch_size, images_per_update = changes["batch"]
    start = changes.get("start", "same")
    return {
        "format": 1,
        "name": name,
        "seed": seed,
        "sample": changes.get("sample", False),
        "state": changes.get("state", "completed"),
        "why": changes.get("why"),
        "started": (_STARTED + timedelta(minutes=seed)).isoformat(),
        "optimizer": {
            "description": changes.get("optimizer", name.title()),
            "specification": {"name": name, "learning_rate": 1e-4},
        },
        "experiment": _hash(name, changes.get("epochs", 3)),
        "comparable": {
            "photos": _hash(changes.get("photos", "photos")),
            "model": {"weights": "random"},
            "epochs": changes.get("epochs", 3),
        },
        "batch_size": batch_size,
        "images_per_update": images_per_update,
        "provenance": {
            "packages": {"tensorflow": "2.21.0", "keras": "3.15.1"},
            "photos_by_part": {"train": 4096, "validation": 512, "test": TEST_PHOTOS},
            "initial_weights": _hash(start, seed),
            "first_batches": _hash("batches", batch_size, seed),
            **({"tuning": changes["tuning"]} if "tuning" in changes else {}),
        },
        "result": {
            "best_validation_loss": 2 * error,
            "best_validation_accuracy": 1 - error,
            "final_validation_accuracy": 1 - error,
            "test_accuracy": 1 - error,
            "test_log_loss": 2 * error,
            "test_roc_auc": 1 - error / 2,
            "gap_loss": 0.0625,
            "gap_accuracy": 0.03125,
            "images_per_second": 40.0,
            "gradient_evaluations": 768,
            "training_seconds": 307.0,
        },
    }


def folders() -> Iterator[tuple[str, str]]:
    """Each run folder's name with its run.json."""
    for name, text in _completed():
        yield name, json.dumps(text) + "\n"
    diverged = content("adam", 8, 0, state="diverged", why="the loss is not finite")
    for name, text in {
        "adam-s8-diverged": diverged | {"result": None},
        "sgd-s1-superseded": content("sgd", 1, 500) | {"started": "2025-12-31T00:00:00+00:00"},
        "sgd-s9-failed": content("sgd", 9, 0, state="failed", why="the disk is full"),
        "sgd-s10-interrupted": content("sgd", 10, 0, state="interrupted", why="stopped by SIGINT"),
        # Says so, and nobody holds its lock: it was killed.
        "sgd-s11-killed": content("sgd", 11, 0, state="running"),
        "nadam-s1001-trial": content("nadam", 1001, 0, epochs=1, tuning={"purpose": "tuning"}),
    }.items():
        yield name, json.dumps(text) + "\n"
    yield "sgd-s12-unreadable", json.dumps(content("sgd", 12, 0))[:100]


def _completed() -> Iterator[tuple[str, dict[str, Any]]]:
    # Of seven seeds: clearly better, clearly worse, and as often one as the other.
    sgd = (448, 450, 452, 454, 456, 458, 460)
    yield from _rows("sgd", 1, sgd)
    yield from _rows("lookahead", 1, _plus(sgd, (8, 9, 10, 11, 12, 13, 14)))
    yield from _rows("adam", 1, _plus(sgd, (-20, -19, -18, -17, -16, -15, -14)))
    yield from _rows("heun", 1, _plus(sgd, (-9, 9, -6, 6, -3, 3, 0)))
    # On other photos: never further apart than one photo, 0.2 points.
    yield from _rows("sgd", 1, sgd[:6], photos="other photos")
    yield from _rows("radam", 1, _plus(sgd[:6], (1, -1, 1, -1, 1, -1)), photos="other photos")
    # Trained for one epoch: few seeds, partly in common, one of several settings tried, and
    # soft-batch beside batches as large as those it is fed, and as those it updates with.
    yield from _rows("sgd", 1, sgd[:3], epochs=1)
    tried = [
        {"settings": {"learning_rate": rate}, "best_validation_loss": loss}
        for rate, loss in (("1e-4", 0.5), ("3e-4", 0.25))
    ]
    tuning = {"tried": tried, "chosen": {"learning_rate": "3e-4"}, "seeds": [1001]}
    yield from _rows("nadam", 3, (458, 460, 462), epochs=1, tuning=tuning)
    yield from _rows("soft_batch", 1, (456,), epochs=1, batch=(16, 64))
    yield from _rows("sgd_batch64", 1, (440,), epochs=1, batch=(64, 64), optimizer="Sgd")
    # On drawn photos, from other random weights: no pairs, though the seeds are the same.
    yield from _rows("sgd", 1, (400, 402, 404, 406), sample=True)
    yield from _rows("adam", 1, (420, 421, 422, 423), sample=True, start="other")


def _rows(
    name: str, first_seed: int, photos_right: Sequence[int], **changes: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    kind = "sample-" * changes.get("sample", False)
    kind += "other-" * ("photos" in changes) + "short-" * ("epochs" in changes)
    for seed, right in enumerate(photos_right, first_seed):
        yield f"{kind}{name}-s{seed}", content(name, seed, right, **changes)


def _plus(values: Sequence[int], differences: Sequence[int]) -> list[int]:
    return [value + difference for value, difference in zip(values, differences, strict=True)]


def _hash(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()


def main() -> None:
    """Writes everything anew."""
    shutil.rmtree(RUNS, ignore_errors=True)
    for name, text in folders():
        (RUNS / name).mkdir(parents=True)
        (RUNS / name / "run.json").write_text(text, encoding="utf-8")
    for layout, ending in EXPECTED.items():
        done = subprocess.run(
            [sys.executable, "-m", "optrun.runner.cli", *ARGUMENTS, "--format", layout],
            stdout=subprocess.PIPE,
            env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
            cwd=HERE,
            check=True,
        )
        (HERE / f"expected.{ending}").write_bytes(done.stdout)


if __name__ == "__main__":
    main()
