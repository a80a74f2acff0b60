"""A canvas that fills polygons in whole-number arithmetic, so that no two machines differ in a pixel.

The usual libraries compare floats at the pixels' edges, where one compiler's fused multiply-add
already decides otherwise than another's. Here corners are rounded to sixteenths of a pixel once and
everything after that is exact. All polygons of a picture are rasterised together: one polygon is far
too small for NumPy, a hundred are not.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from PIL import Image

Colour = tuple[int, int, int]
Placement = tuple[float, float, float, float, float, float]

_SUBPIXELS = 16  # to the pixel; a power of two, so that scaling by it is exact


class Canvas:
    """Polygons to be painted over each other on a black square.

    Args:
        size: pixels a side.

    Example:
        >>> canvas = Canvas(size=4)
        >>> canvas.add([(0, 0), (1, 0), (1, 1), (0, 1)], (2, 0, 1, 0, 2, 1), (255, 0, 0))
        >>> canvas.paint()[:, :, 0]
        array([[  0,   0,   0,   0],
               [  0, 255, 255,   0],
               [  0, 255, 255,   0],
               [  0,   0,   0,   0]], dtype=uint8)
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
        """Adds a polygon on top of those before.

        Args:
            corners: at least 3 points (x, y), in any orientation.
            placement: (a, b, left, c, d, top): the point lies at the canvas pixel
                (a x + b y + left, c x + d y + top).
            colour: red, green, blue, 0 to 255.
            margin: by which every corner is moved outwards, in pixels.
        """
        self._corners += corners
        self._counts.append(len(corners))
        self._placements.append(placement)
        self._margins.append(margin)
        self._colours.append(colour)

    def paint(self, shrink: int = 1) -> npt.NDArray[np.uint8]:
        """The picture, uint8 [size / shrink, size / shrink, 3], averaged over shrink x shrink pixels."""
        colours = dict.fromkeys([(0, 0, 0), *self._colours])
        number = {colour: place for place, colour in enumerate(colours)}
        layer = np.zeros((self._size, self._size), np.uint8)
        if self._counts:
            for colour, (rows, columns, inside) in zip(self._colours, self._masks(), strict=True):
                np.copyto(layer[rows, columns], number[colour], where=inside)
        image = Image.fromarray(layer)
        image.putpalette([channel for colour in colours for channel in colour])
        return np.asarray(image.convert("RGB").reduce(shrink))

    def _outlines(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Start and end of every edge in subpixels, and where each polygon's edges begin."""
        counts = np.array(self._counts)
        first = np.cumsum(counts) - counts
        following = np.arange(1, len(self._corners) + 1)
        following[first + counts - 1] = first
        before = np.empty_like(following)
        before[following] = np.arange(len(following))

        local = np.fromiter(itertools.chain.from_iterable(self._corners), np.float64, 2 * len(following))
        along, across = local[0::2], local[1::2]
        a, b, left, c, d, top = np.repeat(np.array(self._placements).T, counts, axis=1)
        x, y = a * along + b * across + left, c * along + d * across + top

        # Outwards is to one side of the line from the corner before to the corner after, which side
        # is told by the sign of the polygon's area.
        dx, dy = x[following] - x[before], y[following] - y[before]
        twice_area = np.add.reduceat(x * y[following] - x[following] * y, first)
        margin = np.repeat(np.where(twice_area > 0, self._margins, np.negative(self._margins)), counts)
        share = margin / np.sqrt(dx * dx + dy * dy + 1e-9)
        x, y = x + dy * share, y - dx * share

        x_sub = np.floor(x * _SUBPIXELS + 0.5).astype(np.int64)
        y_sub = np.floor(y * _SUBPIXELS + 0.5).astype(np.int64)
        return x_sub, y_sub, x_sub[following], y_sub[following], first

    def _masks(self) -> list[tuple[slice, slice, npt.NDArray[np.bool_]]]:
        """For each polygon the rows and columns of its box, and which pixels of it lie inside."""
        x0, y0, x1, y1, first = self._outlines()
        half = _SUBPIXELS // 2
        # An edge crosses the rows whose centre lies between its ends; row r's is at 16 r + 8.
        start = np.clip(-((half - np.minimum(y0, y1)) // _SUBPIXELS), 0, self._size)
        stop = np.clip(-((half - np.maximum(y0, y1)) // _SUBPIXELS), 0, self._size)
        rows_of_edge = stop - start
        edge = np.repeat(np.arange(len(x0)), rows_of_edge)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(rows_of_edge) - rows_of_edge - start, rows_of_edge)
        # It does so at x0 + (16 r + 8 - y0) (x1 - x0) / (y1 - y0); the first pixel whose centre lies
        # there or to the right is found by exact division, rounded up.
        dx, dy = (x1 - x0)[edge], (y1 - y0)[edge]
        numerator = (row * _SUBPIXELS + half - y0[edge]) * dx + (x0[edge] - half) * dy
        column = np.clip(-(-numerator // (dy * _SUBPIXELS)), 0, self._size)

        top = np.minimum.reduceat(start, first)
        height = np.maximum.reduceat(stop, first) - top
        left = np.clip(np.minimum.reduceat(np.minimum(x0, x1), first) // _SUBPIXELS, 0, self._size)
        right = np.clip(np.maximum.reduceat(np.maximum(x0, x1), first) // _SUBPIXELS + 1, 0, self._size)
        width = np.maximum(right - left, 0) + 1  # one more, for crossings at the right edge
        offset = np.cumsum(height * width) - height * width

        # A pixel is inside when an odd number of edges lies to its left. Every row holds an even
        # number of crossings, so one running sum over all rows of all boxes starts each row at even.
        polygon = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(x0))))[edge]
        crossings = np.zeros(int((height * width).sum()), np.uint8)
        place = offset[polygon] + (row - top[polygon]) * width[polygon] + column - left[polygon]
        np.add.at(crossings, place, np.uint8(1))
        np.cumsum(crossings, out=crossings)
        inside = np.bitwise_and(crossings, 1, out=crossings).view(np.bool_)
        boxes = zip(*(part.tolist() for part in (top, height, left, width, offset)), strict=True)
        return [
            (
                slice(t, t + h),
                slice(l, l + w - 1),
                inside[o : o + h * w].reshape(h, w)[:, : w - 1],
            )
            for t, h, l, w, o in boxes
        ]
