"""The public data set `cats_vs_dogs`, through tensorflow_datasets."""

import contextlib
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from data import availability
from data.errors import PhotoError, Unavailable
from data.sources.source import Photo

if TYPE_CHECKING:
    import tensorflow as tf


class Public:
    """The 23,262 public photos; obtained, if need be, when they are first asked for."""

    name = "cats_vs_dogs"
    is_sample = False

    def identity(self) -> Mapping[str, str | int]:
        """The version of the data set: its photos never change within one."""
        return {"tensorflow_datasets": "cats_vs_dogs", "version": availability.VERSION}

    def entries(self) -> Mapping[str, int]:
        return self._labels

    def read(self, ids: Collection[str] | None = None) -> Iterator[Photo]:
        wanted = None if ids is None else frozenset(ids)
        for photo_id, label, encoded in self._records():
            if wanted is None or photo_id in wanted:
                yield Photo(photo_id, label, encoded.numpy())

    @cached_property
    def _labels(self) -> Mapping[str, int]:
        return {photo_id: label for photo_id, label, _ in self._records()}

    def _records(self) -> Iterator[tuple[str, int, "tf.Tensor"]]:
        """Yields id, label and the encoded photo, still a tensor, in the order of storage."""
        folder = obtain()
        import tensorflow as tf
        import tensorflow_datasets as tfds

        try:
            records = tfds.builder_from_directory(folder).as_dataset(
                split="train",
                decoders={"image": tfds.decode.SkipDecoding()},
                read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
                shuffle_files=False,
            )
            for record in records:
                name = record["image/filename"].numpy().decode().replace("\\", "/")
                # As in the same photos' archive, whose common folder is not part of an id either.
                photo_id = name.removeprefix("PetImages/")
                yield photo_id, int(record["label"]), record["image"]
        except (tf.errors.OpError, OSError, ValueError, KeyError) as error:
            raise PhotoError(
                f"The public photos in {folder} can't be read ({_first_line(error)}). "
                "Delete that folder and run again to have them prepared anew."
            ) from error


def obtain() -> Path:
    """Returns the folder of the prepared data set, after downloading and preparing what is missing.

    Raises:
        Unavailable: If the photos were never obtained and their host can't be reached; known within
            5 seconds.
        PhotoError: If they can't be downloaded or prepared for any other reason.
    """
    folder = availability.prepared_folder()
    if folder is not None:
        return folder
    if not availability.public_photos_obtained() and not availability.host_reachable(
        availability.URL
    ):
        raise Unavailable(
            "The public photos (cats_vs_dogs) are not on this machine, and "
            f"{availability.URL.split('/')[2]} can't be reached. The ways out: connect to the "
            "network (HTTPS_PROXY is respected); put the archive, downloaded elsewhere, at "
            f"{availability.manual_archive()}; use photos of your own with "
            "--set data.source=PATH; or use the built-in sample with --sample."
        )
    _download_and_prepare()
    folder = availability.prepared_folder()
    if folder is None:
        raise PhotoError(
            "tensorflow_datasets prepared cats_vs_dogs, but not as version "
            f"{availability.VERSION} in {availability.data_directory()}; "
            "install the version of tensorflow-datasets that optrun asks for."
        )
    return folder


def _download_and_prepare() -> None:
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    directory = availability.data_directory()
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        # What it tells on the way is for the person, not for a program that reads our output.
        with contextlib.redirect_stdout(sys.stderr):
            builder = tfds.builder("cats_vs_dogs", data_dir=directory, try_gcs=False)
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    except NonMatchingChecksumError as error:
        archive = availability.manual_archive()
        where = archive if archive.is_file() else directory / "downloads"
        raise PhotoError(
            f"The archive of the public photos in {where} is not the published one: its checksum "
            f"differs from {availability.ARCHIVE_SHA256}. Delete it and run again, or name it as "
            "a source of its own with --set data.source=PATH."
        ) from error
    except (OSError, ValueError, tfds.download.DownloadError, tf.errors.OpError) as error:
        raise PhotoError(
            f"The public photos can't be prepared in {directory}: {_first_line(error)}. "
            "Set TFDS_DATA_DIR to a folder that is writable and has 2 GB free, "
            "or run again if the download was interrupted."
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
