"""`optrun runs`: every run with its status, how far it is, its age, its size, what would resume."""

import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optrun.runner.runs import reader as runs
from optrun.runner.runs.reader import Unreadable
from optrun.runner.runs.record import RunStatus
from optrun.runner.runs.select import RESULTS
from optrun.runner.runs.standing import Progress, Size, Standing, size_of, standing_of
from optrun.runner.ui.table import Column, Line, row_lines
from optrun.runner.ui.text import hanging, is_styled, show, style, terminal_width, widest
from optrun.runner.ui.wording import age, exact_size, number_of
from optrun.runner.untrusted import printable

FORMAT = 1
REMOVED = re.compile(r"\.removed-[0-9a-f]{8}")

_HEADER = ("RUN", "STATE", "PROGRESS", "AGE", "SIZE")
_RIGHT = (False, False, False, True, True)
_INDENT = 4
_MOST_NAMED = 3
_BAD = (RunStatus.FAILED, RunStatus.KILLED, RunStatus.DIVERGED)
_NOTHING_YET = """\
No runs in {places}. Train something first, with the built-in sample say:

    optrun train configs/lookahead_vgg19.yaml --sample
"""


@dataclass(frozen=True)
class Leftover:
    """What a removal that was cut short left; it looks like no run any more."""

    folder: Path
    size: Size


def list_runs(paths: Sequence[Path], *, layout: str) -> None:
    """Print the runs in the folders.

    Args:
        paths: Folders of runs, or folders of single runs; none stands for `results`.
        layout: table or json.

    Raises:
        UserError: A path is missing or is no folder.
    """
    paths = list(paths) or [RESULTS]
    # A fresh clone, or a folder beside it, has no results yet: that is no mistake.
    existing = [path for path in paths if path != RESULTS or path.exists()]
    standings = sorted(map(standing_of, runs.find(existing)), key=_by_age)
    leftovers = list(_leftovers(existing))
    now = datetime.now(UTC)
    if layout == "json":
        show(json.dumps(_content(standings, leftovers, now), indent=1, allow_nan=False) + "\n")
    elif not standings and not leftovers:
        show(_NOTHING_YET.format(places=", ".join(printable(str(path)) for path in paths)))
    else:
        width, styled = terminal_width(), is_styled()
        show("\n".join(_lines(standings, leftovers, now, width, styled=styled)) + "\n")


def run_content(standing: Standing, now: datetime) -> dict[str, Any]:
    """What the list says of one run, as plain values; null for what is not known."""
    run, progress, resumption = standing.run, standing.progress, standing.resumption
    facts: dict[str, Any] = {
        "run": standing.label,
        "path": printable(str(standing.folder)),
        "state": standing.status,
        "why": why(standing),
        "bytes": standing.size.total,
        "bytes_at_least": standing.size.at_least,
        "resumes": resumption.possible,
        "resumes_after_step": resumption.steps_done if resumption.possible else None,
        "resumes_not_because": resumption.obstacle,
    }
    if isinstance(run, Unreadable):
        return facts
    record = run.record
    return facts | {
        "id": record.id,
        "name": record.name,
        "seed": record.seed,
        "sample": record.sample,
        "optimizer": record.optimizer,
        "experiment": record.experiment,
        "started": record.started.isoformat(),
        "age_seconds": max(0.0, (now - record.started).total_seconds()),
        "epochs_done": progress.epochs_done if progress else None,
        "epochs": progress.epochs if progress else None,
        "steps_done": progress.steps_done if progress else None,
        "steps": progress.steps if progress else None,
    }


def why(standing: Standing) -> str:
    """What is behind the status, where there is more to say."""
    run = standing.run
    if isinstance(run, Unreadable):
        return run.reason
    if run.status == RunStatus.KILLED:
        return "killed, perhaps out of memory"
    return "" if run.status in (RunStatus.COMPLETED, RunStatus.RUNNING) else run.record.why


def resumes(standing: Standing) -> str:
    """What `optrun resume` would do; empty where nothing is to be gone on with."""
    resumption = standing.resumption
    if resumption.obstacle:
        return f"cannot be resumed: {resumption.obstacle}"
    if not resumption.possible:
        return ""
    if not resumption.steps_done:
        return "would resume from the start"
    return f"would resume from step {resumption.steps_done + 1:,}{_of_all(standing)}"


def last_saved(standing: Standing, now: datetime) -> str:
    """Where a run that goes on was at its last checkpoint."""
    saved = standing.saved
    if standing.status != RunStatus.RUNNING or saved is None:
        return ""
    ago = age(now.timestamp() - saved.saved_at)
    return f"saved at step {saved.steps_done:,}{_of_all(standing)}, {ago} ago"


def progress_text(progress: Progress | None, status: RunStatus) -> str:
    """The epoch that a run is in, or how many it made, of how many.

    >>> progress_text(Progress(2, 8, None, None), RunStatus.RUNNING)
    'epoch 3/8'
    >>> progress_text(Progress(5, 8, None, None), RunStatus.COMPLETED)
    '5/8 epochs'
    """
    if progress is None:
        return ""
    epochs = "?" if progress.epochs is None else f"{progress.epochs:,}"
    is_over = status in (RunStatus.COMPLETED, RunStatus.DIVERGED)
    if is_over or progress.epochs_done == progress.epochs:
        return f"{progress.epochs_done:,}/{epochs} epochs"
    return f"epoch {progress.epochs_done + 1:,}/{epochs}"


