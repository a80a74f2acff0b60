"""Photos in a folder or a zip archive, read in place: nothing is unpacked to disk."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from optrun.data.exceptions import PhotoError
from optrun.data.labels import CAT, DOG, TEST, TRAIN, VALIDATION
from optrun.data.printable import printable
from optrun.data.sources import folder
from optrun.data.sources.archive import Zip, changed, opened
from optrun.data.sources.contents import File, folder_files, zip_files
from optrun.data.sources.layout import LAYOUTS, label_of, part_of, without_common_folder
from optrun.data.sources.source import Photo
from optrun.data.sources.views import UnreadableError, state_of
from optrun.data.sources.zip_directory import too_many

# What is known of each takes some hundred bytes of memory while they are decoded.
MAXIMUM_FILES = 1_000_000
_MAXIMUM_ARCHIVES = 100
_REPLACED = "replaced by a later file of the same name"


class _Listing(NamedTuple):
    """What a look at the names of all files finds.

    Attributes:
        places: Id and label of each photo by the name of its file.
        replaced: For a name that several files have, the ids of all but the last.
    """

    places: Mapping[str, tuple[str, int]]
    replaced: Mapping[str, tuple[str, ...]]


class Files:
    """A folder or a zip archive of labelled photos, which lie as `data.sources.layout` says."""

    is_sample = False

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._shown = printable(str(self._path))
        self._states: dict[str, tuple[int, ...]] = {}
        self.name = str(self._path)

    def expected(self) -> int:
        return len(self.entries())

    def identity(self) -> Mapping[str, str | int]:
        """Path, size and time of change; for a folder, sums and a hash over those of its files."""
        names: dict[str, str | int] = {}
        if self._path.is_dir():
            files, size, changed_ns, names["names"] = folder.summary(self.name, MAXIMUM_FILES)
        else:
            state = self._path.stat()
            self._states.setdefault(self._shown, state_of(state))
            files, size, changed_ns = 1, state.st_size, state.st_mtime_ns
        return {
            "path": self.name,
            "files": files,
            "bytes": size,
            "changed_ns": changed_ns,
            **names,
        }

    def entries(self) -> Mapping[str, int]:
        listing = self._listing
        labels = dict(listing.places.values())
        for name, replaced in listing.replaced.items():
            labels |= dict.fromkeys(replaced, listing.places[name][1])
        return labels

    def parts(self) -> Mapping[str, int]:
        parts = {
            photo_id: part
            for name, (photo_id, _) in self._listing.places.items()
            if (part := part_of(name))
        }
        named = set(parts.values())
        return parts if TRAIN in named and named & {VALIDATION, TEST} else {}

    def read(self, ids: Collection[str] | None = None) -> Iterator[Photo]:
        wanted = None if ids is None else frozenset(ids)
        listing = self._listing
        seen: Counter[str] = Counter()
        with contextlib.closing(self._files()) as files:
            for file in files:
                if file.name not in listing.places:
                    continue
                photo_id, label = listing.places[file.name]
                earlier = listing.replaced.get(file.name, ())
                if replaced := seen[file.name] < len(earlier):
                    photo_id = earlier[seen[file.name]]
                    seen[file.name] += 1
                if wanted is not None and photo_id not in wanted:
                    continue
                try:
                    encoded, unreadable = (b"", _REPLACED) if replaced else (file.read(), "")
                except UnreadableError as error:
                    encoded, unreadable = b"", str(error)
                yield Photo(photo_id, label, encoded, unreadable)

    @cached_property
    def _listing(self) -> _Listing:
        labels: dict[str, int] = {}
        repeated: Counter[str] = Counter()
        count = 0
        with contextlib.closing(self._files()) as files:
            for file in files:
                count += 1
                self._require_few(count)
                label = _label(file)
                if label is None:
                    continue
                if file.name in labels:
                    repeated[file.name] += 1
                labels[file.name] = label
        if count == 0:
            raise PhotoError(f"{self._shown} is empty: it holds no files.\n{LAYOUTS}")
        if not labels:
            raise PhotoError(
                f"{self._shown} holds {_number(count, 'file')}, but none that is known to be "
                f"a cat or a dog.\n{LAYOUTS}"
            )
        _require_both(self._shown, Counter(labels.values()))
        ids = _printable_ids(without_common_folder(labels))
        taken = set(ids.values())
        replaced = {
            name: tuple(_free_id(f"{ids[name]} (replaced)", taken) for _ in range(times))
            for name, times in repeated.items()
        }
        return _Listing({name: (ids[name], label) for name, label in labels.items()}, replaced)

    def _files(self) -> Generator[File]:
        """Yields the files; where no photo is among them, then also those of the zips among them.

        The root stays open meanwhile, since archives within an archive are read through it.
        """
        with contextlib.ExitStack() as stack:
            if self._path.is_dir():
                files = folder_files(self._path)
            else:
                root = stack.enter_context(opened(self._path, self._shown))
                files = zip_files(self._unchanged(root), MAXIMUM_FILES)
            archives: list[File] = []
            has_photos = False
            for file in files:
                has_photos = has_photos or _label(file) is not None
                if file.is_archive and len(archives) <= _MAXIMUM_ARCHIVES:
                    archives.append(file)
                yield file
            if has_photos:
                return
            if len(archives) > _MAXIMUM_ARCHIVES:
                raise PhotoError(
                    f"{self._shown} holds no photos that are known to be cats or dogs, but more "
                    f"than {_MAXIMUM_ARCHIVES} zip archives. Give one of them.\n{LAYOUTS}"
                )
            for archive in archives:
                with archive.open_archive(self._shown) as inner:
                    yield from zip_files(self._unchanged(inner), MAXIMUM_FILES, f"{archive.name}/")

    def _unchanged(self, archive: Zip) -> Zip:
        """Makes sure that an archive is what it was when it was first looked at."""
        if self._states.setdefault(archive.where, archive.state) != archive.state:
            raise PhotoError(changed(archive.where))
        return archive

    def _require_few(self, count: int) -> None:
        if count > MAXIMUM_FILES:
            raise PhotoError(too_many(self._shown, f"more than {MAXIMUM_FILES:,}", MAXIMUM_FILES))


def _label(file: File) -> int | None:
    return label_of(f"{file.name}/" if file.is_linked_folder else file.name)


def _printable_ids(ids: dict[str, str]) -> dict[str, str]:
    """Returns the ids made printable, still different for each name."""
    if all(map(str.isprintable, ids.values())):
        return ids
    taken = {photo_id for photo_id in ids.values() if photo_id.isprintable()}
    return {
        name: photo_id if photo_id.isprintable() else _free_id(printable(photo_id), taken)
        for name, photo_id in ids.items()
    }


def _free_id(wanted: str, taken: set[str]) -> str:
    """Returns an id that no photo has yet, as near to the one wanted as can be, and takes it."""
    numbered = (f"{wanted} ({number})" for number in itertools.count(2))
    free = next(one for one in itertools.chain([wanted], numbered) if one not in taken)
    taken.add(free)
    return free


def _require_both(shown: str, counts: Counter[int]) -> None:
    for label, missing, present in ((CAT, "cat", "dog"), (DOG, "dog", "cat")):
        if counts[label] == 0:
            raise PhotoError(
                f"{shown} holds {_number(counts[1 - label], present)} but no {missing}; "
                f"photos of both are needed.\n{LAYOUTS}"
            )


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}" + ("" if count == 1 else "s")
