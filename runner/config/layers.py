"""What a person wrote: files, the files they extend, and `--set`, laid over one another.

Later wins: the base file, the file, the `sample:` section (when the run is on the sample), `--set`.
"""

import functools
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path as FilePath

from optrun.data.places import expanded
from optrun.data.sources import library
from optrun.optimizers.user_defined import is_in_file, split
from optrun.runner.config.problems import ConfigurationError, Path, Place, Problem, received
from optrun.runner.config.schema import PATH_KEYS, SOURCE
from optrun.runner.config.strict_yaml import MAX_BYTES, MAX_DEPTH, MAX_VALUES, Node, is_key, parse
from optrun.runner.ui.wording import nearest

MAX_FILES = 10
SET = Place("--set")
_IDENTITY_KEYS = ("name", "schedule")


def read_files(path: str) -> tuple[Node, list[str], list[Problem]]:
    """Reads a configuration file, the file it extends, the one that extends, and so on.

    Returns the tree that they state together, without `extends`, with a name and absolute paths;
    the files, from the one named to the last base; and the problems of the texts. A file that is
    missing, unreadable or no YAML, or extends itself, is a ConfigurationError.
    """
    chain: list[Node] = []
    problems: list[Problem] = []
    seen: dict[FilePath, str] = {}
    label, stated_at, length = path, None, 0
    while True:
        text = _read_text(label, stated_at)
        length += len(text)
        file = FilePath(label).resolve()
        message = ""
        if file in seen:
            names = " -> ".join([*seen.values(), label])
            message = f"must not lead in a circle, received {names}"
        elif len(seen) == MAX_FILES:
            message = f"must be one of at most {MAX_FILES} files that extend one another"
        elif length > MAX_BYTES:
            message = f"must be, with the files before it, at most {MAX_BYTES:,} characters"
        if message:
            raise _refused(label, stated_at, message)
        seen[file] = label
        root, found = parse(text, label)
        problems += found
        if not isinstance(root.value, dict):
            what = "an empty file" if root.value is None else received(root.plain())
            message = f"must be a mapping of keys, received {what}"
            raise ConfigurationError([*problems, Problem(root.place, message)])
        own = root.without(("extends",))
        # A base's name and notes are its own: two experiments that extend it are not one.
        if chain:
            own = own.without(("name",)).without(("notes",))
        chain.append(with_absolute_paths(own, FilePath(label).absolute().parent))
        base = root.value.get("extends")
        if base is None:
            break
        if not isinstance(base.value, str) or not base.value.strip():
            message = f"extends must be the path of a file, received {received(base.plain())}"
            raise ConfigurationError([*problems, Problem(base.place, message)])
        label, stated_at = str(FilePath(label).parent / expanded(base.value)), base.place
    tree = functools.reduce(lay, reversed(chain))
    if tree.at(("name",)) is None:
        name = re.sub(r"[^\w.-]+", "-", FilePath(path).stem).strip("-.")[:60] or "experiment"
        tree = tree.put(("name",), node_from("file name", name))
    return tree, list(seen.values()), problems


def read_overrides(overrides: Sequence[str]) -> tuple[Node, list[Problem]]:
    """Reads what stands after `--set` into one tree, relative paths from the working directory.

    >>> tree, problems = read_overrides(["training.epochs=3", "model.head.hidden_units=[64]"])
    >>> tree.plain(), problems
    ({'training': {'epochs': 3}, 'model': {'head': {'hidden_units': [64]}}}, [])
    """
    count, length = len(overrides), sum(map(len, overrides))
    if count > MAX_VALUES or length > MAX_BYTES:
        limit = f"at most {MAX_VALUES:,} times, with at most {MAX_BYTES:,} characters"
        message = f"must be given {limit}, received {count:,} with {length:,}"
        raise ConfigurationError([Problem(SET, message)])
    tree = node_from(SET.source, {})
    problems: list[Problem] = []
    for override in overrides:
        key, equals, text = override.partition("=")
        keys = tuple(key.split("."))
        if not equals or not all(is_key(part) and part == part.strip() for part in keys):
            message = f"must be KEY=VALUE, such as training.epochs=3, received {received(override)}"
            problems.append(Problem(SET, message))
            continue
        if keys == ("extends",) or len(keys) > MAX_DEPTH:
            what = "can be stated in a file only" if keys == ("extends",) else "is nested too deep"
            problems.append(Problem(SET, f"{key} {what}"))
            continue
        try:
            node, found = parse(text, SET.source, with_lines=False)
        except ConfigurationError as error:
            found = list(error.problems)
        problems += [Problem(SET, f"{key}: {problem.message}") for problem in found]
        if not found:
            tree = merge(tree, node_from(SET.source, {}).put(keys, node))
    return with_absolute_paths(tree, FilePath.cwd()), problems