def size_text(size: Size) -> str:
    """The size, and whether there is more.

    >>> size_text(Size(3322)), size_text(Size(80_200_000, at_least=True))
    ('3.3 kB', '> 80 MB')
    """
    return f"> {exact_size(size.total)}" if size.at_least else exact_size(size.total)


def _of_all(standing: Standing) -> str:
    steps = standing.progress.steps if standing.progress else None
    return f" of {steps:,}" if steps else ""


def _by_age(standing: Standing) -> tuple[float, str]:
    """The newest last, right above the prompt; what cannot be read first."""
    if isinstance(standing.run, Unreadable):
        return 0.0, standing.label
    return standing.run.record.started.timestamp(), standing.label


def _leftovers(paths: Sequence[Path]) -> Iterator[Leftover]:
    for path in paths:
        try:
            with os.scandir(path) as entries:
                names = sorted(
                    entry.name
                    for entry in entries
                    if REMOVED.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
                )
        except OSError:
            continue
        for name in names:
            yield Leftover(path / name, size_of(path / name))


def _lines(
    standings: Sequence[Standing],
    leftovers: Sequence[Leftover],
    now: datetime,
    width: int,
    *,
    styled: bool,
) -> Iterator[str]:
    readable = [one for one in standings if one.status != RunStatus.DAMAGED]
    damaged = [one for one in standings if one.status == RunStatus.DAMAGED]
    if readable:
        yield from _table(readable, now, width, styled=styled)
    if damaged:
        yield from [""] if readable else []
        yield style("Damaged:", "strong", styled)
        for one in damaged:
            text = f"{one.label}: {why(one)}, {size_text(one.size)}"
            yield from hanging(" " * (_INDENT - 1), text, width, indent=_INDENT)
    for leftover in leftovers:
        yield ""
        yield f"A removal was cut short and left {size_text(leftover.size)}; to end it:"
        yield f"    optrun runs remove {shlex.quote(printable(str(leftover.folder)))}"
    if standings:
        states = [one.status for one in standings]
        counts = ((kind, states.count(kind)) for kind in RunStatus)
        parts = ", ".join(f"{count:,} {kind}" for kind, count in counts if count)
        size = sum((one.size for one in standings), Size(0))
        yield ""
        yield f"{number_of(len(states), 'run')}: {parts}. {size_text(size)}."
    if folders := [str(one.folder) for one in standings if one.resumption.possible]:
        yield f"{len(folders):,} would resume:"
        if len(folders) > _MOST_NAMED:
            yield "    optrun resume RUN..."
        else:
            yield from (f"    optrun resume {shlex.quote(printable(one))}" for one in folders)


def _table(
    standings: Sequence[Standing], now: datetime, width: int, *, styled: bool
) -> Iterator[str]:
    rows = [_row(one, now) for one in standings]
    widths = [widest([row[column] for row in (_HEADER, *rows)]) for column in range(5)]
    others = sum(widths[1:]) + 2 * len(widths[1:])
    # Names are to be copied: one that leaves no room for the columns has a line of its own.
    fitting = [widest([row[0]]) for row in rows if widest([row[0]]) + others <= width]
    widths[0] = max([len(_HEADER[0]) + _INDENT, *fitting])
    columns = [Column(size, right) for size, right in zip(widths, _RIGHT, strict=True)]
    yield style(row_lines(_HEADER, columns)[0], "strong", styled)
    for one, (name, status, *rest) in zip(standings, rows, strict=True):
        if widest([name]) > widths[0]:
            yield name
            name = ""
        state = Line(status, "bad" if one.status in _BAD else "plain")
        yield from row_lines([name, state, *rest], columns, styled=styled)
        remark = "; ".join(filter(None, (why(one), last_saved(one, now), resumes(one))))
        if remark:
            for line in hanging(" " * (_INDENT - 1), remark, width, indent=_INDENT):
                yield style(line, "faint", styled)


def _row(standing: Standing, now: datetime) -> tuple[str, ...]:
    run = standing.run
    return (
        standing.label,
        standing.status,
        progress_text(standing.progress, standing.status),
        "" if isinstance(run, Unreadable) else age((now - run.record.started).total_seconds()),
        size_text(standing.size),
    )


def _content(
    standings: Sequence[Standing], leftovers: Sequence[Leftover], now: datetime
) -> dict[str, Any]:
    """All that is known, as plain values."""
    found = [(one.status == RunStatus.DAMAGED, run_content(one, now)) for one in standings]
    return {
        "format": FORMAT,
        "runs": [content for is_damaged, content in found if not is_damaged],
        "damaged": [content for is_damaged, content in found if is_damaged],
        "unfinished_removals": [
            {"path": printable(str(one.folder)), "bytes": one.size.total} for one in leftovers
        ],
    }
