"""A configuration file, what it extends, and `--set`, to one experiment, or all that is wrong."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any

from optrun.data.exceptions import PhotoError
from optrun.data.sources import library
from optrun.optimizers import user_defined
from optrun.optimizers.specification import SpecificationError
from optrun.runner.config.documentation import expected, fields, is_section, words
from optrun.runner.config.layers import lay, node_from, on_sample, read_files, read_overrides
from optrun.runner.config.problems import (
    ConfigurationError,
    Path,
    Place,
    Problem,
    dotted,
    received,
)
from optrun.runner.config.schema import (
    LARGEST,
    NOT_ON_SAMPLE,
    PATH_KEYS,
    SAMPLE_SECTIONS,
    SOURCE,
    Experiment,
    as_mapping,
    as_yaml,
)
from optrun.runner.config.strict_yaml import MAX_BYTES, MAX_DEPTH, MAX_VALUES, Node, parse
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.wording import nearest, one_of
from pydantic import ValidationError
from pydantic_core import ErrorDetails

_FIELDS = dict(fields())
_SAMPLE = ("sample",)
_NOTHING = node_from("", {})


@dataclass(frozen=True)
class _Finding:
    """Something wrong with the value, or for want of a value, at a path."""

    path: Path
    place: Place  # where it is written, or where it would be
    message: str  # what must be, and what was received
    meant: Path | None = None  # of an unknown key, the known one it most likely is

    def text(self, prefix: Path = ()) -> str:
        """The message, beginning with the path as a person writes it."""
        reads_on = self.message.split(maxsplit=1)[0] in ("must", "has", "cannot", "is")
        return f"{dotted((*prefix, *self.path))}{' ' if reads_on else ': '}{self.message}"


@dataclass(frozen=True)
class Loaded:
    """A configuration, read and complete."""

    experiment: Experiment
    # For each value of `resolved`: `configs/vgg19.yaml:12`, `--set`, `--sample`, `file name` or
    # `default`.
    origins: Mapping[Path, str]
    resolved: Mapping[str, Any]  # the experiment as plain YAML types


def load(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    sample: bool = False,
    import_own: bool = False,
) -> Loaded:
    """Reads an experiment: a YAML file, with `KEY=VALUE` as after `--set`, of which a later wins.

    Relative paths in a file are taken from that file's folder, those in overrides from the working
    directory. A run is on the built-in sample with `sample`, and where `data.source` says so. Only
    `import_own` imports a person's own optimizer, which runs their code, and checks its arguments.
    ConfigurationError has everything that is wrong, in the order of the files.
    """
    label = os.fspath(path)
    files, names, problems = read_files(label)
    stated, found = read_overrides(overrides)
    problems += found
    whole = lay(files, stated)
    if whole.size() > MAX_VALUES or whole.depth() > MAX_DEPTH:
        raise _too_large(label)
    section, found = _checked_section(whole.at(_SAMPLE) or _NOTHING)
    problems += found
    source = whole.at(SOURCE)
    if sample or (source is not None and source.value == "sample"):
        named = stated.at(SOURCE)
        if sample and named and named.value not in ("sample", "cats_vs_dogs"):
            what = "names photos, and --sample asks for the built-in sample; leave out one"
            problems.append(Problem(named.place, f"data.source {what}"))
        tree = on_sample(files, section, stated)
        experiment, findings = _examine(tree, import_own=import_own)
    else:
        tree = whole.put(_SAMPLE, section)
        experiment, findings = _examine(tree, import_own=import_own)
        if section.value:
            faults, makes_sense = _faults_of_section(files, section, stated, whole, experiment)
            told = {(finding.path, finding.message) for finding in findings}
            findings += [one for one in faults if (one.path, one.message) not in told]
            if experiment is not None and not makes_sense:
                experiment = experiment.model_copy(update={"sample": {}})
    refused = {problem.place for problem in problems}
    in_section = _places(section)
    for finding in findings:
        # Where a value was refused already, a finding would only repeat it.
        if finding.place not in refused or not finding.place.line:
            prefix = _SAMPLE if finding.place in in_section else ()
            problems.append(Problem(finding.place, finding.text(prefix)))
    if problems or experiment is None:
        order = {name: position for position, name in enumerate(names)}
        last = len(names)
        problems.sort(
            key=lambda one: (order.get(one.place.source, last), one.place.line, one.place.column)
        )
        raise ConfigurationError(problems)
    large = whole.size() > MAX_VALUES // 2 or len(str(whole.plain())) > MAX_BYTES // 10
    if large and not _can_be_read_again(experiment):
        raise _too_large(label)
    resolved = as_mapping(experiment)
    return Loaded(experiment, dict(_origins(resolved, tree)), resolved)


def _can_be_read_again(experiment: Experiment) -> bool:
    """Whether what fits the limits as a person wrote it does so written out in full, too."""
    text = as_yaml(experiment)
    try:
        parse(text, "")
    except ConfigurationError:
        return False
    return len(text.encode()) <= MAX_BYTES


def _too_large(label: str) -> ConfigurationError:
    message = (
        "must be, with the files it extends, `--set` and all defaults, at most "
        f"{MAX_VALUES:,} values in {MAX_BYTES:,} bytes, nested {MAX_DEPTH} levels deep"
    )
    return ConfigurationError([Problem(Place(label), message)])


def _faults_of_section(
    files: Node, section: Node, stated: Node, whole: Node, experiment: Experiment | None
) -> tuple[list[_Finding], bool]:
    """What is wrong with the `sample` section, told now and not on the day it is used.

    And whether it makes sense in this experiment. Where an override leaves no sense in it, that is
    no fault; but then it is no part of the experiment, or that could not be read again.
    """

    def plain(root: Node, key: str) -> object:
        node = root.at((key,))
        # As text, which tells 1 from 1.0 and true.
        return node and repr(node.plain())

    def faults(files: Node) -> list[_Finding]:
        tree = on_sample(files, section, _NOTHING)
        same = [key for key in SAMPLE_SECTIONS if plain(tree, key) == plain(whole, key)]
        known = {key: getattr(experiment, key) for key in same} if experiment else {}
        return _examine(tree, known=known)[1]

    found = faults(whole)
    makes_sense = not found
    if found and stated.value:
        found = faults(files)
    places = _places(section)
    return [finding for finding in found if finding.place in places], makes_sense


def _checked_section(section: Node) -> tuple[Node, list[Problem]]:
    """The `sample` section without what may not stand in it, and why not."""
    if not isinstance(section.value, dict):
        message = f"sample must be a mapping of keys, received {received(section.plain())}"
        return _NOTHING, [Problem(section.place, message)]
    problems = []
    kept = section
    for key, child in section.value.items():
        if key not in SAMPLE_SECTIONS:
            near = nearest(key, SAMPLE_SECTIONS)
            hint = f"did you mean sample.{near}?" if near else f"it takes {one_of(SAMPLE_SECTIONS)}"
            problems.append(Problem(child.key_place, f"sample.{key} is no key here; {hint}"))
        elif not isinstance(child.value, dict):
            message = f"must be a mapping of keys, received {received(child.plain())}"
            problems.append(Problem(child.place, f"sample.{key} {message}"))
        else:
            continue
        kept = kept.without((key,))
    for key in NOT_ON_SAMPLE:
        if node := kept.at(("data", key)):
            message = f"sample.data.{key} is no key here: the photos are those of the sample"
            problems.append(Problem(node.key_place, message))
            kept = kept.without(("data", key))
    return kept, problems


def _places(root: Node) -> set[Place]:
    here = {place for place in (root.place, root.key_place) if place.line}
    return here.union(*(_places(child) for child in root.children()))


def _origins(
    resolved: Mapping[str, Any], tree: Node, path: Path = ()
) -> Iterator[tuple[Path, str]]:
    for key, value in resolved.items():
        here = (*path, key)
        if isinstance(value, dict) and value:
            yield from _origins(value, tree, here)
        else:
            node = tree.at(here)
            yield here, "default" if node is None else node.key_place.origin


def _examine(
    root: Node, *, import_own: bool = False, known: Mapping[str, object] = MappingProxyType({})
) -> tuple[Experiment | None, list[_Finding]]:
    """Checks a whole tree, without `extends`: the experiment, or None, and all findings.

    `known` are sections that an experiment has, checked, of the very same statements.
    """
    plain: Any = root.plain()
    findings: list[_Finding] = []
    # A person's own optimizer imports TensorFlow.
    imports = import_own and user_defined.names_in(plain.get("optimizer"))
    experiment = None
    with native_stderr_captured() if imports else nullcontext():
        try:
            experiment = Experiment.model_validate(
                plain | known, context={"import_own": import_own}
            )
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                findings += _findings(detail, root, findings)
    if experiment is None:
        # A required key that is there under a wrong name is not missing too.
        meant = {finding.meant for finding in findings}
        findings = [one for one in findings if one.path not in meant or root.at(one.path)]
    findings += _mistaken_words(root, findings)
    return (None if findings else experiment), findings


def _findings(detail: ErrorDetails, root: Node, known: Sequence[_Finding]) -> Iterator[_Finding]:
    location = tuple(str(part) for part in detail["loc"])
    if detail["type"] == "broken_rule":
        about = (*location[:-1], detail["ctx"]["key"])
        place = (root.at(about) or root.nearest(location)).place
        yield _Finding(about, place, detail["msg"])
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
        yield _Finding(path, root.nearest(path).key_place, message)
    elif path == ("optimizer",):
        yield from _optimizer_findings(root, detail["ctx"]["error"])
    else:
        yield _Finding(path, node.place, _wrong_value(path, node.plain()))


def _optimizer_findings(root: Node, error: SpecificationError) -> Iterator[_Finding]:
    for problem in error.problems:
        path = ("optimizer", *problem.path)
        found = root.at(path)
        about_the_value = problem.message.startswith("must") or path[-1] == "name"
        place = found.place if found and about_the_value else root.nearest(path).key_place
        yield _Finding(path, place, problem.message + _several(path[-1], found and found.plain()))


def _several(key: str, value: object) -> str:
    """What to do where a list of numbers stands for values to be tried."""
    if not isinstance(value, list) or len(value) < 2:
        return ""
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in value):
        return ""
    return f"; to try several, optrun train takes --grid {key}={','.join(map(str, value))}"


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
    return message + _several(dotted(path), value)


def _unknown_key(path: Path, place: Place) -> _Finding:
    *parents, key = path
    siblings = {known[-1]: known for known in _FIELDS if known[:-1] == tuple(parents)}
    if not parents:
        siblings["extends"] = ("extends",)
    anywhere = {known[-1]: known for known in _FIELDS}
    anywhere |= dict.fromkeys(("lr", "learning_rate"), ("optimizer", "learning_rate"))
    for known in (siblings, anywhere):
        if near := nearest(key, known):
            message = f"is not a known key; did you mean {dotted(known[near])}?"
            return _Finding(path, place, message, known[near])
    where = f"{dotted(tuple(parents))} takes" if parents else "a configuration takes"
    return _Finding(path, place, f"is not a known key; {where} {', '.join(siblings)}")


def _mistaken_words(root: Node, findings: Sequence[_Finding]) -> Iterator[_Finding]:
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
            yield _Finding(path, node.place, f"{message}; did you mean {near}?")
