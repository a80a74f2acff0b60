"""Importing a person's own optimizer. This is the one place that runs a person's code."""

import difflib
import functools
import hashlib
import importlib
import importlib.abc
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from optrun.optimizers.own import OwnOptimizerError, is_in_file, split, wrong_form


@dataclass(frozen=True)
class Own:
    """A person's own optimizer, imported.

    Attributes:
        name: its name in a specification.
        optimizer_class: the class.
        file: the file that `name` names, or, of a module, the one that defines the class.
        content: that file as it was when it was imported.
        sha256: hexadecimal, of the content.
    """

    name: str
    optimizer_class: Any
    file: Path
    content: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def load(name: str) -> Own:
    """Import a person's own optimizer: runs the person's code.

    Once per process, whatever becomes of the file: all runs of a plan train with one version. A
    relative path is taken from the working directory. Neither that nor the file's own directory
    is put on `sys.path`.

    Args:
        name: as a specification has it.

    Raises:
        OwnOptimizerError: there is no such file, module or class, it cannot be imported, or it is
            no Keras optimizer.
    """
    message = wrong_form(name)
    if message is not None:
        raise OwnOptimizerError(message)
    where, class_name = split(name)
    if is_in_file(name):
        module, file, content = _file_module(str(Path(where).resolve()))
        optimizer_class = _class_in(module, class_name, where)
    else:
        module = _installed_module(where)
        optimizer_class = _class_in(module, class_name, f"the module {where}")
        file, content = _source_of(optimizer_class, module)
    _check_is_optimizer(optimizer_class, class_name)
    return Own(name, optimizer_class, file, content)


def stated_evaluations(optimizer_class: Any) -> int | None:
    """The gradients per step that a class states; None where only an instance can say."""
    from optrun.optimizers.several_gradients import SeveralGradients

    if not issubclass(optimizer_class, SeveralGradients):
        return 1
    stated = inspect.getattr_static(optimizer_class, "evaluations", None)
    return stated if isinstance(stated, int) else None


def failure(error: BaseException, file: Path) -> str:
    """An exception of a person's code, with the line of their file that it came through."""
    name, text = type(error).__name__, str(error)
    said = f"{name}: {text}" if text else name
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{error.filename or file}:{error.lineno}: {name}: {error.msg}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<frozen ")
    ]
    theirs = [frame for frame in frames if frame.filename == str(file)]
    frames = theirs or frames
    return f"{frames[-1].filename}:{frames[-1].lineno}: {said}" if frames else said


class _Content(importlib.abc.SourceLoader):
    """Loads a module from the bytes that were read, and writes no cache beside the file."""

    def __init__(self, path: str, content: bytes) -> None:
        self._path = path
        self._content = content

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str | bytes) -> bytes:
        if path != self._path:
            raise FileNotFoundError(path)
        return self._content


@functools.cache
def _file_module(path: str) -> tuple[ModuleType, Path, bytes]:
    file = Path(path)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise OwnOptimizerError(f"there is no file {file}{_file_like(file)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise OwnOptimizerError(f"{file} cannot be read: {reason}") from None
    stem = re.sub(r"\W", "_", file.stem)
    unique = hashlib.sha256(path.encode(errors="surrogateescape") + content).hexdigest()[:16]
    module_name = f"own_optimizer_{stem}_{unique}"
    loader = _Content(path, content)
    spec = importlib.util.spec_from_loader(module_name, loader)
    if spec is None:
        raise OwnOptimizerError(f"{file} cannot be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise OwnOptimizerError(f"cannot be imported: {failure(error, file)}") from error
    return module, file, content


def _installed_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise OwnOptimizerError(f"cannot be imported: {failure(error, Path(name))}") from error
        raise OwnOptimizerError(
            f"there is no installed module '{error.name}'. The working directory is not looked "
            f"in: install the module, or name the file: {name.replace('.', '/')}.py:MyOptimizer"
        ) from None
    except (Exception, SystemExit) as error:
        raise OwnOptimizerError(f"cannot be imported: {failure(error, Path(name))}") from error


def _class_in(module: ModuleType, class_name: str, where: str) -> Any:
    found = getattr(module, class_name, None)
    if found is None:
        classes = [name for name, value in vars(module).items() if _is_optimizer(value)]
        has = f"Its optimizers: {', '.join(classes)}" if classes else "It defines no optimizer"
        raise OwnOptimizerError(
            f"{where} has no class '{class_name}'{_close(class_name, classes) or '.'} {has}"
        )
    return found


def _is_optimizer(value: object) -> bool:
    import keras

    return inspect.isclass(value) and issubclass(value, keras.optimizers.Optimizer)


def _check_is_optimizer(optimizer_class: Any, class_name: str) -> None:
    import keras
    from optrun.optimizers.several_gradients import SeveralGradients

    base = keras.optimizers.Optimizer
    if not _is_optimizer(optimizer_class):
        raise OwnOptimizerError(f"{class_name} must be a subclass of keras.optimizers.Optimizer")
    several = issubclass(optimizer_class, SeveralGradients)
    if several and optimizer_class.step is SeveralGradients.step:
        raise OwnOptimizerError(
            f"{class_name} must define `step(self, gradient_at, variables)`, which returns the "
            "combined gradient"
        )
    stated = inspect.getattr_static(optimizer_class, "evaluations", 1)
    if not several and isinstance(stated, int) and stated != 1:
        raise OwnOptimizerError(
            f"{class_name} must be a subclass of optimizers.SeveralGradients: it states "
            f"{stated} evaluations per step"
        )
    inherited = all(
        getattr(optimizer_class, method) is getattr(base, method)
        for method in ("update_step", "apply", "_backend_update_step")
    )
    if inherited:
        raise OwnOptimizerError(
            f"{class_name} must define `update_step(self, gradient, variable, learning_rate)`, "
            "which changes the variable"
        )


@functools.cache
def _source_of(optimizer_class: Any, module: ModuleType) -> tuple[Path, bytes]:
    """The file that defines a class of an installed module."""
    home = sys.modules.get(getattr(optimizer_class, "__module__", ""), module)
    file = Path(getattr(home, "__file__", None) or module.__name__)
    try:
        return file, file.read_bytes()
    except OSError as error:
        raise OwnOptimizerError(
            f"the file of the module {home.__name__} cannot be read: {error.strerror}"
        ) from None


def _file_like(file: Path) -> str:
    try:
        names = [entry.name for entry in file.parent.iterdir() if entry.suffix == ".py"]
    except OSError:
        return f", and no folder {file.parent}" if not file.parent.is_dir() else ""
    close = difflib.get_close_matches(file.name, names, n=1)
    return f"; did you mean {file.parent / close[0]}?" if close else ""


def _close(name: str, known: Iterable[str]) -> str:
    by_lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean '{by_lower[close[0]]}'?" if close else ""
