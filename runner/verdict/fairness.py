"""Whether experiments had the same chance: what stands between a table and a fair comparison.

Each note is about a fault that published comparisons of optimizers had: a wrapper around less than
the plain optimizer has, another weight decay, a baseline left untuned or at its library's default,
settings chosen on one seed, more gradients for one than for the other.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from optrun.optimizers.registry import ENTRIES
from optrun.runner.ui.wording import number_of, some
from optrun.runner.untrusted import typed_number

Settings = Mapping[str, object]

_INNER = "inner_optimizer"
_RATE = "learning_rate"
_WEIGHT_DECAY = "weight_decay"
_SCHEDULE = "schedule"
# The rates that the classes take where none is stated; a specification must state one.
_DEFAULT_RATES = {"sgd": 0.01, "heun": 0.01, "rk23": 0.01, "rk45": 0.01}
_DEFAULT_RATE = 0.001  # of all others
_SAME_COST = 0.01  # by which budgets may differ, as a share
_MOST_LINES = 8  # of one kind
_MOST_VALUES = 4  # of one setting, named in a sentence
_MOST_TWINS = 20  # plain optimizers of a kind that a wrapper is set beside
_LONGEST_VALUE = 40  # characters


@dataclass(frozen=True)
class Setup:
    """What one experiment was given. Of what is not known, nothing is said."""

    label: str
    specification: Settings  # of its optimizer, with every argument
    steps_per_epoch: int | None = None
    # Photos whose gradient a run computes, each counted as often as that is done.
    photo_gradients: float | None = None
    tried: Sequence[Settings] = ()  # settings, before one was chosen
    chosen: Settings = field(default_factory=dict)  # of those
    tuning_seeds: int | None = None  # by how many it is chosen
    # A loss of each run that the same machine would repeat to the last bit, by all that it began
    # from: seed, weights, photos, versions.
    losses: Mapping[Hashable, float] = field(default_factory=dict)

    @property
    def tuned(self) -> Settings:
        """What was chosen, by the optimizer's own name for it, wherever that lies."""
        return {
            key.removesuffix(".initial_learning_rate").rpartition(".")[2]: value
            for key, value in self.chosen.items()
        }


def notes(setups: Sequence[Setup], baseline: str | None) -> Iterator[str]:
    """What is unfair, or what fairness asks to be known, in a sentence each.

    Args:
        setups: The experiments of one table, each with a label of its own.
        baseline: The label of the one that others are set against; None where there is none.

    >>> sgd = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": None}
    >>> around = {"name": "lookahead", "inner_optimizer": sgd | {"momentum": 0.0}}
    >>> for note in notes([Setup("plain", sgd), Setup("slow", around)], "plain"):
    ...     print(note)
    The SGD inside slow has momentum 0; plain has 0.9. A difference may come from that, and not \
from what is around it.
    """
    reference = next((one for one in setups if one.label == baseline), None)
    if reference is not None:
        yield from _first(
            _less_inside(setups, reference), "more wrappers are around other settings"
        )
        yield from _unlike(setups, reference, _WEIGHT_DECAY, "Weight decay")
        yield from _unlike(setups, reference, _SCHEDULE, "The learning rate's schedule")
        yield from _unequal_budgets(setups, reference)
    yield from _first(
        _not_neutral(setups), "more wrappers are not as neutral as they are set to be"
    )
    yield from _first(_chosen(setups), "more settings were chosen of several")
    yield from _tuning(setups)


def _first(lines: Iterator[str], more: str) -> Iterator[str]:
    yield from itertools.islice(lines, _MOST_LINES)
    if rest := sum(1 for _ in lines):
        yield f"{rest:,} {more}."


def beside(specification: Settings) -> Settings:
    """The settings of an optimizer and of what it goes around, side by side.

    So that a wrapper differs from the plain optimizer in what it adds. One of a person's own is
    left as it is: its settings may have the names of those inside.

    >>> sgd = {"name": "sgd", "momentum": 0.9}
    >>> beside({"name": "lookahead", "sync_period": 5, "inner_optimizer": sgd})
    {'name': 'lookahead(sgd)', 'momentum': 0.9, 'sync_period': 5}
    """
    *wrappers, core = _chain(specification)
    names = [_name(one) for one in (*wrappers, core)]
    around = {key: value for one in wrappers for key, value in one.items() if key != _INNER}
    return {**core, **around, "name": "(".join(names) + ")" * len(wrappers)}


def _chain(specification: Settings) -> list[Settings]:
    """The wrappers that are known, outermost first, and at the end what they go around."""
    found = [specification]
    while isinstance(inner := found[-1].get(_INNER), Mapping) and _name(found[-1]) in ENTRIES:
        found.append(inner)
    return found


def _name(specification: Settings) -> str:
    return str(specification.get("name", ""))


