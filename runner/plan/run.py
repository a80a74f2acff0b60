"""One run: its folder taken, the training, its end recorded whatever that is.

New, unfinished and finished runs go the same way. A `RunSpec` is plain data, and what happens comes
back as events (`runner.events`), which could both be sent to another process.
"""

import contextlib
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from optrun.data.feed.batches import batches_per_epoch
from optrun.data.files import write_atomically
from optrun.data.photos import Photos
from optrun.data.split import Split
from optrun.runner import provenance, user_optimizer
from optrun.runner.config.schema import as_yaml
from optrun.runner.engine import checkpoint
from optrun.runner.engine.checkpoint import CheckpointError
from optrun.runner.engine.checkpointer import Storage, put_best_in_place
from optrun.runner.engine.loop import train
from optrun.runner.engine.signals import Stops
from optrun.runner.engine.state import Diverged, Position, State, from_checkpoint
from optrun.runner.errors import UserError
from optrun.runner.events import Event, Listener, Notice, RunEnded, RunStarted
from optrun.runner.plan import memory, progress
from optrun.runner.plan.plan import RunSpec
from optrun.runner.runs import own_photos
from optrun.runner.runs.disk import told
from optrun.runner.runs.own_photos import OwnPhotos
from optrun.runner.runs.record import RunRecord, RunStatus
from optrun.runner.runs.run_folder import PREDICTIONS_NAME, Recorder, RunFolder, create, reopen
from optrun.runner.ui.stderr_capture import NativeStderr
from optrun.runner.untrusted import printable


def carry_out(
    spec: RunSpec,
    listener: Listener,
    *,
    stops: Stops,
    native: NativeStderr,
    photos: tuple[Photos, Split],
    folder: RunFolder | None = None,
) -> str:
    """Train a run from where it stands to its end, record it, and return what became of it.

    A run that fails raises nothing; its reason is in its folder and in `RunEnded`. After a
    `UserError` (its folder cannot be made or gone on with, or another process writes it) nothing of
    it was changed. Its folder is given where this process holds it, and closed.
    """
    if spec.folder is None:
        with create(spec.results, spec.planned.name, spec.planned.seed) as made:
            recorder = _begin(made, spec, photos)
            return _train(spec, photos, recorder, listener, stops, native)
    with folder or reopen(spec.folder, progress.read_record(spec.folder).id) as opened:
        # Who held the lock until now may have finished it.
        recorded = progress.read_record(spec.folder)
        if recorded.written_status in progress.OVER:
            return progress.OVER[recorded.written_status]
        recorder, state, notices = _go_on(opened, recorded, spec, photos)
        return _train(spec, photos, recorder, listener, stops, native, state, notices)


def new_record(spec: RunSpec, photos: Photos, parts: Split, *, run_id: str) -> RunRecord:
    """What is known of a run before its first step."""
    planned, machine, experiment = spec.planned, spec.machine, spec.planned.experiment
    data, training = experiment.data, experiment.training
    return RunRecord(
        id=run_id,
        name=planned.name,
        seed=training.seed,
        sample=photos.is_sample,
        optimizer=experiment.optimizer.description,
        specification=experiment.optimizer.as_mapping(),
        experiment=planned.identity,
        comparable={
            "photos": photos.fingerprint,
            "split": parts.fingerprint,
            **data.model_dump(include={"image_size", "resize", "antialias", "augmentation"}),
            "model": experiment.model.model_dump(exclude={"weights"})
            | {"weights": spec.weights_hash},
            "precision": machine.precision,
            "epochs": training.epochs,
            "device": machine.device,
        },
        batch_size=training.batch_size,
        steps_per_epoch=batches_per_epoch(len(parts.train), training.batch_size),
        images_per_update=training.batch_size * experiment.optimizer.batches_per_update,
        provenance={
            **spec.provenance,
            **planned.provenance,
            "hardware": {**spec.provenance["hardware"], "device": machine.device_name},
            "threads": machine.threads,
            "jit_compile": machine.jit_compile,
            "photos_source": photos.source,
            "photos_left_out": len(photos.left_out),
            "photos_dropped": len(parts.dropped),
            "photos_by_part": {
                name: len(getattr(parts, name)) for name in ("train", "validation", "test")
            },
            "config": str(planned.config.absolute()),
            "own_code": user_optimizer.facts(experiment),
        },
        started=datetime.now(UTC),
    )


