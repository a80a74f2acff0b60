"""Seeds until sure: the plan, how it stands, and what runs next.

What is asked and when the data are looked at is written down before the first run; a look is made
of what the plan's own runs have recorded, and of nothing else.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optrun.runner.config.identity import IGNORED_OF_TRAINING
from optrun.runner.config.schema import as_mapping
from optrun.runner.errors import UserError
from optrun.runner.plan.plan import PlannedRun, first_of_each
from optrun.runner.runs import reader, sequential_plan
from optrun.runner.runs.record import RunRecord, flatten
from optrun.runner.runs.sequential_plan import SequentialPlan, Standing, read_plans
from optrun.runner.ui.wording import did_you_mean, duration, number_of
from optrun.runner.verdict.baseline import Described, baseline_of
from optrun.runner.verdict.conclusions import ALPHA
from optrun.runner.verdict.metrics import measure_called
from optrun.runner.verdict.permutation import fewest_pairs
from optrun.runner.verdict.proportion import scatter_over_seeds
from optrun.runner.verdict.sentences import Unit, sentence
from optrun.runner.verdict.sequential import looks_until, smallest_difference_found

_ASSUMED_ERROR = 0.1  # share of test photos told wrong, where no run tells it


@dataclass(frozen=True)
class UntilSure:
    """What the command line asked for; see `optrun train --help`."""

    max_seeds: int
    baseline: str | None = None
    metric: str | None = None
    margin: float | None = None  # in the unit of a table


def planned(runs: Sequence[PlannedRun], asked: UntilSure) -> SequentialPlan:
    """The plan for the experiments of some runs.

    Raises:
        UserError: There is nothing to compare, it can never conclude, or it is no fair question.
    """
    firsts = {run.name: run for run in first_of_each(runs)}
    if len(firsts) < 2:
        raise UserError(
            f"--until-sure compares: it needs two configs or more, received {len(firsts)}"
        )
    described = {
        name: Described({name, run.experiment.name, run.experiment.optimizer.name},
                        run.experiment.optimizer.description)
        for name, run in firsts.items()
    }  # fmt: skip
    if (baseline := baseline_of(described, asked.baseline)) is None:
        known = {one for run in described.values() for one in run.names}
        raise UserError(
            f"--baseline must name one of {', '.join(firsts)}, or its optimizer; received: "
            f"{asked.baseline}.{did_you_mean(asked.baseline, known)}"
        )
    measure = measure_called(asked.metric)
    if asked.max_seeds < (fewest := fewest_pairs(ALPHA)):
        raise UserError(
            f"--max-seeds must be at least {fewest}: fewer pairs can never conclude anything; "
            f"received {asked.max_seeds}"
        )
    for name, run in firsts.items():
        if name != baseline:
            _check_comparable(firsts[baseline], run)
    return SequentialPlan(
        {name: run.identity for name, run in firsts.items()},
        baseline=baseline,
        metric=measure.key,
        looks=looks_until(asked.max_seeds),
        sample=firsts[baseline].is_sample,
        margin=None if asked.margin is None else asked.margin / measure.scale,
    )


def _check_comparable(baseline: PlannedRun, candidate: PlannedRun) -> None:
    """Refuse what no verdict could be about, before seeds are trained for one."""
    one, other = (_to_be_equal(run) for run in (baseline, candidate))
    for key in {**one, **other}:
        if one.get(key) != other.get(key):
            raise UserError(
                f"--until-sure compares optimizers, all else equal: {key} is {one.get(key)} in "
                f"{baseline.name} and {other.get(key)} in {candidate.name}"
            )
    batch, update = _photos_at_once(baseline)
    other_batch, other_update = _photos_at_once(candidate)
    if batch != other_batch and update != other_update:
        raise UserError(
            f"--until-sure compares experiments that share the photos of a batch or those of an "
            f"update: they are {batch} and {update} in {baseline.name}, {other_batch} and "
            f"{other_update} in {candidate.name}"
        )


def _photos_at_once(run: PlannedRun) -> tuple[int, int]:
    """Of a batch, and of an update."""
    batch = run.experiment.training.batch_size
    return batch, batch * run.experiment.optimizer.batches_per_update


def _to_be_equal(run: PlannedRun) -> Mapping[str, object]:
    flat = flatten(as_mapping(run.experiment))
    left_out = {"training.batch_size", *(f"training.{key}" for key in IGNORED_OF_TRAINING)}
    parts = ("data.", "model.", "training.")
    return {k: v for k, v in flat.items() if k.startswith(parts) and k not in left_out}


def begin(plan: SequentialPlan, results: Path, *, resume: bool) -> None:
    """Write the plan down, if it is new.

    Raises:
        UserError: It has begun and is not to be gone on with, or another plan for one of these
            experiments is there.
    """
    found = read_plans([results]) if results.is_dir() else sequential_plan.Plans()
    for name, trouble in found.broken.items():
        raise UserError(
            f"{results / name} is a plan that counts for nothing: {trouble}. Remove it, and start "
            "anew in another folder (--results DIR)"
        )
    for other in found.intact:
        if other.hash == plan.hash:
            if not resume:
                raise UserError(
                    f"This plan is there already, {results / plan.file_name}: --resume goes on "
                    "with it"
                )
            return
        if {*other.experiments.values()} & {*plan.experiments.values()}:
            raise UserError(
                f"{results / other.file_name} is a plan for these experiments, and it cannot be "
                f"changed once it is made: {_differing(other, plan)}. Go on with it as it is "
                "(--resume), or make another in another folder (--results DIR)"
            )
    try:
        sequential_plan.write(plan, results)
    except OSError as error:
        raise UserError(f"{results} must be a folder to write to: {error.strerror}") from error


def _differing(one: SequentialPlan, other: SequentialPlan) -> str:
    before, now = one.as_json(), other.as_json()
    key = next(key for key, value in before.items() if now[key] != value)
    return f"{key} is {before[key]} there, {now[key]} here"


def standing(plan: SequentialPlan, results: Path) -> Standing:
    """How far the plan is, by what its runs in a folder have recorded."""
    return sequential_plan.standing_of(plan, [one.record for one in reader.read_all([results])[0]])


def told(plan: SequentialPlan, now: Standing) -> Iterator[str]:
    """What the looks so far say, and what comes next."""
    if not now.looks_made:
        return
    unit = Unit.of(plan.measure)
    made = f"look {now.looks_made} of {len(plan.looks)}"
    yield f"After {number_of(plan.looks[now.looks_made - 1], 'seed')} each ({made}):"
    for one in now.judged:
        yield "  " + sentence(one, unit, len(plan.candidates), correction=plan.correction)
    missing = set(plan.candidates) - {one.candidate for one in now.judged}
    for name in sorted(missing):
        yield f"  Nothing can be said of {name}: no pair of runs has a {plan.metric}."
    if now.seeds:
        yield f"  Not sure yet of {', '.join(now.open_ones)}: on to {now.seeds[-1]} seeds each."
    elif now.open_ones:
        yield f"  The {number_of(plan.looks[-1], 'seed')} of the plan are used up."


def expectation(
    plan: SequentialPlan, test_photos: int, records: Sequence[RunRecord]
) -> Iterator[str]:
    """What the plan can find, and what it takes, before it begins."""
    yield (
        f"{plan.file_name}: {', '.join(plan.candidates)} against {plan.baseline}, by "
        f"{plan.metric.replace('_', ' ')}; looked at after {_listed(plan.looks)} seeds each."
    )
    yield _power(plan, test_photos, records)
    yield _time_taken(plan, records)


def _power(plan: SequentialPlan, test_photos: int, records: Sequence[RunRecord]) -> str:
    """Which difference so many seeds find, in points where it is known how far runs scatter."""
    most = plan.looks[-1]
    found = smallest_difference_found(most, len(plan.candidates))
    power = (
        f"With {most} seeds, 80 of 100 such studies find a difference of {found:.2f} standard "
        "deviations of a pair's difference"
    )
    if plan.metric != "test_accuracy" or not test_photos:
        return f"{power}."
    floor, why, by_photos = _floor(plan, test_photos, records)
    pair = math.sqrt(2) * floor
    half = math.ceil((found * pair / 0.005) ** 2 * most)
    fewer = f"; with four times the test photos, {math.ceil(half / 4):,}" if by_photos else ""
    return (
        f"Runs that differ in the seed alone scatter by about {100 * floor:.2g} points ({why}), "
        f"and differences of pairs by {100 * pair:.2g}. {power}, {100 * found * pair:.2g} points "
        f"here. Half a point takes about {half:,} seeds{fewer}."
    )


def _time_taken(plan: SequentialPlan, records: Sequence[RunRecord]) -> str:
    """As long as recorded runs took."""
    seconds = {
        name: [
            (one.ended - one.started).total_seconds()
            for one in records
            if one.experiment == identity and one.ended and not one.resumed
        ]
        for name, identity in plan.experiments.items()
    }
    if not all(seconds.values()):
        return "How long a seed of each takes is not known: none was recorded yet."
    pair = sum(statistics.median(of_one) for of_one in seconds.values())
    return (
        f"A seed of each takes {duration(pair)}, as recorded: {duration(pair * plan.looks[0])} to "
        f"the first look, {duration(pair * plan.looks[-1])} at most."
    )


def _floor(
    plan: SequentialPlan, test_photos: int, records: Sequence[RunRecord]
) -> tuple[float, str, bool]:
    """How far runs of one optimizer scatter, in a fraction; why; whether photos alone say so.

    By the number of test photos, or as seen, if that is more.
    """
    seen = [
        value
        for one in records
        if one.experiment == plan.experiments[plan.baseline]
        and (value := one.measure(plan.metric)) is not None
    ]
    error = 1 - statistics.fmean(seen) if seen else _ASSUMED_ERROR
    floor = scatter_over_seeds(error, test_photos)
    spread = statistics.stdev(seen) if len(seen) > 2 else 0.0
    if spread > floor:
        return spread, f"as {len(seen)} recorded runs of {plan.baseline} do", False
    wrong = f"{100 * error:.2g} % told wrong{'' if seen else ', assumed'}"
    return floor, f"{test_photos:,} test photos, {wrong}", True


def _listed(looks: Sequence[int]) -> str:
    *first, last = map(str, looks)
    return f"{', '.join(first)} and {last}" if first else last
