"""`optrun runs`: every run, how it stands, its optimizer and result, what would resume."""

import contextlib
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optrun.runner.runs import reader as runs
from optrun.runner.runs.record import RunStatus
from optrun.runner.runs.standing import Size, Standing, size_of
from optrun.runner.ui.table import Column, Line, row_lines
from optrun.runner.ui.text import hanging, is_styled, show, style, terminal_width, widest
from optrun.runner.ui.wording import age, number_of, percent
from optrun.runner.untrusted import printable

FORMAT = 1
REMOVED = re.compile(r"\.removed-[0-9a-f]{8}")

_HEADER = ("RUN", "STATE", "PROGRESS", "TEST", "AGE", "SIZE")  # the last three at the right
_OPTIMIZER = "OPTIMIZER"  # a column, too, where there is room for all of them
_INDENT = 4
_MOST_NAMED = 3
_RECORDED = ("id", "name", "seed", "sample", "optimizer", "learning_rate", "experiment", "result")
_PROGRESS = ("epochs_done", "epochs", "steps_done", "steps")
_BAD = (RunStatus.FAILED, RunStatus.KILLED, RunStatus.DIVERGED)
_NOTHING_YET = """\
No runs in {places}. Train something first, with the built-in sample say:

    optrun train configs/lookahead_vgg19.yaml --sample
"""


def list_runs(paths: Sequence[Path], *, layout: str) -> None:
    """Print the runs in the folders (none stands for `results`), as a table or json."""
    meant, existing = runs.looked_in(paths)
    # The newest last, right above the prompt; what cannot be read first.
    found = [(standing.run.record, standing) for standing in map(Standing, runs.find(existing))]
    found.sort(key=lambda one: (one[0].started.timestamp() if one[0] else 0.0, one[1].run.label))
    damaged = [one for _, one in found if one.run.status == RunStatus.DAMAGED]
    readable = [one for _, one in found if one.run.status != RunStatus.DAMAGED]
    leftovers = {path: size_of(path) for path in _leftovers(existing)}
    now = datetime.now(UTC)
    if layout == "json":
        content = {
            "format": FORMAT,
            "runs": [run_content(one, now) for one in readable],
            "damaged": [run_content(one, now) for one in damaged],
            "unfinished_removals": [
                {"path": printable(str(path)), "bytes": size.total}
                for path, size in leftovers.items()
            ],
        }
        show(json.dumps(content, indent=1, allow_nan=False) + "\n")
    elif not found and not leftovers:
        show(_NOTHING_YET.format(places=", ".join(printable(str(path)) for path in meant)))
    else:
        lines = [*_table(readable, now, terminal_width())] if readable else []
        show("\n".join([*lines, *_remarks(readable, damaged, leftovers)]) + "\n")


def run_content(standing: Standing, now: datetime) -> dict[str, Any]:
    """What the list says of one run, as plain values; null for what is not known."""
    run, record = standing.run, standing.run.record
    facts: dict[str, Any] = {
        "run": run.label,
        "path": printable(str(run.folder)),
        "state": run.status,
        "why": run.reason,
        "bytes": standing.size.total,
        "bytes_at_least": standing.size.at_least,
        "resumes": standing.resumes_after is not None,
        "resumes_after_step": standing.resumes_after,
        "resumes_not_because": standing.obstacle,
    }
    if record is None:
        return facts
    facts |= {key: getattr(record, key) for key in _RECORDED}
    return facts | {
        "started": record.started.isoformat(),
        "age_seconds": max(0.0, (now - record.started).total_seconds()),
        **{key: getattr(standing.progress, key) for key in _PROGRESS},
    }


def _leftovers(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        with contextlib.suppress(OSError), os.scandir(path) as entries:
            folders = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
            yield from (path / name for name in sorted(filter(REMOVED.fullmatch, folders)))


def _remarks(
    readable: Sequence[Standing], damaged: Sequence[Standing], leftovers: Mapping[Path, Size]
) -> Iterator[str]:
    if damaged:
        yield from [""] if readable else []
        yield style("Damaged:", "strong", is_styled())
        for one in damaged:
            text = f"{one.run.label}: {one.run.reason}, {one.size}"
            yield from hanging(" " * (_INDENT - 1), text, terminal_width(), indent=_INDENT)
    for folder, size in leftovers.items():
        yield ""
        yield f"A removal was cut short and left {size}; to end it:"
        yield f"    optrun runs remove {shlex.quote(printable(str(folder)))}"
    if standings := [*readable, *damaged]:
        states = [one.run.status for one in standings]
        counts = ((kind, states.count(kind)) for kind in RunStatus)
        parts = ", ".join(f"{count:,} {kind}" for kind, count in counts if count)
        total = sum((one.size for one in standings), Size(0))
        yield ""
        yield f"{number_of(len(states), 'run')}: {parts}. {total}."
    if folders := [str(one.run.folder) for one in readable if one.resumes_after is not None]:
        yield f"{len(folders):,} would resume:"
        if len(folders) > _MOST_NAMED:
            yield "    optrun resume RUN..."
        else:
            yield from (f"    optrun resume {shlex.quote(printable(one))}" for one in folders)


def _table(standings: Sequence[Standing], now: datetime, width: int) -> Iterator[str]:
    styled = is_styled()
    rows = [_cells(one, now) for one in standings]
    widths = [widest(column) for column in zip(_HEADER, *rows, strict=True)]
    others = sum(widths[1:]) + 2 * len(widths[1:])
    # Names are to be copied: one that leaves no room for the columns has a line of its own.
    fitting = [widest([row[0]]) for row in rows if widest([row[0]]) + others <= width]
    widths[0] = max([len(_HEADER[0]) + _INDENT, *fitting])
    columns = [Column(size, place >= 3) for place, size in enumerate(widths)]
    optimizers = [one.run.record.optimizer if one.run.record else "" for one in standings]
    longest = widest([_OPTIMIZER, *optimizers])
    is_column = widths[0] + others + 2 + longest <= width
    header: Sequence[str] = _HEADER
    if is_column:
        header, columns = (*_HEADER, _OPTIMIZER), [*columns, Column(longest)]
    yield style(row_lines(header, columns)[0], "strong", styled)
    for one, (name, status, *rest), optimizer in zip(standings, rows, optimizers, strict=True):
        if widest([name]) > widths[0]:
            yield name
            name = ""
        state = Line(status, "bad" if one.run.status in _BAD else "plain")
        told = [Line(optimizer, "faint")] if is_column else []
        yield from row_lines([name, state, *rest, *told], columns, styled=styled)
        remark = "; ".join(filter(None, (one.run.reason, one.last_saved(now), one.resumes)))
        for text in filter(None, ("" if is_column else optimizer, remark)):
            for line in hanging(" " * (_INDENT - 1), text, width, indent=_INDENT):
                yield style(line, "faint", styled)


def _cells(standing: Standing, now: datetime) -> tuple[str, ...]:
    record = standing.run.record
    accuracy = None
    if record is not None and standing.run.status == RunStatus.COMPLETED:
        accuracy = record.measure("test_accuracy")
    return (
        standing.run.label,
        standing.run.status,
        standing.done,
        "" if accuracy is None else percent(accuracy),
        age((now - record.started).total_seconds()) if record else "",
        str(standing.size),
    )
