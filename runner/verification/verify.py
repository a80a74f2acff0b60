"""`optrun verify`: proves on this machine that a resumed run is the uninterrupted one."""

import contextlib
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from optrun.data.places import cache_root
from optrun.optimizers import specification
from optrun.runner.config.schema import Experiment
from optrun.runner.engine.signals import Interrupted, signals_heard
from optrun.runner.errors import UserError
from optrun.runner.models.registry import title_of
from optrun.runner.ui.text import is_styled, show, terminal_width
from optrun.runner.ui.wording import number_of
from optrun.runner.verification import experiment as experiments
from optrun.runner.verification.processes import Training
from optrun.runner.verification.proof import Failure, Start, Work, prove
from optrun.runner.verification.telling import Screen, proof_text
from rich.console import Console

_IDENTICAL, _DIFFERENT = 0, 1


@dataclass(frozen=True)
class VerifyRequest:
    """What the command line asked for; see `optrun verify --help`."""

    config: Path | None
    overrides: Sequence[str] = ()
    sample: bool = False
    device: str = "auto"
    seed: int | None = None
    kills: int = 3
    kill_seed: int | None = None
    keep: Path | None = None


def verify(request: VerifyRequest, start: Start = Training) -> int:
    """Carry out what was asked for.

    Args:
        request: What to do.
        start: Starts a training.

    Returns:
        The exit code: 0 identical, 1 different, 130 or 143 interrupted.

    Raises:
        UserError: Something is wrong with the request, or the experiment can't be trained.
    """
    screen = Screen(Console())
    try:
        with signals_heard(), _working_folder(request.keep) as folder, screen:
            return _verify(request, folder, screen, start)
    except Interrupted as stop:
        print("optrun: interrupted", file=sys.stderr)
        return stop.exit_code


def _verify(request: VerifyRequest, folder: "_Folder", screen: Screen, start: Start) -> int:
    began = time.monotonic()
    verified = experiments.chosen(
        request.config,
        request.overrides,
        sample=request.sample,
        seed=request.seed,
        folder=folder.path,
    )
    kill_seed = secrets.randbelow(100_000) if request.kill_seed is None else request.kill_seed
    name = "" if request.config is None else f"{verified.experiment.name}: "
    screen.paragraph("verify", name + _described(verified.experiment))
    if verified.stand_in_for is not None:
        screen.paragraph("photos", f"the built-in sample stands in: {verified.stand_in_for}")
    screen.paragraph(
        "kills",
        f"{request.kills}, by SIGKILL; to aim at the same moments again: --kill-seed {kill_seed}",
    )
    screen.say("")
    _take_names_along(folder.path / "cache")
    work = Work(verified.arguments, request.device, folder.path, start)
    try:
        proof = prove(work, kills=request.kills, seed=kill_seed, watcher=screen)
    except Failure as failure:
        screen.close()
        folder.keep()
        show(f"\n{failure}\nBoth runs are kept in {folder.path}\nDIFFERENT: it can't be resumed.\n")
        return _DIFFERENT
    if not proof.holds:
        folder.keep()
    width, styled = terminal_width(), is_styled()
    text = proof_text(proof, width=width, styled=styled, seconds=time.monotonic() - began)
    if folder.is_kept:
        text = _with_place(text, folder.path)
    if proof.device.startswith("gpu"):
        screen.paragraph(
            "GPU",
            "a resumed run is promised to be the same there with training.deterministic: true, "
            "which is set here unless --set forbids it",
        )
    show(text)
    return _IDENTICAL if proof.holds else _DIFFERENT


def _with_place(text: str, folder: Path) -> str:
    """The proof with where the runs are, before the verdict."""
    *before, verdict = text.rstrip("\n").split("\n")
    return "\n".join([*before, f"Both runs are kept in {folder}", verdict]) + "\n"


def _described(experiment: Experiment) -> str:
    data, model, training = experiment.data, experiment.model, experiment.training
    photos = "all photos" if data.limit is None else number_of(data.limit, "photo")
    what = "the sample" if data.source == "sample" else data.source
    return (
        f"{specification.describe(experiment.optimizer)}; {photos} of {what} at "
        f"{data.image_size} px, {title_of(model.network)} of width {model.width:g}, "
        f"{number_of(training.epochs, 'epoch')}, batches of {training.batch_size}, "
        f"seed {training.seed}"
    )


def _take_names_along(cache: Path) -> None:
    """Give the trainings' own cache the names of imported photos: `data.source` may be one."""
    names = cache_root() / "sources"
    if names.is_dir():
        shutil.copytree(names, cache / "sources", dirs_exist_ok=True)


class _Folder:
    """Where everything goes until the end, and after it where it is kept."""

    def __init__(self, path: Path, *, is_kept: bool) -> None:
        self.path = path
        self.is_kept = is_kept

    def keep(self) -> None:
        self.is_kept = True


@contextlib.contextmanager
def _working_folder(wanted: Path | None) -> Iterator[_Folder]:
    """The folder that the person names, or a temporary one that is removed if nobody keeps it."""
    if wanted is None:
        folder = _Folder(Path(tempfile.mkdtemp(prefix="optrun-verify-")), is_kept=False)
    else:
        folder = _Folder(_new_folder(wanted), is_kept=True)
    try:
        yield folder
    except UserError:
        # Nothing was verified, and the next try wants the folder empty.
        folder.is_kept = False
        raise
    finally:
        shutil.rmtree(folder.path / "cache" if folder.is_kept else folder.path, ignore_errors=True)


def _new_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise UserError(f"--keep must name a folder that is new or empty, received: {path}")
    except OSError as error:
        raise UserError(
            f"--keep must name a folder that can be written, received: {path} "
            f"({error.strerror or error})"
        ) from error
    return path.absolute()
