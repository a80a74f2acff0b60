"""`optrun runs show`: one run, from its configuration to where its time went."""

import contextlib
import itertools
import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optrun.runner.models.networks import title_of
from optrun.runner.runs.event_log import METRICS_NAME, EventKind, read_events
from optrun.runner.runs.listing import (
    last_saved,
    progress_text,
    resumes,
    run_content,
    size_text,
    why,
)
from optrun.runner.runs.reader import CONFIG_NAME, read_config
from optrun.runner.runs.record import RunRecord, RunStatus, flatten
from optrun.runner.runs.select import find_run
from optrun.runner.runs.standing import (
    CLOCKS,
    Size,
    Standing,
    size_of,
    standing_of,
    steps_per_epoch,
)
from optrun.runner.runs.writer_lock import LOCK_NAME, holder_of
from optrun.runner.ui.table import Column, row_lines
from optrun.runner.ui.text import hanging, is_styled, padded, show, style, terminal_width, widest
from optrun.runner.ui.wording import age, duration, moment, share
from optrun.runner.untrusted import mapping, number, printable, whole

_INDENT = 12
_MOST_NOTES = 10
_HASH_DIGITS = 8
_LONGEST_COMMAND = 40  # words
_MOST_ENTRIES = 200  # of a folder, listed one by one
# Of very many epochs the first and the last are shown.
_MOST_EPOCHS, _FIRST_EPOCHS, _LAST_EPOCHS = 40, 5, 30

_RECORDED = ("comparable", "batch_size", "images_per_update", "provenance", "result")
# Settings with what goes without saying, in the order in which they are told.
_USUAL: Mapping[str, object] = {
    "data.limit": None,
    "data.resize": "squash",
    "data.antialias": False,
    "training.early_stopping_patience": None,
    "training.deterministic": False,
    "training.tensorboard": False,
}


@dataclass(frozen=True)
class Seconds:
    """Where the time went."""

    by_clock: Mapping[str, float | None]  # of each of the `CLOCKS`; None where not recorded
    until: str  # what they were recorded at: "end", "last checkpoint" or "last epoch"
    elapsed: float | None  # by the calendar, breaks between resumptions and all

    @property
    def total(self) -> float:
        return sum(value or 0.0 for value in self.by_clock.values())


@dataclass(frozen=True)
class Details:
    """All that the folder of a run says, read within bounds and as plain values."""

    standing: Standing
    configuration: Mapping[str, object]  # by dotted name; empty where it cannot be read
    epochs: Sequence[Mapping[str, Any]]  # the events of their ends, in order
    notices: Sequence[str]  # what the run told besides
    skipped: Sequence[str]  # lines of metrics.jsonl that could not be read
    seconds: Seconds | None
    files: Sequence[tuple[str, Size]]  # or folders, with all that is in them; printable


def _details_of(folder: Path) -> Details:
    """Whatever lies there, nothing is raised."""
    standing, found = standing_of(folder), read_events(folder)
    epochs = found.of(EventKind.EPOCH)
    return Details(
        standing=standing,
        configuration=read_config(folder),
        epochs=epochs,
        notices=[str(one.get("message")) for one in found.of(EventKind.NOTICE)],
        skipped=found.skipped,
        seconds=_seconds(standing, epochs[-1] if epochs else {}),
        files=[(printable(name), size) for name, size in _files(folder)],
    )


def _seconds(standing: Standing, last_epoch: Mapping[str, Any]) -> Seconds | None:
    """From what was recorded last: the result, a checkpoint, an epoch."""
    record = standing.record
    if record is None:
        return None
    ended = record.ended if standing.status != RunStatus.RUNNING else None
    elapsed = (ended - record.started).total_seconds() if ended else None
    if standing.status == RunStatus.COMPLETED:
        by_clock = {name: record.measure(f"{name}_seconds") for name in CLOCKS}
        return Seconds(by_clock, "end", elapsed)
    of_epoch = {name: number(last_epoch.get(f"{name}_seconds")) for name in CLOCKS}
    found = [Seconds(of_epoch, "last epoch", elapsed)]
    if standing.saved is not None:
        found.insert(0, Seconds(standing.saved.seconds, "last checkpoint", elapsed))
    latest = max(found, key=lambda one: one.total)
    return latest if standing.saved is not None or latest.total else None


def _files(folder: Path) -> Iterator[tuple[str, Size]]:
    """The files of a run, each checkpoint as one."""
    for name, size in _scanned(folder):
        if name == "checkpoint" and size is None:
            for one, inner in _scanned(folder / name):
                yield f"{name}/{one}", inner or size_of(folder / name / one)
        else:
            yield (name, size) if size else (f"{name}/", size_of(folder / name))


