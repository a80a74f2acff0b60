"""Going on with a run that ended before its time, as if it had never ended."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optrun.runner import untrusted
from optrun.runner.config.identity import experiment_hash
from optrun.runner.config.load import load
from optrun.runner.engine.signals import Stops
from optrun.runner.errors import UserError
from optrun.runner.plan.plan import PlannedRun
from optrun.runner.plan.resolved import as_decided, device_of
from optrun.runner.runs.disk_errors import told
from optrun.runner.runs.run_folder import FORMAT, RunFolder
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import NativeStderr
from optrun.runner.untrusted import mapping, printable
from optrun.runner.user_optimizer import fingerprints

if TYPE_CHECKING:
    from optrun.runner.engine.state import State
    from optrun.runner.plan.resources import Materials
    from optrun.runner.plan.single_run import RunState


def read_recorded(path: Path) -> dict[str, Any]:
    """The run.json of a run, of this format.

    Raises:
        UserError: There is none that can be read.
    """
    try:
        recorded = untrusted.json_object(untrusted.content_of(path / "run.json"))
    except untrusted.DamageError as damage:
        raise UserError(
            f"{path} is no run that can be resumed: {damage}. `optrun runs {path.parent}` lists "
            "those there"
        ) from damage
    if recorded.get("format") != FORMAT:
        raise UserError(
            f"{path}: run.json has the format {recorded.get('format')!r}, this version reads "
            f"{FORMAT}; use the version of optrun that wrote it"
        )
    return recorded


def run_in(folder: RunFolder, recorded: Mapping[str, Any]) -> PlannedRun:
    """The run as its own config.yaml states it, with what `auto` was when it began.

    Raises:
        UserError: That config.yaml is not what the run was started with.
    """
    loaded = load(folder.config_path, import_own=True)
    present = experiment_hash(loaded.experiment, fingerprints(loaded.experiment))
    # The hash is that of an experiment, which runs with several seeds share.
    is_own = loaded.experiment.training.seed == recorded.get("seed")
    if present != recorded.get("experiment") or not is_own:
        raise UserError(
            f"{folder.config_path} is not what the run was started with: it was changed, or "
            "another version of optrun wrote it. Train anew from it instead: "
            f"optrun train {folder.config_path}"
        )
    return PlannedRun(
        name=str(recorded.get("name")),
        experiment=as_decided(loaded.experiment, [recorded]),
        config=folder.config_path,
        origins={},
    )


def go_on(
    folder: RunFolder,
    recorded: Mapping[str, Any],
    run: PlannedRun,
    materials: "Materials",
    *,
    display: Display,
    native: NativeStderr,
    stops: Stops,
) -> "RunState":
    """Train the rest of a run.

    Args:
        folder: The run's folder, open for writing.
        recorded: Its run.json.
        run: What to do, with what `auto` was when it began.
        materials: What it needs.
        display: The screen.
        native: Where messages of native code go.
        stops: Asked whether to end.

    Raises:
        UserError: It cannot be gone on with; nothing in its folder was changed.
        KeyboardInterrupt: The person stops it; it is recorded as interrupted.
    """
    from optrun.runner.plan.single_run import facts_of, train_and_record
    from optrun.runner.runs.recorder import Recorder

    display.say(f"run       {folder.path}, resumed")
    state = _last_state(folder, display)
    facts = facts_of(run, materials)
    _require_same_material(folder.path, recorded, facts, from_start=state is None)
    changes = _changes(recorded, facts)
    for change in changes:
        display.notice(f"not as when it started: {change}")
    with native.into(folder.log_path):
        per_epoch = facts["steps_per_epoch"]
        steps_done = 0 if state is None else state.position.steps_done(per_epoch)
        records = [] if state is None else [asdict(record) for record in state.records]
        try:
            are_whole = folder.cut_metrics(0 if state is None else state.metrics_bytes, records)
            recorder = Recorder.of_resumed_run(
                folder, display, dict(recorded), steps_done=steps_done, changes=changes
            )
            if not are_whole:
                recorder.notice(
                    "metrics.jsonl was not what it had been; its epochs are those of the checkpoint"
                )
        except OSError as error:
            raise UserError(
                f"{folder.path} can't be gone on with: {told(error, folder.path)}. Its checkpoints "
                "are as they were"
            ) from error
        display.say(f"          from step {steps_done + 1:,}")
        return train_and_record(
            run,
            materials,
            folder=folder,
            recorder=recorder,
            display=display,
            stops=stops,
            resumed=state,
        )


def other_material(recorded: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """What of photos and weights is not what a recorded run had, in words.

    Args:
        recorded: The run's run.json.
        facts: What run.json would hold if it began now.
    """
    before, now = mapping(recorded.get("comparable")), facts["comparable"]
    weights = mapping(before.get("model")).get("weights")
    other = {
        "the photos": before.get("photos") != now["photos"],
        "the division of the photos": before.get("split") != now["split"],
        "the weights to start from": weights != now["model"]["weights"],
    }
    return [name for name, differs in other.items() if differs]


def _last_state(folder: RunFolder, display: Display) -> "State | None":
    """The newest whole checkpoint; None where the run ended before its first."""
    from optrun.runner.engine import best_weights
    from optrun.runner.engine.checkpoint import CheckpointError, put_newest_in_place, read_newest
    from optrun.runner.engine.state import from_checkpoint

    try:
        found, problems = read_newest(folder.last_checkpoint_path, owner=folder.id)
        state = from_checkpoint(found)
    except FileNotFoundError:
        return None
    except CheckpointError as error:
        raise UserError(
            f"{folder.path} can't be resumed: none of its checkpoints is whole ({error}). Nothing "
            f"was overwritten; to train it anew: optrun train {folder.config_path}"
        ) from error
    if state.best_epoch is not None:
        try:
            best_weights.put_in_place(
                folder.best_checkpoint_path, state.best_epoch, owner=folder.id
            )
        except CheckpointError as error:
            raise UserError(
                f"{folder.path} can't be resumed: {error}. Nothing was overwritten; to train it "
                f"anew: optrun train {folder.config_path}"
            ) from error
    try:
        put_newest_in_place(folder.last_checkpoint_path, owner=folder.id)
    except OSError as error:
        raise UserError(
            f"{folder.path} can't be gone on with: {told(error, folder.path)}. Its checkpoints "
            "are as they were"
        ) from error
    for problem in problems:
        display.notice(f"the newest checkpoint is damaged, the one before it is used: {problem}")
    return state


def _require_same_material(
    path: Path, recorded: Mapping[str, Any], facts: Mapping[str, Any], *, from_start: bool
) -> None:
    """Refuses other photos, and other weights to start from where the run has to start again."""
    other = other_material(recorded, facts)
    if not from_start and "the weights to start from" in other:
        other.remove("the weights to start from")
    if other:
        raise UserError(
            f"{path} can't be resumed: {' and '.join(other)} are not those it was started with "
            f"(photos now from {printable(str(facts['provenance']['photos_source']))}). Put them "
            f"back, or train anew: optrun train {path / 'config.yaml'}"
        )


def _changes(recorded: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """What of versions, hardware and the place of the photos is not as it was, in words."""
    before, now = recorded.get("provenance"), facts["provenance"]
    if not isinstance(before, Mapping):
        return ["what it was started on was not recorded"]
    changes = []
    device = device_of(recorded)
    if device != facts["comparable"]["device"]:
        changes.append(f"device was {device or 'missing'}, now {facts['comparable']['device']}")
    for key in ("python", "packages", "hardware", "threads", "photos_source"):
        old, new = _flat(key, before.get(key)), _flat(key, untrusted.clean(now.get(key)))
        changes += [
            f"{name} was {old.get(name, 'missing')}, now {new.get(name, 'missing')}"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
    return changes


def _flat(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {f"{name}.{key}": item for key, item in value.items()}
    return {name: value}
