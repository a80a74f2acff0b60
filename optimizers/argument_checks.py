"""What is wrong with the mapping that is to specify an optimizer: every problem at once, in words.

Imports no Keras, unless it is asked to import a person's own optimizer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from optrun.optimizers import user_defined
from optrun.optimizers.entry import CLIPPING, MEANINGS, Arguments, Entry, did_you_mean
from optrun.optimizers.registry import ENTRIES, NOT_OFFERED, SCHEDULES

Path = tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    path: Path  # keys to it, e.g. ("inner_optimizer", "momentum"); the last may be what is missing
    message: str  # what must be and what was received, without the path


def problems(stated: object, *, import_user_code: bool = False) -> list[Problem]:
    """Everything that is wrong with a specification; `import_user_code` as for `parse`.

    Example:
        >>> for problem in problems(
        ...     {"name": "lookahead", "k": 5, "inner_optimizer": {"name": "sdg"}}
        ... ):
        ...     print(".".join(problem.path), "|", problem.message)
        k | Lookahead calls this `sync_period`
        inner_optimizer.name | there is no optimizer 'sdg'; did you mean 'sgd'? ...
    """
    reader = _Reader(import_user_code)
    reader.read(stated, ())
    return reader.problems


class _Reader:
    """Goes through a mapping once, from the outside in, and gathers its problems."""

    def __init__(self, import_user_code: bool) -> None:
        self.problems: list[Problem] = []
        self._import_user_code = import_user_code

    def read(self, stated: object, path: Path) -> Entry | None:
        """The entry of the optimizer that is named, if one is, with the gradients of its step."""
        if not isinstance(stated, Mapping):
            wanted = "a mapping that names an optimizer, e.g. {name: sgd, learning_rate: 0.01}"
            self._add(path, f"must be {wanted}; received {shown(stated)}")
            return None
        problem = _wrong_name(stated)
        if problem is not None:
            self._add((*path, "name"), problem)
            return None
        entry = self._entry(stated, path)
        given = {key: value for key, value in stated.items() if key != "name"}
        inner = self._arguments(given, entry, entry.class_name, path)
        if inner is not None:
            several = entry.several_gradients_refused if inner.evaluations > 1 else ""
            reason = entry.refused_inside.get(inner.name, several)
            if reason:
                self._add((*path, "inner_optimizer"), f"cannot be {inner.name}: {reason}")
            entry = replace(entry, evaluations=max(entry.evaluations, inner.evaluations))
        self._combined(given, entry, inner, path)
        return entry

    def _add(self, path: Path, message: str) -> None:
        self.problems.append(Problem(path, message))

    def _entry(self, stated: Arguments, path: Path) -> Entry:
        name = str(stated["name"])
        if name in ENTRIES:
            return ENTRIES[name]
        if self._import_user_code:
            try:
                return user_defined.entry_of(user_defined.load(name))
            except user_defined.UserOptimizerError as error:
                self._add((*path, *error.path), str(error))
        return user_defined.entry_as_stated(name, stated)

    def _arguments(self, given: Arguments, entry: Entry, owner: str, path: Path) -> Entry | None:
        """Those of an optimizer or a schedule; what `read` returns of the inner optimizer."""
        inner = None
        known = [argument.name for argument in entry.arguments]
        for key in map(str, given):
            if key not in known:
                self._add((*path, key), _unknown_argument(key, entry, owner, known))
        meant = {entry.aliases.get(str(key)) for key in given}
        for argument in entry.arguments:
            here = (*path, argument.name)
            value = given.get(argument.name)
            if argument.name not in given:
                if argument.required and argument.name not in meant:
                    self._add(here, f"must be stated for {owner}: {argument.description}")
            elif argument.kind == "optimizer" and not (value is None and argument.optional):
                inner = self.read(value, here)
            elif argument.kind == "learning_rate" and isinstance(value, Mapping):
                self._schedule(value, here)
            elif not argument.fits(value):
                self._add(here, f"must be {argument.wanted}; received {shown(value)}")
        return inner

    def _schedule(self, stated: Arguments, path: Path) -> None:
        name = stated.get("schedule")
        if not isinstance(name, str) or name not in SCHEDULES:
            received = shown(name) if "schedule" in stated else "nothing"
            received += did_you_mean(name, SCHEDULES) if isinstance(name, str) else ""
            known = ", ".join(SCHEDULES)
            self._add((*path, "schedule"), f"must be one of {known}; received {received}")
            return
        given = {key: value for key, value in stated.items() if key != "schedule"}
        self._arguments(given, SCHEDULES[name], f"the schedule '{name}'", path)

    def _combined(self, given: Arguments, entry: Entry, inner: Entry | None, path: Path) -> None:
        values = {one.name: given.get(one.name, one.default) for one in entry.arguments}
        clips = [
            one.name for one in CLIPPING if one.name in given and values.get(one.name) is not None
        ]
        if len(clips) > 1:
            message = f"only one kind of clipping can be stated; received {' and '.join(clips)}"
            self._add((*path, clips[-1]), message)
        right = {
            one.name: values[one.name] for one in entry.arguments if one.fits(values[one.name])
        }
        if entry.combination_problems is not None:
            for name, message in entry.combination_problems(right, inner):
                self._add((*path, name), message)


def shown(value: object) -> str:
    """A received value as a message shows it: what it is, and its type in everyday words."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, Sequence) else f"a {type(value).__name__}"


def _wrong_name(stated: Mapping[object, object]) -> str | None:
    """What is wrong with the `name` of a specification, or None."""
    known = ", ".join(sorted(ENTRIES))
    if "name" not in stated:
        return f"must be stated: one of {known}"
    name = stated["name"]
    if not isinstance(name, str):
        return f"must be the name of an optimizer; received {shown(name)}. Known: {known}"
    if name in ENTRIES:
        return None
    if user_defined.is_user_defined(name):
        return user_defined.wrong_form(name)
    if name.endswith(".py") or "." in name.strip("."):
        return f"must name the class too, as in {user_defined.FORM}; received {shown(name)}"
    key = name.lower().replace("_", "").replace("-", "")
    if key in NOT_OFFERED:
        return f"'{name}' is not offered: {NOT_OFFERED[key]}"
    spelt = {one.replace("_", ""): one for one in ENTRIES}
    hint = f"; did you mean '{spelt[key]}'?" if key in spelt else did_you_mean(name, ENTRIES)
    return f"there is no optimizer '{name}'{hint or '.'} Known: {known}"


def _unknown_argument(key: str, entry: Entry, owner: str, known: Sequence[str]) -> str:
    if key in entry.withheld:
        return f"{owner} does not take it here: {entry.withheld[key]}"
    if entry.aliases.get(key) in known:
        return f"{owner} calls this `{entry.aliases[key]}`"
    if meanings := [how for one, how in MEANINGS.get(key, {}).items() if one in known]:
        return f"{owner} takes no '{key}', which elsewhere is {'; or '.join(meanings)}"
    hint = did_you_mean(key, known) or "."
    return f"{owner} takes no '{key}'{hint} It takes: {', '.join(known)}"
