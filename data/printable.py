"""Names that somebody else chose, made fit to be shown."""

import unicodedata

# Without these two, words of several scripts and joined emoji fall apart; they move nothing.
_JOINERS = "\u200c\u200d"


def printable(text: str, longest: int | None = None, *, strict: bool = False) -> str:
    r"""Returns the text with everything that could act on a terminal written as an escape.

    That is control characters, what turns the direction of writing, line separators, and the bytes
    of a file's name that are not UTF-8. `strict` escapes spaces of other kinds and what joins
    letters too: where a name must not pass for another. At most `longest` characters are shown.

        >>> print(printable("cat\x1b[2J.\u202egpj"), printable("caf\udce9.jpg"))
        cat\x1b[2J.\u202egpj caf\xe9.jpg
        >>> printable("a" * 100, longest=5)
        'aaaa…'
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isprintable():
        return text
    return "".join(_shown(character, strict) for character in text)


def _shown(character: str, strict: bool) -> str:
    is_harmless = character in _JOINERS or unicodedata.category(character) == "Zs"  # spaces
    if character.isprintable() or (is_harmless and not strict):
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that was no UTF-8, as Python decodes file names
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
