"""Kaggle's test photos and the file of answers to them: `id,label`, a dog is 1.

An id is the number that a photo's file is named by (`test1/17.jpg`). A submission has every id
once. The list of ids that comes with the photos, sampleSubmission.csv, is what it is checked by.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from optrun.data.printable import printable
from optrun.data.sources.archive import opened
from optrun.data.sources.views import UnreadableError
from optrun.data.unlabelled import MAXIMUM_ENTRIES
from optrun.runner.errors import UserError
from optrun.runner.untrusted import DamageError, content_of

_TEST_NAMES = ("test1", "test")
_SAMPLE_NAMES = ("samplesubmission.csv", "sample_submission.csv")
_LARGEST_SAMPLE = 64 * 2**20  # bytes; Kaggle's has 12,500 lines of some ten bytes
_PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
_MOST_NAMED = 5


class Named(Protocol):
    """Anything with a name: here, a photo."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class SampleSubmission:
    """The ids that a submission must have, and where that is said."""

    place: str
    ids: frozenset[int]


def place_of_test_photos(archive: Path) -> Path:
    """Where the test photos are: in a folder as downloaded, in its test1.zip or test1 alone."""
    if archive.is_dir():
        for name in (*(f"{name}.zip" for name in _TEST_NAMES), *_TEST_NAMES):
            if (archive / name).exists():
                return archive / name
    return archive


def photo_id(name: str) -> int | None:
    """The id in a photo's name; None for files that are no photos.

    >>> photo_id("test1/17.jpg"), photo_id("test1/Thumbs.db")
    (17, None)

    Raises:
        UserError: It is a photo whose name is no number.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if _ID.fullmatch(path.stem):
        return int(path.stem)
    if path.suffix.lower() not in _PHOTO_SUFFIXES or path.name.startswith("."):
        return None
    raise UserError(
        "--kaggle must name an archive whose test photos are numbered, as test1/17.jpg is, "
        f"received one with {printable(name, longest=200)}. Without --kaggle, `optrun predict` "
        "takes photos of any name."
    )


def ids_of(photos: Iterable[Named], archive: Path) -> list[int]:
    """The ids of the test photos, ascending, each one's photo there exactly once.

    Raises:
        UserError: There are none, or two photos have the same id.
    """
    names: dict[int, str] = {}
    for photo in photos:
        number = photo_id(photo.name)
        if number is None:
            continue
        if number in names:
            raise UserError(
                f"Every id must have one photo, received two for {number} in "
                f"{printable(str(archive))}: {printable(names[number], longest=200)} and "
                f"{printable(photo.name, longest=200)}."
            )
        names[number] = photo.name
    if not names:
        raise UserError(
            "--kaggle must name the competition's archive, with its test photos (test1.zip, or "
            f"test1/1.jpg ...), received: {printable(str(archive))}, which holds none."
        )
    return sorted(names)


def sample_submission(archive: Path) -> SampleSubmission | None:
    """The list of ids in the archive, or else in its folder; None where there is none.

    Raises:
        UserError: There is one, and it can't be read.
    """
    found = _in_archive(archive) if archive.is_file() else None
    if found is None:
        found = _in_folder(archive if archive.is_dir() else archive.absolute().parent)
    if found is None:
        return None
    place, content = found
    return SampleSubmission(place, _ids_in(content, place))


def check_ids(ids: Sequence[int], sample: SampleSubmission) -> None:
    """Raises `UserError` unless the photos' ids are those that the submission must have."""
    missing = sorted(sample.ids.difference(ids))
    unknown = sorted(set(ids) - sample.ids)
    if missing or unknown:
        differences = [
            f"{kind}: {_listed(numbers)}"
            for kind, numbers in (("without a photo", missing), ("not listed", unknown))
            if numbers
        ]
        raise UserError(
            f"The test photos must be those that {sample.place} lists, {len(sample.ids):,} ids, "
            f"received {len(ids):,}; {'; '.join(differences)}. Get the archive again, or move the "
            "list away if it belongs to other photos."
        )


def gaps(ids: Sequence[int]) -> str | None:
    """Says which ids between 1 and the highest have no photo; None where all have one."""
    missing_count = ids[-1] - sum(number > 0 for number in ids)
    if missing_count == 0:
        return None
    have = set(ids)
    missing: list[int] = []
    for number in range(1, ids[-1]):
        if number not in have:
            missing.append(number)
        if len(missing) > _MOST_NAMED:
            break
    shown = ", ".join(str(number) for number in missing[:_MOST_NAMED])
    more = missing_count - min(len(missing), _MOST_NAMED)
    return (
        f"no photo for {missing_count:,} of the ids up to {ids[-1]:,}: {shown}"
        f"{f' and {more:,} more' if more else ''}. Kaggle takes a file with every id alone"
    )


def submission(labels: Mapping[int, float | int]) -> str:
    """The file: a header, then one line for each id, in numerical order.

    Args:
        labels: Probability of dog, or 0 or 1, by id. Probabilities have twelve decimals, so that
            photos that differ little keep their order.

    Example:
        >>> submission({2: 1, 1: 0})
        'id,label\\n1,0\\n2,1\\n'
    """
    lines = (
        f"{number},{label}" if isinstance(label, int) else f"{number},{label:.12f}"
        for number, label in sorted(labels.items())
    )
    return "\n".join(("id,label", *lines)) + "\n"


def _in_archive(archive: Path) -> tuple[str, bytes] | None:
    with opened(archive, printable(str(archive))) as files:
        for entry in files.entries(MAXIMUM_ENTRIES):
            if PurePosixPath(entry.name).name.lower() in _SAMPLE_NAMES:
                place = f"{printable(entry.name, longest=200)} in {printable(archive.name)}"
                try:
                    return place, files.read(entry)
                except UnreadableError as error:
                    raise _no_list(place, f"it can't be read ({error})") from error
    return None


def _in_folder(folder: Path) -> tuple[str, bytes] | None:
    try:
        names = sorted(path.name for path in folder.iterdir() if path.name.lower() in _SAMPLE_NAMES)
    except OSError:  # a folder that may not be listed has no list for us
        return None
    if not names:
        return None
    place = printable(str(folder / names[0]))
    try:
        return place, content_of(folder / names[0], _LARGEST_SAMPLE)
    except DamageError as damage:
        raise _no_list(place, str(damage)) from damage


def _ids_in(content: bytes, place: str) -> frozenset[int]:
    try:
        rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _no_list(place, "it is no CSV text") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if header != ["id", "label"]:
        raise _no_list(place, "its first line must be id,label")
    ids: set[int] = set()
    for number, row in enumerate(rows[1:], start=2):
        text = row[0].strip()
        if not _ID.fullmatch(text):
            raise _no_list(place, f"row {number} has no id: {printable(text, longest=40)}")
        if int(text) in ids:
            raise _no_list(place, f"it lists {text} twice")
        ids.add(int(text))
    return frozenset(ids)


def _no_list(place: str, reason: str) -> UserError:
    return UserError(
        f"{place} must be a list of ids as Kaggle gives it, but {reason}. Move it away, or get it "
        "again."
    )


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:_MOST_NAMED])
    more = len(numbers) - _MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown
