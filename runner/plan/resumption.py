"""Going on with a run that ended before its time, as if it had never ended."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optrun.runner.config.identity import experiment_hash
from optrun.runner.config.load import load
from optrun.runner.engine.signals import Stops
from optrun.runner.errors import UserError
from optrun.runner.events import Notice
from optrun.runner.plan.plan import PlannedRun
from optrun.runner.plan.resolved import as_decided
from optrun.runner.runs.disk import told
from optrun.runner.runs.record import RunRecord
from optrun.runner.runs.run_folder import RunFolder
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import NativeStderr
from optrun.runner.untrusted import DamageError, clean, printable
from optrun.runner.user_optimizer import fingerprints

if TYPE_CHECKING:
    from optrun.runner.engine.state import State
    from optrun.runner.plan.resources import Materials
    from optrun.runner.plan.single_run import RunState


def read_recorded(path: Path) -> RunRecord:
    """The record of a run.

    Raises:
        UserError: There is none that can be read.
    """
    try:
        return RunRecord.read(path)
    except DamageError as damage:
        raise UserError(
            f"{path} is no run that can be resumed: {damage}. `optrun runs {path.parent}` lists "
            "those there"
        ) from damage


def run_in(folder: RunFolder, recorded: RunRecord) -> PlannedRun:
    """The run as its own config.yaml states it, with what `auto` was when it began.

    Raises:
        UserError: That config.yaml is not what the run was started with.
    """
    loaded = load(folder.config_path, import_own=True)
    present = experiment_hash(loaded.experiment, fingerprints(loaded.experiment))
    # The hash is that of an experiment, which runs with several seeds share.
    is_own = loaded.experiment.training.seed == recorded.seed
    if present != recorded.experiment or not is_own:
        raise UserError(
            f"{folder.config_path} is not what the run was started with: it was changed, or "
            "another version of optrun wrote it. Train anew from it instead: "
            f"optrun train {folder.config_path}"
        )
    return PlannedRun(
        name=recorded.name,
        experiment=as_decided(loaded.experiment, [recorded]),
        config=folder.config_path,
        origins={},
    )


def go_on(
    folder: RunFolder,
    recorded: RunRecord,
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
        recorded: Its record.
        run: What to do, with what `auto` was when it began.
        materials: What it needs.
        display: The screen.
        native: Where messages of native code go.
        stops: Asked whether to end.

    Raises:
        UserError: It cannot be gone on with; nothing in its folder was changed.
        KeyboardInterrupt: The person stops it; it is recorded as interrupted.
    """
    from optrun.runner.plan.single_run import record_of, train_and_record
    from optrun.runner.runs.recorder import Recorder

    display.say(f"run       {folder.path}, resumed")
    state = _last_state(folder, display)
    now = record_of(run, materials, run_id=recorded.id)
    _require_same_material(folder.path, recorded, now, from_start=state is None)
    changes = _changes(recorded, now)
    for change in changes:
        display.notice(f"not as when it started: {change}")
    with native.into(folder.log_path):
        per_epoch = now.steps_per_epoch
        steps_done = 0 if not (state and per_epoch) else state.position.steps_done(per_epoch)
        records = [] if state is None else [asdict(record) for record in state.records]
        try:
            are_whole = folder.cut_metrics(0 if state is None else state.metrics_bytes, records)
            recorder = Recorder.of_resumed_run(
                folder, recorded, steps_done=steps_done, changes=changes
            )
            if not are_whole:
                told_of = Notice(
                    "metrics.jsonl was not what it had been; its epochs are those of the checkpoint"
                )
                recorder(told_of)
                display.notice(told_of.message)
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


def other_material(recorded: RunRecord, now: RunRecord) -> list[str]:
    """What of photos and weights is not what a recorded run had, in words.

    Args:
        recorded: The run's record.
        now: The record that it would have if it began now.
    """
    named = {
        "photos": "the photos",
        "split": "the division of the photos",
        "model.weights": "the weights to start from",
    }
    old, new = recorded.flat_comparable, now.flat_comparable
    return [words for key, words in named.items() if old.get(key) != new.get(key)]


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
    path: Path, recorded: RunRecord, now: RunRecord, *, from_start: bool
) -> None:
    """Refuses other photos, and other weights to start from where the run has to start again."""
    other = other_material(recorded, now)
    if not from_start and "the weights to start from" in other:
        other.remove("the weights to start from")
    if other:
        raise UserError(
            f"{path} can't be resumed: {' and '.join(other)} are not those it was started with "
            f"(photos now from {printable(str(now.provenance.get('photos_source')))}). Put them "
            f"back, or train anew: optrun train {path / 'config.yaml'}"
        )


def _changes(recorded: RunRecord, fresh: RunRecord) -> list[str]:
    """What of versions, hardware and the place of the photos is not as it was, in words."""
    before: Mapping[str, Any] = {**recorded.provenance}
    now: Mapping[str, Any] = {**fresh.provenance}
    if not before:
        return ["what it was started on was not recorded"]
    changes = []
    if recorded.device != fresh.device:
        changes.append(f"device was {recorded.device or 'missing'}, now {fresh.device}")
    for key in ("python", "packages", "hardware", "threads", "photos_source"):
        old, new = _flat(key, before.get(key)), _flat(key, clean(now.get(key)))
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