def _scanned(folder: Path) -> list[tuple[str, Size | None]]:
    """Names in order and the files' sizes, None of a folder; of very many, some."""
    found: dict[str, Size | None] = {}
    # It may be removed meanwhile, or not be looked into.
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in itertools.islice(entries, _MOST_ENTRIES):
            is_folder = entry.is_dir(follow_symlinks=False)
            size = None if is_folder else Size(entry.stat(follow_symlinks=False).st_size)
            found[entry.name] = size
    return sorted(found.items(), key=lambda one: one[0])


def show_run(run: str, *, layout: str) -> int:
    """Print all there is to know of a run, as a table or json; gives the exit code."""
    details = _details_of(find_run(run))
    now = datetime.now(UTC)
    if layout == "json":
        show(json.dumps(_content(details, now), indent=1, allow_nan=False) + "\n")
    else:
        lines = list(_lines(details, now, terminal_width()))
        show("\n".join([style(lines[0], "heading", is_styled()), *lines[1:]]) + "\n")
    return 1 if details.standing.record is None else 0


def _lines(details: Details, now: datetime, width: int) -> Iterator[str]:
    yield printable(str(details.standing.folder))
    for label, texts in _paragraphs(details, now):
        for index, text in enumerate(filter(None, texts)):
            yield from hanging("" if index else label, text, width, indent=_INDENT)
    if details.epochs:
        yield ""
        yield from _epoch_lines(details, width)
    yield ""
    sizes = [*details.files, ("in all", details.standing.size)]
    files = [(name, size_text(size), "") for name, size in sizes]
    for label, rows in (("time", _time_rows(details)), ("files", files)):
        names, values = (widest([row[column] for row in rows]) for column in (0, 1))
        columns = [Column(_INDENT - 2), Column(names), Column(values, right=True), Column(0)]
        for index, row in enumerate(rows):
            yield from row_lines(["" if index else label, *row], columns)


def _paragraphs(details: Details, now: datetime) -> Iterator[tuple[str, Sequence[str]]]:
    """Label and texts, each of which begins a line."""
    record, config = details.standing.record, details.configuration
    yield "state", [_state(details, now)]
    if record:
        yield "optimizer", [record.optimizer]
    if not config:
        yield "config", [f"{CONFIG_NAME} cannot be read"]
    if record:
        yield from _configuration(record, config)
        yield from _machine(record)
        yield "result", _result(details, record)
        yield "resumed", list(_resumptions(record, now))
    elif config:
        names = ("name", "optimizer.name", "training.epochs", "training.seed")
        yield "config", [_joined(*(_told(name + " {}", config.get(name)) for name in names))]
    notes = [*details.notices, *(f"{METRICS_NAME}, {one}" for one in details.skipped)]
    more = [f"and {len(notes) - _MOST_NOTES:,} more"] if len(notes) > _MOST_NOTES else []
    yield "notes", [*notes[:_MOST_NOTES], *more]


def _state(details: Details, now: datetime) -> str:
    standing, record = details.standing, details.standing.record
    status, reason = standing.status, why(standing)
    parts = [reason if reason.startswith(status) else ": ".join(filter(None, (status, reason)))]
    if record:
        parts.append(f"started {_when(record.started, now)}")
        if record.ended and status != RunStatus.RUNNING:
            parts.append(f"ended {moment(record.ended)}")
        parts.append(progress_text(standing.progress, status))
    if standing.held and (holder := holder_of(standing.folder / LOCK_NAME)):
        parts.append(f"held by {holder}")
    parts += [last_saved(standing, now), resumes(standing)]
    return "; ".join(filter(None, parts))


def _configuration(
    record: RunRecord, config: Mapping[str, object]
) -> Iterator[tuple[str, Sequence[str]]]:
    """What was to be done: the experiment, its network, its photos, its seed."""
    comparable, provenance = record.comparable, record.provenance
    kind = " (drawn sample, no real photos)" if record.sample else ""
    notes = [_value(config["notes"])] if config.get("notes") else []
    yield "experiment", [f"{record.name}{kind}, hash {_hash(record.experiment)}", *notes]
    per_update = record.images_per_update
    training = _joined(
        _told("{} epochs", comparable.get("epochs")),
        _told("batch {}", record.batch_size),
        _told("{} photos an update", per_update if per_update != record.batch_size else None),
        *_unusual(config, "training."),
    )
    yield "training", [training]
    model = flatten(mapping(comparable.get("model")))
    network = _joined(
        title_of(record.flat_comparable.get("model.network"), number(model.get("width"))),
        _told("{} parameters", whole(provenance.get("parameters")) or None),
        _told("weights {}", config.get("model.weights", _hash(model.get("weights")))),
        _told("trainable {}", model.get("trainable")),
        _told("hidden units {}", model.get("head.hidden_units") or None),
        _told("dropout {}", model.get("head.dropout")),
    )
    yield "network", [network]
    photos = _joined(
        provenance.get("photos_source") or config.get("data.source"),
        _told("{} px", comparable.get("image_size")),
        *_unusual(config, "data."),
        *(
            f"{name.rpartition('.')[2]} {_value(value)}"
            for name, value in record.flat_comparable.items()
            if name.startswith("augmentation.") and value
        ),
        _told("{} left out", whole(provenance.get("photos_left_out")) or None),
        _told("fingerprint {}", _hash(comparable.get("photos"))),
    )
    yield "photos", [photos]
    weights = _told("initial weights {}", _hash(record.initial_weights))
    batches = _told("first batches {}", _hash(record.first_batches))
    yield "seed", [_joined(str(record.seed), weights, batches)]


