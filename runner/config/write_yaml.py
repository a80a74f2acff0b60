"""Plain values as YAML text that `strict_yaml`, and readers of YAML 1.1, take for the same."""

import yaml
from optrun.runner.config.strict_yaml import resolve

_WIDTH = 100
_UNLIMITED = 10**9


class _Dumper(yaml.SafeDumper):
    """Writes a value out every time it occurs, and text so that it stays text."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML puts into quotes what YAML 1.1 would not take for text; YAML 1.2 adds `1e-3`.
    style = None if isinstance(resolve(text), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else style)


_Dumper.add_representer(str, _represent_text)


def dump(value: object) -> str:
    r"""A document.

    Args:
        value: Mappings with text keys, lists, strings, finite numbers, booleans, None.

    Example:
        >>> dump({"rate": 1e-05, "name": "1e-3"})
        "rate: 1.0e-05\nname: '1e-3'\n"
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


def dump_on_one_line(value: object) -> str:
    r"""A part of a document, on one line.

    >>> dump_on_one_line([64, 32]), dump_on_one_line("two\nlines"), dump_on_one_line(None)
    ('[64, 32]', '"two\\nlines"', 'null')
    """
    # Within a list, so that no form is chosen that needs several lines.
    text = yaml.dump(
        [value],
        Dumper=_Dumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=_UNLIMITED,
    )
    return text.strip().removeprefix("[").removesuffix("]")
