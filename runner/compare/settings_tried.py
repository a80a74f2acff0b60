"""What each setting tried gave, and how good a choice among fewer of them would have been.

A rate that wins by a hair beside others that diverge is worth less than one that wins on a plateau,
and who is ahead may depend on how many settings one can afford to try. With x_1 <= ... <= x_n the
validation losses of n settings, the lowest of k of them is expected to be

    E_k = sum over i of  C(n - i, k - 1) / C(n, k)  x_i,

the mean over all choices of k out of n: without bias, unlike that of drawing with replacement
(Dodge et al. 2019, "Show your work"; the bias: Tang et al. 2020, arXiv 2004.13705). Who only has
settings that diverged, or do worse, can still guess: none counts for more than that loss, ln 2 for
two classes.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from optrun.runner.compare.comparison import Group, Row, by_label
from optrun.runner.engine.scores import LOG_LOSS_AT_CHANCE
from optrun.runner.ui import table
from optrun.runner.ui.table import Line, row_lines
from optrun.runner.ui.text import style, widest, wrap
from optrun.runner.ui.wording import number_of, some
from optrun.runner.untrusted import mapping, number, typed_number
from optrun.runner.verdict.metrics import BY_KEY, TUNED_BY

GUESS = LOG_LOSS_AT_CHANCE
_MEASURE = BY_KEY[TUNED_BY]
_MOST_SETTINGS = 1000  # of a row
_MOST_ROWS = 20  # shown; JSON has them all, as with settings
_MOST_COLUMNS = 12
_MOST_CHANGES = 4
_MOST_KEYS = 4
_LONGEST_TEXT = 24
_WIDEST_LABEL = 44
_GAP = 2


@dataclass(frozen=True)
class Tried:
    """One setting."""

    settings: Mapping[str, str]  # a value by key, as a person typed them
    loss: float | None  # the mean over the tuning's seeds; None: it was not trained to its end
    is_chosen: bool


@dataclass(frozen=True)
class Block:
    """Losses by row and column, to be shown."""

    title: str  # empty: as of the one before
    corner: tuple[str, ...]  # what the columns are, in lines
    heads: tuple[tuple[str, ...], ...]  # of each column, in as many lines
    rows: tuple[tuple[str, tuple[str, ...]], ...]  # a label with its cells


def settings_tried(row: Row) -> tuple[Tried, ...]:
    """What was tried before a row's setting was chosen, lowest first; see `plan.tuning`."""
    recorded = row.newest.tuning.get("tried")
    chosen = _settings(row.newest.tuning.get("chosen"))
    found = []
    for one in map(mapping, recorded[:_MOST_SETTINGS] if isinstance(recorded, list) else ()):
        settings = _settings(one.get("settings"))
        found.append(Tried(settings, number(one.get(_MEASURE.key)), settings == chosen))
    return tuple(sorted(found, key=lambda one: _order(one.settings)))


def expected_best(losses: Sequence[float | None]) -> list[float]:
    """E_1, ..., E_n of the losses; None is one that diverged.

    >>> [round(one, 3) for one in expected_best([0.5, 0.2, None])]
    [0.464, 0.3, 0.2]
    """
    ordered = sorted(min(GUESS, GUESS if loss is None else loss) for loss in losses)
    count, found = len(ordered), []
    for tried in range(1, count + 1):
        mean, share = 0.0, tried / count  # C(n - 1, k - 1) / C(n, k)
        for place, loss in enumerate(ordered[: count - tried + 1], 1):
            mean += share * loss
            share *= (count - place - tried + 1) / max(1, count - place)
        found.append(mean)
    return found


def ranking_changes(curves: Mapping[str, Sequence[float]]) -> list[tuple[int, list[str]]]:
    """From how many settings on which ranking holds, as far as all curves go; best first.

    >>> ranking_changes({"sgd": [0.6, 0.5, 0.2], "adam": [0.5, 0.4, 0.3]})
    [(1, ['adam', 'sgd']), (3, ['sgd', 'adam'])]
    """
    found: list[tuple[int, list[str]]] = []
    order = list(curves)
    for place, losses in enumerate(zip(*curves.values(), strict=False)):
        # Rounded, so that equals stay as they were.
        loss_of = dict(zip(curves, (round(loss, 12) for loss in losses), strict=True))
        order = sorted(order, key=loss_of.__getitem__)
        if not found or order != found[-1][1]:
            found.append((place + 1, order))
    return found


def notes(group: Group) -> Iterator[str]:
    """Who is ahead after how many settings, where more than one row was tuned."""
    curves = {label: _curve(tried) for label, tried in _tuned(group.rows).items()}
    if len(curves) < 2:
        return
    most = min(map(len, curves.values()))
    (_, (leader, *_)), *changes = ranking_changes(curves)
    told, below = f"after 1 of {most} settings {leader} is ahead", list[int]()
    for tried, (first, *_) in changes:
        if first == leader:
            below.append(tried)
        else:
            told, leader = f"{told}, from {tried} on {first}", first
    if len(below) == len(changes):
        told += f", as after all {most}"
    if below:
        told += f"; below it the order changes at {some(list(map(str, below)), _MOST_CHANGES)}"
    yield f"Expected best validation loss, not tested for significance: {told}."


