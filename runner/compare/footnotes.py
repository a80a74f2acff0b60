"""The sentences around a comparison's tables: headings, notes, what follows and what does not."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from optrun.runner.compare.comparison import LEFT_OUT_KINDS, Comparison, Group, Row, by_label
from optrun.runner.ui.wording import number_of, some
from optrun.runner.untrusted import printable
from optrun.runner.verdict.metrics import BY_KEY, MEASURES
from optrun.runner.verdict.proportion import proportion

_NAMED = 3
_LONGEST_VALUE = 32
_SHORT_HASH = 8
_EPOCHS = ("best", "final")

NOTHING_YET = """\
Nothing to compare in {places}: no run has completed there.
Run something first, in the project's folder:

    make train

or, with the built-in sample (nothing is downloaded):

    optrun train configs/lookahead_vgg19.yaml --sample
"""


def heading(group: Group) -> str:
    """What the runs of a table saw, and what separates it from the other tables."""
    photos = "Drawn sample, no real photos" if group.sample else "Real photos"
    if any(item.field == "sample" for item in group.allowed):
        photos = "Real photos and the drawn sample"
    setting = [f"{readable(name)} {_value(value)}" for name, value in group.setting]
    # Whoever allowed it may not be the one who reads it.
    allowed = [
        f"ALLOWED TO DIFFER: {readable(item.field)} "
        f"{some([_value(value) for value, _ in item.values])}"
        for item in group.allowed
    ]
    return " · ".join([photos, *setting, *allowed])


def separation(comparison: Comparison) -> str:
    """Why there is more than one table; empty where there is one."""
    if len(comparison.groups) < 2:
        return ""
    reasons = ["the photos"] if len({group.sample for group in comparison.groups}) > 1 else []
    names = {name: None for group in comparison.groups for name, _ in group.setting}
    if reasons:
        names.pop("photos", None)  # of which other fingerprints are another way to differ
    reasons += map(readable, names)
    return (
        f"{len(comparison.groups)} tables, since the runs differ in {some(reasons, 2 * _NAMED)}: "
        "numbers of different tables must not be ranked together."
    )


def notes(group: Group, *, sort: str) -> list[str]:
    """How to read a table, and what in it calls for care."""
    lines = [_reading(group, sort), *_best_below_final(group), *_of_photos(group)]
    for label, row in by_label(group.rows).items():
        lines += _missing(label, row)
    if seeds := group.unpaired_seeds:
        which = "Seed" if len(seeds) == 1 else "Seeds"
        lines.append(
            f"{which} {seeds_text(seeds)} did not begin from the same weights and photos in all "
            "rows: what differs may be the beginning, and nothing is paired."
        )
    for item in group.differences[: 2 * _NAMED]:
        values = [f"{_value(value)} ({number_of(count, 'run')})" for value, count in item.values]
        lines.append(f"Differs within this table: {readable(item.field)} {some(values)}.")
    if rest := [readable(item.field) for item in group.differences[2 * _NAMED :]]:
        lines.append(f"Differs as well: {some(rest, 2 * _NAMED)}.")
    return lines


def left_out(comparison: Comparison) -> list[str]:
    """The runs that do not count, a line for each reason; runs of one name by their folders."""
    counting = (run for group in comparison.groups for row in group.rows for run in row.counting)
    names = Counter([run.label for run in counting])
    names.update(item.label for item in comparison.left_out)
    lines = []
    for kind, items in groupby(comparison.left_out, key=lambda item: item.kind):
        members = list(items)
        reasons = kind in ("failed", "unreadable")
        labels = [
            (item.label if names[item.label] == 1 else printable(item.path))
            + (f" ({item.why})" if reasons and item.why else "")
            for item in members
        ]
        lines.append(f"{len(members)} {LEFT_OUT_KINDS[kind]}: {some(labels)}")
    return lines


def readable(name: str) -> str:
    """A field's dotted name as words.

    >>> readable("comparable.image_size")
    'comparable image size'
    """
    head, _, variable = name.partition("environment.")
    return variable if variable and not head else name.replace("_", " ").replace(".", " ")


def ranges(seeds: Iterable[int]) -> list[tuple[int, int]]:
    """The first and the last of seeds that follow each other.

    >>> ranges([1, 2, 3, 5])
    [(1, 3), (5, 5)]
    """
    found: list[tuple[int, int]] = []
    for seed in sorted(seeds):
        if found and seed == found[-1][1] + 1:
            found[-1] = found[-1][0], seed
        else:
            found.append((seed, seed))
    return found


def seeds_text(seeds: Iterable[int]) -> str:
    """Seeds as ranges.

    >>> seeds_text([1, 2, 3, 5, 8, 9])
    '1-3, 5, 8-9'
    """
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges(seeds))


def _reading(group: Group, sort: str) -> str:
    order = f"Sorted by {readable(sort)}"
    if sort in BY_KEY:
        first = "highest" if BY_KEY[sort].better == "higher" else "lowest"
        order += f", {first} mean first"
    if any(len(row.runs) > 1 for row in group.rows):
        return f"{order}. Mean over seeds ± sample standard deviation; one seed shows no spread."
    return f"{order}."


def _best_below_final(group: Group) -> Iterator[str]:
    """Which epoch the best one is, where its accuracy is not the highest."""
    for row in group.rows:
        best, final = (row.summaries[f"{one}_validation_accuracy"].mean for one in _EPOCHS)
        if best is not None and final is not None and best < final:
            yield (
                "Best epoch: the one of the lowest validation loss, whose weights are kept and "
                "tested; accuracy may be higher after another."
            )
            return


def _of_photos(group: Group) -> Iterator[str]:
    """How many photos the test accuracies are of, and how much that says of a single run."""
    records = [run.record for row in group.rows for run in row.runs]
    counts = sorted({record.test_photos for record in records if record.test_photos})
    known = [record.measure("test_accuracy") for record in records]
    accuracies = [one for one in known if one is not None and 0 <= one <= 1]
    if not counts or not accuracies:
        return
    text = f"Test accuracy is of {' or '.join(f'{one:,}' for one in counts)} photos"
    if len(counts) > 1:
        yield f"{text}."
        return
    [photos] = counts
    one = proportion(round(statistics.median(accuracies) * photos), photos)
    value, low, high = (f"{100 * share:.1f}" for share in one)
    yield (
        f"{text}: one photo is {100 / photos:.2g} points, and a single run's {value} % may be any "
        f"from {low} to {high} % (95 % interval over photos)."
    )


def _missing(label: str, row: Row) -> list[str]:
    """Why a row with completed runs shows no number."""
    lines = []
    for measure in MEASURES:
        values = row.summaries[measure.key].values
        without = [
            run.record.seed for run, value in zip(row.runs, values, strict=True) if value is None
        ]
        if without:
            lines.append(
                f"{label}: {readable(measure.key)} is missing or impossible for "
                f"seed {seeds_text(without)}, so the row shows no mean."
            )
    if len(lines) > _NAMED:
        more = len(lines) - _NAMED + 1
        lines[_NAMED - 1 :] = [f"{label}: {more} more measures likewise."]
    return lines


def _value(text: str) -> str:
    if len(text) >= 2 * _SHORT_HASH and all(char in "0123456789abcdef" for char in text):
        return text[:_SHORT_HASH]
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
