"""Numbers of anyone's experiments, from TensorBoard's event files: a folder for each run."""

import math
import os
import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from optrun.runner.errors import UserError
from optrun.runner.ui.wording import did_you_mean, some
from optrun.runner.untrusted import DamageError, printable
from optrun.runner.verdict.event_files import LastScalar, last_scalars
from optrun.runner.verdict.measurements import Measured, Measurements, Table, gathered

_MARK = "tfevents"  # in the name of every event file
_SEED = re.compile(r"(?:^|[-_. ])s(?:eed)?[-_=. ]?([0-9]{1,18})$", re.IGNORECASE)
_FOLDER_COLUMN = "folder"
_MOST_NAMED, _MOST_TAGS = 4, 12

# A run's folder, by its path below the one that holds all of them: experiment and seed.
Named = Mapping[str, tuple[str, str]]


def read(
    path: Path,
    *,
    metric: str | None,
    runs_from: Path | None,
    experiment_column: str,
    seed_column: str,
) -> Measurements:
    """The value of a scalar at each run's last step; with None, of the only scalar there is.

    Scalars in a folder below a run's are called by both: Keras writes `epoch_accuracy` into
    `train` and into `validation`, which gives `validation/epoch_accuracy`.

    Args:
        runs_from: A CSV file that says of each folder, by its path within `path`, which experiment
            and seed it is; None: as its name says, see `named`.

    Raises:
        UserError: No run is there, or its name does not tell; a seed stands twice; there is no
            such scalar; a file is damaged.
    """
    shown = printable(str(path))
    files = {
        folder.relative_to(path).as_posix(): found for folder, found in _event_files(path, shown)
    }
    if not files:
        raise UserError(
            f"{shown} must hold TensorBoard's event files, a folder for each run, called like "
            "adam-s3; there are none in it. Runs of optrun are for `optrun compare`"
        )
    runs = (
        _by_name(files, shown)
        if runs_from is None
        else _by_table(runs_from, files, shown, experiment_column, seed_column)
    )
    run_of = {folder: _in_one_of(runs, folder) for folder in files}
    scalars: dict[str, dict[str, LastScalar]] = {run: {} for run in runs}
    for folder, run in run_of.items():
        if run is not None:
            within = PurePosixPath(folder).relative_to(run)
            of_folder = _scalars(files[folder], printable(f"{path}/{folder}"))
            scalars[run] |= {printable(str(within / tag)): one for tag, one in of_folder.items()}
    tag = _tag(metric, {tag for of_run in scalars.values() for tag in of_run}, shown)
    last = {run: of_run[tag] for run, of_run in scalars.items() if tag in of_run}
    rows = []
    for run, (experiment, seed) in runs.items():
        value = last[run].value if run in last and math.isfinite(last[run].value) else None
        rows.append(Measured(printable(run), experiment, seed, value))
    found_values = gathered(rows, tag, place="folder", shown=shown)
    notes = list(_steps(last))
    if left_out := [printable(folder) for folder, run in run_of.items() if run is None]:
        notes.append(f"Not in {runs_from}, and left out: {some(left_out, _MOST_NAMED)}.")
    return replace(found_values, notes=(*notes, *found_values.notes))


def named(folder: str) -> tuple[str, str] | None:
    """Experiment and seed by a folder's name, or by the last of its path; None where it has none.

    >>> named("adam-s3"), named("adam_seed3"), named("vgg/adam/s3"), named("adam3")
    (('adam', '3'), ('adam', '3'), ('vgg/adam', '3'), None)
    """
    above, _, name = folder.rpartition("/")
    match = _SEED.search(name)
    if match is None:
        return None
    experiment = "/".join(filter(None, (above, name[: match.start()])))
    return (experiment, match[1]) if experiment else None


