"""A run's configuration, photos, machine and versions in a few lines."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optrun.runner.models.registry import title_of
from optrun.runner.runs.details import Details
from optrun.runner.runs.reader import Run, Unreadable
from optrun.runner.runs.saved import whole
from optrun.runner.untrusted import mapping, number, printable

_HASH_DIGITS = 8
_LONGEST_COMMAND = 40  # words

# Settings with what goes without saying, in the order in which they are told.
_USUAL: Mapping[str, object] = {
    "data.limit": None,
    "data.resize": "squash",
    "data.antialias": False,
    "training.early_stopping_patience": None,
    "training.deterministic": False,
    "training.tensorboard": False,
}


def configuration_lines(details: Details) -> Iterator[tuple[str, Sequence[str]]]:
    """What was to be done: the experiment, its network, its photos, its seed."""
    run, config = details.standing.run, details.configuration
    if not config:
        yield "config", ["config.yaml cannot be read"]
    if isinstance(run, Unreadable):
        if config:
            yield "config", [_from_config(config)]
        return
    notes = config.get("notes")
    yield (
        "experiment",
        [
            _joined(
                f"{run.name}{' (drawn sample, no real photos)' if run.sample else ''}",
                f"hash {_hash(run.experiment)}",
            ),
            *([_value(notes)] if notes else []),
        ],
    )
    yield (
        "training",
        [
            _joined(
                _told("{} epochs", run.comparable.get("epochs")),
                _told("batch {}", run.batch_size),
                _told("{} photos an update", run.images_per_update)
                if run.images_per_update != run.batch_size
                else "",
                *_unusual(config, "training."),
            )
        ],
    )
    yield "network", [_joined(*_network(run, config, details.provenance))]
    yield "photos", [_joined(*_photos(run, config, details.provenance))]
    yield (
        "seed",
        [
            _joined(
                f"{run.seed}",
                _told("initial weights {}", _hash(run.initial_weights)),
                _told("first batches {}", _hash(run.first_batches)),
            )
        ],
    )


def machine_lines(details: Details) -> Iterator[tuple[str, Sequence[str]]]:
    """What it was trained on, with which versions, and by which command."""
    run, facts = details.standing.run, details.provenance
    if isinstance(run, Unreadable):
        return
    hardware = mapping(facts.get("hardware"))
    machine = _joined(
        hardware.get("device"),
        _told("{} threads", facts.get("threads")),
        run.comparable.get("precision"),
        "XLA" if facts.get("jit_compile") is True else "",
        _told("{} GiB", hardware.get("memory_gib")),
        hardware.get("system"),
        _told("host {}", hardware.get("host")),
    )
    packages = mapping(facts.get("packages"))
    versions = _joined(
        *(f"{name} {version}" for name, version in packages.items()),
        _told("Python {}", facts.get("python")),
    )
    dirty = " with changes that are not committed" if facts.get("git_dirty") is True else ""
    commit = facts.get("git_commit")
    for label, text in (
        ("machine", machine),
        ("versions", versions),
        ("commit", f"{_hash(commit)}{dirty}" if commit else ""),
        ("command", _command(facts.get("command"))),
    ):
        if text:
            yield label, [text]


def _network(run: Run, config: Mapping[str, object], facts: Mapping[str, Any]) -> Iterator[str]:
    comparable = run.comparable
    width = number(comparable.get("model.width"))
    yield title_of(comparable.get("model.network"), width)
    if parameters := whole(facts.get("parameters")):
        yield f"{parameters:,} parameters"
    weights = config.get("model.weights", _hash(comparable.get("model.weights")))
    yield f"weights {weights}" if weights else ""
    yield _told("trainable {}", comparable.get("model.trainable"))
    if hidden := comparable.get("model.head.hidden_units"):
        yield f"hidden units {hidden}"
    yield _told("dropout {}", comparable.get("model.head.dropout"))


def _photos(run: Run, config: Mapping[str, object], facts: Mapping[str, Any]) -> Iterator[object]:
    yield facts.get("photos_source") or config.get("data.source")
    yield _told("{} px", run.comparable.get("image_size"))
    yield from _unusual(config, "data.")
    yield from (
        f"{name.rpartition('.')[2]} {_value(value)}"
        for name, value in run.comparable.items()
        if name.startswith("augmentation.") and value
    )
    if left_out := whole(facts.get("photos_left_out")):
        yield f"{left_out:,} left out"
    yield _told("fingerprint {}", _hash(run.comparable.get("photos")))


def _from_config(config: Mapping[str, object]) -> str:
    """What can be told where run.json says nothing."""
    names = ("name", "optimizer.name", "training.epochs", "training.seed")
    return _joined(*(f"{name} {_value(config[name])}" for name in names if name in config))


def _unusual(config: Mapping[str, object], prefix: str) -> Iterator[str]:
    for name, usual in _USUAL.items():
        value = config.get(name, usual)
        if name.startswith(prefix) and value != usual:
            yield f"{name.rpartition('.')[2].replace('_', ' ')} {_value(value)}"


def _command(arguments: object) -> str:
    """As it was typed, whatever the program's own name was."""
    if not isinstance(arguments, list) or not all(isinstance(one, str) for one in arguments):
        return ""
    import shlex

    shown = [shlex.quote(printable(one)) for one in arguments[1:_LONGEST_COMMAND]]
    more = " …" if len(arguments) > _LONGEST_COMMAND else ""
    return " ".join(["optrun", *shown]) + more


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
