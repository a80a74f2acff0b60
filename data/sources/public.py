"""The public data set `cats_vs_dogs`, through tensorflow_datasets."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from optrun.data.download import availability
from optrun.data.download.obtaining import first_line, obtain
from optrun.data.errors import PhotoError
from optrun.data.sources.source import Photo

if TYPE_CHECKING:
    import tensorflow as tf


class Public:
    """The 23,262 public photos; obtained, if need be, when they are first asked for.

    Args:
        obtain: Returns the folder of the prepared data set, after making up for what is missing.
    """

    name = "cats_vs_dogs"
    is_sample = False

    def __init__(self, obtain: Callable[[], Path] = obtain) -> None:
        self._obtain = obtain

    def identity(self) -> Mapping[str, str | int]:
        """The version of the data set: its photos never change within one."""
        return {"tensorflow_datasets": "cats_vs_dogs", "version": availability.VERSION}

    def parts(self) -> Mapping[str, int]:
        """Published as one part."""
        return {}

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
        folder = self._obtain()
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
                f"The public photos in {folder} can't be read ({first_line(error)}). "
                "Delete that folder and run again to have them prepared anew."
            ) from error
