"""Finding an optimizer inside the ones wrapped around it."""

from collections.abc import Iterator
from typing import Any, TypeVar

from optrun.optimizers.several_gradients import SeveralGradients

Found = TypeVar("Found")


def chain(optimizer: Any) -> Iterator[Any]:
    """The optimizer, its `inner_optimizer`, that one's, and so on."""
    while optimizer is not None:
        yield optimizer
        optimizer = getattr(optimizer, "inner_optimizer", None)


def core_of(optimizer: Any) -> Any:
    """The innermost optimizer, which has the count of updates and the learning rate."""
    *_, core = chain(optimizer)
    return core


def find(optimizer: Any, kind: type[Found]) -> Found | None:
    """The outermost optimizer of a class, or None."""
    return next((one for one in chain(optimizer) if isinstance(one, kind)), None)


def with_several_evaluations(optimizer: Any) -> SeveralGradients | None:
    """The optimizer whose step takes more than one gradient, or None."""
    return find(optimizer, SeveralGradients)
