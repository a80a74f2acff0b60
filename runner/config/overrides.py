"""`--set KEY=VALUE` as a configuration tree."""

from collections.abc import Sequence

from optrun.runner.config.merge import merge
from optrun.runner.config.problems import ConfigurationError, Place, Problem, received
from optrun.runner.config.strict_yaml import MAX_BYTES, MAX_DEPTH, MAX_VALUES, Node, is_key, parse

PLACE = Place("--set")


def overlay(overrides: Sequence[str]) -> tuple[Node, list[Problem]]:
    """Reads overrides into one tree.

    Args:
        overrides: Each `KEY=VALUE`, the key dotted, the value YAML; a later one wins.

    Returns:
        The tree of what they state, and what is wrong with them.

    Raises:
        ConfigurationError: They are too many, or too long.

    Example:
        >>> tree, problems = overlay(["training.epochs=3", "model.head.hidden_units=[64]"])
        >>> tree.plain(), problems
        ({'training': {'epochs': 3}, 'model': {'head': {'hidden_units': [64]}}}, [])
    """
    length = sum(map(len, overrides))
    if len(overrides) > MAX_VALUES or length > MAX_BYTES:
        raise ConfigurationError(
            [
                Problem(
                    PLACE,
                    f"must be given at most {MAX_VALUES:,} times, with at most {MAX_BYTES:,} "
                    f"characters, received {len(overrides):,} with {length:,}",
                )
            ]
        )
    tree = Node({}, PLACE, PLACE)
    problems: list[Problem] = []
    for override in overrides:
        key, equals, text = override.partition("=")
        keys = key.split(".")
        if not equals or not all(is_key(part) and part == part.strip() for part in keys):
            message = f"must be KEY=VALUE, such as training.epochs=3, received {received(override)}"
            problems.append(Problem(PLACE, message))
            continue
        if keys == ["extends"] or len(keys) > MAX_DEPTH:
            what = "can be stated in a file only" if keys == ["extends"] else "is nested too deep"
            problems.append(Problem(PLACE, f"{key} {what}"))
            continue
        try:
            node, found = parse(text, PLACE.source, with_lines=False)
        except ConfigurationError as error:
            node, found = None, list(error.problems)
        problems += [Problem(PLACE, f"{key}: {problem.message}") for problem in found]
        if node is not None and not found:
            for part in reversed(keys):
                node = Node({part: node}, PLACE, PLACE)
            tree = merge(tree, node)
    return tree, problems
