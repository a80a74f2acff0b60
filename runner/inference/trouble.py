"""Trouble in the middle of a stream, held back until what came before it is dealt with."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def until_trouble(
    items: Iterable[Item], trouble: list[BaseException], kinds: tuple[type[BaseException], ...]
) -> Iterator[Item]:
    """The items until one can't be had; the reason is put into `trouble`, to be raised later.

    Example:
        >>> trouble = []
        >>> list(until_trouble((1 / n for n in (2, 1, 0)), trouble, (ZeroDivisionError,)))
        [0.5, 1.0]
        >>> trouble
        [ZeroDivisionError('division by zero')]
    """
    try:
        yield from items
    except kinds as error:
        trouble.append(error)
