"""Photos side by side in one picture, each above a caption."""

import bisect
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Resampling

Emphasis = Literal["none", "right", "wrong"]

_BACKGROUND, _INK, _FAINT = "#ffffff", "#1a1a1a", "#666666"
# Told apart by most who see fewer colours (Okabe & Ito 2008), and by the width of the frame too.
_FRAMES = {"none": (_INK, 0), "right": ("#007a5a", 3), "wrong": ("#c44a00", 6)}  # in pixels
_GAP_PX, _MARGIN_PX = 10, 20
_CAPTION_PX, _TITLE_PX = 13, 18
_LINE_PX = {_CAPTION_PX: 17, _TITLE_PX: 23}  # from one line to the next

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Tile:
    """One picture of a contact sheet."""

    pixels: npt.NDArray[np.uint8]  # [h, w, 3], RGB
    caption: str  # lines of plain text to stand below it
    emphasis: Emphasis = "none"  # the others frame the picture and colour its caption


def contact_sheet(
    tiles: Sequence[Tile], *, title: str, tile_px: int = 160, columns: int = 8
) -> bytes:
    """Draws pictures row by row, each fitted into a square, below a title; returns a PNG file.

    A line of text that is too long is cut and ends with "…". What can't be printed, such as a
    control character in a file's name, becomes "�".
    """
    if not tiles or tile_px < 32 or columns < 1:
        least = "tiles must hold at least one, tile_px be at least 32 and columns at least 1"
        raise ValueError(f"{least}, received: {len(tiles)}, {tile_px}, {columns}")
    columns = min(columns, len(tiles))
    caption_px = _LINE_PX[_CAPTION_PX] * max(len(tile.caption.split("\n")) for tile in tiles)
    heading_px = _LINE_PX[_TITLE_PX] * len(title.split("\n")) + _GAP_PX
    step_x, step_y = tile_px + _GAP_PX, tile_px + caption_px + _GAP_PX
    rows = -(-len(tiles) // columns)
    # A narrow sheet is still wide enough for a title.
    width = max(2 * _MARGIN_PX + columns * step_x - _GAP_PX, 480)
    height = 2 * _MARGIN_PX + heading_px + rows * step_y - _GAP_PX
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    _write(draw, (_MARGIN_PX, _MARGIN_PX), title, _TITLE_PX, width - 2 * _MARGIN_PX, _INK)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        left, top = _MARGIN_PX + column * step_x, _MARGIN_PX + heading_px + row * step_y
        colour, frame_px = _FRAMES[tile.emphasis]
        picture = Image.fromarray(np.ascontiguousarray(tile.pixels))
        scale = (tile_px - 2 * frame_px) / max(picture.size)
        size = [max(1, round(length * scale)) for length in picture.size]
        picture = picture.resize(size, Resampling.LANCZOS if scale < 1 else Resampling.BICUBIC)
        beside, above = (tile_px - picture.width) // 2, (tile_px - picture.height) // 2
        sheet.paste(picture, (left + beside, top + above))
        box = (left, top, left + tile_px - 1, top + tile_px - 1)
        draw.rectangle(box, outline=colour, width=frame_px)
        _write(draw, (left, top + tile_px + 2), tile.caption, _CAPTION_PX, tile_px, colour)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, width: int, colour: str
) -> None:
    """Writes lines one below the other, the further ones of a caption fainter."""
    font = _font(size)
    left, top = place
    for number, line in enumerate(text.split("\n")):
        fill = _FAINT if number and colour == _INK else colour
        shown = _cut(line, font, width)
        draw.text((left, top + number * _LINE_PX[size]), shown, font=font, fill=fill)


def _cut(line: str, font: _Font, width: int) -> str:
    """Returns as much of a line as fits into `width` pixels."""
    # No line is longer than this, and measuring a file name of megabytes would take minutes.
    shown = "".join(letter if letter.isprintable() else "�" for letter in line[:1000])
    if len(line) <= 1000 and font.getlength(shown) <= width:
        return shown
    cut = [shown[:count].rstrip() + "…" for count in range(len(shown) + 1)]
    return cut[bisect.bisect_right(cut[1:], float(width), key=font.getlength)]


@cache
def _font(size: int) -> _Font:
    # matplotlib's font knows Greek and Cyrillic; Pillow's own, where a distribution has moved that
    # one elsewhere, Latin alone.
    found = importlib.util.find_spec("matplotlib")
    for folder in (found.submodule_search_locations or []) if found else []:
        file = Path(folder, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
        if file.is_file():
            return ImageFont.truetype(str(file), size)
    return ImageFont.load_default(size)
