"""What an optimizer costs beside its core: time of an update, state in memory, time of a step.

    python benchmarks/optimizer_step.py [--only updates|memory|steps] [--rounds N] [--jit]

All on the 20 million weights of VGG19's convolutions, at random values. Times are ratios: the two
sides of a ratio are run by turns in one process, and each ratio is that of their medians. A ratio
that the documentation claims has a limit; if one is exceeded, the program exits with 1.

updates  The update alone, from given gradients. A wrapper is measured against its inner optimizer,
         over a whole cycle; SoftBatch's step that only accumulates, a step along the gradient flow
         (combining its gradients) and Keras' optimizers against plain SGD. The limits are for
         jit_compile=False, as Keras trains on a CPU; with --jit the ratios have no limits, since
         XLA copies what a branch may write whether it is taken or not.
memory   The state kept between steps, in copies of the weights, against the rule's own count.
steps    Whole training steps of VGG19, 128 px, batches of 16, against SGD's.
"""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from optrun.optimizers import GradientCentralization, Model
from optrun.optimizers.registry import ENTRIES
from optrun.optimizers.specification import parse
from optrun.optimizers.wrapper import find, with_several_evaluations

Specification = Mapping[str, object]

UPDATES_PER_MEASUREMENT = 10  # two of Lookahead's cycles at a period of 5
NEVER = 10**6
SGD: Specification = {"name": "sgd", "learning_rate": 1e-4}
HEAVY_BALL: Specification = {"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9}
RADAM: Specification = {"name": "radam", "learning_rate": 1e-4}

# What a rule needs from one step to the next, read off its equations; "lookahead" and "soft_batch"
# beside the momentum of the SGD inside. Keras allocates Adafactor's full second moment too.
THEORETICAL_COPIES = {
    "sgd": 0,
    "adam": 2,
    "adamw": 2,
    "adamax": 2,
    "nadam": 2,
    "adagrad": 1,
    "adadelta": 2,
    "rmsprop": 1,
    "ftrl": 2,
    "adafactor": 1,
    "lamb": 2,
    "lion": 1,
    "muon": 2,
    "lookahead": 2,
    "soft_batch": 2,
    "heun": 0,
    "rk23": 0,
    "rk45": 0,
    "radam": 2,
    "ranger": 3,
}
STEP_LIMITS = {"heun": 2.1, "rk23": 3.2, "rk45": 6.3}


@dataclass(frozen=True)
class Row:
    """One measured figure; without a limit it is only shown."""

    what: str
    against: str
    measured: float
    limit: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the figure is within its limit."""
        return self.limit is None or self.measured <= self.limit

    def __str__(self) -> str:
        """A line of the table."""
        if self.limit is None:
            limit = ""
        else:
            limit = f"at most {self.limit:.2f}  {'' if self.holds else 'EXCEEDED'}"
        return f"{self.what:<38}{self.against:<24}{self.measured:7.2f}  {limit}".rstrip()


def specification(name: str) -> Specification:
    """A registered optimizer as it is measured, at its defaults where they do not matter."""
    required = {one.name for one in ENTRIES[name].arguments if one.required}
    given: dict[str, object] = {"name": name}
    if "learning_rate" in required:
        given["learning_rate"] = 1e-4
    if "inner_optimizer" in required:
        given["inner_optimizer"] = HEAVY_BALL
    if "batches_per_update" in required:
        given["batches_per_update"] = 5
    return given


def convolutions() -> keras.Model:
    """VGG19 without its classifier, at random weights; the size of the photos is immaterial."""
    stock = keras.applications.VGG19(weights=None, include_top=False, input_shape=(32, 32, 3))
    return Model(stock.input, stock.output)


def prepared(given: Specification, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer with its state for the model."""
    optimizer = parse(given).build(total_updates=1000)
    centralization = find(optimizer, GradientCentralization)
    if centralization is not None:
        centralization.learn_layers(model)
    optimizer.build(model.trainable_variables)
    return optimizer


def update_of(
    given: Specification, model: keras.Model, gradients: Sequence[tf.Tensor], *, jit: bool
) -> Callable[[], None]:
    """Makes updates of a model's weights along the gradients, compiled as in training."""
    optimizer = prepared(given, model)
    variables = model.trainable_variables
    stepper = with_several_evaluations(optimizer)

    @tf.function(jit_compile=jit)
    def update(gradients: Sequence[tf.Tensor]) -> None:
        if stepper is None:
            optimizer.apply(gradients, variables)
        else:
            combined = stepper.step(lambda _: gradients, variables)
            with stepper.combined_gradient():
                optimizer.apply(combined, variables)

    def run() -> None:
        for _ in range(UPDATES_PER_MEASUREMENT):
            update(gradients)
        optimizer.iterations.numpy()  # waits for an accelerator

    return run


def median_seconds(actions: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The median time of each action, all of them by turns; the first turn warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(rounds + 1):
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            if turn > 0:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def pairs() -> list[tuple[str, Specification, str, Specification, float | None]]:
    """What is measured against what: name, specification, the same of the core, and the limit."""
    accumulating = {"name": "soft_batch", "batches_per_update": NEVER, "inner_optimizer": SGD}
    found: list[tuple[str, Specification, str, Specification, float | None]] = [
        ("soft_batch, accumulating", accumulating, "sgd", SGD, 1.1)
    ]
    for name, entry in ENTRIES.items():
        given = specification(name)
        if entry.is_wrapper:
            limit = 1.25 if name == "lookahead" else None
            found.append((f"{name} (5)", given, "sgd, momentum", HEAVY_BALL, limit))
        elif name == "ranger":
            found.append((name, given, "radam", RADAM, None))
        elif name != "sgd":
            found.append((name, given, "sgd", SGD, None))
    momentum = ("sgd, momentum", HEAVY_BALL, "sgd", SGD, None)
    centralized = {**HEAVY_BALL, "gradient_centralization": True}
    return [
        *found,
        momentum,
        ("sgd, momentum, centralized", centralized, "sgd, momentum", HEAVY_BALL, None),
    ]


def measure_updates(rounds: int, *, jit: bool) -> list[Row]:
    """Times of updates against those of their cores."""
    rows = []
    model = convolutions()
    gradients = [tf.random.normal(one.shape, stddev=1e-3) for one in model.trainable_variables]
    for name, given, core_name, core, limit in pairs():
        seconds = median_seconds(
            {
                "it": update_of(given, model, gradients, jit=jit),
                "core": update_of(core, model, gradients, jit=jit),
            },
            rounds,
        )
        per_update_ms = seconds["core"] / UPDATES_PER_MEASUREMENT * 1e3
        against = f"{core_name} ({per_update_ms:.0f} ms)"
        rows.append(Row(name, against, seconds["it"] / seconds["core"], None if jit else limit))
        print(rows[-1], flush=True)
        gc.collect()
    return rows


def measure_memory() -> list[Row]:
    """State in copies of the weights, against what the rule needs plus a hundredth."""
    model = convolutions()
    weights = size(model.trainable_variables)
    rows = []
    for name in ENTRIES:
        copies = size(prepared(specification(name), model).variables) / weights
        needed = THEORETICAL_COPIES[name]
        rows.append(Row(name, f"{needed} copies", copies, needed + 0.01))
        print(rows[-1], flush=True)
        gc.collect()
    return rows


def size(variables: Sequence[Any]) -> int:
    """Bytes of variables."""
    return sum(int(np.prod(one.shape)) * tf.as_dtype(one.dtype).size for one in variables)


def training_step(given: Specification, *, jit: bool) -> Callable[[], None]:
    """Makes one training step of VGG19 with a batch of 16 photos of 128 px."""
    stock = keras.applications.VGG19(weights=None, include_top=False, input_shape=(128, 128, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(stock.output)
    model = Model(stock.input, keras.layers.Dense(1)(pooled))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(parse(given).build(total_updates=1000), loss, jit_compile=jit)
    model.optimizer.build(model.trainable_variables)
    generator = np.random.default_rng(0)
    photos = tf.constant(generator.normal(size=(16, 128, 128, 3)).astype("float32"))
    labels = tf.constant(generator.integers(0, 2, (16, 1)).astype("float32"))
    return lambda: model.train_on_batch(photos, labels)


def measure_steps(rounds: int, *, jit: bool) -> list[Row]:
    """Times of whole steps of several gradients against SGD's."""
    actions = {name: training_step(specification(name), jit=jit) for name in ("sgd", *STEP_LIMITS)}
    seconds = median_seconds(actions, rounds)
    against = f"sgd ({seconds['sgd']:.2f} s)"
    rows = [
        Row(f"{name}, whole step", against, seconds[name] / seconds["sgd"], limit)
        for name, limit in STEP_LIMITS.items()
    ]
    print(*rows, sep="\n", flush=True)
    return rows


def main() -> None:
    """Parses the options, measures, and exits with 1 where a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=("updates", "memory", "steps"))
    parser.add_argument("--rounds", type=int, default=9, help="turns; steps take a third of them")
    parser.add_argument("--jit", action="store_true", help="compile with XLA")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")

    rows: list[Row] = []
    print(f"{'':<38}{'against':<24}{'ratio':>7}")
    if options.only in (None, "updates"):
        rows += measure_updates(options.rounds, jit=options.jit)
    if options.only in (None, "memory"):
        rows += measure_memory()
    if options.only in (None, "steps"):
        rows += measure_steps(max(1, options.rounds // 3), jit=options.jit)
    exceeded = [row.what for row in rows if not row.holds]
    if exceeded:
        sys.exit(f"over the limit: {', '.join(exceeded)}")


if __name__ == "__main__":
    main()
