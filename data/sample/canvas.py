"""A canvas that fills polygons in whole numbers, so that no two machines differ in a pixel.

Drawing libraries compare floats at the pixels' edges, where one compiler's fused multiply-add
decides otherwise than another's multiply and add. Here corners are rounded to sixteenths of a pixel
once, and everything after that is exact. All polygons of a picture are rasterised together: one is
far too small for NumPy, a hundred are not.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255
BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Point = tuple[float, float]
Points = Sequence[Point]
# (a, b, left, c, d, top): (x, y) lies at the canvas pixel (a x + b y + left, c x + d y + top).
Placement = tuple[float, float, float, float, float, float]

_SUBPIXELS = 16  # to the pixel; a power of two, so that scaling by it is exact


def palette(colours: str) -> tuple[Colour, ...]:
    """Several colours from their hexadecimal digits, as in "ff0000 00ff00"."""
    return tuple((red, green, blue) for red, green, blue in map(bytes.fromhex, colours.split()))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour `share` (0 to 1) of the way from the first to the second."""
    red, green, blue = (int(a + (b - a) * share + 0.5) for a, b in zip(first, second, strict=True))
    return red, green, blue


class Canvas:
    """Polygons to be painted over each other on a black square of `size` pixels a side."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._polygons: list[tuple[Points, Placement, Colour, float]] = []

    def add(self, corners: Points, placement: Placement, colour: Colour, margin: float = 0) -> None:
        """Adds a polygon on top of those before: at least 3 corners, in any orientation.

        Its outline is moved outwards by `margin` pixels.
        """
        self._polygons.append((corners, placement, colour, margin))

    def paint(self, shrink: int = 1) -> npt.NDArray[np.uint8]:
        """Paints the polygons, of at most 255 colours: uint8 [size / shrink, size / shrink, 3].

        A pixel of the picture is the mean of `shrink` pixels of the canvas along each axis.
        """
        painted = [colour for _, _, colour, _ in self._polygons]
        colours = list(dict.fromkeys([BLACK, *painted]))
        layer = np.zeros((self._size, self._size), np.uint8)
        for colour, (rows, columns, inside) in zip(painted, self._masks(), strict=True):
            np.copyto(layer[rows, columns], colours.index(colour), where=inside)
        image = Image.fromarray(layer)
        image.putpalette(list(itertools.chain.from_iterable(colours)))
        return np.asarray(image.convert("RGB").reduce(shrink))

    def _masks(self) -> Iterator[tuple[slice, slice, npt.NDArray[np.bool_]]]:
        """For each polygon the rows and columns of its box, and which pixels of it lie inside."""
        if not self._polygons:
            return
        counts = np.array([len(corners) for corners, *_ in self._polygons])
        first = np.cumsum(counts) - counts
        following = np.arange(1, counts.sum() + 1)
        following[first + counts - 1] = first
        x0, y0 = self._outlines(counts, first, following)
        x1, y1 = x0[following], y0[following]
        size, half = self._size, _SUBPIXELS / 2

        # An edge crosses the rows whose centres, 16 row + 8, lie between its ends.
        start = np.clip(np.ceil((np.minimum(y0, y1) - half) / _SUBPIXELS), 0, size).astype(np.int64)
        stop = np.clip(np.ceil((np.maximum(y0, y1) - half) / _SUBPIXELS), 0, size).astype(np.int64)
        rows = stop - start
        top = np.minimum.reduceat(start, first)
        height = np.maximum.reduceat(stop, first) - top
        lowest, highest = np.minimum.reduceat(x0, first), np.maximum.reduceat(x0, first)
        left = np.clip(lowest // _SUBPIXELS, 0, size).astype(np.int64)
        right = np.clip(highest // _SUBPIXELS + 1, left, size).astype(np.int64)
        stride = right - left + 1  # one more, for crossings at the right end
        offset = np.cumsum(height * stride) - height * stride

        # It does so at x0 + (16 row + 8 - y0) (x1 - x0) / (y1 - y0); wanted is the first pixel
        # whose centre lies there or to the right. Numerator and denominator are whole numbers far
        # below 2^53, so their quotient, correctly rounded, reaches no whole number by rounding.
        edge = np.repeat(np.arange(len(rows)), rows)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(rows) - rows - start, rows)
        dx, dy = x1 - x0, y1 - y0
        numerator = (row * _SUBPIXELS) * dx[edge] + ((half - y0) * dx + (x0 - half) * dy)[edge]
        column = np.clip(np.ceil(numerator / (dy * _SUBPIXELS)[edge]), 0, size).astype(np.int64)

        # A pixel is inside where the edges at or left of it are odd in number. Every row of a box
        # holds an even number of them, so one running sum over all boxes starts each row at even.
        origin = np.repeat(offset - top * stride - left, counts)
        place = origin[edge] + row * np.repeat(stride, counts)[edge] + column
        crossings = np.zeros(int((height * stride).sum()), np.uint8)
        np.add.at(crossings, place, np.uint8(1))
        np.cumsum(crossings, out=crossings)
        inside = np.bitwise_and(crossings, 1, out=crossings).view(np.bool_)

        boxes = np.stack([top, height, left, stride, offset], axis=1)
        for y, h, x, w, begin in boxes.tolist():
            box = inside[begin : begin + h * w].reshape(h, w)[:, :-1]
            yield slice(y, y + h), slice(x, x + w - 1), box

    def _outlines(
        self, counts: Indices, first: Indices, following: Indices
    ) -> tuple[Floats, Floats]:
        """The corners, x and y, in whole sixteenths of a pixel."""
        corners, placements, _, margins = zip(*self._polygons, strict=True)
        flat = itertools.chain.from_iterable(itertools.chain.from_iterable(corners))
        along, across = np.fromiter(flat, np.float64, 2 * len(following)).reshape(-1, 2).T
        a, b, left, c, d, top = np.repeat(np.array(placements).T, counts, axis=1)
        x, y = a * along + b * across + left, c * along + d * across + top

        # Outwards is perpendicular to the line from the corner before to the corner after, on the
        # side that the sign of the polygon's area tells.
        before = np.argsort(following)
        dx, dy = x[following] - x[before], y[following] - y[before]
        twice_area = np.add.reduceat(x * y[following] - x[following] * y, first)
        margin = np.repeat(np.array(margins) * np.sign(twice_area), counts)
        share = margin / np.sqrt(dx * dx + dy * dy + 1e-9)
        x, y = x + dy * share, y - dx * share
        return np.floor(x * _SUBPIXELS + 0.5), np.floor(y * _SUBPIXELS + 0.5)
