"""`optrun runs show`: one run, from its configuration to where its time went."""

import contextlib
import itertools
import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optrun.runner.models.networks import title_of
from optrun.runner.runs.event_log import METRICS_NAME, EventKind, read_events
from optrun.runner.runs.listing import run_content
from optrun.runner.runs.reader import CONFIG_NAME, find_run, read_config
from optrun.runner.runs.record import RunRecord, RunStatus, flatten
from optrun.runner.runs.standing import CLOCKS, Size, Standing, size_of, steps_per_epoch
from optrun.runner.runs.writer_lock import LOCK_NAME, holder_of
from optrun.runner.ui.sparkline import sparkline
from optrun.runner.ui.table import Column, row_lines
from optrun.runner.ui.text import hanging, is_styled, padded, show, style, terminal_width, widest
from optrun.runner.ui.wording import age, counted, duration, moment, percent, share
from optrun.runner.untrusted import mapping, number, printable, whole

_INDENT = 12
_MOST_NOTES = 10
_HASH_DIGITS = 8
_LONGEST_COMMAND = 40  # words
_FEWEST_FOR_CURVE, _LONGEST_CURVE = 2, 40  # epochs; letters
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


class Details:
    """All that the folder of a run says, whatever lies there, within bounds and as plain values."""

    def __init__(self, folder: Path) -> None:
        found = read_events(folder)
        self.now = datetime.now(UTC)
        self.standing = Standing(folder)
        self.run, self.record = self.standing.run, self.standing.run.record
        self.configuration = read_config(folder)  # by dotted name; empty where it cannot be read
        self.epochs = found.of(EventKind.EPOCH)  # the events of their ends, in order
        self.last_epoch: Mapping[str, Any] = self.epochs[-1] if self.epochs else {}
        self.notices = [str(one.get("message")) for one in found.of(EventKind.NOTICE)]
        self.skipped = found.skipped  # lines of metrics.jsonl that could not be read
        self.files = list(_files(folder))
        # What was recorded last of each of the `CLOCKS`, and what that was; none where nothing was.
        self.by_clock, self.until = self._clocks(self.record) if self.record else ({}, "")
        self.seconds = _total(self.by_clock)
        # By the calendar, breaks between resumptions and all.
        self.elapsed: float | None = None
        is_over = self.by_clock and self.run.status != RunStatus.RUNNING
        if is_over and self.record and self.record.ended:
            self.elapsed = (self.record.ended - self.record.started).total_seconds()

    def _clocks(self, record: RunRecord) -> tuple[Mapping[str, float | None], str]:
        if self.run.status == RunStatus.COMPLETED:
            return {name: record.measure(f"{name}_seconds") for name in CLOCKS}, "end"
        saved = self.standing.saved
        of_epoch = {name: number(self.last_epoch.get(f"{name}_seconds")) for name in CLOCKS}
        if saved is not None and _total(saved.seconds) >= _total(of_epoch):
            return saved.seconds, "last checkpoint"
        is_known = saved is not None or _total(of_epoch)
        return (of_epoch, "last epoch") if is_known else ({}, "")

    def ago(self, time: datetime) -> str:
        return f"{moment(time)}, {age((self.now - time).total_seconds())} ago"


def _total(by_clock: Mapping[str, float | None]) -> float:
    return sum(value or 0.0 for value in by_clock.values())


def _files(folder: Path, within: str = "") -> Iterator[tuple[str, Size]]:
    """The files of a run, each folder and each checkpoint as one; of very many, some."""
    found: dict[str, Size | None] = {}
    # It may be removed meanwhile, or not be looked into.
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in itertools.islice(entries, _MOST_ENTRIES):
            is_folder = entry.is_dir(follow_symlinks=False)
            size = None if is_folder else Size(entry.stat(follow_symlinks=False).st_size)
            found[entry.name] = size
    for name in sorted(found):
        if name == "checkpoint" and not within and found[name] is None:
            yield from _files(folder / name, "checkpoint/")
        else:
            end = "" if within or found[name] else "/"
            yield printable(f"{within}{name}{end}"), found[name] or size_of(folder / name)


def show_run(run: str, *, layout: str) -> int:
    """Print all there is to know of a run, as a table or json; gives the exit code."""
    details = Details(find_run(run))
    if layout == "json":
        show(json.dumps(_content(details), indent=1, allow_nan=False) + "\n")
    else:
        show("\n".join(_lines(details, terminal_width())) + "\n")
    return 1 if details.record is None else 0


