"""One run of a plan: its folder made, trained, its end recorded whatever that end is."""

import contextlib
import os
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Any

import tensorflow as tf

from data.batches import batches_per_epoch
from optimizers import specification
from runner import own_code, provenance
from runner.callbacks import Diverged
from runner.checkpoint import CheckpointError
from runner.configuration.load import as_yaml, experiment_hash
from runner.display import Display
from runner.errors import UserError
from runner.plan import PlannedRun
from runner.position import Position
from runner.preparation import Materials
from runner.quiet import NativeStderr
from runner.recording import Recorder
from runner.run_folder import RunFolder, create
from runner.stopping import Stops
from runner.training import Outcome, train
from runner.training_state import State


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
    with (
        create(results, run.name, experiment.training.seed) as folder,
        native.into(folder.log_path),
    ):
        display.say(f"run       {folder.path}")
        display.say(
            f"          {specification.describe(experiment.optimizer)}, "
            f"seed {experiment.training.seed}"
        )
        folder.write_config(as_yaml(own_code.reading_copies(experiment)))
        for name, content in own_code.copies(experiment).items():
            folder.write_code(name, content)
        _write_private(folder.path / "git.diff", provenance.uncommitted_changes(run.config.parent))
        facts = facts_of(run, materials)
        recorder = Recorder.of_new_run(folder, display, facts)
        return train_and_record(
            run, materials, folder=folder, recorder=recorder, display=display, stops=stops
        )


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
    except Diverged as diverged:
        recorder.ended(RunState.DIVERGED, why=str(diverged))
        display.notice(f"diverged: {diverged}. Try a lower learning rate or global_clipnorm")
        return RunState.DIVERGED
    except KeyboardInterrupt:
        recorder.ended(RunState.INTERRUPTED, why="stopped by a signal")
        display.say(f"  interrupted; to go on: optrun resume {folder.path}")
        raise
    except (UserError, CheckpointError, OSError, tf.errors.ResourceExhaustedError) as error:
        return _failed(recorder, display, reason=_reason(error))
    except Exception as error:  # noqa: BLE001 (our fault: recorded and shown whole, the plan goes on)
        recorder.log(traceback.format_exc())
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


def _reason(error: Exception) -> str:
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return (
            "the memory of the device is too small for this network: lower training.batch_size "
            "(soft_batch keeps the photos per update), data.image_size or model.width"
        )
    return str(error)


def _failed(recorder: Recorder, display: Display, *, reason: str) -> RunState:
    # On a full disk the end cannot be recorded either; readers then see a run whose writer died.
    with contextlib.suppress(OSError):
        recorder.ended(RunState.FAILED, why=reason)
    display.notice(f"failed: {reason}. Its log: {recorder.folder.log_path}")
    return RunState.FAILED


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