def _machine(record: RunRecord) -> Iterator[tuple[str, Sequence[str]]]:
    """What it was trained on, with which versions, and by which command."""
    facts = record.provenance
    hardware, packages = mapping(facts.get("hardware")), mapping(facts.get("packages"))
    machine = _joined(
        hardware.get("device"),
        _told("{} threads", facts.get("threads")),
        record.comparable.get("precision"),
        "XLA" if record.jit_compile else "",
        _told("{} GiB", hardware.get("memory_gib")),
        hardware.get("system"),
        _told("host {}", hardware.get("host")),
    )
    yield "machine", [machine]
    installed = (f"{name} {version}" for name, version in packages.items())
    yield "versions", [_joined(*installed, _told("Python {}", facts.get("python")))]
    dirty = " with changes that are not committed" if facts.get("git_dirty") is True else ""
    commit = facts.get("git_commit")
    yield "commit", [f"{_hash(commit)}{dirty}" if commit else ""]
    yield "command", [_command(facts.get("command"))]


def _result(details: Details, record: RunRecord) -> Sequence[str]:
    if details.standing.status != RunStatus.COMPLETED:
        losses = [(number(one.get("validation_loss")), one) for one in details.epochs]
        known = [(loss, one) for loss, one in losses if loss is not None]
        if not known:
            return []
        loss, best = min(known, key=lambda pair: pair[0])
        accuracy = _form(number(best.get("validation_accuracy")), _percent)
        epoch = best.get("epoch")
        return [f"so far, best epoch {epoch}: validation accuracy {accuracy}, loss {loss:.4f}"]
    best_epoch = record.measure("best_epoch")
    at = f" (epoch {best_epoch:.0f}, the best)" if best_epoch else ""
    accuracies = ("best_validation_accuracy", "test_accuracy")
    validation, test = (_form(record.measure(name), _percent) for name in accuracies)
    others = ("best_validation_loss", "test_log_loss", "test_roc_auc")
    best_loss, log_loss, auc = (_form(record.measure(name), "{:.4f}".format) for name in others)
    return [
        f"validation accuracy {validation}, loss {best_loss}{at}",
        f"test accuracy {test}, log loss {log_loss}, ROC AUC {auc}",
    ]


def _resumptions(record: RunRecord, now: datetime) -> Iterator[str]:
    for one in record.resumed:
        when = _when(one.time, now) if one.time else "at a time that is not recorded"
        where = "" if one.steps_done is None else f", from step {one.steps_done + 1:,}"
        yield f"{when}{where}; {'; '.join(one.changes) or 'nothing had changed'}"


def _when(time: datetime, now: datetime) -> str:
    return f"{moment(time)}, {age((now - time).total_seconds())} ago"


def _time_rows(details: Details) -> list[tuple[str, str, str]]:
    """Clock, time, its share and what was got for it."""
    seconds, record = details.seconds, details.standing.record
    if seconds is None or record is None:
        return []
    rows = []
    for clock, spent in seconds.by_clock.items():
        if spent is not None:
            rate = _rates(details, record, spent) if clock == "training" else ""
            name = "everything else" if clock == "other" else clock
            rows.append((name, duration(spent), f"{share(spent, seconds.total):>5}  {rate}"))
    if seconds.until != "end":
        rows.append((f"to {seconds.until}", duration(seconds.total), ""))
    elif seconds.elapsed is not None:
        rows.append(("from start to end", duration(seconds.elapsed), ""))
        if record.resumed:
            rows.append(("of it not running", duration(seconds.elapsed - seconds.total), ""))
    return rows


def _rates(details: Details, record: RunRecord, training_seconds: float) -> str:
    progress = details.standing.progress
    if progress is None:
        return ""
    last = details.epochs[-1] if details.epochs else {}
    rate = record.measure("images_per_second") or number(last.get("images_per_second"))
    per_epoch = steps_per_epoch(last, record.batch_size) or 0
    steps = progress.steps_done or progress.epochs_done * per_epoch
    parts = [f"{rate:,.1f} images/s"] if rate else []
    if steps and training_seconds:
        each = training_seconds / steps
        parts.append(f"{each:.1f} s a step" if each >= 1 else f"{1000 * each:.0f} ms a step")
    return ", ".join(parts)


