"""Which run a person means: a folder, or part of the name of one below `results`."""

from collections.abc import Sequence
from pathlib import Path

from optrun.runner.errors import UserError
from optrun.runner.runs.disk import is_file, is_folder
from optrun.runner.runs.reader import CONFIG_NAME, find
from optrun.runner.runs.record import RECORD_NAME
from optrun.runner.ui.wording import nearest, some
from optrun.runner.untrusted import printable

RESULTS = Path("results")
_MOST_NAMED = 8


def find_run(run: str | Path, results: Path = RESULTS) -> Path:
    """The run that is meant: the folder of one, or of exactly one, or part of a name in `results`.

    `UserError` where there is none, or several.
    """
    text, path = str(run), Path(run)
    if text and is_folder(path):  # without text, Path means the working directory
        found = find([path])
        if len(found) == 1:
            return found[0]
        shown = f"received: {printable(text)}, which holds"
        raise UserError(
            f"RUN must be the folder of one run, {shown} {len(found)}: "
            f"{_listed([folder.name for folder in found])}."
            if found
            else f"RUN must be the folder of a run, {shown} no run.json. "
            "`optrun runs` lists the runs in results."
        )
    # A file of a run is named where its folder is meant, as completing a path may do.
    if path.name in (RECORD_NAME, CONFIG_NAME) and is_file(path):
        return path.parent
    # In a path that leads nowhere, only the last part can be a mistyped run.
    place, wanted = (path.parent, path.name) if len(path.parts) > 1 else (results, text)
    try:
        by_name = {folder.name: folder for folder in find([place]) if folder != place}
    except UserError:  # no folder, or one that may not be listed: it has no names to suggest
        by_name = {}
    matching = [name for name in by_name if place == results and wanted and wanted in name]
    for names in ([name for name in matching if name.endswith(f"-{wanted}")], matching):
        if len(names) == 1:
            return by_name[names[0]]
    if matching:
        raise UserError(
            f"RUN must name one run, received: {printable(text)}, which is part of the names of "
            f"{len(matching)} in {printable(str(place))}: {_listed(matching)}."
        )
    raise UserError(
        f"RUN must be the folder of a run, or part of the name of one in {RESULTS}, received: "
        f"{printable(text)}. {_hint(wanted, place, list(by_name))}"
    )


def _hint(wanted: str, place: Path, names: Sequence[str]) -> str:
    if not names:
        return f"There is no run in {printable(str(place))}; `optrun train` makes one."
    keys = {key: name for name in names for key in (name, name.rpartition("-")[2])}
    if near := nearest(wanted, keys, cutoff=0.5):
        return f"Did you mean {printable(str(place / keys[near]))}?"
    return f"Runs in {printable(str(place))}: {_listed(names)}."


def _listed(names: Sequence[str]) -> str:
    return some([printable(name) for name in names], _MOST_NAMED)
