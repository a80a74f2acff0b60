"""One picture of the sample: a scene, an animal in it, light and noise; and its PNG file."""

import struct
import zlib

import numpy as np
import numpy.typing as npt
from optrun.data.sample.canvas import Canvas
from optrun.data.sample.dice import Dice
from optrun.data.sample.looks import choose_cat, choose_coat, choose_dog
from optrun.data.sample.pen import Pen
from optrun.data.sample.poses import draw_animal
from optrun.data.sample.scenery import draw_obstacle, draw_scene

SAMPLE_VERSION = 5  # raised with every change that alters a drawing
SAMPLE_SEED = 1
IMAGE_SIZE = 64  # pixels a side

_OVERSAMPLING = 3  # canvas pixels per pixel and axis, for smooth edges


def label(index: int) -> int:
    """0 (cat) for even indices, 1 (dog) for odd ones."""
    return index % 2


def draw(seed: int, index: int) -> npt.NDArray[np.uint8]:
    """Draws one picture of a sample: uint8 [64, 64, 3], RGB."""
    dice = Dice(seed, index)
    canvas = Canvas(IMAGE_SIZE * _OVERSAMPLING)
    pen = Pen(canvas).at(0, 0, scale=IMAGE_SIZE * _OVERSAMPLING)
    draw_scene(pen, dice)
    looks = (choose_cat, choose_dog)[label(index)](dice)
    draw_animal(pen, dice, looks, choose_coat(dice))
    if dice.chance(0.12):
        draw_obstacle(pen, dice)
    return _photographed(canvas.paint(shrink=_OVERSAMPLING), dice)


def _photographed(picture: npt.NDArray[np.uint8], dice: Dice) -> npt.NDArray[np.uint8]:
    """Adds exposure, a gradient of light, a colour cast and noise, all in whole numbers."""
    # Gains are in 256ths: 256 leaves the picture as drawn.
    exposure = int(dice.between(190, 290))
    across, down = int(dice.between(-90, 90)), int(dice.between(-90, 90))
    cast = np.array([int(dice.between(238, 272)) for _ in range(3)], dtype=np.int32)
    along = np.arange(IMAGE_SIZE, dtype=np.int32) - IMAGE_SIZE // 2
    gain = exposure + (across * along[None, :] + down * along[:, None]) // IMAGE_SIZE
    lit = picture * (gain[:, :, None] * cast >> 8) >> 8
    # The difference of two uniform bytes: a triangular distribution around 0.
    strength = int(dice.between(2, 16))
    first, second = dice.bytes(2 * picture.size).reshape(2, *picture.shape)
    noise = (first.astype(np.int32) - second) * strength >> 8
    return np.asarray(np.clip(lit + noise, 0, 255), np.uint8)


def encode(picture: npt.NDArray[np.uint8]) -> bytes:
    """The picture as an uncompressed PNG (W3C, Portable Network Graphics, third edition, 2025).

    Its bytes depend on nothing but the pixels, uint8 [height, width, 3].
    """
    height, width, _ = picture.shape
    # Each row is preceded by its filter, 0 (none).
    rows = b"".join(b"\0" + row.tobytes() for row in picture)
    if len(rows) > 0xFFFF:
        raise ValueError(
            "picture must hold at most 65,535 bytes, a filter byte per row included. "
            f"Received: {len(rows):,} bytes, shape={picture.shape}"
        )
    # One stored block of the DEFLATE format (RFC 1951, section 3.2.4) in a zlib stream (RFC 1950).
    stored = struct.pack("<BHH", 1, len(rows), len(rows) ^ 0xFFFF) + rows
    stream = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(rows))
    # 8 bits a channel, RGB, the only compression and filter methods there are, not interlaced.
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