def node_from(source: str, value: str | dict[str, Node]) -> Node:
    """A node that stands in no line of a file."""
    return Node(value, Place(source), Place(source))


def merge(base: Node, over: Node, path: Path = (), replaced: list[Path] | None = None) -> Node:
    """The tree `base` with what `over` says laid on top; neither is changed.

    Mappings are merged key by key, anything else is replaced. Within the optimizer, a mapping
    whose `name` or `schedule` differs from the base's replaces it whole: an Adam does not inherit
    the momentum of the SGD it takes the place of.

    All nodes keep the places they were written at; a merged mapping stands where `over` does, or,
    if that is no file, where `base` does. `replaced` takes the paths at which a mapping of the
    base gives way to something else.
    """
    if not isinstance(base.value, dict):
        return over
    other_kind = (
        "optimizer" in path
        and isinstance(over.value, dict)
        and any(
            key in base.value
            and key in over.value
            and base.value[key].value != over.value[key].value
            for key in _IDENTITY_KEYS
        )
    )
    if other_kind or not isinstance(over.value, dict):
        if replaced is not None:
            replaced.append(path)
        return over
    merged = dict(base.value)
    for key, child in over.value.items():
        below = merged.get(key)
        merged[key] = child if below is None else merge(below, child, (*path, key), replaced)
    here = over if over.place.line else base
    return Node(merged, here.place, here.key_place)


def lay(base: Node, over: Node) -> Node:
    """Merges whole configurations.

    Where `over` names another optimizer, what the base's `sample` section says about the old one
    goes with it.
    """
    replaced: list[Path] = []
    merge(base, over, replaced=replaced)
    for path in replaced:
        if path[:1] == ("optimizer",):
            base = base.without(("sample", *path))
    return merge(base, over)


def on_sample(files: Node, section: Node, stated: Node) -> Node:
    """The tree of a run on the sample: the section counts for the whole, only `--set` for more."""
    tree = merge(merge(files.without(("sample",)), section), stated.without(("sample",)))
    source = tree.at(SOURCE)
    if source is not None and source.value == "sample":
        return tree
    return tree.put(SOURCE, node_from("--sample", "sample"))


def _read_text(label: str, stated_at: Place | None) -> str:
    """The text of a file that a person named, or that another file extends at `stated_at`."""
    file = FilePath(label)
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "something else"
            raise _refused(label, stated_at, f"must be a file, received {what}")
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise _refused(label, stated_at, _missing(file)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise _refused(label, stated_at, f"cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        message = f"must be at most {MAX_BYTES:,} bytes; this is no configuration file"
        raise _refused(label, stated_at, message)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        message = f"must be UTF-8 text, received the byte 0x{content[error.start]:02X}"
        raise ConfigurationError([Problem(Place(label, line, column), message)]) from None


def _refused(label: str, stated_at: Place | None, message: str) -> ConfigurationError:
    """An error about a file as a whole, placed where a person asked for the file."""
    if stated_at:
        message = f"extends {label}: {message}"
    return ConfigurationError([Problem(stated_at or Place(label), message)])


def _missing(file: FilePath) -> str:
    folder = file.parent
    if not folder.is_dir():
        return f"there is no such file, and no folder {folder}"
    configs: list[str] = []
    with suppress(OSError):  # a folder that may be entered but not listed has no names to suggest
        configs = sorted(one.name for one in folder.iterdir() if one.suffix in (".yaml", ".yml"))
    near = nearest(file.name, configs) or nearest(f"{file.name}.yaml", configs)
    return "there is no such file" + (f"; did you mean {folder / near}?" if near else "")


def with_absolute_paths(root: Node, folder: FilePath) -> Node:
    """The tree with every relative path in it taken from `folder`; names of photos stay names."""
    for path, words in PATH_KEYS.items():
        for place in (path, ("sample", *path)):
            node = root.at(place)
            if node is None or not isinstance(node.value, str) or not node.value.strip():
                continue
            if node.value not in words and not (path == SOURCE and library.entry(node.value)):
                root = root.put(place, replace(node, value=_absolute(node.value, folder)))
    for place in (("optimizer",), ("sample", "optimizer")):
        while (node := root.at(place)) is not None and isinstance(node.value, dict):
            name = node.value.get("name")
            if name is not None and is_in_file(name.value):
                file, class_name = split(str(name.value))
                absolute = f"{_absolute(file, folder)}:{class_name}"
                root = root.put((*place, "name"), replace(name, value=absolute))
            place = (*place, "inner_optimizer")
    return root


def _absolute(path: str, folder: FilePath) -> str:
    absolute = folder / expanded(path)
    return str(absolute.resolve() if ".." in absolute.parts else absolute)
