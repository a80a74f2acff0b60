"""The public photos brought to this machine: downloaded, checked, prepared by tensorflow_datasets.

tensorflow_datasets finds the archive in its manual folder, or where its own download left it, and
writes its records from there. It works in a folder of ours meanwhile, under a lock: whatever ends
it, what it leaves behind is known to be nobody's, and is deleted the next time.
"""

import contextlib
import io
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from optrun.data.download import availability
from optrun.data.download.download import fetch
from optrun.data.download.partial import partial_of
from optrun.data.download.published import megabytes
from optrun.data.errors import PhotoError, Unavailable
from optrun.data.files import sha256_of
from optrun.data.locks import exclusive

Stage = Literal["downloading", "checking", "preparing"]
Progress = Callable[[Stage, int, int], None]
Say = Callable[[str], None]

# What the records take, as the catalogue of tensorflow_datasets has it: 690 MiB.
_RECORDS_BYTES = 730_000_000


def _no_progress(stage: Stage, done: int, total: int) -> None:
    pass


def _no_words(text: str) -> None:
    pass


def obtain(
    archive: Path | None = None, *, progress: Progress = _no_progress, say: Say = _no_words
) -> Path:
    """Returns the folder of the prepared data set, after making up for what is missing.

    What was begun and broken off is gone on with: the download at its last byte, the preparing,
    which takes minutes, from its beginning.

    Args:
        archive: The archive, downloaded by the person; read in place, never changed. None to take
            the one in the manual folder of tensorflow_datasets, or to download it to there.
        progress: Called with (stage, done, in all): bytes while downloading and checking, photos
            while preparing.
        say: Called with what a person should know on the way.

    Raises:
        Unavailable: If the photos were never obtained and their host can't be reached; known within
            5 seconds.
        PhotoError: If they can't be downloaded or prepared for any other reason.
    """
    if archive is not None:
        _require_published(archive, progress)
    folder = availability.prepared_folder()
    if folder is not None:
        return folder
    _require_no_remains()
    if archive is None:
        manual = availability.manual_archive()
        if manual.is_file():
            _require_published(manual, progress)
        elif not availability.public_photos_obtained():
            _require_reachable()
            _require_space(availability.PUBLISHED.size - partial_of(manual).size)
            fetch(
                availability.PUBLISHED,
                manual,
                progress=lambda done, total: progress("downloading", done, total),
                say=say,
            )
    return _prepare(archive, progress, say)


def _require_published(archive: Path, progress: Progress) -> None:
    """Raises `PhotoError` where a file is not the published archive."""
    published = availability.PUBLISHED
    try:
        size = archive.stat().st_size
        if archive.is_dir():
            difference = "it is a folder"
        elif size != published.size:
            difference = f"it has {size:,} bytes, not {published.size:,}"
        else:
            found = sha256_of(archive, lambda done, total: progress("checking", done, total))
            if found == published.sha256:
                return
            difference = f"its SHA-256 is {found}, not {published.sha256}"
    except OSError as error:
        raise PhotoError(f"{archive} can't be read: {error.strerror or error}.") from error
    raise PhotoError(
        f"{archive} is not the published archive of cats_vs_dogs, {availability.ARCHIVE}: "
        f"{difference}. If it is an interrupted download, repeat it; if it holds other photos, use "
        f"them as photos of your own: optrun data import {archive}"
    )


def _require_reachable() -> None:
    if availability.host_reachable(availability.URL):
        return
    part = partial_of(availability.manual_archive())
    begun = f" ({megabytes(part.size)} of their archive are, and are kept)" if part.size else ""
    raise Unavailable(
        f"The public photos (cats_vs_dogs) are not on this machine{begun}, and "
        f"{availability.PUBLISHED.host} can't be reached. The ways out: connect to the network "
        "(HTTPS_PROXY is respected); download the archive elsewhere, "
        f"{availability.URL}, and give it to `optrun data prepare ARCHIVE` or put it at "
        f"{availability.manual_archive()}; use photos of your own with --set data.source=PATH; or "
        "use the built-in sample with --sample."
    )


def _require_no_remains() -> None:
    """Raises `PhotoError` for a data set that lacks its description, which nothing writes so."""
    folder = availability.expected_folder()
    if folder.exists():
        raise PhotoError(
            f"{folder} is there, but holds no dataset_info.json, so it is no whole data set. "
            "Delete that folder and run again."
        )


