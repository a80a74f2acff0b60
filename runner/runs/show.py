"""`optrun runs show`: one run, from its configuration to where its time went."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from optrun.runner.models.networks import title_of
from optrun.runner.runs.details import Details, details_of
from optrun.runner.runs.event_log import METRICS_NAME
from optrun.runner.runs.listing import (
    last_saved,
    progress_text,
    resumes,
    run_content,
    size_text,
    why,
)
from optrun.runner.runs.reader import CONFIG_NAME, Unreadable
from optrun.runner.runs.record import RunRecord, RunStatus, flatten
from optrun.runner.runs.select import find_run
from optrun.runner.runs.standing import steps_per_epoch
from optrun.runner.runs.writer_lock import LOCK_NAME, holder_of
from optrun.runner.ui.table import Column, row_lines
from optrun.runner.ui.text import hanging, is_styled, padded, show, style, terminal_width, widest
from optrun.runner.ui.wording import age, duration, moment, share
from optrun.runner.untrusted import mapping, number, printable, whole

_INDENT = 12
_MOST_NOTES = 10
_CLOCK_NAMES = {"training": "training", "evaluation": "evaluation", "other": "everything else"}
_HASH_DIGITS = 8
_LONGEST_COMMAND = 40  # words
# Of very many epochs the first and the last are shown.
_MOST_EPOCHS, _FIRST_EPOCHS, _LAST_EPOCHS = 40, 5, 30

# Settings with what goes without saying, in the order in which they are told.
_USUAL: Mapping[str, object] = {
    "data.limit": None,
    "data.resize": "squash",
    "data.antialias": False,
    "training.early_stopping_patience": None,
    "training.deterministic": False,
    "training.tensorboard": False,
}

_Paragraph = tuple[str, Sequence[str]]
_Epoch = Mapping[str, Any]


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
        lines = list(_lines(details, now, terminal_width()))
        show("\n".join([style(lines[0], "heading", is_styled()), *lines[1:]]) + "\n")
    return 1 if isinstance(details.standing.run, Unreadable) else 0


def _lines(details: Details, now: datetime, width: int) -> Iterator[str]:
    yield printable(str(details.standing.folder))
    for label, texts in _paragraphs(details, now):
        for index, text in enumerate(texts):
            yield from hanging("" if index else label, text, width, indent=_INDENT)
    if details.epochs:
        yield ""
        yield from _epoch_lines(details, width)
    yield ""
    files = [(entry.name, size_text(entry.size)) for entry in details.entries]
    files.append(("in all", size_text(details.standing.size)))
    for label, rows in (("time", _time_rows(details)), ("files", files)):
        columns = [
            Column(_INDENT - 2),
            Column(widest([row[0] for row in rows])),
            Column(widest([row[1] for row in rows]), right=True),
            Column(0),
        ]
        for index, row in enumerate(rows):
            cells = ["" if index else label, *row, *[""] * (3 - len(row))]
            yield from row_lines(cells, columns)


def _paragraphs(details: Details, now: datetime) -> Iterator[_Paragraph]:
    run, config = details.standing.run, details.configuration
    yield "state", [_state(details, now)]
    if not isinstance(run, Unreadable):
        yield "optimizer", [run.record.optimizer]
    if not config:
        yield "config", [f"{CONFIG_NAME} cannot be read"]
    if not isinstance(run, Unreadable):
        yield from _configuration(run.record, config)
        yield from _machine(run.record)
        if result := _result(details, run.record):
            yield "result", result
        if run.record.resumed:
            yield "resumed", list(_resumptions(run.record, now))
    elif config:
        names = ("name", "optimizer.name", "training.epochs", "training.seed")
        yield "config", [_joined(*(_told(name + " {}", config.get(name)) for name in names))]
    notes = [*details.notices, *(f"{METRICS_NAME}, {one}" for one in details.skipped)]
    if len(notes) > _MOST_NOTES:
        notes = [*notes[:_MOST_NOTES], f"and {len(notes) - _MOST_NOTES:,} more"]
    if notes:
        yield "notes", notes


def _state(details: Details, now: datetime) -> str:
    standing = details.standing
    run, status, reason = standing.run, standing.status, why(standing)
    parts = [reason if reason.startswith(status) else ": ".join(filter(None, (status, reason)))]
    if not isinstance(run, Unreadable):
        started, ended = run.record.started, run.record.ended
        parts.append(f"started {moment(started)}, {_ago(started, now)}")
        if ended and status != RunStatus.RUNNING:
            parts.append(f"ended {moment(ended)}")
        parts.append(progress_text(standing.progress, status))
    if standing.held and (holder := holder_of(standing.folder / LOCK_NAME)):
        parts.append(f"held by {holder}")
    parts += [last_saved(standing, now), resumes(standing)]
    return "; ".join(filter(None, parts))


def _configuration(record: RunRecord, config: Mapping[str, object]) -> Iterator[_Paragraph]:
    """What was to be done: the experiment, its network, its photos, its seed."""
    kind = " (drawn sample, no real photos)" if record.sample else ""
    experiment = [_joined(f"{record.name}{kind}", f"hash {_hash(record.experiment)}")]
    if notes := config.get("notes"):
        experiment.append(_value(notes))
    yield "experiment", experiment
    per_update = record.images_per_update
    training = (
        _told("{} epochs", record.comparable.get("epochs")),
        _told("batch {}", record.batch_size),
        _told("{} photos an update", per_update if per_update != record.batch_size else None),
        *_unusual(config, "training."),
    )
    yield "training", [_joined(*training)]
    yield "network", [_joined(*_network(record, config))]
    yield "photos", [_joined(*_photos(record, config))]
    seed = (
        f"{record.seed}",
        _told("initial weights {}", _hash(record.initial_weights)),
        _told("first batches {}", _hash(record.first_batches)),
    )
    yield "seed", [_joined(*seed)]


def _network(record: RunRecord, config: Mapping[str, object]) -> Iterator[str]:
    model = flatten(mapping(record.comparable.get("model")))
    width = number(model.get("width"))
    yield title_of(record.flat_comparable.get("model.network"), width)
    if parameters := whole(record.provenance.get("parameters")):
        yield f"{parameters:,} parameters"
    yield _told("weights {}", config.get("model.weights", _hash(model.get("weights"))))
    yield _told("trainable {}", model.get("trainable"))
    yield _told("hidden units {}", model.get("head.hidden_units") or None)
    yield _told("dropout {}", model.get("head.dropout"))


def _photos(record: RunRecord, config: Mapping[str, object]) -> Iterator[object]:
    yield record.provenance.get("photos_source") or config.get("data.source")
    yield _told("{} px", record.comparable.get("image_size"))
    yield from _unusual(config, "data.")
    for name, value in record.flat_comparable.items():
        if name.startswith("augmentation.") and value:
            yield f"{name.rpartition('.')[2]} {_value(value)}"
    if left_out := whole(record.provenance.get("photos_left_out")):
        yield f"{left_out:,} left out"
    yield _told("fingerprint {}", _hash(record.comparable.get("photos")))


def _machine(record: RunRecord) -> Iterator[_Paragraph]:
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
    versions = _joined(
        *(f"{name} {version}" for name, version in packages.items()),
        _told("Python {}", facts.get("python")),
    )
    dirty = " with changes that are not committed" if facts.get("git_dirty") is True else ""
    commit = facts.get("git_commit")
    code = f"{_hash(commit)}{dirty}" if commit else ""
    labels, texts = ("machine", "versions", "commit", "command"), (machine, versions, code)
    for label, text in zip(labels, (*texts, _command(facts.get("command"))), strict=True):
        if text:
            yield label, [text]


def _result(details: Details, record: RunRecord) -> Sequence[str]:
    get = record.measure
    if details.standing.status != RunStatus.COMPLETED:
        losses = [(number(one.get("validation_loss")), one) for one in details.epochs]
        known = [(loss, one) for loss, one in losses if loss is not None]
        if not known:
            return []
        loss, best = min(known, key=lambda pair: pair[0])
        accuracy = _percent(number(best.get("validation_accuracy")))
        epoch = best.get("epoch")
        return [f"so far, best epoch {epoch}: validation accuracy {accuracy}, loss {loss:.4f}"]
    best_epoch = get("best_epoch")
    return [
        f"validation accuracy {_percent(get('best_validation_accuracy'))}, "
        f"loss {_decimals(get('best_validation_loss'))}"
        + (f" (epoch {best_epoch:.0f}, the best)" if best_epoch else ""),
        f"test accuracy {_percent(get('test_accuracy'))}, log loss "
        f"{_decimals(get('test_log_loss'))}, ROC AUC {_decimals(get('test_roc_auc'))}",
    ]


def _resumptions(record: RunRecord, now: datetime) -> Iterator[str]:
    for one in record.resumed:
        when = f"{moment(one.time)}, {_ago(one.time, now)}" if one.time else ""
        where = "" if one.steps_done is None else f", from step {one.steps_done + 1:,}"
        changes = "; ".join(one.changes) or "nothing had changed"
        yield f"{when or 'at a time that is not recorded'}{where}; {changes}"


def _time_rows(details: Details) -> list[tuple[str, ...]]:
    """Clock, time, its share, and what was got for it."""
    seconds, run = details.seconds, details.standing.run
    if seconds is None or isinstance(run, Unreadable):
        return []
    rows: list[tuple[str, ...]] = []
    for clock, name in _CLOCK_NAMES.items():
        spent = seconds.by_clock.get(clock)
        if spent is not None:
            rate = _rates(details, run.record, spent) if clock == "training" else ""
            rows.append((name, duration(spent), f"{share(spent, seconds.total):>5}  {rate}"))
    if seconds.until != "end":
        rows.append((f"to {seconds.until}", duration(seconds.total)))
    if seconds.elapsed is not None and seconds.until == "end":
        rows.append(("from start to end", duration(seconds.elapsed)))
        if run.record.resumed:
            rows.append(("of it not running", duration(seconds.elapsed - seconds.total)))
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


def _epoch_lines(details: Details, width: int) -> Iterator[str]:
    """The epochs as a table, with the time that each of them took, as far as there is room."""
    columns = _epoch_columns(details)
    while len(columns) > 1 and sum(size for _, size, _ in columns) > width:
        columns.pop()
    laid_out = [Column(size, right=True) for _, size, _ in columns]
    yield from row_lines([title for title, _, _ in columns], laid_out, gap="")
    previous: _Epoch = {}
    count = len(details.epochs)
    for index, epoch in enumerate(details.epochs):
        if count <= _MOST_EPOCHS or not _FIRST_EPOCHS <= index < count - _LAST_EPOCHS:
            yield from row_lines([cell(epoch, previous) for *_, cell in columns], laid_out, gap="")
        elif index == _FIRST_EPOCHS:
            yield padded("…", laid_out[0].width, right=True)
        previous = epoch


def _epoch_columns(details: Details) -> list[tuple[str, int, Callable[[_Epoch, _Epoch], str]]]:
    """Title, width and content, which may need the epoch before."""
    progress = details.standing.progress

    def name(epoch: _Epoch, _: _Epoch) -> str:
        done = whole(epoch.get("epoch"))
        of_all = f"/{progress.epochs}" if progress and progress.epochs else ""
        return "?" if done is None else f"{done}{of_all}"

    def shown(key: str, form: Callable[[float], str]) -> Callable[[_Epoch, _Epoch], str]:
        def cell(epoch: _Epoch, _: _Epoch) -> str:
            value = number(epoch.get(key))
            return "–" if value is None else form(value)

        return cell

    def spent(key: str) -> Callable[[_Epoch, _Epoch], str]:
        def cell(epoch: _Epoch, previous: _Epoch) -> str:
            until, before = number(epoch.get(key)), number(previous.get(key)) or 0.0
            return "–" if until is None else duration(until - before)

        return cell

    def loss(value: float) -> str:
        return f"{value:.4f}" if value < 1000 else f"{value:.3g}"

    return [
        ("epoch", 9, name),
        ("train loss", 12, shown("training_loss", loss)),
        ("acc.", 8, shown("training_accuracy", "{:.1%}".format)),
        ("val. loss", 11, shown("validation_loss", loss)),
        ("acc.", 8, shown("validation_accuracy", "{:.1%}".format)),
        ("images/s", 10, shown("images_per_second", "{:,.1f}".format)),
        ("training", 11, spent("training_seconds")),
        ("evaluation", 11, spent("evaluation_seconds")),
    ]


def _content(details: Details, now: datetime) -> dict[str, Any]:
    """All that is known, as plain values; the git diff is none of it."""
    run, seconds = details.standing.run, details.seconds
    record = None if isinstance(run, Unreadable) else run.record
    recorded = record.as_json() if record else {}
    return run_content(details.standing, now) | {
        "configuration": dict(details.configuration),
        "optimizer_specification": recorded.get("optimizer"),
        **{
            key: recorded.get(key)
            for key in ("comparable", "batch_size", "images_per_update", "provenance", "result")
        },
        "ended": record.ended.isoformat() if record and record.ended else None,
        "epochs": list(details.epochs),
        "notices": list(details.notices),
        "metrics_skipped": list(details.skipped),
        "seconds": None if seconds is None else dict(seconds.by_clock),
        "seconds_until": None if seconds is None else seconds.until,
        "elapsed_seconds": None if seconds is None else seconds.elapsed,
        "resumed": recorded.get("resumed", []),
        "files": [
            {"name": one.name, "bytes": one.size.total, "at_least": one.size.at_least}
            for one in details.entries
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


def _ago(time: datetime, now: datetime) -> str:
    return f"{age((now - time).total_seconds())} ago"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


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