def blocks(group: Group) -> Iterator[Block]:
    """The validation loss of each setting, and the best to be expected of fewer of them."""
    tuned = _tuned(group.rows)
    shown = dict(list(tuned.items())[:_MOST_ROWS])
    alike: dict[tuple[tuple[tuple[str, str], ...], ...], list[str]] = defaultdict(list)
    for label, tried in shown.items():
        alike[tuple(tuple(one.settings.items()) for one in tried)].append(label)
    title = ""
    for labels in alike.values():
        block = _by_setting({label: shown[label] for label in labels})
        yield replace(block, title="") if block.title == title else block
        title = block.title
    if not shown:
        return
    more = len(tuned) - len(shown)
    most = max(map(len, shown.values()))
    columns = [count for count in range(1, most + 1) if most <= _MOST_COLUMNS or _is_round(count)]
    columns = list(dict.fromkeys([*columns, most]))
    curves = {label: _curve(tried) for label, tried in shown.items()}
    yield Block(
        "Expected best of so many settings, drawn at random"
        + f" (none counts for more than a guess, {GUESS:.3f})" * _has_guess(shown.values())
        + f"; {number_of(more, 'row')} more in --format json" * (more > 0),
        ("settings",),
        tuple((str(count),) for count in columns),
        tuple(
            (label, tuple(_loss(of_row[at - 1]) if at <= len(of_row) else "" for at in columns))
            for label, of_row in curves.items()
        ),
    )


def text_lines(block: Block, *, width: int, styled: bool) -> Iterator[str]:
    """A block for a terminal; columns that do not fit side by side follow beneath."""
    labels = [*block.corner, *(label for label, _ in block.rows)]
    label_width = min(widest(labels), _WIDEST_LABEL, width // 2)
    cells = [text for _, of_row in block.rows for text in of_row]
    cell_width = widest([*cells, *(line for head in block.heads for line in head)])
    fitting = max(1, (width - label_width) // (cell_width + _GAP))
    for line in filter(None, wrap(block.title, width)):
        yield style(line, "strong", styled)
    for begin in range(0, len(block.heads), fitting):
        if begin:
            yield ""
        part = range(len(block.heads))[begin : begin + fitting]
        columns = [table.Column(label_width), *[table.Column(cell_width, right=True)] * len(part)]
        heads = [block.corner, *(block.heads[at] for at in part)]
        titles = [[Line(text, "faint") for text in lines] for lines in heads]
        yield from row_lines(titles, columns, styled=styled)
        for label, of_row in block.rows:
            name = [Line(line) for line in wrap(label, label_width)]
            yield from row_lines([name, *(of_row[at] for at in part)], columns, styled=styled)


def markdown_lines(block: Block, escape: Callable[[str], str]) -> Iterator[str]:
    """A block as a table of GitHub's Markdown."""
    if block.title:
        yield from (escape(block.title), "")
    heads = [", ".join(map(str.strip, lines)) for lines in (block.corner, *block.heads)]
    # A number needs no escape, which would make it hard to read as text.
    heads = [escape(head) if typed_number(head) is None else head for head in heads]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * len(block.heads)}"
    for label, of_row in block.rows:
        cells = [text.strip().replace("*", r"\*") for text in of_row]
        yield f"| {' | '.join([escape(label), *cells])} |"


def as_json(row: Row) -> dict[str, object]:
    """What JSON has of a row: its settings, and E_1, ..., E_n."""
    tried = settings_tried(row)
    return {
        "tried": [
            {"settings": one.settings, _MEASURE.key: one.loss, "chosen": one.is_chosen}
            for one in tried
        ],
        "expected_best": _curve(tried),
    }


def _by_setting(tuned: Mapping[str, Sequence[Tried]]) -> Block:
    """Rows of the same settings."""
    settings = [one.settings for one in next(iter(tuned.values()))]
    keys = list(dict.fromkeys(key for one in settings for key in one))[:_MOST_KEYS]
    count = len(settings)
    chosen = [at for of_row in tuned.values() for at, one in enumerate(of_row) if one.is_chosen]
    columns = sorted({*_spread(count), *chosen[:_MOST_COLUMNS]})
    return Block(
        "Validation loss of the settings tried (* chosen)"
        + f", {len(columns)} of {count}; --format json has all" * (len(columns) < count),
        tuple(key[:_LONGEST_TEXT] for key in keys),
        # A blank stands where the cells have their mark.
        tuple(
            tuple(settings[at].get(key, "")[:_LONGEST_TEXT] + " " for key in keys) for at in columns
        ),
        tuple(
            (label, tuple(_loss(of_row[at].loss) + " *"[of_row[at].is_chosen] for at in columns))
            for label, of_row in tuned.items()
        ),
    )


def _tuned(rows: Sequence[Row]) -> dict[str, tuple[Tried, ...]]:
    """The rows, by label, of which more than one setting was tried."""
    tried = {label: settings_tried(row) for label, row in by_label(rows).items()}
    return {label: of_row for label, of_row in tried.items() if len(of_row) > 1}


def _curve(tried: Iterable[Tried]) -> list[float]:
    return expected_best([one.loss for one in tried])


def _has_guess(tuned: Iterable[Iterable[Tried]]) -> bool:
    return any(one.loss is None or one.loss > GUESS for of_row in tuned for one in of_row)


def _settings(recorded: object) -> dict[str, str]:
    return {key: str(value) for key, value in mapping(recorded).items()}


def _order(settings: Mapping[str, str]) -> list[tuple[float, str]]:
    """By value where these are numbers."""
    numbers = {text: typed_number(text) for text in settings.values()}
    return [(math.inf if one is None else one, text) for text, one in numbers.items()]


def _spread(count: int) -> set[int]:
    """At most so many places as are shown, evenly, both ends among them."""
    most = min(count, _MOST_COLUMNS)
    return {round(at * (count - 1) / (most - 1)) for at in range(most)}


def _is_round(count: int) -> bool:
    return str(count).rstrip("0") in ("1", "2", "5")


def _loss(loss: float | None) -> str:
    return "diverged" if loss is None else f"{loss:.{_MEASURE.decimals}f}"