def _loss(value: float) -> str:
    return f"{value:.4f}" if value < 1000 else f"{value:.3g}"


# Title, width, what it shows of an epoch's event, and how; the first shows the epoch's number.
_EPOCH_COLUMNS: Sequence[tuple[str, int, str, Callable[[float], str]]] = (
    ("epoch", 9, "epoch", str),
    ("train loss", 12, "training_loss", _loss),
    ("acc.", 8, "training_accuracy", "{:.1%}".format),
    ("val. loss", 11, "validation_loss", _loss),
    ("acc.", 8, "validation_accuracy", "{:.1%}".format),
    ("images/s", 10, "images_per_second", "{:,.1f}".format),
    ("training", 11, "training_seconds", duration),
    ("evaluation", 11, "evaluation_seconds", duration),
)


def _epoch_lines(details: Details, width: int) -> Iterator[str]:
    """The epochs as a table, with the time that each of them took, as far as there is room."""
    places = itertools.accumulate(one[1] for one in _EPOCH_COLUMNS)
    shown = [one for one, place in zip(_EPOCH_COLUMNS, places, strict=True) if place <= width]
    shown = shown or [_EPOCH_COLUMNS[0]]
    columns = [Column(size, right=True) for _, size, *_ in shown]
    yield from row_lines([title for title, *_ in shown], columns, gap="")
    progress = details.standing.progress
    of_all = f"/{progress.epochs}" if progress and progress.epochs else ""
    previous: Mapping[str, Any] = {}
    count = len(details.epochs)
    for index, epoch in enumerate(details.epochs):
        if count <= _MOST_EPOCHS or not _FIRST_EPOCHS <= index < count - _LAST_EPOCHS:
            done = whole(epoch.get("epoch"))
            cells = ["?" if done is None else f"{done}{of_all}"]
            for _, _, key, form in shown[1:]:
                value = number(epoch.get(key))
                if value is not None and key.endswith("_seconds"):  # since the start
                    value -= number(previous.get(key)) or 0.0
                cells.append(_form(value, form))
            yield from row_lines(cells, columns, gap="")
        elif index == _FIRST_EPOCHS:
            yield padded("…", columns[0].width, right=True)
        previous = epoch


def _content(details: Details, now: datetime) -> dict[str, Any]:
    """All that is known, as plain values; the git diff is none of it."""
    record, seconds = details.standing.record, details.seconds
    recorded = record.as_json() if record else {}
    return run_content(details.standing, now) | {
        "configuration": dict(details.configuration),
        "optimizer_specification": recorded.get("optimizer"),
        **{key: recorded.get(key) for key in _RECORDED},
        "ended": record.ended.isoformat() if record and record.ended else None,
        "epochs": list(details.epochs),
        "notices": list(details.notices),
        "metrics_skipped": list(details.skipped),
        "seconds": seconds and dict(seconds.by_clock),
        "seconds_until": seconds and seconds.until,
        "elapsed_seconds": seconds and seconds.elapsed,
        "resumed": recorded.get("resumed", []),
        "files": [
            {"name": name, "bytes": size.total, "at_least": size.at_least}
            for name, size in details.files
        ],
    }


def _unusual(config: Mapping[str, object], prefix: str) -> Iterator[str]:
    for name, usual in _USUAL.items():
        value = config.get(name, usual)
        if name.startswith(prefix) and value != usual:
            yield f"{name.rpartition('.')[2].replace('_', ' ')} {_value(value)}"


def _command(arguments: object) -> str:
    """As it was typed, whatever the program's own name was."""
    if not isinstance(arguments, list) or not all(isinstance(one, str) for one in arguments):
        return ""
    shown = [shlex.quote(printable(one)) for one in arguments[1:_LONGEST_COMMAND]]
    more = " …" if len(arguments) > _LONGEST_COMMAND else ""
    return " ".join(["optrun", *shown]) + more


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _form(value: float | None, form: Callable[[float], str]) -> str:
    return "–" if value is None else form(value)


def _told(text: str, value: object) -> str:
    """The value in its words; nothing where there is none."""
    return "" if value is None or value == "" else text.format(_value(value))


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(f"{value:,}" if isinstance(value, int) else str(value))


def _hash(value: object) -> str:
    return value[:_HASH_DIGITS] if isinstance(value, str) else ""


def _joined(*parts: object) -> str:
    return ", ".join(_value(part) for part in parts if part not in (None, ""))
