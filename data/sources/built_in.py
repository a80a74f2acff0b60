"""The sources of photos that are built in: a module each, and here one line."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from optrun.data.sources.source import Source

PUBLIC, SAMPLE = "cats_vs_dogs", "sample"
# The module behind each name; it is imported when its source is asked for.
_MODULES = {PUBLIC: "cats_vs_dogs", SAMPLE: "drawings"}
NAMES = tuple(_MODULES)


class BuiltIn(Protocol):
    """What the module of a built-in source offers."""

    def source(self, *, count: int | None, obtain: Callable[[], Path] | None) -> Source:
        """Returns the source; nothing is read or downloaded yet.

        Args:
            count: How many photos to make, where any number can be; None for the default.
            obtain: Brings the photos here when they are first read, and returns where they are;
                None for its own way, silently.
        """

    def missing(self) -> str:
        """Returns what is missing before photos can be read, and what to do; empty for nothing."""


def built_in(name: str) -> BuiltIn:
    """Returns the module of a built-in source."""
    return cast(BuiltIn, import_module(f"optrun.data.sources.{_MODULES[name]}"))