def _event_files(path: Path, shown: str) -> Iterator[tuple[Path, list[Path]]]:
    """The folders that hold event files, with these, by their names; links are followed."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{shown} must be a folder that can be read: {error.strerror}") from error

    for place, folders, names in os.walk(path, onerror=refuse, followlinks=True):
        here = Path(place)
        # Not into a link that leads back to where it is found.
        folders[:] = sorted(
            one for one in folders if not here.resolve().is_relative_to((here / one).resolve())
        )
        if found := sorted(here / name for name in names if _MARK in name):
            yield here, found


def _in_one_of(runs: Container[str], folder: str) -> str | None:
    """The run whose folder that is, or lies around it."""
    return next((one for one in _and_above(folder) if one in runs), None)


def _scalars(files: Sequence[Path], shown: str) -> dict[str, LastScalar]:
    try:
        return last_scalars(files)
    except DamageError as damage:
        raise UserError(f"{shown}: {damage}. Take it away, or the run") from damage


def _and_above(folder: str) -> Iterator[str]:
    """A folder's path, and that of every folder above it, the nearest first.

    >>> list(_and_above("adam-s3/validation"))
    ['adam-s3/validation', 'adam-s3', '.']
    """
    path = PurePosixPath(folder)
    return map(str, (path, *path.parents))


def _by_name(files: Mapping[str, Sequence[Path]], shown: str) -> Named:
    runs, nameless = {}, []
    for folder in files:
        run = next((one for one in _and_above(folder) if named(one)), None)
        if run is None:
            nameless.append(printable(folder))
        elif (known := named(run)) is not None:
            runs[run] = printable(known[0]), known[1]
    if nameless:
        raise UserError(
            f"the folders in {shown} must be called by experiment and seed, like adam-s3, "
            f"received: {some(nameless, _MOST_NAMED)}. Rename them, or say which they are in a "
            f"CSV file with the columns {_FOLDER_COLUMN}, experiment and seed: --runs-from FILE.csv"
        )
    return dict(sorted(runs.items(), key=lambda one: (one[1][0], int(one[1][1]))))


def _by_table(
    path: Path,
    files: Mapping[str, Sequence[Path]],
    shown: str,
    experiment_column: str,
    seed_column: str,
) -> Named:
    table = Table(path)
    keys = {"--experiment-column": experiment_column, "--seed-column": seed_column}
    table.require(keys | {"--runs-from": _FOLDER_COLUMN})
    known = {one for folder in files for one in _and_above(folder)}
    runs: dict[str, tuple[str, str]] = {}
    for number, experiment, seed, cell in table.rows(
        experiment_column, seed_column, _FOLDER_COLUMN
    ):
        folder = PurePosixPath(cell.replace(os.sep, "/")).as_posix()
        if folder not in known:
            raise UserError(
                f"{table.shown}:{number}: must name a folder in {shown} with event files, "
                f"received: {cell}.{did_you_mean(folder, known)}"
            )
        if folder in runs:
            raise UserError(f"{table.shown}:{number}: the folder {cell} stands there twice")
        runs[folder] = experiment, seed
    return runs


def _tag(stated: str | None, known: set[str], shown: str) -> str:
    """The scalar that is meant."""
    tags = sorted(known)
    if not tags:
        raise UserError(f"the event files in {shown} must hold scalars, and hold none")
    if stated in known:
        return str(stated)
    if stated is None and len(tags) == 1:
        return tags[0]
    raise UserError(
        f"--metric must name one of the scalars in {shown}"
        f"{f', received: {stated}.' if stated else '.'}"
        f"{did_you_mean(stated, tags)} There are: {some(tags, _MOST_TAGS)}"
    )


def _steps(last: Mapping[str, LastScalar]) -> Iterator[str]:
    """Which step counts, and the runs of which that is to be known."""
    [(usual, _)] = Counter(one.step for one in last.values()).most_common(1)
    text = f"Each value is that of its run's last step, {usual:,}"
    if others := [
        f"{printable(run)} {one.step:,}" for run, one in last.items() if one.step != usual
    ]:
        text += f", but of {some(others, _MOST_NAMED)}"
    yield f"{text}."
    for run, one in last.items():
        if one.newest_step < one.step:
            yield (
                f"{printable(run)} was written after its last step, {one.step:,}, up to step "
                f"{one.newest_step:,}: two runs in one folder?"
            )
