"""The public data set `cats_vs_dogs`: 23,262 photos, obtained once, read from where they are.

What tensorflow_datasets has prepared on this machine is used. Else the published archive is
downloaded to where tensorflow_datasets looks for it, and read here as its builder does: photos
without "JFIF" at their beginning are dropped, all others encoded anew. So ids, labels, digests and
pixels are the same from either, and agree with what others publish of the set.
"""

import base64
import contextlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

from optrun.data.download import Published, fetch, megabytes, partial_of
from optrun.data.exceptions import PhotoError, Unavailable
from optrun.data.files import sha256_of
from optrun.data.hosts import host_reachable
from optrun.data.places import cache_root, expanded, has_home
from optrun.data.sources.built_in import PUBLIC
from optrun.data.sources.labelled_files import Files
from optrun.data.sources.source import Photo

# With the stage, "downloading" or "checking", and the bytes done and in all.
Progress = Callable[[str, int, int], None]

# As tensorflow_datasets 4.9.10 states them; a test compares them.
VERSION = "4.0.1"
ARCHIVE = "kagglecatsanddogs_5340.zip"
PUBLISHED = Published(
    url="https://download.microsoft.com/download/3/E/1/"
    f"3E1C3F21-ECDB-4869-8368-6DEBA77B919F/{ARCHIVE}",
    size=824_887_076,
    sha256="b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
)
PHOTOS = 23_262

_ID = re.compile(r"(Cat|Dog)/\d+\.jpg")


def _data_directory() -> Path:
    """Returns where tensorflow_datasets keeps data sets: $TFDS_DATA_DIR, or its default."""
    if stated := os.environ.get("TFDS_DATA_DIR"):
        return expanded(stated)
    return (expanded("~") if has_home() else cache_root()) / "tensorflow_datasets"


def _prepared_folder() -> Path | None:
    folder = _data_directory() / PUBLIC / VERSION
    return folder if (folder / "dataset_info.json").is_file() else None


def _manual_archive() -> Path:
    """Returns where the archive is kept, and a person may put what they downloaded."""
    return _data_directory() / "downloads" / "manual" / ARCHIVE


def obtained() -> bool:
    """Returns whether the photos are on this machine: prepared, or as their archive."""
    return bool(_prepared_folder() or _archive())


def out_of_reach(timeout_s: float) -> bool:
    """Returns whether the photos were never obtained from a host that does not answer now."""
    return not obtained() and not host_reachable(PUBLISHED.url, timeout_s)


def _archive() -> Path | None:
    """Returns the archive in the manual folder, or where tensorflow_datasets downloaded it to."""
    if (manual := _manual_archive()).is_file():
        return manual
    # It ends a download's name with the digest, and writes an INFO file beside it when finished.
    digest = base64.urlsafe_b64encode(bytes.fromhex(PUBLISHED.sha256)).decode().rstrip("=")
    downloads = _data_directory() / "downloads"
    for folder in (downloads / PUBLIC, downloads):
        for path in folder.glob(f"*{digest}.zip"):
            if path.with_name(path.name + ".INFO").is_file():
                return path
    return None


