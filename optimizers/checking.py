"""What is wrong with a specification: every problem at once, in words.

Imports no Keras, unless it is asked to import a person's own optimizer.
"""

import contextlib
import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from optrun.optimizers.entry import Argument
from optrun.optimizers.lookup import entry_for, is_known
from optrun.optimizers.nesting import reason_against, reason_against_pullback
from optrun.optimizers.own import FORM, OwnOptimizerError, is_own, wrong_form
from optrun.optimizers.radam_entries import reason_never_adapted
from optrun.optimizers.registry import ENTRIES, NOT_OFFERED, Entry
from optrun.optimizers.schedule_entries import SCHEDULES

Path = tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a specification.

    Attributes:
        path: keys that lead to it, e.g. `("inner_optimizer", "momentum")`; the last of them is
            absent from the specification where the problem is that it is missing.
        message: what must be and what was received, without the path.
    """

    path: Path
    message: str


def problems(specification: object, *, import_own: bool = False) -> list[Problem]:
    """Everything that is wrong with a specification, none left for a second try.

    Args:
        specification: the mapping.
        import_own: whether to import a person's own optimizer, which runs the person's code.
            Otherwise nothing but the form is checked of one: a learning rate, a schedule, an inner
            optimizer.

    Example:
        >>> for problem in problems(
        ...     {"name": "lookahead", "k": 5, "inner_optimizer": {"name": "sdg"}}
        ... ):
        ...     print(".".join(problem.path), "|", problem.message)
        k | Lookahead calls this `sync_period`
        inner_optimizer.name | there is no optimizer 'sdg'; did you mean 'sgd'? ...
    """
    return list(_optimizer_problems(specification, (), import_own))


def shown(value: object) -> str:
    """A received value as a message shows it: what it is, and its type in everyday words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    return f"a {type(value).__name__}"