def _require_space(download_bytes: int) -> None:
    """Raises `PhotoError` where the archive and the records together would not fit."""
    directory = availability.data_directory()
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    needed, free = download_bytes + _RECORDS_BYTES, shutil.disk_usage(there).free
    if free < needed:
        raise PhotoError(
            f"The public photos need {megabytes(needed)} more in {directory}, where "
            f"{megabytes(free)} are free. Free some, or set TFDS_DATA_DIR to a folder on another "
            "disk."
        )


def _prepare(archive: Path | None, progress: Progress, say: Say) -> Path:
    """Has the records written, by one process however many ask."""
    directory = availability.data_directory()
    work = directory / ".optrun-preparing"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with exclusive(
            work.with_suffix(".lock"),
            waiting=lambda: say("another process is preparing the public photos; waiting for it"),
        ):
            folder = availability.prepared_folder()
            if folder is not None:
                return folder
            if work.exists():
                shutil.rmtree(work)
            _require_space(0)
            work.mkdir()
            try:
                folder = availability.expected_folder()
                written = _write_records(work, archive, progress)
                folder.parent.mkdir(exist_ok=True)
                written.rename(folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
            return folder
    except OSError as error:
        raise PhotoError(_not_prepared(error)) from error


def _write_records(work: Path, archive: Path | None, progress: Progress) -> Path:
    """Has tensorflow_datasets write its records below `work`, and returns their folder."""
    progress("preparing", 0, availability.PHOTOS)  # the imports alone take seconds
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    if archive is None:
        downloads = availability.data_directory() / "downloads"
    else:
        downloads = work / "downloads"
        _put_in_place(archive, downloads / "manual" / availability.ARCHIVE)
    try:
        with _quiet():
            builder = tfds.builder("cats_vs_dogs", data_dir=work, try_gcs=False)
            if str(builder.version) != availability.VERSION:
                raise PhotoError(
                    f"tensorflow_datasets has cats_vs_dogs in version {builder.version}, not "
                    f"{availability.VERSION}: install the version that optrun asks for."
                )
            _count(builder, progress)
            builder.download_and_prepare(
                download_dir=downloads,
                download_config=tfds.download.DownloadConfig(
                    try_download_gcs=False, manual_dir=downloads / "manual"
                ),
            )
            return Path(builder.data_dir)
    except NonMatchingChecksumError as error:
        raise PhotoError(
            "The archive of the public photos that tensorflow_datasets downloaded to "
            f"{downloads} is not the published one: its checksum differs from "
            f"{availability.ARCHIVE_SHA256}. Delete it and run again."
        ) from error
    except (ValueError, tfds.download.DownloadError, tf.errors.OpError) as error:
        raise PhotoError(_not_prepared(error)) from error


def _count(builder: object, progress: Progress) -> None:
    """Has `progress` called for each photo that the builder generates."""
    generate = builder._generate_examples  # type: ignore[attr-defined]

    def counted(*args: object, **kwargs: object) -> Iterator[object]:
        for number, example in enumerate(generate(*args, **kwargs), start=1):
            yield example
            progress("preparing", number, availability.PHOTOS)

    builder._generate_examples = counted  # type: ignore[attr-defined]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps tensorflow_datasets' words off stdout, and its bars and remarks off the screen."""
    from tensorflow_datasets.core.utils import tqdm_utils

    logger = logging.getLogger("absl")
    level, bars = logger.level, tqdm_utils._active
    logger.setLevel(logging.ERROR)
    tqdm_utils.display_progress_bar(False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        tqdm_utils.display_progress_bar(bars)


def _put_in_place(archive: Path, place: Path) -> None:
    """Makes the archive be found at `place`, without a copy where the system allows."""
    place.parent.mkdir(parents=True)
    target = archive.resolve()
    for make in (place.symlink_to, place.hardlink_to):
        with contextlib.suppress(OSError, NotImplementedError):
            make(target)
            return
    shutil.copyfile(target, place)


def _not_prepared(error: Exception) -> str:
    return (
        f"The public photos can't be prepared in {availability.data_directory()}: "
        f"{first_line(error)}. Set TFDS_DATA_DIR to a folder that is writable and has 2 GB free, "
        "and run again."
    )


def first_line(error: Exception) -> str:
    """Returns the beginning of what an error of another library says."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = text.strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
