"""`optrun runs remove`: runs taken away whole, and nothing else.

A run is first renamed into a folder that no reader looks into, which is one step for the system:
a removal that is killed leaves the run as it was, or something that looks like no run at all.
"""

import contextlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from optrun.runner.errors import UserError
from optrun.runner.runs.disk import is_file, is_folder
from optrun.runner.runs.listing import REMOVED
from optrun.runner.runs.reader import find_run
from optrun.runner.runs.record import RECORD_NAME, RunStatus
from optrun.runner.runs.standing import Size, Standing, size_of
from optrun.runner.runs.writer_lock import LOCK_NAME, RunHeldError, acquire
from optrun.runner.ui.wording import number_of, some
from optrun.runner.untrusted import printable

# What a run writes into its folder: its files, the copies of a person's own optimizer, what a
# write that was cut short left, and what systems put into every folder that they show.
_WRITTEN = re.compile(
    r"run\.json|config\.yaml|metrics\.jsonl|(predictions|photos)\.npz|log\.txt|git\.diff|writer\.lock"
    r"|checkpoint|tensorboard|optimizer(_[0-9]+)?\.py"
    r"|\.reserve|\.[a-z0-9_]+\.[a-z]+\.[0-9a-f]{8}\.tmp|\.DS_Store|Thumbs\.db|desktop\.ini"
)
_LEFT_OVER = re.compile("run")  # by a removal that was cut short
_MOST_NAMED = 3


def remove_runs(chosen: Sequence[str], *, yes: bool) -> int:
    """Remove runs; where one is no run or a process holds it, none. Gives the exit code.

    A process may take one meanwhile: that ends it, and it is said which were removed before.
    """
    folders = list({os.path.realpath(one): one for one in map(_meant, chosen)}.values())
    # What earlier removals left is named last.
    leftovers = [folder for folder in folders if REMOVED.fullmatch(folder.name)]
    runs = [folder for folder in folders if folder not in leftovers]
    lines, sizes = zip(*[*map(_checked_run, runs), *map(_checked_leftover, leftovers)], strict=True)
    click.echo("\n".join(lines))
    what = number_of(len(folders), "run") if not leftovers else f"all {len(folders):,}"
    if not yes and not sys.stdin.isatty():
        raise UserError(f"Nobody is here to confirm the removal of {what}; --yes does.")
    total = sum(sizes, Size(0))
    if not yes and not click.confirm(f"Remove {what} ({total}) with results and checkpoints?"):
        click.echo("Nothing was removed.")
        return 1
    removed, freed = 0, Size(0)
    try:
        for folder in folders:
            size = size_of(folder)
            _remove(folder)
            removed, freed = removed + 1, freed + size
    except (RunHeldError, OSError) as error:
        click.echo(_freed(removed, freed))
        if isinstance(error, RunHeldError):
            raise RunHeldError(f"{error} It was not removed.") from error
        shown = printable(str(folder))
        raise UserError(f"{shown} can't be removed: {error.strerror or error}.") from error
    click.echo(_freed(removed, freed))
    return 0


def _freed(removed: int, freed: Size) -> str:
    return f"Removed {removed:,}; {freed} freed." if removed else "Nothing was removed."


def _meant(chosen: str) -> Path:
    """The folder that is meant: of a path, exactly that one."""
    # Not the only run in it, as where a run is only read.
    path = Path(chosen) if chosen and is_folder(Path(chosen)) else find_run(chosen)
    if path.is_symlink():
        raise UserError(
            f"RUN must be the folder of a run, received: {printable(str(path))}, a link, which "
            f"leads to {printable(os.path.realpath(path))}. Nothing was removed."
        )
    return path.resolve() if path.name in ("", "..") else path


def _checked_leftover(folder: Path) -> tuple[str, Size]:
    _refuse_foreign(folder, _names(folder), _LEFT_OVER)
    return f"  {printable(folder.name)}  what a removal that was cut short left", size_of(folder)


def _checked_run(folder: Path) -> tuple[str, Size]:
    """A line that names it, its state, and what would be lost; and its size."""
    standing, names, shown = Standing(folder), _names(folder), printable(str(folder))
    run = standing.run
    # Whether there is one, as far as it may be looked at; a link is none.
    own = (folder / name for name in (RECORD_NAME, LOCK_NAME))
    if not any(is_file(path) and not path.is_symlink() for path in own):
        raise UserError(
            f"RUN must be the folder of a run, received: {shown}, which holds neither run.json nor "
            f"{LOCK_NAME}. Nothing was removed."
        )
    _refuse_foreign(folder, names, _WRITTEN)
    if standing.held:
        pid = run.record and run.record.pid
        who = "another process" if pid is None else f"process {pid}"
        raise RunHeldError(
            f"{shown} is being written by {who}. Wait until it ends, or stop it first. "
            "Nothing was removed."
        )
    state = run.status if run.record else f"{run.status}: {run.reason}"
    done = "" if run.status == RunStatus.COMPLETED else standing.done
    parts = (state, done, str(standing.size), standing.resumes)
    return f"  {run.label}  {', '.join(filter(None, parts))}", standing.size


def _refuse_foreign(folder: Path, names: Iterable[str], ours: re.Pattern[str]) -> None:
    if foreign := sorted(name for name in names if not ours.fullmatch(name)):
        raise UserError(
            f"{printable(str(folder))} holds {some(list(map(printable, foreign)), _MOST_NAMED)}, "
            "which no run writes. Move it elsewhere first. Nothing was removed."
        )


def _remove(folder: Path) -> None:
    if REMOVED.fullmatch(folder.name):
        _delete(folder)
        return
    hidden = folder.parent / f".removed-{secrets.token_hex(4)}"
    # No process can go on with a run that is held while it is taken away.
    with contextlib.ExitStack() as open_files:
        lock = folder / LOCK_NAME
        if not lock.is_symlink():  # no run makes one, and locking it would write elsewhere
            open_files.callback(os.close, acquire(lock))
        if sys.platform == "win32":  # which renames no folder with an open file in it
            open_files.close()
        hidden.mkdir()
        try:
            folder.rename(hidden / "run")
        except BaseException:
            hidden.rmdir()
            raise
    _delete(hidden)


def _delete(folder: Path) -> None:
    """Deletes a folder and all in it; of a link, the link."""
    try:
        while folder.exists():
            with contextlib.suppress(FileNotFoundError):  # another removal was faster
                shutil.rmtree(folder)
    except OSError as error:
        left = f"What is left lies in {printable(str(folder))}."
        why = error.strerror or error
        raise UserError(f"Not all of it can be deleted: {why}. {left}") from error


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError as error:
        why = f"cannot be read: {error.strerror}. Nothing was removed."
        raise UserError(f"{printable(str(folder))} {why}") from error
