"""The one executor: runs that are new, unfinished or over, carried out one after another.

`optrun train` plans runs from configs, and `optrun resume` takes recorded ones; from there on they
go the same way. Everything that all of them need is checked and prepared before the first.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from optrun.data.labels import PLURAL_NAMES
from optrun.runner.config.load import load
from optrun.runner.engine.hardware import Machine
from optrun.runner.engine.rehearsal import try_out
from optrun.runner.engine.signals import Interrupted, Stops, signals_heard
from optrun.runner.errors import UserError, tell
from optrun.runner.events import Event, Listener
from optrun.runner.plan import plan as plans
from optrun.runner.plan import progress, tuning, until_sure
from optrun.runner.plan.plan import Entry, Plan, PlannedRun, RunSpec
from optrun.runner.plan.progress import ToDo, Turn
from optrun.runner.plan.tuning import Tuning
from optrun.runner.plan.until_sure import UntilSure
from optrun.runner.runs import reader
from optrun.runner.runs.reader import find_run
from optrun.runner.runs.record import UNTIL_SURE, RunRecord, RunStatus
from optrun.runner.runs.run_folder import RunFolder, check_writable, reopen
from optrun.runner.runs.sequential_plan import SequentialPlan
from optrun.runner.runs.standing import size_of
from optrun.runner.runs.writer_lock import RunHeldError, held_message
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import NativeStderr, native_stderr_captured
from optrun.runner.ui.wording import number_of
from rich.console import Console

if TYPE_CHECKING:
    from optrun.runner.plan.resources import Resources

# Whom a run on its own is to be compared with.
_OPPONENTS = ("sgd_vgg19.yaml", "lookahead_vgg19.yaml")
_OF_SAMPLE = "These were sample runs: their numbers say nothing about real photos."
_BOTH_CLASSES = " and ".join(PLURAL_NAMES)


@dataclass(frozen=True)
class Request:
    """What the command line asked for; see `optrun train --help`."""

    entries: Sequence[Entry]
    seeds: Sequence[int] | None = None  # for each entry; None: the one it states
    sample: bool = False
    real: bool = False
    device: str = "auto"
    results: Path = Path("results")
    resume: bool = False
    dry_run: bool = False
    quiet: bool = False
    tuning: Tuning | None = None
    until_sure: UntilSure | None = None


@dataclass(frozen=True)
class ResumeRequest:
    """What the command line asked for; see `optrun resume --help`."""

    runs: Sequence[str]
    device: str = "auto"
    quiet: bool = False


def execute(request: Request, listeners: Sequence[Listener] = ()) -> int:
    """Carry out a plan; returns the exit code, as `optrun train --help` has it.

    The listeners are told of every event of every run. After a `UserError` nothing was changed.
    """
    display = Display(Console(), quiet=request.quiet)

    def carry_out(stops: Stops) -> int:
        check_writable(request.results)

        def judged(of_verdict: Request) -> int:
            if request.until_sure is None:
                return _carry_out_plan(of_verdict, display, stops, listeners)
            return _until_sure(of_verdict, request.until_sure, display, stops, listeners)

        if request.tuning is None:
            return judged(request)
        tried = replace(
            request,
            entries=tuning.tried(request.entries, request.tuning.trials, sample=request.sample),
            seeds=request.tuning.seeds,
        )
        trials = _plan_of(tried)
        display.say(f"Settings tried, {len(request.tuning.trials):,} of each experiment:")
        code = _carry_out_plan(tried, display, stops, listeners, plan=trials, is_last=False)
        if code not in (0, 3):
            return code
        if request.dry_run:
            seeds = len(request.seeds or [1])
            most = ""
            if request.until_sure is not None:
                seeds, most = request.until_sure.max_seeds, "at most "
            display.say(
                f"\nThen the best of each, by its validation loss, with {most}"
                f"{number_of(seeds, 'seed')}: "
                f"{most}{number_of(len(request.entries) * seeds, 'run')} more."
            )
            return 0
        # By entry, and then by seed.
        found = [turn.record for turn in progress.turns(trials.runs, request.results)]
        records = [found[entry :: len(tried.entries)] for entry in range(len(tried.entries))]
        chosen = list(
            tuning.chosen(request.entries, request.tuning, records, sample=request.sample)
        )
        display.say("\nChosen, by the validation loss:")
        for _, told in chosen:
            display.say(f"  {told}")
        return judged(replace(request, entries=[entry for entry, _ in chosen]))

    return _until_interrupted(carry_out, display)


def _until_sure(
    request: Request,
    asked: UntilSure,
    display: Display,
    stops: Stops,
    listeners: Sequence[Listener],
) -> int:
    """Seeds added from look to look, until all is settled; returns the exit code."""
    runs = _plan_of(request).runs
    plan = until_sure.planned(runs, asked)
    entries = [
        replace(entry, provenance={**entry.provenance, UNTIL_SURE: plan.hash})
        for entry in request.entries
    ]
    names = [run.name for run in runs]
    for line in _expected(plan, runs, request.results):
        display.say(line)
    if request.dry_run:
        most = replace(request, entries=entries, seeds=plan.seeds, resume=False)
        display.say("\nAt most, where nothing is sure before the last look:\n")
        return _carry_out_plan(most, display, stops, listeners)
    until_sure.begin(plan, request.results, resume=request.resume)
    worst = 0
    while True:
        now = until_sure.standing(plan, request.results)
        for line in until_sure.told(plan, now):
            display.say(line)
        if not now.seeds:
            display.say(f"Next: {_seen_by(request.results)}")
            if plan.sample:
                display.say(_OF_SAMPLE)
            return worst
        wanted = {*now.open_ones, plan.baseline}
        chunk = [entry for entry, name in zip(entries, names, strict=True) if name in wanted]
        more = replace(request, entries=chunk, seeds=now.seeds, resume=True)
        code = _carry_out_plan(more, display, stops, listeners, is_last=False)
        if code not in (0, 3):
            return code
        worst = max(worst, code)


def _expected(plan: SequentialPlan, runs: Sequence[PlannedRun], results: Path) -> Iterator[str]:
    from optrun.runner.plan.forecast import photos_that_test

    baseline = next(run for run in runs if run.name == plan.baseline)
    recorded = reader.read_all([results])[0] if results.is_dir() else []
    return until_sure.expectation(
        plan, photos_that_test(baseline), [one.record for one in recorded]
    )


def _carry_out_plan(
    request: Request,
    display: Display,
    stops: Stops,
    listeners: Sequence[Listener],
    *,
    plan: Plan | None = None,
    is_last: bool = True,
) -> int:
    """One plan, without what tuning may come before or after it; returns the exit code."""
    plan = plan or _plan_of(request)
    if request.dry_run:
        _forecast(plan, request, display)
        return 0
    _announce(plan, display)
    turns = _found(plan, request, display) if request.resume else list(map(Turn, plan.runs))
    executor = _Executor(display, stops, listeners, request.device, request.results, request.resume)
    try:
        became = executor.carry_out(turns)
    except KeyboardInterrupt:
        display.end_bar()
        if len(turns) > 1:
            display.say("To go on with the plan: the same command with --resume")
        raise
    display.say()
    if len(became) > 1:
        display.say(progress.summary(became))
    if RunStatus.FAILED in became:
        display.say("To go on with what failed: the same command with --resume")
    if is_last:
        display.say(f"Next: {_next(plan, request)}")
        if plan.on_sample:
            display.say(_OF_SAMPLE)
    return progress.exit_code(became, refused=1)


def _plan_of(request: Request) -> Plan:
    return plans.make(
        request.entries, seeds=request.seeds, sample=request.sample, real=request.real
    )


def _next(plan: Plan, request: Request) -> str:
    """What fits what just happened: a comparison, or runs that give it something to compare."""
    compare = _seen_by(request.results)
    configs = {run.config for run in plan.runs}
    recorded = reader.read_all([request.results])[0] if request.results.is_dir() else []
    if len(configs) > 1 or len({one.record.experiment for one in recorded}) > 1:
        return compare
    (config,) = configs
    for name in _OPPONENTS:
        opponent = config.with_name(name)
        if opponent != config and opponent.is_file():
            sample = " --sample" if request.sample else ""
            results = f" --results {request.results}" if request.results != reader.RESULTS else ""
            return f"optrun train {opponent} {config}{sample} --seeds 8{results}"
    return compare


def _seen_by(results: Path) -> str:
    """What shows runs side by side, in words and in pictures."""
    page = results / "report.html"
    return f"optrun compare {results}; as a page: optrun report {results} -o {page}"


def resume(request: ResumeRequest, listeners: Sequence[Listener] = ()) -> int:
    """Go on with each run that is not over; one that can't be resumed doesn't keep the next.

    Returns the exit code, as `optrun resume --help` has it. Where an argument names no run or the
    device is wrong, a `UserError` says so, and nothing was changed.
    """
    display = Display(Console(), quiet=request.quiet)

    def carry_out(stops: Stops) -> int:
        named = [find_run(run) for run in request.runs]
        paths = list({path.resolve(): path for path in named}.values())
        became: dict[Path, str] = {}
        turns: dict[Path, Turn] = {}
        executor = _Executor(display, stops, listeners, request.device)
        with ExitStack() as locks:
            with native_stderr_captured():
                for path in paths:
                    found = _claimed(path, display)
                    if isinstance(found, str):
                        became[path] = found
                    else:
                        turns[path], folder = found
                        executor.held[path] = locks.enter_context(folder)
            became |= zip(turns, executor.carry_out(list(turns.values())), strict=True)
        if len(became) > 1:
            display.say(f"\n{progress.summary([became[path] for path in paths])}")
        return progress.exit_code(list(became.values()), refused=2)

    return _until_interrupted(carry_out, display)


def _until_interrupted(carry_out: Callable[[Stops], int], display: Display) -> int:
    try:
        with signals_heard() as stops:
            return carry_out(stops)
    except Interrupted as stop:
        display.end_bar()
        print("optrun: interrupted", file=sys.stderr)
        return stop.exit_code


@dataclass
class _Executor:
    """Carries out turns, with what they share prepared once."""

    display: Display
    stops: Stops
    listeners: Sequence[Listener]
    device: str
    results: Path | None = None  # where new runs are written; None where all have a folder
    looks_again: bool = False  # for recorded runs, since other processes may be at work on them
    held: dict[Path, RunFolder] = field(default_factory=dict)  # recorded runs, by this process
    foreign: set[Path] = field(default_factory=set)  # folders that proved not to be the plan's

    def carry_out(self, turns: Sequence[Turn]) -> list[str]:
        """What becomes of each, in the words of `progress` or a status."""
        open_ones = [turn for turn in turns if turn.may_be_open]
        if not open_ones:
            return [self._left_as_it_is(turn) for turn in turns]
        began = [(one.folder, one.record) for one in turns if one.folder and one.record]
        self._began = [record for _, record in began]
        with native_stderr_captured() as native:
            self.device = progress.device_for(self.device, began)
            self._deterministic = progress.is_deterministic([one.run for one in open_ones])
            self._resources, obstacles = self._prepared(open_ones)
            became = []
            for number, turn in enumerate(turns, start=1):
                title = f"\nrun {number} of {len(turns)}" if len(turns) > 1 else ""
                obstacle = obstacles.get(turn.folder)
                became.append(_told(obstacle) if obstacle else self._take(turn, title, native))
            return became

    def _prepared(
        self, turns: Sequence[Turn]
    ) -> "tuple[Resources, Mapping[Path | None, UserError]]":
        """What the turns need, prepared once; and why a recorded run that lacks something can't.

        Where new runs lack something, or all recorded ones, that is raised.
        """
        # The slow imports lie below this line, so that mistakes are answered at once.
        from optrun.runner.plan.resources import prepare

        runs = [(turn.run, self._machine(turn)) for turn in turns]
        present = sum(size_of(turn.folder).total for turn in turns if turn.folder is not None)
        try:
            results = self.results
            return prepare(runs, display=self.display, results=results, present_bytes=present), {}
        except UserError:
            if self.results is not None or len(turns) == 1:
                raise
        obstacles: dict[Path | None, UserError] = {}
        silent = Display(self.display.console, quiet=True)
        for turn, run in zip(turns, runs, strict=True):
            try:
                prepare([run], display=silent)
            except UserError as error:
                obstacles[turn.folder] = error
        able = [run for turn, run in zip(turns, runs, strict=True) if turn.folder not in obstacles]
        return prepare(able or runs, display=self.display), obstacles

    def _take(self, turn: Turn, title: str, native: NativeStderr) -> str:
        from optrun.runner.plan.run import carry_out

        turn = self._as_it_stands_now(turn)
        if turn.is_over:
            return self._left_as_it_is(turn)
        if title:
            self.display.say(title)
        try:
            if turn.to_do is ToDo.LEAVE_HELD and turn.folder is not None:
                raise RunHeldError(held_message(turn.folder))
            return carry_out(
                self._spec(turn),
                self._tell,
                stops=self.stops,
                native=native,
                photos=self._resources.photos_of(turn.run.experiment),
                folder=None if turn.folder is None else self.held.get(turn.folder),
            )
        except UserError as error:
            if turn.folder is None:
                raise
            return _told(error)

    def _as_it_stands_now(self, before: Turn) -> Turn:
        """A planned run looked for again, since other processes may be at work on the plan."""
        if not self.looks_again or self.results is None or not before.may_be_open:
            return before
        from optrun.runner.plan.run import new_record

        while True:
            (now,) = progress.turns([before.run], self.results, without=self.foreign)
            if now.folder is None or now.record is None or not now.from_elsewhere:
                return now
            photos = self._resources.photos_of(now.run.experiment)
            present = new_record(self._spec(now), *photos, run_id="")
            other = progress.other_material(now.record, present)
            if not other:
                return now
            self.foreign.add(now.folder)
            self.display.notice(
                f"{now.folder} is no run of this plan: {' and '.join(other)} are not those of "
                f"the plan, it had {now.from_elsewhere}"
            )

    def _spec(self, turn: Turn) -> RunSpec:
        results = self.results or Path()
        return self._resources.spec(turn.run, self._machine(turn), results, turn.folder)

    def _machine(self, turn: Turn) -> Machine:
        # A run that is to start is decided as the plan's others were, or they can't be compared.
        recorded = self._began if turn.record is None else [turn.record]
        return progress.machine_for(
            turn.run.experiment, self.device, recorded, deterministic=self._deterministic
        )

    def _left_as_it_is(self, turn: Turn) -> str:
        """The outcome of a run that was over before; its folder is printed where only those are."""
        if turn.to_do is ToDo.LEAVE_COMPLETED and self.display.quiet:
            self.display.report(str(turn.folder))
        return progress.OVER[turn.to_do]

    def _tell(self, event: Event) -> None:
        self.display(event)
        for listener in self.listeners:
            listener(event)


def _claimed(path: Path, display: Display) -> tuple[Turn, RunFolder] | str:
    """A recorded run to go on with, or its outcome where there is nothing to do.

    This process holds it from here on, so that of several told to go on with it one does.
    """
    try:
        record = progress.read_record(path)
        if record.written_status not in progress.OVER:
            with ExitStack() as closing:
                folder = closing.enter_context(reopen(path, record.id))
                record = progress.read_record(path)  # who held it until now may have finished it
                if record.written_status not in progress.OVER:
                    turn = Turn(_planned_again(path, record), ToDo.GO_ON, path, record)
                    closing.pop_all()
                    return turn, folder
        return _over(path, record, display)
    except UserError as error:
        return _told(error)


def _told(error: UserError) -> str:
    tell(error)
    return progress.HELD if isinstance(error, RunHeldError) else progress.REFUSED


def _over(path: Path, record: RunRecord, display: Display) -> str:
    if record.written_status is RunStatus.COMPLETED:
        _planned_again(path, record)  # whoever changed it wants something else, such as more epochs
        display.say(f"run       {path} is completed: nothing to do")
        if display.quiet:
            display.report(str(path))
    else:
        again = "It would do so again; train anew with a lower learning rate or global_clipnorm"
        tell(UserError(f"{path} diverged: {record.why}. {again}"))
    return progress.OVER[record.written_status]


def _planned_again(path: Path, record: RunRecord) -> PlannedRun:
    """The run as its own config.yaml states it, if that is what it was started with."""
    config = path / "config.yaml"
    planned = plans.planned_run(load(config, import_own=True), config, name=record.name)
    # The hash is that of an experiment, which runs with several seeds share.
    if (planned.identity, planned.seed) != (record.experiment, record.seed):
        raise UserError(
            f"{config} is not what the run was started with: it was changed, or another version of "
            f"optrun wrote it. Train anew from it instead: optrun train {config}"
        )
    return planned


def _forecast(plan: Plan, request: Request, display: Display) -> None:
    from optrun.runner.plan.forecast import forecast

    with native_stderr_captured():
        for run in plans.first_of_each(plan.runs):
            try_out(run.experiment, run.origins)
    if request.resume:
        found = _found(plan, request, display)
        plan = replace(plan, runs=[one.run for one in found if not one.is_over])
        if not plan.runs:
            return
        display.say("\nWhat is left, each run counted from its beginning:")
    display.say(forecast(plan, request.results))


def _found(plan: Plan, request: Request, display: Display) -> list[Turn]:
    turns = progress.turns(plan.runs, request.results)
    if request.until_sure is None or any(one.to_do is not ToDo.START for one in turns):
        for line in progress.lines(turns):
            display.say(line)
    return turns


def _announce(plan: Plan, display: Display) -> None:
    if plan.stand_in_for is not None:
        # Also where only folders are printed: whoever meant real photos must hear of this.
        Console(stderr=True).print(
            f"THE BUILT-IN SAMPLE STANDS IN: {plan.stand_in_for}. These runs train a small network "
            f"on drawn {_BOTH_CLASSES}, with the configs' `sample:` settings; their names begin "
            "`sample-`. To have an error instead: --real",
            style="bold yellow",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    elif plan.on_sample:
        display.say(
            f"Built-in sample: {_BOTH_CLASSES} drawn by the program, a small network from random "
            "weights"
        )
