"""What the bytes of a JPEG file say without decoding it, and whether its end is missing."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_START_OF_IMAGE, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
_START_OF_SCAN = 0xDA
_PROGRESSIVE = 0xC2
# Frame headers are FFC0 to FFCF, but for the tables that lie among them.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers that stand alone; all others are followed by their length.
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))

_GREY = 128
_BLOCK_PX = 8
_ANYTHING = bytes(range(1, 255))  # but no marker

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """The header of a JPEG's picture.

    Attributes:
        width: In pixels.
        height: In pixels.
        is_progressive: Whether the picture is stored in passes, from coarse to fine.
        is_ordinary: Whether it has 8 bits per channel and one, three or four channels.
    """

    width: int
    height: int
    is_progressive: bool
    is_ordinary: bool


def frame_of(encoded: bytes) -> Frame | None:
    """Returns the header of the picture in a JPEG file; None where none is found.

    Reads as little as it can: some ten steps through the file's segments.
    """
    if encoded[:2] != _START_OF_IMAGE:
        return None
    place = 2
    while place + 4 <= len(encoded):
        if encoded[place] != 0xFF:
            return None
        marker = encoded[place + 1]
        if marker == 0xFF or marker in _ALONE:
            place += 1 if marker == 0xFF else 2
        elif marker in _FRAMES:
            content = encoded[place + 4 : place + 10]
            if len(content) < 6:
                return None
            height, width = int.from_bytes(content[1:3]), int.from_bytes(content[3:5])
            return Frame(
                width,
                height,
                is_progressive=marker == _PROGRESSIVE,
                is_ordinary=content[0] == 8 and content[5] in (1, 3, 4) and width * height > 0,
            )
        elif marker == _START_OF_SCAN:
            return None
        else:
            place += 2 + int.from_bytes(encoded[place + 2 : place + 4])
    return None


def may_be_cut_short(pixels: Pixels) -> bool:
    """Whether the last block of a decoded JPEG is what decoders put in place of a missing one."""
    last = pixels[-_BLOCK_PX:, -_BLOCK_PX:]
    return last[-1, -1, 0] == _GREY and bool(np.all(last == _GREY))


def cut_short(encoded: bytes, pixels: Pixels, decode: Callable[[bytes], Pixels]) -> bool:
    """Whether a JPEG lacks the end of its picture though it has an end marker.

    Decoders notice a file that just ends. Where a cut one was given an end marker, what is missing
    becomes uniform grey without a word. So a picture whose last block is just that grey is decoded
    again with more bytes before the marker: they change nothing but what was missing.

    Args:
        encoded: The bytes of the file.
        pixels: uint8 [height, width, 3], as decoded.
        decode: Returns the pixels of a JPEG.
    """
    if not may_be_cut_short(pixels):
        return False
    end = encoded.rfind(_END_OF_IMAGE)
    return not np.array_equal(pixels, decode(encoded[:end] + _ANYTHING + encoded[end:]))
