"""Where a training's end may not be the last word: it still improves, or its rate never fell."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from optrun.runner.compare.budgets import CURVES, curve
from optrun.runner.compare.comparison import Group, Row, by_label
from optrun.runner.runs.reader import Run
from optrun.runner.ui.wording import number_of, some
from optrun.runner.untrusted import mapping, number, whole

MOST_FILES = 200  # read in all, since each run's epochs lie in a file of their own
_MOST_NAMED = 4
_LEAST_SHARE = 0.01  # of the whole fall, in the last epoch
_STANDARD_ERRORS = 2
_DECAYED = 0.1  # of the initial rate, or less
_SOURCE = "Wen et al. 2025, arXiv 2509.02046"


def notes(group: Group, *, files: int = MOST_FILES) -> Iterator[str]:
    """Both, of a table's rows; `files` are read at most, and more seeds than that not looked at."""
    yield from _still_improving(group.rows, files)
    yield from _not_decayed(group.rows)


def _still_improving(rows: Sequence[Row], files: int) -> Iterator[str]:
    candidates = {
        label: row
        for label, row in by_label(rows).items()
        if 2 * len(_best_at_end(row)) > len(row.runs)
    }
    each = files // max(1, len(candidates))
    told = []
    for label, row in candidates.items():
        losses = [_losses(run) for run in row.runs[:each]]
        if (share := share_in_last_epoch([one for one in losses if one])) is not None:
            seeds = f"{len(_best_at_end(row))} of {number_of(len(row.runs), 'seed')}"
            told.append(f"{label} ({seeds}, {100 * share:.0f} % of its fall in validation loss)")
    if told:
        ranking = ". More epochs may change the ranking" if len(rows) > 1 else ""
        yield f"Still improving at the last epoch: {some(told, _MOST_NAMED)}{ranking}."


def share_in_last_epoch(losses: Sequence[Sequence[float]]) -> float | None:
    """The last epoch's part of the fall in loss since the first epoch's end; None: no real one.

    Of each seed's losses by epoch d is how far the last one fell below the one before. It is real
    where the mean of d over seeds is more than twice its standard error, so that a plateau's noise
    is seldom taken for it, and more than 1 % of the mean fall. Where a rate decays to 0 the last
    epoch is the best one as a rule, but hardly better than the one before.

    >>> share_in_last_epoch([[0.9, 0.5, 0.40], [0.8, 0.5, 0.41]])
    0.2134831460674157
    >>> share_in_last_epoch([[0.9, 0.5, 0.499], [0.8, 0.5, 0.498]])
    """
    steps = [one[-2] - one[-1] for one in losses if len(one) > 1]
    falls = [one[0] - one[-1] for one in losses if len(one) > 1]
    if len(steps) < 2:  # one seed alone has no standard error
        return None
    step, fall = statistics.fmean(steps), statistics.fmean(falls)
    error = statistics.stdev(steps) / math.sqrt(len(steps))
    is_real = step > _STANDARD_ERRORS * error and step > _LEAST_SHARE * fall > 0
    return step / fall if is_real else None


def _best_at_end(row: Row) -> list[Run]:
    """The runs whose lowest validation loss is that of their last epoch."""
    best = [(run, run.record.measure("best_epoch")) for run in row.runs]
    return [run for run, epoch in best if epoch is not None and epoch == _epochs(run)]


def _epochs(run: Run) -> float | None:
    return run.record.measure("epochs")


def _losses(run: Run) -> list[float]:
    """By epoch; empty where they cannot be read to the last one."""
    points = curve(run, "epochs", CURVES["validation_loss"])
    return [loss for _, loss in points] if points and points[-1][0] == _epochs(run) else []


def _not_decayed(rows: Sequence[Row]) -> Iterator[str]:
    shares = {label: _share_of_rate(row) for label, row in by_label(rows).items() if row.runs}
    high = {one: share for one, share in shares.items() if share is not None and share > _DECAYED}
    if len(shares) < 2 or not high:
        return
    if len(high) == len(shares):
        yield f"No learning rate decays to its end: rankings can turn where it does ({_SOURCE})."
        return
    constant = [label for label, share in high.items() if share == 1]
    told = [f"{some(constant, _MOST_NAMED)} (constant)"] if constant else []
    told += [f"{label} (at {100 * share:.0f} %)" for label, share in high.items() if share != 1]
    yield (
        f"Learning rate not decayed at the end: {some(told, _MOST_NAMED)}. Rankings can turn when "
        f"it decays ({_SOURCE})."
    )


def _share_of_rate(row: Row) -> float | None:
    """Of the initial rate, what the first run ended with, by its specification."""
    record, optimizer = row.runs[0].record, row.newest.specification
    while "learning_rate" not in optimizer and "inner_optimizer" in optimizer:
        optimizer = mapping(optimizer["inner_optimizer"])
    updates, epochs = record.measure("updates"), record.measure("epochs")
    made = round(updates) if updates else None
    # Of a training that stopped early, what it would have come to.
    planned = round(made * record.epochs / epochs) if made and record.epochs and epochs else made
    return share_at_end(optimizer.get("learning_rate"), updates=made, planned=planned)


def share_at_end(rate: object, *, updates: int | None, planned: int | None) -> float | None:
    """The last update's learning rate by the initial one; None where that cannot be told.

    `rate` is a specification's, a number or a schedule as in `optimizers.schedules`, of which
    `updates` were made of those `planned`.

    >>> share_at_end(0.1, updates=100, planned=100)
    1.0
    >>> step = {"schedule": "step", "initial_learning_rate": 1, "decay_rate": 0.5}
    >>> share_at_end({**step, "decay_updates": 40}, updates=100, planned=100)
    0.25
    """
    if number(rate) is not None:
        return 1.0
    stated: Mapping[str, object] = mapping(rate)
    initial, kind = number(stated.get("initial_learning_rate")), stated.get("schedule")
    if initial is None or initial <= 0:
        return None
    if kind == "constant":
        return 1.0
    warmup = whole(stated.get("warmup_updates")) or 0
    over = whole(stated.get("decay_updates")) or (planned or 0) - warmup
    if updates is None or over < 1:
        return None
    passed = max(0, updates - 1 - warmup)
    if kind == "cosine":
        final = (number(stated.get("final_learning_rate")) or 0.0) / initial
        return final + (1 - final) * (1 + math.cos(math.pi * min(1.0, passed / over))) / 2
    factor = number(stated.get("decay_rate"))
    if factor is None or factor <= 0:
        return None
    if kind == "inverse_time":
        return 1 / (1 + factor * passed / over)
    if factor > 1:
        return None
    if kind == "exponential":
        return math.exp(math.log(factor) * passed / over)
    return math.exp(math.log(factor) * (passed // over)) if kind == "step" else None
