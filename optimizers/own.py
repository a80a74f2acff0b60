"""The name of a person's own optimizer: `"my_module:MyOptimizer"` or `"path/file.py:MyOptimizer"`.

A name with a colon is one. Nothing here imports the person's code: `own_code` does.
"""

from collections.abc import Mapping

FORM = "my_module:MyOptimizer or path/to/file.py:MyOptimizer"


class OwnOptimizerError(ValueError):
    """A person's own optimizer that cannot be had, or cannot be made.

    Attributes:
        path: keys of the specification that lead to what is wrong.
    """

    def __init__(self, message: str, path: tuple[str, ...] = ("name",)) -> None:
        super().__init__(message)
        self.path = path


def is_own(name: object) -> bool:
    """Whether a name in a specification is that of a person's own optimizer.

    Example:
        >>> is_own("sgd"), is_own("my_module:Mine"), is_own("mine.py:Mine")
        (False, True, True)
    """
    return isinstance(name, str) and ":" in name


def is_in_file(name: object) -> bool:
    """Whether it is one that stands in a file named by its path."""
    return isinstance(name, str) and is_own(name) and split(name)[0].endswith(".py")


def split(name: str) -> tuple[str, str]:
    r"""The module or file, and the class.

    Example:
        >>> split("my_package.sign:Sign"), split(r"C:\code\sign.py:Sign")
        (('my_package.sign', 'Sign'), ('C:\\code\\sign.py', 'Sign'))
    """
    where, _, class_name = name.rpartition(":")
    return where, class_name


def wrong_form(name: str) -> str | None:
    """What is wrong with the form of an own name, or None.

    Example:
        >>> print(wrong_form("folder/sign:Sign"))
        must be my_module:MyOptimizer or path/to/file.py:MyOptimizer; received the text ...
    """
    where, class_name = split(name)
    module = all(part.isidentifier() for part in where.split("."))
    if class_name.isidentifier() and (module or where.endswith(".py")):
        return None
    return f"must be {FORM}; received the text {name[:60]!r}"


def names_in(specification: object) -> list[str]:
    """The own names in a specification, outermost first, each once."""
    found: list[str] = []
    while isinstance(specification, Mapping):
        name = specification.get("name")
        if isinstance(name, str) and is_own(name) and name not in found:
            found.append(name)
        specification = specification.get("inner_optimizer")
    return found
