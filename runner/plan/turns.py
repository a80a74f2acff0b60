"""The runs of a plan in turn, each as it stands when its turn comes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from optrun.runner.engine.signals import Stops
from optrun.runner.errors import UserError, tell
from optrun.runner.plan import outcomes
from optrun.runner.plan import progress as plan_progress
from optrun.runner.plan.plan import Plan, PlannedRun
from optrun.runner.plan.progress import Choice, Standing
from optrun.runner.plan.resolved import device_for
from optrun.runner.plan.resumption import go_on, other_material, read_recorded
from optrun.runner.runs.record import RunRecord, RunStatus
from optrun.runner.runs.run_folder import reopen
from optrun.runner.runs.standing import size_of
from optrun.runner.runs.writer_lock import RunHeldError, held_message
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import NativeStderr

if TYPE_CHECKING:
    from optrun.runner.plan.executor import Request
    from optrun.runner.plan.resources import Materials


class Turns:
    """The runs of a plan, one after another, with what they share prepared once."""

    def __init__(
        self,
        plan: Plan,
        request: "Request",
        display: Display,
        native: NativeStderr,
        stops: Stops,
        found: Sequence[Choice],
    ) -> None:
        self._plan, self._request, self._found = plan, request, found
        self._display, self._native, self._stops = display, native, stops
        self._foreign: set[Path] = set()
        began = [(one.folder, one.record) for one in found if one.folder and one.record]
        self._device = device_for(request.device, began)
        self._materials = self._prepared(
            [one for one in found if not one.is_over or one.from_elsewhere]
        )

    def take(self, index: int) -> str:
        """Do what there is to do about one run.

        Returns:
            What became of it, as `optrun.runner.plan.outcomes` names it.

        Raises:
            KeyboardInterrupt: The person stops the plan.
            UserError: A new run's folder cannot be made.
        """
        choice = self._now(index)
        if choice.is_over:
            return left_as_it_is(choice, self._display)
        if len(self._found) > 1:
            self._display.say(f"\nrun {index + 1} of {len(self._found)}")
        materials = self._materials_of(choice)
        if choice.folder is None or choice.record is None:
            from optrun.runner.plan.single_run import carry_out_run

            return carry_out_run(
                choice.run,
                materials,
                results=self._request.results,
                display=self._display,
                native=self._native,
                stops=self._stops,
            )
        try:
            return self._go_on(choice.folder, choice.record, choice, materials)
        except RunHeldError as error:
            tell(error)
            return outcomes.HELD
        except UserError as error:
            tell(error)
            return outcomes.REFUSED

    def _now(self, index: int) -> Choice:
        """How a run stands when its turn comes: other processes may be at work on the plan."""
        before = self._found[index]
        if not self._request.resume or (before.is_over and not before.from_elsewhere):
            return before
        alone = replace(self._plan, runs=(before.run,))
        while True:
            (now,) = plan_progress.choices(alone, self._request.results, without=self._foreign)
            if now.folder is None:
                return replace(now, decided=before.decided)
            if not now.from_elsewhere:
                return now
            from optrun.runner.plan.single_run import record_of

            fresh = record_of(_decided(now), self._materials_of(now), run_id="")
            other = other_material(now.record, fresh) if now.record else []
            if not other:
                return now
            self._foreign.add(now.folder)
            self._display.notice(
                f"{now.folder} is no run of this plan: {' and '.join(other)} are not those of "
                f"the plan, it had {now.from_elsewhere}"
            )

    def _go_on(self, path: Path, record: RunRecord, choice: Choice, materials: "Materials") -> str:
        if choice.standing is Standing.HELD:
            raise RunHeldError(held_message(path))
        with reopen(path, record.id) as folder:
            recorded = read_recorded(path)
            # Who held the lock until now may have finished it.
            if recorded.written_status == RunStatus.COMPLETED:
                return outcomes.COMPLETED_BEFORE
            if recorded.written_status == RunStatus.DIVERGED:
                return outcomes.DIVERGED_BEFORE
            return go_on(
                folder,
                recorded,
                _decided(choice),
                materials,
                display=self._display,
                native=self._native,
                stops=self._stops,
            )

    def _materials_of(self, choice: Choice) -> "Materials":
        """What a run needs; prepared now where another process decided otherwise meanwhile."""
        materials = self._materials
        if not materials.cover(choice.decided):
            materials = self._prepared([choice])
        configured = choice.run.experiment.training
        machine = materials.machine_of(choice.decided)
        key = (configured.precision, configured.jit_compile)
        return replace(materials, machines={**materials.machines, key: machine})

    def _prepared(self, choices: Sequence[Choice]) -> "Materials":
        # The slow imports lie below this line, so that mistakes are answered at once.
        from optrun.runner.plan.resources import prepare

        plan = replace(self._plan, runs=tuple(_decided(one) for one in choices))
        return prepare(
            plan,
            device=self._device,
            display=self._display,
            results=self._request.results,
            present_bytes=sum(
                size_of(one.folder).total for one in choices if one.folder is not None
            ),
        )


def _decided(choice: Choice) -> PlannedRun:
    return replace(choice.run, experiment=choice.decided)


def left_as_it_is(choice: Choice, display: Display) -> str:
    """The outcome of a run that was over before; its folder is printed where only folders are."""
    if choice.standing is Standing.DIVERGED:
        return outcomes.DIVERGED_BEFORE
    if display.quiet:
        display.report(str(choice.folder))
    return outcomes.COMPLETED_BEFORE
