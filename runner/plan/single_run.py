"""One run of a plan: its folder made, trained, its end recorded whatever that end is."""

import contextlib
import os
import traceback
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from optrun.data.feed.batches import batches_per_epoch
from optrun.optimizers import specification
from optrun.runner import provenance
from optrun.runner import user_optimizer as own_code
from optrun.runner.config.identity import experiment_hash
from optrun.runner.config.schema import as_yaml
from optrun.runner.engine import checkpoint
from optrun.runner.engine import out_of_memory as allocation
from optrun.runner.engine.checkpoint import CheckpointError
from optrun.runner.engine.divergence import Diverged
from optrun.runner.engine.loop import Outcome, train
from optrun.runner.engine.position import Position
from optrun.runner.engine.signals import Stops
from optrun.runner.engine.state import State
from optrun.runner.errors import UserError, tell
from optrun.runner.plan.plan import PlannedRun
from optrun.runner.plan.resources import Materials
from optrun.runner.runs.disk_errors import told
from optrun.runner.runs.recorder import Recorder
from optrun.runner.runs.run_folder import RunFolder, create
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import NativeStderr


class RunState(StrEnum):
    """How a run ended, as run.json has it."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


def carry_out_run(
    run: PlannedRun,
    materials: Materials,
    *,
    results: Path,
    display: Display,
    native: NativeStderr,
    stops: Stops,
) -> RunState:
    """Train one run and record it.

    A run that fails does not stop the plan; its reason is in its folder and on the screen.

    Raises:
        KeyboardInterrupt: The person stops the plan; the run is recorded as interrupted.
        UserError: The run's folder cannot be made.
    """
    experiment = run.experiment
    with create(results, run.name, experiment.training.seed) as folder:
        display.say(f"run       {folder.path}")
        display.say(
            f"          {specification.describe(experiment.optimizer)}, "
            f"seed {experiment.training.seed}"
        )
        recorder = _begin(folder, run, materials, display)
        with native.into(folder.log_path):
            return train_and_record(
                run, materials, folder=folder, recorder=recorder, display=display, stops=stops
            )


def _begin(folder: RunFolder, run: PlannedRun, materials: Materials, display: Display) -> Recorder:
    """Write what is known before the first step; a run that can't leaves nothing behind."""
    try:
        folder.write_config(as_yaml(own_code.reading_copies(run.experiment)))
        for name, content in own_code.copies(run.experiment).items():
            folder.write_code(name, content)
        _write_private(folder.path / "git.diff", provenance.uncommitted_changes(run.config.parent))
        return Recorder.of_new_run(folder, display, facts_of(run, materials))
    except OSError as error:
        folder.discard()
        raise UserError(f"The run can't begin: {told(error, folder.path.parent)}") from error


def train_and_record(
    run: PlannedRun,
    materials: Materials,
    *,
    folder: RunFolder,
    recorder: Recorder,
    display: Display,
    stops: Stops,
    resumed: State | None = None,
) -> RunState:
    """Train a run whose folder is open, from its beginning or a state, and record how it ends.

    Raises:
        KeyboardInterrupt: The person stops the plan; the run is recorded as interrupted.
    """
    experiment = run.experiment
    photos, parts = materials.photos_of(experiment)
    steps_per_epoch = batches_per_epoch(len(parts.train), experiment.training.batch_size)
    start = Position() if resumed is None else resumed.position

    def abandon() -> None:
        recorder.ended(
            RunState.INTERRUPTED,
            why="stopped by a signal, in the middle of what could not end in time",
        )

    try:
        with (
            stops.deferred(abandon),
            display.run_progress(
                epochs=experiment.training.epochs,
                steps_per_epoch=steps_per_epoch,
                steps_done=start.steps_done(steps_per_epoch),
            ),
        ):
            outcome = train(
                experiment,
                photos=photos,
                split=parts,
                machine=materials.machine_of(experiment),
                weights_file=materials.weights_files.get(experiment.model.weights),
                run_folder=folder,
                listener=recorder,
                stops=stops,
                resumed=resumed,
            )
            folder.save_predictions(outcome.predictions)
            recorder.ended(RunState.COMPLETED, result=outcome.result)
            for finished in (folder.last_checkpoint_path, folder.best_checkpoint_path):
                checkpoint.forget_previous(finished)
    except Diverged as diverged:
        _end(recorder, display, RunState.DIVERGED, why=str(diverged), divergence=diverged.facts)
        if display.quiet:
            tell(UserError(f"{folder.path} diverged: {diverged}"))
        display.notice(f"diverged: {diverged}. Try a lower learning rate or global_clipnorm")
        return RunState.DIVERGED
    except KeyboardInterrupt:
        _end(recorder, display, RunState.INTERRUPTED, why="stopped by a signal")
        display.say(f"  interrupted; to go on: optrun resume {folder.path}")
        raise
    except (UserError, CheckpointError, OSError) as error:
        return _failed(recorder, display, reason=_reason(error, folder.path))
    except Exception as error:  # noqa: BLE001 (recorded whole, and the plan goes on)
        with contextlib.suppress(OSError):  # the reason is told anyway
            recorder.log(traceback.format_exc())
        if allocation.is_failed(error):
            return _failed(recorder, display, reason=allocation.reason(error, experiment))
        traceback.print_exc()
        return _failed(recorder, display, reason=f"{type(error).__name__}: {error}")
    _show_result(outcome, folder.path, display)
    return RunState.COMPLETED


