"""A person's own optimizer: `"my_module:MyOptimizer"` or `"path/file.py:MyOptimizer"`.

`load` is the one place that runs a person's code and imports Keras. What only reads a specification
knows the name and the stated arguments.
"""

import difflib
import functools
import hashlib
import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from optrun.optimizers.entry import (
    ALIASES,
    CLIPPING,
    LEARNING_RATE,
    WITHHELD,
    Argument,
    Arguments,
    Entry,
    Kind,
    did_you_mean,
    weight_decay_argument,
)
from optrun.optimizers.keras_optimizers import KERAS_ENTRIES

FORM = "my_module:MyOptimizer or path/to/file.py:MyOptimizer"


class UserOptimizerError(ValueError):
    """A person's own optimizer that cannot be had, or made; `path` leads to what is wrong."""

    def __init__(self, message: str, path: tuple[str, ...] = ("name",)) -> None:
        super().__init__(message)
        self.path = path


def is_user_defined(name: object) -> bool:
    return isinstance(name, str) and ":" in name


def is_in_file(name: object) -> bool:
    """Whether it names a file by its path."""
    return isinstance(name, str) and is_user_defined(name) and split(name)[0].endswith(".py")


def split(name: str) -> tuple[str, str]:
    """The module or file, and the class."""
    where, _, class_name = name.rpartition(":")
    return where, class_name


def wrong_form(name: str) -> str | None:
    """What is wrong with the form of such a name, or None."""
    where, class_name = split(name)
    module = all(part.isidentifier() for part in where.split("."))
    if class_name.isidentifier() and (module or where.endswith(".py")):
        return None
    return f"must be {FORM}; received the text {name[:60]!r}"


def names_in(specification: object) -> list[str]:
    """The names of this form in a specification, outermost first, each once."""
    found: dict[str, None] = {}
    while isinstance(specification, Mapping):
        if is_user_defined(specification.get("name")):
            found[specification["name"]] = None
        specification = specification.get("inner_optimizer")
    return list(found)


@dataclass(frozen=True)
class UserOptimizer:
    name: str  # in a specification
    optimizer_class: Any
    file: Path  # that `name` names, or, of a module, the one that defines the class
    content: bytes = field(repr=False)  # of the file, when it was imported

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def load(name: str) -> UserOptimizer:
    """Import a person's own optimizer, or say in a UserOptimizerError why it cannot be had.

    Once per process, whatever becomes of the file: all runs of a plan train with one version. A
    relative path is taken from the working directory. Neither that nor the file's own directory
    is put on `sys.path`.
    """
    message = wrong_form(name)
    if message is not None:
        raise UserOptimizerError(message)
    where, class_name = split(name)
    if is_in_file(name):
        file = Path(where).resolve()
        module, content = _file_module(file)
        optimizer_class = _class_in(module, class_name, where)
    else:
        module = _installed_module(where)
        optimizer_class = _class_in(module, class_name, f"the module {where}")
        file, content = _source_of(optimizer_class, module)
    _check_is_optimizer(optimizer_class, class_name)
    return UserOptimizer(name, optimizer_class, file, content)


def stated_evaluations(optimizer_class: Any) -> int | None:
    """The gradients per step that a class states; None where only an instance can say."""
    from optrun.optimizers.several_gradients import SeveralGradients

    if not issubclass(optimizer_class, SeveralGradients):
        return 1
    stated = inspect.getattr_static(optimizer_class, "evaluations", None)
    return stated if isinstance(stated, int) else None


def failure(error: BaseException, file: Path) -> str:
    """An exception of a person's code, with the line of their file that it came through."""
    # Keras colours what it says, over several lines.
    name, text = type(error).__name__, " ".join(re.sub(r"\x1b\[\d*m", "", str(error)).split())
    said = f"{name}: {text}" if text else name
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{error.filename or file}:{error.lineno}: {name}: {error.msg}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<frozen ")
    ]
    frames = [frame for frame in frames if frame.filename == str(file)] or frames
    return f"{frames[-1].filename}:{frames[-1].lineno}: {said}" if frames else said


