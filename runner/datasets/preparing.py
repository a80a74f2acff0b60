"""Photos prepared for a command that shows or counts them, with a bar while they are decoded."""

import functools
import time
from dataclasses import dataclass

from optrun.data.cache import prepare
from optrun.data.cache.cache_key import Resize
from optrun.data.photos import Photos
from optrun.runner.datasets.acquire import obtain
from optrun.runner.datasets.dataset_wording import described
from optrun.runner.ui.console import Display
from optrun.runner.ui.stderr_capture import native_stderr_captured
from rich.console import Console


@dataclass(frozen=True)
class Preparation:
    """How photos are made ready; see `optrun.data.cache.prepare.prepare`."""

    image_size: int
    resize: Resize = "squash"
    antialias: bool = False
    limit: int | None = None

    def __str__(self) -> str:
        """As a person reads it: `224 px, crop, antialiased`."""
        return described(self.image_size, self.resize, self.antialias, self.limit)


def prepared(source: str, how: Preparation) -> tuple[Photos, float | None]:
    """The photos, and how many seconds it took to decode them; None where they were there.

    Raises:
        PhotoError: They can't be had.
    """
    here = prepare.prepared(
        source,
        image_size=how.image_size,
        resize=how.resize,
        antialias=how.antialias,
        limit=how.limit,
    )
    if here is not None:
        return here, None
    display = Display(Console(stderr=True))
    started = time.monotonic()
    with native_stderr_captured():
        try:
            if source != "cats_vs_dogs":  # whose download has a bar of its own
                # TensorFlow takes seconds to start, in which nothing would be seen.
                display.photos_prepared(0, None)
            photos = prepare.prepare(
                source,
                image_size=how.image_size,
                resize=how.resize,
                antialias=how.antialias,
                limit=how.limit,
                progress=display.photos_prepared,
                obtain=functools.partial(obtain, display.console),
            )
        finally:
            display.end_bar()
    return photos, time.monotonic() - started
