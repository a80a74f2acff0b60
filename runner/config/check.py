"""A configuration tree against the schema: everything that is wrong with it, each in its place."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any

from optrun.data.cache import library
from optrun.data.exceptions import PhotoError
from optrun.optimizers import user_defined
from optrun.optimizers.specification import SpecificationError
from optrun.runner.config.documentation import expected, fields, is_section, words
from optrun.runner.config.problems import Path, Place, dotted, received
from optrun.runner.config.schema import LARGEST, PATH_KEYS, SOURCE, Experiment
from optrun.runner.config.strict_yaml import Node
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.wording import nearest
from pydantic import ValidationError
from pydantic_core import ErrorDetails

_FIELDS = dict(fields())


@dataclass(frozen=True)
class Finding:
    """Something wrong with the value, or for want of a value, at a path."""

    path: Path
    place: Place  # where it is written, or where it would be
    message: str  # what must be, and what was received
    meant: Path | None = None  # of an unknown key, the known one it most likely is

    def text(self, prefix: Path = ()) -> str:
        """The message, beginning with the path as a person writes it."""
        reads_on = self.message.split(maxsplit=1)[0] in ("must", "has", "cannot", "is")
        return f"{dotted((*prefix, *self.path))}{' ' if reads_on else ': '}{self.message}"


def examine(
    root: Node, *, import_own: bool = False, known: Mapping[str, object] = MappingProxyType({})
) -> tuple[Experiment | None, list[Finding]]:
    """Checks a whole tree, without `extends`: the experiment, or None, and all findings.

    Args:
        import_own: Whether to import a person's own optimizer, which runs the person's code.
        known: Sections that an experiment has, checked, of the very same statements.
    """
    plain: Any = root.plain()
    findings: list[Finding] = []
    # A person's own optimizer imports TensorFlow.
    imports = import_own and user_defined.names_in(plain.get("optimizer"))
    try:
        with native_stderr_captured() if imports else nullcontext():
            experiment = Experiment.model_validate(
                plain | known, context={"import_own": import_own}
            )
    except ValidationError as error:
        experiment = None
        for detail in error.errors(include_url=False):
            findings += _findings(detail, root, findings)
        # A required key that is there under a wrong name is not missing too.
        meant = {finding.meant for finding in findings}
        findings = [one for one in findings if one.path not in meant or root.at(one.path)]
    findings += _mistaken_words(root, findings)
    return (None if findings else experiment), findings


def _findings(detail: ErrorDetails, root: Node, known: Sequence[Finding]) -> Iterator[Finding]:
    location = tuple(str(part) for part in detail["loc"])
    if detail["type"] == "broken_rule":
        about = (*location[:-1], detail["ctx"]["key"])
        place = (root.at(about) or root.nearest(location)).place
        yield Finding(about, place, detail["msg"])
        return
    if detail["type"] == "extra_forbidden":
        yield _unknown_key(location, root.nearest(location).key_place)
        return
    # A union or a list adds parts of its own to the location.
    path = next(location[:end] for end in range(len(location), 0, -1) if location[:end] in _FIELDS)
    if any(finding.path == path for finding in known):
        return
    field = _FIELDS[path]
    node = root.at(path)
    if node is None:
        message = f"must be stated: {expected(field)}"
        if path == ("optimizer",):
            message += "; a file that others extend is checked through them"
        yield Finding(path, root.nearest(path).key_place, message)
    elif path == ("optimizer",):
        yield from _optimizer_findings(root, detail["ctx"]["error"])
    else:
        yield Finding(path, node.place, _wrong_value(path, node.plain()))


def _optimizer_findings(root: Node, error: SpecificationError) -> Iterator[Finding]:
    for problem in error.problems:
        path = ("optimizer", *problem.path)
        found = root.at(path)
        about_the_value = problem.message.startswith("must") or path[-1] == "name"
        place = found.place if found and about_the_value else root.nearest(path).key_place
        yield Finding(path, place, problem.message)


def _wrong_value(path: Path, value: object) -> str:
    field = _FIELDS[path]
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"must be {expected(field)}, below 2^31, received {received(value)}"
    message = f"must be {expected(field)}, received {received(value)}"
    if isinstance(value, str) and (near := nearest(value, words(field))):
        return f"{message}; did you mean {near}?"
    if field.annotation is str and value is not None and not isinstance(value, str | dict | list):
        return f"{message}; put it in quotes"
    if is_section(field) and value is None:
        return f"{message}; leave the key out for its defaults"
    return message


def _unknown_key(path: Path, place: Place) -> Finding:
    *parents, key = path
    siblings = {known[-1]: known for known in _FIELDS if known[:-1] == tuple(parents)}
    if not parents:
        siblings["extends"] = ("extends",)
    anywhere = {known[-1]: known for known in _FIELDS}
    anywhere |= dict.fromkeys(("lr", "learning_rate"), ("optimizer", "learning_rate"))
    for known in (siblings, anywhere):
        if near := nearest(key, known):
            message = f"is not a known key; did you mean {dotted(known[near])}?"
            return Finding(path, place, message, known[near])
    where = f"{dotted(tuple(parents))} takes" if parents else "a configuration takes"
    return Finding(path, place, f"is not a known key; {where} {', '.join(siblings)}")


def _mistaken_words(root: Node, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Words that would be taken for paths: `model.weights: imagnet`."""
    wrong = {finding.path for finding in findings}
    for path, known in PATH_KEYS.items():
        node = root.at(path)
        if node is None or path in wrong or not isinstance(node.value, str) or node.value in known:
            continue
        written = FilePath(node.value)
        # It was made absolute since.
        folder = FilePath(node.place.source).parent if node.place.line else FilePath()
        if path == SOURCE and written.parent in (folder.absolute(), FilePath()):
            names: tuple[str, ...] = ()
            with suppress(PhotoError):  # a cache that can't be read has no names to suggest
                names = library.names()
            if written.name in names:  # the name itself, or a path that says `./`
                continue
            known = (*known, *names)
        near = nearest(written.name, known)
        if near and not written.suffix and not os.path.lexists(written):
            message = f"must be {expected(_FIELDS[path])}, received {received(written.name)}"
            yield Finding(path, node.place, f"{message}; did you mean {near}?")
