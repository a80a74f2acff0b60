"""`optrun data show`: a contact sheet of photos, as they are or as augmentation changes them."""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from optrun.data.cache import cache
from optrun.data.cache.cache_key import Preparation
from optrun.data.cache.copies import copies
from optrun.data.feed.augmentation import Augmentation
from optrun.data.feed.augmentation import augmented as augmented_pixels
from optrun.data.files import write_atomically
from optrun.data.images.contact_sheet import Tile, contact_sheet
from optrun.data.labels import CLASS_NAMES
from optrun.data.photos import Photos
from optrun.data.sources import library
from optrun.data.sources.built_in import NAMES
from optrun.data.split import Split, split
from optrun.runner.config.load import load
from optrun.runner.config.schema import Data, Experiment
from optrun.runner.datasets.preparation import in_classes, prepared
from optrun.runner.errors import UserError, photo_errors, unwritable
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.wording import number_of

_TILE_PX = 160
_COLUMNS = 8  # with augmentation: the photo itself, and seven epochs


def show_photos(
    source: str,
    *,
    output: Path | None,
    count: int,
    part: str,
    augmented: Path | None,
    overrides: Sequence[str],
) -> None:
    """Write a contact sheet of photos as they are, or as the config `augmented` changes them."""
    experiment = None if augmented is None else load(augmented, overrides).experiment
    if experiment is not None and _augmentation(experiment).is_identity:
        raise UserError(
            f"{augmented} leaves photos as they are: all of data.augmentation is off. "
            "Try --set data.augmentation.flip=true --set data.augmentation.rotation=15"
        )
    data = Data() if experiment is None else experiment.data
    where = library.location(source)
    name = source if where in NAMES or library.entry(source) else library.name_for(Path(where))
    how = Preparation(data.image_size, data.resize, data.antialias, data.limit)
    with photo_errors():
        photos = _any(source, where) if experiment is None else prepared(source, how)[0]
        parts = split(photos, validation_share=data.validation_share, test_share=data.test_share)
        if experiment is None:
            tiles, title = _plain(photos, parts, part, count)
        else:
            tiles, title = _changed(photos, parts, count, experiment)
    file = output or Path(f"{name}{'-augmented' if experiment else ''}.png")
    sheet = contact_sheet(tiles, title=f"{name}: {title}", tile_px=_TILE_PX, columns=_COLUMNS)
    try:
        write_atomically(file, sheet)
    except OSError as error:
        raise unwritable(file, error) from error
    click.echo(f"Wrote {file.absolute()}: {title.splitlines()[0]}")


def _augmentation(experiment: Experiment) -> Augmentation:
    return Augmentation(**experiment.data.augmentation.model_dump())


def _any(source: str, where: str) -> Photos:
    """The photos as they are prepared already, in whatever way; else prepared in the usual one."""
    here = [(copy.how, copy.folder) for copy in copies() if copy.source == where and copy.usable]
    # All photos rather than some, undistorted colours of a size that fills a tile.
    here.sort(key=lambda one: (bool(one[0].limit), one[0].image_size < _TILE_PX, one[0].image_size))
    for _, folder in here:
        if (photos := cache.load(folder)) is not None:
            return photos
    return prepared(source, Preparation(Data().image_size))[0]


def _plain(photos: Photos, parts: Split, part: str, count: int) -> tuple[list[Tile], str]:
    """Tiles of the photos of a part, or of all."""
    positions = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    part_of = np.full(len(photos), "in no part", dtype="<U12")
    for name, members in positions.items():
        part_of[members] = name
    shown = positions.get(part, np.arange(len(photos)))
    chosen = _spread(photos, shown, count)
    tiles = [
        Tile(photos.pixels[i], f"{photos.ids[i]}\n{CLASS_NAMES[photos.labels[i]]}, {part_of[i]}")
        for i in chosen
    ]
    title = number_of(len(shown), "photo" if part == "all" else f"{part} photo")
    below = f"{in_classes(photos.labels[shown])}, prepared at {photos.pixels.shape[1]} px"
    return tiles, f"{len(chosen):,} of {title}\n{below}"


def _changed(
    photos: Photos, parts: Split, count: int, experiment: Experiment
) -> tuple[list[Tile], str]:
    """A row of tiles for each of a few training photos: itself, then epoch by epoch."""
    chosen = _spread(photos, parts.train, -(-count // _COLUMNS))
    pixels, digests = photos.pixels[chosen], photos.digests[chosen]
    seed = experiment.training.seed
    with native_stderr_captured():
        by_epoch = [
            augmented_pixels(pixels, digests, _augmentation(experiment), seed=seed, epoch=epoch)
            for epoch in range(_COLUMNS - 1)
        ]
    tiles = []
    for row, i in enumerate(chosen):
        caption = f"{photos.ids[i]}\n{CLASS_NAMES[photos.labels[i]]}, as it is"
        tiles.append(Tile(pixels[row], caption))
        tiles += [Tile(changed[row], f"epoch {epoch}") for epoch, changed in enumerate(by_epoch, 1)]
    settings = ", ".join(
        f"{key} on" if value is True else f"{key} {value:g}"
        for key, value in experiment.data.augmentation.model_dump().items()
        if value
    )
    title = number_of(len(chosen), "training photo")
    title += f" in {_COLUMNS - 1} epochs of {experiment.name}"
    return tiles, f"{title}\n{settings}; seed {seed}; prepared at {pixels.shape[1]} px"


def _spread(photos: Photos, positions: npt.NDArray[np.int64], count: int) -> list[int]:
    """At most `count` of the positions: the classes in turn, from all over each."""
    chosen: list[list[int]] = []
    for label in range(len(CLASS_NAMES)):
        members = positions[photos.labels[positions] == label]
        wanted = min(len(members), count // 2 if label else count - count // 2)
        places = np.linspace(0, len(members) - 1, wanted).round().astype(int)
        chosen.append(members[places].tolist())
    longest = max(map(len, chosen))
    return [one[k] for k in range(longest) for one in chosen if k < len(one)]
