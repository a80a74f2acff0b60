"""Shapes, and a pen that places them on a canvas.

Only +, -, x, / and the square root are used, which IEEE 754 defines to the last bit; sines and
cosines differ between mathematical libraries. So circles and rotations come from the rational
parametrisation of the circle, (1 - t², 2 t) / (1 + t²) with t = tan(angle / 2).

Shapes are lists of corners (x, y), y pointing down, in the units of the pen. Plain Python floats:
for a dozen corners they are several times faster than NumPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from optrun.data.sample.canvas import Canvas, Colour, Placement, Point, Points

SIDES = (-1, 1)  # left and right

_CONTOUR_PX = 2  # of the canvas


def rotation(t: float) -> tuple[float, float]:
    """Cosine and sine of the angle whose half has the tangent t (0.1 is about 11 degrees)."""
    return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)


def _bezier_weights(steps: int) -> list[tuple[float, float, float]]:
    # The quadratic Bézier curve is (1-s)² p + 2 s (1-s) q + s² r for its control points p, q, r.
    fractions = [step / steps for step in range(steps + 1)]
    return [((1 - s) * (1 - s), 2 * s * (1 - s), s * s) for s in fractions]


_QUARTER = [rotation(step / 5) for step in range(5)]
_HALF = [*_QUARTER, *((-y, x) for x, y in _QUARTER)]
_CIRCLE = [*_HALF, *((-x, -y) for x, y in _HALF)]
_ROUNDING = _bezier_weights(steps=4)[:-1]
_ALONG_STROKE = _bezier_weights(steps=5)


def ellipse(x: float, y: float, half_width: float, half_height: float, turn: float = 0) -> Points:
    """An ellipse around (x, y); `turn` is the tangent of half its angle, clockwise."""
    cosine, sine = rotation(turn)
    a, b, c, d = cosine * half_width, sine * half_height, sine * half_width, cosine * half_height
    return [(x + a * along - b * across, y + c * along + d * across) for along, across in _CIRCLE]


def smooth(*corners: Point) -> Points:
    """The closed quadratic B-spline of the corners: their polygon with everything rounded."""
    points = []
    for (x0, y0), (x1, y1), (x2, y2) in zip(
        corners[-1:] + corners[:-1], corners, corners[1:] + corners[:1], strict=True
    ):
        # A Bézier curve from the middle of one side to that of the next, bent by the corner.
        ax, ay, bx, by = (x0 + x1) / 2, (y0 + y1) / 2, (x1 + x2) / 2, (y1 + y2) / 2
        points += [(u * ax + v * x1 + w * bx, u * ay + v * y1 + w * by) for u, v, w in _ROUNDING]
    return points


def rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    """The upright rectangle with these sides."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def stroke(start: Point, bend: Point, end: Point, width: float, end_width: float) -> Points:
    """A brush stroke along the quadratic Bézier curve, its width changing towards the end."""
    (x0, y0), (x1, y1), (x2, y2) = start, bend, end
    left, right = [], []
    for step, (u, v, w) in enumerate(_ALONG_STROKE):
        s = step / (len(_ALONG_STROKE) - 1)
        x, y = u * x0 + v * x1 + w * x2, u * y0 + v * y1 + w * y2
        # Half the width along the normal to the curve's derivative.
        dx, dy = (1 - s) * (x1 - x0) + s * (x2 - x1), (1 - s) * (y1 - y0) + s * (y2 - y1)
        half = (width + (end_width - width) * s) / 2 / math.sqrt(dx * dx + dy * dy)
        left.append((x - dy * half, y + dx * half))
        right.append((x + dy * half, y - dx * half))
    # The brush is round: the end reaches half a width beyond the curve.
    return [*left, (x + dx * half, y + dy * half), *reversed(right)]


@dataclass(frozen=True)
class Pen:
    """Draws shapes on a canvas after moving, scaling, turning and mirroring them."""

    canvas: Canvas
    placement: Placement = (1, 0, 0, 0, 1, 0)

    def at(
        self, x: float, y: float, scale: float = 1, turn: float = 0, mirror: bool = False
    ) -> Pen:
        """The pen whose origin is this pen's (x, y), its unit `scale` of this pen's.

        `turn` is the tangent of half its angle, clockwise; `mirror` exchanges left and right.
        """
        a, b, left, c, d, top = self.placement
        cosine, sine = rotation(turn)
        across = -scale if mirror else scale
        first = (a * cosine + b * sine) * across, (b * cosine - a * sine) * scale
        second = (c * cosine + d * sine) * across, (d * cosine - c * sine) * scale
        origin_x, origin_y = left + a * x + b * y, top + c * x + d * y
        return Pen(self.canvas, (*first, origin_x, *second, origin_y))

    def halves(self) -> tuple[Pen, Pen]:
        """This pen mirrored and as it is, for what is the same on the left and on the right.

        The corners of an ellipse are not: mirrored, its edge differs by a pixel here and there.
        """
        return self.at(0, 0, mirror=True), self

    def fill(self, colour: Colour, *shapes: Points) -> None:
        """Fills shapes with one colour."""
        for shape in shapes:
            self.canvas.add(shape, self.placement, colour)

    def body(self, colour: Colour, contour: Colour, *shapes: Points) -> None:
        """Fills shapes as one body, with a contour around their union."""
        for shape in shapes:
            self.canvas.add(shape, self.placement, contour, margin=_CONTOUR_PX)
        self.fill(colour, *shapes)
