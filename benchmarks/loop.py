"""What the training loop costs beside the training: the loop against bare compiled steps.

    python benchmarks/loop.py [--rounds 40] [--steps 20]

The network of the built-in sample (48 px, an eighth of VGG19's channels, float32) is trained with
SGD on photos in memory: through the runner's loop, with its clocks, events, records and readings of
the device, and by calling the model's `train_step`, compiled, on the same batches and nothing else.
Both take turns, in rounds so short that whatever else the machine does meets them alike; the
medians are compared. The limit is 2 % of the processor time, which other work
disturbs less than the clock's, shown beside it; exit code 1 where it is missed.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from optrun.data import sample
from optrun.runner.config.load import load
from optrun.runner.config.schema import architecture_of
from optrun.runner.engine.checkpointer import Checkpointer, Storage
from optrun.runner.engine.clocks import Clocks
from optrun.runner.engine.engine import TensorFlowEngine
from optrun.runner.engine.hardware import Machine
from optrun.runner.engine.loop import Training
from optrun.runner.engine.network import build_classifier
from optrun.runner.engine.signals import Stops
from optrun.runner.engine.state import Position
from optrun.runner.models.initialization import initialise_head
from optrun.runner.models.networks import NETWORKS

LIMIT = 0.02
CONFIG = Path(__file__).resolve().parents[1] / "configs" / "sgd_vgg19.yaml"
MACHINE = Machine("cpu", "", "float32", jit_compile=False, threads=os.cpu_count() or 1)


class _Steps(Training):
    """A training of the steps of one epoch, whose end is no part of what is measured."""

    @property
    def is_over(self) -> bool:
        return self.position.epoch > 0

    def end_epoch(self, epoch: int) -> None:
        pass

    def save(self) -> None:
        pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the options and measures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20, help="in each round")
    options = parser.parse_args(arguments)
    experiment = load(CONFIG, [], sample=True).experiment
    size, side = experiment.training.batch_size, experiment.data.image_size
    photos = np.stack(
        [sample.draw(sample.SAMPLE_SEED, n)[:side, :side] for n in range(options.steps * size)]
    )
    labels = np.array([sample.label(n) for n in range(len(photos))], np.float32)
    batches = [
        (tf.constant(photos[start : start + size]), tf.constant(labels[start : start + size]))
        for start in range(0, len(photos), size)
    ]
    architecture = architecture_of(experiment)
    model = build_classifier(architecture, seed=1)
    initialise_head(model, seed=1, scale=0.1)
    NETWORKS[architecture.network].initialise(model, photos[:64], 1)
    updates = experiment.optimizer.updates(batches_per_epoch=options.steps, epochs=1)
    optimizer = experiment.optimizer.build(total_updates=updates, track_fast_weights=True)
    # Both ways go on with the same network.
    engine = TensorFlowEngine(model, optimizer, jit_compile=MACHINE.jit_compile)
    signature = tf.nest.map_structure(
        lambda one: tf.TensorSpec([None, *one.shape[1:]], one.dtype), batches[0]
    )
    bare_step = tf.function(
        model.train_step, input_signature=[signature], autograph=False
    ).get_concrete_function()
    storage = Storage("", Path(), Path(), Path(), lambda: 0)

    def bare() -> None:
        for batch in batches:
            bare_step(batch)

    def loop() -> None:
        _Steps(
            settings=experiment.training,
            images=options.steps * size,
            evaluations=1,
            planned_updates=lambda epochs: options.steps * epochs,
            steps=options.steps,
            engine=engine,
            clocks=Clocks(),
            validation=None,  # type: ignore[arg-type]
            checkpointer=Checkpointer(storage, minutes=60, steps=options.steps),
            storage=storage,
            listeners=[[].append],
            stops=Stops(),
            position=Position(),
        ).run(iter(batches))

    ways = (bare, loop)
    for way in ways:  # traced and compiled
        way()
    seconds: dict[Callable[[], None], list[tuple[float, float]]] = {bare: [], loop: []}
    for number in range(options.rounds):
        for way in ways[:: 1 if number % 2 else -1]:
            started = time.perf_counter(), time.process_time()
            way()
            ended = time.perf_counter(), time.process_time()
            seconds[way].append((ended[0] - started[0], ended[1] - started[1]))
    for place, name in enumerate(("on the clock", "processor time")):
        step = {
            way: statistics.median(one[place] for one in seconds[way]) / options.steps
            for way in ways
        }
        ratio = step[loop] / step[bare]
        print(
            f"{name}: a bare step {step[bare] * 1e3:.2f} ms, one in the loop "
            f"{step[loop] * 1e3:.2f} ms, {ratio - 1:+.2%}"
        )
    print(f"{'holds' if ratio <= 1 + LIMIT else 'MISSED'}: at most {LIMIT:.0%}")
    return 0 if ratio <= 1 + LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
