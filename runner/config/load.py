"""A configuration file, what it extends, and `--set`, to one experiment."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optrun.runner.config.check import Finding, examine
from optrun.runner.config.layers import lay, node_from, on_sample, read_files, read_overrides
from optrun.runner.config.problems import ConfigurationError, Path, Place, Problem, received
from optrun.runner.config.schema import (
    NOT_ON_SAMPLE,
    SAMPLE_SECTIONS,
    SOURCE,
    Experiment,
    as_mapping,
    as_yaml,
)
from optrun.runner.config.strict_yaml import MAX_BYTES, MAX_DEPTH, MAX_VALUES, Node, parse
from optrun.runner.ui.wording import nearest, one_of

_SAMPLE = ("sample",)
_NOTHING = node_from("", {})


@dataclass(frozen=True)
class Loaded:
    """A configuration, read and complete.

    Attributes:
        origins: For each value of `resolved`, where it comes from: `configs/vgg19.yaml:12`,
            `--set`, `--sample`, `file name` or `default`.
    """

    experiment: Experiment
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
    directory.

    Args:
        sample: Whether the run is on the built-in sample, as it also is where `data.source` says.
        import_own: Whether to import a person's own optimizer and check its arguments, which runs
            the person's code. Commands that read leave it alone.

    Raises:
        ConfigurationError: With everything that is wrong, in the order of the files.
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
        experiment, findings = examine(tree, import_own=import_own)
    else:
        tree = whole.put(_SAMPLE, section)
        experiment, findings = examine(tree, import_own=import_own)
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
) -> tuple[list[Finding], bool]:
    """What is wrong with the `sample` section, told now and not on the day it is used.

    And whether it makes sense in this experiment. Where an override leaves no sense in it, that is
    no fault; but then it is no part of the experiment, or that could not be read again.
    """

    def plain(root: Node, key: str) -> object:
        node = root.at((key,))
        # As text, which tells 1 from 1.0 and true.
        return node and repr(node.plain())

    def faults(files: Node) -> list[Finding]:
        tree = on_sample(files, section, _NOTHING)
        same = [key for key in SAMPLE_SECTIONS if plain(tree, key) == plain(whole, key)]
        known = {key: getattr(experiment, key) for key in same} if experiment else {}
        return examine(tree, known=known)[1]

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
