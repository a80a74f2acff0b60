"""What `optrun plot` does: the curves of some runs in one picture, and in words what they show."""

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from optrun.runner.compare.comparison import Group, Row, compare
from optrun.runner.compare.footnotes import heading
from optrun.runner.errors import UserError, unwritable
from optrun.runner.report.curves import QUANTITIES, history, learning_curves, slow_and_fast
from optrun.runner.report.figure import Figure
from optrun.runner.report.style import ENDINGS, save
from optrun.runner.runs.reader import Run, looked_in, read_all
from optrun.runner.runs.record import OVER, TUNING, RunRecord, RunStatus
from optrun.runner.ui.text import show, terminal_width, wrap
from optrun.runner.ui.wording import number_of, one_of
from optrun.runner.untrusted import printable
from optrun.runner.verdict.metrics import DEFAULT_SORT
from optrun.runner.verdict.summary import summarise

_MOST_TABLES = 4  # rows of panels


def plot(paths: Sequence[Path], *, output: Path, by: str, metric: str | None) -> None:
    """Draws the runs in the folders into one file.

    Args:
        paths: Folders of runs, or folders of single runs; none stands for `results`.
        output: The file, whose ending is its format.
        by: The axis, one of `metrics.AXES`.
        metric: The one measure to draw; None: all panels.

    Raises:
        UserError: There is nothing to draw, or the file cannot be written.
    """
    if output.suffix.lower() not in ENDINGS:
        raise UserError(
            f"--output must end in {one_of(ENDINGS)}, received: {printable(str(output))}"
        )
    meant, existing = looked_in(paths)
    runs, unreadable = read_all(existing)
    places = ", ".join(printable(str(path)) for path in meant)
    if not runs:
        broken = f" but {len(unreadable)} that cannot be read" if unreadable else ""
        raise UserError(
            f"There is no run in {places}{broken}: `optrun train` makes one, `optrun runs` lists "
            "what is there."
        )
    groups = groups_to_draw(runs)
    history_of = functools.cache(history)
    rows: list[tuple[Group, list[Figure]]] = []
    for group in groups:
        drawn = [learning_curves(group, by, one, history_of) for one in _measures(metric)]
        if metric is None:
            drawn.append(slow_and_fast(group, by, history_of))
        if figures := [one for one in drawn if one is not None]:
            rows.append((group, figures))
    if not rows:
        raise UserError(
            f"None of {number_of(len(runs), 'run')} in {places} has {_lacking(by)} to draw."
        )
    shown = rows[:_MOST_TABLES]
    try:
        save([(heading(group), figures) for group, figures in shown], output)
    except OSError as error:
        raise unwritable(output, error) from error
    show("\n".join(_told(output, shown, len(rows))) + "\n")


def _measures(metric: str | None) -> Sequence[str]:
    return tuple(QUANTITIES) if metric is None else (metric,)


def _lacking(by: str) -> str:
    if by == "training-seconds":
        return "training seconds of its own (runs side by side have none) and the end of an epoch"
    return "the end of an epoch yet"


def groups_to_draw(runs: Sequence[Run]) -> tuple[Group, ...]:
    """The tables of `compare`, with the runs that are not over where no other has their seed.

    Trials that chose a setting are drawn where there is nothing else.
    """
    if all(run.record.is_trial for run in runs):
        runs = [replace(run, record=_as_a_run(run.record)) for run in runs]
    ready = {(run.record.experiment, run.record.seed) for run in runs if run.status in OVER}
    standing = {run.folder: run for run in runs}
    counted = [
        replace(run, status=RunStatus.COMPLETED)
        if run.status not in OVER
        and not run.record.is_trial
        and (run.record.experiment, run.record.seed) not in ready
        else run
        for run in runs
    ]
    return tuple(
        replace(
            group,
            rows=tuple(
                sorted(
                    (
                        replace(row, runs=tuple(standing[run.folder] for run in row.runs))
                        for row in group.rows
                    ),
                    key=_loss,
                )
            ),
        )
        for group in compare(counted).groups
    )


def _loss(row: Row) -> float:
    """The mean over the runs that completed: one that is at work doesn't put its row last."""
    ended = [run.record for run in row.runs if run.status == RunStatus.COMPLETED]
    mean = summarise([record.measure(DEFAULT_SORT) for record in ended]).mean
    return math.inf if mean is None else mean


def _as_a_run(record: RunRecord) -> RunRecord:
    """A trial's record without its purpose."""
    facts = {key: value for key, value in record.provenance.items() if key != TUNING}
    return replace(record, provenance=facts)


def _told(output: Path, rows: Sequence[tuple[Group, Sequence[Figure]]], tables: int) -> list[str]:
    experiments = sum(len(group.rows) for group, _ in rows)
    runs = sum(len(row.counting) for group, _ in rows for row in group.rows)
    lines = [
        f"Wrote {printable(str(output))}: {number_of(experiments, 'experiment')}, "
        f"{number_of(runs, 'run')}"
    ]
    for group, figures in rows:
        if tables > 1:
            lines += ["", heading(group)]
        lines += [figure.finding for figure in figures]
    if more := tables - len(rows):
        lines.append(
            f"{number_of(more, 'more table')} of runs that are not comparable with these: name "
            "fewer folders to see them."
        )
    width = terminal_width()
    return [part for line in lines for part in wrap(line, width)]