def _lines(details: Details, width: int) -> Iterator[str]:
    yield style(printable(str(details.run.folder)), "heading", is_styled())
    for label, *texts in _paragraphs(details):
        for index, text in enumerate(filter(None, texts)):
            yield from hanging("" if index else label, text, width, indent=_INDENT)
    if details.epochs:
        yield ""
        yield from _epoch_lines(details, width)
    yield ""
    sizes = [*details.files, ("in all", details.standing.size)]
    files = [(name, str(size), "") for name, size in sizes]
    for label, rows in (("time", _time_rows(details)), ("files", files)):
        names, values = (widest([row[column] for row in rows]) for column in (0, 1))
        columns = [Column(_INDENT - 2), Column(names), Column(values, right=True), Column(0)]
        for index, row in enumerate(rows):
            yield from row_lines(["" if index else label, *row], columns)


def _paragraphs(details: Details) -> Iterator[Sequence[str]]:
    """Labels, each with texts that begin a line each."""
    record, config = details.record, details.configuration
    yield "state", _state(details)
    if record:
        yield "optimizer", record.optimizer
    if not config:
        yield "config", f"{CONFIG_NAME} cannot be read"
    if record:
        yield from _configuration(record, config)
        yield from _machine(record)
        yield "result", *_result(details, record)
        yield "resumed", *_resumptions(details, record)
        yield "curve", _curve(details)
    elif config:
        names = ("name", "optimizer.name", "training.epochs", "training.seed")
        yield _joined("config", *(_told(name + " {}", config.get(name)) for name in names))
    notes = [*details.notices, *(f"{METRICS_NAME}, {one}" for one in details.skipped)]
    more = [f"and {len(notes) - _MOST_NOTES:,} more"] if len(notes) > _MOST_NOTES else []
    yield "notes", *notes[:_MOST_NOTES], *more


def _state(details: Details) -> str:
    standing, record = details.standing, details.record
    status, reason = details.run.status, details.run.reason
    parts = [reason if reason.startswith(status) else ": ".join(filter(None, (status, reason)))]
    if record:
        parts.append(f"started {details.ago(record.started)}")
        if record.ended and status != RunStatus.RUNNING:
            parts.append(f"ended {moment(record.ended)}")
        parts.append(standing.done)
    if standing.held and (holder := holder_of(details.run.folder / LOCK_NAME)):
        parts.append(f"held by {holder}")
    parts += [standing.last_saved(details.now), standing.resumes]
    return "; ".join(filter(None, parts))


