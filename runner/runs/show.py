"""`optrun runs show`: one run, from its configuration to where its time went."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from optrun.runner.runs import run_wording as wording
from optrun.runner.runs.details import Details, details_of
from optrun.runner.runs.epochs_table import epoch_lines
from optrun.runner.runs.listing import run_content
from optrun.runner.runs.reader import COMPLETED, RUNNING, Unreadable
from optrun.runner.runs.select import find_run
from optrun.runner.runs.standing import steps_per_epoch
from optrun.runner.runs.summary import configuration_lines, machine_lines
from optrun.runner.runs.writer_lock import LOCK_NAME, holder_of
from optrun.runner.ui.text import hanging, is_styled, padded, show, style, terminal_width, widest
from optrun.runner.ui.wording import duration, share
from optrun.runner.untrusted import number, printable

_INDENT = 12
_MOST_NOTES = 10
_CLOCK_NAMES = {"training": "training", "evaluation": "evaluation", "other": "everything else"}
_Lines = Sequence[str]


def show_run(run: str, *, layout: str) -> int:
    """Print all there is to know of a run.

    Args:
        run: A folder, or part of a name.
        layout: table or json.

    Returns:
        The exit code: 1 where run.json cannot be read.

    Raises:
        UserError: There is no such run, or several.
    """
    details = details_of(find_run(run))
    now = datetime.now(UTC)
    if layout == "json":
        show(json.dumps(_content(details, now), indent=1, allow_nan=False) + "\n")
    else:
        width, styled = terminal_width(), is_styled()
        lines = list(_lines(details, now, width))
        show("\n".join([style(lines[0], "heading", styled), *lines[1:]]) + "\n")
    return 1 if isinstance(details.standing.run, Unreadable) else 0


def _lines(details: Details, now: datetime, width: int) -> Iterator[str]:
    yield printable(str(details.standing.folder))
    for label, texts in _paragraphs(details, now):
        for number_, text in enumerate(texts):
            yield from hanging("" if number_ else label, text, width, indent=_INDENT)
    if details.epochs:
        yield ""
        yield from epoch_lines(details.epochs, details.standing.progress, width)
    yield ""
    for label, rows in (("time", _time_rows(details)), ("files", _file_rows(details))):
        columns = [widest([row[column] for row in rows]) for column in range(2)] if rows else []
        for number_, row in enumerate(rows):
            cells = [padded(row[0], columns[0]), padded(row[1], columns[1], right=True), *row[2:]]
            start = padded("" if number_ else label, _INDENT)
            yield start + "  ".join(cells).rstrip()


def _paragraphs(details: Details, now: datetime) -> Iterator[tuple[str, _Lines]]:
    run = details.standing.run
    yield "state", [_state(details, now)]
    if not isinstance(run, Unreadable):
        yield "optimizer", [run.optimizer]
    yield from configuration_lines(details)
    yield from machine_lines(details)
    if result := _result(details):
        yield "result", result
    if details.resumed:
        yield "resumed", list(_resumptions(details, now))
    notes = [*details.notices, *(f"metrics.jsonl, {one}" for one in details.skipped)]
    if len(notes) > _MOST_NOTES:
        notes = [*notes[:_MOST_NOTES], f"and {len(notes) - _MOST_NOTES:,} more"]
    if notes:
        yield "notes", notes


def _state(details: Details, now: datetime) -> str:
    standing = details.standing
    run, state = standing.run, wording.state_of(standing)
    why = wording.why(standing)
    parts = [why if why.startswith(state) else ": ".join(filter(None, (state, why)))]
    if not isinstance(run, Unreadable):
        parts.append(f"started {wording.moment(run.started)}, {wording.ago(run.started, now)} ago")
        if details.ended and run.state != RUNNING:
            parts.append(f"ended {wording.moment(details.ended)}")
        progress = wording.progress_text(standing.progress, state=run.state)
        parts.append(progress)
    if standing.held and (holder := holder_of(standing.folder / LOCK_NAME)):
        parts.append(f"held by {holder}")
    parts += [wording.last_saved(standing, now), wording.resumes(standing)]
    return "; ".join(filter(None, parts))


def _result(details: Details) -> _Lines:
    run = details.standing.run
    if isinstance(run, Unreadable):
        return []
    if run.state != COMPLETED:
        best = min(details.epochs, key=_validation_loss, default=None)
        loss = None if best is None else number(best.get("validation_loss"))
        if best is None or loss is None:
            return []
        accuracy = _percent(number(best.get("validation_accuracy")))
        epoch = best.get("epoch")
        return [f"so far, best epoch {epoch}: validation accuracy {accuracy}, loss {loss:.4f}"]
    get = run.result.get
    best_epoch = get("best_epoch")
    return [
        f"validation accuracy {_percent(get('best_validation_accuracy'))}, "
        f"loss {_number(get('best_validation_loss'))}"
        + (f" (epoch {best_epoch:.0f}, the best)" if best_epoch else ""),
        f"test accuracy {_percent(get('test_accuracy'))}, log loss "
        f"{_number(get('test_log_loss'))}, ROC AUC {_number(get('test_roc_auc'))}",
    ]


def _validation_loss(epoch: Mapping[str, Any]) -> float:
    loss = number(epoch.get("validation_loss"))
    return float("inf") if loss is None else loss


def _resumptions(details: Details, now: datetime) -> Iterator[str]:
    for one in details.resumed:
        when = (
            f"{wording.moment(one.time)}, {wording.ago(one.time, now)} ago"
            if one.time
            else "at a time that is not recorded"
        )
        where = "" if one.steps_done is None else f", from step {one.steps_done + 1:,}"
        changes = f"; {'; '.join(one.changes)}" if one.changes else "; nothing had changed"
        yield f"{when}{where}{changes}"


def _time_rows(details: Details) -> list[tuple[str, ...]]:
    """Clock, time, its share, and what was got for it."""
    seconds = details.seconds
    if seconds is None:
        return []
    rows: list[tuple[str, ...]] = []
    for clock, name in _CLOCK_NAMES.items():
        spent = seconds.by_clock.get(clock)
        if spent is not None:
            rate = _rates(details, spent) if clock == "training" else ""
            rows.append((name, duration(spent), f"{share(spent, seconds.total):>5}", rate))
    if seconds.until != "end":
        rows.append((f"to {seconds.until}", duration(seconds.total)))
    if seconds.elapsed is not None and seconds.until == "end":
        rows.append(("from start to end", duration(seconds.elapsed)))
        if details.resumed:
            rows.append(("of it not running", duration(seconds.elapsed - seconds.total)))
    return rows


def _rates(details: Details, training_seconds: float) -> str:
    standing = details.standing
    run, progress = standing.run, standing.progress
    if isinstance(run, Unreadable) or progress is None:
        return ""
    last = details.epochs[-1] if details.epochs else {}
    per_second = run.result.get("images_per_second") or number(last.get("images_per_second"))
    steps = progress.steps_done or progress.epochs_done * (
        steps_per_epoch(last, run.batch_size) or 0
    )
    parts = []
    if per_second:
        parts.append(f"{per_second:,.1f} images/s")
    if steps and training_seconds:
        parts.append(f"{_short(training_seconds / steps)} a step")
    return ", ".join(parts)


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _file_rows(details: Details) -> list[tuple[str, ...]]:
    rows = [(entry.name, wording.size_text(entry.size)) for entry in details.entries]
    return [*rows, ("in all", wording.size_text(details.standing.size))]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _content(details: Details, now: datetime) -> dict[str, Any]:
    """All that is known, as plain values; the git diff is none of it."""
    record = details.standing.record
    seconds = details.seconds
    return run_content(details.standing, now) | {
        "configuration": dict(details.configuration),
        "optimizer_specification": record.get("optimizer"),
        "comparable": record.get("comparable"),
        "batch_size": record.get("batch_size"),
        "images_per_update": record.get("images_per_update"),
        "provenance": record.get("provenance"),
        "ended": None if details.ended is None else details.ended.isoformat(),
        "result": record.get("result"),
        "epochs": list(details.epochs),
        "notices": list(details.notices),
        "metrics_skipped": list(details.skipped),
        "seconds": None if seconds is None else dict(seconds.by_clock),
        "seconds_until": None if seconds is None else seconds.until,
        "elapsed_seconds": None if seconds is None else seconds.elapsed,
        "resumed": [
            asdict(one) | {"time": None if one.time is None else one.time.isoformat()}
            for one in details.resumed
        ],
        "files": [
            {"name": one.name, "bytes": one.size.total, "at_least": one.size.at_least}
            for one in details.entries
        ],
    }
