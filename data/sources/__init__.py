"""Where photos come from: a folder or an archive, the public data set, the built-in sample."""

import difflib
from pathlib import Path

from data.errors import PhotoError
from data.sources.source import Photo, Source

__all__ = ["NAMES", "Photo", "Source", "open_source"]

NAMES = ("cats_vs_dogs", "sample")
_ALLOWED = "data.source must be cats_vs_dogs, sample, or the path of a folder or a zip archive."


def open_source(source: str, *, drawings: int | None = None) -> Source:
    """Returns the source that `source` names; nothing is read or downloaded yet.

    Args:
        source: "sample", "cats_vs_dogs", or the path of a folder or zip archive. A folder that has
            one of the two names is given as "./sample".
        drawings: How many drawings the sample has; None for its default. Means nothing to others.

    Raises:
        PhotoError: If nothing lies at the path.
    """
    if source == "sample":
        from data.sources.drawn import DEFAULT_COUNT, Drawn

        return Drawn(DEFAULT_COUNT if drawings is None else drawings)
    if source == "cats_vs_dogs":
        from data.sources.public import Public

        return Public()
    from data.sources.files import Files

    path = Path(source).expanduser()
    if not path.exists():
        raise PhotoError(_missing(source, path))
    return Files(path)


def _missing(source: str, path: Path) -> str:
    message = f"There are no photos at {path.absolute()}: no such file or folder."
    parent = path.absolute().parent
    if not parent.is_dir():
        return f"{message} Its folder {parent} does not exist either."
    neighbours = {entry.name: str(entry) for entry in parent.iterdir()}
    named = {name: name for name in NAMES} if source == path.name else {}
    choices = neighbours | named
    nearest = difflib.get_close_matches(path.name, choices, n=1)
    if nearest:
        return f"{message} Did you mean {choices[nearest[0]]}?"
    return f"{message} {_ALLOWED}"
