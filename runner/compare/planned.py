"""The verdict on runs that were made by a plan, `optrun train --until-sure`: by what it wrote down.

The seeds of such runs were added until the answer was sure. A test that knows nothing of that
concludes falsely too often, so that the plan's own is used, and where it cannot be, that is said.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from optrun.runner.compare.comparison import Group, by_label
from optrun.runner.compare.judgement import Verdict
from optrun.runner.runs import sequential_plan
from optrun.runner.runs.record import RunRecord
from optrun.runner.runs.sequential_plan import Plans, SequentialPlan
from optrun.runner.ui.wording import number_of, some
from optrun.runner.verdict.conclusions import ranked
from optrun.runner.verdict.sentences import Unit, sentence


def by_plan(
    group: Group,
    plans: Plans,
    otherwise: Verdict,
    counting: Sequence[RunRecord],
    *,
    asked: Collection[str] = (),
) -> Verdict:
    """The verdict on a table by the plan that made its runs; `otherwise` where none did.

    Args:
        plans: Those that lie beside the runs.
        otherwise: The verdict that knows of no plan.
        counting: The records that count of all runs, since the table may be a part of the plan's.
        asked: What a person asked about that a plan says itself; then it is answered, with care.
    """
    records = [run.record for row in group.rows for run in row.counting]
    hashes = {record.plan for record in records if record.plan is not None}
    if not hashes:
        return otherwise
    fitting = [plan for plan in plans.intact if plan.hash in hashes]
    if lost := hashes - {plan.hash for plan in fitting}:
        broken = "; ".join(f"{name}: {why}" for name, why in plans.broken.items())
        made = number_of(sum(record.plan in lost for record in records), "run")
        said = (
            f"{made} here had seeds added until sure, by a plan that {broken or 'is not here'}. "
            "What follows knows nothing of the looks that were made: it concludes too often."
        )
        return replace(otherwise, sentences=(said, *otherwise.sentences))
    if asked or len(fitting) > 1:
        names = some([plan.file_name for plan in fitting])
        why = f"it asks otherwise than {', '.join(asked)}" if asked else "there are several"
        said = (
            f"Seeds were added here until sure, by {names}, and {why}: what follows knows nothing "
            "of the looks that were made. Take it as a hint."
        )
        return replace(otherwise, sentences=(said, *otherwise.sentences))
    return _judged(group, fitting[0], otherwise, counting)


def _judged(
    group: Group, plan: SequentialPlan, otherwise: Verdict, counting: Sequence[RunRecord]
) -> Verdict:
    labels = by_label(group.rows)
    names = {row.newest.experiment: label for label, row in labels.items()}
    rows = {
        name: names[identity] for name, identity in plan.experiments.items() if identity in names
    }
    now = sequential_plan.standing_of(plan, counting)
    measure, looks = plan.measure, ", ".join(map(str, plan.looks))
    judged = [
        replace(one, candidate=rows[one.candidate], baseline=rows[one.baseline])
        for one in ranked(now.judged)
        if {one.candidate, one.baseline} <= rows.keys()
    ]
    comparisons, unit = len(plan.candidates), Unit.of(measure)
    said = [sentence(one, unit, comparisons, correction=plan.correction) for one in judged]
    if not now.looks_made:
        said = [f"No conclusion yet: the first look is after {plan.looks[0]} seeds each."]
    reference = rows.get(plan.baseline)
    aside = [label for label in labels if label not in rows.values()]
    notes = [
        f"Seeds were added until sure, by {plan.file_name}, looked at after {looks} of them: "
        f"{number_of(now.looks_made, 'look')} made. p and intervals hold for all looks and "
        "comparisons together."
    ]
    if now.seeds:
        unsure = some([rows.get(name, name) for name in now.open_ones])
        notes.append(f"Not sure yet of {unsure}: the same command with --resume goes on.")
    if aside:
        notes.append(f"Not judged, since they are no part of the plan: {some(aside)}.")
    of_plan = [run.record for label in rows.values() for run in labels[label].counting]
    if outside := sum(not plan.has(record) for record in of_plan):
        notes.append(f"{number_of(outside, 'run')} outside the plan: not counted in.")
    seen = {**otherwise.values, **{label: now.values[name] for name, label in rows.items()}}
    return Verdict(
        measure,
        reference,
        seen,
        tuple(judged),
        plan=plan.file_name,
        sentences=tuple(said),
        notes=tuple(notes),
    )