def nearest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the known name most like it, or nothing."""
    by_lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean '{by_lower[close[0]]}'?" if close else ""


def _optimizer_problems(specification: object, path: Path, import_own: bool) -> Iterator[Problem]:
    if not isinstance(specification, Mapping):
        yield Problem(
            path,
            "must be a mapping that names an optimizer, e.g. {name: sgd, learning_rate: 0.01}; "
            f"received {shown(specification)}",
        )
        return
    if "name" not in specification:
        yield Problem((*path, "name"), f"must be stated: one of {_known_names()}")
        return
    name = specification["name"]
    if not is_known(name):
        yield Problem((*path, "name"), _unknown_optimizer(name))
        return
    message = wrong_form(name) if is_own(name) else None
    if message is not None:
        yield Problem((*path, "name"), message)
        return
    try:
        entry = entry_for(specification, import_own=import_own)
    except OwnOptimizerError as error:
        yield Problem((*path, *error.path), str(error))
        import_own = False
        entry = entry_for(specification)
    given = {key: value for key, value in specification.items() if key != "name"}
    yield from _unknown_arguments(given, entry, path)
    meant = {entry.aliases.get(str(key)) for key in given}
    stated = [one for one in entry.arguments if one.name in given or one.name not in meant]
    yield from _argument_problems(given, stated, entry.class_name, path, import_own)
    yield from _combination_problems(given, entry, path, import_own)


def _known_names() -> str:
    return ", ".join(sorted(ENTRIES))


def _unknown_optimizer(name: object) -> str:
    if not isinstance(name, str):
        return f"must be the name of an optimizer; received {shown(name)}. Known: {_known_names()}"
    if name.endswith(".py") or "." in name.strip("."):
        return f"must name the class too, as in {FORM}; received the text {name[:60]!r}"
    key = name.lower().replace("_", "").replace("-", "")
    if key in NOT_OFFERED:
        return f"'{name}' is not offered: {NOT_OFFERED[key]}"
    spelt = {one.replace("_", ""): one for one in ENTRIES}
    hint = f"; did you mean '{spelt[key]}'?" if key in spelt else nearest(name, ENTRIES)
    return f"there is no optimizer '{name}'{hint or '.'} Known: {_known_names()}"


def _unknown_arguments(
    given: Mapping[object, object], entry: Entry, path: Path
) -> Iterator[Problem]:
    known = [argument.name for argument in entry.arguments]
    for key in given:
        text = str(key)
        if key in known:
            continue
        if text in entry.withheld:
            message = f"{entry.class_name} does not take it here: {entry.withheld[text]}"
        elif text in entry.aliases:
            message = f"{entry.class_name} calls this `{entry.aliases[text]}`"
        else:
            hint = nearest(text, known) or "."
            message = f"{entry.class_name} takes no '{text}'{hint} It takes: {', '.join(known)}"
        yield Problem((*path, text), message)


def _argument_problems(
    given: Mapping[object, object],
    arguments: Iterable[Argument],
    owner: str,
    path: Path,
    import_own: bool = False,
) -> Iterator[Problem]:
    for argument in arguments:
        here = (*path, argument.name)
        if argument.name in given:
            yield from _value_problems(given[argument.name], argument, here, import_own)
        elif argument.required:
            yield Problem(here, f"must be stated for {owner}: {argument.description}")


def _value_problems(
    value: object, argument: Argument, path: Path, import_own: bool
) -> Iterator[Problem]:
    if value is None and argument.optional:
        return
    if argument.kind == "optimizer":
        yield from _optimizer_problems(value, path, import_own)
    elif argument.kind == "learning_rate" and isinstance(value, Mapping):
        yield from _schedule_problems(value, path)
    elif not _fits(value, argument):
        yield Problem(path, f"must be {_wanted(argument)}; received {shown(value)}")


def _fits(value: object, argument: Argument) -> bool:
    if argument.kind == "bool":
        return isinstance(value, bool)
    if argument.kind == "choice":
        return isinstance(value, str) and value in argument.choices
    if argument.kind == "text":
        return isinstance(value, str)
    if argument.kind == "any":
        return _is_plain(value)
    if argument.kind == "strings":
        return (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and all(isinstance(one, str) for one in value)
        )
    numbers = (int,) if argument.kind == "int" else (int, float)
    if isinstance(value, bool) or not isinstance(value, numbers) or not math.isfinite(value):
        return False
    low, high = argument.minimum, argument.maximum
    too_low = low is not None and (value < low or (argument.minimum_excluded and value == low))
    too_high = high is not None and (value > high or (argument.maximum_excluded and value == high))
    return not too_low and not too_high


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(one) for one in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (bool, int, str))


def _wanted(argument: Argument) -> str:
    """What a value must be, with its bounds."""
    if argument.kind == "bool":
        wanted = "true or false"
    elif argument.kind == "choice":
        wanted = " or ".join(argument.choices)
    elif argument.kind == "strings":
        wanted = "a list of texts"
    elif argument.kind == "text":
        wanted = "a text"
    elif argument.kind == "any":
        return "finite numbers, texts, true, false or null, or lists and mappings of them"
    else:
        wanted = ("a whole number" if argument.kind == "int" else "a number") + _bounds(argument)
        if argument.kind == "learning_rate":
            wanted += " or a schedule such as {schedule: cosine, initial_learning_rate: 0.01}"
    return wanted + (" or null" if argument.optional else "")


def _bounds(argument: Argument) -> str:
    low, high = argument.minimum, argument.maximum
    parts = []
    if low is not None:
        parts.append(f"greater than {low:g}" if argument.minimum_excluded else f"{low:g} or more")
    if high is not None:
        parts.append(f"less than {high:g}" if argument.maximum_excluded else f"at most {high:g}")
    return " " + " and ".join(parts) if parts else ""


def _schedule_problems(value: Mapping[object, object], path: Path) -> Iterator[Problem]:
    name = value.get("schedule")
    known = ", ".join(SCHEDULES)
    if not isinstance(name, str) or name not in SCHEDULES:
        received = shown(name) if "schedule" in value else "nothing"
        hint = nearest(name, SCHEDULES) if isinstance(name, str) else ""
        yield Problem((*path, "schedule"), f"must be one of {known}; received {received}{hint}")
        return
    entry = SCHEDULES[name]
    takes = [argument.name for argument in entry.arguments]
    for key in value:
        if key != "schedule" and key not in takes:
            hint = nearest(str(key), takes) or "."
            message = f"the schedule '{name}' takes no '{key}'{hint} It takes: {', '.join(takes)}"
            yield Problem((*path, str(key)), message)
    yield from _argument_problems(value, entry.arguments, f"the schedule '{name}'", path)


def _combination_problems(
    given: Mapping[object, object], entry: Entry, path: Path, import_own: bool
) -> Iterator[Problem]:
    clips = [
        name
        for name in ("clipnorm", "clipvalue", "global_clipnorm")
        if given.get(name) is not None and entry.argument(name) is not None
    ]
    if len(clips) > 1:
        yield Problem(
            (*path, clips[-1]),
            f"only one kind of clipping can be stated; received {' and '.join(clips)}",
        )
    if entry.name == "sgd" and given.get("nesterov") is True and not given.get("momentum"):
        yield Problem(
            (*path, "nesterov"), "has no effect without a momentum greater than 0: state `momentum`"
        )
    if entry.name in ("radam", "ranger"):
        yield from _rectification_problems(given, entry, path)
    inner = given.get("inner_optimizer")
    if entry.is_wrapper and isinstance(inner, Mapping):
        inner_name = inner.get("name")
        if isinstance(inner_name, str) and is_known(inner_name):
            reason = reason_against(
                entry.name,
                inner_name,
                inner_evaluations=evaluations_within(inner, import_own=import_own),
            )
            if reason is not None:
                yield Problem((*path, "inner_optimizer"), f"cannot be {inner_name}: {reason}")
    if entry.name == "lookahead" and given.get("inner_state") == "pullback":
        yield from _pullback_problems(inner, path)


def _pullback_problems(inner: object, path: Path) -> Iterator[Problem]:
    if isinstance(inner, Mapping) and (name := str(inner.get("name"))) in ENTRIES:
        reason = reason_against_pullback(ENTRIES[name].class_name, momentum=inner.get("momentum"))
        if reason is not None:
            yield Problem((*path, "inner_state"), f"cannot be pullback: {reason}")


def _rectification_problems(
    given: Mapping[object, object], entry: Entry, path: Path
) -> Iterator[Problem]:
    values = []
    for argument in (entry.argument("beta_2"), entry.argument("threshold")):
        value = argument and given.get(argument.name, argument.default)
        if not argument or not isinstance(value, (int, float)) or not _fits(value, argument):
            return
        values.append(value)
    reason = reason_never_adapted(*values)
    if reason is not None:
        stated = "beta_2" if "beta_2" in given else "threshold"
        yield Problem((*path, stated), f"beta_2 {reason}; received {shown(values[0])}")


def evaluations_within(specification: object, *, import_own: bool = False) -> int:
    """Gradient evaluations in one step of a specification, valid or not; 1 where unknown."""
    if not isinstance(specification, Mapping):
        return 1
    here = 1
    if is_known(specification.get("name")):
        with contextlib.suppress(OwnOptimizerError):
            here = entry_for(specification, import_own=import_own).evaluations
    inner = specification.get("inner_optimizer")
    return max(here, evaluations_within(inner, import_own=import_own))