def _kind(setup: Setup) -> str:
    """The name of what is innermost; empty for a person's own, whose rule is not known."""
    name = _name(_chain(setup.specification)[-1])
    return name if name in ENTRIES else ""


def _core(setup: Setup) -> dict[str, str]:
    """The settings of what is innermost, as they are told, but for how large its rate is."""
    core = dict(_chain(setup.specification)[-1])
    core.pop("name", None)
    rate = core.pop(_RATE, None)
    told = {key: _told(value) for key, value in core.items()}
    if core.get(_WEIGHT_DECAY) == 0:
        told[_WEIGHT_DECAY] = _told(None)
    if rate is not None and _kind(setup):
        told[_SCHEDULE] = _schedule(rate)
    return told


def _schedule(rate: object) -> str:
    """How a rate changes; how long that takes follows from the updates, which may differ.

    >>> _schedule(0.1), _schedule({"schedule": "cosine", "warmup_updates": 9})
    ('none', 'cosine with warm-up')
    """
    if not isinstance(rate, Mapping):
        return _told(None)
    kind = str(rate.get("schedule"))
    warmed_up = " with warm-up" if rate.get("warmup_updates") else ""
    return _told(None) if kind == "constant" and not warmed_up else kind + warmed_up


def _less_inside(setups: Sequence[Setup], reference: Setup) -> Iterator[str]:
    """Wrappers around something else than what they are set beside.

    That is the baseline where it is of the inner optimizer's kind, else the plain optimizer of that
    kind which is the most like it.
    """
    plain: defaultdict[str, list[Setup]] = defaultdict(list)
    for one in setups:
        if _INNER not in one.specification:
            plain[_kind(one)].append(one)
    alike: defaultdict[tuple[str, str, tuple[_Difference, ...]], list[str]] = defaultdict(list)
    for one in setups:
        kind = _kind(one)
        if _INNER not in one.specification or not kind:
            continue
        is_of_kind = one is not reference and _kind(reference) == kind
        twins = [reference] if is_of_kind else plain[kind][:_MOST_TWINS]
        found = [(_differences(one, twin), twin.label) for twin in twins]
        if found:
            differences, twin = min(found, key=lambda pair: len(pair[0]))
            alike[kind, twin, differences].append(one.label)
    for (kind, twin, differences), labels in alike.items():
        if differences:
            has = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value, _ in differences)
            others = ", ".join(value for _, _, value in differences)
            yield (
                f"The {ENTRIES[kind].class_name} inside {some(labels)} has {has}; "
                f"{twin} has {others}. A difference may come from that, and not from what is "
                "around it."
            )


_Difference = tuple[str, str, str]  # a setting, its value, and the other's


def _differences(one: Setup, other: Setup) -> tuple[_Difference, ...]:
    """What both have, unlike, though neither was tuned in it."""
    of_one, of_other = _core(one), _core(other)
    return tuple(
        (key, value, of_other[key])
        for key, value in of_one.items()
        if value != of_other.get(key, value) and not (key in one.tuned and key in other.tuned)
    )


def _unlike(setups: Sequence[Setup], reference: Setup, key: str, what: str) -> Iterator[str]:
    """One setting that is not the baseline's, in optimizers of any kind."""
    expected = _core(reference).get(key)
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for one in setups:
        told_already = _INNER in one.specification and _kind(one) == _kind(reference)
        was_tuned = key in one.tuned and key in reference.tuned
        value = _core(one).get(key, expected)
        if value != expected and value is not None and not told_already and not was_tuned:
            groups[value].append(one.label)
    if groups and expected is not None:
        yield f"{what} is not the same: {_by_value(expected, reference, groups)}."


def _unequal_budgets(setups: Sequence[Setup], reference: Setup) -> Iterator[str]:
    """The gradients of how many photos a run costs: of larger batches fewer are computed."""
    expected = reference.photo_gradients
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for one in sorted(setups, key=lambda setup: setup.photo_gradients or 0):
        cost = one.photo_gradients
        if cost and expected and abs(cost - expected) > _SAME_COST * expected:
            groups[f"{cost:,.0f}"].append(one.label)
    if groups:
        yield (
            "Unequal budgets: a run computes the gradients of "
            f"{_by_value(f'{expected:,.0f} photos', reference, groups)}. "
            "`optrun compare --by gradient-evaluations` sets them side by side at equal cost."
        )


def _by_value(expected: str, reference: Setup, groups: Mapping[str, Sequence[str]]) -> str:
    parts = [f"{value} in {some(labels)}" for value, labels in groups.items()]
    more = len(parts) - _MOST_VALUES
    shown = [*parts[:_MOST_VALUES], *([f"and {more} other values"] if more > 0 else [])]
    return f"{expected} in {reference.label}; {'; '.join(shown)}"


