"""What one needs to run a table's rows again: their settings, where they ran, and the command."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from optrun.runner.compare.comparison import NAMES_ONLY, NOT_RECORDED, Group, Row
from optrun.runner.compare.footnotes import ranges
from optrun.runner.compare.judgement import training
from optrun.runner.compare.render import MISSING
from optrun.runner.runs.reader import read_config
from optrun.runner.runs.record import flatten
from optrun.runner.ui.wording import number_of, some

_MOST_VALUES = 4
_ALSO_RECORDED = ("photos_source", "photos_by_part", "git_commit", "git_dirty", "parameters")


def configuration_of(row: Row) -> dict[str, str]:
    """A row's settings by dotted name: as its newest run's file has them, else its record."""
    run = next((one for one in row.counting if one.record is row.newest), row.counting[0])
    found = {**flatten(row.newest.specification, "optimizer."), **read_config(run.folder)}
    return {key: _text(value) for key, value in found.items() if key not in NAMES_ONLY}


def told_apart(
    settings: Sequence[Mapping[str, str]],
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The settings that are not the same in all, with each one's value, and those that are.

    >>> told_apart([{"lr": "0.1", "epochs": "4"}, {"lr": "0.2", "epochs": "4"}])
    ({'lr': ['0.1', '0.2']}, {'epochs': '4'})
    """
    keys = list(dict.fromkeys(key for one in settings for key in one))
    values = {key: [one.get(key, MISSING) for one in settings] for key in keys}
    return (
        {key: found for key, found in values.items() if len(set(found)) > 1},
        {key: found[0] for key, found in values.items() if len(set(found)) == 1},
    )


def environment_of(group: Group) -> list[tuple[str, str]]:
    """Versions, hardware and photos of a table's runs; how many have each where they differ."""
    records = [run.record for row in group.rows for run in row.counting]
    found = []
    for record in records:
        more = {key: record.provenance.get(key) for key in _ALSO_RECORDED}
        told = {key: value for key, value in more.items() if value is not None}
        found.append({**record.circumstances, **flatten(told)})
    keys = dict.fromkeys(key for one in found for key in one)
    facts = []
    for key in keys:
        counts = Counter(_text(one.get(key, NOT_RECORDED)) for one in found)
        several = [f"{value} ({number_of(runs, 'run')})" for value, runs in counts.most_common()]
        facts.append((key, next(iter(counts)) if len(counts) == 1 else some(several, _MOST_VALUES)))
    return facts


def commands(row: Row) -> Iterator[str]:
    """What trains a row's seeds anew, from the settings that its runs have recorded."""
    run = next((one for one in row.counting if one.record is row.newest), row.counting[0])
    for first, last in ranges([one.record.seed for one in row.counting]):
        said = f"--seeds {first}-{last}" if last > first else f"--seed {first}"
        yield training([run.folder], said)


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