def _configuration(record: RunRecord, config: Mapping[str, object]) -> Iterator[Sequence[str]]:
    """What was to be done: the experiment, its network, its photos, its seed."""
    comparable, provenance = record.comparable, record.provenance
    kind = " (drawn sample, no real photos)" if record.sample else ""
    notes = [_value(config["notes"])] if config.get("notes") else []
    yield "experiment", f"{record.name}{kind}, hash {_hash(record.experiment)}", *notes
    per_update = record.images_per_update
    yield _joined(
        "training",
        _told("{} epochs", comparable.get("epochs")),
        _told("batch {}", record.batch_size),
        _told("{} photos an update", per_update if per_update != record.batch_size else None),
        *_unusual(config, "training."),
    )
    model = flatten(mapping(comparable.get("model")))
    yield _joined(
        "network",
        title_of(record.flat_comparable.get("model.network"), number(model.get("width"))),
        _told("{} parameters", whole(provenance.get("parameters")) or None),
        _told("weights {}", config.get("model.weights", _hash(model.get("weights")))),
        _told("trainable {}", model.get("trainable")),
        _told("hidden units {}", model.get("head.hidden_units") or None),
        _told("dropout {}", model.get("head.dropout")),
    )
    yield _joined(
        "photos",
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
    weights = _told("initial weights {}", _hash(record.initial_weights))
    batches = _told("first batches {}", _hash(record.first_batches))
    yield _joined("seed", str(record.seed), weights, batches)


def _machine(record: RunRecord) -> Iterator[Sequence[str]]:
    """What it was trained on, with which versions, and by which command."""
    facts = record.provenance
    hardware, packages = mapping(facts.get("hardware")), mapping(facts.get("packages"))
    yield _joined(
        "machine",
        hardware.get("device"),
        _told("{} threads", facts.get("threads")),
        record.comparable.get("precision"),
        "XLA" if record.jit_compile else "",
        _told("{} GiB", hardware.get("memory_gib")),
        hardware.get("system"),
        _told("host {}", hardware.get("host")),
    )
    installed = (f"{name} {version}" for name, version in packages.items())
    yield _joined("versions", *installed, _told("Python {}", facts.get("python")))
    dirty = " with changes that are not committed" if facts.get("git_dirty") is True else ""
    commit = facts.get("git_commit")
    yield "commit", f"{_hash(commit)}{dirty}" if commit else ""
    yield "command", _command(facts.get("command"))


def _result(details: Details, record: RunRecord) -> Sequence[str]:
    if details.run.status != RunStatus.COMPLETED:
        known = [one for one in details.epochs if number(one.get("validation_loss")) is not None]
        if not known:
            return []
        best = min(known, key=lambda one: one["validation_loss"])
        accuracy = _form(number(best.get("validation_accuracy")), percent)
        loss, of = float(best["validation_loss"]), f"best epoch {best.get('epoch')}"
        return [f"so far, {of}: validation accuracy {accuracy}, loss {loss:.4f}"]
    best_epoch = record.measure("best_epoch")
    at = f" (epoch {best_epoch:.0f}, the best)" if best_epoch else ""
    validation, test = (
        "–" if (found := record.measure(name)) is None else percent(found) + counted(found, photos)
        for name, photos in (
            ("best_validation_accuracy", record.validation_photos),
            ("test_accuracy", record.test_photos),
        )
    )
    others = ("best_validation_loss", "test_log_loss", "test_roc_auc")
    best_loss, log_loss, auc = (_form(record.measure(name), "{:.4f}".format) for name in others)
    return [
        f"validation accuracy {validation}, loss {best_loss}{at}",
        f"test accuracy {test}, log loss {log_loss}, ROC AUC {auc}",
    ]


def _curve(details: Details) -> str:
    """The validation loss by epoch, drawn in a line of letters."""
    losses = [number(one.get("validation_loss")) for one in details.epochs]
    known = [loss for loss in losses if loss is not None]
    if len(known) < _FEWEST_FOR_CURVE:
        return ""
    drawn = sparkline(losses, _LONGEST_CURVE)
    return (
        f"{drawn}  validation loss from {_loss(known[0])} to {_loss(known[-1])}, "
        f"the lowest {_loss(min(known))}"
    )


def _resumptions(details: Details, record: RunRecord) -> Iterator[str]:
    for one in record.resumed:
        when = details.ago(one.time) if one.time else "at a time that is not recorded"
        where = "" if one.steps_done is None else f", from step {one.steps_done + 1:,}"
        yield f"{when}{where}; {'; '.join(one.changes) or 'nothing had changed'}"


def _time_rows(details: Details) -> list[tuple[str, str, str]]:
    """Clock, time, its share and what was got for it."""
    rows = []
    for clock, spent in details.by_clock.items():
        if spent is not None:
            rate = _rate(details, spent) if clock == "training" else ""
            name = "everything else" if clock == "other" else clock
            rows.append((name, duration(spent), f"{share(spent, details.seconds):>5}  {rate}"))
    if details.until not in ("", "end"):
        rows.append((f"to {details.until}", duration(details.seconds), ""))
    elif details.elapsed is not None:
        rows.append(("from start to end", duration(details.elapsed), ""))
        if details.record and details.record.resumed:
            rows.append(("of it not running", duration(details.elapsed - details.seconds), ""))
    return rows


def _rate(details: Details, training_seconds: float) -> str:
    progress, last, record = details.standing.progress, details.last_epoch, details.record
    if record is None:
        return ""
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
    epochs = details.standing.progress.epochs
    of_all = f"/{epochs}" if epochs else ""
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


def _content(details: Details) -> dict[str, Any]:
    """All that is known, as plain values; the git diff is none of it."""
    record = details.record
    recorded = record.as_json() if record else {}
    return run_content(details.standing, details.now) | {
        "configuration": details.configuration,
        "optimizer_specification": recorded.get("optimizer"),
        **{key: recorded.get(key) for key in _RECORDED},
        "ended": record.ended.isoformat() if record and record.ended else None,
        "epochs": details.epochs,
        "notices": details.notices,
        "metrics_skipped": details.skipped,
        "seconds": details.by_clock or None,
        "seconds_until": details.until or None,
        "elapsed_seconds": details.elapsed,
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


def _joined(label: str, *parts: object) -> tuple[str, str]:
    return label, ", ".join(_value(part) for part in parts if part not in (None, ""))
