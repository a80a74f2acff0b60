"""Photos of which nobody has said what they show, one after the other."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from optrun.data.exceptions import PhotoError
from optrun.data.printable import printable
from optrun.data.sources.archive import Member, Zip, opened
from optrun.data.sources.folder import walk
from optrun.data.sources.labelled_files import MAXIMUM_ARCHIVES
from optrun.data.sources.layout import is_archive_name, is_photo_name, is_test_name, label_of
from optrun.data.sources.regular_file import UnreadableError, open_regular, read_regular

MAXIMUM_ENTRIES = 5_000_000  # of an archive
_ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True)
class UnlabelledPhoto:
    """One photo, or a file that should have been one."""

    name: str  # where it lies, printable: its path, or its name within an archive
    encoded: bytes  # of the image file; empty where they could not be read
    unreadable: str = ""  # why; empty where they could


def unlabelled(paths: Sequence[Path]) -> Iterator[UnlabelledPhoto]:
    """Returns the photos at these paths, each read when its turn comes.

    A folder gives the photos anywhere below it, in the order of their names; an archive those in
    it, as they are stored. What is not named like a photo is passed over there, while a path itself
    is taken whatever its name. Of Kaggle's archive only the test photos are taken, from its
    test1.zip or test.zip, or from its folder of that name beside the labelled ones; of a folder
    with such a zip, those in the zip too, unless it has been unpacked there. Another zip without
    photos gives those in the zips that it holds.

    With one archive alone, photos have their names within it (`test1/1.jpg`); with more paths, its
    own path comes first. A path where nothing lies is an error at once.
    """
    for path in paths:
        shown = printable(str(path.absolute()), longest=300)
        try:
            exists = path.exists()
        except OSError as error:
            raise PhotoError(f"{shown} can't be looked at: {error.strerror or error}.") from error
        if not exists:
            raise PhotoError(f"There is no photo, folder or archive at {shown}.")
    several = len(paths) > 1
    return itertools.chain.from_iterable(_photos(path, several=several) for path in paths)


def _photos(path: Path, *, several: bool) -> Iterator[UnlabelledPhoto]:
    shown = printable(str(path))
    if path.is_dir():
        yield from _in_folder(path)
    elif not is_archive_name(path.name) and not _begins_like_archive(path):
        yield _read(lambda: read_regular(str(path)), shown)
    else:
        with opened(path, shown) as archive:
            yield from _in_archive(archive, f"{path}/" if several else "", shown)


def _begins_like_archive(path: Path) -> bool:
    with contextlib.suppress(UnreadableError), open_regular(str(path)) as file:
        return file.read(4) in _ZIP_SIGNATURES
    return False


def _in_folder(path: Path) -> Iterator[UnlabelledPhoto]:
    where = printable(str(path))
    for file in walk(path):
        place = path / file.name
        if is_photo_name(file.name):
            yield _read(file.read, str(place))
        elif (
            is_archive_name(file.name)
            and "/" not in file.name
            and is_test_name(file.name)
            and not place.with_suffix("").is_dir()
        ):
            with file.open_archive(where) as archive:
                yield from _in_archive(archive, f"{place}/", where)


def _in_archive(archive: Zip, before: str, where: str) -> Iterator[UnlabelledPhoto]:
    """Yields the photos of an archive; `before` comes before their names, `where` is for messages.

    A first look at the names finds what kind of archive it is; mostly, the first name is enough.
    """
    archives: list[Member] = []
    kinds: set[bool] = set()  # of photos: for the test or not
    for file in archive.files(MAXIMUM_ENTRIES):
        if is_photo_name(file.name):
            is_test = is_test_name(file.name)
            if not is_test and label_of(file.name) is None:
                kinds = {False}
                break
            kinds.add(is_test)
        elif is_archive_name(file.name) and len(archives) <= MAXIMUM_ARCHIVES:
            archives.append(file)
    if kinds:
        for file in archive.files(MAXIMUM_ENTRIES):
            if is_photo_name(file.name) and (is_test_name(file.name) or len(kinds) == 1):
                yield _read(file.read, f"{before}{file.name}")
        return
    archives = [file for file in archives if is_test_name(file.name)] or archives
    if len(archives) > MAXIMUM_ARCHIVES:
        raise PhotoError(
            f"{archive.where} holds no photos, but more than {MAXIMUM_ARCHIVES} zip archives. "
            "Give one of them."
        )
    for found in archives:
        inside = f"{before}{found.name}/" if len(archives) > 1 else before
        with found.open_archive(where) as inner:
            for photo in inner.files(MAXIMUM_ENTRIES):
                if is_photo_name(photo.name):
                    yield _read(photo.read, f"{inside}{photo.name}")


def _read(read: Callable[[], bytes], name: str) -> UnlabelledPhoto:
    try:
        return UnlabelledPhoto(printable(name), read())
    except UnreadableError as error:
        return UnlabelledPhoto(printable(name), b"", str(error))
