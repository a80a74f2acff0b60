"""What checkpoints cost: seconds and bytes of one, and their share of the training time.

    python benchmarks/checkpoints.py [--folder DIR] [--rounds 5]

Full-size VGG19 classifiers of 128 px are saved as a run saves them: the state taken from the
network and its optimizer, looked through for what is not finite, written, flushed to the disk,
hashed, put in the place of the one before; `last`, and `best` with it. Beside it stands writing as
many bytes in one piece and flushing them. From the median of the rounds follows the share of an
hour's training that saving takes: by time alone, every five minutes, and at the ends of epochs of
several lengths, with the best epoch's weights each time. The limit is 2 % at every length of
epochs; exit code 1 where it is missed.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from optrun.optimizers.specification import parse
from optrun.runner.engine import checkpoint
from optrun.runner.engine import state as training_state
from optrun.runner.engine.checkpointer import LARGEST_SHARE
from optrun.runner.engine.network import build_classifier
from optrun.runner.engine.state import Position, State, to_checkpoint
from optrun.runner.models.base import Architecture

IMAGE_SIZE = 128
HOUR_S, BY_TIME_S = 3600, 300
EPOCHS_S = (20, 60, 120, 300, 600)
LIMIT = 0.02

_ADAM = {"name": "adam", "learning_rate": 1e-5}
_SGD = {"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9}
OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {
    "SGD with momentum": _SGD,
    "Adam": _ADAM,
    "Lookahead(SGD)": {"name": "lookahead", "inner_optimizer": _SGD},
    "Lookahead(Adam)": {"name": "lookahead", "inner_optimizer": _ADAM},
}


@dataclass(frozen=True)
class Measured:
    """Of one optimizer: bytes of `last` and `best`, and the median seconds of what saving takes."""

    last_bytes: int
    best_bytes: int
    taking_s: float
    last_s: float
    best_s: float
    plain_s: float

    @property
    def saving_s(self) -> float:
        return self.taking_s + self.last_s + self.best_s


def measure(specification: Mapping[str, Any], folder: Path, *, rounds: int) -> Measured:
    """Builds a classifier with an optimizer and saves it several times."""
    keras.backend.clear_session()
    model = build_classifier(Architecture(image_size=IMAGE_SIZE, pretrained_input=True), seed=1)
    model.compile(parse(specification).build(total_updates=1000, track_fast_weights=True))
    model.optimizer.build(model.trainable_variables)
    variables = training_state.variables_of(model, [])
    rng = np.random.default_rng(1)
    for variable in variables.values():
        if len(variable.shape) > 1:  # what is all zero would be read and hashed from few pages
            variable.assign(rng.standard_normal(variable.shape, np.float32))

    def state() -> State:
        arrays = training_state.values_of(variables)
        for array in arrays.values():
            if array.dtype.kind == "f":
                np.isfinite(array).all()
        return State(position=Position(), arrays=arrays)

    def save_last() -> None:
        saved = to_checkpoint(taken, steps_per_epoch=1)
        checkpoint.save(folder / "last", saved.arrays, saved.facts, keep_previous=True)

    def save_best() -> None:
        checkpoint.save(folder / "best", weights, {"epoch": 1}, keep_previous=True)
        checkpoint.forget_previous(folder / "best")

    taken, weights = state(), model.get_weights()
    last_bytes, best_bytes = (
        sum(array.nbytes for array in arrays) for arrays in (taken.arrays.values(), weights)
    )
    piece = rng.bytes(last_bytes)
    # In turn, so that whatever else the machine does meets all of them.
    found: dict[str, list[float]] = {"taking": [], "last": [], "best": [], "plain": []}
    for _ in range(rounds):
        for name, step in (
            ("taking", state),
            ("last", save_last),
            ("best", save_best),
            ("plain", lambda: _write(folder / "plain", piece)),
        ):
            found[name].append(_seconds(step))
    median = {name: statistics.median(seconds) for name, seconds in found.items()}
    return Measured(
        last_bytes=last_bytes,
        best_bytes=best_bytes,
        **{f"{name}_s": seconds for name, seconds in median.items()},
    )


def share(saving_s: float, epoch_s: float | None, *, at_each_end: bool = False) -> float:
    """The share of an hour of training and saving that saving takes.

    Args:
        saving_s: Seconds of one checkpoint.
        epoch_s: Seconds of an epoch; None: the hour is one epoch.
        at_each_end: Whether every epoch's end is saved; else as a run does, which leaves out those
            that come too soon after the last checkpoint.
    """
    now = saved_at = spent = 0.0
    known_s = 0.0  # what the last checkpoint took: at the first epoch's end there was none
    epoch_ends = epoch_s if epoch_s is not None else HOUR_S
    while now < HOUR_S:
        by_time = saved_at + BY_TIME_S
        ends = by_time >= epoch_ends
        now = min(by_time, epoch_ends, HOUR_S)
        if ends:
            epoch_ends += epoch_s if epoch_s is not None else HOUR_S
        soon = known_s > LARGEST_SHARE * (now - saved_at)
        if not ends or at_each_end or now >= HOUR_S or not soon:
            spent += saving_s
            saved_at, known_s = now, saving_s
    return spent / (HOUR_S + spent)


def report(name: str, one: Measured) -> bool:
    """Prints what was measured of an optimizer; returns whether the limit holds."""
    print(
        f"\n{name}: last {one.last_bytes / 1e6:.0f} MB, best {one.best_bytes / 1e6:.0f} MB\n"
        f"  taking the state {one.taking_s:.2f} s, last {one.last_s:.2f} s, best "
        f"{one.best_s:.2f} s (last in one piece, not hashed: {one.plain_s:.2f} s)"
    )
    print(f"  {'epochs':>16}  {'at each end':>12}  {'as a run saves':>14}")
    holds = True
    for epoch_s in (*EPOCHS_S, None):
        by_rule = share(one.saving_s, epoch_s)
        every = share(one.saving_s, epoch_s, at_each_end=True)
        label = "one of an hour" if epoch_s is None else f"{epoch_s} s"
        print(f"  {label:>16}  {every:>12.2%}  {by_rule:>14.2%}")
        holds &= by_rule <= LIMIT
    print(f"  {'holds' if holds else 'MISSED'}: at most {LIMIT:.0%}", flush=True)
    return holds


def _write(path: Path, piece: bytes) -> None:
    with path.open("wb") as file:
        file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the options and measures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to be measured")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="checkpoints-", dir=options.folder) as temporary:
        holds = [
            report(name, measure(specification, Path(temporary), rounds=options.rounds))
            for name, specification in OPTIMIZERS.items()
        ]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())
