"""Laying one configuration tree over another."""

from collections.abc import Iterator

from optrun.runner.config.problems import Path
from optrun.runner.config.strict_yaml import Node

_OPTIMIZER = ("optimizer",)
_IDENTITY_KEYS = ("name", "schedule")


def merge(base: Node, over: Node, path: Path = ()) -> Node:
    """The tree `base` with what `over` says laid on top; neither is changed.

    Mappings are merged key by key, anything else is replaced. Within the optimizer, a mapping
    whose `name` or `schedule` differs from the base's replaces it whole: an Adam does not inherit
    the momentum of the SGD it takes the place of.

    Args:
        base: The tree below.
        over: The tree on top.
        path: Where in the configuration both stand.

    Returns:
        A tree whose nodes keep the places they were written at; a merged mapping stands where
        `over` does, or, if that is no file, where `base` does.
    """
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    if "optimizer" in path and _differ(base.value, over.value):
        return over
    merged = dict(base.value)
    for key, child in over.value.items():
        merged[key] = merge(merged[key], child, (*path, key)) if key in merged else child
    here = over if over.place.line else base
    return Node(merged, here.place, here.key_place)


def _differ(base: dict[str, Node], over: dict[str, Node]) -> bool:
    return any(
        key in base and key in over and base[key].value != over[key].value for key in _IDENTITY_KEYS
    )


def lay(base: Node, over: Node) -> Node:
    """Merges whole configurations.

    As `merge`, and where `over` names another optimizer, what the base's `sample` section says
    about the old one goes with it.
    """
    for path in _replaced(node_at(base, _OPTIMIZER), node_at(over, _OPTIMIZER)):
        base = removed(base, ("sample", *_OPTIMIZER, *path))
    return merge(base, over)


def _replaced(base: Node | None, over: Node | None, path: Path = ()) -> Iterator[Path]:
    """Where, within the optimizer, a mapping gives way to something else."""
    if base is None or over is None or not isinstance(base.value, dict):
        return
    if not isinstance(over.value, dict) or _differ(base.value, over.value):
        yield path
        return
    for key, child in over.value.items():
        yield from _replaced(base.value.get(key), child, (*path, key))


def node_at(root: Node, path: Path) -> Node | None:
    """The node that a person wrote for a path, or None where nobody stated it."""
    node = root
    for key in path:
        if not isinstance(node.value, dict) or key not in node.value:
            return None
        node = node.value[key]
    return node


def nearest_node(root: Node, path: Path) -> Node:
    """The node at the longest stated part of a path; the root at the least."""
    while (node := node_at(root, path)) is None:
        path = path[:-1]
    return node


def removed(root: Node, path: Path) -> Node:
    """The tree without what stands at `path`, if anything does."""
    if not isinstance(root.value, dict) or path[0] not in root.value:
        return root
    entries = dict(root.value)
    child = entries.pop(path[0])
    if path[1:]:
        entries = {
            key: removed(child, path[1:]) if key == path[0] else node
            for key, node in root.value.items()
        }
    return Node(entries, root.place, root.key_place)


def with_value(root: Node, path: Path, node: Node) -> Node:
    """The tree with `node` in the place of whatever stands at `path`."""
    if not path:
        return node
    entries = dict(root.value) if isinstance(root.value, dict) else {}
    blank = Node({}, node.place, node.key_place)
    entries[path[0]] = with_value(entries.get(path[0], blank), path[1:], node)
    return Node(entries, root.place, root.key_place)
