"""What is wrong with a configuration: all of it at once, each with its place and the way out."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from optrun.runner.errors import UserError
from optrun.runner.untrusted import printable

Path = tuple[str, ...]  # the keys that lead to a value, outermost first: ("training", "epochs")

_MOST_SHOWN = 50  # problems; beyond that the file is something else
_LONGEST_SHOWN = 60  # characters of a received value; a message stays one readable line
_LONGEST_MESSAGE = 2_000  # characters
_LONGEST_SOURCE = 4_096  # characters; no path is longer


@dataclass(frozen=True, order=True)
class Place:
    """Where something is written."""

    source: str  # the file as the person named it, or the option, such as `--set`
    line: int = 0  # counted from 1; 0 where the source has no lines
    column: int = 0  # likewise

    def __str__(self) -> str:
        return f"{self.origin}:{self.column}" if self.line else self.origin

    @property
    def origin(self) -> str:
        """The place without its column, as `optrun config show` prints it; printable."""
        source = printable(self.source, _LONGEST_SOURCE)
        return f"{source}:{self.line}" if self.line else source


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {printable(self.message, _LONGEST_MESSAGE)}"


class ConfigurationError(UserError):
    """A configuration that cannot be used; the message lists every problem, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(problems)
        lines = [str(problem) for problem in self.problems[:_MOST_SHOWN]]
        if len(self.problems) > _MOST_SHOWN:
            lines.append(f"and {len(self.problems) - _MOST_SHOWN:,} more problems")
        super().__init__("\n".join(lines))


def dotted(path: Path) -> str:
    """The path as a person writes it after `--set`.

    >>> dotted(("training", "epochs"))
    'training.epochs'
    """
    return ".".join(path)


def received(value: object) -> str:
    """A value as YAML would write it, short enough for a message.

    >>> received("many"), received(None), received(True), received(float("nan"))
    ('"many"', 'null', 'true', '.nan')
    >>> received({"a": 1})
    'a mapping'
    """
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ("-.inf" if value < 0 else ".inf")
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= _LONGEST_SHOWN:
        return text
    return "a list" if isinstance(value, list) else text[: _LONGEST_SHOWN - 3] + "..."
