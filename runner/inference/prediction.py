"""Photos to answers, as a stream: no more in memory than a few batches, whatever their number."""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
from optrun.data.errors import PhotoError
from optrun.data.images.decode import Pixels, UndecodableError
from optrun.runner.engine.hardware import processors
from optrun.runner.inference.answers import Prediction
from optrun.runner.inference.classifier import Trained, logits
from optrun.runner.inference.trouble import until_trouble
from PIL import Image

# Small on a processor, where 16 photos of 224 px take seconds, so that answers appear as they come.
_BATCH = {"cpu": 16, "gpu": 128}
# So much is decoded, or waits for it, while the network computes: enough that it never waits.
_BATCHES_AHEAD = 3
_MOST_BYTES_WAITING = 256 * 2**20  # of encoded photos; one larger than that still goes through


class EncodedPhoto(Protocol):
    """A photo without a label; `unreadable` says why its bytes can't be had, or is empty.

    As in `optrun.data.unlabelled`. Properties, since a plain attribute could not be a frozen field.
    """

    @property
    def name(self) -> str: ...
    @property
    def encoded(self) -> bytes: ...
    @property
    def unreadable(self) -> str: ...


def predictions(
    trained: Trained, photos: Iterable[EncodedPhoto], *, flip: bool = False
) -> Iterator[Prediction]:
    """What the network says of each photo, in their order, also of those that can't be read.

    Photos are decoded in threads while the network computes. Where the photos end in trouble, it
    is raised when those before it have been judged.

    Args:
        trained: The network.
        photos: The photos; read no further ahead than needed.
        flip: Whether to average with the mirror image.

    Raises:
        PhotoError: The photos' source is damaged.
    """
    size = _BATCH[trained.machine.device]
    batch: list[tuple[str, Pixels | str]] = []
    trouble: list[BaseException] = []
    photos = until_trouble(photos, trouble, (PhotoError,))
    for decoded in _decoded(trained, photos, ahead=_BATCHES_AHEAD * size):
        batch.append(decoded)
        if len(batch) == size:
            yield from _judged(trained, batch, flip)
            batch.clear()
    yield from _judged(trained, batch, flip)
    if trouble:
        raise trouble[0]


def _judged(
    trained: Trained, batch: list[tuple[str, Pixels | str]], flip: bool
) -> Iterator[Prediction]:
    pixels = [one for _, one in batch if not isinstance(one, str)]
    found = iter(logits(trained, np.stack(pixels), flip=flip) if pixels else ())
    for name, one in batch:
        if isinstance(one, str):
            yield Prediction(name, None, one)
        else:
            yield Prediction(name, float(next(found)))


def _decoded(
    trained: Trained, photos: Iterable[EncodedPhoto], *, ahead: int
) -> Iterator[tuple[str, Pixels | str]]:
    """Names with pixels, or with the reason why there are none, in the order of the photos."""
    waiting: deque[tuple[str, int, Future[Pixels | str] | str]] = deque()
    bytes_waiting = 0
    pool = ThreadPoolExecutor(processors())
    try:
        with warnings.catch_warnings():
            # An image of excessive size is a reason, not a line on the screen.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            for photo in photos:
                result = photo.unreadable or pool.submit(_pixels, trained, photo.encoded)
                waiting.append((photo.name, len(photo.encoded), result))
                bytes_waiting += len(photo.encoded)
                while len(waiting) > ahead or (waiting and bytes_waiting > _MOST_BYTES_WAITING):
                    name, size, result = waiting.popleft()
                    bytes_waiting -= size
                    yield name, result if isinstance(result, str) else result.result()
            while waiting:
                name, _, result = waiting.popleft()
                yield name, result if isinstance(result, str) else result.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _pixels(trained: Trained, encoded: bytes) -> Pixels | str:
    try:
        return trained.pixels(encoded)
    except UndecodableError as error:
        return str(error)
