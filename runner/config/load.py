"""A configuration file, what it extends, and `--set`, to one experiment.

Later wins: the base file, the file, the `sample:` section (when the run is on the sample), `--set`.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path as FilePath
from typing import Any

from optrun.runner.config.check import Finding, examine
from optrun.runner.config.files import read_chain, with_absolute_paths
from optrun.runner.config.identity import experiment_hash
from optrun.runner.config.merge import lay, merge, node_at, removed, with_value
from optrun.runner.config.overrides import overlay
from optrun.runner.config.problems import (
    ConfigurationError,
    Path,
    Place,
    Problem,
    nearest,
    one_of,
    received,
)
from optrun.runner.config.schema import SAMPLE_SECTIONS, SOURCE, Experiment, as_mapping
from optrun.runner.config.strict_yaml import MAX_BYTES, MAX_DEPTH, MAX_VALUES, Node, parse
from optrun.runner.config.write_yaml import dump

__all__ = ["Loaded", "as_yaml", "experiment_hash", "load"]

DEFAULT = "default"


@dataclass(frozen=True)
class Loaded:
    """A configuration, read and complete.

    Attributes:
        experiment: What to do.
        origins: For each value of `resolved`, where it comes from: `configs/vgg19.yaml:12`,
            `--set`, `--sample`, `file name` or `default`.
        resolved: The experiment as plain YAML types.
    """

    experiment: Experiment
    origins: Mapping[Path, str]
    resolved: Mapping[str, Any]


def load(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    sample: bool = False,
    import_own: bool = False,
) -> Loaded:
    """Reads an experiment.

    Relative paths in a file are taken from that file's folder, those in overrides from the working
    directory.

    Args:
        path: The YAML file.
        overrides: `KEY=VALUE`, as after `--set`; a later one wins.
        sample: Whether the run is on the built-in sample; so it is, too, where `data.source` says
            so.
        import_own: Whether to import a person's own optimizer and check its arguments, which runs
            the person's code. Commands that read leave it alone.

    Raises:
        ConfigurationError: With everything that is wrong, in the order of the files.
    """
    label = os.fspath(path)
    chain, problems = read_chain(label)
    stated, found = overlay(overrides)
    problems += found
    stated = with_absolute_paths(stated, FilePath.cwd())
    files = reduce(lay, reversed(chain))
    if node_at(files, ("name",)) is None:
        files = with_value(files, ("name",), _node(_name_from(FilePath(label)), "file name"))

    whole = lay(files, stated)
    if whole.size() > MAX_VALUES or whole.depth() > MAX_DEPTH:
        raise _too_large(label)
    section = node_at(whole, ("sample",)) or _nothing()
    section, found = _checked_section(section)
    problems += found
    source = node_at(whole, SOURCE)
    on_sample = sample or (source is not None and source.value == "sample")
    problems += _contradiction(stated) if sample else []
    settled: list[tuple[Node, Experiment | None]] = []
    if on_sample:
        origin = None if source is not None and source.value == "sample" else "--sample"
        tree = _on_sample(files, section, stated, origin)
        experiment, findings = examine(tree, import_own=import_own)
        settled.append((tree, experiment))
    else:
        tree = whole
        experiment, findings = examine(
            with_value(whole, ("sample",), section), import_own=import_own
        )
        # What the section would make of the files is checked now, not on the day it is used.
        drawn = _on_sample(files, section, _nothing(), "--sample")
        settled.append((tree, experiment))
        on_drawn, later = examine(drawn, settled=settled)
        settled.append((drawn, on_drawn))
        told = {(finding.path, finding.message) for finding in findings}
        places = _places(section)
        findings += [
            finding
            for finding in later
            if finding.place in places and (finding.path, finding.message) not in told
        ]
    problems += _as_problems(findings, section, {problem.place for problem in problems})
    if problems or experiment is None:
        raise ConfigurationError(_sorted(problems, chain))
    drawn = _on_sample(whole, section, _nothing(), "--sample")
    if experiment.sample and examine(drawn, settled=settled)[1]:
        # An override can leave no sense in the section. Then it is no part of this experiment, or
        # the experiment could not be read again.
        experiment = experiment.model_copy(update={"sample": {}})
    if whole.size() > MAX_VALUES // 2 or len(str(whole.plain())) > MAX_BYTES // 10:
        _require_readable_again(experiment, label)
    resolved = as_mapping(experiment)
    return Loaded(experiment, dict(_origins(resolved, tree)), resolved)


def as_yaml(experiment: Experiment) -> str:
    """The experiment as a YAML file; loaded, it gives the same experiment."""
    return dump(as_mapping(experiment))


def _require_readable_again(experiment: Experiment, label: str) -> None:
    """Refuses what fits the limits as a person wrote it, but not written out in full."""
    text = as_yaml(experiment)
    try:
        parse(text, label)
    except ConfigurationError:
        raise _too_large(label) from None
    if len(text.encode()) > MAX_BYTES:
        raise _too_large(label)


def _too_large(label: str) -> ConfigurationError:
    message = (
        "must be, with the files it extends, `--set` and all defaults, at most "
        f"{MAX_VALUES:,} values in {MAX_BYTES:,} bytes, nested {MAX_DEPTH} levels deep"
    )
    return ConfigurationError([Problem(Place(label), message)])


def _on_sample(files: Node, section: Node, stated: Node, origin: str | None) -> Node:
    """The tree of a run on the sample: the section counts for the whole, only `--set` for more."""
    tree = merge(merge(removed(files, ("sample",)), section), removed(stated, ("sample",)))
    return tree if origin is None else with_value(tree, SOURCE, _node("sample", origin))


def _checked_section(section: Node) -> tuple[Node, list[Problem]]:
    """The `sample` section without what may not stand in it, and why not."""
    if not isinstance(section.value, dict):
        message = f"sample must be a mapping of keys, received {received(section.plain())}"
        return _nothing(), [Problem(section.place, message)]
    problems = []
    kept = section
    for key, child in section.value.items():
        if key not in SAMPLE_SECTIONS:
            near = nearest(key, SAMPLE_SECTIONS)
            hint = f"did you mean sample.{near}?" if near else f"it takes {one_of(SAMPLE_SECTIONS)}"
            problems.append(Problem(child.key_place, f"sample.{key} is no key here; {hint}"))
            kept = removed(kept, (key,))
        elif not isinstance(child.value, dict):
            message = f"must be a mapping of keys, received {received(child.plain())}"
            problems.append(Problem(child.place, f"sample.{key} {message}"))
            kept = removed(kept, (key,))
    for key in ("source", "when_unavailable"):
        node = node_at(kept, ("data", key))
        if node is not None:
            message = f"sample.data.{key} is no key here: the photos are those of the sample"
            problems.append(Problem(node.key_place, message))
            kept = removed(kept, ("data", key))
    return kept, problems


def _contradiction(stated: Node) -> list[Problem]:
    source = node_at(stated, SOURCE)
    if source is None or source.value in ("sample", "cats_vs_dogs"):
        return []
    message = "data.source names photos, and --sample asks for the built-in sample; leave out one"
    return [Problem(source.place, message)]


def _as_problems(
    findings: Sequence[Finding], section: Node, refused: set[Place]
) -> Iterator[Problem]:
    """Findings in words. Those where a value was refused already would only repeat it."""
    places = _places(section)
    for finding in findings:
        if finding.place not in refused or not finding.place.line:
            prefix = ("sample",) if finding.place in places else ()
            yield Problem(finding.place, finding.text(prefix))


def _places(root: Node) -> set[Place]:
    children: list[Node] = []
    if isinstance(root.value, dict):
        children = list(root.value.values())
    elif isinstance(root.value, list):
        children = root.value
    here = {place for place in (root.place, root.key_place) if place.line}
    return here.union(*(_places(child) for child in children))


def _sorted(problems: Sequence[Problem], chain: Sequence[Node]) -> list[Problem]:
    order = [root.place.source for root in chain]

    def position(problem: Problem) -> tuple[int, int, int]:
        place = problem.place
        file = order.index(place.source) if place.source in order else len(order)
        return file, place.line, place.column

    return sorted(problems, key=position)


def _origins(
    resolved: Mapping[str, Any], tree: Node, path: Path = ()
) -> Iterator[tuple[Path, str]]:
    for key, value in resolved.items():
        here = (*path, key)
        if isinstance(value, dict) and value:
            yield from _origins(value, tree, here)
        else:
            node = node_at(tree, here)
            yield here, DEFAULT if node is None else node.key_place.origin


def _name_from(file: FilePath) -> str:
    return re.sub(r"[^\w.-]+", "-", file.stem).strip("-.")[:60] or "experiment"


def _nothing() -> Node:
    return _node({}, "")


def _node(value: Any, source: str) -> Node:
    place = Place(source)
    return Node(value, place, place)