def _begin(folder: RunFolder, spec: RunSpec, photos: tuple[Photos, Split]) -> Recorder:
    """Write what is known before the first step; a run that can't leaves nothing behind."""
    experiment = spec.planned.experiment
    try:
        config = as_yaml(user_optimizer.reading_copies(experiment))
        write_atomically(folder.config_path, config.encode())
        for name, content in user_optimizer.copies(experiment).items():
            write_atomically(folder.path / name, content)
        folder.save_arrays(own_photos.NAME, OwnPhotos.of(*photos).as_arrays())
        diff = provenance.uncommitted_changes(spec.planned.config.parent)
        _write_private(folder.path / "git.diff", diff)
        return Recorder.of_new_run(folder, new_record(spec, *photos, run_id=folder.id))
    except OSError as error:
        folder.discard()
        raise UserError(f"The run can't begin: {told(error, folder.path.parent)}") from error


def _write_private(path: Path, text: str) -> None:
    """Write a file for its owner alone: a diff may hold what is nobody else's business."""
    if text:
        path.touch(0o600, exist_ok=False)
        path.write_text(text, encoding="utf-8")


def _go_on(
    folder: RunFolder, recorded: RunRecord, spec: RunSpec, photos: tuple[Photos, Split]
) -> tuple[Recorder, State | None, list[str]]:
    """Make everything ready to go on with a run; before that is sure, nothing of it is changed.

    Returns the recorder, the state to go on from (None where the run ended before its first), and
    what the person should know.
    """
    path = folder.path
    state, problems = None, list[str]()
    try:
        found, problems = checkpoint.read_newest(folder.last_checkpoint_path, owner=folder.id)
        state = from_checkpoint(found)
    except FileNotFoundError:
        pass  # there never was one
    except CheckpointError as error:
        raise _cannot_be_resumed(folder, f"none of its checkpoints is whole ({error})") from error
    now = new_record(spec, *photos, run_id=folder.id)
    other = progress.other_material(recorded, now)
    if state is not None:
        other = [one for one in other if one != progress.STARTING_WEIGHTS]
    if other:
        raise UserError(
            f"{path} can't be resumed: {' and '.join(other)} are not those it was started with "
            f"(photos now from {printable(photos[0].source)}). Put them back, or train anew: "
            f"optrun train {folder.config_path}"
        )
    damaged = "the newest checkpoint is damaged, the one before it is used"
    notices = [f"{damaged}: {problem}" for problem in problems]
    changes = progress.changes(recorded, now)
    notices += [f"not as when it started: {change}" for change in changes]
    try:
        # What a crash left half done: the checkpoints that the state is of get their names.
        start = state or State(Position(), {})
        if start.best_epoch is not None:
            put_best_in_place(folder.best_checkpoint_path, start.best_epoch, owner=folder.id)
        checkpoint.put_newest_in_place(folder.last_checkpoint_path, owner=folder.id)
        are_whole = folder.cut_metrics(start.metrics_bytes, list(map(asdict, start.records)))
        steps = start.position.steps_done(now.steps_per_epoch or 1)
        recorder = Recorder.of_resumed_run(folder, recorded, steps_done=steps, changes=changes)
        if not are_whole:
            said = "metrics.jsonl was not what it had been; its epochs are those of the checkpoint"
            notices.append(said)
            recorder(Notice(said))
    except CheckpointError as error:
        raise _cannot_be_resumed(folder, str(error)) from error
    except OSError as error:
        why = f"{told(error, path)}. Its checkpoints are as they were"
        raise UserError(f"{path} can't be gone on with: {why}") from error
    return recorder, state, notices