def _not_neutral(setups: Sequence[Setup]) -> Iterator[str]:
    """Wrappers that should change nothing, beside what they go around, and change something."""
    by_rule: defaultdict[str, list[Setup]] = defaultdict(list)
    wrappers = [(one, inner) for one in setups if (inner := _neutral_around(one)) is not None]
    for one in setups if wrappers else ():
        by_rule[_canonical(one.specification)].append(one)
    for one, inner in wrappers:
        for core in by_rule[_canonical(inner)]:
            unlike = [
                (loss, core.losses[beginning])
                for beginning, loss in one.losses.items()
                if core.losses.get(beginning, loss) != loss
            ]
            if unlike:
                loss, of_core = unlike[0]
                yield (
                    f"{one.label} is set to change nothing, and its runs are not those of "
                    f"{core.label} to the last bit: a loss of {loss!r} where that has {of_core!r}. "
                    "One of the two does not compute what it says."
                )


def _neutral_around(setup: Setup) -> Settings | None:
    """What a wrapper goes around that is set to change nothing; None for every other optimizer.

    Lookahead is measured on the weights of its last sync, so that an epoch must end with one.
    """
    rule = setup.specification
    inner, period = rule.get(_INNER), rule.get("sync_period")
    if not isinstance(inner, Mapping):
        return None
    if rule.get("name") == "soft_batch":
        return inner if rule.get("batches_per_update") == 1 else None
    is_synced = isinstance(period, int) and (
        period == 1 or (period > 1 and (setup.steps_per_epoch or 1) % period == 0)
    )
    is_whole = rule.get("slow_step_size") == 1 and rule.get("inner_state") != "reset"
    return inner if rule.get("name") == "lookahead" and is_synced and is_whole else None


def _canonical(specification: Settings) -> str:
    return json.dumps(specification, sort_keys=True, default=str)


def _chosen(setups: Sequence[Setup]) -> Iterator[str]:
    """What each setting was chosen of, where it was chosen."""
    for one in setups:
        for key, value in one.chosen.items() if one.tried else ():
            tried = f"{one.label}: {key} {value} chosen of {number_of(len(one.tried), 'setting')}"
            found = {typed_number(each.get(key)) for each in one.tried}
            numbers = sorted(number for number in found if number is not None)
            if len(numbers) < 2 or (number := typed_number(value)) is None:
                yield f"{tried} tried."
                continue
            is_edge = number in (numbers[0], numbers[-1])
            edge = ", at the edge of the range: extend it" if is_edge else ""
            yield f"{tried} tried, from {numbers[0]:g} to {numbers[-1]:g}{edge}."


def _tuning(setups: Sequence[Setup]) -> Iterator[str]:
    """Who had less tuning than others, or less that can be relied on."""
    tuned = [one for one in setups if one.tried]
    if untuned := [one.label for one in setups if tuned and not one.tried]:
        yield f"Untuned, beside others that are: {some(untuned)}."
    if len({len(one.tried) for one in tuned}) > 1:
        counts = [f"{one.label} {len(one.tried)}" for one in tuned]
        yield f"Unequal numbers of settings were tried: {some(counts)}."
    if lucky := [one.label for one in setups if one.chosen and one.tuning_seeds == 1]:
        yield (
            f"Chosen by a single seed, so that luck may have chosen: {some(lucky)} "
            "(`--tune-seeds`)."
        )
    yield from _at_default(setups, tuned)


def _at_default(setups: Sequence[Setup], tried: Sequence[Setup]) -> Iterator[str]:
    """Settings that nobody chose, beside others of which somebody did."""
    for key in dict.fromkeys(key for one in tried for key in one.tuned):
        example = next(one for one in tried if key in one.tuned)
        left = [
            f"{one.label} ({_told(_value(one, key))})"
            for one in setups
            if key not in one.tuned and _is_default(one, key)
        ]
        if left:
            yield (
                f"At its library's default {key.replace('_', ' ')}: {some(left)}, "
                f"where that of {example.label}, {_told(example.tuned[key])}, was chosen of "
                f"{number_of(len(example.tried), 'setting')}."
            )


def _value(setup: Setup, key: str) -> object:
    """The optimizer's own setting, wherever it lies; of a schedule, the rate that it begins at."""
    value = beside(setup.specification).get(key)
    return value.get("initial_learning_rate") if isinstance(value, Mapping) else value


def _is_default(setup: Setup, key: str) -> bool:
    """Whether a setting is what it would be in the library, if it were not stated."""
    owner = next((one for one in _chain(setup.specification) if key in one), {})
    entry = ENTRIES.get(_name(owner))
    argument = None if entry is None else entry.argument(key)
    if entry is None or argument is None:
        return False
    default = _DEFAULT_RATES.get(entry.name, _DEFAULT_RATE) if key == _RATE else argument.default
    return _value(setup, key) == default


def _told(value: object) -> str:
    """A setting in a sentence.

    >>> [_told(value) for value in (None, True, 0.0001, "maintain")]
    ['none', 'on', '0.0001', 'maintain']
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, int | float) else str(value)[:_LONGEST_VALUE]
