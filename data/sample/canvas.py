"""A canvas that fills polygons in whole numbers, so that no two machines differ in a pixel.

Drawing libraries compare floats at the pixels' edges, where one compiler's fused multiply-add
decides otherwise than another's multiply and add. Here corners are rounded to sixteenths of a pixel
once, and everything after that is exact. All polygons of a picture are rasterised together: one is
far too small for NumPy, a hundred are not.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255
BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

Placement = tuple[float, float, float, float, float, float]
Indices = npt.NDArray[np.int64]

_SUBPIXELS = 16  # to the pixel; a power of two, so that scaling by it is exact


def palette(colours: str) -> tuple[Colour, ...]:
    """Several colours from their hexadecimal digits, as in "ff0000 00ff00"."""
    return tuple((red, green, blue) for red, green, blue in map(bytes.fromhex, colours.split()))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour `share` (0 to 1) of the way from the first to the second."""
    red, green, blue = (int(a + (b - a) * share + 0.5) for a, b in zip(first, second, strict=True))
    return red, green, blue


class Canvas:
    """Polygons to be painted over each other on a black square of `size` pixels a side.

    >>> canvas = Canvas(size=4)
    >>> canvas.add([(0, 0), (1, 0), (1, 1), (0, 1)], (2, 0, 1, 0, 2, 1), (255, 0, 0))
    >>> canvas.paint()[1, :, 0].tolist()
    [0, 255, 255, 0]
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._corners: list[tuple[float, float]] = []
        self._counts: list[int] = []
        self._placements: list[Placement] = []
        self._margins: list[float] = []
        self._colours: list[Colour] = []

    def add(
        self,
        corners: list[tuple[float, float]],
        placement: Placement,
        colour: Colour,
        margin: float = 0,
    ) -> None:
        """Adds a polygon on top of those before: at least 3 corners, in any orientation.

        With placement (a, b, left, c, d, top) a corner (x, y) lies at the canvas pixel
        (a x + b y + left, c x + d y + top), moved outwards by `margin` pixels.
        """
        self._corners += corners
        self._counts.append(len(corners))
        self._placements.append(placement)
        self._margins.append(margin)
        self._colours.append(colour)

    def paint(self, shrink: int = 1) -> npt.NDArray[np.uint8]:
        """Paints the polygons, of at most 255 colours: uint8 [size / shrink, size / shrink, 3].

        A pixel of the picture is the mean of `shrink` pixels of the canvas along each axis.
        """
        colours = dict.fromkeys([BLACK, *self._colours])
        number = {colour: place for place, colour in enumerate(colours)}
        layer = np.zeros((self._size, self._size), np.uint8)
        if self._counts:
            for colour, (rows, columns, inside) in zip(self._colours, self._masks(), strict=True):
                np.copyto(layer[rows, columns], number[colour], where=inside)
        image = Image.fromarray(layer)
        image.putpalette([channel for colour in colours for channel in colour])
        return np.asarray(image.convert("RGB").reduce(shrink))

    def _outlines(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The corners, x and y, in whole sixteenths of a pixel."""
        flat = itertools.chain.from_iterable(self._corners)
        local = np.fromiter(flat, np.float64, 2 * len(self._corners))
        along, across = local[0::2], local[1::2]
        placements = np.array(self._placements).T
        a, b, left, c, d, top = np.repeat(placements, self._counts, axis=1)
        x, y = a * along + b * across + left, c * along + d * across + top

        # Outwards is perpendicular to the line from the corner before to the corner after, on the
        # side that the sign of the polygon's area tells.
        before, following, first = self._neighbours()
        dx, dy = x[following] - x[before], y[following] - y[before]
        twice_area = np.add.reduceat(x * y[following] - x[following] * y, first)
        margin = np.repeat(np.array(self._margins) * np.sign(twice_area), self._counts)
        share = margin / np.sqrt(dx * dx + dy * dy + 1e-9)
        x, y = x + dy * share, y - dx * share
        return np.floor(x * _SUBPIXELS + 0.5), np.floor(y * _SUBPIXELS + 0.5)

    def _neighbours(self) -> tuple[Indices, Indices, Indices]:
        """For each corner the one before and the one after; and each polygon's first corner."""
        counts = np.array(self._counts)
        first = np.cumsum(counts) - counts
        following = np.arange(1, len(self._corners) + 1)
        following[first + counts - 1] = first
        before = np.empty_like(following)
        before[following] = np.arange(len(following))
        return before, following, first

    def _masks(self) -> Iterator[tuple[slice, slice, npt.NDArray[np.bool_]]]:
        """For each polygon the rows and columns of its box, and which pixels of it lie inside."""
        x0, y0 = self._outlines()
        _, following, first = self._neighbours()
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
        crossing = np.ceil(numerator / (dy * _SUBPIXELS)[edge])
        column = np.clip(crossing, 0, size).astype(np.int64)

        # A pixel is inside where the edges at or left of it are odd in number. Every row of a box
        # holds an even number of them, so one running sum over all boxes starts each row at even.
        origin = np.repeat(offset - top * stride - left, self._counts)
        place = origin[edge] + row * np.repeat(stride, self._counts)[edge] + column
        crossings = np.zeros(int((height * stride).sum()), np.uint8)
        np.add.at(crossings, place, np.uint8(1))
        np.cumsum(crossings, out=crossings)
        inside = np.bitwise_and(crossings, 1, out=crossings).view(np.bool_)

        for y, h, x, w, begin in zip(
            *(part.tolist() for part in (top, height, left, stride, offset)), strict=True
        ):
            box = inside[begin : begin + h * w].reshape(h, w)[:, :-1]
            yield slice(y, y + h), slice(x, x + w - 1), box
