"""A curve in a line of letters, for a terminal."""

import math
import statistics
import sys
from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
_PLAIN = "_.:-=+*#"  # darker is higher, where the output has no blocks


def sparkline(values: Sequence[float | None], longest: int) -> str:
    """Values as letters, the lowest and the highest for their ends; what is missing is blank.

    Of more values than letters, several in a row are averaged. An output whose encoding lacks
    blocks gets letters of ASCII.

    >>> sparkline([0.7, 0.5, None, 0.4, 0.35], 40) in ("█▄ ▂▁", "#- ._")
    True
    """
    together = max(1, math.ceil(len(values) / longest))
    parts = [values[at : at + together] for at in range(0, len(values), together)]
    means = [
        statistics.fmean(known) if (known := [one for one in part if one is not None]) else None
        for part in parts
    ]
    present = [one for one in means if one is not None]
    if not present:
        return ""
    lowest, span = min(present), max(present) - min(present)
    letters = _BLOCKS if _can_show(_BLOCKS) else _PLAIN
    most = len(letters) - 1
    return "".join(
        " " if one is None else letters[round(most * (one - lowest) / span) if span else 0]
        for one in means
    )


def _can_show(text: str) -> bool:
    """Whether the encoding of standard output has the letters."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