def _cannot_be_resumed(folder: RunFolder, why: str) -> UserError:
    anew = f"to train it anew: optrun train {folder.config_path}"
    return UserError(f"{folder.path} can't be resumed: {why}. Nothing was overwritten; {anew}")


def _train(
    spec: RunSpec,
    photos: tuple[Photos, Split],
    recorder: Recorder,
    listener: Listener,
    stops: Stops,
    native: NativeStderr,
    state: State | None = None,
    notices: Sequence[str] = (),
) -> str:
    """Train a run whose folder is open, from its beginning or a state, and record how it ends."""
    experiment, folder, record = spec.planned.experiment, recorder.folder, recorder.record
    steps_per_epoch = record.steps_per_epoch or 1

    def tell(event: Event) -> None:
        recorder(event)
        listener(event)

    def abandon() -> None:
        why = "stopped by a signal, in the middle of what could not end in time"
        recorder(RunEnded(RunStatus.INTERRUPTED, why=why))

    def end(status: RunStatus, why: str, divergence: Mapping[str, object] | None = None) -> str:
        """Record the end of a run that is not completed, as far as its disk lets it."""
        event = RunEnded(status, why=why, divergence=divergence)
        try:
            recorder(event)
        except OSError as error:
            # Readers see a run whose writer died, which it is, and `optrun resume` goes on with it.
            trouble = told(error, folder.path)
            if trouble != why:
                listener(Notice(f"that it {status} can't be recorded: {trouble}"))
        listener(event)
        return status

    listener(
        RunStarted(
            folder=folder.path,
            description=record.optimizer,
            seed=record.seed,
            epochs=experiment.training.epochs,
            steps_per_epoch=steps_per_epoch,
            steps_done=state.position.steps_done(steps_per_epoch) if state else 0,
            resumed=spec.folder is not None,
            validation_photos=record.validation_photos,
            test_photos=record.test_photos,
        )
    )
    for notice in notices:
        listener(Notice(notice))
    try:
        with native.into(folder.log_path), stops.deferred(abandon):
            outcome = train(
                experiment,
                photos=photos[0],
                split=photos[1],
                machine=spec.machine,
                weights_file=spec.weights_file,
                storage=Storage(
                    run_id=folder.id,
                    best=folder.best_checkpoint_path,
                    last=folder.last_checkpoint_path,
                    tensorboard=folder.path / "tensorboard",
                    metrics_bytes=folder.metrics_bytes,
                ),
                listener=tell,
                stops=stops,
                resumed=state,
            )
            folder.save_arrays(PREDICTIONS_NAME, outcome.predictions)
            completed = RunEnded(RunStatus.COMPLETED, result=outcome.result)
            recorder(completed)
            checkpoint.forget_previous(folder.best_checkpoint_path)
            if experiment.training.keep_last_checkpoint:
                checkpoint.forget_previous(folder.last_checkpoint_path)
            else:
                checkpoint.forget(folder.last_checkpoint_path)
    except Diverged as diverged:
        return end(RunStatus.DIVERGED, str(diverged), diverged.facts)
    except KeyboardInterrupt:
        end(RunStatus.INTERRUPTED, "stopped by a signal")
        raise
    except OSError as error:
        return end(RunStatus.FAILED, told(error, folder.path))
    except (UserError, CheckpointError) as error:
        return end(RunStatus.FAILED, str(error))
    except Exception as error:  # noqa: BLE001 (recorded whole, and the plan goes on)
        with contextlib.suppress(OSError):  # the reason is told anyway
            recorder.log(traceback.format_exc())
        if memory.is_failed_allocation(error):
            return end(RunStatus.FAILED, memory.why_it_failed(error, experiment))
        traceback.print_exc()
        return end(RunStatus.FAILED, f"{type(error).__name__}: {error}")
    listener(completed)
    return RunStatus.COMPLETED
