"""Photos in a folder or a zip archive, read in place: no photo is unpacked to disk."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from optrun.data.exceptions import PhotoError
from optrun.data.labels import CAT, DOG, NO_PART, TEST, TRAIN, VALIDATION
from optrun.data.printable import printable
from optrun.data.sources import folder, layout
from optrun.data.sources.archive import Zip, changed, opened, too_many
from optrun.data.sources.folder import File, FolderFile
from optrun.data.sources.layout import LAYOUTS
from optrun.data.sources.regular_file import UnreadableError, state_of
from optrun.data.sources.source import Photo

# What is known of each takes some hundred bytes of memory while they are decoded.
MAXIMUM_FILES = 1_000_000
MAXIMUM_ARCHIVES = 100
_REPLACED = "replaced by a later file of the same name"


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
        if self._path.is_dir():
            return {"path": self.name, **folder.summary(self.name, MAXIMUM_FILES)}
        state = self._path.stat()
        self._states.setdefault(self._shown, state_of(state))
        sums = {"files": 1, "bytes": state.st_size, "changed_ns": state.st_mtime_ns}
        return {"path": self.name, **sums}

    def entries(self) -> Mapping[str, int]:
        places, replaced, _ = self._listing
        labels = dict(places.values())
        for name, ids in replaced.items():
            labels |= dict.fromkeys(ids, places[name][1])
        return labels

    def unlabelled(self) -> Sequence[str]:
        return self._listing[2]

    def parts(self) -> Mapping[str, int]:
        places, *_ = self._listing
        found = {photo_id: layout.part_of(name) for name, (photo_id, _) in places.items()}
        parts = {photo_id: part for photo_id, part in found.items() if part != NO_PART}
        named = set(parts.values())
        return parts if TRAIN in named and named & {VALIDATION, TEST} else {}

    def read(self, ids: Collection[str] | None = None) -> Iterator[Photo]:
        wanted = None if ids is None else frozenset(ids)
        places, replaced, _ = self._listing
        earlier = {name: iter(ids) for name, ids in replaced.items()}
        with contextlib.closing(self._files()) as files:
            for file in files:
                if file.name not in places:
                    continue
                last_id, label = places[file.name]
                replaced_id = next(earlier.get(file.name, iter(())), None)
                photo_id = replaced_id or last_id
                if wanted is not None and photo_id not in wanted:
                    continue
                try:
                    encoded, unreadable = (b"", _REPLACED) if replaced_id else (file.read(), "")
                except UnreadableError as error:
                    encoded, unreadable = b"", str(error)
                yield Photo(photo_id, label, encoded, unreadable)

    @cached_property
    def _listing(self) -> tuple[dict[str, tuple[str, int]], dict[str, list[str]], list[str]]:
        """Id and label of each photo by its file's name; of a repeated name all ids but one.

        And the names of the photos that have no label.
        """
        unlabelled: list[str] = []
        labels: dict[str, int] = {}
        repeated: Counter[str] = Counter()
        count = 0
        with contextlib.closing(self._files()) as files:
            for count, file in enumerate(files, 1):
                if count > MAXIMUM_FILES:
                    raise too_many(self._shown, MAXIMUM_FILES)
                label = _label(file)
                self._refuse_linked(file)
                if label is not None:
                    if file.name in labels:
                        repeated[file.name] += 1
                    labels[file.name] = label
                elif layout.is_left_unlabelled(file.name):
                    unlabelled.append(printable(file.name))
        if count == 0:
            raise PhotoError(f"{self._shown} is empty: it holds no files.\n{LAYOUTS}")
        if not labels:
            found = f"{self._shown} holds {_number(count, 'file')}"
            known = "none that is known to be a cat or a dog"
            raise PhotoError(f"{found}, but {known}{_seen(unlabelled)}.\n{LAYOUTS}")
        counts = Counter(labels.values())
        for label, missing, present in ((CAT, "cat", "dog"), (DOG, "dog", "cat")):
            if counts[label] == 0:
                found = f"{self._shown} holds {_number(counts[1 - label], present)}"
                needed = "photos of both are needed"
                but = f"but no {missing}{_seen(unlabelled)}"
                raise PhotoError(f"{found} {but}; {needed}.\n{LAYOUTS}")
        ids = layout.without_common_folder(labels)
        taken = set(filter(str.isprintable, ids.values()))
        for name, photo_id in ids.items():
            if photo_id not in taken:
                ids[name] = _free_id(printable(photo_id), taken)
        replaced = {
            name: [_free_id(f"{ids[name]} (replaced)", taken) for _ in range(times)]
            for name, times in repeated.items()
        }
        places = {name: (ids[name], label) for name, label in labels.items()}
        return places, replaced, unlabelled

    def _refuse_linked(self, file: File) -> None:
        """A link that stands for the folder of a class or a part must not be passed over."""
        if isinstance(file, FolderFile) and file.is_linked_folder and layout.is_named(file.name):
            raise PhotoError(
                f"{printable(file.name)} in {self._shown} is a link to a folder, and no link to a "
                "folder is followed. Put the folder itself there, or links to its photos."
            )

    def _files(self) -> Generator[File]:
        """Yields the files; where no photo is among them, also those of the zips among them."""
        with contextlib.ExitStack() as stack:  # the root is open while zips in it are read
            files: Iterator[File]
            if self._path.is_dir():
                files = folder.walk(self._path)
            else:
                root = stack.enter_context(opened(self._path, self._shown))
                files = self._unchanged(root).files(MAXIMUM_FILES)
            archives: list[File] = []
            has_photos = False
            for file in files:
                has_photos = has_photos or _label(file) is not None
                if layout.is_archive_name(file.name) and len(archives) <= MAXIMUM_ARCHIVES:
                    archives.append(file)
                yield file
            if has_photos:
                return
            if len(archives) > MAXIMUM_ARCHIVES:
                raise PhotoError(
                    f"{self._shown} holds no photos that are known to be cats or dogs, but more "
                    f"than {MAXIMUM_ARCHIVES} zip archives. Give one of them.\n{LAYOUTS}"
                )
            for archive in archives:
                with archive.open_archive(self._shown) as inner:
                    yield from self._unchanged(inner).files(MAXIMUM_FILES, f"{archive.name}/")

    def _unchanged(self, archive: Zip) -> Zip:
        """Makes sure that an archive is what it was when it was first looked at."""
        if self._states.setdefault(archive.where, archive.state) != archive.state:
            raise changed(archive.where)
        return archive


def _label(file: File) -> int | None:
    is_linked_folder = isinstance(file, FolderFile) and file.is_linked_folder
    return layout.label_of(f"{file.name}/" if is_linked_folder else file.name)


def _seen(unlabelled: Sequence[str]) -> str:
    """In words that follow what is missing."""
    if not unlabelled:
        return ""
    photos = layout.by_folder(unlabelled, lambda count: _number(count, "photo"))
    return f" (without a label: {photos})"


def _free_id(wanted: str, taken: set[str]) -> str:
    """Returns an id that no photo has yet, as near to the one wanted as can be, and takes it."""
    numbered = (f"{wanted} ({number})" for number in itertools.count(2))
    free = next(one for one in itertools.chain([wanted], numbered) if one not in taken)
    taken.add(free)
    return free


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}" + ("" if count == 1 else "s")
