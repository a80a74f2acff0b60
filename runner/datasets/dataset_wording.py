"""Counts, sizes and names as the `optrun data` commands print them."""

from collections.abc import Sequence

from optrun.data.cache.copies import Copy
from optrun.data.printable import printable
from optrun.runner.ui.wording import size


def described(image_size: int, resize: str, antialias: bool, limit: int | None = None) -> str:
    """What was done to photos, in a few words; what is usual goes without saying.

    >>> described(224, "squash", False), described(128, "crop", True, 2000)
    ('224 px', '128 px, crop, antialiased, limit 2,000')
    """
    words = [f"{image_size} px"]
    words += [resize] if resize != "squash" else []
    words += ["antialiased"] if antialias else []
    words += [f"limit {limit:,}"] if limit is not None else []
    return ", ".join(words)


def some(names: Sequence[str], width: int) -> str:
    """As many names as fit into `width` columns, at least one, and how many more there are.

    >>> some(["Cat/0.jpg", "Cat/1.jpg", "Dog/11702.jpg"], 30)
    'Cat/0.jpg, Cat/1.jpg, 1 more'
    """
    shown = [printable(name, longest=max(width - 12, 12)) for name in names]
    for count in range(len(shown), 0, -1):
        rest = len(shown) - count
        text = ", ".join(shown[:count] + ([f"{rest:,} more"] if rest else []))
        if len(text) <= width:
            return text
    return shown[0] + (f", {len(shown) - 1:,} more" if len(shown) > 1 else "")


def copy_line(copy: Copy) -> str:
    """A prepared copy in a line: from where, how, what it takes, why it is stale."""
    what = printable(copy.source) if copy.source else copy.folder.name
    if copy.image_size:
        what += f" at {described(copy.image_size, copy.resize, copy.antialias, copy.limit)}"
    why = f": {copy.stale}" if copy.stale else ""
    return f"{what}, {size(copy.disk_bytes)}{why}"
