"""The built-in sample: cats and dogs that the program draws itself, 64 x 64 RGB, nothing to download.

A drawing is a pure function of (seed, index), the same bytes on every machine: see `data.drawing` for
the geometry; light and noise are whole-number arithmetic; `encode` writes the PNG itself, since
compressed bytes depend on the zlib at hand.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from data.animals import cat_looks, coat, dog_looks, lying, portrait, sitting, standing
from data.canvas import Canvas
from data.drawing import BLACK, Dice, Pen, ellipse, mix
from data.scenery import backdrop, obstacle, thing

SAMPLE_VERSION = 1  # raised with every change that alters a drawing
SAMPLE_SEED = 1
IMAGE_SIZE = 64  # pixels a side
CLASS_NAMES = ("cat", "dog")

_OVERSAMPLING = 3  # canvas pixels per pixel, for smooth edges
_CANVAS = IMAGE_SIZE * _OVERSAMPLING


def label(index: int) -> int:
    """0 (cat) for even indices, 1 (dog) for odd ones."""
    return index % 2


def draw(seed: int, index: int) -> npt.NDArray[np.uint8]:
    """Draws one picture.

    Args:
        seed: of the whole sample, 0 or more.
        index: of the picture in it, 0 or more; even ones show a cat, odd ones a dog.

    Returns:
        uint8 [64, 64, 3], RGB.

    Example:
        >>> picture = draw(seed=1, index=0)
        >>> picture.shape, picture.dtype
        ((64, 64, 3), dtype('uint8'))
        >>> bool((picture == draw(seed=1, index=0)).all())
        True
    """
    dice = Dice(seed, index)
    canvas = Canvas(_CANVAS)
    pen = Pen(canvas).at(0, 0, scale=_CANVAS)
    backdrop(pen, dice)
    for _ in range(dice.one_of((0, 1, 1, 2))):
        thing(pen.at(dice.between(0, 1), dice.between(0.55, 1), scale=dice.between(0.15, 0.3)), dice)
    _animal(pen, dice, label(index))
    if dice.chance(0.15):
        obstacle(pen, dice)
    return _light(canvas.paint(shrink=_OVERSAMPLING), dice)


def _animal(pen: Pen, dice: Dice, kind: int) -> None:
    """Draws the animal with its shadow, somewhere near the middle."""
    looks = (cat_looks, dog_looks)[kind](dice)
    fur = coat(dice)
    pose = dice.one_of((portrait, portrait, portrait, sitting, sitting, lying, lying, standing))
    name = pose.__name__
    mirror = dice.chance(0.5)
    if name == "portrait":
        scale, x, y = dice.between(0.24, 0.33), dice.between(0.4, 0.6), dice.between(0.46, 0.58)
    elif name == "sitting":
        scale, x, y = dice.between(0.19, 0.27), dice.between(0.36, 0.6), dice.between(0.34, 0.46)
    else:
        scale, x, y = dice.between(0.19, 0.26), dice.between(0.28, 0.42), dice.between(0.42, 0.58)
    if mirror:
        x = 1 - x
    place = pen.at(x, y, scale=scale, turn=dice.between(-0.06, 0.06), mirror=mirror)
    if name != "portrait":
        shadow = mix((90, 86, 84), BLACK, dice.between(0, 0.4))
        ground = {"sitting": 2.75, "standing": 2.2, "lying": 1.5}[name]
        place.fill(shadow, ellipse(0.0 if name == "sitting" else 1.2, ground, 1.6 if name == "sitting" else 2.2, 0.28))
    pose(place, dice, looks, fur)


def _light(picture: npt.NDArray[np.uint8], dice: Dice) -> npt.NDArray[np.uint8]:
    """Exposure, a gradient of light across the picture, a colour cast, and noise, in integers."""
    along = np.arange(IMAGE_SIZE, dtype=np.int32) - IMAGE_SIZE // 2
    brightness = int(dice.between(190, 290))  # 256 is as drawn
    across, down = int(dice.between(-90, 90)), int(dice.between(-90, 90))
    gain = brightness + (across * along[None, :] + down * along[:, None]) // 64
    cast = np.array([int(dice.between(238, 272)) for _ in range(3)], dtype=np.int32)
    lit = picture * (gain[:, :, None] * cast >> 8) >> 8
    strength = int(dice.between(2, 16))
    # The difference of two uniform bytes: a triangular distribution around 0.
    first, second = dice.bytes(2 * picture.size).reshape(2, *picture.shape)
    grain = first.astype(np.int32) - second
    noisy = lit + (grain * strength >> 8)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def encode(picture: npt.NDArray[np.uint8]) -> bytes:
    """The picture as an uncompressed PNG, whose bytes depend on nothing but its pixels.

    Args:
        picture: uint8 [height, width, 3] with at most 65,535 bytes of rows, as `draw` returns it.
    """
    height, width, _ = picture.shape
    # Each row is preceded by its filter, 0 (none).
    rows = b"".join(b"\0" + row.tobytes() for row in picture)
    # One stored block of the DEFLATE format (RFC 1951, section 3.2.4) in a zlib stream (RFC 1950).
    stored = struct.pack("<BHH", 1, len(rows), len(rows) ^ 0xFFFF) + rows
    stream = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    chunks = ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def photos(count: int, seed: int = SAMPLE_SEED) -> Iterator[tuple[str, int, bytes]]:
    """The first `count` drawings as (id, label, PNG bytes); ids are like "cat-000012".

    Example:
        >>> [(name, kind) for name, kind, _ in photos(2)]
        [('cat-000000', 0), ('dog-000001', 1)]
    """
    for index in range(count):
        kind = label(index)
        yield f"{CLASS_NAMES[kind]}-{index:06d}", kind, encode(draw(seed, index))