@functools.cache
def _file_module(file: Path) -> tuple[ModuleType, bytes]:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise UserOptimizerError(f"there is no file {file}{_file_like(file)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise UserOptimizerError(f"{file} cannot be read: {reason}") from None
    unique = hashlib.sha256(os.fsencode(file) + content).hexdigest()[:16]
    # Run from the bytes that were read; a loader would write a cache beside the file.
    stem = re.sub(r"\W", "_", file.stem)
    module = ModuleType(f"own_optimizer_{stem}_{unique}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module
    try:
        exec(compile(content, str(file), "exec", dont_inherit=True), vars(module))  # noqa: S102
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise UserOptimizerError(f"cannot be imported: {failure(error, file)}") from error
    return module, content


def _installed_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is None or not f"{name}.".startswith(f"{missing}."):
            raise UserOptimizerError(f"cannot be imported: {failure(error, Path(name))}") from error
        raise UserOptimizerError(
            f"there is no installed module '{missing}'. The working directory is not looked in: "
            f"install the module, or name the file: {name.replace('.', '/')}.py:MyOptimizer"
        ) from None


def _class_in(module: ModuleType, class_name: str, where: str) -> Any:
    found = getattr(module, class_name, None)
    if found is None:
        classes = [name for name, value in vars(module).items() if _is_optimizer(value)]
        has = f"Its optimizers: {', '.join(classes)}" if classes else "It defines no optimizer"
        raise UserOptimizerError(
            f"{where} has no class '{class_name}'{did_you_mean(class_name, classes) or '.'} {has}"
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
        raise UserOptimizerError(f"{class_name} must be a subclass of keras.optimizers.Optimizer")
    several = issubclass(optimizer_class, SeveralGradients)
    stated = inspect.getattr_static(optimizer_class, "evaluations", 1)
    steps = ("update_step", "apply", "_backend_update_step")
    if several and optimizer_class.step is SeveralGradients.step:
        must = "define `step(self, gradient_at, variables)`, which returns the combined gradient"
    elif not several and isinstance(stated, int) and stated != 1:
        must = (
            f"be a subclass of optimizers.SeveralGradients: it states {stated} evaluations per step"
        )
    elif all(getattr(optimizer_class, one) is getattr(base, one) for one in steps):
        must = (
            "define `update_step(self, gradient, variable, learning_rate)`, which changes the "
            "variable"
        )
    else:
        return
    raise UserOptimizerError(f"{class_name} must {must}")


@functools.cache
def _source_of(optimizer_class: Any, module: ModuleType) -> tuple[Path, bytes]:
    """The file that defines a class of an installed module."""
    home = sys.modules.get(getattr(optimizer_class, "__module__", ""), module)
    file = Path(getattr(home, "__file__", None) or module.__name__)
    try:
        return file, file.read_bytes()
    except OSError as error:
        raise UserOptimizerError(
            f"the file of the module {home.__name__} cannot be read: {error.strerror}"
        ) from None


def _file_like(file: Path) -> str:
    try:
        names = [entry.name for entry in file.parent.iterdir() if entry.suffix == ".py"]
    except OSError:
        return f", and no folder {file.parent}" if not file.parent.is_dir() else ""
    close = difflib.get_close_matches(file.name, names, n=1)
    return f"; did you mean {file.parent / close[0]}?" if close else ""


def entry_as_stated(name: str, stated: Arguments) -> Entry:
    """What is known without importing it: the stated arguments, of any plain value."""
    arguments = []
    for key in map(str, stated):
        # Null is a value, as far as is known; with a label, it is always shown.
        if key == "learning_rate":
            arguments.append(replace(LEARNING_RATE, description="", required=False, optional=True))
        elif key != "name":
            kind: Kind = "optimizer" if key == "inner_optimizer" else "any"
            arguments.append(Argument(key, kind, "", optional=True, label=key.replace("_", " ")))
    return Entry(name, split(name)[1], module="", description="", arguments=tuple(arguments))


_KINDS: Mapping[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
_UNKNOWN = inspect.Parameter.empty
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_KERAS = {entry.class_name: entry for entry in KERAS_ENTRIES}
# Weight decay and clipping, which every Keras optimizer takes, with their bounds.
_BASE = {one.name: one for one in (weight_decay_argument(None), *CLIPPING)}


class _Parameter(NamedTuple):
    parameter: inspect.Parameter
    annotation: Any
    owner: type  # whose `__init__` has it
    is_called: bool  # whether that is the one called


def entry_of(user: UserOptimizer) -> Entry:
    """What the registry would say about a person's own optimizer."""
    own = user.optimizer_class
    parameters = _parameters(own)
    offered = {name: one for name, one in parameters.items() if name not in WITHHELD}
    wraps = "inner_optimizer" in offered
    return Entry(
        name=user.name,
        class_name=own.__name__,
        module=own.__module__,
        description="",
        arguments=tuple(_argument(one, wraps=wraps) for one in offered.values()),
        evaluations=stated_evaluations(own) or 2,  # where only an instance can say: several
        aliases={a: name for a, name in ALIASES.items() if name in offered and a not in offered},
        withheld={name: why for name, why in WITHHELD.items() if name in parameters},
    )


def _parameters(optimizer_class: type) -> dict[str, _Parameter]:
    """Those of the `__init__` that is called, and while it takes `**kwargs` of the next one up.

    `*args` adds none: a specification states arguments by name.
    """
    found: dict[str, _Parameter] = {}
    is_called = True
    for owner in optimizer_class.__mro__:
        init = vars(owner).get("__init__")
        if init is None:
            continue
        parameters = list(inspect.signature(init).parameters.values())[1:]
        annotations = _annotations(init)
        for one in parameters:
            if one.kind in _NAMED and one.name not in found:
                annotation = annotations.get(one.name, _UNKNOWN)
                found[one.name] = _Parameter(one, annotation, owner, is_called)
        if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
            break
        is_called = False
    return found


def _annotations(init: Any) -> dict[str, Any]:
    try:
        return inspect.get_annotations(init, eval_str=True)
    except (AttributeError, NameError, SyntaxError, TypeError):  # for a type checker's eyes alone
        return {k: v for k, v in inspect.get_annotations(init).items() if not isinstance(v, str)}


def _argument(one: _Parameter, *, wraps: bool) -> Argument:
    name, default = one.parameter.name, one.parameter.default
    required = one.is_called and default is _UNKNOWN
    optional = default is None or type(None) in get_args(one.annotation)
    if name == "learning_rate":
        # Comparisons hang on it, so no class's default stands in for it.
        stated = one.is_called and not wraps and not optional
        return replace(LEARNING_RATE, required=stated, optional=optional)
    if name == "inner_optimizer":
        description = "the optimizer that it works around"
        return Argument(name, "optimizer", description, required=required, optional=optional)
    registered = _registered(one)
    if registered is not None:
        return replace(registered, required=required, default=default)
    kind, choices = _kind(one.annotation, default)
    argument = Argument(
        name, kind, "", default, optional=optional or kind == "any", choices=choices
    )
    if required:
        missing = "the class gives it no default"
        argument = replace(argument, description=missing, default=None, required=True)
    return argument


def _registered(one: _Parameter) -> Argument | None:
    """The registry's word on an argument of a Keras class."""
    name = one.parameter.name
    if not one.owner.__module__.startswith("keras."):
        return _BASE.get(name) if one.parameter.default is None else None
    entry = _KERAS.get(one.owner.__name__)
    return (entry and entry.argument(name)) or _BASE.get(name)


def _kind(annotation: Any, default: Any) -> tuple[Kind, tuple[str, ...]]:
    """What an annotation, or else a default, says a value other than null must be; its choices."""
    if annotation is _UNKNOWN:
        return _KINDS.get(type(default), "any"), ()
    alternatives = [annotation]
    if get_origin(annotation) in (Union, UnionType):
        alternatives = [one for one in get_args(annotation) if one is not type(None)]
    if set(alternatives) == {int, float}:
        return "float", ()
    if len(alternatives) == 1:
        only = alternatives[0]
        if get_origin(only) is Literal and all(isinstance(one, str) for one in get_args(only)):
            return "choice", get_args(only)
        if only in (bool, int, float, str):
            return _KINDS[only], ()
    return "any", ()
