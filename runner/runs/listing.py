"""`optrun runs`: every run with its state, how far it is, its age, its size, what would resume."""

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
from optrun.runner.runs import run_wording as wording
from optrun.runner.runs.select import RESULTS
from optrun.runner.runs.standing import Size, Standing, size_of, standing_of
from optrun.runner.ui.text import hanging, is_styled, padded, show, style, terminal_width, widest
from optrun.runner.untrusted import printable

FORMAT = 1
REMOVED = re.compile(r"\.removed-[0-9a-f]{8}")

_HEADER = ("RUN", "STATE", "PROGRESS", "AGE", "SIZE")
_RIGHT = (False, False, False, True, True)
_GAP = "  "
_INDENT = 4
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


def _by_age(standing: Standing) -> tuple[float, str]:
    """The newest last, right above the prompt; what cannot be read first."""
    if isinstance(standing.run, runs.Unreadable):
        return 0.0, standing.label
    return standing.run.started.timestamp(), standing.label


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
    readable = [one for one in standings if wording.state_of(one) != wording.DAMAGED]
    damaged = [one for one in standings if wording.state_of(one) == wording.DAMAGED]
    if readable:
        yield from _table(readable, now, width, styled=styled)
    if damaged:
        yield from [""] if readable else []
        yield style("Damaged:", "strong", styled)
        for one in damaged:
            text = f"{one.label}: {wording.why(one)}, {wording.size_text(one.size)}"
            yield from hanging(" " * (_INDENT - 1), text, width, indent=_INDENT)
    for leftover in leftovers:
        yield ""
        yield f"A removal was cut short and left {wording.size_text(leftover.size)}; to end it:"
        yield f"    optrun runs remove {shlex.quote(printable(str(leftover.folder)))}"
    if standings:
        yield ""
        yield f"{wording.counted(standings)}. {wording.size_text(wording.total_size(standings))}."
    if commands := wording.resume_commands(standings):
        count = sum(one.resumption.possible for one in standings)
        yield f"{count:,} would resume:"
        yield from (f"    {command}" for command in commands)


def _table(
    standings: Sequence[Standing], now: datetime, width: int, *, styled: bool
) -> Iterator[str]:
    rows = [_row(one, now) for one in standings]
    widths = [widest([row[column] for row in (_HEADER, *rows)]) for column in range(5)]
    others = sum(widths[1:]) + 4 * len(_GAP)
    # Names are to be copied: one that leaves no room for the columns has a line of its own.
    fitting = [widest([row[0]]) for row in rows if widest([row[0]]) + others <= width]
    widths[0] = max([len(_HEADER[0]) + _INDENT, *fitting])
    yield style(_joined(_HEADER, widths), "strong", styled)
    for one, row in zip(standings, rows, strict=True):
        first, *rest = row
        look = "bad" if wording.state_of(one) in ("failed", "killed", "diverged") else "plain"
        cells = _joined(["", *rest], widths)[widths[0] :]
        cells = cells.replace(rest[0], style(rest[0], look, styled), 1)
        if widest([first]) > widths[0]:
            yield first
            yield " " * widths[0] + cells
        else:
            yield padded(first, widths[0]) + cells
        if remark := _remark(one, now):
            for line in hanging(" " * (_INDENT - 1), remark, width, indent=_INDENT):
                yield style(line, "faint", styled)


def _row(standing: Standing, now: datetime) -> tuple[str, str, str, str, str]:
    state, run = wording.state_of(standing), standing.run
    return (
        standing.label,
        state,
        wording.progress_text(standing.progress, state=state),
        "" if isinstance(run, runs.Unreadable) else wording.ago(run.started, now),
        wording.size_text(standing.size),
    )


def _remark(standing: Standing, now: datetime) -> str:
    parts = (
        wording.why(standing),
        wording.last_saved(standing, now),
        wording.resumes(standing),
    )
    return "; ".join(filter(None, parts))


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(
        padded(cell, width, right=right)
        for cell, width, right in zip(cells, widths, _RIGHT, strict=True)
    ).rstrip()


def _content(
    standings: Sequence[Standing], leftovers: Sequence[Leftover], now: datetime
) -> dict[str, Any]:
    """All that is known, as plain values."""
    readable = [one for one in standings if wording.state_of(one) != wording.DAMAGED]
    return {
        "format": FORMAT,
        "runs": [run_content(one, now) for one in readable],
        "damaged": [
            run_content(one, now) for one in standings if wording.state_of(one) == wording.DAMAGED
        ],
        "unfinished_removals": [
            {"path": printable(str(one.folder)), "bytes": one.size.total} for one in leftovers
        ],
    }


def run_content(standing: Standing, now: datetime) -> dict[str, Any]:
    """What the list says of one run, as plain values; null for what is not known."""
    run, progress, resumption = standing.run, standing.progress, standing.resumption
    facts: dict[str, Any] = {
        "run": standing.label,
        "path": printable(str(standing.folder)),
        "state": wording.state_of(standing),
        "why": wording.why(standing),
        "bytes": standing.size.total,
        "bytes_at_least": standing.size.at_least,
        "resumes": resumption.possible,
        "resumes_after_step": resumption.steps_done if resumption.possible else None,
        "resumes_not_because": resumption.obstacle,
    }
    if isinstance(run, runs.Unreadable):
        return facts
    return facts | {
        "id": run.id,
        "name": run.name,
        "seed": run.seed,
        "sample": run.sample,
        "optimizer": run.optimizer,
        "experiment": run.experiment,
        "started": run.started.isoformat(),
        "age_seconds": max(0.0, (now - run.started).total_seconds()),
        "epochs_done": progress.epochs_done if progress else None,
        "epochs": progress.epochs if progress else None,
        "steps_done": progress.steps_done if progress else None,
        "steps": progress.steps if progress else None,
    }
