"""HTML put together from parts, where all text that is not HTML already is escaped.

Names come from other people. Whoever builds a page out of elements cannot forget to escape one.
"""

import html
from collections.abc import Iterable

_EMPTY = {"input", "meta", "br"}  # which have no end


class Markup(str):
    """Text that is HTML."""

    __slots__ = ()


def escaped(text: object) -> Markup:
    """What a page shows as the text itself.

    >>> print(escaped('<script>"'))
    &lt;script&gt;&quot;
    """
    return text if isinstance(text, Markup) else Markup(html.escape(str(text)))


def element(name: str, /, *content: object, **attributes: object) -> Markup:
    """An element; of an attribute's name a last `_` is dropped and `_` becomes `-`.

    An attribute that is None or False is left out; of one that is True only the name is said.

    >>> print(element("a", "R&D", element("br"), class_="x", aria_label='"', hidden=True, id=None))
    <a class="x" aria-label="&quot;" hidden>R&amp;D<br></a>
    """
    said = []
    for key, value in attributes.items():
        key = key.removesuffix("_").replace("_", "-")
        if value is True:
            said.append(key)
        elif value is not None and value is not False:
            said.append(f'{key}="{escaped(value)}"')
    begin = " ".join([name, *said])
    end = "" if name in _EMPTY else f"</{name}>"
    return Markup(f"<{begin}>{joined(content)}{end}")


def joined(parts: Iterable[object]) -> Markup:
    """Parts behind each other; None is nothing."""
    return Markup("".join(escaped(part) for part in parts if part is not None))


def elements(name: str, texts: Iterable[object]) -> Markup:
    """An element around each of the texts."""
    return joined([element(name, text) for text in texts])
