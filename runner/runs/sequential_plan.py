"""The plan of `optrun train --until-sure`: written before its first run, and never changed.

It lies in the folder of its runs as `until-sure-<hash>.json`. Its hash, which each of its runs
records, is that of its content: a plan that was changed since is known by it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from optrun.data.files import write_atomically
from optrun.runner.runs.record import OVER, RunRecord, RunStatus
from optrun.runner.ui.wording import number_of
from optrun.runner.untrusted import DamageError, content_of, json_object, mapping, number, whole
from optrun.runner.verdict.conclusions import ALPHA, Judged
from optrun.runner.verdict.metrics import BY_KEY, Measure
from optrun.runner.verdict.sequential import judge_by_looks

FORMAT = 1
_PATTERN = "until-sure-*.json"
_MOST_LOOKS = 100
_HASH, _CONTENT = "sha256", "plan"


@dataclass(frozen=True)
class SequentialPlan:
    """What is asked, and when the data are looked at; decided before there are any."""

    experiments: Mapping[str, str]  # hash of each, by its name
    baseline: str  # one of the names
    metric: str  # a measure's key
    looks: tuple[int, ...]  # after how many seeds each, ascending; the last is the end
    sample: bool
    margin: float | None = None  # in the metric's own unit
    alpha: float = ALPHA

    @property
    def seeds(self) -> range:
        """All that may come, in this order."""
        return range(1, self.looks[-1] + 1)

    @property
    def measure(self) -> Measure:
        return BY_KEY[self.metric]

    @property
    def candidates(self) -> list[str]:
        return [name for name in self.experiments if name != self.baseline]

    @property
    def correction(self) -> str:
        """What a p-value is adjusted for, in words."""
        several = f", {len(self.candidates)} comparisons" if len(self.candidates) > 1 else ""
        return f"{number_of(len(self.looks), 'look')}{several}"

    @property
    def hash(self) -> str:
        text = json.dumps(self.as_json(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def file_name(self) -> str:
        return f"until-sure-{self.hash[:8]}.json"

    def as_json(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "experiments": dict(self.experiments),
            "baseline": self.baseline,
            "comparisons": len(self.experiments) - 1,
            "metric": self.metric,
            "margin": self.margin,
            "alpha": self.alpha,
            "looks": list(self.looks),
            "error_spent": [self.alpha * look / self.looks[-1] for look in self.looks],
            "sample": self.sample,
        }

    def has(self, record: RunRecord) -> bool:
        """Whether a run was made by this plan."""
        return record.plan == self.hash


@dataclass(frozen=True)
class Plans:
    """What lies in some folders."""

    intact: Sequence[SequentialPlan] = ()
    broken: Mapping[str, str] = field(default_factory=dict)  # what is wrong, by the file's name


@dataclass(frozen=True)
class Standing:
    """How far a plan is."""

    values: Mapping[str, Mapping[int, float]]  # the metric of its runs, by experiment and seed
    judged: Sequence[Judged]  # as of the last look; empty before the first
    looks_made: int
    open_ones: Sequence[str]  # candidates that are not settled
    seeds: Sequence[int]  # that come next, for those and the baseline; empty where it is over


def standing_of(plan: SequentialPlan, records: Sequence[RunRecord]) -> Standing:
    """How far the plan is, by the records of its own runs; others count for nothing."""
    values, over = _recorded(plan, records)
    judged, looks_made = judge_by_looks(
        values,
        over,
        plan.baseline,
        plan.measure.judged,
        seeds=plan.seeds,
        looks=plan.looks,
        margin=plan.margin,
        alpha=plan.alpha,
    )
    settled = {one.candidate for one in judged if one.is_settled}
    # One that has no pair at a look, since it only ever diverges, is not gone on with.
    if looks_made:
        settled |= set(plan.candidates) - {one.candidate for one in judged}
    open_ones = [name for name in plan.candidates if name not in settled]
    if not open_ones or looks_made == len(plan.looks):
        return Standing(values, judged, looks_made, open_ones, ())
    before = plan.looks[looks_made - 1] if looks_made else 0
    coming = range(before + 1, plan.looks[looks_made] + 1)
    return Standing(values, judged, looks_made, open_ones, coming)


def _recorded(
    plan: SequentialPlan, records: Sequence[RunRecord]
) -> tuple[dict[str, dict[int, float]], dict[str, int]]:
    """The metric of the plan's runs by experiment and seed, and how many first seeds are over."""
    names = {identity: name for name, identity in plan.experiments.items()}
    values: dict[str, dict[int, float]] = {name: {} for name in plan.experiments}
    ended: dict[str, set[int]] = {name: set() for name in plan.experiments}
    for record in records:
        name = names.get(record.experiment)
        if name is None or not plan.has(record) or record.written_status not in OVER:
            continue
        ended[name].add(record.seed)
        value = record.measure(plan.metric)
        if record.written_status == RunStatus.COMPLETED and value is not None:
            values[name][record.seed] = value
    over = {
        name: next((place for place, seed in enumerate(plan.seeds) if seed not in seeds),
                   len(plan.seeds))
        for name, seeds in ended.items()
    }  # fmt: skip
    return values, over


def write(plan: SequentialPlan, results: Path) -> None:
    """Write a plan into the folder of its runs; an `OSError` where that is not possible."""
    content = json.dumps({_HASH: plan.hash, _CONTENT: plan.as_json()}, indent=1) + "\n"
    results.mkdir(parents=True, exist_ok=True)
    write_atomically(results / plan.file_name, content.encode())


def read_plans(folders: Sequence[Path]) -> Plans:
    """The plans in folders of runs, and in those around single runs."""
    found: dict[str, SequentialPlan] = {}
    broken: dict[str, str] = {}
    around = [place for folder in folders for place in (folder, folder.absolute().parent)]
    for path in sorted({file for place in around for file in place.glob(_PATTERN)}):
        try:
            plan = _read(path)
            found[plan.hash] = plan
        except DamageError as damage:
            broken[path.name] = str(damage)
    return Plans(tuple(found.values()), broken)


def _read(path: Path) -> SequentialPlan:
    content = json_object(content_of(path))
    recorded = mapping(content.get(_CONTENT))
    experiments = {str(k): str(v) for k, v in mapping(recorded.get("experiments")).items()}
    listed = recorded.get("looks")
    looks = [whole(one) or 0 for one in (listed if isinstance(listed, list) else [])]
    plan = SequentialPlan(
        experiments,
        baseline=str(recorded.get("baseline")),
        metric=str(recorded.get("metric")),
        looks=tuple(looks[:_MOST_LOOKS]),
        sample=recorded.get("sample") is True,
        margin=number(recorded.get("margin")),
        alpha=number(recorded.get("alpha")) or 0.0,
    )
    is_sound = (
        plan.baseline in experiments
        and plan.metric in BY_KEY
        and bool(looks)
        and looks[0] > 0
        and all(one < other for one, other in pairwise(looks))
        and 0 < plan.alpha < 1
    )
    if not is_sound or content.get(_HASH) != plan.hash or recorded != plan.as_json():
        raise DamageError("it was changed after it was written")
    return plan
