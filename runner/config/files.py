"""Configuration files as trees: reading them, and the files they extend."""

import stat
from collections.abc import Iterator
from pathlib import Path as FilePath

from optrun.data.cache import library
from optrun.optimizers import user_defined
from optrun.runner.config.merge import node_at, removed, with_value
from optrun.runner.config.problems import (
    ConfigurationError,
    Path,
    Place,
    Problem,
    nearest,
    received,
)
from optrun.runner.config.schema import PATH_KEYS, SOURCE
from optrun.runner.config.strict_yaml import MAX_BYTES, Node, parse

MAX_FILES = 10


def read_chain(path: str) -> tuple[list[Node], list[Problem]]:
    """Reads a configuration file, the file it extends, the one that extends, and so on.

    Args:
        path: The file, as the person named it.

    Returns:
        The mapping in each file, from the one named to the last base, without `extends` and with
        absolute paths; and the problems of the texts.

    Raises:
        ConfigurationError: A file is missing, unreadable or not YAML, or extends itself.
    """
    chain: list[Node] = []
    problems: list[Problem] = []
    seen: dict[FilePath, str] = {}
    label, stated_at, length = path, None, 0
    while True:
        text = read_text(label, stated_at)
        file = FilePath(label).resolve()
        if file in seen:
            names = " -> ".join([*seen.values(), label])
            raise _refused(label, stated_at, f"must not lead in a circle, received {names}")
        if len(seen) == MAX_FILES:
            message = f"must be one of at most {MAX_FILES} files that extend one another"
            raise _refused(label, stated_at, message)
        seen[file] = label
        length += len(text)
        if length > MAX_BYTES:
            message = f"must be, with the files before it, at most {MAX_BYTES:,} characters"
            raise _refused(label, stated_at, message)
        root, found = parse(text, label)
        problems += found
        if not isinstance(root.value, dict):
            what = "an empty file" if root.value is None else received(root.plain())
            message = f"must be a mapping of keys, received {what}"
            raise ConfigurationError([*problems, Problem(root.place, message)])
        # A base's name and notes are its own: two experiments that extend it are not one.
        own = removed(root, ("extends",))
        if chain:
            own = removed(removed(own, ("name",)), ("notes",))
        chain.append(with_absolute_paths(own, FilePath(label).absolute().parent))
        base = root.value.get("extends")
        if base is None:
            return chain, problems
        if not isinstance(base.value, str) or not base.value.strip():
            message = f"extends must be the path of a file, received {received(base.plain())}"
            raise ConfigurationError([*problems, Problem(base.place, message)])
        label, stated_at = str(FilePath(label).parent / _expanded(base.value)), base.place


def read_text(label: str, stated_at: Place | None = None) -> str:
    """The text of a configuration file.

    Args:
        label: The file's path.
        stated_at: Where another file extends it; None for one named on the command line.

    Raises:
        ConfigurationError: There is no such file, it cannot be read, is too large, or is no text.
    """
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
    if stated_at is None:
        return ConfigurationError([Problem(Place(label), message)])
    return ConfigurationError([Problem(stated_at, f"extends {label}: {message}")])


def _missing(file: FilePath) -> str:
    folder = file.parent
    if not folder.is_dir():
        return f"there is no such file, and no folder {folder}"
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError:  # a folder that may be entered but not listed has no names to suggest
        names = []
    configs = [name for name in names if name.endswith((".yaml", ".yml"))]
    near = nearest(file.name, configs) or nearest(f"{file.name}.yaml", configs)
    return "there is no such file" + (f"; did you mean {folder / near}?" if near else "")


def with_absolute_paths(root: Node, folder: FilePath) -> Node:
    """The tree with every relative path in it taken from `folder`, the `sample` section too.

    A name that photos were imported under stays a name.
    """
    for path, words in PATH_KEYS.items():
        for place in (path, ("sample", *path)):
            node = node_at(root, place)
            if node is None or not isinstance(node.value, str) or not node.value.strip():
                continue
            if node.value in words or (path == SOURCE and library.entry(node.value)):
                continue
            absolute = _absolute(node.value, folder)
            root = with_value(root, place, Node(absolute, node.place, node.key_place))
    for place in own_file_names(root):
        node = node_at(root, place)
        if node is not None:
            file, class_name = user_defined.split(str(node.value))
            name = f"{_absolute(file, folder)}:{class_name}"
            root = with_value(root, place, Node(name, node.place, node.key_place))
    return root


def own_file_names(root: Node) -> Iterator[Path]:
    """Where a tree names the file of a person's own optimizer."""
    for path in (("optimizer",), ("sample", "optimizer")):
        while (node := node_at(root, path)) is not None and isinstance(node.value, dict):
            name = node_at(node, ("name",))
            if name is not None and user_defined.is_in_file(name.value):
                yield (*path, "name")
            path = (*path, "inner_optimizer")


def _absolute(path: str, folder: FilePath) -> str:
    absolute = folder / _expanded(path)
    return str(absolute.resolve() if ".." in absolute.parts else absolute)


def _expanded(path: str) -> FilePath:
    try:
        return FilePath(path).expanduser()
    except RuntimeError:  # the home of a user who does not exist: then ~ is part of a name
        return FilePath(path)
