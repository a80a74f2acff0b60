"""The same number of settings tried for every experiment, on seeds of their own; the best chosen.

The choice is made on validation photos, by runs whose seeds stay out of any verdict. What was
tried, and what it gave, is recorded with the runs of the chosen setting.
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from optrun.runner.config.load import load
from optrun.runner.errors import UserError
from optrun.runner.plan.plan import Entry
from optrun.runner.runs.record import TUNING, RunRecord, RunStatus
from optrun.runner.ui.wording import number_of
from optrun.runner.verdict.metrics import TUNED_BY

_MOST_SETTINGS = 1000
_RANGE = re.compile(r"([^=]+)=(.+)\.\.(.+)")
_MULTIPLE = re.compile(r"x(\d.*|\.\d.*)")

Trial = Mapping[str, str]  # a value by key, both as a person types them


@dataclass(frozen=True)
class Tuning:
    """What is tried, of each experiment."""

    trials: Sequence[Trial]
    seeds: Sequence[int]


def grid(texts: Sequence[str]) -> list[Trial]:
    """All combinations of `KEY=VALUE,VALUE,...`; `x3` stands for three times an entry's own value.

    >>> grid(["learning_rate=0.1,0.01", "momentum=0,0.9"])[1]
    {'learning_rate': '0.1', 'momentum': '0.9'}
    """
    axes: dict[str, list[str]] = {}
    for text in texts:
        key, _, listed = text.partition("=")
        values = [value.strip() for value in listed.split(",")]
        if not key.strip() or not all(values):
            raise UserError(
                f"--grid must be like learning_rate=1e-4,3e-4,1e-3, received: {text or 'nothing'}"
            )
        if key.strip() in axes:
            raise UserError(f"--grid states {key.strip()} twice; put all values into one")
        if len(set(values)) < len(values):
            raise UserError(f"--grid has a value twice: {text}")
        axes[key.strip()] = values
    count = math.prod(map(len, axes.values()))
    if count > _MOST_SETTINGS:
        raise UserError(
            f"--grid must have at most {_MOST_SETTINGS:,} settings, received: {count:,}"
        )
    return [dict(zip(axes, one, strict=True)) for one in itertools.product(*axes.values())]


def sampled(texts: Sequence[str], count: int) -> list[Trial]:
    """So many settings from `KEY=LOW..HIGH`, even on a logarithmic scale, always the same ones.

    A Sobol sequence (Sobol 1967), scrambled by a fixed seed: every experiment gets these points.
    """
    from scipy.stats import qmc

    axes: dict[str, tuple[float, float]] = {}
    for text in texts:
        match = _RANGE.fullmatch(text)
        try:
            low, high = (float(end) for end in match.groups()[1:]) if match else (0.0, 0.0)
        except ValueError:
            low = high = 0.0
        if match is None or not 0 < low < high < math.inf:
            raise UserError(
                "--range must be like learning_rate=1e-5..1e-2, two numbers above 0, the lower "
                f"first, received: {text}"
            )
        axes[match[1].strip()] = low, high
    powers = math.ceil(math.log2(count))
    points = qmc.Sobol(len(axes), seed=1).random_base2(powers)[:count]
    return [
        {
            key: f"{low * (high / low) ** point:.4g}"
            for (key, (low, high)), point in zip(axes.items(), row, strict=True)
        }
        for row in points.tolist()
    ]


def tried(entries: Sequence[Entry], trials: Sequence[Trial], *, sample: bool) -> list[Entry]:
    """Every entry with every setting, in this order."""
    return [
        replace(
            entry,
            settings=[*entry.settings, *_settings(trial, optimizer)],
            provenance={TUNING: {"purpose": TUNING, "settings": dict(trial)}},
        )
        for entry in entries
        for optimizer in [_optimizer(entry, sample=sample)]  # the file is read once
        for trial in _resolved(trials, optimizer)
    ]


def chosen(
    entries: Sequence[Entry],
    tuning: Tuning,
    records: Sequence[Sequence[RunRecord | None]],
    *,
    sample: bool,
) -> Iterator[tuple[Entry, str]]:
    """Each entry with the setting that its records make the best, and that in words.

    `records` are those of each of `tried`'s entries, by seed.
    """
    count = len(tuning.trials)
    for number, entry in enumerate(entries):
        of_entry = records[number * count : (number + 1) * count]
        scores = [_score(of_trial) for of_trial in of_entry]
        finite = [score for score in scores if score is not None]
        if not finite:
            raise UserError(
                f"{entry.config}: none of the {number_of(count, 'setting')} tried was trained to "
                "its end; try lower learning rates"
            )
        optimizer = _optimizer(entry, sample=sample)
        trials = _resolved(tuning.trials, optimizer)
        best = scores.index(min(finite))
        trial = trials[best]
        facts = {
            "tried": [
                {"settings": dict(one), TUNED_BY: score}
                for one, score in zip(trials, scores, strict=True)
            ],
            "chosen": dict(trial),
            "seeds": list(tuning.seeds),
        }
        settings = [*entry.settings, *_settings(trial, optimizer)]
        told = ", ".join(f"{key} {value}" for key, value in trial.items())
        yield (
            replace(entry, settings=settings, provenance={TUNING: facts}),
            f"{entry.config}: {told}, of {number_of(count, 'setting')} (validation loss "
            f"{scores[best]:.4f})",
        )


def _score(records: Sequence[RunRecord | None]) -> float | None:
    """The mean over seeds; None where one of them has no result."""
    values = [
        record.measure(TUNED_BY)
        if record and record.written_status == RunStatus.COMPLETED
        else None
        for record in records
    ]
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present and len(present) == len(values) else None


def _optimizer(entry: Entry, *, sample: bool) -> Mapping[str, object]:
    return load(entry.config, entry.settings, sample=sample).experiment.optimizer.as_mapping()


def _resolved(trials: Sequence[Trial], optimizer: Mapping[str, object]) -> list[Trial]:
    """The settings with what multiples of the optimizer's own values come to."""
    return [{key: _value(key, text, optimizer) for key, text in one.items()} for one in trials]