def obtain(
    archive: Path | None = None,
    *,
    progress: Progress = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Returns the folder of the prepared data set, or the archive, after getting what is missing.

    A person's own `archive` is never changed, and kept in the manual folder of tensorflow_datasets
    too. `say` is called with what a person should know on the way. `Unavailable` says within 5
    seconds that the host can't be reached.
    """
    if archive is not None:
        _require_published(archive, progress)
    if folder := _prepared_folder():
        return folder
    manual = _manual_archive()
    if here := _archive():
        if archive is None:
            _require_published(here, progress)
        return archive or here
    if archive is not None:
        _keep(archive, manual)
        return manual
    if not host_reachable(PUBLISHED.url):
        part = partial_of(manual)
        begun = f" ({megabytes(part.size)} of their archive are, and are kept)" if part.size else ""
        raise Unavailable(
            f"The public photos ({PUBLIC}) are not on this machine{begun}, and {PUBLISHED.host} "
            "can't be reached. The ways out: connect to the network (HTTPS_PROXY is respected); "
            f"download the archive elsewhere, {PUBLISHED.url}, and give it to `optrun data prepare "
            f"ARCHIVE` or put it at {manual}; use photos of your own with --set data.source=PATH; "
            "or use the built-in sample with --sample."
        )
    fetch(PUBLISHED, manual, progress=partial(progress, "downloading"), say=say)
    return manual


def _require_published(archive: Path, progress: Progress) -> None:
    """Raises `PhotoError` where a file is not the published archive."""
    try:
        size = archive.stat().st_size
        if archive.is_dir():
            difference = "it is a folder"
        elif size != PUBLISHED.size:
            difference = f"it has {size:,} bytes, not {PUBLISHED.size:,}"
        elif (found := sha256_of(archive, partial(progress, "checking"))) != PUBLISHED.sha256:
            difference = f"its SHA-256 is {found}, not {PUBLISHED.sha256}"
        else:
            return
    except OSError as error:
        raise PhotoError(f"{archive} can't be read: {error.strerror or error}.") from error
    raise PhotoError(
        f"{archive} is not the published archive of {PUBLIC}, {ARCHIVE}: {difference}. If it is an "
        "interrupted download, repeat it; if it holds other photos, use them as photos of your "
        f"own: optrun data import {archive}"
    )


def _keep(archive: Path, place: Path) -> None:
    """Makes the archive be found at `place` too, without a copy where the system allows."""
    temporary = place.with_name(place.name + ".copy")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError, NotImplementedError):
            place.hardlink_to(archive.resolve())
            return
        try:
            shutil.copyfile(archive, temporary)
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise PhotoError(
            f"The archive can't be kept in {place.parent}: {error.strerror or error}. Set "
            "TFDS_DATA_DIR to a folder that is writable and has room."
        ) from error


class CatsVsDogs:
    """The public photos; obtained, if need be, when they are first asked for."""

    name = PUBLIC
    is_sample = False

    def __init__(self, obtain: Callable[[], Path] = obtain) -> None:
        self._obtain = obtain

    def expected(self) -> int:
        return PHOTOS

    def identity(self) -> Mapping[str, str | int]:
        """The version of the data set, within which its photos never change."""
        return {"tensorflow_datasets": PUBLIC, "version": VERSION}

    def unlabelled(self) -> Sequence[str]:
        return ()

    def parts(self) -> Mapping[str, int]:
        return {}  # published as one

    def read(self, ids: Collection[str] | None = None) -> Iterator[Photo]:
        wanted = self._labels if ids is None else frozenset(ids)
        if self._place.is_dir():
            yield from (photo for photo in self._prepared() if photo.id in wanted)
            return
        from optrun.data.parallel import in_order

        photos = Files(self._place).read(self._labels.keys() & wanted)
        for found, encoded in in_order(photos, lambda photo: len(photo.encoded), _encoded_anew):
            yield Photo(found.id, found.label, encoded)

    @cached_property
    def _place(self) -> Path:
        return self._obtain()

    @cached_property
    def _labels(self) -> Mapping[str, int]:
        if self._place.is_dir():
            return {photo.id: photo.label for photo in self._prepared()}
        return {
            photo.id: photo.label
            for photo in Files(self._place).read()
            if _ID.fullmatch(photo.id) and b"JFIF" in photo.encoded[:512]
        }

    def entries(self) -> Mapping[str, int]:
        return self._labels

    def _prepared(self) -> Iterator[Photo]:
        """Yields what tensorflow_datasets has prepared, in the order of storage."""
        import tensorflow as tf
        import tensorflow_datasets as tfds

        try:
            records = tfds.builder_from_directory(self._place).as_dataset(
                split="train",
                decoders={"image": tfds.decode.SkipDecoding()},
                read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
                shuffle_files=False,
            )
            for record in records:
                name = record["image/filename"].numpy().decode().replace("\\", "/")
                photo_id = name.removeprefix("PetImages/")  # no part of it in archives either
                yield Photo(photo_id, int(record["label"]), record["image"].numpy())
        except (tf.errors.OpError, OSError, ValueError, KeyError) as error:
            lines = (getattr(error, "strerror", None) or str(error)).strip().splitlines()
            reason = lines[0].rstrip(".") if lines else type(error).__name__
            raise PhotoError(
                f"The public photos in {self._place} can't be read ({reason}). "
                "Delete that folder and run again to have them prepared anew."
            ) from error


def _encoded_anew(photo: Photo) -> bytes:
    """Returns the bytes that the data set's builder keeps of a photo."""
    import tensorflow as tf

    with tf.device("/CPU:0"):
        return bytes(tf.io.encode_jpeg(tf.image.decode_image(photo.encoded)).numpy())
