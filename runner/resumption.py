"""Going on with a run that ended before its time, as if it had never ended."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from runner import untrusted
from runner.configuration.load import experiment_hash, load
from runner.configuration.schema import Experiment
from runner.display import Display
from runner.errors import UserError
from runner.finding import find_run
from runner.own_code import fingerprints
from runner.plan import Plan, PlannedRun
from runner.quiet import NativeStderr, native_stderr_captured
from runner.run_folder import FORMAT, RunFolder, reopen
from runner.stopping import Interrupted, Stops, signals_heard

if TYPE_CHECKING:
    from runner.single_run import RunState
    from runner.training_state import State

COMPLETED, DIVERGED = "completed", "diverged"


@dataclass(frozen=True)
class ResumeRequest:
    """What the command line asked for; see `optrun resume --help`."""

    runs: Sequence[str]
    device: str = "auto"
    quiet: bool = False


def resume(request: ResumeRequest) -> int:
    """Go on with each run that is not over.

    Returns:
        The exit code: 0 done, 1 a run failed, 3 a run diverged, 130 or 143 interrupted.

    Raises:
        UserError: A run can't be resumed; those before it were.
    """
    display = Display(Console(), quiet=request.quiet)
    try:
        paths = [find_run(run) for run in request.runs]
        with signals_heard() as stops, native_stderr_captured() as native:
            states = [
                state
                for path in paths
                if (state := _resume_one(path, request, display, native, stops)) is not None
            ]
    except Interrupted as stop:
        display.end_bar()
        print("optrun: interrupted", file=sys.stderr)
        return stop.exit_code
    names = [state.name for state in states]
    if "FAILED" in names:
        return 1
    return 3 if "DIVERGED" in names else 0


def _resume_one(
    path: Path, request: ResumeRequest, display: Display, native: NativeStderr, stops: Stops
) -> "RunState | None":
    """Go on with one run; None where it is completed already."""
    recorded = read_recorded(path)
    if recorded["state"] == COMPLETED:
        display.say(f"run       {path} is completed: nothing to do")
        return None
    with reopen(path, str(recorded.get("id"))) as folder:
        # Who held the lock until now may have finished it.
        recorded = read_recorded(path)
        if recorded["state"] == COMPLETED:
            display.say(f"run       {path} is completed: nothing to do")
            return None
        if recorded["state"] == DIVERGED:
            raise UserError(
                f"{path} diverged: {recorded.get('why')}. It would do so again; train anew with a "
                "lower learning rate or global_clipnorm"
            )
        return _go_on(folder, recorded, request, display, native, stops)


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


def _go_on(
    folder: RunFolder,
    recorded: Mapping[str, Any],
    request: ResumeRequest,
    display: Display,
    native: NativeStderr,
    stops: Stops,
) -> "RunState":
    experiment = _experiment(folder, recorded)
    display.say(f"run       {folder.path}, resumed")
    # The slow imports lie below this line, so that mistakes are answered at once.
    from runner.preparation import prepare
    from runner.recording import Recorder
    from runner.single_run import facts_of, train_and_record

    state = _last_state(folder, display)
    run = PlannedRun(
        name=str(recorded.get("name")),
        experiment=_as_decided(experiment, recorded),
        config=folder.config_path,
        origins={},
    )
    plan = Plan((run,), on_sample=bool(recorded.get("sample")), stand_in_for=None)
    materials = prepare(plan, device=request.device, display=display)
    facts = facts_of(run, materials)
    _require_same_photos(folder.path, recorded, facts)
    changes = _changes(recorded, facts)
    for change in changes:
        display.notice(f"not as when it started: {change}")
    with native.into(folder.log_path):
        per_epoch = facts["steps_per_epoch"]
        steps_done = 0 if state is None else state.position.steps_done(per_epoch)
        folder.cut_metrics(0 if state is None else state.metrics_bytes)
        recorder = Recorder.of_resumed_run(
            folder, display, dict(recorded), steps_done=steps_done, changes=changes
        )
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


def _experiment(folder: RunFolder, recorded: Mapping[str, Any]) -> Experiment:
    """The run's experiment out of its own config.yaml, which must be what it was."""
    loaded = load(folder.config_path, import_own=True)
    present = experiment_hash(loaded.experiment, fingerprints(loaded.experiment))
    if present != recorded.get("experiment"):
        raise UserError(
            f"{folder.config_path} is not what the run was started with: it was changed, or "
            "another version of optrun wrote it. Train anew from it instead: "
            f"optrun train {folder.config_path}"
        )
    return loaded.experiment


def _as_decided(experiment: Experiment, recorded: Mapping[str, Any]) -> Experiment:
    """The experiment with what `auto` was when the run started."""
    comparable, provenance = recorded.get("comparable"), recorded.get("provenance")
    precision = comparable.get("precision") if isinstance(comparable, Mapping) else None
    jit_compile = provenance.get("jit_compile") if isinstance(provenance, Mapping) else None
    decided = {"precision": precision, "jit_compile": jit_compile}
    training = experiment.training.model_copy(
        update={key: value for key, value in decided.items() if value is not None}
    )
    return experiment.model_copy(update={"training": training})


def _last_state(folder: RunFolder, display: Display) -> "State | None":
    """The newest whole checkpoint; None where the run ended before its first."""
    from runner.checkpoint import CheckpointError, read_newest
    from runner.training_state import from_checkpoint

    try:
        found, problems = read_newest(folder.last_checkpoint_path)
        state = from_checkpoint(found)
    except FileNotFoundError:
        return None
    except CheckpointError as error:
        raise UserError(
            f"{folder.path} can't be resumed: none of its checkpoints is whole ({error}). Nothing "
            f"was overwritten; to train it anew: optrun train {folder.config_path}"
        ) from error
    for problem in problems:
        display.notice(f"the newest checkpoint is damaged, the one before it is used: {problem}")
    return state


def _require_same_photos(path: Path, recorded: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    before = recorded.get("comparable")
    for key, name in (("photos", "the photos"), ("split", "the division of the photos")):
        if not isinstance(before, Mapping) or before.get(key) != facts["comparable"][key]:
            raise UserError(
                f"{path} can't be resumed: {name} are not those it was started with "
                f"(source {facts['provenance']['photos_source']}). Put them back, or train anew: "
                f"optrun train {path / 'config.yaml'}"
            )


def _changes(recorded: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """What of versions and hardware is not as it was, in words."""
    before, now = recorded.get("provenance"), facts["provenance"]
    if not isinstance(before, Mapping):
        return ["what it was started on was not recorded"]
    changes = []
    for key in ("python", "packages", "hardware", "threads"):
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
