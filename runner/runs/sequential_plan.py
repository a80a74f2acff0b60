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
from optrun.runner.runs.record import RunRecord
from optrun.runner.untrusted import DamageError, content_of, json_object, mapping, number, whole
from optrun.runner.verdict.conclusions import ALPHA
from optrun.runner.verdict.metrics import BY_KEY, Measure

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