def facts_of(run: PlannedRun, materials: Materials) -> dict[str, Any]:
    """The fields of run.json that are known before the start."""
    experiment = run.experiment
    machine = materials.machine_of(experiment)
    photos, parts = materials.photos_of(experiment)
    training = experiment.training
    shared = materials.provenance[run.config.absolute().parent]
    hardware = shared["hardware"]
    return {
        "name": run.name,
        "seed": training.seed,
        "sample": photos.is_sample,
        "pid": os.getpid(),
        "optimizer": {
            "description": specification.describe(experiment.optimizer),
            "specification": specification.resolve(experiment.optimizer),
        },
        "experiment": experiment_hash(experiment, own_code.fingerprints(experiment)),
        "comparable": {
            "photos": photos.fingerprint,
            "split": parts.fingerprint,
            "image_size": experiment.data.image_size,
            "resize": experiment.data.resize,
            "antialias": experiment.data.antialias,
            "augmentation": experiment.data.augmentation.model_dump(),
            "model": {
                **experiment.model.model_dump(exclude={"weights"}),
                "weights": materials.weights_hashes[experiment.model.weights],
            },
            "precision": machine.precision,
            "epochs": training.epochs,
            "device": machine.device,
        },
        "batch_size": training.batch_size,
        "steps_per_epoch": batches_per_epoch(len(parts.train), training.batch_size),
        "images_per_update": training.batch_size
        * specification.batches_per_update(experiment.optimizer),
        "provenance": {
            **shared,
            "hardware": {
                **(hardware if isinstance(hardware, dict) else {}),
                "device": machine.device_name,
            },
            "threads": machine.threads,
            "jit_compile": machine.jit_compile,
            "photos_source": photos.source,
            "photos_left_out": len(photos.left_out),
            "photos_dropped": len(parts.dropped),
            "config": str(run.config.absolute()),
            "own_code": own_code.facts(experiment),
        },
    }


def _reason(error: Exception, folder: Path) -> str:
    return told(error, folder) if isinstance(error, OSError) else str(error)


def _failed(recorder: Recorder, display: Display, *, reason: str) -> RunState:
    _end(recorder, display, RunState.FAILED, why=reason)
    if display.quiet:
        tell(UserError(f"{recorder.folder.path} failed: {reason}"))
    display.notice(f"failed: {reason}. Its log: {recorder.folder.log_path}")
    return RunState.FAILED


def _end(
    recorder: Recorder,
    display: Display,
    state: RunState,
    *,
    why: str,
    divergence: Mapping[str, object] | None = None,
) -> None:
    """Record the end of a run that is not completed, as far as its disk lets it."""
    try:
        recorder.ended(state, why=why, divergence=divergence)
    except OSError as error:
        # Readers see a run whose writer died, which it is, and `optrun resume` goes on with it.
        trouble = told(error, recorder.folder.path)
        if trouble != why:
            display.notice(f"that it {state} can't be recorded: {trouble}")


def _show_result(outcome: Outcome, folder: Path, display: Display) -> None:
    result = outcome.result
    auc = result["test_roc_auc"]
    display.say(
        f"result    validation accuracy {result['best_validation_accuracy']:.1%} at epoch "
        f"{result['best_epoch']} (the best), test accuracy {result['test_accuracy']:.1%}"
    )
    ranking = f"test ROC AUC {auc:.4f}, " if auc is not None else ""
    display.say(f"          {ranking}trained {result['training_seconds']:.0f} s")
    if display.quiet:
        display.report(str(folder))


def _write_private(path: Path, text: str) -> None:
    """Write a file for its owner alone: a diff may hold what is nobody else's business."""
    if text:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
