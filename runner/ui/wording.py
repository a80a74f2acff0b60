"""Counts, sizes and times in words, as every command prints them; the word that was meant."""

import difflib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

_ALMOST_WHOLE = 0.02  # of a photo: accuracies are recorded in single precision, or rounded


def number_of(count: int, thing: str) -> str:
    """A count with its noun.

    >>> number_of(1, "photo"), number_of(2500, "photo")
    ('1 photo', '2,500 photos')
    """
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def size(count: int) -> str:
    """Bytes in the unit that keeps the number short.

    >>> size(0), size(4_200), size(5_300_000), size(160_000_000), size(3_800_000_000)
    ('0 MB', '0.01 MB', '5.3 MB', '160 MB', '3.8 GB')
    """
    megabytes = count / 1e6
    if megabytes >= 1000:
        return f"{megabytes / 1000:.1f} GB"
    if megabytes >= 10 or not count:
        return f"{round(megabytes)} MB"
    return f"{megabytes:.1f} MB" if megabytes >= 0.1 else f"{max(megabytes, 0.01):.2f} MB"


def exact_size(count: int) -> str:
    """Bytes in the unit that keeps the number short, of small files too.

    >>> exact_size(0), exact_size(3322), exact_size(80_200_000)
    ('0 B', '3.3 kB', '80 MB')
    """
    if count >= 100_000:
        return size(count)
    return f"{count / 1000:.1f} kB" if count >= 1000 else f"{count} B"


def moment(time: datetime) -> str:
    """A time as a person writes it, in UTC.

    >>> moment(datetime(2026, 11, 20, 23, 30, tzinfo=UTC))
    '2026-11-20 23:30 UTC'
    """
    try:
        return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except OverflowError:  # within a day of the first or the last there is
        return f"{time:%Y-%m-%d %H:%M}"


def some(texts: Sequence[str], most: int = 3) -> str:
    """The first few, then how many more there are.

    >>> some(["a", "b", "c"]), some(["a", "b", "c"], 2)
    ('a, b, c', 'a, b and 1 more')
    """
    shown = ", ".join(texts[:most])
    more = len(texts) - most
    return f"{shown} and {more:,} more" if more > 0 else shown


def age(seconds: float) -> str:
    """How long ago, in the one unit that says enough.

    >>> age(42), age(300), age(7384), age(400_000), age(-3)
    ('42 s', '5 min', '2 h', '4 d', '0 s')
    """
    seconds = max(seconds, 0.0)
    for unit, name, below in ((1, "s", 90), (60, "min", 90), (3600, "h", 48)):
        if seconds < below * unit:
            return f"{int(seconds / unit)} {name}"
    return f"{int(seconds / 86400):,} d"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, no more than needed.

    >>> duration(42), duration(125), duration(7384)
    ('42 s', '2:05 min', '2:03 h')
    """
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def percent(fraction: float) -> str:
    """A measured fraction.

    >>> percent(0.91146)
    '91.1 %'
    """
    return f"{100 * fraction:.1f} %"


def counted(fraction: float, photos: int | None) -> str:
    """Of how many photos a fraction is, and how many these were; nothing where it is not known.

    >>> counted(0.91146, 384), counted(0.911, 384), counted(0.911, None)
    (' (350 of 384 photos)', ' (of 384 photos)', '')
    """
    if not photos:
        return ""
    count = round(fraction * photos)
    is_count = abs(fraction * photos - count) < _ALMOST_WHOLE and count >= 0
    return f" ({f'{count:,} ' * is_count}of {number_of(photos, 'photo')})"


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent.

    >>> share(1, 3), share(0, 0)
    ('33 %', '0 %')
    """
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def one_of(words: Sequence[str]) -> str:
    """Alternatives.

    >>> one_of(["a", "b", "c"])
    'a, b or c'
    """
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def did_you_mean(word: str | None, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The nearest known word as a question behind a sentence; empty where there is none.

    >>> did_you_mean("lerning_rate", ["momentum", "learning_rate"]), did_you_mean("x", ["momentum"])
    (' Did you mean learning_rate?', '')
    """
    near = nearest(word, known, cutoff) if word else None
    return f" Did you mean {near}?" if near else ""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that `word` most likely means, whatever its case; None for none.

    `cutoff`: how alike they must be, from 0 to 1; see `difflib.get_close_matches`.

    >>> nearest("lerning_rate", ["momentum", "learning_rate"]), nearest("ADAM", ["adam"])
    ('learning_rate', 'adam')
    """
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    # What is compared is bounded, since comparing takes the product of the lengths.
    matches = difflib.get_close_matches(word.lower()[:200], by_lower_case, n=1, cutoff=cutoff)
    return by_lower_case[matches[0]] if matches else None