def _value(key: str, text: str, optimizer: Mapping[str, object]) -> str:
    """What is tried of a key: the number as it stands, or so many times the optimizer's own.

    >>> _value("learning_rate", "x3", {"name": "sgd", "learning_rate": 0.02})
    '0.06'
    >>> _value("learning_rate", "0.5", {"name": "sgd", "learning_rate": 0.02})
    '0.5'
    """
    if (multiple := _MULTIPLE.fullmatch(text)) is None:
        return text
    own: object = {"optimizer": optimizer}
    for part in _path(key, optimizer):
        own = own.get(part) if isinstance(own, Mapping) else None
    try:
        factor = float(multiple[1])
    except ValueError:
        factor = math.nan
    if isinstance(own, bool) or not isinstance(own, int | float) or not 0 < factor < math.inf:
        raise UserError(
            f"--grid {key}={text} must be a multiple, such as x0.3 or x3, of a number that each "
            f"optimizer states; {key} is {own} in {optimizer['name']}"
        )
    return f"{own * factor:.4g}"


def _settings(trial: Trial, optimizer: Mapping[str, object]) -> list[str]:
    return [f"{'.'.join(_path(key, optimizer))}={value}" for key, value in trial.items()]


def _path(key: str, optimizer: Mapping[str, object]) -> list[str]:
    """The optimizer's own key, wherever it lies: in a wrapper, in a schedule; else as it stands."""
    path, here = ["optimizer"], optimizer
    while key not in here:
        inner = here.get("inner_optimizer")
        if not isinstance(inner, Mapping):
            return [key]
        path, here = [*path, "inner_optimizer"], inner
    value = here[key]
    is_schedule = isinstance(value, Mapping) and "initial_learning_rate" in value
    return [*path, key, *(["initial_learning_rate"] if is_schedule else [])]
